# What the scripts of this folder share. To be sourced.

# say WORDS...: tells what happens, beside what a script prints as its result.
say() { printf '%s\n' "$*" >&2; }

# fail WORDS...: tells why a script can't go on, and ends it.
fail() { say "error: $*"; exit 1; }

# with_progress WHAT COMMAND...: runs a command that takes long and says every 15 seconds that it is at work. Shows its last
# words when it fails.
with_progress() {
    local what=$1 log child started=$SECONDS said=$SECONDS
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        if [ $((SECONDS - said)) -ge 15 ]; then
            said=$SECONDS
            say "$what: at work, $((SECONDS - started)) s so far"
        fi
        sleep 0.2
    done
    if ! wait "$child"; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "$what can't be had; its last words are above"
    fi
    rm -f "$log"
    say "$what: ready after $((SECONDS - started)) s"
}

# Where the executables of the control plane are kept as well; what is in it can be deleted at any time.
cache=${NODEPOOL_TESTBED_CACHE:-${XDG_CACHE_HOME:-${HOME:?no cache folder is known: set NODEPOOL_TESTBED_CACHE to one}/.cache}/nodepool-operator}

# packages TARGET EDGES: the names and versions of what cargo builds into the operator for a target, sorted.
packages() {
    "${CARGO:-cargo}" tree --locked --package nodepool-operator --edges "$2" --target "$1" --prefix none --no-dedupe |
        sed 's/^\([^ ]*\) v\([^ ]*\).*/\1@\2/' | sort -u
}

# The operator's version.
version_of_operator() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml; }

# has_python: whether there is a Python that can have environments of its own.
has_python() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# python_with REQUIREMENTS: prints the path of a Python that has these packages, which are installed once per machine.
python_with() {
    local key environment made
    key=$( (python3 -c 'import sys; print(sys.version, sys.prefix)'; cat "$1") | sha256sum | cut -c1-16)
    environment=$cache/$(basename "$(dirname "$1")")-$key
    if [ ! -x "$environment/bin/python" ]; then
        mkdir -p "$cache"
        made=$(mktemp -d "$environment.XXXXXX")
        python3 -m venv "$made" && with_progress "$(basename "$environment")" \
            "$made/bin/python" -m pip install --no-deps --disable-pip-version-check --progress-bar off -r "$1"
        # What a Python that went away left behind does not start.
        [ -x "$environment/bin/python" ] || rm -rf "$environment"
        # Whoever is first wins. Only bin/ is used of it, which finds its packages wherever the folder is.
        mv -T "$made" "$environment" 2>/dev/null || rm -rf "$made"
    fi
    printf '%s\n' "$environment/bin/python"
}
