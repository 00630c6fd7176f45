#!/bin/sh
# Installs what compiles and links for one architecture (amd64 or arm64), static against musl, on a Debian image with rustup.
set -eu
# shellcheck source=image/target.sh
. "$(dirname "$0")/target.sh"

export DEBIAN_FRONTEND=noninteractive
packages="ca-certificates musl-dev:$ARCHITECTURE"
if [ "$ARCHITECTURE" = "$(dpkg --print-architecture)" ]; then
  packages="$packages gcc libc6-dev"
else
  dpkg --add-architecture "$ARCHITECTURE"
  packages="$packages gcc libc6-dev gcc-$(echo "$MACHINE" | tr _ -)-linux-gnu"
fi
apt-get update --quiet=2
# shellcheck disable=SC2086 # a list of names
apt-get install --quiet=2 --yes --no-install-recommends $packages
rm -rf /var/lib/apt/lists/*

# The name by which Rust's build scripts look for it; Debian has it for the machine's own architecture only.
printf '#!/bin/sh\nexec %s-linux-gnu-gcc "$@" -specs %s\n' "$MACHINE" "/usr/lib/$MACHINE-linux-musl/musl-gcc.specs" \
  > "/usr/local/bin/$MACHINE-linux-musl-gcc"
chmod +x "/usr/local/bin/$MACHINE-linux-musl-gcc"
rustup target add "$TARGET"
