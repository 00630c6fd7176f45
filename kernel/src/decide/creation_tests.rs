//! Creations in the order of a pass, and under the guard.

use super::*;
use crate::snapshot::Power;
use crate::testing::{demote, edit, in_flight, intent, pool, pool_mut, rules, scale, snapshot, taint, template};
use crate::{Change, Intent, Known, Mode, NewPool, ProvisioningState, Rule, plan};

const CREATE: &str = "pool new: create a System pool with 3 nodes of Standard_D4ds_v5";
const DEMOTE: &str = "pool one: change the mode from System to User";
const REMOVE: &str = "pool apps: scale from 3 to 2 nodes";

fn policy(pool: &str, edit_intent: impl Fn(&mut Intent)) -> Intent {
    let mut wish = intent(pool, pool);
    edit_intent(&mut wish);
    wish
}

/// Two system pools, one of which is to be demoted, a user pool that is to be smaller, and a new pool that is wanted.
fn cluster(mode: &Mode) -> Snapshot {
    let pools = [pool("one", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 3)];
    let mut snapshot = snapshot(pools.into());
    *edit(&mut snapshot.intents) = vec![
        policy("one", |intent| intent.mode = Some(Mode::User)),
        policy("apps", |intent| intent.count = Some(2)),
        policy("new", |intent| {
            intent.mode = Some(mode.clone());
            intent.count = Some(3);
            intent.template = Some(template(&[("vmSize", "Standard_D4ds_v5")]));
        }),
    ];
    snapshot
}

fn verdicts(snapshot: &Snapshot) -> Vec<String> {
    let settings = Settings::default();
    let in_short = |verdict: Verdict| match &verdict {
        Verdict::Approved(_) => format!("approved: {}", verdict.step()),
        Verdict::Waits { reason, .. } => format!("waits: {}: {reason}", verdict.step()),
        Verdict::Refused(_) => format!("refused: {}", verdict.step()),
    };
    decide(&plan(snapshot, &settings), snapshot, &settings).into_iter().map(in_short).collect()
}

fn creation(taints: &[&str]) -> Step {
    let new = NewPool {
        taints: Some(taints.iter().map(|text| taint(text)).collect()),
        ..NewPool::new(Mode::System, 3, template(&[("vmSize", "Standard_D4ds_v5")]))
    };
    Step { policy: "new".into(), pool: "new".into(), change: Change::Create(Box::new(new)) }
}

#[test]
fn a_new_system_pool_comes_before_everything_that_takes_away() {
    let waits = |step: &str| format!("waits: {step}: the step before it, {CREATE}");
    assert_eq!(verdicts(&cluster(&Mode::System)), [format!("approved: {CREATE}"), waits(REMOVE), waits(DEMOTE)]);
}

#[test]
fn a_new_user_pool_holds_up_the_removal_of_user_nodes_only() {
    let create = "pool new: create a User pool with 3 nodes of Standard_D4ds_v5";
    let waits = format!("waits: {REMOVE}: the step before it, {create}");
    assert_eq!(verdicts(&cluster(&Mode::User)), [format!("approved: {create}"), waits, format!("approved: {DEMOTE}")]);
}

