use std::sync::Arc;

use super::*;
use crate::testing::{
    autoscale, demote, edit, governed, in_flight, nodes_mut, pod, pool, pool_mut, promote, put_label, put_taints,
    repair, scale, taint,
};
use crate::{Mode, PoolFailure, ProvisioningState, Settings, Snapshot};

/// A system pool and two user pools of three nodes; a replica and a daemon on each node.
fn cluster() -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3), pool("web", Mode::User, 3)];
    let mut snapshot = governed(pools, "apps");
    let nodes = snapshot.nodes.value().unwrap().clone();
    for node in &nodes {
        let daemon =
            Pod { owner: Owner::DaemonSet, selects: Arc::new(["tier".to_owned()].into()), ..pod("daemon", node) };
        edit(&mut snapshot.pods).extend([pod("replica", node), daemon]);
    }
    snapshot
}

fn failed(snapshot: &mut Snapshot, count: u32, code: &str) {
    let pool = pool_mut(snapshot, "apps");
    (pool.state, pool.count) = (ProvisioningState::Failed, count);
    pool.failure = Some(PoolFailure { code: code.to_owned(), message: String::new() });
}

/// How many nodes the autoscaler may take.
fn freed(snapshot: &Snapshot, step: &Step) -> usize {
    Takedown::of(&Facts::gather(snapshot, &Settings::default()).unwrap(), step).freed
}

#[test]
fn the_autoscaler_may_take_what_is_above_its_minimum_and_nothing_could_take_before() {
    let mut snapshot = cluster();
    for (from, to, nodes) in [
        (None, Some((1, 5)), 2),
        (None, Some((3, 5)), 0),
        (None, Some((2, 2)), 1),
        (Some((2, 5)), Some((0, 5)), 3),
        (Some((0, 5)), Some((2, 5)), 0),
        (Some((2, 5)), None, 0),
    ] {
        pool_mut(&mut snapshot, "apps").autoscaling = from.map(|(min, max)| crate::Autoscaling { min, max });
        let step = autoscale("apps", from, to);
        assert_eq!(freed(&snapshot, &step), nodes, "{step}");
        assert_eq!(of(&snapshot, &step), [0, 0, if nodes > 0 { 3 } else { 0 }, 0, 0]);
    }
    edit(&mut snapshot.nodes).retain(|node| !node.name.ends_with('1'));
    assert_eq!(freed(&snapshot, &autoscale("apps", Some((2, 5)), Some((0, 5)))), 3, "a node that is not shown counts");
}

/// How many replicas and daemons are evicted from nodes that stay, how many pods go with their nodes, and how many nodes
/// are removed and rolled.
fn counts(takedown: &Takedown<'_>) -> [usize; 5] {
    let evicted =
        |daemon: bool| takedown.evicted.iter().filter(|(pod, _)| (pod.owner == Owner::DaemonSet) == daemon).count();
    [evicted(false), evicted(true), takedown.with_nodes.len(), takedown.removed, takedown.rolled]
}

fn of(snapshot: &Snapshot, step: &Step) -> [usize; 5] {
    counts(&Takedown::of(&Facts::gather(snapshot, &Settings::default()).unwrap(), step))
}

fn elsewhere(snapshot: &Snapshot) -> Vec<[usize; 5]> {
    let (settings, step) = (Settings::default(), put_label("apps", "x"));
    let facts = Facts::gather(snapshot, &settings).unwrap();
    Takedown::elsewhere(&facts, &step).iter().map(counts).collect()
}

#[test]
fn each_step_takes_down_what_it_would() {
    let snapshot = cluster();
    for (step, expected) in [
        (put_taints("apps", &["a=b:NoExecute"]), [3, 3, 0, 0, 0]),
        (put_taints("apps", &["a=b:NoSchedule", "CriticalAddonsOnly=x:NoExecute"]), [0, 0, 0, 0, 0]),
        (put_label("apps", "tier"), [0, 3, 0, 0, 0]),
        (put_label("apps", "other"), [0, 0, 0, 0, 0]),
        (promote("apps"), [0, 0, 0, 0, 0]),
        (demote("sys"), [0, 0, 0, 0, 0]),
        (scale("apps", 3, 1), [0, 0, 3, 2, 0]),
        (scale("apps", 3, 0), [0, 0, 3, 3, 0]),
        (scale("apps", 3, 4), [0, 0, 0, 0, 0]),
        (scale("apps", 5, 4), [0, 0, 3, 1, 0]),
        (scale("gone", 3, 2), [0, 0, 0, 0, 0]),
    ] {
        assert_eq!(of(&snapshot, &step), expected, "{step}");
    }
}

#[test]
fn a_change_of_mode_changes_its_label() {
    let mut snapshot = cluster();
    for pod in edit(&mut snapshot.pods) {
        pod.selects = Arc::new([MODE_LABEL.to_owned()].into());
    }
    assert_eq!(of(&snapshot, &promote("apps")), [0, 3, 0, 0, 0]);
    assert_eq!(of(&snapshot, &put_label("apps", "tier")), [0, 0, 0, 0, 0]);
}

