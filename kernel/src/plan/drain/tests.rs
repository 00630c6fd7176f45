//! What is next in a drain, and which nodes stay cordoned.

use std::sync::Arc;

use crate::testing::{
    NOW, ago, begin_drain, edit, in_flight, intent, node, nodes_mut, occupy, pod, pool, pool_mut, snapshot,
};
use crate::{
    Attempt, Cause, Enforcement, Intent, Known, Mode, Occupant, Owner, Pod, Problem, ProvisioningState, Settings,
    Snapshot, Step, SystemPods, Tenancy, plan,
};

/// A system pool `sys` of five nodes and another of three; protected pods on the first three nodes of `sys`, of which three
/// nodes are to be left.
fn cluster(system_pods: SystemPods) -> Snapshot {
    let mut snapshot = snapshot(vec![pool("sys", Mode::System, 5), pool("two", Mode::System, 3)]);
    edit(&mut snapshot.intents).push(Intent { count: Some(3), system_pods, ..intent("p", "sys") });
    for index in 0..3 {
        edit(&mut snapshot.pods).push(pod(&format!("dns-{index}"), &node("sys", index)));
    }
    edit(&mut snapshot.pods).push(Pod { owner: Owner::DaemonSet, ..pod("proxy", &node("sys", 4)) });
    occupy(&mut snapshot, "sys");
    snapshot
}

fn steps(snapshot: &Snapshot) -> Vec<Step> {
    let plan = plan(snapshot, &Settings::default());
    plan.policies.into_iter().flat_map(|policy| policy.steps).chain(plan.left_behind).collect()
}

/// The steps in words, nodes by their numbers.
fn texts(snapshot: &Snapshot) -> Vec<String> {
    steps(snapshot).iter().map(|step| step.change.to_string().replace("aks-sys-12345678-vmss00000", "")).collect()
}

fn problems(snapshot: &Snapshot) -> Vec<Problem> {
    plan(snapshot, &Settings::default()).policies.into_iter().flat_map(|policy| policy.problems).collect()
}

fn intent_mut(snapshot: &mut Snapshot) -> &mut Intent {
    edit(&mut snapshot.intents).first_mut().unwrap()
}

/// A pod that is not protected on a node of `sys`.
fn app(snapshot: &mut Snapshot, name: &str, index: u32) {
    let pod = Pod { namespace: "shop".into(), ..pod(name, &node("sys", index)) };
    let occupant = Occupant { pod, uid: name.to_owned(), tenancy: Tenancy::Controlled, protected: false };
    edit(snapshot.occupancy.get_mut("sys").unwrap()).pods.push(occupant);
}

fn set_count(snapshot: &mut Snapshot, count: u32) {
    intent_mut(snapshot).count = Some(count);
}

#[test]
fn nodes_without_protected_pods_are_drained_and_removed_whatever_the_policy_permits() {
    for system_pods in [SystemPods::Protect, SystemPods::Relocate] {
        let mut snapshot = cluster(system_pods);
        assert_eq!(texts(&snapshot), ["cordon nodes 3, 4 to scale from 5 to 3 nodes"]);
        begin_drain(&mut snapshot, "sys", &[3]);
        assert_eq!(texts(&snapshot), ["cordon node 4 to scale from 5 to 3 nodes"], "what was broken off goes on");
        begin_drain(&mut snapshot, "sys", &[3, 4]);
        app(&mut snapshot, "web", 4);
        app(&mut snapshot, "elsewhere", 1);
        assert_eq!(texts(&snapshot), ["evict shop/web from node 4 to scale from 5 to 3 nodes"]);
        occupy(&mut snapshot, "sys");
        assert_eq!(texts(&snapshot), ["remove nodes 3, 4: scale from 5 to 3 nodes"], "a DaemonSet's pod may stay");
        pool_mut(&mut snapshot, "sys").count = 3;
        assert_eq!(texts(&snapshot), [""; 0], "Azure is at it: they stay cordoned");
        edit(&mut snapshot.nodes).retain(|node| node.drain.is_none());
        assert_eq!(texts(&snapshot), [""; 0]);
    }
}

