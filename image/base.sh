#!/usr/bin/env bash
# Makes a local image to build in, localhost/nodepool-operator-build:RUST, of Debian's packages and this machine's Rust: for
# machines that reach no image registry. Needs root, buildah, mmdebstrap and rustup; prints the image's name.
set -euo pipefail
cd "$(dirname "$0")/.."

rust=$(rustc --version | cut -d ' ' -f 2)
name=localhost/nodepool-operator-build:$rust
if buildah inspect --type image "$name" > /dev/null 2>&1; then
  echo "$name"
  exit
fi
echo "building $name, once for this machine (some minutes)" >&2
container=$(buildah from scratch)
trap 'buildah rm "$container" > /dev/null' EXIT
root=$(buildah mount "$container")
# The machine's own list of Debian's repositories counts.
mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev bookworm "$root" >&2
sysroot=$(rustc --print sysroot)
toolchain=$root/usr/local/rustup/toolchains/$(basename "$sysroot")
mkdir -p "$toolchain" "$root/usr/local/cargo/bin"
cp -a "$sysroot/bin" "$sysroot/lib" "$toolchain"
cp "${RUSTUP_HOME:-$HOME/.rustup}/settings.toml" "$root/usr/local/rustup/"
cp "$(command -v rustup)" "$root/usr/local/cargo/bin/rustup"
for tool in cargo rustc; do ln -s rustup "$root/usr/local/cargo/bin/$tool"; done
# Whoever stands between this machine and the registries is trusted by the build as it is by the machine.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
buildah config --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo --env RUSTUP_TOOLCHAIN="$(basename "$sysroot")" \
  --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet "$container" "$name" > /dev/null
echo "$name"
