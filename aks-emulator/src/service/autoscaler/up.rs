//! Which pool grows for pods that find no place, and by how much. Never acts.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::fit::Space;
use super::look::{age, condition_age, is_expendable, is_of_daemon_set, is_ready};

/// A pool that may grow.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Name of the pool.
    pub(super) pool: String,
    /// How many nodes it may get at most.
    pub(super) room: usize,
    /// A new node of it, its `DaemonSet` pods deducted.
    pub(super) space: Space,
}

/// Pods for which the scheduler has found no place, and for which a new node may be one.
pub(super) fn waiting(pods: &[Pod]) -> Vec<&Pod> {
    let mut waiting: Vec<&Pod> = pods.iter().filter(|pod| is_waiting(pod)).collect();
    waiting.sort_by_key(|pod| (pod.namespace(), pod.name_any()));
    waiting
}

fn is_waiting(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let unschedulable =
        status.and_then(|status| status.conditions.as_deref()).unwrap_or_default().iter().any(|condition| {
            condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("Unschedulable")
        });
    let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    // One that is about to take the place of others has a place.
    let preempts = status.is_some_and(|status| status.nominated_node_name.is_some());
    let leaves = pod.metadata.deletion_timestamp.is_some();
    unschedulable && !(bound || preempts || leaves || is_of_daemon_set(pod) || is_expendable(pod))
}

/// Nodes on which the scheduler has hardly looked yet: those not Ready that were created less than `patience` ago, and
/// those Ready for less than `fresh`. A pod that they could take waits for them and not for another.
pub(super) fn upcoming(nodes: &[Node], pods: &[Pod], fresh: Duration, patience: Duration) -> Vec<Space> {
    let is_upcoming = |node: &&Node| {
        let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
        let age = if is_ready(node) { condition_age(node, "Ready") } else { Some(age(node)) };
        let limit = if is_ready(node) { fresh } else { patience };
        !cordoned && age.is_none_or(|age| age < limit)
    };
    nodes.iter().filter(is_upcoming).map(|node| Space::of(&settled(node), on(node, pods))).collect()
}

/// A node without the taints that it loses by itself once it is Ready.
fn settled(node: &Node) -> Node {
    let mut node = node.clone();
    if let Some(taints) = node.spec.as_mut().and_then(|spec| spec.taints.as_mut()) {
        taints.retain(|taint| !taint.key.starts_with("node.kubernetes.io/"));
    }
    node
}

fn on<'a>(node: &'a Node, pods: &'a [Pod]) -> impl Iterator<Item = &'a Pod> {
    pods.iter().filter(|pod| {
        let spec = pod.spec.as_ref();
        spec.and_then(|spec| spec.node_name.as_deref()) == node.metadata.name.as_deref()
    })
}

/// The pool that grows and by how many nodes, if any is of use: the one that takes most pods, then with fewest nodes,
/// then the first by name.
pub(super) fn plan(waiting: &[&Pod], mut upcoming: Vec<Space>, candidates: &[Candidate]) -> Option<(String, usize)> {
    let left: Vec<&Pod> =
        waiting.iter().filter(|pod| !upcoming.iter_mut().any(|space| space.take(pod))).copied().collect();
    candidates
        .iter()
        .map(|candidate| (pack(&left, candidate), candidate))
        .filter(|((placed, _), _)| *placed > 0)
        .min_by_key(|((placed, nodes), candidate)| (std::cmp::Reverse(*placed), *nodes, candidate.pool.clone()))
        .map(|((_, nodes), candidate)| (candidate.pool.clone(), nodes))
}

/// How many pods new nodes of a pool take, and how many nodes that needs: each pod goes to the first that has place.
fn pack(pods: &[&Pod], candidate: &Candidate) -> (usize, usize) {
    let mut nodes: Vec<Space> = Vec::new();
    let mut placed = 0;
    for pod in pods {
        if nodes.iter_mut().any(|node| node.take(pod)) {
            placed += 1;
            continue;
        }
        let mut fresh = candidate.space.clone();
        if nodes.len() < candidate.room && fresh.take(pod) {
            placed += 1;
            nodes.push(fresh);
        }
    }
    (placed, nodes.len())
}

#[cfg(test)]
mod tests {
    use super::super::fit::tests::{node, pod};
    use super::*;
    use serde_json::{Value, json};

    fn asks(cpu: &str, more: &Value) -> Pod {
        let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let mut pod = pod(&spec);
        let reason = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        pod.status = Some(serde_json::from_value(reason).unwrap());
        pod
    }

    fn candidate(pool: &str, room: usize, labels: &Value, taints: &Value) -> Candidate {
        Candidate { pool: pool.to_owned(), room, space: Space::of(&node("new", labels, taints), std::iter::empty()) }
    }

    #[test]
    fn the_pool_that_takes_most_grows_by_what_they_need() {
        let none = json!({});
        let web = json!({"nodeSelector": {"tier": "web"}});
        let both =
            [candidate("apps", 5, &json!({}), &json!([])), candidate("web", 5, &json!({"tier": "web"}), &json!([]))];
        let dear = [candidate("dear", 5, &json!({}), &json!([{"key": "gpu", "effect": "NoSchedule"}]))];
        let few = [candidate("few", 1, &json!({}), &json!([]))];
        for (pods, candidates, expected) in [
            (vec![asks("3", &none), asks("3", &none), asks("1", &none)], &both[..], Some(("apps", 2))),
            (vec![asks("3", &none), asks("3", &web)], &both, Some(("web", 2))),
            (vec![asks("5", &none)], &both, None),
            (vec![asks("1", &none)], &dear, None),
            (vec![asks("3", &none), asks("3", &none)], &few, Some(("few", 1))),
            (vec![], &both, None),
        ] {
            let pods: Vec<&Pod> = pods.iter().collect();
            let expected = expected.map(|(pool, nodes)| (pool.to_owned(), nodes));
            assert_eq!(plan(&pods, Vec::new(), candidates), expected, "{} pods", pods.len());
        }
    }

    #[test]
    fn pods_wait_for_nodes_that_come_anyway() {
        let coming =
            node("coming", &json!({}), &json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
        let spaces = upcoming(&[coming], &[], Duration::from_secs(10), Duration::from_secs(10));
        let candidates = [candidate("apps", 5, &json!({}), &json!([]))];
        let pods = [asks("3", &json!({})), asks("3", &json!({}))];
        let (one, two): (Vec<&Pod>, Vec<&Pod>) = (pods.iter().take(1).collect(), pods.iter().collect());
        assert_eq!(plan(&one, spaces.clone(), &candidates), None);
        assert_eq!(plan(&two, spaces, &candidates), Some(("apps".to_owned(), 1)));
    }

    #[test]
    fn only_pods_that_the_scheduler_gave_up_on_count() {
        let mut pods = vec![asks("1", &json!({})); 4];
        pods[1].spec.as_mut().unwrap().node_name = Some("n".to_owned());
        pods[2].status.as_mut().unwrap().nominated_node_name = Some("n".to_owned());
        pods[3].spec.as_mut().unwrap().priority = Some(-11);
        assert_eq!(waiting(&pods).len(), 1);
    }
}