#[test]
fn protected_pods_are_evicted_one_by_one_where_the_policy_permits_it() {
    let mut snapshot = cluster(SystemPods::Protect);
    set_count(&mut snapshot, 2);
    assert_eq!(texts(&snapshot), ["scale from 5 to 2 nodes"], "left to the guard, which refuses it");
    intent_mut(&mut snapshot).system_pods = SystemPods::Relocate;
    assert_eq!(texts(&snapshot), ["cordon nodes 2, 3, 4 to scale from 5 to 2 nodes"]);
    begin_drain(&mut snapshot, "sys", &[2, 3, 4]);
    let metrics = Pod { created: ago(1), ..pod("a-metrics", &node("sys", 3)) };
    edit(&mut snapshot.pods).push(metrics);
    occupy(&mut snapshot, "sys");
    app(&mut snapshot, "web", 4);
    let evictions = [
        "evict kube-system/a-metrics from node 3 to scale from 5 to 2 nodes",
        "evict shop/web from node 4 to scale from 5 to 2 nodes",
    ];
    assert_eq!(texts(&snapshot), evictions);
    edit(snapshot.occupancy.get_mut("sys").unwrap()).pods.iter_mut().for_each(|it| it.pod.deleting = true);
    assert_eq!(
        texts(&snapshot),
        ["remove nodes 2, 3, 4: scale from 5 to 2 nodes"],
        "the guard waits until they have gone"
    );
    snapshot.occupancy.clear();
    assert_eq!(texts(&snapshot), ["remove nodes 2, 3, 4: scale from 5 to 2 nodes"], "and until they have been read");
}

#[test]
fn a_pod_that_its_budget_lets_go_goes_before_one_that_it_does_not() {
    let mut snapshot = cluster(SystemPods::Relocate);
    set_count(&mut snapshot, 1);
    begin_drain(&mut snapshot, "sys", &[1, 2, 3, 4]);
    let next = |snapshot: &Snapshot| texts(snapshot).remove(0).split(' ').nth(1).unwrap().to_owned();
    assert_eq!(next(&snapshot), "kube-system/dns-1");
    for pod in edit(&mut snapshot.pods).iter_mut().filter(|pod| &*pod.name == "dns-1") {
        pod.labels = Arc::new([("app".to_owned(), "dns".to_owned())].into());
    }
    occupy(&mut snapshot, "sys");
    edit(&mut snapshot.budgets).push(crate::testing::budget("closed", "app", "dns", 0));
    assert_eq!(next(&snapshot), "kube-system/dns-2");
    edit(&mut snapshot.budgets).first_mut().unwrap().status.allowed = 1;
    assert_eq!(next(&snapshot), "kube-system/dns-1");
}

#[test]
fn a_user_pool_is_drained_while_protected_pods_run_on_it_or_a_drain_has_begun() {
    let mut snapshot = cluster(SystemPods::Relocate);
    pool_mut(&mut snapshot, "sys").mode = Mode::User;
    assert_eq!(texts(&snapshot), ["cordon nodes 3, 4 to scale from 5 to 3 nodes"]);
    edit(&mut snapshot.pods).clear();
    assert_eq!(texts(&snapshot), ["scale from 5 to 3 nodes"]);
    begin_drain(&mut snapshot, "sys", &[3, 4]);
    occupy(&mut snapshot, "sys");
    assert_eq!(texts(&snapshot), ["remove nodes 3, 4: scale from 5 to 3 nodes"]);
    set_count(&mut snapshot, 0);
    assert_eq!(texts(&snapshot), ["uncordon nodes 3, 4: they are not to go any more", "scale from 5 to 0 nodes"]);
}

