# What the clients' run.sh share. To be sourced.

# skip REASON...: says why a client did not run, and ends without an error.
skip() {
    echo "SKIPPED: $*"
    exit 0
}

# need_go: skips where there is no Go, or one older than this folder's go.mod asks for.
need_go() {
    command -v go >/dev/null || skip "go is not installed"
    local wanted installed
    wanted=$(sed -n 's/^go //p' go.mod)
    installed=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
    [ "$(printf '%s\n' "$wanted" "$installed" | sort -V | head -n 1)" = "$wanted" ] ||
        skip "go is $installed, the modules need $wanted"
    export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off
}

# fetch WHAT COMMAND...: runs a command that may need a package registry. Skips if the registry can't be reached and
# fails if it refuses.
fetch() {
    local what=$1 log
    shift
    log=$(mktemp)
    if "$@" 2>"$log"; then
        cat "$log" >&2
        rm -f "$log"
        return
    fi
    cat "$log" >&2
    local symptoms='could not resolve|name resolution|no such host|timed? ?out|connection (refused|reset|aborted)'
    symptoms+='|network is unreachable|failed to connect|newconnectionerror|proxyerror|dial tcp|i/o timeout|offline'
    if grep -qiE "$symptoms" "$log"; then
        rm -f "$log"
        skip "$what is not cached, and its registry can't be reached"
    fi
    rm -f "$log"
    echo "$what can't be installed" >&2
    exit 1
}

# The cache folder of the project; what is in it can be deleted at any time.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nodepool-operator
