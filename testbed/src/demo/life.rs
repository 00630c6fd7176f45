//! The chapters of the demo in which pools come and go: created, upgraded, emptied and removed. Each returns what was seen, and
//! fails if it was not.

use anyhow::ensure;
use serde_json::{Value, json};

use super::chapters::chapter;
use super::stage::Stage;

const CREATED: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: batch}
spec:
  mode: User
  count: 2
  kubernetesVersion: \"1.32.9\"
  labels: {tier: batch}
  template: {vmSize: Standard_D4ds_v5, osSKU: AzureLinux}
";

const UPGRADED: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: batch}
spec:
  mode: User
  count: 2
  kubernetesVersion: ControlPlane
  labels: {tier: batch}
  template: {vmSize: Standard_D4ds_v5, osSKU: AzureLinux}
";

const RETIRED: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: system}
spec:
  mode: User
  disruption: {systemPods: Relocate}
  taints:
    - {key: retired, value: \"true\", effect: NoSchedule}
  deletionPolicy: Delete
";

/// Where the protected pods run. Those of DaemonSets, which stay with their nodes, have another label than these.
const PODS: [&str; 8] = ["get", "pods", "-n", "kube-system", "-l", "pod-template-hash", "-o", "wide"];

/// Tells the chapters; returns a line for each.
pub(super) async fn tell(stage: &Stage) -> anyhow::Result<Vec<String>> {
    Ok(vec![create(stage).await?, upgrade(stage).await?, retire(stage).await?, remove(stage).await?])
}

async fn create(stage: &Stage) -> anyhow::Result<String> {
    chapter(
        "A policy with a template asks for a pool that does not exist, with an older version than the control plane's.",
    );
    let written = stage.writes();
    stage.apply(CREATED).await?;
    stage.wait("batch", "Ready").await?;
    let nodes = stage.cluster().wait_for_ready_nodes("batch", 2).await?;
    stage.kubectl(&["get", "nodes", "-L", "kubernetes.azure.com/agentpool,tier"]).await?;
    let labelled = |node: &k8s_openapi::api::core::v1::Node| {
        node.metadata.labels.as_ref().is_some_and(|labels| labels.get("tier").is_some_and(|tier| tier == "batch"))
    };
    ensure!(nodes.iter().all(labelled), "not every node carries the label");
    ensure!(stage.writes() == written + 1, "the creation took {} writes", stage.writes() - written);
    Ok("Pool batch created with one write: two Ready nodes with its label.".to_owned())
}

async fn upgrade(stage: &Stage) -> anyhow::Result<String> {
    chapter("The pool is to follow the control plane. Its nodes are replaced one by one.");
    let written = stage.writes();
    stage.apply(UPGRADED).await?;
    stage.wait_for_arm("batch", "currentOrchestratorVersion", &json!("1.33.5")).await?;
    stage.wait("batch", "Ready").await?;
    let nodes = stage.cluster().wait_for_ready_nodes("batch", 2).await?;
    stage.kubectl(&["get", "nodes", "-l", "kubernetes.azure.com/agentpool=batch"]).await?;
    let version = |node: &k8s_openapi::api::core::v1::Node| {
        node.status.as_ref().and_then(|status| status.node_info.as_ref()).map(|info| info.kubelet_version.clone())
    };
    ensure!(nodes.iter().all(|node| version(node).as_deref() == Some("v1.33.5")), "not every kubelet is upgraded");
    ensure!(stage.writes() == written + 1, "the upgrade took {} writes", stage.writes() - written);
    Ok("Pool batch upgraded from Kubernetes 1.32.9 to the control plane's 1.33.5 with one write.".to_owned())
}

async fn retire(stage: &Stage) -> anyhow::Result<String> {
    chapter("The first system pool may go now: its policy permits that its protected pods are moved, one by one.");
    stage.kubectl(&PODS).await?;
    stage.apply(RETIRED).await?;
    stage.wait_for_arm("system", "mode", &json!("User")).await?;
    stage.wait("system", "Ready").await?;
    stage.kubectl(&PODS).await?;
    stage
        .kubectl(&[
            "get",
            "npp",
            "system",
            "-o",
            r#"jsonpath={range .status.history[*]}{.step}: {.outcome}{"\n"}{end}"#,
        ])
        .await?;
    let moved = stage.moved()?;
    ensure!(!moved.is_empty(), "no protected pod was moved");
    let twice = moved.iter().filter(|pod| moved.iter().filter(|other| other == pod).count() > 1).count();
    ensure!(twice == 0, "a pod was evicted twice: {}", moved.join(", "));
    Ok(format!("{} protected pods moved from pool system one by one, then it became a user pool.", moved.len()))
}

async fn remove(stage: &Stage) -> anyhow::Result<String> {
    chapter("Its policy is deleted from Git, and says that the pool may go with it.");
    stage.kubectl(&["delete", "npp", "system", "--timeout=60s"]).await?;
    ensure!(stage.in_arm("system", "mode") == Value::Null, "pool system is still in ARM");
    stage.kubectl(&["get", "npp,npi"]).await?;
    Ok("Pool system removed with its policy; nothing depended on it any more.".to_owned())
}
