//! Clusters in which protected pods have to go elsewhere, for measuring: every node and pod is known to placement. Never
//! asserts anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nodepool_kernel::placement::{self, Listing, Resources, Selector, Test, World};
use nodepool_kernel::{
    Budget, BudgetStatus, DrainMark, Known, Node, Occupancy, Occupant, Owner, Places, Pod, Rows, Snapshot, SystemPods,
    Tenancy, UnhealthyPods,
};

use crate::cluster::{self, Asked, NOW, POOLS};

/// Pods on each node of the drain that are not protected.
const APPLICATIONS: usize = 8;

/// How far the drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The nodes are to be cordoned.
    Nothing,
    /// They are cordoned, and the first pods are to be evicted.
    Cordoned,
}

/// A snapshot of a cluster with so many nodes in 100 pools, of which the first, a system pool, is to have a fifth fewer.
pub fn snapshot(nodes: usize, drained: Drained) -> Snapshot {
    let mut snapshot = cluster::snapshot(nodes, Asked::Nothing);
    let each = nodes / POOLS;
    let going = each / 5;
    let (Known::Seen { value: all, .. }, Known::Seen { value: intents, .. }) =
        (&mut snapshot.nodes, &mut snapshot.intents)
    else {
        return snapshot;
    };
    let mut names = BTreeSet::new();
    for node in all.iter_mut().take(each).skip(each - going) {
        names.insert(node.name.clone());
        if drained == Drained::Cordoned {
            let (policy, plan) = (node.pool.clone().unwrap_or_default(), "a measurement".to_owned());
            (node.cordoned, node.drain) = (true, Some(Box::new(DrainMark { policy, plan, since: NOW })));
        }
    }
    if let Some(intent) = intents.first_mut() {
        (intent.system_pods, intent.count) = (SystemPods::Relocate, u32::try_from(each - going).ok());
    }
    let Some(pods) = snapshot.pods.value() else { return snapshot };
    let occupancy = occupancy(names, pods);
    let places = places(all, pods);
    snapshot.occupancy.extend(intents.first().map(|intent| (intent.pool.clone(), Known::seen(NOW, occupancy))));
    snapshot.places = Known::seen(NOW, Arc::new(places));
    snapshot.budgets = Known::seen(NOW, (0..cluster::PODS).map(budget).collect());
    snapshot
}

/// A snapshot in which every user pool is to have a taint that evicts, and every node and pod is known to placement.
pub fn evictions(nodes: usize) -> Snapshot {
    let mut snapshot = cluster::snapshot(nodes, Asked::Eviction);
    if let (Some(nodes), Some(pods)) = (snapshot.nodes.value(), snapshot.pods.value()) {
        snapshot.places = Known::seen(NOW, Arc::new(places(nodes, pods)));
    }
    snapshot
}

/// What runs on these nodes: the protected pods, and applications.
fn occupancy(nodes: BTreeSet<String>, pods: &Rows<Pod>) -> Occupancy {
    let occupant = |pod: Pod, protected| Occupant {
        uid: pod.name.to_string(),
        tenancy: if pod.owner == Owner::DaemonSet { Tenancy::OfNode } else { Tenancy::Controlled },
        protected,
        pod,
    };
    let mut found = Occupancy { nodes, ..Occupancy::default() };
    for pod in pods.iter().filter(|pod| pod.node.as_deref().is_some_and(|node| found.nodes.contains(node))) {
        found.pods.push(occupant(pod.clone(), true));
    }
    for node in &found.nodes {
        let Some(like) = pods.iter().find(|pod| pod.owner == Owner::Other && pod.node.as_deref() == Some(node)) else {
            continue;
        };
        for index in 0..APPLICATIONS {
            let name = format!("web-{index}-{node}").into();
            found.pods.push(occupant(Pod { namespace: "shop".into(), name, ..like.clone() }, false));
        }
    }
    found
}

/// Every node and every protected pod, and each of these as its workload would start it again.
fn places(nodes: &Rows<Node>, pods: &Rows<Pod>) -> Places {
    let placed = nodes.iter().map(|node| placement::Node {
        name: node.name.clone(),
        labels: placement::Labels::default(),
        taints: Vec::new(),
        unschedulable: node.cordoned,
        allocatable: Resources { cpu: 4000, memory: 16 << 30, ..Resources::default() },
        max_pods: 110,
        drivers: None,
        attached: BTreeSet::new(),
        unavailable: None,
        all_pods_listed: true,
    });
    let listing = Listing { namespaces: ["kube-system".to_owned()].into(), repelling: true };
    let mut world = World::new(placed.collect(), None, listing);
    let mut known = BTreeMap::new();
    for pod in pods {
        let placed = placement::Pod {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            requests: Resources { cpu: 100, memory: 128 << 20, ..Resources::default() },
            ..placement::Pod::default()
        };
        if let Some(node) = pod.node.as_deref() {
            world.add(node, placed.clone());
        }
        if pod.owner != Owner::DaemonSet {
            known.insert(pod.full_name(), placed);
        }
    }
    Places { world, pods: known }
}

/// The budget of one add-on, which lets one pod go.
fn budget(add_on: usize) -> Budget {
    let selector = Selector::everything().and("k8s-app", Test::In(vec![format!("add-on-{add_on}")]));
    let status =
        BudgetStatus { observed_generation: 1, allowed: 1, healthy: 5, desired: 4, expected: 5, unconfirmed: 0 };
    Budget {
        namespace: "kube-system".into(),
        name: format!("add-on-{add_on}"),
        selector: Some(selector),
        unhealthy: UnhealthyPods::IfHealthyBudget,
        generation: 1,
        status,
    }
}