#[test]
fn a_demotion_moves_the_protected_pods_first_and_leaves_the_others() {
    let mut snapshot = cluster(SystemPods::Relocate);
    (intent_mut(&mut snapshot).mode, intent_mut(&mut snapshot).count) = (Some(Mode::User), None);
    let to = "to change the mode from System to User";
    assert_eq!(texts(&snapshot), [format!("cordon nodes 0, 1, 2, 3, 4 {to}")]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2, 3, 4]);
    app(&mut snapshot, "web", 4);
    assert_eq!(texts(&snapshot), [format!("evict kube-system/dns-0 from node 0 {to}")]);
    edit(&mut snapshot.pods).retain(|pod| pod.owner == Owner::DaemonSet);
    occupy(&mut snapshot, "sys");
    assert_eq!(texts(&snapshot), ["change the mode from System to User"]);
    snapshot.in_flight = in_flight([crate::testing::demote("sys")]);
    pool_mut(&mut snapshot, "sys").mode = Mode::User;
    assert_eq!(texts(&snapshot), [""; 0], "while it is under way they stay closed");
    snapshot.in_flight.clear();
    assert_eq!(texts(&snapshot), ["uncordon nodes 0, 1, 2, 3, 4: they are not to go any more"]);
}

#[test]
fn a_demotion_is_left_to_the_guard_where_pods_must_stay() {
    let mut snapshot = cluster(SystemPods::Protect);
    (intent_mut(&mut snapshot).mode, intent_mut(&mut snapshot).count) = (Some(Mode::User), Some(3));
    assert_eq!(texts(&snapshot), ["change the mode from System to User", "scale from 5 to 3 nodes"]);
    intent_mut(&mut snapshot).system_pods = SystemPods::Relocate;
    assert!(texts(&snapshot).first().unwrap().starts_with("cordon nodes 0, 1, 2, 3, 4"));
    nodes_mut(&mut snapshot, "sys").take(1).for_each(|node| node.cordoned = true);
    assert_eq!(
        texts(&snapshot).first().unwrap(),
        "change the mode from System to User",
        "somebody else cordoned a node"
    );
    edit(&mut snapshot.pods).retain(|pod| &*pod.name != "dns-0");
    assert!(texts(&snapshot).first().unwrap().starts_with("cordon nodes 1, 2, 3, 4"));
}

#[test]
fn a_node_that_somebody_else_cordoned_is_never_chosen() {
    let mut snapshot = cluster(SystemPods::Relocate);
    nodes_mut(&mut snapshot, "sys").skip(3).for_each(|node| node.cordoned = true);
    assert_eq!(texts(&snapshot), ["cordon nodes 1, 2 to scale from 5 to 3 nodes"]);
    begin_drain(&mut snapshot, "sys", &[1, 2]);
    nodes_mut(&mut snapshot, "sys").take(3).skip(1).for_each(|node| node.drain.as_mut().unwrap().policy = "q".into());
    assert_eq!(texts(&snapshot), ["uncordon nodes 1, 2: their policy does not govern the pool any more"]);
    let found = problems(&snapshot);
    let problem = found.first().unwrap();
    assert_eq!((found.len(), problem.reason(), problem.is_lasting()), (1, "TooFewNodes", true));
    assert!(
        problem.to_string().starts_with("of 2 nodes to be drained only 1 can be chosen: somebody else has cordoned")
    );
    nodes_mut(&mut snapshot, "sys").for_each(|node| (node.cordoned, node.drain) = (false, None));
    nodes_mut(&mut snapshot, "sys").skip(1).for_each(|node| node.deleting = true);
    let found = problems(&snapshot);
    assert_eq!(found.iter().map(Problem::is_lasting).collect::<Vec<_>>(), [false], "they may yet join");
}

