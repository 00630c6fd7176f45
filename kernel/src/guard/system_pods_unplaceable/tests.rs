//! Pods that a step moves, and a cluster for these tests.

mod autoscaler;
mod upgrade;
mod waiting;

use std::sync::Arc;

use super::*;
use crate::placement::{self, Labels, Listing, Obstacle, Resources, World, testing};
use crate::snapshot::{Mode, Places};
use crate::testing::{
    NOW, ago, broken, demote, edit, governed, in_flight, nodes_mut, pod, pool, pool_mut, promote, put_label,
    put_taints, repair, run, scale, taint, with_labels,
};
use crate::{Known, Owner, Phase, PoolFailure, ProvisioningState, Readiness, Snapshot};

type Edit<'a> = &'a dyn Fn(&mut Snapshot);

/// What a pod of the snapshot asks of nodes.
fn as_placed(pod: &crate::Pod) -> placement::Pod {
    placement::Pod {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        labels: (*pod.labels).clone(),
        tolerations: (*pod.tolerations).clone(),
        requests: Resources { cpu: 1000, ..Resources::default() },
        ..placement::Pod::default()
    }
}

fn labels_of(node: &crate::Node) -> Labels {
    let pool = node.pool.clone().unwrap_or_default();
    let mode = if node.labelled_system { "system" } else { "user" };
    [("pool", pool.as_str()), ("kubernetes.azure.com/mode", mode), ("tier", "a")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Reads where pods could run, as the operator would: nodes of four cores, pods of one.
fn read(snapshot: &mut Snapshot) {
    let node = |node: &crate::Node| placement::Node {
        taints: node.taints.clone(),
        labels: labels_of(node),
        unschedulable: node.cordoned,
        ..testing::node(&node.name, &[])
    };
    let mut world =
        World::new(snapshot.nodes.value().unwrap().iter().map(node).collect(), Some([].into()), Listing::default());
    let mut pods = std::collections::BTreeMap::new();
    for pod in snapshot.pods.value().unwrap() {
        if let Some(node) = &pod.node {
            world.add(node, as_placed(pod));
        }
        pods.insert(pod.full_name(), as_placed(pod));
    }
    snapshot.places = Known::seen(NOW, Arc::new(Places { world, pods }));
}

fn places(snapshot: &mut Snapshot) -> &mut Places {
    Arc::make_mut(edit(&mut snapshot.places))
}

/// The pod that would be placed for the one of that name, for changing it.
fn placed<'a>(snapshot: &'a mut Snapshot, name: &str) -> &'a mut placement::Pod {
    places(snapshot).pods.get_mut(&format!("kube-system/{name}")).unwrap()
}

/// Fills every node of a pool up.
fn fill(snapshot: &mut Snapshot, pool: &str) {
    let nodes: Vec<String> = nodes_mut(snapshot, pool).map(|node| node.name.clone()).collect();
    for node in nodes {
        let requests = Resources { cpu: 3500, ..Resources::default() };
        places(snapshot).world.add(&node, placement::Pod { requests, ..testing::pod(&node) });
    }
}

/// Two system pools and a user pool of two nodes each; coredns on the first node of each, a daemon beside it.
fn cluster() -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 2), pool("two", Mode::System, 2), pool("apps", Mode::User, 2)];
    let mut snapshot = governed(pools, "sys");
    for pool in ["sys", "apps"] {
        run(&mut snapshot, &format!("coredns-{pool}"), pool);
        run(&mut snapshot, &format!("proxy-{pool}"), pool);
    }
    for pod in edit(&mut snapshot.pods).iter_mut().filter(|pod| pod.name.starts_with("proxy")) {
        pod.owner = Owner::DaemonSet;
    }
    read(&mut snapshot);
    snapshot
}

/// The cluster with a pod that has no node.
fn with_waiting(name: &str) -> Snapshot {
    let mut snapshot = cluster();
    let node = edit(&mut snapshot.nodes).iter().next().unwrap().clone();
    let waiting = crate::Pod { node: None, phase: Phase::Pending, ready: false, ..pod(name, &node) };
    edit(&mut snapshot.pods).push(waiting);
    read(&mut snapshot);
    snapshot
}

