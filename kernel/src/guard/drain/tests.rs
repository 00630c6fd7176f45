//! What the rules ask of each change of a drain.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::placement::{self, Listing, World};
use crate::testing::{
    NOW, ago, begin_drain, broken, budget, edit, governed, node, nodes_mut, occupy, pod, pool, pool_mut, rules,
    with_labels, workload,
};
use crate::{
    Aim, Broken, Change, Controller, Drain, Known, Mode, Occupant, Owner, Phase, Places, Pod, ProvisioningState,
    Readiness, Rule, Snapshot, Standing, Step, SystemPods, Tenancy,
};

const TO_THREE: Aim = Aim::Scale { from: 5, to: 3 };

/// A system pool of five nodes whose policy permits that pods are moved; coredns on the first and the fifth node.
fn cluster() -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 5), pool("apps", Mode::User, 2)], "sys");
    edit(&mut snapshot.intents).first_mut().unwrap().system_pods = SystemPods::Relocate;
    for index in [0, 4] {
        let controller = Arc::new(Controller { kind: "Deployment".into(), name: "coredns".into() });
        let pod = with_labels(pod(&format!("dns-{index}"), &node("sys", index)), &[("app", "dns")]);
        edit(&mut snapshot.pods).push(Pod { controller: Some(controller), ..pod });
    }
    edit(&mut snapshot.budgets).push(budget("dns", "app", "dns", 1));
    occupy(&mut snapshot, "sys");
    with_places(&mut snapshot);
    snapshot
}

/// The same with nodes 3 and 4 cordoned.
fn begun() -> Snapshot {
    let mut snapshot = cluster();
    begin_drain(&mut snapshot, "sys", &[3, 4]);
    with_places(&mut snapshot);
    snapshot
}

/// Tells that every protected pod may run on every node that is open.
fn with_places(snapshot: &mut Snapshot) {
    let rows = edit(&mut snapshot.nodes)
        .iter()
        .map(|node| placement::Node { unschedulable: node.cordoned, ..placement::testing::node(&node.name, &[]) });
    let listing = Listing { namespaces: ["kube-system".to_owned()].into(), repelling: true };
    let mut world = World::new(rows.collect(), None, listing);
    let mut pods = std::collections::BTreeMap::new();
    for pod in edit(&mut snapshot.pods) {
        let placed = placement::Pod {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            ..placement::Pod::default()
        };
        if let Some(node) = pod.node.as_deref() {
            world.add(node, Arc::new(placed.clone()));
        }
        pods.insert(pod.full_name(), placed);
    }
    snapshot.places = Known::seen(NOW, Arc::new(Places { world, pods }));
}

fn step(drain: Drain) -> Step {
    Step { policy: "p".into(), pool: "sys".into(), change: Change::Drain(drain) }
}

fn names(indices: &[u32]) -> Vec<String> {
    indices.iter().map(|index| node("sys", *index).name).collect()
}

fn cordon(indices: &[u32], aim: Aim) -> Step {
    step(Drain::Cordon { nodes: names(indices), aim })
}

fn evict(name: &str, index: u32) -> Step {
    let node = node("sys", index).name;
    step(Drain::Evict { pod: format!("kube-system/{name}"), uid: name.into(), node, aim: TO_THREE })
}

fn remove(indices: &[u32]) -> Step {
    step(Drain::RemoveMachines { machines: names(indices), from: 5 })
}

fn uncordon(indices: &[u32]) -> Step {
    step(Drain::Uncordon { nodes: names(indices), why: "a test".into() })
}

fn occupants(snapshot: &mut Snapshot) -> &mut Vec<Occupant> {
    &mut edit(snapshot.occupancy.get_mut("sys").unwrap()).pods
}

/// Another pod, not protected, on the fifth node.
fn app(snapshot: &mut Snapshot, tenancy: Tenancy) -> &mut Occupant {
    let pod = with_labels(Pod { namespace: "shop".into(), ..pod("web", &node("sys", 4)) }, &[("app", "web")]);
    let occupant = Occupant { pod, uid: "web".into(), tenancy, protected: false };
    let occupants = occupants(snapshot);
    occupants.push(occupant);
    occupants.last_mut().unwrap()
}

