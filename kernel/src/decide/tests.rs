//! Order, barrier and limits of a pass.

use super::*;
use crate::testing::{
    NOW, ago, edit, in_flight, intent, nodes_mut, pool, pool_mut, promote, put_label, scale, snapshot, taint,
};
use crate::{Attempt, Cause, Enforcement, Intent, ProvisioningState, Rule, Span, plan};

/// System pools `one` and `two`, user pools `apps` and `spare`, three nodes each; no policies.
fn cluster() -> Snapshot {
    let system = ["one", "two"].map(|name| pool(name, Mode::System, 3));
    let user = ["apps", "spare"].map(|name| pool(name, Mode::User, 3));
    snapshot(system.into_iter().chain(user).collect())
}

/// Lets a policy of the pool's name want something of it.
fn wants(snapshot: &mut Snapshot, pool: &str, edit_intent: impl Fn(&mut Intent)) {
    let mut wish = intent(pool, pool);
    edit_intent(&mut wish);
    edit(&mut snapshot.intents).push(wish);
}

fn policy<'a>(snapshot: &'a mut Snapshot, name: &str) -> &'a mut Intent {
    edit(&mut snapshot.intents).iter_mut().find(|intent| intent.policy == name).unwrap()
}

/// The verdicts in short, in the order in which they were made.
fn verdicts(snapshot: &Snapshot) -> Vec<String> {
    let settings = Settings { steps_in_parallel: 3, ..Settings::default() };
    let in_short = |verdict: Verdict| match &verdict {
        Verdict::Approved(_) => format!("approved: {}", verdict.step()),
        Verdict::Waits { reason, .. } => format!("waits: {}: {reason}", verdict.step()),
        Verdict::Refused(refusal) => {
            let rules: Vec<&str> = refusal.broken.iter().map(|broken| broken.rule.name()).collect();
            format!("{}: {}", rules.join(", "), verdict.step())
        }
    };
    decide(&plan(snapshot, &settings), snapshot, &settings).into_iter().map(in_short).collect()
}

const DEMOTE_ONE: &str = "pool one: change the mode from System to User";
const CORDON_ONE: &str = "pool one: cordon node aks-one-12345678-vmss000002 to scale from 3 to 2 nodes";
const CORDON_TWO: &str = "pool two: cordon node aks-two-12345678-vmss000002 to scale from 3 to 2 nodes";
const PROMOTE_APPS: &str = "pool apps: change the mode from User to System";

#[test]
fn what_adds_system_capacity_comes_first_and_what_takes_it_away_last() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "apps", |intent| intent.count = Some(2));
    wants(&mut snapshot, "one", |intent| intent.count = Some(4));
    wants(&mut snapshot, "spare", |intent| intent.labels = Some([("a".to_owned(), "b".to_owned())].into()));
    let order =
        ["pool one: scale from 3 to 4 nodes", "pool spare: set the labels a=b", "pool apps: scale from 3 to 2 nodes"];
    let steps: Vec<String> = decide(&plan(&snapshot, &Settings::default()), &snapshot, &Settings::default())
        .iter()
        .map(|v| v.step().to_string())
        .collect();
    assert_eq!(steps, order);
    assert_eq!(verdicts(&snapshot).iter().filter(|verdict| verdict.starts_with("approved")).count(), 2);
}

#[test]
fn a_demotion_waits_for_the_promotion_of_another_policy() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| intent.mode = Some(Mode::User));
    assert_eq!(verdicts(&snapshot), [format!("approved: {DEMOTE_ONE}")]);
    wants(&mut snapshot, "apps", |intent| intent.mode = Some(Mode::System));
    let waiting =
        [format!("approved: {PROMOTE_APPS}"), format!("waits: {DEMOTE_ONE}: the step before it, {PROMOTE_APPS}")];
    assert_eq!(verdicts(&snapshot), waiting);
}

