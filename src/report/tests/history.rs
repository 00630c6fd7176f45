//! How operations end, and when the next attempt is due.

use nodepool_kernel::{
    AgentPool, Aim, Change, Drain, InFlight, Known, Mode, PolicyPlan, PoolFailure, Problem, ProvisioningState,
    Snapshot, Span, Step, Time,
};
use serde_json::json;

use super::{NOW, edit_pool, policy, pool, rest, standing, told, world};
use crate::act::Outcome;
use crate::api::{NodePoolPolicyStatus, Operation};
use crate::report::status::rfc3339;
use crate::report::{Rest, take_outcome, take_rest};

/// A status in which a step of the policy was taken by ARM at some earlier time.
fn begun(step: &Step) -> NodePoolPolicyStatus {
    let mut status = NodePoolPolicyStatus::default();
    take_outcome(&mut status, 4, step, &accepted(), |_| NOW);
    status.operation = Some(Operation {
        kind: "Scaling".into(),
        since: "2026-01-01T00:00:00Z".into(),
        step: Some(step.change.to_string()),
        field: Some("count".into()),
        correlation_id: Some("id-1".into()),
        ..Operation::default()
    });
    status
}

fn accepted() -> Outcome {
    Outcome::Accepted { at: NOW, operation: None, correlation: Some("id-1".into()) }
}

fn scale() -> Step {
    Step { policy: "apps".into(), pool: "apps".into(), change: Change::Count { from: 2, to: 1 } }
}

fn outcomes(status: &NodePoolPolicyStatus) -> Vec<&str> {
    status.history.iter().map(|entry| entry.outcome.as_str()).collect()
}

#[test]
fn the_end_of_a_step_is_recorded_once_also_by_another_process() {
    let mut policy = policy("apps", json!({"count": 1}));
    policy.status = Some(begun(&scale()));
    let ended = told(&policy, &world(&policy, |_| ()), true, None);
    assert_eq!((outcomes(&ended), &ended.operation), (vec!["Started", "Succeeded"], &None));
    policy.status = Some(ended);
    assert_eq!(outcomes(&told(&policy, &world(&policy, |_| ()), true, None)), ["Started", "Succeeded"]);
}

#[test]
fn the_end_of_a_step_is_not_lost_while_arm_can_not_be_read() {
    let mut policy = policy("apps", json!({"count": 1}));
    policy.status = Some(begun(&scale()));
    let unread = world(&policy, |snapshot| snapshot.cluster = Known::unknown("no answer"));
    let status = told(&policy, &unread, true, None);
    assert_eq!((outcomes(&status), status.operation.is_some()), (vec!["Started"], true));
    policy.status = Some(status);
    assert_eq!(outcomes(&told(&policy, &world(&policy, |_| ()), true, None)), ["Started", "Succeeded"]);
}

#[test]
fn a_write_that_was_lost_on_its_way_is_not_told_as_done() {
    let mut status = begun(&scale());
    rest(&mut status, &pool("apps", Mode::User, 2), &[scale()]);
    assert_eq!(outcomes(&status), ["Started", "NotDone"]);
}

#[test]
fn a_removal_of_machines_is_not_told_as_done_while_its_scale_down_is_planned_in_any_form() {
    let of = |change| Step { change, ..scale() };
    let (machines, aim) = (vec!["a".to_owned()], Aim::Scale { from: 2, to: 1 });
    let removal = of(Change::Drain(Drain::RemoveMachines { machines: machines.clone(), from: 2 }));
    let evict = Drain::Evict { pod: "kube-system/x".into(), uid: "1".into(), node: "a".into(), aim };
    let another = of(Change::Count { from: 3, to: 1 });
    for (planned, outcome) in [
        // As it is planned while the nodes are not seen.
        (vec![scale()], "NotDone"),
        (vec![removal.clone()], "NotDone"),
        (vec![of(Change::Drain(Drain::Cordon { nodes: machines, aim }))], "NotDone"),
        (vec![another.clone(), of(Change::Drain(evict))], "NotDone"),
        (vec![another], "Succeeded"),
        (vec![], "Succeeded"),
    ] {
        let mut status = begun(&removal);
        rest(&mut status, &pool("apps", Mode::User, 2), &planned);
        assert_eq!(outcomes(&status), ["Started", outcome], "{planned:?}");
    }
}

#[test]
fn the_next_attempt_stays_due_while_arm_can_not_be_read() {
    let mut policy = policy("apps", json!({"count": 1}));
    let mut status = NodePoolPolicyStatus::default();
    let rejected = Outcome::Rejected {
        at: NOW,
        code: "Quota".into(),
        message: "none left".into(),
        remedy: "ask".into(),
        correlation: None,
    };
    take_outcome(&mut status, 4, &scale(), &rejected, |_| NOW);
    policy.status = Some(status);
    let unread = world(&policy, |snapshot| snapshot.cluster = Known::unknown("no answer"));
    assert!(told(&policy, &unread, true, None).attempt.is_some());
    assert!(told(&policy, &world(&policy, |_| ()), true, None).attempt.is_none(), "reached, so nothing is due");
}