#[test]
fn what_is_not_wanted_any_more_is_opened() {
    type Edit = Box<dyn Fn(&mut Snapshot)>;
    let why = |edit_snapshot: &Edit| {
        let mut snapshot = cluster(SystemPods::Relocate);
        begin_drain(&mut snapshot, "sys", &[3, 4]);
        app(&mut snapshot, "web", 4);
        edit_snapshot(&mut snapshot);
        let first = texts(&snapshot).into_iter().find(|text| text.starts_with("uncordon"));
        first.map(|text| text.strip_prefix("uncordon nodes 3, 4: ").unwrap_or(&text).to_owned())
    };
    let intents = |change: fn(&mut Intent)| -> Edit { Box::new(move |snapshot| change(intent_mut(snapshot))) };
    let attempt = |cause| Attempt {
        cause,
        failures: 1,
        generation: 1,
        next: Some(NOW.after(crate::Span::from_secs(60))),
        code: String::new(),
        message: String::new(),
        remedy: String::new(),
    };
    let busy = |operation: &'static str, is_empty: bool| -> Edit {
        Box::new(move |snapshot| {
            pool_mut(snapshot, "sys").state = ProvisioningState::Busy(operation.into());
            if is_empty {
                occupy(snapshot, "sys");
            }
        })
    };
    let not_any_more = Some("they are not to go any more");
    let gone = Some("their policy does not govern the pool any more");
    let cases: Vec<(Edit, Option<&str>)> = vec![
        (Box::new(|_| ()), None),
        (intents(|intent| intent.count = Some(5)), not_any_more),
        (intents(|intent| intent.count = None), not_any_more),
        (intents(|intent| intent.count = Some(4)), Some("uncordon node 3: they are not to go any more")),
        (intents(|intent| intent.suspended = true), Some("the policy is suspended")),
        (intents(|intent| intent.enforcement = Enforcement::Observe), Some("the policy only observes")),
        (intents(|intent| intent.deletion = Some(crate::Deletion::Delete)), None),
        (intents(|intent| intent.deletion = Some(crate::Deletion::Orphan)), gone),
        (
            intents(|intent| {
                (intent.deletion, intent.system_pods) = (Some(crate::Deletion::Delete), SystemPods::Protect);
            }),
            not_any_more,
        ),
        (intents(|intent| intent.policy = "q".into()), gone),
        (intents(|intent| intent.pool = "two".into()), gone),
        (Box::new(|snapshot| edit(&mut snapshot.intents).clear()), gone),
        (
            Box::new(|snapshot| {
                let older = Intent { created: ago(99_999), ..intent("older", "sys") };
                edit(&mut snapshot.intents).push(older);
            }),
            Some("the policy can't be planned (ConflictingPolicy)"),
        ),
        (
            Box::new(move |snapshot| intent_mut(snapshot).attempt = Some(attempt(Cause::Drain))),
            Some("the drain was given up for now"),
        ),
        (busy("Updating", false), Some("somebody else's operation: pool sys is Updating")),
        (busy("Updating", true), Some("somebody else's operation: pool sys is Updating")),
        (busy("Scaling", false), Some("somebody else's operation: pool sys is Scaling")),
        (busy("Scaling", true), None),
        (
            Box::new(|snapshot| edit(&mut snapshot.cluster).state = ProvisioningState::Busy("Updating".into())),
            Some("somebody else's operation: the cluster is Updating"),
        ),
        (
            Box::new(|snapshot| {
                busy_by_ours(snapshot);
            }),
            None,
        ),
        (Box::new(|snapshot| snapshot.cluster = Known::unknown("no answer")), None),
        (Box::new(|snapshot| snapshot.intents = Known::unknown("no answer")), None),
        (Box::new(|snapshot| snapshot.pods = Known::unknown("no answer")), None),
    ];
    for (index, (edit_snapshot, expected)) in cases.iter().enumerate() {
        assert_eq!(why(edit_snapshot).as_deref(), *expected, "case {index}");
    }
}

