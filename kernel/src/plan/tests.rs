//! What can't be planned, and that the plan does not depend on order.

use super::*;
use crate::testing::{NOW, ago, edit, intent, pool, pool_mut, snapshot};
use crate::{Attempt, Autoscaling, Cause, Known, Mode, PoolKind, Power, Span};

/// Pools `sys` and `apps`, and a policy `p` that wants four nodes in `apps`.
fn cluster() -> Snapshot {
    let mut snapshot = snapshot(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3)]);
    let mut policy = intent("p", "apps");
    policy.count = Some(4);
    edit(&mut snapshot.intents).push(policy);
    snapshot
}

fn policy(snapshot: &Snapshot, name: &str) -> PolicyPlan {
    plan(snapshot, &Settings::default()).policies.into_iter().find(|policy| policy.policy == name).unwrap()
}

/// The only problem of policy `p`, which then must have no step.
fn problem(edit_snapshot: impl Fn(&mut Snapshot)) -> Problem {
    let mut snapshot = cluster();
    edit_snapshot(&mut snapshot);
    let mut policy = policy(&snapshot, "p");
    assert_eq!((policy.problems.len(), policy.steps.len(), policy.drift.len()), (1, 0, 0), "{policy:?}");
    policy.problems.remove(0)
}

#[test]
fn a_policy_that_can_be_planned_has_steps_and_drift() {
    let policy = policy(&cluster(), "p");
    assert_eq!(policy.pool, "apps");
    assert_eq!(policy.problems, []);
    let texts: Vec<String> = policy.steps.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["pool apps: scale from 3 to 4 nodes"]);
    let drift: Vec<&str> = policy.drift.iter().map(|drift| drift.text.as_str()).collect();
    assert_eq!(drift, ["scale from 3 to 4 nodes"]);
}

#[test]
fn nothing_is_planned_while_the_policies_or_the_cluster_are_unknown() {
    let mut snapshot = cluster();
    snapshot.intents = Known::unknown("no answer");
    assert_eq!(plan(&snapshot, &Settings::default()), Plan::default());
    let unknown = problem(|s| s.cluster = Known::unknown("no answer"));
    assert_eq!((unknown.reason(), unknown.is_lasting()), ("ClusterNotObserved", false));
    assert_eq!(unknown.to_string(), "the cluster has not been read from ARM: no answer");
}

#[test]
fn the_younger_of_two_policies_is_not_planned() {
    let lost = problem(|s| {
        let mut older = intent("older", "apps");
        older.created = ago(10_000);
        edit(&mut s.intents).push(older);
    });
    assert_eq!(lost, Problem::ConflictingPolicy { winner: "older".into() });
    assert!(lost.is_lasting() && lost.to_string().contains("older policy older"));
    let mut snapshot = cluster();
    edit(&mut snapshot.intents).push(intent("younger", "apps"));
    assert_eq!(policy(&snapshot, "p").problems, []);
}

#[test]
fn a_pool_that_does_not_exist_is_answered_with_those_that_do() {
    let absent = problem(|s| edit(&mut s.intents).iter_mut().for_each(|intent| intent.pool = "app".into()));
    assert_eq!((absent.reason(), absent.is_lasting()), ("PoolNotFound", true));
    assert_eq!(
        absent.to_string(),
        "ARM has no such pool; its pools are apps, sys: correct spec.poolName, or add spec.template and spec.count, \
         from which the operator creates the pool"
    );
    let nothing = problem(|s| edit(&mut s.cluster).pools.clear());
    assert_eq!(
        nothing.to_string(),
        "ARM has no such pool, nor any other: correct spec.poolName, or add spec.template and spec.count, from which the \
         operator creates the pool"
    );
}

#[test]
fn pools_that_are_not_managed_are_left_alone() {
    let unsupported = |edit_pool: fn(&mut AgentPool)| problem(|s| edit_pool(pool_mut(s, "apps")));
    for (found, text) in [
        (unsupported(|p| p.kind = PoolKind::Other("VirtualMachines".into())), "type VirtualMachines"),
        (unsupported(|p| p.kind = PoolKind::Unreadable("count is no number".into())), "count is no number"),
        (unsupported(|p| p.mode = Mode::Other("Gateway".into())), "mode Gateway"),
    ] {
        assert_eq!((found.reason(), found.is_lasting()), ("UnsupportedPool", true));
        assert_eq!(
            found.to_string(),
            format!("the pool is left alone, {text} is not supported: manage it by other means and delete this policy")
        );
    }
    let stopped = unsupported(|p| p.power = Power::NotRunning("Stopped".into()));
    assert_eq!((stopped.reason(), stopped.is_lasting()), ("PoolNotRunning", true));
    assert!(stopped.to_string().starts_with("the pool is Stopped; "));
}

#[test]
fn one_policy_that_can_not_be_planned_stops_no_other() {
    let mut snapshot = cluster();
    edit(&mut snapshot.intents).insert(0, intent("a", "gone"));
    assert_eq!(policy(&snapshot, "a").problems.len(), 1);
    assert_eq!(policy(&snapshot, "p").steps.len(), 1);
}

