#!/usr/bin/env bash
# The Rust crate azure_mgmt_containerservice against the emulator.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

cargo=${CARGO:-cargo}
key=$( ("$cargo" --version; cat Cargo.lock) | sha256sum | cut -c1-16)
target=$cache/interop-rust-$key
[ -d "$target" ] || echo "building azure_mgmt_containerservice in $target, about a minute"
mkdir -p "$cache"
fetch "the Rust crate" "$cargo" fetch --quiet --locked
"$cargo" build --quiet --locked --offline --target-dir "$target"
client=$target/debug/interop
if [ -z "${ENDPOINT:-}" ]; then
    ../with-emulator.sh --sign-in -- "$client" retired
fi
exec ../with-emulator.sh --sign-in --api-version-also 2023-01-02-preview -- "$client"
