//! Deletions of pools before all rules. Never compiled into the product.

use super::{Rule, Standing};
use crate::testing::{
    ago, begin_drain, broken, budget, demote, edit, governed, in_flight, intent, node, nodes_mut, occupy, pod, pool,
    pool_mut, promote, put_label, rules, run, scale, workload,
};
use crate::{
    Aim, BulkChange, BulkKind, Change, Deletion, Dependent, Drain, Known, Mode, Occupant, Owner, Phase, Pod,
    PoolFailure, Power, ProvisioningState, Settings, Snapshot, Step, SystemPods, Tenancy, Tie, Verdict, decide, plan,
};

/// Two system pools and a user pool; `p` is to be deleted with the pool, on which no workload depends.
fn cluster(subject: &str) -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 3)];
    let mut snapshot = governed(pools, subject);
    edit(&mut snapshot.intents).first_mut().unwrap().deletion = Some(Deletion::Delete);
    snapshot.dependents = [("apps".to_owned(), Known::seen(snapshot.now, vec![]))].into();
    snapshot
}

fn delete(pool: &str) -> Step {
    Step { policy: "p".into(), pool: pool.to_owned(), change: Change::Delete }
}

fn judged(subject: &str, change: impl Fn(&mut Snapshot)) -> Vec<Rule> {
    let mut snapshot = cluster(subject);
    change(&mut snapshot);
    rules(&snapshot, &delete(subject))
}

