//! Nodes whose kubelet is silent: marked so that whatever plays the kubelets leaves them alone, and with the conditions
//! that the node lifecycle controller gives them. Never writes its taints; that controller does.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::drain::error;
use super::{KubernetesNodes, NodeError};

/// The annotation of a node whose kubelet does not report, with why as its value. Whatever makes nodes Ready must leave
/// nodes alone that have it.
pub(super) const KUBELET: &str = "aks-emulator/kubelet";
/// Its value for a node that is silent because a fault says so.
pub(super) const SILENT: &str = "silent";

/// Why a kubelet is silent, if it is.
pub(super) fn silence(node: &Node) -> Option<&str> {
    node.annotations().get(KUBELET).map(String::as_str)
}

/// Marks a node that is about to be created.
pub(super) fn silenced(mut node: Node) -> Node {
    node.metadata.annotations.get_or_insert_default().insert(KUBELET.to_owned(), SILENT.to_owned());
    node
}

/// The patch that sets the annotation or takes it away.
pub(super) fn annotation(value: Option<&str>) -> Value {
    json!({"metadata": {"annotations": {KUBELET: value}}})
}

impl KubernetesNodes {
    pub(super) async fn stop_kubelet(&self, node: &str) -> Result<(), NodeError> {
        self.patch(node, |node| silence(node).is_none().then(|| annotation(Some(SILENT)))).await?;
        self.report_unknown(node).await
    }

    /// Only of a node that a fault has silenced; one without a machine stays as it is.
    pub(super) async fn start_kubelet(&self, node: &str) -> Result<(), NodeError> {
        self.patch(node, |node| (silence(node) == Some(SILENT)).then(|| annotation(None))).await
    }

    /// Writes the conditions of a node that has not been heard of.
    pub(super) async fn report_unknown(&self, node: &str) -> Result<(), NodeError> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let conditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].map(|kind| {
            json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": now,
                "message": "Kubelet stopped posting node status.",
            })
        });
        let status = json!({"status": {"conditions": conditions}});
        match self.nodes().patch_status(node, &PatchParams::default(), &Patch::Strategic(status)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(error("write the status of node", node, source)),
        }
    }
}
