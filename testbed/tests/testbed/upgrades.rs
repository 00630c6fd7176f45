//! Upgrades roll through real nodes: budgets are asked, drains that fail leave what AKS leaves, and any write or
//! restart goes on with them.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{ClusterSpec, Emulator, ForeignRequest, KubernetesNodes, PoolSpec, Settings};
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::audit::Cause;
use testbed::bed::EMULATOR_USER;
use testbed::cluster::{is_running, node_of, taints};
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

const DEADLINE: Duration = Duration::from_mins(1);
const QUARANTINE: &str = "kubernetes.azure.com/upgrade-status";

/// A pool of two nodes that could be upgraded, with pods of a Deployment on it and what their budget says.
async fn old_pool(
    lanes: &Lanes,
    replicas: u32,
    budget: &Value,
    change: impl FnOnce(&mut Settings),
) -> anyhow::Result<Testbed> {
    let bed = Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 1).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 2).versions("1.32", "1.32.9"))
        .kube_system(KubeSystem::None)
        .emulator(change)
        .start()
        .await?;
    let labels = json!({"app": "web"});
    let spread = json!([{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }]);
    let container = json!([{"name": "web", "image": "web"}]);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0, "topologySpreadConstraints": spread, "containers": container},
        }},
    });
    let mut spec = json!({"selector": {"matchLabels": labels}});
    spec.as_object_mut().context("a spec")?.extend(budget.as_object().context("a budget")?.clone());
    let budget =
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": spec});
    for object in [deployment, budget] {
        testbed::manifests::apply(&bed.cluster.client(), &object.to_string()).await?;
    }
    let wanted = usize::try_from(replicas)?;
    wait_for("the pods and their budget", DEADLINE, async || {
        let running = running(&bed).await?.len();
        let status = budgets(&bed).get("web").await?.status;
        let counted = status.is_some_and(|status| usize::try_from(status.current_healthy).is_ok_and(|n| n == wanted));
        Ok(if running == wanted && counted { Ok(()) } else { Err(format!("{running} run")) })
    })
    .await?;
    Ok(bed)
}

fn budgets(bed: &Testbed) -> Api<PodDisruptionBudget> {
    Api::namespaced(bed.cluster.client(), "default")
}

async fn running(bed: &Testbed) -> anyhow::Result<Vec<Pod>> {
    Ok(bed.cluster.pods("default").await?.into_iter().filter(is_running).collect())
}

async fn put(emulator: &Emulator, properties: &Value) -> anyhow::Result<String> {
    let target = format!("{}/agentPools/apps?api-version=2025-10-01", emulator.cluster_id());
    let request = ForeignRequest::new("PUT", &target, Some(json!({"properties": properties})));
    let exchange = emulator.as_someone_else(&request).await.context("it is a request")?;
    ensure!(exchange.status == Some(200), "{:?}", exchange.response);
    state(emulator)
}

fn property(emulator: &Emulator, name: &str) -> anyhow::Result<Value> {
    Ok(emulator.pool("apps").context("the pool is there")?["properties"][name].clone())
}

fn state(emulator: &Emulator) -> anyhow::Result<String> {
    Ok(property(emulator, "provisioningState")?.as_str().unwrap_or_default().to_owned())
}

/// Waits until the pool's operation has ended in a state.
async fn ended(emulator: &Emulator, wanted: &str) -> anyhow::Result<()> {
    wait_for(&format!("the pool to be {wanted}"), DEADLINE, async || {
        let state = state(emulator)?;
        ensure!(state == wanted || !matches!(state.as_str(), "Succeeded" | "Failed" | "Canceled"), "it is {state}");
        Ok(if state == wanted { Ok(()) } else { Err(state) })
    })
    .await
}

fn version(node: &Node) -> String {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    info.map(|info| info.kubelet_version.clone()).unwrap_or_default()
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true)
}

async fn names(bed: &Testbed) -> anyhow::Result<Vec<String>> {
    Ok(bed.cluster.nodes_of("apps").await?.iter().map(ResourceExt::name_any).collect())
}

