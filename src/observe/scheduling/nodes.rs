//! Nodes as placement reads them. Never offers more than the object says.

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::placement::Node;

use super::super::rows;
use super::requests::allocatable;
use super::storage::Storage;

/// A node. `all_pods_listed` says whether every pod that runs on it is put into the world as well.
///
/// A node that is being deleted takes no pods. Whether it is Ready is left to its taints, as the scheduler leaves it;
/// who wants more sets [`Node::unavailable`].
#[must_use]
pub fn node(node: &core::Node, storage: &Storage, all_pods_listed: bool) -> Node {
    let metadata = &node.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_ref());
    let (allocatable, max_pods) = allocatable(node.status.as_ref());
    Node {
        labels: metadata.labels.clone().unwrap_or_default(),
        taints: taints.into_iter().flatten().map(rows::taint).collect(),
        unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
        allocatable,
        max_pods,
        drivers: storage.drivers(&name),
        attached: storage.attached(&name),
        unavailable: metadata.deletion_timestamp.as_ref().map(|_| "being deleted".to_owned()),
        all_pods_listed,
        name,
    }
}
