#!/bin/sh
# Compiles the operator for one architecture (amd64 or arm64) into a file: optimised, static, stripped.
set -eu
# shellcheck source=image/target.sh
. "$(dirname "$0")/target.sh"
output=$2

# Files that a builder lays anew may be older than what the cache has made of others.
find . -path ./target -prune -o -name '*.rs' -exec touch {} +
# Rust brings a linker that links for every architecture.
linker=CARGO_TARGET_$(echo "$TARGET" | tr 'a-z-' 'A-Z_')_LINKER
env "$linker=rust-lld" cargo build --release --locked --package nodepool-operator --bin nodepool-operator --target "$TARGET"
mkdir -p "$(dirname "$output")"
cp "target/$TARGET/release/nodepool-operator" "$output"