fn found(snapshot: &Snapshot, step: &Step) -> Option<Broken> {
    broken(snapshot, step, Rule::SystemPodsUnplaceable)
}

/// Lets the pod run only on nodes of one pool.
fn tie(snapshot: &mut Snapshot, name: &str, pool: &str) {
    placed(snapshot, name).node_selector = [("pool".to_owned(), pool.to_owned())].into();
}

#[test]
fn pods_that_are_moved_need_a_place_on_the_nodes_that_remain() {
    let evict = put_taints("apps", &["a=b:NoExecute"]);
    for (case, step, prepare, finding) in [
        ("room for all", demote("sys"), &(|_: &mut Snapshot| {}) as Edit<'_>, None),
        ("room for all", evict.clone(), &|_: &mut Snapshot| {}, None),
        ("room for all", scale("sys", 2, 1), &|_: &mut Snapshot| {}, None),
        (
            "no room on the other system pool, and user pools are out of question",
            demote("sys"),
            &|it: &mut Snapshot| fill(it, "two"),
            Some(
                "the demotion of pool sys would leave pods without a place on any usable system node that remains: \
                 kube-system/coredns-sys (0 of 2 nodes: 2 lack cpu (wants 1, free at most 500m))",
            ),
        ),
        (
            "the only nodes that it selects",
            evict.clone(),
            &|it: &mut Snapshot| tie(it, "coredns-apps", "apps"),
            Some(
                "the taint a=b:NoExecute would leave pods without a place on any Ready node that remains: \
                 kube-system/coredns-apps (0 of 6 nodes: 4 are not selected by its node selector or affinity, 2 have the \
                 taint a=b:NoExecute)",
            ),
        ),
        (
            "pods from user nodes may run on system nodes",
            evict.clone(),
            &|it: &mut Snapshot| tie(it, "coredns-apps", "two"),
            None,
        ),
        (
            "and those from system nodes not on user nodes",
            demote("sys"),
            &|it: &mut Snapshot| fill(it, "two"),
            Some("lack cpu"),
        ),
        (
            "either node may go",
            scale("sys", 2, 1),
            &|it: &mut Snapshot| {
                fill(it, "two");
                let name = edit(&mut it.nodes).iter().nth(1).unwrap().name.clone();
                let requests = Resources { cpu: 3500, ..Resources::default() };
                places(it).world.add(&name, placement::Pod { requests, ..testing::pod("x") });
            },
            Some(
                "removing 1 node of pool sys (with aks-sys-12345678-vmss000000 gone) would leave pods without a place on \
                 any usable system node that remains: kube-system/coredns-sys (0 of 3 nodes: 3 lack cpu (wants 1, free at \
                 most 500m))",
            ),
        ),
        ("the other node of the pool remains", scale("sys", 2, 1), &|it: &mut Snapshot| fill(it, "two"), None),
        ("all of its nodes go", scale("sys", 2, 0), &|it: &mut Snapshot| fill(it, "two"), Some("removing 2 nodes")),
        (
            "of a user pool",
            scale("apps", 2, 0),
            &|it: &mut Snapshot| tie(it, "coredns-apps", "apps"),
            Some("removing 2"),
        ),
        ("one of them stays", scale("apps", 2, 1), &|it: &mut Snapshot| tie(it, "coredns-apps", "apps"), None),
        (
            "one that no scheduler could place",
            evict,
            &|it: &mut Snapshot| placed(it, "coredns-apps").obstacles.push(Obstacle::ResourceClaim("gpu".into())),
            Some("(it needs the resource claim gpu, which is not modelled)"),
        ),
    ] {
        let mut snapshot = cluster();
        prepare(&mut snapshot);
        let broken = found(&snapshot, &step);
        match finding {
            None => assert_eq!(broken, None, "{case}: {step}"),
            Some(finding) => {
                let broken = broken.unwrap_or_else(|| panic!("{case}: {step} passes"));
                assert!(broken.finding.contains(finding), "{case}: {}", broken.finding);
                assert_eq!((broken.standing, broken.pods.len()), (Standing::Lasting, 1), "{case}");
            }
        }
    }
}

#[test]
fn a_label_that_a_pod_selects_on_is_judged_as_if_the_pod_had_to_move() {
    let mut snapshot = cluster();
    for pod in edit(&mut snapshot.pods) {
        pod.selects = Arc::new(["tier".to_owned()].into());
    }
    let relabel = put_label("apps", "tier");
    assert_eq!(found(&snapshot, &relabel), None, "the others have no tier to lose");
    let wants = |it: &mut Snapshot, value: &str| {
        placed(it, "coredns-apps").node_selector =
            [("tier".to_owned(), value.to_owned()), ("pool".to_owned(), "apps".to_owned())].into();
    };
    wants(&mut snapshot, "a");
    let broken = found(&snapshot, &relabel).unwrap();
    assert!(broken.finding.starts_with("the change of the label tier would leave pods without"), "{}", broken.finding);
    wants(&mut snapshot, "x");
    assert_eq!(found(&snapshot, &relabel), None, "it may come back to where it is");
    assert_eq!(found(&snapshot, &put_label("apps", "other")), None);
    let mut adrift = snapshot.clone();
    edit(&mut adrift.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
    wants(&mut adrift, "a");
    assert!(found(&adrift, &relabel).is_some(), "its node is not shown and may be of any pool");
    wants(&mut snapshot, "a");
    for pod in edit(&mut snapshot.pods) {
        pod.selects = Arc::default();
    }
    assert_eq!(found(&snapshot, &relabel), None, "nobody selects on it");
}

#[test]
fn the_mode_of_a_pool_is_a_label_of_its_nodes() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "sys").count = 2;
    for pod in edit(&mut snapshot.pods).iter_mut().filter(|pod| &*pod.name == "coredns-apps") {
        pod.selects = Arc::new([crate::MODE_LABEL.to_owned()].into());
    }
    let selector = &mut placed(&mut snapshot, "coredns-apps").node_selector;
    selector.insert(crate::MODE_LABEL.to_owned(), "user".to_owned());
    let broken = found(&snapshot, &promote("apps")).unwrap();
    assert!(broken.finding.starts_with("the change of the mode of pool apps would"), "{}", broken.finding);
}