#[test]
fn a_demotion_waits_for_a_promotion_in_flight() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| intent.mode = Some(Mode::User));
    snapshot.in_flight = in_flight([promote("apps")]);
    let waiting = [format!("waits: {DEMOTE_ONE}: the step before it, {PROMOTE_APPS}")];
    assert_eq!(verdicts(&snapshot), waiting);
    pool_mut(&mut snapshot, "apps").mode = Mode::System;
    assert_eq!(verdicts(&snapshot), waiting, "also when ARM shows it already");
    snapshot.in_flight = in_flight([put_label("apps", "a")]);
    assert_eq!(verdicts(&snapshot), [format!("approved: {DEMOTE_ONE}")]);
}

#[test]
fn a_predecessor_that_can_make_no_progress_is_not_waited_for() {
    let releases: [fn(&mut Intent); 3] = [
        |intent| intent.stalled = true,
        |intent| intent.suspended = true,
        |intent| intent.enforcement = Enforcement::Observe,
    ];
    for release in releases {
        let mut snapshot = cluster();
        wants(&mut snapshot, "one", |intent| intent.mode = Some(Mode::User));
        wants(&mut snapshot, "apps", |intent| intent.mode = Some(Mode::System));
        pool_mut(&mut snapshot, "apps").taints = vec![taint("a=b:NoSchedule")];
        let refused = format!("RestrictedSystemTaint: {PROMOTE_APPS}");
        assert_eq!(
            verdicts(&snapshot),
            [refused.clone(), format!("waits: {DEMOTE_ONE}: the step before it, {PROMOTE_APPS}")]
        );
        release(policy(&mut snapshot, "apps"));
        assert_eq!(verdicts(&snapshot).last(), Some(&format!("approved: {DEMOTE_ONE}")));
    }
}

#[test]
fn system_pools_wait_only_for_system_pools_and_user_pools_for_any() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| intent.count = Some(2));
    wants(&mut snapshot, "apps", |intent| intent.count = Some(4));
    wants(&mut snapshot, "spare", |intent| intent.count = Some(2));
    let up = "pool apps: scale from 3 to 4 nodes";
    assert_eq!(
        verdicts(&snapshot),
        [
            format!("approved: {up}"),
            "approved: pool one: cordon node aks-one-12345678-vmss000002 to scale from 3 to 2 nodes".to_owned(),
            format!("waits: pool spare: scale from 3 to 2 nodes: the step before it, {up}"),
        ]
    );
    policy(&mut snapshot, "apps").count = None;
    wants(&mut snapshot, "two", |intent| intent.count = Some(4));
    let waiting = |step: &str| format!("waits: {step}: the step before it, pool two: scale from 3 to 4 nodes");
    let spare = "pool spare: scale from 3 to 2 nodes";
    assert_eq!(verdicts(&snapshot).get(1..), Some(&[waiting(CORDON_ONE), waiting(spare)][..]));
}

#[test]
fn one_step_a_pass_reduces() {
    let mut snapshot = cluster();
    for name in ["one", "two"] {
        wants(&mut snapshot, name, |intent| intent.count = Some(2));
    }
    let (first, second) = (CORDON_ONE, CORDON_TWO);
    let alone = |first| format!("waits: {second}: another step that takes away system capacity, {first}");
    assert_eq!(verdicts(&snapshot), [format!("approved: {first}"), alone(first)]);
    snapshot.in_flight = in_flight([scale("one", 3, 2)]);
    let alone = alone("pool one: scale from 3 to 2 nodes");
    assert_eq!(verdicts(&snapshot).last(), Some(&alone), "nor while one is in flight");
    pool_mut(&mut snapshot, "one").count = 2;
    assert_eq!(verdicts(&snapshot), [alone], "nor while it has been seen to begin");
    snapshot.in_flight = vec![];
    assert_eq!(verdicts(&snapshot), [format!("approved: {second}")]);
}