fn evict_app() -> Step {
    let node = node("sys", 4).name;
    step(Drain::Evict { pod: "shop/web".into(), uid: "web".into(), node, aim: TO_THREE })
}

fn finding(snapshot: &Snapshot, step: &Step, rule: Rule) -> String {
    let found: Option<Broken> = broken(snapshot, step, rule);
    found.map_or_else(|| format!("{rule} is not broken: {:?}", rules(snapshot, step)), |found| found.finding)
}

#[test]
fn each_change_of_an_ordinary_drain_passes() {
    assert_eq!(rules(&cluster(), &cordon(&[3, 4], TO_THREE)), []);
    let mut snapshot = begun();
    assert_eq!(rules(&snapshot, &evict("dns-4", 4)), []);
    edit(&mut snapshot.pods).retain(|pod| &*pod.name != "dns-4");
    app(&mut snapshot, Tenancy::Controlled);
    assert_eq!(rules(&snapshot, &evict_app()), []);
    occupy(&mut snapshot, "sys");
    assert_eq!(rules(&snapshot, &remove(&[3, 4])), []);
    assert_eq!(rules(&snapshot, &uncordon(&[3, 4])), []);
}

#[test]
fn where_pods_are_protected_only_empty_nodes_are_drained() {
    let protect = |mut snapshot: Snapshot| {
        edit(&mut snapshot.intents).first_mut().unwrap().system_pods = SystemPods::Protect;
        snapshot
    };
    let snapshot = protect(cluster());
    assert_eq!(rules(&snapshot, &cordon(&[2, 3], TO_THREE)), []);
    let found = broken(&snapshot, &cordon(&[3, 4], TO_THREE), Rule::SystemPodsWouldBeEvicted).unwrap();
    assert_eq!(found.finding, "the drain of nodes of pool sys would evict kube-system/dns-4");
    assert_eq!((found.standing, found.pods), (Standing::Lasting, vec!["kube-system/dns-4".to_owned()]));
    assert!(found.remedy.starts_with("set spec.disruption.systemPods to Relocate in policy p"), "{}", found.remedy);
    assert_eq!(rules(&protect(begun()), &evict("dns-4", 4)), [Rule::SystemPodsWouldBeEvicted]);
    let demotion = rules(&protect(cluster()), &cordon(&[1, 2, 3], Aim::Demotion));
    assert!(demotion.contains(&Rule::SystemPodsWouldBeEvicted));
}

#[test]
fn capacity_is_judged_as_if_all_chosen_nodes_were_gone_and_no_others() {
    let to = |to| Aim::Scale { from: 5, to };
    let cluster = cluster();
    assert_eq!(rules(&cluster, &cordon(&[1, 2, 3], to(2))), []);
    assert_eq!(rules(&cluster, &cordon(&[1, 2, 3, 4], to(1))), [Rule::SystemCapacityFloor]);
    let mut snapshot = cluster.clone();
    let since = ago(999);
    nodes_mut(&mut snapshot, "sys").skip(3).for_each(|node| node.readiness = Readiness::NotReady { since });
    assert_eq!(rules(&snapshot, &cordon(&[3, 4], TO_THREE)), [], "those that are worth nothing go");
    assert_eq!(rules(&snapshot, &cordon(&[1, 2], TO_THREE)), [Rule::SystemCapacityFloor], "or those that are");
    let mut snapshot = begun();
    nodes_mut(&mut snapshot, "sys").take(2).for_each(|node| node.readiness = Readiness::NotReady { since });
    edit(&mut snapshot.pods).clear();
    occupy(&mut snapshot, "sys");
    assert_eq!(rules(&snapshot, &remove(&[3, 4])), [Rule::SystemCapacityFloor], "the others have failed meanwhile");
    let all = cordon(&[0, 1, 2, 3, 4], Aim::Demotion);
    let capacity = [Rule::LastHealthySystemPool, Rule::SystemCapacityFloor];
    assert!(rules(&cluster, &all).starts_with(&capacity), "{:?}", rules(&cluster, &all));
    assert!(rules(&cluster, &all).contains(&Rule::SystemPodsUnplaceable), "no other system node takes them");
}

