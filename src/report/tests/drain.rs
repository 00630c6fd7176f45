//! What people see of a drain: that it is under way and what it waits for, that it was given up and when it is tried again.

use nodepool_kernel::{DrainMark, GivenUp, Known, Mode, Occupancy, Snapshot, Span, Time};
use serde_json::json;

use super::{NOW, edit_pool, node, policy, pool, standing, told, world};
use crate::api::{NodePoolPolicy, NodePoolPolicyStatus, Operation, condition};
use crate::report::{Severity, notices, take_given_up};

/// A system pool of three nodes that is to have two; the last was cordoned for that ten minutes ago, and nothing runs on it.
fn draining(snapshot: &mut Snapshot) {
    edit_pool("system", |pool| pool.count = 3)(snapshot);
    let mark = DrainMark {
        policy: "system".into(),
        plan: "a test".into(),
        since: Time::from_millis(NOW.as_millis() - 600_000),
    };
    let mut last = node(&pool("system", Mode::System, 3), 2);
    (last.cordoned, last.drain) = (true, Some(Box::new(mark)));
    let looked_at = [last.name.clone()].into();
    let Known::Seen { value: nodes, .. } = &mut snapshot.nodes else { panic!("no nodes") };
    nodes.push(last);
    let empty = Occupancy { nodes: looked_at, ..Occupancy::default() };
    snapshot.occupancy.insert("system".into(), Known::seen(NOW, empty));
}

fn relocating() -> NodePoolPolicy {
    policy("system", json!({"count": 2, "disruption": {"systemPods": "Relocate"}}))
}

fn draining_since(step: &str) -> Operation {
    Operation {
        kind: "Draining".into(),
        since: "2027-01-15T07:50:00Z".into(),
        step: Some(step.into()),
        field: Some("count".into()),
        started_by: Operation::THIS_POLICY.into(),
        ..Operation::default()
    }
}

fn given(message: &str) -> GivenUp {
    GivenUp {
        policy: "system".into(),
        code: "DisruptionBudgetBlocks".into(),
        message: message.into(),
        remedy: "let the budget allow one pod to go".into(),
    }
}

fn give_up(status: &mut NodePoolPolicyStatus, generation: i64, message: &str) {
    let retry_at = |failures: u32| NOW.after(Span::from_secs(u64::from(failures) * 60));
    take_given_up(status, (NOW, generation), "drain to scale from 3 to 2 nodes", &given(message), retry_at);
}

#[test]
fn a_drain_is_told_with_its_beginning_its_next_step_and_what_that_waits_for() {
    let mut policy = relocating();
    let status = told(&policy, &world(&policy, draining), true, None);
    assert_eq!(status.operation, Some(draining_since("remove node system-2: scale from 3 to 2 nodes")));
    assert_eq!(standing(&status), "FTFFT Progressing");

    policy.status = Some(status);
    let unread = world(&policy, |snapshot| {
        draining(snapshot);
        snapshot.occupancy.insert("system".into(), Known::unknown("no answer"));
    });
    let waiting = told(&policy, &unread, true, None).operation.unwrap();
    let says = waiting.step.as_deref().unwrap();
    assert!(says.starts_with("remove node system-2: scale from 3 to 2 nodes; waits: what runs on"), "{says}");
    assert_eq!(waiting.since, "2027-01-15T07:50:00Z");
}

#[test]
fn a_drain_is_no_operation_of_azure_and_ends_with_its_marks() {
    let mut policy = relocating();
    policy.status = Some(told(&policy, &world(&policy, draining), true, None));
    let unseen = world(&policy, |snapshot| {
        draining(snapshot);
        snapshot.cluster = Known::unknown("no answer");
    });
    assert_eq!(told(&policy, &unseen, true, None).operation, None, "nobody's end is waited for");
    let ended = told(&policy, &world(&policy, |_| ()), true, None);
    assert_eq!((ended.operation, ended.history), (None, vec![]));
    let of_another = world(&policy, |snapshot| {
        draining(snapshot);
        let Known::Seen { value: nodes, .. } = &mut snapshot.nodes else { panic!("no nodes") };
        let drain = nodes.iter_mut().next_back().and_then(|node| node.drain.as_mut()).unwrap();
        drain.policy = "other".into();
    });
    assert_eq!(told(&policy, &of_another, true, None).operation, None, "the drain of another policy is not its own");
}

