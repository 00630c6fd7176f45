#!/usr/bin/env bash
# The Rust crate azure_mgmt_containerservice against the emulator.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

cargo=${CARGO:-cargo}
key=$( ("$cargo" --version; cat Cargo.lock) | sha256sum | cut -c1-16)
export CARGO_TARGET_DIR=$cache/interop-rust-$key
[ -d "$CARGO_TARGET_DIR" ] || echo "building azure_mgmt_containerservice in $CARGO_TARGET_DIR, about a minute"
mkdir -p "$cache"
fetch "the Rust crate" "$cargo" fetch --quiet --locked
"$cargo" build --quiet --locked --offline
client=$CARGO_TARGET_DIR/debug/interop
unset CARGO_TARGET_DIR
if [ -z "${ENDPOINT:-}" ]; then
    ../with-emulator.sh --sign-in -- "$client" retired
fi
exec ../with-emulator.sh --sign-in --api-version-also 2023-01-02-preview -- "$client"