#[test]
fn places_are_looked_for_without_exactly_the_chosen_nodes() {
    let mut snapshot = cluster();
    let Known::Seen { value: places, .. } = &mut snapshot.places else { panic!() };
    let places = Arc::make_mut(places);
    for index in [1, 2, 3] {
        places.world.bar(&node("sys", index).name, "too small");
    }
    places.world.bar(&node("apps", 0).name, "too small");
    assert_eq!(rules(&snapshot, &cordon(&[3, 4], TO_THREE)), [], "the first node takes it");
    let found = finding(&snapshot, &cordon(&[0, 4], TO_THREE), Rule::SystemPodsUnplaceable);
    assert!(found.starts_with("the drain of 2 nodes of pool sys (with"), "{found}");
    assert!(found.contains("kube-system/dns-0"), "{found}");
    let mut begun = begun();
    begun.places = Known::unknown("not read");
    assert_eq!(rules(&begun, &evict("dns-4", 4)), [Rule::SystemPodsUnplaceable]);
    edit(&mut begun.pods).retain(|pod| &*pod.name != "dns-4");
    occupy(&mut begun, "sys");
    assert_eq!(rules(&begun, &remove(&[3, 4])), [], "nothing is moved any more");
}

#[test]
fn budgets_must_let_pods_go_one_at_a_time() {
    let with = |allowed: i32, on: &[u32]| {
        let mut snapshot = cluster();
        for index in on {
            let twin = edit(&mut snapshot.pods).iter().next().unwrap().clone();
            let (name, node) = (format!("twin-{index}").into(), Some(node("sys", *index).name.into()));
            edit(&mut snapshot.pods).push(Pod { name, node, ..twin });
        }
        let status = &mut edit(&mut snapshot.budgets).first_mut().unwrap().status;
        (status.allowed, status.desired) = (allowed, 4);
        with_places(&mut snapshot);
        occupy(&mut snapshot, "sys");
        snapshot
    };
    let both = cordon(&[3, 4], TO_THREE);
    assert_eq!(rules(&with(1, &[3, 4]), &both), [], "three pods, one at a time");
    let closed = broken(&with(0, &[]), &both, Rule::DisruptionBudgetBlocks).unwrap();
    assert_eq!(closed.standing, Standing::Passing);
    assert!(closed.finding.starts_with("the drain of nodes of pool sys would take down"), "{}", closed.finding);
    let mut never = with(0, &[]);
    edit(&mut never.budgets).first_mut().unwrap().status.desired = 5;
    assert_eq!(broken(&never, &both, Rule::DisruptionBudgetBlocks).unwrap().standing, Standing::Lasting);
    let mut without = with(0, &[3, 4]);
    edit(&mut without.budgets).clear();
    assert_eq!(rules(&without, &both), [], "without a budget one of a workload");
    let mut snapshot = begun();
    edit(&mut snapshot.budgets).first_mut().unwrap().status.allowed = 0;
    assert_eq!(rules(&snapshot, &evict("dns-4", 4)), [Rule::DisruptionBudgetBlocks]);
}

