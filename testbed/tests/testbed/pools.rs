//! Stopping, deleting and changing pools in place, as nodes and pods on the API server take it.

use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::ensure;
use kube::ResourceExt;
use reqwest::Method;
use serde_json::{Value, json};
use testbed::cluster::{is_running, taints};
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

use crate::arm;

const DEADLINE: Duration = Duration::from_mins(2);

async fn bed(lanes: &Lanes, delete_drains: bool) -> anyhow::Result<Testbed> {
    let bed = Testbed::builder(lanes.lease().await?)
        .kube_system(KubeSystem::None)
        .pool(PoolSpec::system("system", 1).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 2).taint("team=apps:NoSchedule"))
        .emulator(|settings| {
            settings.drain_timeout = Some(Duration::from_secs(2));
            settings.switches.delete_drains = delete_drains;
        })
        .start()
        .await?;
    // Two pods that only pool apps takes, and a budget that lets none go.
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "tolerations": [{"key": "team", "operator": "Exists"}],
                    "containers": [{"name": "web", "image": "web"}],
                },
            },
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    });
    for object in [manifest, budget] {
        testbed::manifests::apply(&bed.cluster.client(), &object.to_string()).await?;
    }
    wait_for("the pods to run", DEADLINE, async || {
        let running = bed.cluster.pods("default").await?.iter().filter(|pod| is_running(pod)).count();
        Ok(if running == 2 { Ok(()) } else { Err(format!("{running} run")) })
    })
    .await?;
    Ok(bed)
}

async fn delete(bed: &Testbed, query: &str) -> anyhow::Result<()> {
    arm::begin_with(&bed.emulator, Method::DELETE, "apps", query, &Value::Null).await?;
    bed.emulator.idle().await;
    Ok(())
}

/// Whether the pool went with its nodes, and no pod was asked to leave through the eviction API.
async fn went_without_eviction(bed: &Testbed) -> anyhow::Result<()> {
    ensure!(bed.emulator.pool("apps").is_none(), "the pool is still there");
    ensure!(bed.cluster.nodes_of("apps").await?.is_empty(), "a node is still there");
    let pods = bed.cluster.pods("default").await?;
    ensure!(!pods.iter().any(is_running), "a pod outlived its node");
    let departures = bed.audit.departures()?;
    ensure!(departures.is_empty(), "budgets were asked: {departures:?}");
    Ok(())
}

pub async fn a_budget_stops_a_delete_that_drains(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes, true).await?;
    delete(&bed, "").await?;
    let pool = bed.emulator.pool("apps").unwrap_or_default();
    let error = &pool["properties"]["status"]["provisioningError"];
    ensure!(pool["properties"]["provisioningState"] == "Failed" && error["code"] == "PodDrainFailure", "{pool}");
    ensure!(bed.cluster.nodes_of("apps").await?.len() == 2, "no node is deleted while one can't be drained");
    ensure!(bed.audit.departures()?.is_empty(), "{:?}", bed.audit.departures()?);

    delete(&bed, "&ignore-pod-disruption-budget=true").await?;
    went_without_eviction(&bed).await
}

pub async fn a_delete_without_drain_asks_no_budget(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes, false).await?;
    delete(&bed, "").await?;
    went_without_eviction(&bed).await
}

pub async fn a_pool_stops_and_starts_with_its_nodes(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes, true).await?;
    let pool = arm::put(&bed.emulator, "apps", &json!({"powerState": {"code": "Stopped"}})).await?;
    ensure!(pool["properties"]["count"] == 0, "{pool}");
    ensure!(bed.cluster.nodes_of("apps").await?.is_empty(), "nodes of a stopped pool are left");
    wait_for("the pods to wait", DEADLINE, async || {
        let pods = bed.cluster.pods("default").await?;
        Ok(if pods.iter().any(is_running) { Err("a pod runs") } else { Ok(()) })
    })
    .await?;
    let pool = arm::put(&bed.emulator, "apps", &json!({"powerState": {"code": "Running"}, "count": 0})).await?;
    ensure!(pool["properties"]["count"] == 2, "{pool}");
    bed.cluster.wait_for_ready_nodes("apps", 2).await.map(drop)
}

pub async fn labels_taints_and_mode_change_in_place(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes, true).await?;
    let before: Vec<_> = bed.cluster.nodes_of("apps").await?.iter().map(ResourceExt::uid).collect();
    let labels = json!({"nodeLabels": {"tier": "web"}, "nodeTaints": ["team=other:NoSchedule"]});
    arm::put(&bed.emulator, "apps", &labels).await?;
    arm::put(&bed.emulator, "apps", &json!({"mode": "System", "nodeTaints": []})).await?;
    let nodes = bed.cluster.nodes_of("apps").await?;
    ensure!(nodes.iter().map(ResourceExt::uid).collect::<Vec<_>>() == before, "nodes were replaced");
    for node in nodes {
        let labels = node.labels();
        ensure!(labels.get("kubernetes.azure.com/mode").is_some_and(|mode| mode == "system"), "{labels:?}");
        ensure!(
            labels.get("tier").is_some_and(|tier| tier == "web")
                && !taints(&node).iter().any(|taint| taint.key == "team"),
            "{labels:?}"
        );
    }
    let running = bed.cluster.pods("default").await?.iter().filter(|pod| is_running(pod)).count();
    ensure!(running == 2 && bed.audit.departures()?.is_empty(), "a pod moved: {:?}", bed.audit.departures()?);
    Ok(())
}