#[test]
fn a_pool_that_the_cluster_can_do_without_may_go() {
    assert_eq!(judged("apps", |_| ()), []);
    assert_eq!(judged("sys", |_| ()), []);
    assert_eq!(judged("apps", |s| pool_mut(s, "apps").state = ProvisioningState::Failed), []);
    let stopped = |s: &mut Snapshot| {
        pool_mut(s, "apps").power = Power::NotRunning("Stopped".into());
        edit(&mut s.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
    };
    assert_eq!(judged("apps", stopped), []);
    let half = |s: &mut Snapshot| pool_mut(s, "apps").requested_version = Some("1.34".into());
    assert_eq!(judged("apps", half), [], "no PUT goes on with the upgrade");
    assert_eq!(judged("apps", |s| s.occupancy.clear()), [], "nothing was closed, so that nobody has to have looked");
}

#[test]
fn the_last_healthy_system_pool_and_the_floor_stay() {
    let alone = |s: &mut Snapshot| edit(&mut s.cluster).pools.retain(|pool| pool.name != "two");
    assert_eq!(judged("sys", alone), [Rule::LastHealthySystemPool, Rule::SystemCapacityFloor]);
    let cordoned = |s: &mut Snapshot| nodes_mut(s, "two").for_each(|node| node.cordoned = true);
    assert_eq!(judged("sys", cordoned), [Rule::LastHealthySystemPool, Rule::SystemCapacityFloor]);
    let small = |s: &mut Snapshot| {
        pool_mut(s, "two").count = 1;
        let mut seen = 0;
        edit(&mut s.nodes).retain(|node| {
            seen += usize::from(node.pool.as_deref() == Some("two"));
            node.pool.as_deref() != Some("two") || seen == 1
        });
    };
    assert_eq!(judged("sys", small), [Rule::SystemCapacityFloor]);
    let out_of_order = |s: &mut Snapshot| {
        alone(s);
        nodes_mut(s, "sys").for_each(|node| node.cordoned = true);
    };
    assert!(judged("sys", out_of_order).contains(&Rule::LastHealthySystemPool), "the nodes may come back");
}

#[test]
fn a_deletion_in_flight_counts_as_done() {
    let mut snapshot = cluster("sys");
    snapshot.in_flight = in_flight([delete("two")]);
    for step in [delete("sys"), demote("sys")] {
        let found = broken(&snapshot, &step, Rule::LastHealthySystemPool).unwrap();
        assert_eq!(found.standing, Standing::Lasting, "{step}");
        assert!(found.finding.contains("system pool two is"), "{}", found.finding);
    }
    assert!(rules(&snapshot, &scale("sys", 3, 4)).is_empty());
    snapshot.in_flight = in_flight([delete("sys")]);
    assert_eq!(rules(&snapshot, &put_label("sys", "a")), [Rule::OperationInProgress]);
    snapshot.in_flight = in_flight([promote("apps")]);
    assert_eq!(rules(&snapshot, &delete("sys")), [], "the promotion makes nothing worse");
}

#[test]
fn protected_pods_stay_on_any_pool() {
    for subject in ["sys", "apps"] {
        let found = |owner: Owner| {
            let mut snapshot = cluster(subject);
            run(&mut snapshot, "coredns-1", subject);
            edit(&mut snapshot.pods).iter_mut().next().unwrap().owner = owner;
            broken(&snapshot, &delete(subject), Rule::SystemPodsWouldBeEvicted)
        };
        let told = found(Owner::Other).unwrap();
        assert_eq!(told.finding, format!("all nodes of pool {subject} would go and with them kube-system/coredns-1"));
        assert_eq!((told.standing, told.pods.len()), (Standing::Lasting, 1));
        let remedy = "set spec.disruption.systemPods to Relocate in policy p, which moves them one by one; or move these \
                      pods to another pool first";
        assert!(told.remedy.starts_with(remedy), "{}", told.remedy);
        assert_eq!(found(Owner::DaemonSet), None, "it goes with its node");
    }
    let lost = |s: &mut Snapshot| {
        run(s, "coredns-1", "sys");
        edit(&mut s.pods).iter_mut().next().unwrap().node = Some("lost".into());
    };
    assert_eq!(judged("sys", lost), [Rule::StaleObservation], "it may run on the pool");
}

#[test]
fn all_pods_of_the_pool_go_together() {
    let with = |allowed: i32, on: &[u32]| {
        let mut snapshot = cluster("sys");
        for index in on {
            let mut pod = run(&mut snapshot, &format!("coredns-{index}"), "sys");
            pod.node = Some(crate::testing::node("sys", *index).name.into());
            pod.phase = Phase::Running;
            *edit(&mut snapshot.pods).iter_mut().next_back().unwrap() =
                crate::testing::with_labels(pod, &[("k8s-app", "dns")]);
        }
        edit(&mut snapshot.budgets).push(budget("dns", "k8s-app", "dns", allowed));
        broken(&snapshot, &delete("sys"), Rule::DisruptionBudgetBlocks).map(|found| found.finding)
    };
    assert_eq!(with(2, &[0, 1]), None);
    let found = with(2, &[0, 1, 2]).unwrap();
    assert!(found.starts_with("removing 3 nodes of pool sys would take down more"), "{found}");
    assert!(found.contains("budget kube-system/dns allows 2 disruptions, 3 pods would go"), "{found}");
}

#[test]
fn add_ons_must_run_before_a_system_pool_goes() {
    let unwell = |s: &mut Snapshot| edit(&mut s.workloads).first_mut().unwrap().ready = 1;
    assert_eq!(judged("sys", unwell), [Rule::KubeSystemUnhealthy]);
    assert_eq!(judged("apps", unwell), []);
    assert!(workload("coredns").is_well());
}

#[test]
fn only_the_policy_that_is_deleted_and_alone_may_delete() {
    let named = |s: &mut Snapshot| edit(&mut s.intents).push(intent("q", "apps"));
    assert_eq!(judged("apps", named), [Rule::ConflictingPolicy]);
    let older =
        |s: &mut Snapshot| edit(&mut s.intents).push(crate::Intent { created: ago(9_999), ..intent("q", "apps") });
    assert_eq!(judged("apps", older), [Rule::ConflictingPolicy]);
    for deletion in [None, Some(Deletion::Orphan)] {
        let rules = judged("apps", |s| edit(&mut s.intents).first_mut().unwrap().deletion = deletion);
        assert!(rules.contains(&Rule::StaleObservation), "{deletion:?}");
    }
    assert_eq!(judged("apps", |s| edit(&mut s.intents).first_mut().unwrap().suspended = true), [Rule::Suspended]);
}

#[test]
fn facts_that_contradict_each_other_let_no_pool_go() {
    let hidden = |s: &mut Snapshot| edit(&mut s.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
    assert_eq!(judged("apps", hidden), [Rule::StaleObservation]);
    assert_eq!(judged("apps", |s| pool_mut(s, "apps").mode = Mode::Other("Gateway".into())), [Rule::StaleObservation]);
    let busy = |s: &mut Snapshot| pool_mut(s, "apps").state = ProvisioningState::Busy("Upgrading".into());
    assert_eq!(judged("apps", busy), [Rule::OperationInProgress]);
}

#[test]
fn a_removal_that_failed_may_be_asked_for_again() {
    let failed = |s: &mut Snapshot| {
        let apps = pool_mut(s, "apps");
        apps.state = ProvisioningState::Failed;
        apps.failure = Some(PoolFailure { code: "PodDrainFailure".into(), message: "m".into() });
    };
    assert_eq!(judged("apps", failed), []);
}

#[test]
fn what_adds_comes_first_and_a_deletion_waits_for_it() {
    let mut snapshot = cluster("apps");
    edit(&mut snapshot.intents).push(crate::Intent { count: Some(4), ..intent("q", "two") });
    let verdicts = decide(&plan(&snapshot, &Settings::default()), &snapshot, &Settings::default());
    assert!(
        matches!(verdicts.as_slice(), [Verdict::Approved(first), Verdict::Waits { step, .. }]
        if first.get().pool == "two" && *step == delete("apps")),
        "{verdicts:?}"
    );
    edit(&mut snapshot.intents).last_mut().unwrap().stalled = true;
    let verdicts = decide(&plan(&snapshot, &Settings::default()), &snapshot, &Settings::default());
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Approved(_))), "{verdicts:?}");
}