#[test]
fn a_taint_that_has_not_arrived_comes_with_any_step() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "apps").taints = vec![taint("a=b:NoExecute")];
    assert_eq!(of(&snapshot, &scale("apps", 3, 2)), [3, 3, 0, 1, 0]);
    nodes_mut(&mut snapshot, "apps").take(1).for_each(|node| node.taints.push(taint("a=b:NoExecute")));
    assert_eq!(of(&snapshot, &scale("apps", 3, 2)), [2, 2, 1, 1, 0]);
    let facts = Settings::default();
    let facts = Facts::gather(&snapshot, &facts).unwrap();
    let takedown = Takedown::of(&facts, &scale("apps", 3, 2));
    assert_eq!(takedown.taints, [taint("a=b:NoExecute")].into());
    assert!(takedown.evicted.iter().all(|(_, going)| *going == Going::Taint));
    let labels = Takedown::of(&facts, &put_label("web", "tier"));
    assert!(labels.evicted.iter().all(|(_, going)| *going == Going::Label) && labels.taints.is_empty());
}

#[test]
fn surplus_nodes_of_a_removal_that_failed_go_with_any_write() {
    let mut snapshot = cluster();
    failed(&mut snapshot, 2, "QuotaExceeded");
    assert_eq!(of(&snapshot, &repair("apps")), [0, 0, 3, 1, 0]);
    assert_eq!(of(&snapshot, &scale("apps", 2, 1)), [0, 0, 3, 2, 0], "nodes beyond the count go too");
    failed(&mut snapshot, 3, "QuotaExceeded");
    assert_eq!(of(&snapshot, &repair("apps")), [0, 0, 0, 0, 0]);
    failed(&mut snapshot, 3, "PodDrainFailure");
    assert_eq!(of(&snapshot, &repair("apps")), [0, 0, 3, 3, 0], "how many were left is not known");
    failed(&mut snapshot, 2, "PodDrainFailure");
    assert_eq!(of(&snapshot, &repair("apps")), [0, 0, 3, 1, 0]);
}

#[test]
fn an_unfinished_upgrade_rolls_at_least_one_node() {
    for (unavailable, rolled) in [("0", 1), ("1", 1), ("2", 2), ("50%", 2), ("?", 3)] {
        let mut snapshot = cluster();
        let pool = pool_mut(&mut snapshot, "apps");
        (pool.requested_version, pool.max_unavailable) = (Some("1.34".into()), Some(unavailable.into()));
        assert_eq!(of(&snapshot, &put_label("apps", "x")), [0, 0, 3, 0, rolled], "{unavailable}");
        assert_eq!(of(&snapshot, &scale("apps", 3, 2)), [0, 0, 3, 1, rolled]);
    }
}

#[test]
fn steps_in_flight_and_foreign_removals_elsewhere_count() {
    let mut snapshot = cluster();
    assert_eq!(elsewhere(&snapshot), Vec::<[usize; 5]>::new());
    snapshot.in_flight = in_flight([put_taints("web", &["a=b:NoExecute"]), put_taints("apps", &["a=b:NoExecute"])]);
    assert_eq!(elsewhere(&snapshot), [[3, 3, 0, 0, 0]], "what is in flight on the same pool refuses by itself");
    pool_mut(&mut snapshot, "web").state = ProvisioningState::Busy("Deleting".into());
    assert_eq!(elsewhere(&snapshot), [[3, 3, 0, 0, 0]], "it is our own operation");
    snapshot.in_flight.clear();
    assert_eq!(elsewhere(&snapshot), [[0, 0, 3, 3, 0]]);
    for (state, count, expected) in [
        (ProvisioningState::Busy("Stopping".into()), 3, vec![[0, 0, 3, 3, 0]]),
        (ProvisioningState::Busy("Scaling".into()), 3, vec![]),
        (ProvisioningState::Busy("Scaling".into()), 1, vec![[0, 0, 3, 2, 0]]),
        (ProvisioningState::Succeeded, 1, vec![]),
    ] {
        let pool = pool_mut(&mut snapshot, "web");
        (pool.state, pool.count) = (state.clone(), count);
        assert_eq!(elsewhere(&snapshot), expected, "{state:?} {count}");
    }
    let web = pool_mut(&mut snapshot, "web");
    (web.state, web.count) = (ProvisioningState::Succeeded, 3);
    pool_mut(&mut snapshot, "apps").state = ProvisioningState::Busy("Deleting".into());
    assert_eq!(elsewhere(&snapshot), Vec::<[usize; 5]>::new(), "it is the step's own pool");
}

#[test]
fn the_nodes_with_most_pods_go_at_worst() {
    let load = Load { evicted: 1, by_node: [("a", 1), ("b", 3), ("c", 2)].into(), singly: false };
    assert_eq!([0, 1, 2, 3, 9].map(|nodes| load.at_worst(nodes)), [1, 4, 6, 7, 7]);
    assert_eq!([0, 2, 3, 9].map(|nodes| load.outlasts(nodes)), [true, true, false, false]);
}
