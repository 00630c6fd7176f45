//! Pods that wait for a node, and what is not known.

use super::*;

#[test]
fn a_pod_that_waits_keeps_the_place_that_it_could_have() {
    let close = put_taints("apps", &["a=b:NoSchedule"]);
    let mut snapshot = with_waiting("late");
    assert_eq!(found(&snapshot, &close), None, "there are other nodes");
    tie(&mut snapshot, "late", "apps");
    let broken = found(&snapshot, &close).unwrap();
    assert_eq!(broken.standing, Standing::Passing);
    assert_eq!(
        broken.finding,
        "the taint a=b:NoSchedule would take the place from pods that wait for a node and could be placed now: \
         kube-system/late (0 of 6 nodes: 4 are not selected by its node selector or affinity, 2 have the taint \
         a=b:NoSchedule)"
    );
    assert!(broken.remedy.starts_with("wait until these pods have their nodes"), "{}", broken.remedy);
    for (step, refused) in [
        (put_taints("apps", &["a=b:PreferNoSchedule"]), false),
        (put_taints("apps", &["CriticalAddonsOnly=x:NoSchedule"]), false),
        (put_taints("two", &["a=b:NoSchedule"]), false),
        (put_label("apps", "other"), false),
        (put_label("apps", "pool"), true),
        (scale("apps", 2, 3), false),
        (scale("apps", 2, 1), false),
        (scale("apps", 2, 0), true),
        (promote("apps"), false),
    ] {
        assert_eq!(found(&snapshot, &step).is_some(), refused, "{step}");
    }
}

#[test]
fn a_pod_that_finds_no_place_anyway_blocks_nothing() {
    let close = put_taints("apps", &["a=b:NoSchedule"]);
    let mut snapshot = with_waiting("late");
    tie(&mut snapshot, "late", "elsewhere");
    assert_eq!(found(&snapshot, &close), None);
    tie(&mut snapshot, "late", "apps");
    placed(&mut snapshot, "late").obstacles.push(Obstacle::Gate("g".into()));
    assert_eq!(found(&snapshot, &close), None, "it waits at its gate");
    placed(&mut snapshot, "late").obstacles = vec![Obstacle::ResourceClaim("gpu".into())];
    let broken = found(&snapshot, &close).unwrap();
    assert!(
        broken.finding.ends_with("kube-system/late (it needs the resource claim gpu, which is not modelled)"),
        "{}",
        broken.finding
    );
    tie(&mut snapshot, "late", "two");
    assert_eq!(found(&snapshot, &close), None, "whatever it is, it loses nothing");
    for pod in edit(&mut snapshot.pods) {
        pod.deleting = true;
    }
    tie(&mut snapshot, "late", "apps");
    assert_eq!(found(&snapshot, &close), None, "it is going");
}

#[test]
fn pods_that_wait_take_their_room_before_those_that_move() {
    let mut snapshot = with_waiting("late");
    placed(&mut snapshot, "late").requests.cpu = 3500;
    let name = edit(&mut snapshot.nodes).iter().nth(2).unwrap().name.clone();
    places(&mut snapshot)
        .world
        .add(&name, placement::Pod { requests: Resources { cpu: 3500, ..Resources::default() }, ..testing::pod("x") });
    assert!(found(&snapshot, &demote("sys")).is_some(), "one node of two is full, the other one will be");
    placed(&mut snapshot, "late").requests.cpu = 3000;
    assert_eq!(found(&snapshot, &demote("sys")), None);
}