/// A change of the drain that comes before a deletion, of the last node of the pool.
fn draining(pool: &str, evicts: Option<&str>) -> Step {
    let name = node(pool, 2).name;
    let drain = match evicts {
        None => Drain::Cordon { nodes: vec![name], aim: Aim::Deletion },
        Some(pod) => Drain::Evict { pod: pod.to_owned(), uid: pod.to_owned(), node: name, aim: Aim::Deletion },
    };
    Step { change: Change::Drain(drain), ..delete(pool) }
}

/// The same cluster as [`cluster`], in which two nodes are closed and pods may be moved.
fn begun(subject: &str) -> Snapshot {
    let mut snapshot = cluster(subject);
    edit(&mut snapshot.intents).first_mut().unwrap().system_pods = SystemPods::Relocate;
    begin_drain(&mut snapshot, subject, &[0, 1]);
    occupy(&mut snapshot, subject);
    snapshot
}

/// A pod of an application on the first node, which is closed.
fn app(snapshot: &mut Snapshot, pool: &str, tenancy: Tenancy) {
    let pod = Pod { namespace: "shop".into(), ..pod("web", &node(pool, 0)) };
    let web = Occupant { pod, uid: "web".into(), tenancy, protected: false };
    edit(snapshot.occupancy.get_mut(pool).unwrap()).pods.push(web);
}

#[test]
fn nodes_are_closed_only_for_a_deletion_that_may_end() {
    for subject in ["sys", "apps"] {
        assert_eq!(rules(&begun(subject), &draining(subject, None)), [], "{subject}");
        let judged = |change: &dyn Fn(&mut Snapshot)| {
            let mut snapshot = begun(subject);
            change(&mut snapshot);
            rules(&snapshot, &draining(subject, None))
        };
        let kept = |s: &mut Snapshot| edit(&mut s.intents).first_mut().unwrap().deletion = None;
        assert!(judged(&kept).contains(&Rule::StaleObservation), "nobody asks for it");
        let named = |s: &mut Snapshot| edit(&mut s.intents).push(intent("q", subject));
        assert_eq!(judged(&named), [Rule::ConflictingPolicy]);
        let half = |s: &mut Snapshot| pool_mut(s, subject).requested_version = Some("1.34".into());
        assert_eq!(judged(&half), [], "nothing goes on with the upgrade");
        let failed = |s: &mut Snapshot| {
            pool_mut(s, subject).state = ProvisioningState::Failed;
            pool_mut(s, subject).failure = Some(PoolFailure { code: "PodDrainFailure".into(), message: "m".into() });
        };
        assert_eq!(judged(&failed), [], "nor with the removal");
        let protected = |s: &mut Snapshot| {
            run(s, "coredns-1", subject);
            edit(&mut s.intents).first_mut().unwrap().system_pods = SystemPods::Protect;
        };
        assert!(judged(&protected).contains(&Rule::SystemPodsWouldBeEvicted));
    }
    let mut alone = begun("sys");
    edit(&mut alone.cluster).pools.retain(|pool| pool.name != "two");
    assert_eq!(rules(&alone, &draining("sys", None)), [Rule::LastHealthySystemPool, Rule::SystemCapacityFloor]);
    let mut depends = begun("apps");
    let web = Dependent { pod: "shop/web".into(), tie: Tie::Alone };
    *edit(depends.dependents.get_mut("apps").unwrap()) = vec![web];
    assert_eq!(rules(&depends, &draining("apps", None)), [Rule::WorkloadsDependOnPool]);
}

