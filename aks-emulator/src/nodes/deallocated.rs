//! Nodes whose machines are deallocated: their Node objects stay, not Ready and with the taint of the cloud provider.
//! Never touches pods; the node was drained before.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Value, json};

use super::kubelet::{KUBELET, SILENT, silence};
use super::kubernetes::{instance, set};
use super::{Deallocation, Instance, KubernetesNodes, NodeError, NodePool};

/// The annotation's value for a node without a running machine.
const DEALLOCATED: &str = "deallocated";
/// The taint of a node whose machine is shut down.
const SHUTDOWN: &str = "node.cloudprovider.kubernetes.io/shutdown";

/// Whether a node's machine is deallocated.
pub(super) fn is_deallocated(node: &Node) -> bool {
    silence(node) == Some(DEALLOCATED)
}

#[async_trait]
impl Deallocation for KubernetesNodes {
    async fn deallocated(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        let nodes = self.nodes_of(pool).await?;
        Ok(nodes.iter().filter(|node| is_deallocated(node)).filter_map(instance).collect())
    }

    async fn deallocate(&self, node: &str) -> Result<(), NodeError> {
        self.patch(node, |node| (!is_deallocated(node)).then(|| stopped(node))).await?;
        self.report_unknown(node).await
    }

    async fn restart(&self, _pool: &NodePool, node: &str, reporting: bool) -> Result<(), NodeError> {
        self.patch(node, |node| is_deallocated(node).then(|| started(node, reporting))).await
    }
}

fn stopped(node: &Node) -> Value {
    let mut taints = others(node);
    taints.push(Taint { key: SHUTDOWN.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
    patch(Some(DEALLOCATED), &taints)
}

fn started(node: &Node, reporting: bool) -> Value {
    let mut patch = patch((!reporting).then_some(SILENT), &others(node));
    set(&mut patch, "spec", "unschedulable", Value::Null);
    patch
}

fn patch(kubelet: Option<&str>, taints: &[Taint]) -> Value {
    json!({"metadata": {"annotations": {KUBELET: kubelet}}, "spec": {"taints": taints}})
}

/// The taints that do not come from the machine being down.
fn others(node: &Node) -> Vec<Taint> {
    let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.retain(|taint| taint.key != SHUTDOWN);
    taints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_takes_back_what_the_deallocation_wrote() {
        let team = json!({"key": "team", "value": "a", "effect": "NoSchedule"});
        let shutdown = json!({"key": SHUTDOWN, "effect": "NoSchedule"});
        let node: Node = serde_json::from_value(json!({"spec": {"taints": [team]}})).unwrap();
        let down = stopped(&node);
        assert_eq!(down["metadata"]["annotations"][KUBELET], DEALLOCATED);
        assert_eq!(down["spec"]["taints"], json!([team, shutdown]));
        let node: Node = serde_json::from_value(json!({
            "metadata": {"annotations": {KUBELET: DEALLOCATED}},
            "spec": {"unschedulable": true, "taints": [team, shutdown]},
        }))
        .unwrap();
        assert!(is_deallocated(&node));
        let up = started(&node, true);
        assert_eq!(up["metadata"]["annotations"], json!({KUBELET: null}));
        assert_eq!(up["spec"], json!({"taints": [team], "unschedulable": null}));
        assert_eq!(started(&node, false)["metadata"]["annotations"][KUBELET], SILENT);
    }
}