fn busy_by_ours(snapshot: &mut Snapshot) {
    pool_mut(snapshot, "sys").state = ProvisioningState::Busy("Updating".into());
    snapshot.in_flight = in_flight([crate::testing::put_label("sys", "a")]);
}

#[test]
fn protected_pods_that_must_stay_and_have_come_to_a_cordoned_node_change_the_choice() {
    let mut snapshot = cluster(SystemPods::Protect);
    begin_drain(&mut snapshot, "sys", &[3, 4]);
    edit(&mut snapshot.pods).retain(|pod| &*pod.name != "dns-0");
    edit(&mut snapshot.pods).push(pod("late", &node("sys", 4)));
    occupy(&mut snapshot, "sys");
    assert_eq!(
        texts(&snapshot),
        ["uncordon node 4: they are not to go any more", "cordon node 0 to scale from 5 to 3 nodes"]
    );
}

#[test]
fn a_pool_that_somebody_else_autoscales_is_not_drained() {
    let mut snapshot = cluster(SystemPods::Relocate);
    pool_mut(&mut snapshot, "sys").autoscaling = Some(crate::Autoscaling { min: 3, max: 9 });
    assert_eq!((texts(&snapshot), problems(&snapshot)), (vec![], vec![Problem::Autoscaled]));
    (intent_mut(&mut snapshot).mode, intent_mut(&mut snapshot).count) = (Some(Mode::User), None);
    assert_eq!(texts(&snapshot), ["change the mode from System to User"]);
}

#[test]
fn the_policys_own_autoscaler_is_off_while_the_pool_is_drained_for_its_demotion() {
    let (off, cordon) =
        ("turn the autoscaler off", "cordon nodes 0, 1, 2, 3, 4 to change the mode from System to User");
    let (demote, on) = ("change the mode from System to User", "turn the autoscaler on, 3 to 9 nodes");
    let bounds = Some(crate::Autoscaling { min: 3, max: 9 });
    let mut snapshot = cluster(SystemPods::Relocate);
    let wish = intent_mut(&mut snapshot);
    (wish.mode, wish.count, wish.autoscaling) = (Some(Mode::User), None, bounds);
    pool_mut(&mut snapshot, "sys").autoscaling = bounds;
    assert_eq!((texts(&snapshot), problems(&snapshot)), (vec![off.to_owned(), cordon.to_owned()], vec![]));
    pool_mut(&mut snapshot, "sys").autoscaling = Some(crate::Autoscaling { min: 1, max: 9 });
    assert_eq!(texts(&snapshot), [off, cordon], "other bounds wait");
    pool_mut(&mut snapshot, "sys").autoscaling = None;
    assert_eq!(texts(&snapshot), [cordon, on]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2, 3, 4]);
    edit(&mut snapshot.pods).retain(|pod| pod.owner == Owner::DaemonSet);
    occupy(&mut snapshot, "sys");
    assert_eq!(texts(&snapshot), [demote, on]);
    intent_mut(&mut snapshot).system_pods = SystemPods::Protect;
    pool_mut(&mut snapshot, "sys").autoscaling = bounds;
    assert_eq!(texts(&snapshot).last().unwrap(), demote, "nothing is drained");
}

/// The same pool, which is to be deleted with its policy.
fn deleted(system_pods: SystemPods) -> Snapshot {
    let mut snapshot = cluster(system_pods);
    intent_mut(&mut snapshot).deletion = Some(crate::Deletion::Delete);
    snapshot
}

