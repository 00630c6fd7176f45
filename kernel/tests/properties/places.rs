//! Where pods could run, over arbitrary clusters: what is not refused has a place, and to know less, or to have less room,
//! never approves more. The oracle is written from the design's words and not from the kernel.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use nodepool_kernel::placement::{self, Listing, Resources, World};
use nodepool_kernel::{
    Change, Known, Mode, Node, Owner, Phase, Places, Pod, Readiness, Rule, Settings, Snapshot, Step, TaintEffect, guard,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::cases;
use crate::clusters::{NOW, cluster_and_step};
use crate::oracle::{Oracle, is_evicted};

/// A number that depends on the name and the seed only.
fn draw(name: &str, seed: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, seed).hash(&mut hasher);
    hasher.finish()
}

/// How many pods the node takes at most: none, one or many.
fn room(node: &str, seed: u64) -> i128 {
    [0, 1, 50][usize::try_from(draw(node, seed) % 3).unwrap()]
}

/// Pods ask for one thing, of which nodes have so many; some select a label that some nodes have.
fn as_placed(pod: &Pod, seed: u64) -> placement::Pod {
    let selector = ("disk".to_owned(), "ssd".to_owned());
    placement::Pod {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        labels: (*pod.labels).clone(),
        tolerations: (*pod.tolerations).clone(),
        requests: Resources { cpu: 1, ..Resources::default() },
        node_selector: (draw(&pod.name, seed).is_multiple_of(4)).then_some(selector).into_iter().collect(),
        ..placement::Pod::default()
    }
}

fn has_ssd(node: &str, seed: u64) -> bool {
    draw(node, seed.wrapping_add(1)).is_multiple_of(2)
}

/// The snapshot with places that `seed` decides. What runs has its room beside.
pub fn with_places(snapshot: &Snapshot, seed: u64) -> Snapshot {
    let pods = snapshot.pods.value().unwrap();
    let running = |node: &str| pods.iter().filter(|pod| pod.node.as_deref() == Some(node)).count();
    let node = |node: &Node| placement::Node {
        name: node.name.clone(),
        labels: has_ssd(&node.name, seed).then(|| ("disk".to_owned(), "ssd".to_owned())).into_iter().collect(),
        taints: node.taints.clone(),
        unschedulable: node.cordoned,
        allocatable: Resources {
            cpu: room(&node.name, seed) + i128::try_from(running(&node.name)).unwrap(),
            ..Resources::default()
        },
        max_pods: 100,
        drivers: None,
        attached: [].into(),
        unavailable: None,
        all_pods_listed: true,
    };
    let nodes = snapshot.nodes.value().unwrap().iter().map(node).collect();
    let mut world = World::new(nodes, Some(BTreeMap::new()), Listing::default());
    let mut placed = BTreeMap::new();
    for pod in pods {
        if let Some(node) = &pod.node {
            world.add(node, as_placed(pod, seed));
        }
        placed.insert(format!("{}/{}", pod.namespace, pod.name), as_placed(pod, seed));
    }
    Snapshot { places: Known::seen(NOW, Arc::new(Places { world, pods: placed })), ..snapshot.clone() }
}

/// A cluster with places, one protected pod on a node of the step's pool, and nothing in flight.
fn one_pod() -> impl Strategy<Value = (Snapshot, Step, u64)> {
    (cluster_and_step(), any::<u64>(), any::<bool>()).prop_filter_map(
        "no pod",
        |((mut snapshot, step), seed, waits)| {
            let node = snapshot.nodes.value()?.iter().find(|node| node.pool.as_ref() == Some(&step.pool))?.name.clone();
            let mut pods = snapshot.pods.value()?.clone();
            pods.retain(|pod| pod.owner == Owner::Other && !pod.deleting);
            let mut pod = pods.iter().next()?.clone();
            pod.node = (!waits).then_some(node.into());
            pod.phase = if waits { Phase::Pending } else { Phase::Running };
            snapshot.pods = Known::seen(NOW, vec![pod].into());
            snapshot.in_flight.clear();
            Some((with_places(&snapshot, seed), step, seed))
        },
    )
}