#[test]
fn another_step_is_another_operation() {
    let mut policy = policy("apps", json!({"count": 1, "labels": {"a": "b"}}));
    policy.status = Some(begun(&scale()));
    let labels = Change::Labels { from: [].into(), to: [("a".to_owned(), "b".to_owned())].into() };
    let step = Step { change: labels, ..scale() };
    let sent = InFlight { step, since: NOW };
    let status = told(&policy, &world(&policy, |snapshot| snapshot.in_flight = vec![sent]), true, None);
    let operation = status.operation.unwrap();
    assert_eq!((operation.field.as_deref(), operation.since.as_str()), (Some("labels"), "2027-01-15T08:00:00Z"));
}

#[test]
fn a_failed_end_carries_the_code_of_azure_and_history_is_bounded() {
    let mut status = begun(&scale());
    let mut failed = pool("apps", Mode::User, 1);
    failed.state = ProvisioningState::Failed;
    failed.failure = Some(PoolFailure { code: "PodDrainFailure".into(), message: "too many budgets".into() });
    rest(&mut status, &failed, &[]);
    let last = status.history.last().unwrap();
    let told = [&last.code, &last.detail, &last.correlation_id].map(Option::as_deref);
    assert_eq!(outcomes(&status), ["Started", "Failed"]);
    assert_eq!(told, [Some("PodDrainFailure"), Some("too many budgets"), Some("id-1")]);
    for _ in 0..30 {
        take_outcome(&mut status, 4, &scale(), &accepted(), |_| NOW);
    }
    assert_eq!(status.history.len(), 10);
}

#[test]
fn what_azure_refuses_is_counted_and_timed() {
    let mut status = NodePoolPolicyStatus::default();
    let rejected = Outcome::Rejected {
        at: NOW,
        code: "Quota".into(),
        message: "none left".into(),
        remedy: "ask".into(),
        correlation: None,
    };
    for failures in 1..=3 {
        take_outcome(&mut status, 4, &scale(), &rejected, |failures| NOW.after(Span::from_secs(u64::from(failures))));
        assert_eq!(status.attempt.as_ref().map(|attempt| attempt.failures), Some(failures));
    }
    assert_eq!(status.attempt.as_ref().and_then(|attempt| attempt.next.as_deref()), Some("2027-01-15T08:00:03Z"));
    take_outcome(&mut status, 5, &scale(), &rejected, |_| NOW);
    assert_eq!(status.attempt.map(|attempt| attempt.failures), Some(1), "another generation begins anew");
}

fn failed(code: &str) -> AgentPool {
    let failure = Some(PoolFailure { code: code.into(), message: "m".into() });
    AgentPool { state: ProvisioningState::Failed, failure, ..pool("apps", Mode::User, 1) }
}

fn attempt(status: &NodePoolPolicyStatus) -> Option<(&str, i32, Option<&str>)> {
    let attempt = status.attempt.as_ref()?;
    Some((attempt.outcome.as_str(), attempt.failures, attempt.next.as_deref()))
}

#[test]
fn failed_operations_are_counted_until_one_succeeds() {
    let mut status = begun(&scale());
    let running = status.operation.clone();
    for (failures, next) in [(1, "2027-01-15T08:01:00Z"), (2, "2027-01-15T08:02:00Z")] {
        take_outcome(&mut status, 4, &scale(), &accepted(), |_| NOW);
        status.operation.clone_from(&running);
        rest(&mut status, &failed("QuotaExceeded"), &[]);
        assert_eq!(attempt(&status), Some(("Failed", failures, Some(next))));
        rest(&mut status, &failed("QuotaExceeded"), &[]);
        assert_eq!(attempt(&status).map(|(_, counted, _)| counted), Some(failures), "one operation counts once");
    }
    assert_eq!(status.attempt.as_ref().map(|attempt| attempt.code.as_str()), Some("QuotaExceeded"));
    status.operation = running;
    rest(&mut status, &pool("apps", Mode::User, 1), &[]);
    assert_eq!(attempt(&status), None);
}

