#!/usr/bin/env bash
# Builds the operator's image on a base that is made here, without a registry of images, and prints its name. Needs root and
# Debian's packages buildah, mmdebstrap and runc, beside rustup; ends with 3 where they are not.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in buildah mmdebstrap runc rustup; do
  command -v "$tool" > /dev/null && continue
  echo "$tool is not installed, and the image is built and run with it here" >&2
  exit 3
done
if [ "$(id -u)" != 0 ]; then
  echo "the image is built and run by root here; user $(id -un) is not" >&2
  exit 3
fi
# Builds run in a changed root without namespaces of their own, which a machine may not have.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
BUILD_IMAGE=$(image/base.sh)
export BUILD_IMAGE
IMAGE=${IMAGE:-localhost/nodepool-operator:local} CONTAINER_TOOL=buildah image/build.sh