#[test]
fn only_usable_nodes_count_and_what_may_pass_makes_the_refusal_passing() {
    let now_ready = |since| Readiness::Ready { since };
    for (case, prepare, expected) in [
        (
            "cordoned",
            &(|it: &mut Snapshot| nodes_mut(it, "two").for_each(|node| node.cordoned = true)) as Edit<'_>,
            Some(Standing::Lasting),
        ),
        ("deleting", &|it| nodes_mut(it, "two").for_each(|node| node.deleting = true), Some(Standing::Lasting)),
        (
            "unlabelled",
            &|it| nodes_mut(it, "two").for_each(|node| node.labelled_system = false),
            Some(Standing::Passing),
        ),
        (
            "tainted",
            &|it| nodes_mut(it, "two").for_each(|node| node.taints = vec![taint("a=b:NoSchedule")]),
            Some(Standing::Lasting),
        ),
        ("tainted in ARM", &|it| pool_mut(it, "two").taints = vec![taint("a=b:NoSchedule")], Some(Standing::Lasting)),
        (
            "too fresh",
            &|it| nodes_mut(it, "two").for_each(|node| node.readiness = now_ready(ago(5))),
            Some(Standing::Passing),
        ),
        (
            "down for long",
            &|it| nodes_mut(it, "two").for_each(|node| node.readiness = Readiness::NotReady { since: ago(600) }),
            Some(Standing::Lasting),
        ),
        (
            "down for a moment",
            &|it| nodes_mut(it, "two").for_each(|node| node.readiness = Readiness::NotReady { since: ago(5) }),
            Some(Standing::Passing),
        ),
        ("half upgraded", &|it| pool_mut(it, "two").requested_version = None, Some(Standing::Lasting)),
        ("going", &|it| pool_mut(it, "two").state = ProvisioningState::parse("Deleting"), Some(Standing::Passing)),
        ("losing nodes", &|it| pool_mut(it, "two").count = 1, Some(Standing::Passing)),
        ("losing nodes by us", &|it| it.in_flight = in_flight([scale("two", 2, 1)]), Some(Standing::Passing)),
        (
            "stopped",
            &|it| pool_mut(it, "two").power = crate::Power::NotRunning("Stopped".into()),
            Some(Standing::Lasting),
        ),
        (
            "tolerated",
            &|it| nodes_mut(it, "two").for_each(|node| node.taints = vec![taint("CriticalAddonsOnly=x:NoSchedule")]),
            None,
        ),
        ("one of two", &|it| nodes_mut(it, "two").take(1).for_each(|node| node.cordoned = true), None),
    ] {
        let mut snapshot = cluster();
        prepare(&mut snapshot);
        let broken = found(&snapshot, &demote("sys"));
        assert_eq!(broken.as_ref().map(|broken| broken.standing), expected, "{case}: {broken:?}");
    }
}