#[test]
fn a_pool_is_emptied_before_it_is_deleted_where_the_policy_permits_it() {
    let mut snapshot = deleted(SystemPods::Protect);
    assert_eq!(texts(&snapshot), ["delete the pool"], "left to the guard, which refuses it");
    intent_mut(&mut snapshot).system_pods = SystemPods::Relocate;
    assert_eq!(texts(&snapshot), ["cordon nodes 0, 1, 2, 3, 4 to delete the pool"]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2, 3, 4]);
    app(&mut snapshot, "web", 4);
    let evictions =
        ["evict kube-system/dns-0 from node 0 to delete the pool", "evict shop/web from node 4 to delete the pool"];
    assert_eq!(texts(&snapshot), evictions);
    edit(&mut snapshot.pods).retain(|pod| pod.owner == Owner::DaemonSet);
    occupy(&mut snapshot, "sys");
    app(&mut snapshot, "web", 4);
    assert_eq!(texts(&snapshot), evictions[1..]);
    intent_mut(&mut snapshot).system_pods = SystemPods::Protect;
    assert_eq!(texts(&snapshot), evictions[1..], "none that is protected is left");
    occupy(&mut snapshot, "sys");
    assert_eq!(texts(&snapshot), ["delete the pool"]);
    pool_mut(&mut snapshot, "sys").state = ProvisioningState::Busy("Deleting".into());
    assert_eq!(texts(&snapshot), [""; 0], "Azure is at it: they stay cordoned");
}

#[test]
fn what_a_deletion_can_not_empty_or_need_not_is_left_to_the_guard_and_to_aks() {
    let mut stopped = deleted(SystemPods::Relocate);
    edit(&mut stopped.nodes).retain(|node| node.pool.as_deref() != Some("sys"));
    edit(&mut stopped.pods).clear();
    let mut cordoned = deleted(SystemPods::Relocate);
    nodes_mut(&mut cordoned, "sys").next().unwrap().cordoned = true;
    let mut autoscaled = deleted(SystemPods::Relocate);
    pool_mut(&mut autoscaled, "sys").autoscaling = Some(crate::Autoscaling { min: 3, max: 9 });
    let mut user = deleted(SystemPods::Relocate);
    pool_mut(&mut user, "sys").mode = Mode::User;
    edit(&mut user.pods).retain(|pod| pod.owner == Owner::DaemonSet);
    occupy(&mut user, "sys");
    for (case, snapshot) in [("stopped", stopped), ("cordoned", cordoned), ("autoscaled", autoscaled), ("user", user)] {
        assert_eq!(texts(&snapshot), ["delete the pool"], "{case}");
    }
    let mut user = deleted(SystemPods::Relocate);
    pool_mut(&mut user, "sys").mode = Mode::User;
    assert_eq!(texts(&user), ["cordon nodes 0, 1, 2, 3, 4 to delete the pool"]);
}

#[test]
fn the_policys_own_autoscaler_is_off_while_the_pool_is_emptied_and_comes_back_if_it_is_given_up() {
    let bounds = Some(crate::Autoscaling { min: 3, max: 9 });
    let mut snapshot = deleted(SystemPods::Relocate);
    (intent_mut(&mut snapshot).count, intent_mut(&mut snapshot).autoscaling) = (None, bounds);
    pool_mut(&mut snapshot, "sys").autoscaling = bounds;
    let cordon = "cordon nodes 0, 1, 2, 3, 4 to delete the pool";
    assert_eq!(texts(&snapshot), ["turn the autoscaler off", cordon]);
    pool_mut(&mut snapshot, "sys").autoscaling = None;
    assert_eq!(texts(&snapshot), [cordon]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2, 3, 4]);
    intent_mut(&mut snapshot).attempt = Some(Attempt {
        cause: Cause::Drain,
        failures: 1,
        generation: 1,
        next: Some(NOW.after(crate::Span::from_secs(60))),
        code: String::new(),
        message: String::new(),
        remedy: String::new(),
    });
    let opened = "uncordon nodes 0, 1, 2, 3, 4: the drain was given up for now";
    assert_eq!(texts(&snapshot), [opened, cordon, "turn the autoscaler on, 3 to 9 nodes"]);
    pool_mut(&mut snapshot, "sys").autoscaling = bounds;
    assert_eq!(texts(&snapshot), [opened, "turn the autoscaler off", cordon]);
}
