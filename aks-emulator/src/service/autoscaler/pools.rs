//! The pools that are the autoscaler's to move, and moving their count. Never touches a node.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{nodes_of, victims};
use crate::nodes::{instance, new_node};
use crate::service::{Cluster, Pool, State, document, state, validate};
use crate::{Instance, NodePool};

/// An autoscaled pool as it was read.
#[derive(Clone, Debug)]
pub(super) struct Autoscaled {
    /// Key of its cluster in the state.
    pub(super) cluster: String,
    pub(super) nodes: NodePool,
    pub(super) count: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Autoscaled {
    /// The node that the pool would get next, in the zone where the scale set would put it.
    pub(super) fn new_node(&self, nodes: &[Node]) -> Node {
        let present: Vec<Instance> = nodes_of(&self.nodes, nodes).filter_map(instance).collect();
        let next = present.iter().map(|instance| instance.number + 1).max().unwrap_or_default();
        let zone = victims::spread(&present, &self.nodes.zones, next, 1).into_iter().next().and_then(|new| new.zone);
        let mut node = new_node(&self.nodes, next, zone);
        // Something is about to take the initialization taints away, or the pool would never be of use.
        if let Some(taints) = node.spec.as_mut().and_then(|spec| spec.taints.as_mut()) {
            taints.truncate(self.nodes.taints.len());
        }
        node.metadata.name = Some(format!("{}-new", node.name_any()));
        node
    }
}

/// The pools that the autoscaler may move now: it pauses for stopped pools and clusters, and while an operation
/// runs or an upgrade is unfinished.
pub(super) fn autoscaled(state: &State) -> Vec<Autoscaled> {
    let pools =
        state.clusters.iter().flat_map(|(key, cluster)| cluster.pools.iter().map(move |pool| (key, cluster, pool)));
    pools.filter_map(|(key, cluster, pool)| of_pool(state, key, cluster, pool)).collect()
}

fn of_pool(state: &State, key: &str, cluster: &Cluster, pool: &Pool) -> Option<Autoscaled> {
    let number = |name: &str| pool.get(name).and_then(Value::as_u64);
    let idle = |properties| state::is_terminal(state::text(properties, "provisioningState"));
    let runs = |properties| validate::power(properties) != "Stopped";
    let busy = state.running().any(|operation| {
        operation.cluster == key && operation.pool.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&pool.name))
    });
    let movable = pool.get("enableAutoScaling") == Some(&json!(true))
        && pool.text("type") == "VirtualMachineScaleSets"
        && pool.rolling.is_none()
        && [&cluster.properties, &pool.properties].into_iter().all(|properties| idle(properties) && runs(properties));
    (movable && !busy).then_some(Autoscaled {
        cluster: key.to_owned(),
        nodes: document::node_pool(cluster, pool),
        count: number("count").unwrap_or_default(),
        min: number("minCount")?,
        max: number("maxCount")?,
    })
}

/// Whether the pool is still the autoscaler's and as it was read.
pub(super) fn is_current(state: &State, read: &Autoscaled) -> bool {
    let Some(cluster) = state.clusters.get(&read.cluster) else {
        return false;
    };
    let now = cluster.pool(&read.nodes.name).and_then(|pool| of_pool(state, &read.cluster, cluster, pool));
    now.is_some_and(|now| (now.count, now.min, now.max) == (read.count, read.min, read.max))
}

/// Raises the live count, if the pool is as it was read. Returns whether it did.
pub(super) fn raise(state: &mut State, read: &Autoscaled, by: u64) -> bool {
    is_current(state, read) && set_count(state, read, read.count + by)
}

/// Lowers the live count by the node that is gone. If another count was asked for meanwhile, that operation brings the
/// nodes to it.
pub(super) fn lower(state: &mut State, read: &Autoscaled) -> bool {
    set_count(state, read, read.count.saturating_sub(1))
}

fn set_count(state: &mut State, read: &Autoscaled, count: u64) -> bool {
    let pool = state.clusters.get_mut(&read.cluster).and_then(|cluster| cluster.pool_mut(&read.nodes.name));
    let pool = pool.filter(|pool| pool.get("count") == Some(&json!(read.count)));
    pool.map(|pool| pool.set("count", count)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterSpec, PoolSpec};

    fn state(change: impl FnOnce(&mut Cluster)) -> State {
        let spec =
            ClusterSpec::with_pools([PoolSpec::system("system", 1), PoolSpec::user("apps", 2).autoscaling(1, 5)]);
        let mut cluster = document::cluster_from(&spec).unwrap();
        change(&mut cluster);
        let mut state = State::default();
        state.clusters.insert("c".to_owned(), cluster);
        state
    }

    fn names(state: &State) -> Vec<String> {
        autoscaled(state).into_iter().map(|pool| pool.nodes.name).collect()
    }

    #[test]
    fn only_idle_running_autoscaled_pools_are_moved() {
        let apps = |property: &'static str, value: Value| {
            move |cluster: &mut Cluster| cluster.pool_mut("apps").unwrap().set(property, value)
        };
        assert_eq!(names(&state(|_| ())), ["apps"]);
        assert!(names(&state(apps("provisioningState", json!("Updating")))).is_empty());
        assert!(names(&state(apps("powerState", json!({"code": "Stopped"})))).is_empty());
        assert!(names(&state(apps("enableAutoScaling", json!(false)))).is_empty());
        assert!(names(&state(|cluster| cluster.set("powerState", json!({"code": "Stopped"})))).is_empty());
        assert_eq!(names(&state(apps("provisioningState", json!("Failed")))), ["apps"]);
    }

    #[test]
    fn a_count_that_moved_meanwhile_is_left_alone() {
        let mut state = state(|_| ());
        let read = autoscaled(&state).remove(0);
        assert!(raise(&mut state, &read, 2));
        assert!(!lower(&mut state, &read), "it is 4 by now");
        let read = autoscaled(&state).remove(0);
        assert_eq!(read.count, 4);
        assert!(lower(&mut state, &read));
        assert_eq!(autoscaled(&state).remove(0).count, 3);
    }
}
