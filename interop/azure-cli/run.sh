#!/usr/bin/env bash
# The stock Azure CLI against the emulator: over HTTPS, signed in as a service principal.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

command -v python3 >/dev/null || skip "python3 is not installed"
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 has no venv module"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || skip "python3 is older than 3.10"

version=$(sed -n 's/^azure-cli==//p' requirements.txt)
environment=$cache/azure-cli-$version
# What a Python that went away left behind does not start.
if ! "$environment/bin/python" -c 'import azure.cli' 2>/dev/null; then
    echo "installing the Azure CLI $version into $environment, which takes some minutes"
    mkdir -p "$cache"
    made=$(mktemp -d "$environment.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    python3 -m venv "$made"
    fetch "the Azure CLI" "$made/bin/python" -m pip install --no-deps --disable-pip-version-check \
        --progress-bar off -r requirements.txt
    rm -rf "$environment"
    # Whoever is first wins. Only bin/python is used of it, which finds its packages wherever the folder is.
    mv -T "$made" "$environment" 2>/dev/null || [ -x "$environment/bin/python" ]
    rm -rf "$made"
    trap - EXIT
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHON=$environment/bin/python WORK=$work LIMIT=${LIMIT:-900}
../with-emulator.sh --sign-in --retry-after 1 -- ./steps.sh