#[test]
fn pods_from_user_nodes_need_a_ready_node_of_any_kind() {
    let evict = put_taints("apps", &["a=b:NoExecute"]);
    let mut snapshot = cluster();
    for pool in ["sys", "two"] {
        nodes_mut(&mut snapshot, pool).for_each(|node| {
            node.labelled_system = false;
            node.readiness = Readiness::Ready { since: ago(1) };
        });
    }
    assert_eq!(found(&snapshot, &evict), None, "usable or not");
    let down = |it: &mut Snapshot, pool: &str, seconds| {
        nodes_mut(it, pool).for_each(|node| node.readiness = Readiness::NotReady { since: ago(seconds) });
    };
    down(&mut snapshot, "sys", 600);
    assert_eq!(found(&snapshot, &evict), None);
    down(&mut snapshot, "two", 600);
    let broken = found(&snapshot, &evict).unwrap();
    assert!(
        broken.finding.contains("(0 of 6 nodes: 4 are not Ready, 2 have the taint a=b:NoExecute)"),
        "{}",
        broken.finding
    );
    assert_eq!(broken.standing, Standing::Lasting);
    down(&mut snapshot, "two", 5);
    assert_eq!(found(&snapshot, &evict).unwrap().standing, Standing::Passing);
}

#[test]
fn what_other_steps_move_takes_room_too() {
    let mut snapshot = cluster();
    for pool in ["sys", "two"] {
        fill(&mut snapshot, pool);
    }
    let node = edit(&mut snapshot.nodes).iter().nth(2).unwrap().name.clone();
    testing::take_away(&mut places(&mut snapshot).world, "apps", &node);
    placed(&mut snapshot, "coredns-sys").requests.cpu = 3000;
    assert_eq!(found(&snapshot, &demote("sys")), None);
    snapshot.in_flight = in_flight([put_taints("apps", &["a=b:NoExecute"])]);
    placed(&mut snapshot, "coredns-apps").requests.cpu = 2000;
    assert!(found(&snapshot, &demote("sys")).is_some());
}

#[test]
fn any_write_to_a_half_upgraded_pool_moves_pods_node_by_node() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "sys").requested_version = Some("1.34".into());
    assert_eq!(found(&snapshot, &put_label("sys", "x")), None);
    fill(&mut snapshot, "two");
    assert_eq!(found(&snapshot, &put_label("sys", "x")), None, "the other node of the pool takes it");
    let name = edit(&mut snapshot.nodes).iter().nth(1).unwrap().name.clone();
    places(&mut snapshot)
        .world
        .add(&name, placement::Pod { requests: Resources { cpu: 3500, ..Resources::default() }, ..testing::pod("x") });
    let broken = found(&snapshot, &put_label("sys", "x")).unwrap();
    assert!(
        broken.finding.starts_with("any write to pool sys would go on with its unfinished upgrade, which (with"),
        "{}",
        broken.finding
    );
}

