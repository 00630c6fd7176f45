#!/usr/bin/env bash
# Signs in and drives node pools with `az`; ends at the first difference. run.sh starts it, with PYTHON and
# WORK, a folder of its own; what the emulator is and who may sign in comes from with-emulator.sh.
set -euo pipefail

export AZURE_CONFIG_DIR=$WORK/azure REQUESTS_CA_BUNDLE=$CA
export AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_ONLY_SHOW_ERRORS=true
# So that nothing of the caller's proxies and clouds is used.
unset HTTPS_PROXY https_proxy HTTP_PROXY http_proxy ALL_PROXY all_proxy

in=(--resource-group interop --cluster-name interop)

az() {
    "$PYTHON" -m azure.cli "$@"
}

ok() {
    echo "ok $*"
}

# is WHAT EXPECTED COMMAND...: the command prints this, and nothing else.
is() {
    local what=$1 expected=$2 got
    shift 2
    got=$("$@" 2>"$WORK/error") || { echo "$what: az failed:" >&2; cat "$WORK/error" >&2; exit 1; }
    # Of a list, az prints a line an element.
    got=$(printf %s "$got" | tr '\n\t' '  ')
    [ "$got" = "$expected" ] || { echo "$what: expected '$expected', got '$got'" >&2; exit 1; }
    ok "$what"
}

# does WHAT COMMAND...: the command succeeds, whatever it prints.
does() {
    local what=$1
    shift
    "$@" >/dev/null 2>"$WORK/error" || { echo "$what: az failed:" >&2; cat "$WORK/error" >&2; exit 1; }
    ok "$what"
}

# refused WHAT PART COMMAND...: the command fails, and shows this part of the service's own error.
refused() {
    local what=$1 part=$2
    shift 2
    if "$@" >"$WORK/output" 2>"$WORK/error"; then
        echo "$what: expected an error with '$part', got none" >&2
        exit 1
    fi
    grep -qF -- "$part" "$WORK/error" || { echo "$what: expected '$part', got:" >&2; cat "$WORK/error" >&2; exit 1; }
    ok "$what: $part"
}

# admin METHOD PATH [BODY]: a request to the emulator's own API; prints the answer.
admin() {
    "$PYTHON" - "$ENDPOINT/admin/$2" "$1" "${3:-}" <<'PYTHON'
import os, ssl, sys, urllib.request

url, method, body = sys.argv[1:]
request = urllib.request.Request(url, method=method, data=body.encode() or None)
trust = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), urllib.request.ProxyHandler({}))
print(opener.open(request, timeout=30).read().decode())
PYTHON
}

pool() {
    az aks nodepool "$1" "${in[@]}" --name "${@:2}"
}

login() {
    az login --service-principal --username "$CLIENT_ID" --password "$1" --tenant "$TENANT" \
        --query '[0].[tenantId, state]' --output tsv
}

# Without this it would ask the public cloud whether it knows the authority.
az config set core.instance_discovery=false
az cloud register --name emulator --endpoint-resource-manager "$ENDPOINT/"
az cloud set --name emulator
ok "the emulator is a cloud: $(az cloud show --query endpoints.resourceManager --output tsv)"

refused "sign in with a wrong secret" "AADSTS7000215" login wrong
is "sign in" "$TENANT Enabled" login "$CLIENT_SECRET"
is "subscriptions" "aks-emulator" az account list --query '[].name' --output tsv
is "an access token" "Bearer" az account get-access-token --query tokenType --output tsv
is "resource groups" "interop MC_interop_interop_westeurope" az group list --query '[].name' --output tsv
is "the provider" "Registered" az provider show --namespace Microsoft.ContainerService \
    --query registrationState --output tsv

is "list clusters" "interop" az aks list --query '[].name' --output tsv
is "show the cluster" "Succeeded 1.33.5" az aks show --resource-group interop --name interop \
    --query '[provisioningState, currentKubernetesVersion]' --output tsv
is "versions of the region" "true" az aks get-versions --location westeurope \
    --query "contains(values[].version, '1.33')" --output tsv
