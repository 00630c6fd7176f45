//! Changes of drains on arbitrary clusters, and what runs on the nodes concerned. Never judges them.

use std::collections::BTreeSet;
use std::sync::Arc;

use nodepool_kernel::{
    AgentPool, Aim, Change, Controller, Deletion, Drain, Known, Node, Occupancy, Occupant, Owner, Pod, Rows, Snapshot,
    Step, SystemPods, Tenancy,
};
use proptest::prelude::*;

use crate::clusters::{NOW, ago, cluster_and_step, mark};

/// A cluster, and a change of a drain to judge on one of its pools, of which the last nodes are often marked.
pub fn cluster_and_drain() -> impl Strategy<Value = (Snapshot, Step)> {
    let wish = (0..3_u8, 0..4_u8, 0_u32..6, any::<bool>());
    (cluster_and_step(), wish).prop_map(|((mut snapshot, mut step), (kind, aim, count, marked))| {
        let pool = snapshot.cluster.value().unwrap().pool(&step.pool).unwrap().clone();
        step.change = Change::Drain(drain(kind, aim, &pool, count));
        if step.change.aim() == Some(Aim::Deletion) {
            let mut intents = snapshot.intents.value().unwrap().clone();
            let own = intents.iter_mut().filter(|intent| intent.policy == step.policy);
            own.for_each(|intent| intent.deletion = Some(Deletion::Delete));
            snapshot.intents = Known::seen(NOW, intents);
            snapshot.dependents.insert(pool.name.clone(), Known::seen(NOW, vec![]));
        }
        let mut nodes = snapshot.nodes.value().unwrap().clone();
        let first = count.min(pool.count);
        let is_last = |node: &Node| {
            let index = node.name.rsplit('-').next().and_then(|index| index.parse::<u32>().ok());
            node.pool.as_ref() == Some(&pool.name) && index.is_some_and(|index| index >= first || kind == 2)
        };
        for node in nodes.iter_mut().filter(|node| marked && is_last(node)) {
            (node.cordoned, node.drain) = (true, Some(Box::new(mark(&step.policy))));
        }
        if kind == 2 && marked {
            let (mut intents, mut pods) =
                (snapshot.intents.value().unwrap().clone(), snapshot.pods.value().unwrap().clone());
            let mut own = intents.iter_mut().filter(|intent| intent.policy == step.policy);
            own.by_ref().for_each(|intent| intent.system_pods = SystemPods::Relocate);
            let owner = Arc::new(Controller { kind: "Deployment".into(), name: "dns".to_owned() });
            for pod in &mut pods {
                pod.controller = Some(Arc::clone(&owner));
            }
            let read = occupancy(&pool.name, &nodes, &pods, 2);
            snapshot.occupancy.extend(read.map(|known| (pool.name.clone(), known)));
            (snapshot.intents, snapshot.pods) = (Known::seen(NOW, intents), Known::seen(NOW, pods));
        }
        // Mostly a pod that is there.
        let on_pool = |name: &str| nodes.iter().any(|node| node.name == name && node.pool.as_ref() == Some(&pool.name));
        let mut pods = snapshot.pods.value().unwrap().iter().filter(|pod| pod.node.as_deref().is_some_and(on_pool));
        if let Change::Drain(Drain::Evict { pod, uid, node, .. }) = &mut step.change
            && let Some(there) = pods.find(|pod| pod.owner == Owner::Other && !pod.deleting)
        {
            (*pod, *uid) = (there.full_name(), there.full_name());
            *node = there.node.as_deref().unwrap_or_default().to_owned();
        }
        snapshot.nodes = Known::seen(NOW, nodes);
        (snapshot, step)
    })
}

/// A change of a drain of the pool, down to so many nodes or for its demotion or deletion.
fn drain(kind: u8, aim: u8, pool: &AgentPool, count: u32) -> Drain {
    let to = count.min(pool.count);
    let nodes = (to..pool.count).map(|index| format!("aks-{}-{index}", pool.name)).collect();
    let aim = match aim {
        0 => Aim::Demotion,
        1 => Aim::Deletion,
        _ => Aim::Scale { from: pool.count, to },
    };
    match kind {
        0 => Drain::Cordon { nodes, aim },
        1 => Drain::RemoveMachines { machines: nodes, from: pool.count },
        _ => {
            let (pod, node) = (format!("kube-system/pod-{}", count.min(1)), format!("aks-{}-0", pool.name));
            Drain::Evict { uid: pod.clone(), pod, node, aim }
        }
    }
}

/// What runs on all nodes of a pool: the protected pods that do; `None` if that has not been read.
pub fn occupancy(pool: &str, nodes: &Rows<Node>, pods: &Rows<Pod>, known: u8) -> Option<Known<Occupancy>> {
    let names: BTreeSet<String> =
        nodes.iter().filter(|node| node.pool.as_deref() == Some(pool)).map(|node| node.name.clone()).collect();
    let is_here = |pod: &&Pod| pod.node.as_deref().is_some_and(|node| names.contains(node));
    let occupant = |pod: &Pod| Occupant {
        pod: pod.clone(),
        uid: pod.full_name(),
        tenancy: match (pod.owner, &pod.controller) {
            (Owner::DaemonSet, _) => Tenancy::OfNode,
            (Owner::Other, Some(_)) => Tenancy::Controlled,
            (Owner::Other, None) => Tenancy::Alone,
        },
        protected: true,
    };
    let pods = pods.iter().filter(is_here).map(occupant).collect();
    let at = if known == 1 { ago(301) } else { NOW };
    (known != 0).then(|| Known::seen(at, Occupancy { nodes: names.clone(), pods, budgets: vec![] }))
}