#[test]
fn the_count_of_a_pool_that_somebody_else_autoscales_is_a_problem_and_the_rest_is_planned() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "apps").autoscaling = Some(Autoscaling { min: 1, max: 5 });
    for intent in edit(&mut snapshot.intents) {
        intent.mode = Some(Mode::System);
    }
    let autoscaled = policy(&snapshot, "p");
    assert_eq!(autoscaled.problems, [Problem::Autoscaled]);
    assert_eq!(Problem::Autoscaled.reason(), "PoolIsAutoscaled");
    assert_eq!(autoscaled.steps.len(), 1);
    for intent in edit(&mut snapshot.intents) {
        intent.count = None;
    }
    assert_eq!(policy(&snapshot, "p").problems, []);
    for intent in edit(&mut snapshot.intents) {
        (intent.count, intent.owns_autoscaler) = (Some(4), true);
    }
    let own = policy(&snapshot, "p");
    assert_eq!((own.problems, own.steps.len()), (vec![], 3), "mode, autoscaler and count");
}

#[test]
fn a_failed_attempt_is_a_problem_while_it_holds_and_a_step_is_left() {
    let attempt = Attempt {
        cause: Cause::Refused,
        failures: 2,
        generation: 1,
        next: Some(NOW.after(Span::from_secs(60))),
        code: "BadRequest".into(),
        message: "not like that.".into(),
        remedy: "ask for less".into(),
    };
    let mut snapshot = cluster();
    edit(&mut snapshot.intents).first_mut().unwrap().attempt = Some(attempt.clone());
    let failed = policy(&snapshot, "p");
    assert_eq!(failed.problems, [Problem::BackingOff { attempt, lasts: true }]);
    assert_eq!(failed.steps.len(), 1);
    let problem = failed.problems.first().unwrap();
    assert_eq!(problem.reason(), "WriteFailed");
    assert_eq!(
        problem.to_string(),
        "ARM refused the last write (BadRequest, attempt 2): not like that. To do: ask for less"
    );
    pool_mut(&mut snapshot, "apps").count = 4;
    assert_eq!(policy(&snapshot, "p").problems, []);
    pool_mut(&mut snapshot, "apps").count = 3;
    snapshot.now = snapshot.now.after(Span::from_secs(60));
    assert_eq!(policy(&snapshot, "p").problems, []);
}

#[test]
fn a_failed_operation_lasts_only_when_it_has_been_tried_often_enough() {
    for (cause, failures, reason, lasts) in [
        (Cause::Refused, 1, "WriteFailed", true),
        (Cause::Failed, 3, "OperationFailed", false),
        (Cause::Failed, 4, "OperationFailed", true),
    ] {
        let mut snapshot = cluster();
        let (code, message, remedy) = ("QuotaExceeded".to_owned(), "too much".to_owned(), String::new());
        let next = Some(NOW.after(Span::from_secs(60)));
        let attempt = Attempt { cause, failures, generation: 1, next, code, message, remedy };
        edit(&mut snapshot.intents).first_mut().unwrap().attempt = Some(attempt);
        let problem = policy(&snapshot, "p").problems.remove(0);
        assert_eq!((problem.reason(), problem.is_lasting(), problem.holds()), (reason, lasts, true));
        assert!(problem.to_string().contains("(QuotaExceeded, attempt "), "{problem}");
    }
}

#[test]
fn a_canceled_operation_is_not_repeated_until_the_policy_or_the_pool_changes() {
    let mut snapshot = cluster();
    let (code, message, remedy) = (String::new(), String::new(), String::new());
    let attempt = Attempt { cause: Cause::Canceled, failures: 1, generation: 1, next: None, code, message, remedy };
    edit(&mut snapshot.intents).first_mut().unwrap().attempt = Some(attempt);
    pool_mut(&mut snapshot, "apps").state = crate::ProvisioningState::Canceled;
    let held = policy(&snapshot, "p");
    assert_eq!((held.problems.as_slice(), held.steps.len()), (&[Problem::Canceled][..], 1));
    let problem = held.problems.first().unwrap();
    assert!(problem.holds() && problem.is_lasting() && problem.reason() == "PoolCanceled");
    pool_mut(&mut snapshot, "apps").state = crate::ProvisioningState::Succeeded;
    assert_eq!(policy(&snapshot, "p").problems, []);
    pool_mut(&mut snapshot, "apps").state = crate::ProvisioningState::Canceled;
    edit(&mut snapshot.intents).first_mut().unwrap().generation = 2;
    assert_eq!(policy(&snapshot, "p").problems, []);
}

#[test]
fn policies_come_in_the_order_of_their_names() {
    let mut snapshot = cluster();
    for name in ["z", "a", "m"] {
        edit(&mut snapshot.intents).push(intent(name, "sys"));
    }
    let names: Vec<String> =
        plan(&snapshot, &Settings::default()).policies.into_iter().map(|policy| policy.policy).collect();
    assert_eq!(names, ["a", "m", "p", "z"]);
    let forward = plan(&snapshot, &Settings::default());
    edit(&mut snapshot.intents).reverse();
    edit(&mut snapshot.cluster).pools.reverse();
    assert_eq!(plan(&snapshot, &Settings::default()), forward);
}