/// The pool is as it was, but for its version.
async fn is_upgraded(bed: &Testbed, before: &[String]) -> anyhow::Result<()> {
    let nodes = bed.cluster.wait_for_ready_nodes("apps", before.len()).await?;
    let after: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
    ensure!(after == before, "{before:?} became {after:?}");
    for node in &nodes {
        ensure!(version(node) == "v1.33.5" && !is_cordoned(node), "{} is {}", node.name_any(), version(node));
        ensure!(!node.labels().contains_key(QUARANTINE), "{} is quarantined", node.name_any());
    }
    Ok(())
}

pub async fn an_upgrade_asks_budgets(lanes: Lanes) -> anyhow::Result<()> {
    let bed = old_pool(&lanes, 3, &json!({"maxUnavailable": 1}), |_| {}).await?;
    let before = names(&bed).await?;
    let by_hand = json!({"metadata": {"labels": {"by-hand": "1"}}});
    bed.cluster.nodes_api().patch(&before[0], &PatchParams::default(), &Patch::Merge(by_hand)).await?;
    bed.cluster.taint(&before[1], "by-hand=1:PreferNoSchedule").await?;
    ensure!(put(&bed.emulator, &json!({"orchestratorVersion": "1.33"})).await? == "Upgrading");
    ended(&bed.emulator, "Succeeded").await?;
    is_upgraded(&bed, &before).await?;
    for node in bed.cluster.nodes_of("apps").await? {
        ensure!(!node.labels().contains_key("by-hand"), "hand-made labels are lost");
        ensure!(taints(&node).iter().all(|taint| taint.key != "by-hand"), "hand-made taints are lost");
    }
    let departures = bed.audit.departures()?;
    ensure!(departures.len() >= 3, "every pod had to move: {departures:?}");
    for left in &departures {
        ensure!(left.cause == Cause::Evicted && left.user == EMULATOR_USER, "{left:?}");
    }
    wait_for("the pods to run again", DEADLINE, async || {
        let running = running(&bed).await?.len();
        Ok(if running == 3 { Ok(()) } else { Err(running) })
    })
    .await
}

pub async fn a_drain_that_fails_leaves_two_versions_until_a_write(lanes: Lanes) -> anyhow::Result<()> {
    let short = |settings: &mut Settings| settings.drain_timeout = Some(Duration::from_secs(2));
    let bed = old_pool(&lanes, 1, &json!({"maxUnavailable": 0}), short).await?;
    let before = names(&bed).await?;
    let pod = running(&bed).await?.pop().context("a pod runs")?;
    let blocked = node_of(&pod).context("it has a node")?.to_owned();
    put(&bed.emulator, &json!({"orchestratorVersion": "1.33"})).await?;
    ended(&bed.emulator, "Failed").await?;
    let error = property(&bed.emulator, "status")?["provisioningError"].clone();
    ensure!(error["code"] == "PodDrainFailure", "{error}");
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(message.contains(&blocked) && message.contains(&pod.name_any()) && message.contains("30m0s"), "{message}");
    let nodes = bed.cluster.nodes_of("apps").await?;
    ensure!(nodes.len() == 2, "the surge node is gone");
    for node in &nodes {
        ensure!(!is_cordoned(node), "{} is schedulable", node.name_any());
    }
    let at = nodes.iter().find(|node| node.name_any() == blocked).context("the node is there")?;
    ensure!(version(at) == "v1.32.9", "{blocked} has {}", version(at));
    ensure!(bed.audit.departures()?.is_empty(), "the budget held");

    budgets(&bed).delete("web", &DeleteParams::default()).await?;
    ensure!(put(&bed.emulator, &json!({"nodeLabels": {"tier": "web"}})).await? == "Updating");
    ended(&bed.emulator, "Succeeded").await?;
    is_upgraded(&bed, &before).await?;
    ensure!(property(&bed.emulator, "currentOrchestratorVersion")? == "1.33.5");
    Ok(())
}

