//! Pools that deallocate what they scale in: nodes stay, not Ready, and come back as they were.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{ClusterSpec, Emulator, KubernetesNodes, PoolSpec, Settings};
use anyhow::ensure;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde_json::json;
use testbed::bed::EMULATOR_USER;
use testbed::cluster::{is_ready, taints};
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

use crate::arm;

const DEADLINE: Duration = Duration::from_mins(2);

fn is_open(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    is_ready(node) && !cordoned && taints(node).is_empty()
}

/// Waits until the nodes of apps that are open, and those shut down, are these, by the end of their names.
async fn wait_for_nodes(bed: &Testbed, open: &[&str], down: &[&str]) -> anyhow::Result<Vec<Node>> {
    let what = format!("{open:?} to be open and {down:?} to be shut down");
    wait_for(&what, DEADLINE, async || {
        let nodes = bed.cluster.nodes_of("apps").await?;
        let ends = |nodes: Vec<&Node>| -> Vec<String> {
            nodes.iter().filter_map(|node| node.name_any().chars().last()).map(String::from).collect()
        };
        let shutdown = |node: &&Node| {
            let keys: Vec<String> = taints(node).into_iter().map(|taint| taint.key).collect();
            !is_ready(node)
                && keys.iter().any(|key| key == "node.cloudprovider.kubernetes.io/shutdown")
                && keys.iter().any(|key| key == "node.kubernetes.io/unreachable")
        };
        let opened = ends(nodes.iter().filter(|node| is_open(node)).collect());
        let stopped = ends(nodes.iter().filter(shutdown).collect());
        let done = opened == open && stopped == down && nodes.len() == open.len() + down.len();
        Ok(if done { Ok(nodes) } else { Err(format!("{opened:?} and {stopped:?} of {}", nodes.len())) })
    })
    .await
}

pub async fn deallocated_nodes_stay_and_start_first(lanes: Lanes) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state.json");
    let bed = Testbed::builder(lanes.lease().await?)
        .kube_system(KubeSystem::None)
        .pool(PoolSpec::system("system", 1))
        .pool(PoolSpec::user("apps", 3))
        .emulator(|settings| settings.state_file = Some(state.clone()))
        .start()
        .await?;
    arm::put(&bed.emulator, "apps", &json!({"scaleDownMode": "Deallocate"})).await?;
    let pool = arm::put(&bed.emulator, "apps", &json!({"count": 1})).await?;
    ensure!(pool["properties"]["count"] == 1, "{pool}");
    let down = wait_for_nodes(&bed, &["0"], &["1", "2"]).await?;

    // What is deallocated stays so over a restart of the emulator.
    bed.emulator.stop().await;
    let nodes = KubernetesNodes::new(bed.control_plane().client_of(EMULATOR_USER)?);
    let settings = Settings { state_file: Some(state), ..Settings::with_time_scale(200.0) };
    let emulator =
        Emulator::start(settings, ClusterSpec::with_pools([PoolSpec::system("system", 1)]), Arc::new(nodes)).await?;
    arm::put(&emulator, "apps", &json!({"count": 2})).await?;
    let up = wait_for_nodes(&bed, &["0", "1"], &["2"]).await?;
    ensure!(up[1].uid() == down[1].uid(), "it is the same node");

    arm::put(&emulator, "apps", &json!({"count": 4})).await?;
    wait_for_nodes(&bed, &["0", "1", "2", "3"], &[]).await?;
    arm::put(&emulator, "apps", &json!({"count": 3})).await?;
    wait_for_nodes(&bed, &["0", "1", "2"], &["3"]).await?;
    arm::put(&emulator, "apps", &json!({"scaleDownMode": "Delete"})).await?;
    wait_for_nodes(&bed, &["0", "1", "2"], &[]).await?;
    emulator.stop().await;
    Ok(())
}