#[test]
fn the_pool_goes_when_its_closed_nodes_are_known_to_be_empty() {
    for subject in ["sys", "apps"] {
        assert_eq!(rules(&begun(subject), &delete(subject)), [], "{subject}");
        let mut left = begun(subject);
        app(&mut left, subject, Tenancy::Controlled);
        let found = broken(&left, &delete(subject), Rule::StaleObservation).unwrap();
        assert_eq!(found.finding, "pods are left on nodes that are to be removed: shop/web");
        assert_eq!((found.standing, found.pods), (Standing::Passing, vec!["shop/web".to_owned()]));
        let mut unread = begun(subject);
        unread.occupancy.clear();
        let found = broken(&unread, &delete(subject), Rule::StaleObservation).unwrap();
        assert!(found.finding.starts_with("what runs on the nodes to be drained is not known: "), "{}", found.finding);
    }
}

#[test]
fn a_pod_that_nothing_starts_again_is_lost_only_where_somebody_allows_it() {
    for (protected, allowed, refused) in
        [(false, false, true), (false, true, false), (true, false, true), (true, true, true)]
    {
        let mut snapshot = begun("sys");
        app(&mut snapshot, "sys", Tenancy::Alone);
        edit(snapshot.occupancy.get_mut("sys").unwrap()).pods.last_mut().unwrap().protected = protected;
        edit(&mut snapshot.intents).first_mut().unwrap().may_lose_workloads = allowed;
        let found = rules(&snapshot, &draining("sys", None));
        assert_eq!(found.contains(&Rule::WorkloadsDependOnPool), refused, "{protected} {allowed}: {found:?}");
        // Another drain loses none, whatever is allowed.
        let scale = Drain::Cordon { nodes: vec![node("sys", 2).name], aim: Aim::Scale { from: 3, to: 0 } };
        let scale = Step { change: Change::Drain(scale), ..delete("sys") };
        assert!(rules(&snapshot, &scale).contains(&Rule::WorkloadsDependOnPool));
    }
}

#[test]
fn the_fuse_is_asked_before_nodes_are_closed_and_counts_pools_that_are_being_emptied() {
    let mut snapshot = begun("apps");
    for (name, drained) in [("b", true), ("c", true), ("d", true)] {
        edit(&mut snapshot.cluster).pools.push(pool(name, Mode::User, 1));
        edit(&mut snapshot.nodes).push(node(name, 0));
        edit(&mut snapshot.intents).push(crate::Intent {
            policy: name.to_owned(),
            deletion: Some(Deletion::Delete),
            ..intent("p", name)
        });
        if drained {
            begin_drain(&mut snapshot, name, &[0]);
            nodes_mut(&mut snapshot, name).for_each(|node| node.drain.as_mut().unwrap().policy = name.to_owned());
        }
    }
    for step in [draining("apps", None), draining("apps", Some("shop/web")), delete("apps")] {
        let found = broken(&snapshot, &step, Rule::BulkChangeFuse).unwrap();
        assert!(found.finding.ends_with("these were: b (on its way), c (on its way), d (on its way)"), "{step}");
    }
    nodes_mut(&mut snapshot, "d").for_each(|node| (node.cordoned, node.drain) = (false, None));
    let of = |pool: &str| BulkChange {
        pool: pool.to_owned(),
        policy: pool.to_owned(),
        kind: BulkKind::Deleted,
        at: ago(10),
        told: "t".into(),
    };
    snapshot.bulk = Known::seen(snapshot.now, vec![of("b"), of("c")]);
    assert_eq!(rules(&snapshot, &draining("apps", None)), [], "each counts once");
    snapshot.bulk = Known::seen(snapshot.now, vec![of("b"), of("e")]);
    assert_eq!(rules(&snapshot, &draining("apps", None)), [Rule::BulkChangeFuse], "and c is being emptied");
    snapshot.bulk = Known::seen(snapshot.now, vec![]);
    assert_eq!(rules(&snapshot, &draining("apps", None)), []);
    snapshot.in_flight = in_flight([Step { policy: "d".into(), ..draining("d", None) }]);
    assert!(rules(&snapshot, &draining("apps", None)).contains(&Rule::BulkChangeFuse));
}
