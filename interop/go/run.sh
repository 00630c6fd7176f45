#!/usr/bin/env bash
# The official Go SDK against the emulator.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

need_go
fetch "the Go SDK" go mod download
tests=$(mktemp)
trap 'rm -f "$tests"' EXIT
# As a test, because elsewhere the SDK's poller refuses to ask more often than once a second.
go test -c -o "$tests" .
../with-emulator.sh --sign-in -- "$tests" -test.failfast
