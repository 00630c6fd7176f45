#!/usr/bin/env bash
# Prometheus's own promtool reads the alerts, and sees when they fire and when they do not.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

need_go
promtool=$cache/promtool-$(cat go.mod go.sum | sha256sum | cut -c1-16)
if [ ! -x "$promtool" ]; then
    echo "building promtool in $promtool, which takes some minutes the first time"
    mkdir -p "$cache"
    made=$(mktemp "$promtool.XXXXXX")
    trap 'rm -f "$made"' EXIT
    # Without service discovery, which rules have no use for and which is most of the code.
    fetch "promtool" env CGO_ENABLED=0 go build -trimpath -tags remove_all_sd -ldflags "-s -w" -o "$made" \
        github.com/prometheus/prometheus/cmd/promtool
    # Whoever is first wins.
    mv "$made" "$promtool"
    trap - EXIT
fi
"$promtool" check rules --lint=all --lint-fatal ../../charts/nodepool-operator/files/alerts.yaml
"$promtool" test rules ../../tests/alerts/alerts.yaml
