//! Which nodes are not needed. Never acts.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::fit::Space;
use super::look::{is_expendable, is_ready, node_of};
use super::quantity::Amounts;
use crate::nodes::must_leave;

const NODE_KEPT: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// Whether a node is not needed: it is Ready, nobody has disabled its removal, and either nothing on it must leave, or
/// less than half of it is asked for and each of its pods may be moved and has a place on another node.
///
/// A pod may not be moved if it is annotated `safe-to-evict: "false"`, or if it has no controller or is one of
/// kube-system and is not annotated `safe-to-evict: "true"`.
pub(super) fn is_unneeded(node: &Node, nodes: &[Node], pods: &[Pod]) -> bool {
    let name = node.name_any();
    if !is_ready(node) || node.annotations().get(NODE_KEPT).is_some_and(|value| value == "true") {
        return false;
    }
    let here: Vec<&Pod> = pods.iter().filter(|pod| node_of(pod) == Some(&name)).collect();
    let movers: Vec<&Pod> = here.iter().filter(|pod| must_leave(pod) && !is_expendable(pod)).copied().collect();
    if movers.is_empty() {
        return true;
    }
    let mut asked = Amounts::default();
    for pod in &here {
        asked.add(&Amounts::of_pod(pod));
    }
    !asked.are_half_of(&Amounts::of_node(node))
        && movers.iter().all(|pod| may_move(pod))
        && have_place(&movers, &name, nodes, pods)
}

fn may_move(pod: &Pod) -> bool {
    match pod.annotations().get(SAFE_TO_EVICT).map(String::as_str) {
        Some("true") => true,
        Some("false") => false,
        _ => {
            let controlled = pod.owner_references().iter().any(|owner| owner.controller == Some(true));
            controlled && pod.namespace().as_deref() != Some("kube-system")
        }
    }
}

/// Whether the pods of one node all have a place on the others.
fn have_place(movers: &[&Pod], from: &str, nodes: &[Node], pods: &[Pod]) -> bool {
    let open = |node: &&Node| {
        let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
        node.name_any() != from && is_ready(node) && !cordoned
    };
    let mut spaces: Vec<Space> = nodes
        .iter()
        .filter(open)
        .map(|node| {
            let name = node.name_any();
            Space::of(node, pods.iter().filter(move |pod| node_of(pod) == Some(&name)))
        })
        .collect();
    movers.iter().all(|pod| spaces.iter_mut().any(|space| space.take(pod)))
}

#[cfg(test)]
mod tests {
    use super::super::fit::tests::node;
    use super::*;
    use serde_json::{Value, json};

    fn ready(name: &str, annotations: &Value) -> Node {
        let mut node = node(name, &json!({}), &json!([]));
        node.metadata.annotations = serde_json::from_value(annotations.clone()).unwrap();
        let ready = json!([{"type": "Ready", "status": "True"}]);
        node.status.as_mut().unwrap().conditions = serde_json::from_value(ready).unwrap();
        node
    }

    fn pod(on: &str, cpu: &str, owner: &str, more: &Value) -> Pod {
        let mut metadata = json!({"name": "p", "namespace": "default"});
        if !owner.is_empty() {
            metadata["ownerReferences"] =
                json!([{"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "u", "controller": true}]);
        }
        metadata.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let requests = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"nodeName": on, "containers": [requests]}}))
            .unwrap()
    }

    #[test]
    fn a_node_is_unneeded_only_if_nobody_minds() {
        let free = json!({});
        let annotated = |value: &str| json!({"annotations": {SAFE_TO_EVICT: value}});
        let system = json!({"namespace": "kube-system"});
        for (why, pods, expected) in [
            ("nothing on it", vec![], true),
            ("only a DaemonSet", vec![pod("a", "3", "DaemonSet", &free)], true),
            ("a pod that has a place", vec![pod("a", "1", "ReplicaSet", &free)], true),
            ("too full", vec![pod("a", "2", "ReplicaSet", &free)], false),
            ("no controller", vec![pod("a", "1", "", &free)], false),
            ("no controller, but safe", vec![pod("a", "1", "", &annotated("true"))], true),
            ("not safe", vec![pod("a", "1", "ReplicaSet", &annotated("false"))], false),
            ("kube-system", vec![pod("a", "1", "ReplicaSet", &system)], false),
            ("no place", vec![pod("a", "1", "ReplicaSet", &free), pod("b", "3500m", "ReplicaSet", &free)], false),
        ] {
            let nodes = [ready("a", &json!({})), ready("b", &json!({}))];
            assert_eq!(is_unneeded(&nodes[0], &nodes, &pods), expected, "{why}");
        }
    }

    #[test]
    fn a_node_that_is_not_ready_or_kept_by_hand_stays() {
        let kept = ready("a", &json!({NODE_KEPT: "true"}));
        assert!(!is_unneeded(&kept, &[], &[]));
        assert!(!is_unneeded(&node("a", &json!({}), &json!([])), &[], &[]));
    }
}
