#!/usr/bin/env bash
# The official Python SDK against the emulator.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

command -v python3 >/dev/null || skip "python3 is not installed"
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 has no venv module"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || skip "python3 is older than 3.10"

key=$( (python3 -c 'import sys; print(sys.version, sys.prefix)'; cat requirements.txt) | sha256sum | cut -c1-16)
environment=$cache/interop-python-$key
if [ ! -x "$environment/bin/python" ]; then
    echo "installing $(grep -m1 '^azure-mgmt-containerservice' requirements.txt) into $environment"
    mkdir -p "$cache"
    made=$(mktemp -d "$environment.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    python3 -m venv "$made"
    fetch "the Python SDK" "$made/bin/python" -m pip install --no-deps --disable-pip-version-check \
        --progress-bar off -r requirements.txt
    # Whoever is first wins. Only bin/python is used of it, which finds its packages wherever the folder is.
    mv -T "$made" "$environment" 2>/dev/null || [ -x "$environment/bin/python" ]
    rm -rf "$made"
    trap - EXIT
fi
exec ../with-emulator.sh --sign-in -- "$environment/bin/python" -B main.py
