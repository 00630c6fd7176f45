# Names of the architecture that the first argument of the script names as container images do: MACHINE, TARGET. Sourced.
# shellcheck shell=sh
ARCHITECTURE=${1:-}
# A builder that does not tell builds for the machine's own.
[ -n "$ARCHITECTURE" ] || ARCHITECTURE=$(dpkg --print-architecture)
case "$ARCHITECTURE" in
  amd64) MACHINE=x86_64 ;;
  arm64) MACHINE=aarch64 ;;
  *)
    echo "TARGETARCH=$ARCHITECTURE: the image is for amd64 and arm64; choose one of them by --platform" >&2
    exit 1
    ;;
esac
# shellcheck disable=SC2034 # read by the scripts that source this
TARGET=$MACHINE-unknown-linux-musl