#[test]
fn the_budgets_of_other_pods_are_asked_too() {
    let found = |allowed: i32, desired: i32, step: &Step| {
        let mut snapshot = if *step == evict_app() { begun() } else { cluster() };
        app(&mut snapshot, Tenancy::Controlled);
        let mut closed = crate::Budget { namespace: "shop".into(), ..budget("web", "app", "web", allowed) };
        closed.status.desired = desired;
        edit(snapshot.occupancy.get_mut("sys").unwrap()).budgets = vec![closed];
        broken(&snapshot, step, Rule::DisruptionBudgetBlocks).map(|found| (found.standing, found.finding))
    };
    let text = |desired| {
        format!(
            "the eviction of shop/web is not allowed now: budget shop/web allows no disruption: 5 healthy pods, {desired} are \
             needed"
        )
    };
    for step in [evict_app(), cordon(&[3, 4], TO_THREE)] {
        assert_eq!(found(0, 4, &step), Some((Standing::Passing, text(4))), "{step}");
        assert_eq!(found(0, 5, &step), Some((Standing::Lasting, text(5))), "{step}");
        assert_eq!(found(1, 4, &step), None);
    }
    assert_eq!(found(0, 5, &cordon(&[2, 3], TO_THREE)), None, "it is not there");
    for not_asked in [(|it| it.pod.deleting = true) as fn(&mut Occupant), |it| it.protected = true] {
        let mut snapshot = cluster();
        not_asked(app(&mut snapshot, Tenancy::Controlled));
        let closed = crate::Budget { namespace: "shop".into(), ..budget("web", "app", "web", 0) };
        edit(snapshot.occupancy.get_mut("sys").unwrap()).budgets = vec![closed];
        assert_eq!(broken(&snapshot, &cordon(&[3, 4], TO_THREE), Rule::DisruptionBudgetBlocks), None);
    }
}

#[test]
fn a_step_goes_on_only_from_what_is_there() {
    type Edit = fn(&mut Snapshot);
    let stale = |mut snapshot: Snapshot, edit_snapshot: Edit, step: &Step| {
        edit_snapshot(&mut snapshot);
        let found = broken(&snapshot, step, Rule::StaleObservation)?;
        assert_eq!(found.standing, Standing::Passing);
        Some(found.finding)
    };
    let unread: Edit = |snapshot| snapshot.occupancy.clear();
    let partly: Edit = |snapshot| {
        edit(snapshot.occupancy.get_mut("sys").unwrap()).nodes.retain(|node| !node.ends_with('4'));
    };
    let old: Edit = |snapshot| {
        let Some(Known::Seen { at, .. }) = snapshot.occupancy.get_mut("sys") else { panic!() };
        *at = ago(301);
    };
    for edit_snapshot in [unread, partly, old] {
        for (snapshot, step) in
            [(cluster(), cordon(&[3, 4], TO_THREE)), (begun(), evict("dns-4", 4)), (begun(), remove(&[3, 4]))]
        {
            let found = stale(snapshot, edit_snapshot, &step).unwrap_or_default();
            assert!(found.starts_with("what runs on the nodes to be drained is not known"), "{step}: {found}");
        }
    }
    let foreign: Edit =
        |snapshot| nodes_mut(snapshot, "sys").for_each(|node| (node.cordoned, node.drain) = (true, None));
    let opened: Edit = |snapshot| nodes_mut(snapshot, "sys").for_each(|node| node.cordoned = false);
    let of_another: Edit = |snapshot| {
        let marks = nodes_mut(snapshot, "sys").filter_map(|node| node.drain.as_mut());
        marks.for_each(|mark| mark.policy = "q".into());
    };
    let none: Edit = |_| ();
    assert!(stale(cluster(), foreign, &cordon(&[3, 4], TO_THREE)).unwrap().ends_with("is cordoned already"));
    assert!(stale(begun(), none, &cordon(&[3, 4], TO_THREE)).is_some());
    for step in [evict("dns-4", 4), remove(&[3, 4])] {
        for edit_snapshot in [foreign, opened, of_another] {
            let found = stale(begun(), edit_snapshot, &step).unwrap_or_default();
            assert!(found.ends_with("is not cordoned by this operator"), "{step}: {found}");
        }
    }
    assert!(stale(begun(), foreign, &uncordon(&[3, 4])).unwrap().starts_with("not cordoned for policy p: "));
    assert!(stale(begun(), of_another, &uncordon(&[3, 4])).is_some());
    assert_eq!(stale(begun(), opened, &uncordon(&[3, 4])), None, "the mark goes too");
    assert!(
        stale(cluster(), none, &cordon(&[3, 4], Aim::Scale { from: 6, to: 4 }))
            .unwrap()
            .ends_with("its count is 5, not 6")
    );
    assert!(
        stale(
            cluster(),
            |s| pool_mut(s, "sys").autoscaling = Some(crate::Autoscaling { min: 3, max: 9 }),
            &cordon(&[3], Aim::Demotion)
        )
        .is_some()
    );
    let left = stale(begun(), none, &remove(&[3, 4])).unwrap();
    assert_eq!(left, "pods are left on nodes that are to be removed: kube-system/dns-4");
    let gone = step(Drain::Evict {
        pod: "kube-system/dns-4".into(),
        uid: "another".into(),
        node: node("sys", 4).name,
        aim: TO_THREE,
    });
    assert!(stale(begun(), none, &gone).unwrap().ends_with("is not on node aks-sys-12345678-vmss000004 any more"));
    assert!(
        stale(begun(), |s| occupants(s).iter_mut().for_each(|it| it.pod.deleting = true), &evict("dns-4", 4))
            .unwrap()
            .ends_with("on its way out")
    );
    assert!(stale(cluster(), none, &cordon(&[9], TO_THREE)).unwrap().ends_with("is not shown"));
}

