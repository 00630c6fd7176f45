#!/usr/bin/env bash
# Builds the operator's image with docker, podman or buildah, whichever is there, and prints its name. See image/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh

version=$(version_of_operator)
image=${IMAGE:-nodepool-operator:$version}
revision=$(git rev-parse HEAD 2> /dev/null || true)
[ -z "$(git status --porcelain 2> /dev/null || true)" ] || revision=$revision-modified
arguments=(--file Dockerfile --tag "$image" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
for argument in BUILD_IMAGE RUNTIME_IMAGE; do
  [ -z "${!argument:-}" ] || arguments+=(--build-arg "$argument=${!argument}")
done
[ -z "${PLATFORM:-}" ] || arguments+=(--platform "$PLATFORM")
case "$(uname -m)" in
  aarch64 | arm64) own=linux/arm64 ;;
  *) own=linux/amd64 ;;
esac

# Whether a tool is there and can build: a client of Docker may be installed without an engine.
usable() {
  case "$1" in
    docker) docker buildx version && docker info ;;
    podman | buildah) "$1" --version ;;
    *) echo "CONTAINER_TOOL=$1: must be docker, podman or buildah" >&3 && exit 1 ;;
  esac > /dev/null 2>&1
}

for tool in ${CONTAINER_TOOL:-docker podman buildah}; do
  usable "$tool" 3>&2 || continue
  case "$tool" in
    docker) command=(docker buildx build --load) ;;
    podman) command=(podman build) ;;
    buildah)
      # Old ones do not tell the file what it is built on and for.
      platform=${PLATFORM:-$own}
      command=(buildah build --build-arg "BUILDPLATFORM=$own" --build-arg "TARGETARCH=${platform#linux/}")
      ;;
  esac
  "${command[@]}" "${arguments[@]}" . >&2
  echo "$image"
  exit
done
echo "no ${CONTAINER_TOOL:-docker with an engine, podman or buildah} is installed; install one, for example Debian's package buildah" >&2
exit 1
