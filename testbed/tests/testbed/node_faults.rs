//! Nodes that never become Ready, lag, or fail, as the API server shows them.

use std::time::Duration;

use aks_emulator::{NodeTrouble, OperationFailure, PoolSpec};
use anyhow::ensure;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use reqwest::Method;
use serde_json::json;
use testbed::cluster::{is_ready, taints};
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

use crate::arm;

const DEADLINE: Duration = Duration::from_mins(2);

async fn bed(lanes: &Lanes) -> anyhow::Result<Testbed> {
    Testbed::builder(lanes.lease().await?)
        .kube_system(KubeSystem::None)
        .pool(PoolSpec::system("system", 1))
        .pool(PoolSpec::user("apps", 1))
        .emulator(|settings| settings.ready_timeout = Some(Duration::from_secs(3)))
        .start()
        .await
}

pub async fn nodes_that_never_become_ready_fail_their_operation(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes).await?;
    let fault = bed.emulator.node_fault("apps", NodeTrouble::NeverReady);
    let pool = arm::put(&bed.emulator, "apps", &json!({"count": 3})).await?;
    ensure!(pool["properties"]["provisioningState"] == "Failed", "{pool}");
    let error = &pool["properties"]["status"]["provisioningError"];
    ensure!(error["code"] == "NodesNotReady", "{error}");
    ensure!(error["message"] == "Not all nodes reached Ready state. Expected: 3, Actual: 1", "{error}");
    let nodes = bed.cluster.nodes_of("apps").await?;
    ensure!(nodes.len() == 3 && nodes.iter().filter(|node| is_ready(node)).count() == 1, "{} nodes", nodes.len());

    fault.release();
    bed.cluster.wait_for_ready_nodes("apps", 3).await?;
    let pool = arm::put(&bed.emulator, "apps", &json!({"count": 3})).await?;
    ensure!(pool["properties"]["provisioningState"] == "Succeeded", "{pool}");
    Ok(())
}

fn has_own_taint(node: &Node) -> bool {
    taints(node).iter().any(|taint| taint.key == "team")
}

pub async fn nodes_lag_behind_their_pool(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes).await?;
    // An hour of the service is 18 s here, far beyond what the test takes: late is until the fault ends.
    let hour = Duration::from_hours(1);
    let late = bed.emulator.node_fault("apps", NodeTrouble::LateWrites(hour));
    let change = json!({"nodeLabels": {"tier": "web"}, "nodeTaints": ["team=apps:NoSchedule"]});
    let pool = arm::put(&bed.emulator, "apps", &change).await?;
    ensure!(pool["properties"]["provisioningState"] == "Succeeded", "{pool}");
    let node = &bed.cluster.nodes_of("apps").await?[0];
    ensure!(!node.labels().contains_key("tier") && !has_own_taint(node), "{:?}", node.labels());
    let pool = arm::put(&bed.emulator, "apps", &json!({"nodeLabels": {"new": "1"}})).await?;
    ensure!(pool["properties"]["provisioningState"] == "Succeeded", "{pool}");
    late.release();
    wait_for("the newest labels and taints", DEADLINE, async || {
        let node = &bed.cluster.nodes_of("apps").await?[0];
        let done = node.labels().contains_key("new") && !node.labels().contains_key("tier") && has_own_taint(node);
        Ok(if done { Ok(()) } else { Err(format!("{:?}", node.labels())) })
    })
    .await?;

    let late = bed.emulator.node_fault("apps", NodeTrouble::LateObject(hour));
    arm::begin(&bed.emulator, Method::PUT, "apps", &json!({"properties": {"count": 2}})).await?;
    wait_for("the operation to reach its nodes", DEADLINE, async || {
        let nodes = bed.cluster.nodes_of("apps").await?.len();
        ensure!(nodes == 1, "a node appeared");
        let shown = bed.emulator.pool("apps").unwrap_or_default()["properties"].clone();
        Ok(if shown["count"] == 2 && shown["provisioningState"] == "Scaling" { Ok(()) } else { Err(shown.to_string()) })
    })
    .await?;
    late.release();
    bed.emulator.idle().await;
    bed.cluster.wait_for_ready_nodes("apps", 2).await.map(drop)
}

pub async fn nodes_stop_to_report_and_come_back(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes).await?;
    let fault = bed.emulator.node_fault("apps", NodeTrouble::NotReady(None));
    wait_for("the node to be unreachable", DEADLINE, async || {
        let node = &bed.cluster.nodes_of("apps").await?[0];
        let marked = taints(node).iter().any(|taint| taint.key == "node.kubernetes.io/unreachable");
        Ok(if marked && !is_ready(node) { Ok(()) } else { Err(format!("{:?}", taints(node))) })
    })
    .await?;
    ensure!(is_ready(&bed.cluster.nodes_of("system").await?[0]), "another pool is not touched");
    drop(fault);
    bed.cluster.wait_for_ready_nodes("apps", 1).await?;

    let _fault = bed.emulator.node_fault("apps", NodeTrouble::NotReady(Some(Duration::from_mins(10))));
    wait_for("the node to fail", DEADLINE, async || {
        Ok(if is_ready(&bed.cluster.nodes_of("apps").await?[0]) { Err("it is Ready") } else { Ok(()) })
    })
    .await?;
    bed.cluster.wait_for_ready_nodes("apps", 1).await.map(drop)
}

pub async fn machines_run_out_after_some_nodes(lanes: Lanes) -> anyhow::Result<()> {
    let bed = bed(&lanes).await?;
    let _shortage = bed.emulator.operation("apps").fail_half_way(OperationFailure::AllocationFailed, 2, Some(1));
    let pool = arm::put(&bed.emulator, "apps", &json!({"count": 5})).await?;
    let properties = &pool["properties"];
    ensure!(properties["provisioningState"] == "Failed" && properties["count"] == 5, "{pool}");
    ensure!(properties["status"]["provisioningError"]["code"] == "AllocationFailed", "{pool}");
    bed.cluster.wait_for_ready_nodes("apps", 3).await?;
    let pool = arm::put(&bed.emulator, "apps", &json!({"count": 4})).await?;
    ensure!(pool["properties"]["provisioningState"] == "Succeeded", "{pool}");
    bed.cluster.wait_for_ready_nodes("apps", 4).await.map(drop)
}
