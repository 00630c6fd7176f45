#!/usr/bin/env bash
# Runs a command while an emulator is up, and ends the emulator however the command ends.
#
#   with-emulator.sh [--sign-in] [FLAGS OF THE EMULATOR] -- COMMAND [ARGUMENTS]
#
# The command finds ENDPOINT in its environment. If ENDPOINT is set already, the command runs against what is there.
# With --sign-in the emulator serves HTTPS and wants access tokens, and the command finds CA, TENANT, CLIENT_ID and
# CLIENT_SECRET as well.
# TIME_SCALE says how many times as fast as the service operations run, LIMIT after how many seconds the command hangs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

sign_in=''
if [ "${1:-}" = --sign-in ]; then
    sign_in=yes
    shift
fi
flags=(--no-nodes --listen 127.0.0.1:0 --time-scale "${TIME_SCALE:-200}" --cluster "$here/cluster.yaml")
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    flags+=("$1")
    shift
done
[ $# -ge 2 ] || { echo "usage: $0 [FLAGS OF THE EMULATOR] -- COMMAND [ARGUMENTS]" >&2; exit 2; }
shift

if [ -n "${ENDPOINT:-}" ]; then
    exec "$@"
fi

emulator='' command=''
folder=$(mktemp -d)
clean() {
    trap - EXIT INT TERM HUP
    for child in $command $emulator; do
        kill "$child" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ -n "$sign_in" ]; then
    flags+=(--tls-folder "$folder/tls" --authentication required)
    export CA=$folder/tls/ca.crt TENANT=22222222-3333-4444-5555-666666666666
    export CLIENT_ID=33333333-4444-5555-6666-777777777777 CLIENT_SECRET=local-secret
fi
cd "$here/.."
"${CARGO:-cargo}" build --quiet --locked -p aks-emulator
target=${CARGO_TARGET_DIR:-$here/../target}
# There to be read before the emulator has begun to write it.
: >"$folder/said"
"$target/debug/aks-emulator" "${flags[@]}" >>"$folder/said" 2>"$folder/log" &
emulator=$!

# It says where it listens once it does; until then there is nothing to ask.
for _ in $(seq 200); do
    ENDPOINT=$(sed -n 's/^endpoint: //p' "$folder/said")
    [ -z "$ENDPOINT" ] || break
    kill -0 "$emulator" 2>/dev/null || break
    sleep 0.05
done
if [ -z "$ENDPOINT" ]; then
    echo "the emulator did not say where it listens:" >&2
    cat "$folder/log" >&2
    exit 1
fi
export ENDPOINT=${ENDPOINT%/}

cd "$OLDPWD"
# In the background, so that a signal ends the wait and then both. No client takes as long unless it hangs.
timeout "${LIMIT:-300}" "$@" <&0 &
command=$!
status=0
wait "$command" || status=$?
command=''
[ "$status" = 0 ] || grep -E 'WARN|ERROR' "$folder/log" >&2 || true
exit "$status"
