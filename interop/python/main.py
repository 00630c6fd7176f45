"""Drives node pools with the official Python SDK, its pollers and its error types; ends at the first difference."""

import time

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.containerservice.models import (
    AgentPool,
    AgentPoolUpgradeSettings,
    ManagedClusterAgentPoolProfileProperties as Properties,
)

import admin
from connection import CLUSTER, GROUP, SUBSCRIPTION, connect

client = connect()
pools = client.agent_pools
AT = (GROUP, CLUSTER)
STEPS = []


def step(name):
    """Marks a step, to be run in the order of the file."""

    def mark(function):
        STEPS.append((name, function))
        return function

    return mark


def same(what, expected, got):
    if expected != got:
        raise SystemExit(f"{what}: expected {expected!r}, got {got!r}")


def refused(kind, status, code, part, call):
    """Calls what must fail, with the SDK's own error."""
    try:
        call()
    except HttpResponseError as error:
        same("type of the error", kind.__name__, type(error).__name__)
        same("status", status, error.status_code)
        same("code", code, error.error.code if error.error else None)
        if part not in error.error.message:
            raise SystemExit(f"message: expected one with {part!r}, got {error.error.message!r}")
        return error
    raise SystemExit(f"expected {kind.__name__} {code}, got no error")


def change(name, **properties):
    """Begins a PUT of these properties only; the rest stays as it is."""
    return pools.begin_create_or_update(*AT, name, AgentPool(properties=Properties(**properties)))


def get(name):
    return pools.get(*AT, name).properties


@step("list clusters of the subscription and of the resource group")
def _():
    for found in (client.managed_clusters.list(), client.managed_clusters.list_by_resource_group(GROUP)):
        same("names", [CLUSTER], [cluster.name for cluster in found])
    cluster = client.managed_clusters.get(*AT)
    same("version", "1.33.5", cluster.properties.current_kubernetes_version)


@step("list pools, page after page")
def _():
    same("names", ["apps", "old", "system"], [pool.name for pool in pools.list(*AT)])


@step("create pool blue and wait with the SDK's poller")
def _():
    since = admin.last()
    with admin.rule("operation-holds", pool="blue"):
        poller = change("blue", count=2, mode="User", vm_size="Standard_D4s_v5", node_labels={"tier": "blue"})
        same("state while it is created", "Creating", get("blue").provisioning_state)
    pool = poller.result()
    same("state", "Succeeded", pool.properties.provisioning_state)
    polls = [one for one in admin.journal(since) if "/operations/" in one["path"]]
    states = {one["response"]["status"] for one in polls}
    same("states seen by the poller", True, "Succeeded" in states and len(states) > 1)


@step("get pool blue, with the service's defaults")
def _():
    pool = pools.get(*AT, "blue")
    same("type", "Microsoft.ContainerService/managedClusters/agentPools", pool.type)
    same("count", 2, pool.properties.count)
    same("labels", {"tier": "blue"}, pool.properties.node_labels)
    same("osSKU", "Ubuntu", pool.properties.os_sku)
    same("scaleDownMode", "Delete", pool.properties.scale_down_mode)
    same("power", "Running", pool.properties.power_state.code)


@step("update labels, taints and upgrade settings of pool blue by read, change, write")
def _():
    pool = pools.get(*AT, "blue")
    pool.properties.node_labels = {"tier": "blue", "stage": "test"}
    pool.properties.node_taints = ["team=blue:NoSchedule"]
    pool.properties.upgrade_settings = AgentPoolUpgradeSettings(max_surge="33%")
    # Since 2026-04-01 writing an image asks for a rollback to it.
    pool.properties.node_image_version = None
    written = pools.begin_create_or_update(*AT, "blue", pool).result().properties
    same("labels", {"tier": "blue", "stage": "test"}, written.node_labels)
    same("taints", ["team=blue:NoSchedule"], written.node_taints)
    same("maxSurge", "33%", written.upgrade_settings.max_surge)
    same("count", 2, written.count)


@step("clear the taints of pool blue, the rest stays")
def _():
    written = change("blue", node_taints=[]).result().properties
    same("taints", [], written.node_taints or [])
    same("labels", {"tier": "blue", "stage": "test"}, written.node_labels)


@step("scale pool blue out and in")
def _():
    for count in (4, 1):
        with admin.rule("operation-holds", pool="blue"):
            poller = change("blue", count=count)
            same("state meanwhile", "Scaling", get("blue").provisioning_state)
        same("count", count, poller.result().properties.count)


@step("poll on through a 502 of the gateway")
def _():
    body = {"error": {"code": "BadGatewayConnection", "message": "The network connectivity issue encountered."}}
    answer = {"answer": {"status": 502, "headers": {"x-ms-failure-cause": "gateway"}, "body": body}}
    with admin.rule("faults", method="GET", pathContains="/operations/", times=1, action=answer) as stands:
        same("state", "Succeeded", change("blue", tags={"team": "blue"}).result().properties.provisioning_state)
        same("times it was met", 1, stands()["happened"])