pub async fn a_quarantined_node_waits_for_its_release(lanes: Lanes) -> anyhow::Result<()> {
    let short = |settings: &mut Settings| settings.drain_timeout = Some(Duration::from_secs(2));
    let bed = old_pool(&lanes, 1, &json!({"maxUnavailable": 0}), short).await?;
    let before = names(&bed).await?;
    let pod = running(&bed).await?.pop().context("a pod runs")?;
    let blocked = node_of(&pod).context("it has a node")?.to_owned();
    let settings = json!({"maxSurge": "1", "undrainableNodeBehavior": "Cordon"});
    put(&bed.emulator, &json!({"orchestratorVersion": "1.33", "upgradeSettings": settings})).await?;
    ended(&bed.emulator, "Failed").await?;
    let nodes = bed.cluster.nodes_of("apps").await?;
    ensure!(nodes.len() == 3, "a surge node stands in");
    for node in &nodes {
        let quarantined = node.labels().get(QUARANTINE).is_some_and(|status| status == "Quarantined");
        let is_blocked = node.name_any() == blocked;
        ensure!(quarantined == is_blocked && is_cordoned(node) == is_blocked, "{}", node.name_any());
        ensure!(version(node) == if is_blocked { "v1.32.9" } else { "v1.33.5" }, "{}", version(node));
    }
    ensure!(running(&bed).await?.len() == 1, "the pod was not touched");

    put(&bed.emulator, &json!({})).await?;
    ended(&bed.emulator, "Succeeded").await?;
    ensure!(names(&bed).await?.len() == 3, "nobody released it");

    budgets(&bed).delete("web", &DeleteParams::default()).await?;
    let release = json!({"metadata": {"labels": {QUARANTINE: null}}});
    bed.cluster.nodes_api().patch(&blocked, &PatchParams::default(), &Patch::Merge(release)).await?;
    put(&bed.emulator, &json!({})).await?;
    ended(&bed.emulator, "Succeeded").await?;
    is_upgraded(&bed, &before).await
}

pub async fn an_upgrade_goes_on_after_a_restart(lanes: Lanes) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("state.json");
    let bed = old_pool(&lanes, 1, &json!({"maxUnavailable": 0}), |settings| {
        settings.state_file = Some(file.clone());
        settings.drain_timeout = Some(Duration::from_mins(2));
    })
    .await?;
    let before = names(&bed).await?;
    put(&bed.emulator, &json!({"orchestratorVersion": "1.33", "upgradeSettings": {"maxSurge": "2"}})).await?;
    wait_for("both nodes to be cordoned", DEADLINE, async || {
        let cordoned = bed.cluster.nodes_of("apps").await?.iter().filter(|node| is_cordoned(node)).count();
        Ok(if cordoned == 2 { Ok(()) } else { Err(cordoned) })
    })
    .await?;
    bed.emulator.stop().await;
    let there = names(&bed).await?;
    ensure!(there.len() == 4, "two surge nodes are there: {there:?}");

    let settings = Settings {
        state_file: Some(file.clone()),
        drain_timeout: Some(Duration::from_mins(2)),
        ..Settings::with_time_scale(200.0)
    };
    let nodes = KubernetesNodes::new(bed.control_plane().client_of(EMULATOR_USER)?);
    let ignored = ClusterSpec::with_pools([PoolSpec::system("other", 1)]);
    let emulator = Emulator::start(settings, ignored, Arc::new(nodes)).await?;
    ensure!(state(&emulator)? == "Upgrading");
    budgets(&bed).delete("web", &DeleteParams::default()).await?;
    ended(&emulator, "Succeeded").await?;
    is_upgraded(&bed, &before).await?;
    let created = bed.audit.writes_by(EMULATOR_USER)?;
    let created: Vec<_> = created.iter().filter(|write| write.resource == "nodes" && write.verb == "create").collect();
    ensure!(created.len() == 3 + 2 + 2, "three at the start, two of surge, two reimaged: {}", created.len());
    emulator.stop().await;
    Ok(())
}
