//! Pods that a drain must not take, or not yet.

use super::*;

#[test]
fn pods_that_nothing_would_start_again_keep_their_nodes() {
    let mut snapshot = cluster();
    app(&mut snapshot, Tenancy::Alone);
    let found = broken(&snapshot, &cordon(&[3, 4], TO_THREE), Rule::WorkloadsDependOnPool).unwrap();
    assert_eq!(
        (found.standing, found.finding.as_str()),
        (Standing::Lasting, "nothing would start these pods again: shop/web")
    );
    assert_eq!(rules(&snapshot, &cordon(&[2, 3], TO_THREE)), [], "it is not there");
    begin_drain(&mut snapshot, "sys", &[3, 4]);
    assert_eq!(rules(&snapshot, &evict_app()), [Rule::WorkloadsDependOnPool]);
    assert_eq!(rules(&snapshot, &evict("dns-4", 4)), [Rule::WorkloadsDependOnPool], "all or none");
    for edit_pod in [(|it| it.pod.deleting = true) as fn(&mut Occupant), |it| it.pod.phase = Phase::Finished] {
        let mut snapshot = cluster();
        edit_pod(app(&mut snapshot, Tenancy::Alone));
        assert_eq!(rules(&snapshot, &cordon(&[3, 4], TO_THREE)), []);
    }
    let mut snapshot = cluster();
    app(&mut snapshot, Tenancy::OfNode);
    assert_eq!(rules(&snapshot, &cordon(&[3, 4], TO_THREE)), []);
}

#[test]
fn a_pod_that_comes_back_to_a_cordoned_node_is_not_evicted_again() {
    for (created, comes_back) in [(ago(7200), false), (ago(600), false), (ago(595), false), (ago(594), true)] {
        let mut snapshot = begun();
        app(&mut snapshot, Tenancy::Controlled).pod.created = created;
        let found = broken(&snapshot, &evict_app(), Rule::WorkloadsDependOnPool);
        assert_eq!(found.is_some(), comes_back, "{created:?}");
        assert!(found.is_none_or(|found| found.standing == Standing::Lasting && found.finding.contains("shop/web")));
    }
}

#[test]
fn a_pod_that_may_have_come_since_the_cordon_is_evicted_when_its_successor_can_be_told() {
    for (since, created, waits) in
        [(10, 10, true), (10, 14, true), (10, 15, false), (11, 11, false), (11, 15, false), (1, 5, true), (1, 6, false)]
    {
        let mut snapshot = begun();
        let marks = nodes_mut(&mut snapshot, "sys").filter_map(|node| node.drain.as_mut());
        marks.for_each(|mark| mark.since = ago(since));
        app(&mut snapshot, Tenancy::Controlled).pod.created = ago(created);
        let found = broken(&snapshot, &evict_app(), Rule::WorkloadsDependOnPool);
        let wanted = "shop/web came when its node was cordoned, and may come back at once";
        assert_eq!(found.map(|it| (it.standing, it.finding)), waits.then(|| (Standing::Passing, wanted.to_owned())));
        assert_eq!(broken(&snapshot, &evict("dns-4", 4), Rule::WorkloadsDependOnPool), None, "others go");
    }
}