@step("read what pool old could be upgraded to")
def _():
    profile = pools.get_upgrade_profile(*AT, "old").properties
    same("version", "1.32.9", profile.kubernetes_version)
    versions = [upgrade.kubernetes_version for upgrade in profile.upgrades]
    same("1.33.5 is offered", True, "1.33.5" in versions)
    available = pools.get_available_agent_pool_versions(*AT).properties.agent_pool_versions
    same("1.33.5 is available", True, "1.33.5" in [one.kubernetes_version for one in available])


@step("upgrade the version of pool old")
def _():
    with admin.rule("operation-holds", pool="old"):
        poller = change("old", orchestrator_version="1.33.5")
        same("state meanwhile", "Upgrading", get("old").provisioning_state)
    same("version", "1.33.5", poller.result().properties.current_orchestrator_version)


@step("upgrade the node image of pool apps")
def _():
    poller = pools.begin_upgrade_node_image_version(*AT, "apps")
    poller.result()
    same("state", "Succeeded", get("apps").provisioning_state)


@step("read a refusal of the resource provider, 400 SystemPoolHasRestrictedTaint")
def _():
    error = refused(HttpResponseError, 400, "SystemPoolHasRestrictedTaint", "Placing custom taints on system pool",
                    lambda: change("system", node_taints=["team=blue:NoSchedule"]))
    same("target", "agentPoolProfile.nodeTaints", error.error.target)


@step("read 412 PreconditionFailed where a pool was to be made and is there")
def _():
    refused(ResourceExistsError, 412, "PreconditionFailed", "",
            lambda: pools.begin_create_or_update(*AT, "apps", AgentPool(properties=Properties(count=1)),
                                                 match_condition=MatchConditions.IfMissing))


@step("read 404 of the gateway for a cluster and of the resource provider for a pool")
def _():
    refused(ResourceNotFoundError, 404, "ResourceNotFound", "managedClusters/absent",
            lambda: client.managed_clusters.get(GROUP, "absent"))
    refused(ResourceNotFoundError, 404, "NotFound", "Could not find the agentpool: absent", lambda: get("absent"))


@step("read 409 OperationNotAllowed of a busy pool, and abort what runs on it")
def _():
    with admin.rule("operation-holds", pool="blue"):
        running = change("blue", count=3)
        refused(ResourceExistsError, 409, "OperationNotAllowed", "Another agentpool operation (blue - Scaling)",
                lambda: change("blue", node_labels={}))
        aborting = pools.begin_abort_latest_operation(*AT, "blue")
        same("state meanwhile", "Canceling", get("blue").provisioning_state)
    aborting.result()
    same("state", "Canceled", get("blue").provisioning_state)
    refused(HttpResponseError, 200, "Canceled", "canceled", running.result)
    refused(ResourceExistsError, 409, "OperationNotAllowed", "",
            lambda: pools.begin_abort_latest_operation(*AT, "blue"))


@step("read the error of an operation that fails")
def _():
    with admin.rule("operation-failures", pool="blue", code="QuotaExceeded", message="no cores left", times=1):
        refused(HttpResponseError, 200, "QuotaExceeded", "no cores left", change("blue", count=5).result)
    same("state", "Failed", get("blue").provisioning_state)
    same("state after the next try", "Succeeded", change("blue", count=2).result().properties.provisioning_state)


@step("wait as long as 429 Throttled asks, and try again")
def _():
    message = f"The GetAgentPoolHandler.GET request limit has been exceeded for SubID='{SUBSCRIPTION}'"
    body = {"code": "Throttled", "details": None, "message": message, "subcode": ""}
    answer = {"answer": {"status": 429, "headers": {"Retry-After": "2"}, "body": body}}
    begun = time.monotonic()
    with admin.rule("faults", method="GET", pathEndsWith="/agentPools/apps", times=1, action=answer) as stands:
        same("state", "Succeeded", get("apps").provisioning_state)
        same("times it was met", 1, stands()["happened"])
    same("waited for 2 s", True, time.monotonic() - begun >= 2)


@step("delete pool blue, which is then absent")
def _():
    with admin.rule("operation-holds", pool="blue"):
        poller = pools.begin_delete(*AT, "blue")
        same("state meanwhile", "Deleting", get("blue").provisioning_state)
    poller.result()
    refused(ResourceNotFoundError, 404, "NotFound", "Could not find the agentpool: blue", lambda: get("blue"))
    pools.begin_delete(*AT, "blue").result()
    same("names", ["apps", "old", "system"], [pool.name for pool in pools.list(*AT)])


for name, function in STEPS:
    try:
        function()
    except BaseException:
        print(f"FAILED python: {name}", flush=True)
        raise
    print(f"ok python: {name}", flush=True)