#[test]
fn a_failure_by_another_hand_counts_for_the_policy_that_governs_the_pool() {
    let policy = policy("apps", json!({"count": 1}));
    let fail = |snapshot: &mut Snapshot| edit_pool("apps", |pool| pool.state = ProvisioningState::Failed)(snapshot);
    let found = told(&policy, &world(&policy, fail), true, None);
    assert_eq!(attempt(&found), Some(("Failed", 1, Some("2027-01-15T08:01:00Z"))));
    let mut other = NodePoolPolicyStatus::default();
    let problems = vec![Problem::ConflictingPolicy { winner: "w".into() }];
    let plan = PolicyPlan {
        policy: "p".into(),
        pool: "apps".into(),
        problems,
        steps: vec![],
        drift: vec![],
        kept_back: vec![],
        template_drift: vec![],
        ahead: None,
        image_answered: false,
        release: None,
    };
    let rest = Rest { now: NOW, pool: &failed("X"), end: None, plan: &plan, generation: 4, retry_at: &|_| NOW };
    take_rest(&mut other, &rest);
    assert_eq!(attempt(&other), None);
}

#[test]
fn a_pool_that_fails_too_often_is_left_to_a_person() {
    let mut policy = policy("apps", json!({"count": 1}));
    let fail = |snapshot: &mut Snapshot| edit_pool("apps", |pool| *pool = failed("QuotaExceeded"))(snapshot);
    let mut status = told(&policy, &world(&policy, fail), true, None);
    assert_eq!(standing(&status), "FTFTT OperationFailed");
    status.attempt.as_mut().unwrap().failures = 4;
    policy.status = Some(status);
    let left = told(&policy, &world(&policy, fail), true, None);
    assert_eq!(standing(&left), "FFTTT PoolFailed");
    let said = &left.conditions[0].message;
    assert!(said.contains("failed, 4 times in a row (QuotaExceeded: m): remove the cause"), "{said}");
    let next = |status: &NodePoolPolicyStatus| status.attempt.as_ref().and_then(|attempt| attempt.next.clone());
    assert_eq!(next(&left), None, "nothing is tried again");
    let mut other = policy.clone();
    other.spec.count = Some(2);
    assert_ne!(next(&told(&other, &world(&other, fail), true, None)), None, "what differs is");
    let half = |snapshot: &mut Snapshot| {
        fail(snapshot);
        edit_pool("apps", |pool| pool.requested_version = Some("1.34".into()))(snapshot);
    };
    let said = told(&policy, &world(&policy, half), true, None).conditions[0].message.clone();
    assert!(said.contains("az aks nodepool upgrade"), "{said}");
}

#[test]
fn a_pool_that_was_canceled_is_left_alone_until_the_policy_changes() {
    let mut policy = policy("apps", json!({"count": 2}));
    let cancel = |snapshot: &mut Snapshot| edit_pool("apps", |pool| pool.state = ProvisioningState::Canceled)(snapshot);
    let newer = told(&policy, &world(&policy, cancel), true, None);
    assert_eq!((standing(&newer).as_str(), attempt(&newer)), ("FTFFT Progressing", None), "the policy is newer");

    policy.status = Some(told(&policy, &world(&policy, |_| ()), true, None));
    let held = told(&policy, &world(&policy, cancel), true, None);
    assert_eq!(standing(&held), "FFTFT PoolCanceled");
    assert_eq!(attempt(&held), Some(("Canceled", 1, None)));
    policy.status = Some(held);
    assert_eq!(
        standing(&told(&policy, &world(&policy, |_| ()), true, None)),
        "FTFFT Progressing",
        "somebody updated it"
    );
    policy.metadata.generation = Some(5);
    assert_eq!(standing(&told(&policy, &world(&policy, cancel), true, None)), "FTFFT Progressing");
}

#[test]
fn an_operation_that_takes_too_long_is_stalled_and_one_that_may_take_long_is_not() {
    let mut policy = policy("apps", json!({"count": 1}));
    let busy = |operation: &'static str| {
        edit_pool("apps", move |pool| pool.state = ProvisioningState::Busy(operation.to_owned()))
    };
    let since = |minutes: i64| rfc3339(Time::from_millis(NOW.as_millis() - minutes * 60_000));
    for (operation, minutes, expected) in [
        ("Updating", 30, "FTFTT OperationInProgress"),
        ("Updating", 31, "FFTTT OperationOverdue"),
        ("Upgrading", 31, "FTFTT OperationInProgress"),
        ("Upgrading", 106, "FFTTT OperationOverdue"),
    ] {
        let mut status = begun(&scale());
        status.operation.as_mut().unwrap().since = since(minutes);
        policy.status = Some(status);
        let told = told(&policy, &world(&policy, busy(operation)), true, None);
        assert_eq!(standing(&told), expected, "{operation} for {minutes} minutes");
        if expected.ends_with("Overdue") {
            let said = &told.conditions[0].message;
            assert!(said.contains(&since(minutes)) && said.contains("operation-abort"), "{said}");
        }
    }
}