is "upgrades of the cluster" "1.33.5" az aks get-upgrades --resource-group interop --name interop \
    --query controlPlaneProfile.kubernetesVersion --output tsv
is "list pools" "apps old system" az aks nodepool list "${in[@]}" --query '[].name' --output tsv
is "show a pool" "User 2 web" pool show apps --query '[mode, count, nodeLabels.tier]' --output tsv

is "add a pool" "Succeeded 2 blue team=a:NoSchedule" pool add burst --node-count 2 --labels color=blue \
    --node-taints team=a:NoSchedule --query '[provisioningState, count, nodeLabels.color, nodeTaints[0]]' --output tsv
is "scale it" "3" pool scale burst --node-count 3 --query count --output tsv
is "its labels and taints" "green team=b:NoExecute" pool update burst --labels color=green \
    --node-taints team=b:NoExecute --query '[nodeLabels.color, nodeTaints[0]]' --output tsv
is "without labels and taints" "None None" pool update burst --labels '' --node-taints '' \
    --query '[nodeLabels, nodeTaints]' --output tsv
is "with an autoscaler" "true 1 5" pool update burst --enable-cluster-autoscaler --min-count 1 --max-count 5 \
    --query '[enableAutoScaling, minCount, maxCount]' --output tsv
is "without one" "false" pool update burst --disable-cluster-autoscaler --query enableAutoScaling --output tsv
is "its machines" "3" az aks machine list "${in[@]}" --nodepool-name burst --query 'length(@)' --output tsv
does "stop it" az aks nodepool stop "${in[@]}" --nodepool-name burst
is "stopped" "Stopped" pool show burst --query powerState.code --output tsv
does "start it" az aks nodepool start "${in[@]}" --nodepool-name burst
is "started" "Running 3" pool show burst --query '[powerState.code, count]' --output tsv
machine=$(az aks machine list "${in[@]}" --nodepool-name burst --query '[0].name' --output tsv)
does "delete one of its machines" az aks nodepool delete-machines "${in[@]}" --nodepool-name burst \
    --machine-names "$machine"
is "one machine fewer" "2" pool show burst --query count --output tsv

is "upgrades of an old pool" "1.33.5" az aks nodepool get-upgrades "${in[@]}" --nodepool-name old \
    --query 'upgrades[-1].kubernetesVersion' --output tsv
is "upgrade it" "Succeeded 1.33.5" pool upgrade old --kubernetes-version 1.33.5 --yes \
    --query '[provisioningState, currentOrchestratorVersion]' --output tsv
does "a new node image" pool upgrade apps --node-image-only
is "it runs on" "Succeeded" pool show apps --query provisioningState --output tsv

rule=$(admin POST operation-holds '{"pool": "burst"}' | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["id"])')
does "begin to scale" pool scale burst --node-count 5 --no-wait
refused "scale it twice at once" "(OperationNotAllowed)" pool scale burst --node-count 1
# The abort is an operation too, and held as well.
does "abort" az aks nodepool operation-abort "${in[@]}" --nodepool-name burst --no-wait
admin DELETE "rules/$rule" >/dev/null
does "the end of the abort" pool wait burst --custom "provisioningState=='Canceled'" --interval 1 --timeout 60
is "aborted" "Canceled" pool show burst --query provisioningState --output tsv

refused "no node for the system" "(InvalidParameter) agentPoolProfile.count was 0" pool scale system --node-count 0
refused "a taint on system nodes" "(SystemPoolHasRestrictedTaint)" pool update system --node-taints a=b:NoSchedule
refused "no system pool" "(OperationNotAllowed)" pool delete system

does "delete a pool" pool delete burst
refused "a pool that is gone" "(NotFound) Could not find the agentpool: burst" pool show burst
does "stop the cluster" az aks stop --resource-group interop --name interop
is "stopped cluster" "Stopped" az aks show --resource-group interop --name interop \
    --query powerState.code --output tsv
does "start the cluster" az aks start --resource-group interop --name interop
is "what is left" "apps old system" az aks nodepool list "${in[@]}" --query '[].name' --output tsv
does "sign out" az logout
refused "nothing without signing in" "az login" az aks list