fn refuses(snapshot: &Snapshot, step: &Step) -> bool {
    guard(step.clone(), snapshot, &Settings::default())
        .is_err_and(|refusal| refusal.broken.iter().any(|broken| broken.rule == Rule::SystemPodsUnplaceable))
}

/// Whether the pod could be put on the node, with the pool's taints after the step, if the node stays.
fn takes(snapshot: &Snapshot, step: &Step, node: &Node, pod: &Pod, seed: u64) -> bool {
    let pool = node.pool.as_ref().and_then(|name| snapshot.cluster.value().unwrap().pool(name));
    let mut taints = node.taints.clone();
    taints.extend(pool.iter().flat_map(|pool| pool.taints.clone()));
    if let Change::Taints { to, .. } = &step.change
        && node.pool.as_ref() == Some(&step.pool)
    {
        taints.extend(to.iter().cloned());
    }
    let closed = taints.iter().any(|taint| {
        let tolerated = pod.tolerations.iter().any(|toleration| toleration.matches(taint));
        taint.effect != TaintEffect::PreferNoSchedule && !tolerated
    });
    let selects = as_placed(pod, seed).node_selector.is_empty() || has_ssd(&node.name, seed);
    let here = usize::from(pod.node.as_deref() == Some(node.name.as_str()));
    !closed && !node.cordoned && selects && room(&node.name, seed) + i128::try_from(here).unwrap() > 0
}

/// Whether the step moves the pod from its node while the node stays.
fn is_moved(snapshot: &Snapshot, step: &Step, pod: &Pod) -> bool {
    let pool = snapshot.cluster.value().unwrap().pool(&step.pool).unwrap();
    let node =
        snapshot.nodes.value().unwrap().iter().find(|node| pod.node.as_deref() == Some(node.name.as_str())).unwrap();
    let taints = if let Change::Taints { to, .. } = &step.change { to } else { &pool.taints };
    let demotes = matches!(&step.change, Change::Mode { from: Mode::System, to } if *to != Mode::System);
    let new = taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute && !node.taints.contains(taint));
    demotes || new.into_iter().any(|taint| is_evicted(&pod.tolerations, taint))
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn what_is_moved_and_not_refused_has_a_place((snapshot, step, seed) in one_pod()) {
        let pod = snapshot.pods.value().unwrap().iter().next().unwrap();
        let oracle = Oracle::new(&snapshot);
        let cluster = snapshot.cluster.value().unwrap();
        let pool = cluster.pool(&step.pool).unwrap();
        let half = oracle.is_half_upgraded(pool) || oracle.goes_on_removing(pool);
        if pod.node.is_some() && !half && is_moved(&snapshot, &step, pod) && !refuses(&snapshot, &step) {
            let from_system = pool.mode == Mode::System || oracle.nodes_of(pool).any(|node| node.labelled_system);
            let demoted = matches!(&step.change, Change::Mode { to, .. } if *to != Mode::System);
            let place = |node: &&Node| {
                let system = node.pool.as_ref().and_then(|name| cluster.pool(name)).is_some_and(|pool| pool.mode == Mode::System)
                    && node.labelled_system
                    && !(demoted && node.pool.as_ref() == Some(&step.pool));
                let ready = matches!(node.readiness, Readiness::Ready { .. }) && !node.deleting;
                ready && (system || !from_system) && takes(&snapshot, &step, node, pod, seed)
            };
            prop_assert!(snapshot.nodes.value().unwrap().iter().any(|node| place(&node)), "{}", step);
        }
    }

    #[test]
    fn a_pod_that_waits_and_is_not_refused_loses_no_place((snapshot, step, seed) in one_pod()) {
        let pod = snapshot.pods.value().unwrap().iter().next().unwrap();
        let nodes = snapshot.nodes.value().unwrap();
        let could = nodes.iter().any(|node| {
            let taints = Snapshot { cluster: Known::seen(NOW, without_taints(&snapshot)), ..snapshot.clone() };
            let nothing = Step { change: Change::Repair { code: String::new() }, ..step.clone() };
            takes(&taints, &nothing, node, pod, seed)
        });
        let stays = !matches!(step.change, Change::Count { from, to } if to < from);
        let oracle = Oracle::new(&snapshot);
        let pool = snapshot.cluster.value().unwrap().pool(&step.pool).unwrap();
        let half = oracle.is_half_upgraded(pool) || oracle.goes_on_removing(pool);
        let taints = matches!(step.change, Change::Taints { .. });
        if pod.node.is_none() && could && stays && taints && !half && !refuses(&snapshot, &step) {
            let closes = nodes.iter().filter(|node| node.pool.as_ref() == Some(&step.pool)).count() > 0;
            let left = nodes.iter().any(|node| takes(&snapshot, &step, node, pod, seed));
            prop_assert!(left || !closes || !brings_taints(&snapshot, &step), "{}", step);
        }
    }

    #[test]
    fn to_know_less_or_to_have_less_room_never_approves_more(
        (snapshot, step, seed) in one_pod(),
        full in any::<u64>(),
    ) {
        if refuses(&snapshot, &step) {
            let unknown = Snapshot { places: Known::unknown("no answer"), ..snapshot.clone() };
            prop_assert!(refuses(&unknown, &step));
            let Known::Seen { value, .. } = &snapshot.places else { return Ok(()) };
            let mut places = Places::clone(value);
            places.pods.clear();
            let nothing_of_it = Snapshot { places: Known::seen(NOW, Arc::new(places)), ..snapshot.clone() };
            prop_assert!(refuses(&nothing_of_it, &step));
            let mut nodes = snapshot.nodes.value().unwrap().clone();
            for node in nodes.iter_mut().filter(|node| draw(&node.name, full).is_multiple_of(2)) {
                node.readiness = Readiness::NotReady { since: NOW };
            }
            let sick = Snapshot { nodes: Known::seen(NOW, nodes), ..snapshot.clone() };
            prop_assert!(refuses(&sick, &step), "{}", seed);
        }
    }
}

