#!/usr/bin/env bash
# The library by which Flux judges objects, on the policies that the stories saw (NODEPOOL_SEEN names the file).
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

[ -s "${NODEPOOL_SEEN:-}" ] || skip "NODEPOOL_SEEN names no file of policies: run NODEPOOL_SEEN=FILE make test before"
need_go
fetch "kstatus" go mod download
go test -count=1 -v .