#[test]
fn what_takes_away_waits_until_the_new_pool_is_there_with_its_nodes() {
    let mut cluster = cluster(&Mode::System);
    cluster.in_flight = in_flight([creation(&[])]);
    let waits = |step: &str| format!("waits: {step}: the step before it, {CREATE}");
    assert_eq!(verdicts(&cluster)[1..], [waits(REMOVE), waits(DEMOTE)]);
    assert!(verdicts(&cluster)[0].starts_with("refused: pool new"), "it is not created twice");

    edit(&mut cluster.cluster).pools.push(pool("new", Mode::System, 3));
    cluster.in_flight = vec![];
    let new = |snapshot: &mut Snapshot, edit_intent: &dyn Fn(&mut Intent)| {
        edit_intent(edit(&mut snapshot.intents).iter_mut().find(|intent| intent.policy == "new").unwrap());
    };
    new(&mut cluster, &|intent| intent.creating = true);
    let waits = |step: &str| format!("waits: {step}: the nodes of pool new, which have not all joined");
    assert_eq!(verdicts(&cluster), [waits(REMOVE), waits(DEMOTE)]);
    new(&mut cluster, &|intent| intent.stalled = true);
    assert_eq!(verdicts(&cluster)[0], format!("approved: {REMOVE}"), "a creation that is stuck holds up nobody");
    new(&mut cluster, &|intent| (intent.creating, intent.stalled) = (false, false));
    assert!(verdicts(&cluster).iter().all(|verdict| verdict.starts_with("approved")), "{:?}", verdicts(&cluster));
}

#[test]
fn a_creation_that_is_stuck_holds_up_nobody() {
    let mut cluster = cluster(&Mode::System);
    for intent in edit(&mut cluster.intents) {
        intent.stalled = intent.policy == "new";
    }
    assert!(verdicts(&cluster).contains(&format!("approved: {DEMOTE}")));
}

#[test]
fn a_creation_is_judged_as_any_other_step() {
    let found = |change: &dyn Fn(&mut Snapshot)| {
        let mut cluster = cluster(&Mode::System);
        change(&mut cluster);
        rules(&cluster, &creation(&[]))
    };
    assert_eq!(found(&|_| ()), []);
    let busy = || ProvisioningState::Busy("Updating".into());
    assert_eq!(found(&|it| edit(&mut it.cluster).state = busy()), [Rule::OperationInProgress]);
    let stopped = |it: &mut Snapshot| edit(&mut it.cluster).power = Power::NotRunning("Stopped".into());
    assert_eq!(found(&stopped), [Rule::OperationInProgress]);
    assert_eq!(found(&|it| pool_mut(it, "apps").state = busy()), []);
    assert_eq!(found(&|it| it.in_flight = in_flight([creation(&[])])), [Rule::OperationInProgress]);
    let there = |it: &mut Snapshot| edit(&mut it.cluster).pools.push(pool("new", Mode::User, 1));
    assert_eq!(found(&there), [Rule::StaleObservation]);
    assert_eq!(found(&|it| it.cluster = Known::unknown("gone")), [Rule::StaleObservation]);
    let hold = |it: &mut Snapshot| edit(&mut it.intents).iter_mut().for_each(|intent| intent.suspended = true);
    assert_eq!(found(&hold), [Rule::Suspended]);
    let older = |it: &mut Snapshot| {
        let mut older = intent("older", "new");
        older.created = crate::testing::ago(10_000);
        edit(&mut it.intents).push(older);
    };
    assert_eq!(found(&older), [Rule::ConflictingPolicy]);
    let elsewhere = |it: &mut Snapshot| edit(&mut it.cluster).subscription = "other".into();
    assert_eq!(found(&elsewhere), [Rule::WrongCluster]);
    assert_eq!(rules(&cluster(&Mode::System), &creation(&["team=a:NoSchedule"])), [Rule::RestrictedSystemTaint]);
    let mut user = creation(&["team=a:NoSchedule"]);
    if let Change::Create(new) = &mut user.change {
        new.mode = Mode::User;
    }
    assert_eq!(rules(&cluster(&Mode::User), &user), []);
    assert_eq!(rules(&cluster(&Mode::System), &creation(&["CriticalAddonsOnly=true:NoSchedule"])), []);
}

#[test]
fn a_creation_in_flight_adds_nothing_that_could_be_relied_upon() {
    let mut only = snapshot(vec![pool("one", Mode::System, 3)]);
    only.in_flight = in_flight([creation(&[])]);
    assert!(rules(&only, &demote("one")).contains(&Rule::LastHealthySystemPool));
    assert!(rules(&only, &scale("one", 3, 1)).contains(&Rule::SystemCapacityFloor));
}
