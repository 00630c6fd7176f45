//! Proves that a control plane works as a whole: a node becomes Ready and a pod runs on it. Leaves nothing behind.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::wait::wait_for;

const NAME: &str = "testbed-probe";

/// Waits until a node is Ready and a pod runs on it, then takes both away. `check` fails when a component has ended.
pub(super) async fn schedules_a_pod(
    client: &Client,
    deadline: Duration,
    mut check: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let account = wait_for("the controllers to make the default service account", deadline, async || {
        check()?;
        Ok(accounts.get_opt("default").await?.ok_or("it is not there yet"))
    });
    account.await?;
    nodes.create(&PostParams::default(), &node()?).await.context("the probe's node can't be made")?;
    pods.create(&PostParams::default(), &pod()?).await.context("the probe's pod can't be made")?;
    let running = wait_for("the probe's pod to run", deadline, async || {
        check()?;
        let pod = pods.get(NAME).await?;
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        Ok(if phase == "Running" { Ok(()) } else { Err(format!("{} is {phase}", pod.name_any())) })
    });
    running.await?;
    pods.delete(NAME, &DeleteParams::default().grace_period(0)).await.context("the probe's pod can't be deleted")?;
    nodes.delete(NAME, &DeleteParams::default()).await.context("the probe's node can't be deleted")?;
    Ok(())
}

fn node() -> anyhow::Result<Node> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NAME, "labels": {"testbed.nodepool.dev/probe": "true"}},
    });
    serde_json::from_value(node).context("the probe's node is malformed")
}

fn pod() -> anyhow::Result<Pod> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": NAME},
        "spec": {
            "nodeSelector": {"testbed.nodepool.dev/probe": "true"},
            "containers": [{"name": "pause", "image": "pause"}],
        },
    });
    serde_json::from_value(pod).context("the probe's pod is malformed")
}