/// The cluster with the taints that are on its nodes only.
fn without_taints(snapshot: &Snapshot) -> nodepool_kernel::Cluster {
    let mut cluster = snapshot.cluster.value().unwrap().clone();
    cluster.pools.iter_mut().for_each(|pool| pool.taints.clear());
    cluster
}

/// Whether the step brings a taint that keeps pods away to a node of its pool.
fn brings_taints(snapshot: &Snapshot, step: &Step) -> bool {
    let Change::Taints { to, .. } = &step.change else { return false };
    let keeps_away = to.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
    let nodes = || snapshot.nodes.value().unwrap().iter().filter(|node| node.pool.as_ref() == Some(&step.pool));
    keeps_away.into_iter().any(|taint| nodes().any(|node| !node.taints.contains(taint)))
}

/// The properties above mean something only if steps that move pods, or take places, pass and are refused.
#[test]
fn the_places_are_worth_judging() {
    let mut runner = TestRunner::new_with_rng(cases(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut moved, mut waits) = ([0, 0], [0, 0]);
    for _ in 0..3000 {
        let (snapshot, step, _) = one_pod().new_tree(&mut runner).unwrap().current();
        let pod = snapshot.pods.value().unwrap().iter().next().unwrap();
        let unknown = Snapshot { places: Known::unknown("no answer"), ..snapshot.clone() };
        if refuses(&unknown, &step) {
            let of = if pod.node.is_some() { &mut moved } else { &mut waits };
            of[usize::from(refuses(&snapshot, &step))] += 1;
        }
    }
    let worth = |of: [i32; 2]| of.iter().all(|count| *count > 30);
    assert!(worth(moved) && worth(waits), "moved: {moved:?}, waiting: {waits:?} (passed, refused)");
}