#[test]
fn pods_on_nodes_that_are_not_shown_stop_a_drain() {
    let mut snapshot = cluster();
    edit(&mut snapshot.pods).push(Pod { node: Some("lost".into()), ..pod("lost", &node("sys", 0)) });
    assert!(rules(&snapshot, &cordon(&[3, 4], TO_THREE)).contains(&Rule::StaleObservation));
}

#[test]
fn a_busy_or_half_upgraded_pool_is_not_drained() {
    let busy = |snapshot: &mut Snapshot| pool_mut(snapshot, "sys").state = ProvisioningState::Busy("Updating".into());
    let half = |snapshot: &mut Snapshot| pool_mut(snapshot, "sys").requested_version = Some("1.34".into());
    for (edit_snapshot, rule) in
        [(&busy as &dyn Fn(&mut Snapshot), Rule::OperationInProgress), (&half, Rule::SystemPodsWouldBeEvicted)]
    {
        let (mut calm, mut drained) = (cluster(), begun());
        edit_snapshot(&mut calm);
        edit_snapshot(&mut drained);
        let found: BTreeSet<Rule> = rules(&calm, &cordon(&[3, 4], TO_THREE)).into_iter().collect();
        assert!(found.contains(&rule), "{found:?}");
        assert!(rules(&drained, &evict("dns-4", 4)).contains(&rule));
        assert_eq!(rules(&drained, &uncordon(&[3, 4])), []);
    }
}

#[test]
fn a_removal_in_flight_takes_the_chosen_nodes_and_leaves_the_others_in_use() {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 5), pool("one", Mode::System, 1)], "one");
    begin_drain(&mut snapshot, "sys", &[3, 4]);
    pool_mut(&mut snapshot, "sys").state = ProvisioningState::Busy("Scaling".into());
    let step = crate::testing::demote("one");
    for (count, shown) in [(5, 5), (3, 5), (3, 3)] {
        pool_mut(&mut snapshot, "sys").count = count;
        edit(&mut snapshot.nodes)
            .retain(|node| node.pool.as_deref() != Some("sys") || shown == 5 || node.drain.is_none());
        snapshot.in_flight = crate::testing::in_flight([remove(&[3, 4])]);
        assert_eq!(rules(&snapshot, &step), [], "{count} {shown}: three nodes are left");
    }
    nodes_mut(&mut snapshot, "sys").take(2).for_each(|node| node.cordoned = true);
    assert_eq!(rules(&snapshot, &step), [Rule::SystemCapacityFloor]);
}

mod pods;