#[test]
fn a_refused_step_lets_the_next_one_reduce() {
    let mut snapshot = cluster();
    for name in ["one", "two"] {
        wants(&mut snapshot, name, |intent| intent.count = Some(2));
    }
    for index in 0..3 {
        let pod = crate::testing::pod(&format!("coredns-{index}"), &crate::testing::node("one", index));
        edit(&mut snapshot.pods).push(pod);
    }
    assert_eq!(
        verdicts(&snapshot),
        [
            "SystemPodsWouldBeEvicted, SystemPodsUnplaceable: pool one: scale from 3 to 2 nodes",
            "approved: pool two: cordon node aks-two-12345678-vmss000002 to scale from 3 to 2 nodes"
        ]
    );
}

#[test]
fn mode_and_taints_of_a_pool_are_changed_one_after_the_other() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "apps").taints = vec![taint("a=b:NoSchedule")];
    nodes_mut(&mut snapshot, "apps").for_each(|node| node.taints = vec![taint("a=b:NoSchedule")]);
    wants(&mut snapshot, "apps", |intent| {
        intent.mode = Some(Mode::System);
        intent.taints = Some(vec![]);
    });
    let taints = "pool apps: change the taints from [a=b:NoSchedule] to [none]";
    assert_eq!(
        verdicts(&snapshot),
        [format!("waits: {PROMOTE_APPS}: the step before it, {taints}"), format!("approved: {taints}")]
    );
}

#[test]
fn a_pool_gets_one_step_a_pass() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "apps", |intent| {
        intent.count = Some(4);
        intent.labels = Some([("a".to_owned(), "b".to_owned())].into());
    });
    let up = "pool apps: scale from 3 to 4 nodes";
    assert_eq!(
        verdicts(&snapshot),
        [format!("approved: {up}"), format!("waits: pool apps: set the labels a=b: the step before it, {up}")]
    );
}

#[test]
fn steps_wait_beyond_the_limit_and_those_in_flight_count() {
    let mut snapshot = cluster();
    for name in ["one", "two", "apps", "spare"] {
        wants(&mut snapshot, name, |intent| intent.count = Some(4));
    }
    let last = "waits: pool spare: scale from 3 to 4 nodes: other steps that run now";
    assert_eq!(verdicts(&snapshot).last().map(String::as_str), Some(last));
    assert_eq!(verdicts(&snapshot).iter().filter(|verdict| verdict.starts_with("approved")).count(), 3);
    policy(&mut snapshot, "one").count = None;
    assert_ne!(verdicts(&snapshot).last().map(String::as_str), Some(last));
    snapshot.in_flight = in_flight([put_label("one", "a")]);
    assert_eq!(verdicts(&snapshot).last().map(String::as_str), Some(last));
}

#[test]
fn a_policy_that_backs_off_waits() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "apps", |intent| intent.count = Some(4));
    policy(&mut snapshot, "apps").attempt = Some(Attempt {
        cause: Cause::Refused,
        failures: 1,
        generation: 1,
        next: Some(NOW.after(Span::from_secs(5))),
        code: "BadRequest".into(),
        message: "no".into(),
        remedy: String::new(),
    });
    let step = "pool apps: scale from 3 to 4 nodes";
    assert_eq!(verdicts(&snapshot), [format!("waits: {step}: the next attempt after a failed one")]);
    snapshot.now = snapshot.now.after(Span::from_secs(5));
    assert_eq!(verdicts(&snapshot), [format!("approved: {step}")]);
}

#[test]
fn steps_approved_before_count_at_their_worst() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| intent.mode = Some(Mode::User));
    pool_mut(&mut snapshot, "two").state = ProvisioningState::Busy("Updating".into());
    let refused = verdicts(&snapshot);
    assert_eq!(refused, [format!("LastHealthySystemPool, SystemCapacityFloor: {DEMOTE_ONE}")]);
    pool_mut(&mut snapshot, "two").state = ProvisioningState::Succeeded;
    wants(&mut snapshot, "two", |intent| intent.labels = Some([("a".to_owned(), "b".to_owned())].into()));
    assert_eq!(
        verdicts(&snapshot),
        ["approved: pool two: set the labels a=b".to_owned(), format!("approved: {DEMOTE_ONE}")]
    );
    pool_mut(&mut snapshot, "two").requested_version = Some("1.34".into());
    assert!(verdicts(&snapshot).last().unwrap().contains(Rule::LastHealthySystemPool.name()));
}