#[test]
fn what_is_not_known_is_asked_for() {
    let step = demote("sys");
    let settings = crate::Settings::default();
    let lacks = |snapshot: &Snapshot| {
        let refusal = crate::guard(step.clone(), snapshot, &settings).unwrap_err();
        refusal.lacks_places_of(snapshot, &settings).to_vec()
    };
    let mut snapshot = cluster();
    assert_eq!(lacks(&snapshot), [""; 0]);
    fill(&mut snapshot, "two");
    assert!(found(&snapshot, &step).is_some() && lacks(&snapshot).is_empty(), "refused, and nothing to ask for");
    let mut unread = snapshot.clone();
    unread.places = Known::unknown("it has not been read yet");
    let broken = found(&unread, &step).unwrap();
    assert_eq!(broken.standing, Standing::Passing);
    assert_eq!(
        broken.finding,
        "the step may deprive pods of their place, and it is not known where they could run (it has not been read yet): \
         kube-system/coredns-sys"
    );
    assert_eq!(lacks(&unread), ["kube-system/coredns-sys"]);
    let mut old = cluster();
    old.places = Known::seen(ago(301), old.places.value().unwrap().clone());
    assert_eq!(lacks(&old), ["kube-system/coredns-sys"]);
    let mut other = cluster();
    places(&mut other).pods.remove("kube-system/coredns-sys");
    assert_eq!(lacks(&other), ["kube-system/coredns-sys"]);
    assert_eq!(found(&other, &step).unwrap().standing, Standing::Passing);
    let mut grown = cluster();
    let joined = crate::testing::node("two", 7);
    edit(&mut grown.nodes).push(joined);
    let broken = found(&grown, &step).unwrap();
    assert!(broken.finding.contains("node aks-two-12345678-vmss000007 has joined since"), "{}", broken.finding);
    assert_eq!(broken.standing, Standing::Passing);
}

#[test]
fn steps_that_move_nothing_ask_for_nothing() {
    let mut snapshot = cluster();
    snapshot.places = Known::unknown("it has not been read yet");
    for step in [
        demote("two"),
        promote("apps"),
        scale("two", 2, 1),
        scale("sys", 2, 3),
        put_taints("apps", &["a=b:NoSchedule"]),
        put_taints("two", &["CriticalAddonsOnly=x:NoExecute"]),
        put_label("sys", "x"),
    ] {
        assert_eq!(found(&snapshot, &step), None, "{step}");
    }
    assert!(found(&snapshot, &scale("sys", 2, 1)).is_some());
}

#[test]
fn of_a_pod_of_which_little_is_known_nothing_is_taken_by_chance() {
    let pools = vec![pool("sys", Mode::System, 20), pool("two", Mode::System, 2)];
    let mut snapshot = governed(pools, "sys");
    let node = edit(&mut snapshot.nodes).iter().next().unwrap().clone();
    let waiting = crate::Pod { node: None, phase: Phase::Pending, ready: false, ..pod("late", &node) };
    edit(&mut snapshot.pods).push(waiting);
    read(&mut snapshot);
    tie(&mut snapshot, "late", "two");
    placed(&mut snapshot, "late").obstacles = vec![Obstacle::ResourceClaim("gpu".into())];
    assert_eq!(found(&snapshot, &scale("sys", 20, 10)), None);
    placed(&mut snapshot, "late").anti_affinity = vec![testing::term("web", "pool")];
    assert!(found(&snapshot, &scale("sys", 20, 10)).is_some(), "where it may run depends on which nodes go");
    assert_eq!(found(&snapshot, &scale("sys", 20, 19)), None);
}

#[test]
fn all_pods_are_named_whose_places_are_to_be_read() {
    let mut snapshot = cluster();
    let node = snapshot.nodes.value().unwrap().iter().find(|node| node.pool.as_deref() == Some("sys")).unwrap().clone();
    edit(&mut snapshot.pods).extend((0..150).map(|number| pod(&format!("add-on-{number:03}"), &node)));
    let broken = found(&snapshot, &demote("sys")).unwrap();
    assert_eq!(broken.pods.iter().filter(|pod| pod.starts_with("kube-system/add-on-")).count(), 150, "{broken:?}");
    assert_eq!(broken.standing, Standing::Passing);
}