#[test]
fn one_protected_pod_runs_elsewhere_before_the_next_goes() {
    let with = |edit_pod: &dyn Fn(&mut Pod)| {
        let mut snapshot = begun();
        let mut other = edit(&mut snapshot.pods).iter().next().unwrap().clone();
        (other.name, other.created) = ("dns-new".into(), ago(60));
        other.node = Some(node("sys", 1).name.into());
        edit_pod(&mut other);
        edit(&mut snapshot.pods).push(other);
        occupy(&mut snapshot, "sys");
        with_places(&mut snapshot);
        broken(&snapshot, &evict("dns-4", 4), Rule::KubeSystemUnhealthy)
    };
    assert_eq!(with(&|_| ()), None);
    let found = with(&|pod| pod.ready = false).unwrap();
    assert_eq!(found.standing, Standing::Passing);
    assert!(
        found.finding.ends_with("kube-system/dns-new, started since the drain began, is not Ready"),
        "{}",
        found.finding
    );
    assert!(with(&|pod| (pod.ready, pod.node, pod.phase) = (false, None, Phase::Pending)).is_some());
    for harmless in [
        (|pod| (pod.ready, pod.created) = (false, ago(661))) as fn(&mut Pod),
        |pod| (pod.ready, pod.owner) = (false, Owner::DaemonSet),
        |pod| (pod.ready, pod.controller) = (false, None),
        |pod| (pod.ready, pod.phase) = (false, Phase::Finished),
        |pod| (pod.ready, pod.deleting) = (false, true),
    ] {
        assert_eq!(with(&harmless), None);
    }
    let leaving = with(&|pod| (pod.deleting, pod.node) = (true, Some(node("sys", 3).name.into()))).unwrap();
    assert!(leaving.finding.ends_with("kube-system/dns-new is on its way out"), "{}", leaving.finding);
    let mut snapshot = begun();
    app(&mut snapshot, Tenancy::Controlled);
    let mut late = edit(&mut snapshot.pods).iter().next().unwrap().clone();
    (late.name, late.created, late.ready) = ("dns-new".into(), ago(60), false);
    edit(&mut snapshot.pods).push(late);
    assert_eq!(broken(&snapshot, &evict_app(), Rule::KubeSystemUnhealthy), None, "other pods go beside that");
    let mut snapshot = begun();
    for workload in edit(&mut snapshot.workloads) {
        workload.ready = 1;
    }
    assert_eq!(rules(&snapshot, &evict("dns-4", 4)), [Rule::KubeSystemUnhealthy]);
    assert_eq!(rules(&snapshot, &uncordon(&[3, 4])), []);
    *edit(&mut snapshot.workloads) = vec![workload("coredns")];
    assert_eq!(rules(&snapshot, &evict("dns-4", 4)), []);
}

#[test]
fn a_pod_that_waits_in_vain_holds_no_drain_back() {
    type Edit = fn(&mut placement::Pod);
    let waits = |edit_pod: Edit, edit_world: fn(&mut World)| {
        let mut snapshot = begun();
        let mut stray = edit(&mut snapshot.pods).iter().next().unwrap().clone();
        (stray.name, stray.created, stray.ready) = ("stray".into(), ago(60), false);
        (stray.node, stray.phase) = (None, Phase::Pending);
        edit(&mut snapshot.pods).push(stray);
        occupy(&mut snapshot, "sys");
        with_places(&mut snapshot);
        let mut places = Places::clone(edit(&mut snapshot.places));
        places.pods.get_mut("kube-system/stray").map(edit_pod).unwrap();
        edit_world(&mut places.world);
        snapshot.places = Known::seen(NOW, Arc::new(places));
        broken(&snapshot, &evict("dns-4", 4), Rule::KubeSystemUnhealthy).is_some()
    };
    let as_is: fn(&mut World) = |_| ();
    let nowhere: Edit = |pod| pod.node_selector = placement::testing::labels(&[("no", "where")]);
    assert!(!waits(nowhere, as_is), "it selects no node");
    assert!(waits(|_| (), as_is), "it may have its node the next moment");
    let on_a_drained_one: Edit = |pod| pod.node_name = Some(node("sys", 4).name);
    assert!(waits(on_a_drained_one, as_is), "it would have its node but for the drain");
    assert!(!waits(|pod| pod.node_name = Some("gone".to_owned()), as_is));
    assert!(waits(nowhere_and_gated, as_is), "when it is let go is not known");
    assert!(!waits(|_| (), |world| taint_all(world, "team=a:NoSchedule")));
    assert!(waits(|_| (), |world| taint_all(world, "node.kubernetes.io/not-ready:NoSchedule")), "that may pass");
    assert!(waits(nowhere, |world| world.bar(&node("sys", 0).name, "not Ready")), "that node may be its place");
}

fn nowhere_and_gated(pod: &mut placement::Pod) {
    pod.node_selector = placement::testing::labels(&[("no", "where")]);
    pod.obstacles.push(placement::Obstacle::Gate("example.com/gate".to_owned()));
}

fn taint_all(world: &mut World, taint: &str) {
    let names: Vec<String> = world.nodes().map(|node| node.name.clone()).collect();
    for name in names {
        world.edit(&name, |_, taints| taints.push(taint.parse().unwrap()));
    }
}
