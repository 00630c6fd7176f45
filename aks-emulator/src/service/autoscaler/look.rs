//! What the autoscaler reads off nodes and pods. Never judges.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use kube::ResourceExt;

/// Pods below this priority neither make a pool grow nor keep a node, as the autoscaler has it by default.
const EXPENDABLE: i32 = -10;

pub(super) fn condition<'a>(node: &'a Node, name: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == name)
}

/// How long a condition has been as it is; `None` if the node does not have it.
pub(super) fn condition_age(node: &Node, name: &str) -> Option<Duration> {
    let since = condition(node, name)?.last_transition_time.as_ref()?.0;
    Some(Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default())
}

/// How long ago a node was created.
pub(super) fn age(node: &Node) -> Duration {
    let created = node.metadata.creation_timestamp.as_ref();
    created.map(|at| Duration::try_from(Timestamp::now().duration_since(at.0)).unwrap_or_default()).unwrap_or_default()
}

pub(super) fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready.status == "True")
}

pub(super) fn is_expendable(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.priority).is_some_and(|priority| priority < EXPENDABLE)
}

pub(super) fn is_of_daemon_set(pod: &Pod) -> bool {
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet")
}

pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Whether a pod has ended; it needs no room then.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