#[test]
fn a_taint_that_has_not_arrived_comes_with_any_write() {
    let mut snapshot = cluster();
    tie(&mut snapshot, "coredns-apps", "apps");
    pool_mut(&mut snapshot, "apps").taints = vec![taint("a=b:NoExecute")];
    let broken = found(&snapshot, &put_label("apps", "x")).unwrap();
    assert!(broken.finding.starts_with("the change of the label x would leave"), "{}", broken.finding);
    let mut failed = snapshot.clone();
    let pool = pool_mut(&mut failed, "apps");
    pool.state = ProvisioningState::Failed;
    pool.failure = Some(PoolFailure { code: "QuotaExceeded".into(), message: String::new() });
    let broken = found(&failed, &repair("apps")).unwrap();
    assert!(broken.finding.starts_with("the taint a=b:NoExecute would leave"), "{}", broken.finding);
    nodes_mut(&mut snapshot, "apps").for_each(|node| node.taints = vec![taint("a=b:NoExecute")]);
    assert_eq!(found(&snapshot, &put_label("apps", "x")), None);
}

#[test]
fn where_aks_chooses_among_too_many_nodes_none_of_them_is_a_place() {
    let pools = vec![pool("sys", Mode::System, 20), pool("two", Mode::System, 2)];
    let mut snapshot = governed(pools, "sys");
    run(&mut snapshot, "coredns", "sys");
    read(&mut snapshot);
    assert_eq!(found(&snapshot, &scale("sys", 20, 10)), None);
    fill(&mut snapshot, "two");
    let broken = found(&snapshot, &scale("sys", 20, 10)).unwrap();
    assert!(
        broken.finding.contains("(0 of 22 nodes: 20 are of a pool of which AKS chooses the nodes that go, 2 lack cpu"),
        "{}",
        broken.finding
    );
    assert_eq!(found(&snapshot, &scale("sys", 20, 19)), None, "twenty choices are looked at");
    read(&mut snapshot);
    placed(&mut snapshot, "coredns").anti_affinity = vec![testing::term("coredns", "pool")];
    let broken = found(&snapshot, &scale("sys", 20, 10)).unwrap();
    assert!(
        broken.finding.contains("where it may run beside pods of which AKS chooses the nodes is not modelled"),
        "{}",
        broken.finding
    );
}

#[test]
fn pods_that_are_going_already_make_it_passing_and_alike_ones_are_told_together() {
    let mut snapshot = cluster();
    for name in ["coredns-c", "coredns-b"] {
        run(&mut snapshot, name, "sys");
    }
    for pod in edit(&mut snapshot.pods) {
        *pod = with_labels(pod.clone(), &[("app", "coredns")]);
    }
    read(&mut snapshot);
    fill(&mut snapshot, "two");
    let broken = found(&snapshot, &demote("sys")).unwrap();
    assert!(
        broken.finding.contains(": kube-system/coredns-b, kube-system/coredns-c, kube-system/coredns-sys (0 of 2"),
        "{}",
        broken.finding
    );
    assert_eq!(broken.pods.len(), 3);
    for pod in edit(&mut snapshot.pods) {
        pod.deleting = true;
    }
    assert_eq!(found(&snapshot, &demote("sys")).unwrap().standing, Standing::Passing);
}

#[test]
fn a_pod_that_is_moved_leaves_its_room_behind() {
    let mut snapshot = cluster();
    for pod in edit(&mut snapshot.pods) {
        pod.selects = Arc::new(["tier".to_owned()].into());
    }
    let node = edit(&mut snapshot.nodes).iter().nth(4).unwrap().name.clone();
    let requests = Resources { cpu: 2500, ..Resources::default() };
    places(&mut snapshot).world.add(&node, placement::Pod { requests, ..testing::pod("x") });
    let selector = [("tier".to_owned(), "x".to_owned())].into();
    let back = placed(&mut snapshot, "coredns-apps");
    (back.node_selector, back.node_name) = (selector, Some(node));
    let daemon = ("kube-system", "proxy-apps");
    testing::take_away(&mut places(&mut snapshot).world, daemon.0, daemon.1);
    assert_eq!(found(&snapshot, &put_label("apps", "tier")), None);
    placed(&mut snapshot, "coredns-apps").requests.cpu = 1501;
    assert!(found(&snapshot, &put_label("apps", "tier")).is_some());
}