#[test]
fn a_step_that_has_waited_for_long_stops_other_disruptive_ones_and_no_others() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| intent.count = Some(2));
    wants(&mut snapshot, "two", |intent| intent.count = Some(2));
    wants(&mut snapshot, "apps", |intent| intent.count = Some(2));
    wants(&mut snapshot, "spare", |intent| intent.labels = Some([("a".to_owned(), "b".to_owned())].into()));
    let (one, two, apps) = (CORDON_ONE, CORDON_TWO, "pool apps: scale from 3 to 2 nodes");
    let other = format!("waits: {two}: another step that takes away system capacity, {one}");
    assert!(verdicts(&snapshot).contains(&format!("approved: {one}")) && verdicts(&snapshot).contains(&other));
    let waits_since = |snapshot: &mut Snapshot, seconds| policy(snapshot, "two").waits_since = Some(ago(seconds));
    waits_since(&mut snapshot, 299);
    assert!(verdicts(&snapshot).contains(&other));

    waits_since(&mut snapshot, 300);
    let first = "a step that has waited for long, ";
    assert_eq!(
        verdicts(&snapshot),
        [
            "approved: pool spare: set the labels a=b".to_owned(),
            format!("approved: {two}"),
            format!("waits: {apps}: {first}{two}"),
            format!("waits: {one}: another step that takes away system capacity, {two}"),
        ]
    );
    // It goes beyond the limit of steps side by side, and stops nobody while it is held itself.
    snapshot.in_flight = in_flight(["apps", "spare", "one"].map(|pool| put_label(pool, "x")));
    assert!(verdicts(&snapshot).contains(&format!("approved: {two}")), "{:?}", verdicts(&snapshot));
    snapshot.in_flight = vec![];
    policy(&mut snapshot, "two").attempt = Some(Attempt {
        cause: Cause::Refused,
        failures: 1,
        generation: 1,
        next: Some(NOW.after(Span::from_secs(5))),
        code: "BadRequest".into(),
        message: "no".into(),
        remedy: String::new(),
    });
    assert!(verdicts(&snapshot).contains(&format!("approved: {apps}")));
}

#[test]
fn a_no_execute_taint_is_disruptive_and_other_taints_are_not() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| intent.count = Some(2));
    wants(&mut snapshot, "two", |intent| intent.count = Some(2));
    policy(&mut snapshot, "two").waits_since = Some(ago(1000));
    wants(&mut snapshot, "apps", |intent| intent.taints = Some(vec![taint("a=b:NoExecute")]));
    wants(&mut snapshot, "spare", |intent| intent.taints = Some(vec![taint("a=b:NoSchedule")]));
    let all = verdicts(&snapshot);
    let waits = |pool: &str| all.iter().any(|verdict| verdict.starts_with(&format!("waits: pool {pool}")));
    assert!(waits("apps") && !waits("spare"), "{all:?}");
}

#[test]
fn a_step_that_has_waited_for_long_does_not_stop_what_it_waits_for() {
    let mut snapshot = cluster();
    wants(&mut snapshot, "one", |intent| {
        intent.mode = Some(Mode::User);
        intent.taints = Some(vec![taint("a=b:NoExecute")]);
    });
    wants(&mut snapshot, "apps", |intent| {
        intent.mode = Some(Mode::System);
        intent.taints = Some(vec![taint("CriticalAddonsOnly=true:NoExecute")]);
    });
    policy(&mut snapshot, "one").waits_since = Some(ago(1000));
    let taint_apps = "pool apps: change the taints from [none] to [CriticalAddonsOnly=true:NoExecute]";
    assert!(verdicts(&snapshot).contains(&format!("approved: {taint_apps}")), "{:?}", verdicts(&snapshot));
    policy(&mut snapshot, "apps").mode = None;
    let waits = format!("waits: {taint_apps}: a step that has waited for long, {DEMOTE_ONE}");
    assert!(verdicts(&snapshot).contains(&waits), "{:?}", verdicts(&snapshot));
}