#[test]
fn a_drain_that_is_given_up_is_an_attempt_with_its_reason_and_the_time_of_the_next() {
    let mut status = NodePoolPolicyStatus::default();
    for (failures, next) in [(1, "2027-01-15T08:01:00Z"), (2, "2027-01-15T08:02:00Z")] {
        give_up(&mut status, 4, "budget kube-system/x allows no disruption");
        let attempt = status.attempt.as_ref().unwrap();
        assert_eq!((attempt.outcome.as_str(), attempt.failures, attempt.generation), ("GivenUp", failures, 4));
        assert_eq!(attempt.next.as_deref(), Some(next));
        assert_eq!(attempt.code, "DisruptionBudgetBlocks");
        assert_eq!(attempt.message, "budget kube-system/x allows no disruption");
        assert_eq!(attempt.remedy.as_deref(), Some("let the budget allow one pod to go"));
        assert_eq!(attempt.correlation_id, None);
    }
    let entry = status.history.last().unwrap();
    assert_eq!((entry.field.as_str(), entry.outcome.as_str()), ("disruption", "GivenUp"));
    assert_eq!(
        (entry.step.as_str(), entry.time.as_str()),
        ("drain to scale from 3 to 2 nodes", "2027-01-15T08:00:00Z")
    );
    let told = [&entry.code, &entry.detail].map(Option::as_deref);
    assert_eq!(told, [Some("DisruptionBudgetBlocks"), Some("budget kube-system/x allows no disruption")]);
    assert_eq!(status.history.len(), 2);
    give_up(&mut status, 5, "m");
    assert_eq!(status.attempt.map(|attempt| attempt.failures), Some(1), "another generation begins anew");
}

#[test]
fn what_was_given_up_is_told_once_and_stays_told_until_it_is_tried_again() {
    let mut policy = relocating();
    let before = told(&policy, &world(&policy, draining), true, None);
    let mut status = before.clone();
    give_up(&mut status, 4, "no disruption is allowed");
    let told_of = notices(&before, &status);
    let [notice] = &told_of[..] else { panic!("{told_of:?}") };
    assert_eq!((notice.severity, notice.reason.as_str(), notice.action), (Severity::Warning, "DrainGivenUp", "Act"));
    let note = "drain to scale from 3 to 2 nodes: DisruptionBudgetBlocks: no disruption is allowed";
    assert_eq!(notice.note, note);
    assert_eq!(notices(&status, &status), []);

    // The nodes are still to be opened, and then they are.
    policy.status = Some(status);
    let opens = Some(Operation {
        field: Some("uncordon".into()),
        ..draining_since("uncordon node system-2: the drain was given up for now")
    });
    let opened = |snapshot: &mut Snapshot| edit_pool("system", |pool| pool.count = 3)(snapshot);
    for (edit, operation) in [(draining as fn(&mut Snapshot), opens), (opened, None)] {
        let held = told(&policy, &world(&policy, edit), true, None);
        assert_eq!(standing(&held), "FFTFT DrainGivenUp");
        let ready = held.condition(condition::READY).unwrap();
        let begins = "the last drain was given up and its nodes are open again";
        let says = &ready.message;
        assert!(says.starts_with(begins) && says.ends_with("To do: let the budget allow one pod to go"), "{says}");
        assert_eq!(held.operation, operation);
        assert_eq!(held.attempt.as_ref().map(|attempt| attempt.failures), Some(1));
        policy.status = Some(held);
    }
    // The pool is as asked without a drain: nothing is due any more.
    let reached = told(&policy, &world(&policy, |_| ()), true, None);
    assert_eq!(standing(&reached), "TFFTT UpToDate");
    assert_eq!(reached.attempt, None);
}
