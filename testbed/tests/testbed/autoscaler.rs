//! The emulator's cluster autoscaler moves pools between their bounds for real pods.

use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::ensure;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use testbed::audit::Cause;
use testbed::cluster::{count_by_node, is_running, taints};
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

const DEADLINE: Duration = Duration::from_mins(1);

type Deployments = Api<k8s_openapi::api::apps::v1::Deployment>;

async fn bed(lanes: &Lanes) -> anyhow::Result<Testbed> {
    Testbed::builder(lanes.lease().await?)
        .kube_system(KubeSystem::None)
        .pool(PoolSpec::system("system", 1).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 1).autoscaling(1, 3).taint("team=apps:NoSchedule"))
        .emulator(|settings| settings.time_scale = 600.0)
        .start()
        .await
}

/// Pods that ask for this much of a CPU each, tolerate the pool's taint and would rather be apart.
async fn deploy(client: &Client, replicas: u32, cpu: &str) -> anyhow::Result<()> {
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}},
                        },
                    }]}},
                    "tolerations": [{"key": "team", "value": "apps", "effect": "NoSchedule"}],
                    "containers": [{"name": "web", "image": "web", "resources": {"requests": {"cpu": cpu}}}],
                },
            },
        },
    });
    testbed::manifests::apply(client, &manifest.to_string()).await
}

fn count(bed: &Testbed) -> Value {
    bed.emulator.pool("apps").map(|pool| pool["properties"]["count"].clone()).unwrap_or_default()
}

async fn wait_for_count(bed: &Testbed, wanted: usize) -> anyhow::Result<()> {
    wait_for(&format!("the autoscaler to bring apps to {wanted}"), DEADLINE, async || {
        let nodes = bed.cluster.nodes_of("apps").await?.len();
        let done = count(bed) == json!(wanted) && nodes == wanted;
        Ok(if done { Ok(()) } else { Err(format!("count {}, {nodes} nodes", count(bed))) })
    })
    .await
}

async fn running(bed: &Testbed) -> anyhow::Result<usize> {
    Ok(bed.cluster.pods("default").await?.iter().filter(|pod| is_running(pod)).count())
}

pub async fn the_autoscaler_moves_a_pool_between_its_bounds(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes).await?;
    let client = bed.cluster.client();
    // A fourth pod finds no place: the pool ends at its maximum.
    deploy(&client, 4, "3").await?;
    wait_for_count(&bed, 3).await?;
    bed.cluster.wait_for_ready_nodes("apps", 3).await?;
    wait_for("three pods to run", DEADLINE, async || {
        let running = running(&bed).await?;
        Ok(if running == 3 { Ok(()) } else { Err(format!("{running} run")) })
    })
    .await?;
    let pool = bed.emulator.pool("apps").unwrap_or_default();
    ensure!(pool["properties"]["provisioningState"] == "Succeeded", "no operation moved it: {pool}");

    let apps: Deployments = Api::namespaced(client, "default");
    apps.delete("web", &DeleteParams::default()).await?;
    wait_for_count(&bed, 1).await?;
    ensure!(bed.cluster.nodes_of("system").await?.len() == 1, "other pools stay as they are");
    Ok(())
}

pub async fn the_autoscaler_respects_what_keeps_a_node(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes).await?;
    deploy(&bed.cluster.client(), 2, "3").await?;
    wait_for_count(&bed, 2).await?;
    bed.cluster.wait_for_ready_nodes("apps", 2).await?;
    let nodes = bed.cluster.nodes_of("apps").await?;
    let kept = nodes.first().map(ResourceExt::name_any).unwrap_or_default();
    let annotation = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
    let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation: "true"}}}));
    bed.cluster.nodes_api().patch(&kept, &PatchParams::default(), &patch).await?;

    let apps: Deployments = Api::namespaced(bed.cluster.client(), "default");
    apps.delete("web", &DeleteParams::default()).await?;
    wait_for_count(&bed, 1).await?;
    let left = bed.cluster.nodes_of("apps").await?;
    ensure!(left.first().map(ResourceExt::name_any) == Some(kept), "the annotated node stayed");
    Ok(())
}

pub async fn the_autoscaler_asks_budgets(lanes: Lanes) -> anyhow::Result<()> {
    let bed = Testbed::builder(lanes.lease().await?)
        .kube_system(KubeSystem::None)
        .pool(PoolSpec::system("system", 1).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 2).autoscaling(2, 3).taint("team=apps:NoSchedule"))
        .emulator(|settings| {
            settings.time_scale = 600.0;
            settings.drain_timeout = Some(Duration::from_secs(1));
        })
        .start()
        .await?;
    let client = bed.cluster.client();
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    });
    testbed::manifests::apply(&client, &budget.to_string()).await?;
    wait_for("both nodes to be open", DEADLINE, async || {
        let nodes = bed.cluster.nodes_of("apps").await?;
        let open = nodes.iter().filter(|node| taints(node).len() == 1).count();
        Ok(if open == 2 { Ok(()) } else { Err(format!("{open} are")) })
    })
    .await?;
    // One on each of the two nodes, and both could be on one.
    deploy(&client, 2, "1500m").await?;
    wait_for("a pod on each node", DEADLINE, async || {
        let pods = bed.cluster.pods("default").await?;
        let nodes = count_by_node(&pods).len();
        Ok(if nodes == 2 && pods.iter().all(is_running) { Ok(()) } else { Err(format!("on {nodes} nodes")) })
    })
    .await?;
    bed.emulator.edit(|cluster| cluster.pool_mut("apps").map(|pool| pool.set("minCount", 1)));
    wait_for("a node to be cordoned", DEADLINE, async || {
        let cordoned = is_cordoned(&bed).await?;
        Ok(if cordoned { Ok(()) } else { Err("none is") })
    })
    .await?;
    wait_for("the node to be opened again", DEADLINE, async || {
        Ok(if is_cordoned(&bed).await? { Err("it is cordoned") } else { Ok(()) })
    })
    .await?;
    ensure!(count(&bed) == 2 && bed.audit.departures()?.is_empty(), "the budget held nothing");

    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client, "default");
    budgets.delete("web", &DeleteParams::default()).await?;
    wait_for_count(&bed, 1).await?;
    wait_for("both pods to run on one node", DEADLINE, async || {
        let running = running(&bed).await?;
        Ok(if running == 2 { Ok(()) } else { Err(format!("{running} run")) })
    })
    .await?;
    let departures = bed.audit.departures()?;
    ensure!(departures.iter().all(|left| left.cause == Cause::Evicted), "{departures:?}");
    Ok(())
}

async fn is_cordoned(bed: &Testbed) -> anyhow::Result<bool> {
    let nodes = bed.cluster.nodes_of("apps").await?;
    Ok(nodes.iter().any(|node| node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true)))
}
