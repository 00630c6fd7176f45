#!/usr/bin/env bash
# The official Go SDK against the emulator.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

command -v go >/dev/null || skip "go is not installed"
wanted=$(sed -n 's/^go //p' go.mod)
installed=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
[ "$(printf '%s\n' "$wanted" "$installed" | sort -V | head -n 1)" = "$wanted" ] ||
    skip "go is $installed, the SDK's modules need $wanted"

export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off
fetch "the Go SDK" go mod download
tests=$(mktemp)
trap 'rm -f "$tests"' EXIT
# As a test, because elsewhere the SDK's poller refuses to ask more often than once a second.
go test -c -o "$tests" .
../with-emulator.sh --sign-in -- "$tests" -test.failfast
