//! How policies stand, from a small cluster through the kernel's own plan and verdicts to the conditions.

use nodepool_kernel::{
    AgentPool, Autoscaling, Change, Cluster, InFlight, Known, Mode, Node, Os, PoolFailure, PoolKind, Power,
    ProvisioningState, Readiness, Settings, Snapshot, Span, Step, Time, decide, plan,
};
use serde_json::{Value, json};

use super::{Circumstances, Hold, malformed, notices, status, take_end, take_outcome};
use crate::act::Outcome;
use crate::api::{self, ConditionStatus, NodePoolPolicy, NodePoolPolicyStatus, Operation, condition};

const NOW: Time = Time::from_millis(1_800_000_000_000);

fn pool(name: &str, mode: Mode, count: u32) -> AgentPool {
    AgentPool {
        name: name.into(),
        mode,
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: Power::Running,
        state: ProvisioningState::Succeeded,
        count,
        autoscaling: None,
        taints: vec![],
        labels: [].into(),
        requested_version: Some("1.33".into()),
        current_version: Some("1.33.5".into()),
        max_unavailable: None,
        failure: None,
    }
}

fn node(pool: &AgentPool, index: u32) -> Node {
    Node {
        name: format!("{}-{index}", pool.name),
        pool: Some(pool.name.clone()),
        labelled_system: pool.mode == Mode::System,
        quarantined: false,
        readiness: Readiness::Ready { since: Time::from_millis(NOW.as_millis() - 900_000) },
        joined: Time::from_millis(NOW.as_millis() - 990_000),
        cordoned: false,
        deleting: false,
        taints: vec![],
        provider_id: Some(format!("azure:///subscriptions/s/resourceGroups/MC/{index}")),
        kubelet_version: "v1.33.5".into(),
        image_version: None,
    }
}

/// A system pool of two nodes and a user pool `apps` of one, changed by `edit`, with one policy.
fn world(policy: &NodePoolPolicy, edit: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let pools = vec![pool("system", Mode::System, 2), pool("apps", Mode::User, 1)];
    let nodes = pools.iter().flat_map(|pool| (0..pool.count).map(|index| node(pool, index))).collect();
    let cluster = Cluster {
        id: "id".into(),
        subscription: "s".into(),
        node_resource_group: Some("MC".into()),
        issuer_url: None,
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        pools,
    };
    let mut snapshot = Snapshot {
        now: NOW,
        intents: Known::seen(NOW, vec![api::intent(policy)]),
        cluster: Known::seen(NOW, cluster),
        issuer: Known::unknown("not read"),
        nodes: Known::seen(NOW, nodes),
        pods: Known::seen(NOW, vec![]),
        budgets: Known::seen(NOW, vec![]),
        in_flight: vec![],
    };
    edit(&mut snapshot);
    snapshot
}

fn policy(pool: &str, spec: Value) -> NodePoolPolicy {
    let mut policy = NodePoolPolicy::new(pool, serde_json::from_value(spec).unwrap());
    policy.metadata.generation = Some(4);
    policy
}

fn told(policy: &NodePoolPolicy, snapshot: &Snapshot, settled: bool, overdue: Option<&str>) -> NodePoolPolicyStatus {
    let settings = Settings::default();
    let plan = plan(snapshot);
    let verdicts = decide(&plan, snapshot, &settings);
    let about = Circumstances {
        now: NOW,
        hold: Hold::of(policy),
        plan: &plan.policies[0],
        verdicts: verdicts.iter().collect(),
        pool: snapshot.cluster.value().and_then(|cluster| cluster.pool(policy.pool_name())),
        nodes: &snapshot.nodes,
        in_flight: snapshot.in_flight.first().map(|flight| &flight.step),
        settled,
        overdue: overdue.map(str::to_owned),
        delayed: None,
        stale: snapshot.cluster.fresh(NOW, settings.stale_after).is_err(),
    };
    status(policy, &about)
}

/// The conditions in the order `Ready`, `Reconciling`, `Stalled`, `InSync`, `Safe`, each as T, F or U, and the reason of
/// the first.
fn standing(status: &NodePoolPolicyStatus) -> String {
    let letters: String = status
        .conditions
        .iter()
        .map(|condition| match condition.status {
            ConditionStatus::True => 'T',
            ConditionStatus::False => 'F',
            ConditionStatus::Unknown => 'U',
        })
        .collect();
    format!("{letters} {}", status.conditions[0].reason)
}

type Edit = Box<dyn FnOnce(&mut Snapshot)>;

fn edit_pool(name: &'static str, edit: impl FnOnce(&mut AgentPool) + 'static) -> Edit {
    Box::new(move |snapshot| {
        let Known::Seen { value, .. } = &mut snapshot.cluster else { panic!("no cluster") };
        edit(value.pools.iter_mut().find(|pool| pool.name == name).unwrap());
    })
}

#[test]
fn every_policy_stands_as_kstatus_reads_it() {
    let nothing = || -> Edit { Box::new(|_| ()) };
    let failed = |pool: &mut AgentPool| {
        pool.state = ProvisioningState::Failed;
        pool.failure = Some(PoolFailure { code: "NodesNotReady".into(), message: "late".into() });
    };
    let demote = json!({"mode": "User"});
    let cases: Vec<(&str, Value, Edit, &str)> = vec![
        ("apps", json!({"count": 1}), nothing(), "TFFTT UpToDate"),
        ("apps", json!({"count": 2}), nothing(), "FTFFT Progressing"),
        ("system", demote.clone(), nothing(), "FFTFF LastHealthySystemPool"),
        ("system", json!({"mode": "User", "suspend": true}), nothing(), "TFFFF Suspended"),
        ("system", json!({"mode": "User", "enforcement": "Observe"}), nothing(), "TFFFF ObserveOnly"),
        (
            "apps",
            json!({"mode": "System", "taints": [{"key": "a", "effect": "PreferNoSchedule"}], "enforcement": "Observe"}),
            nothing(),
            "TFFFT ObserveOnly",
        ),
        ("absent", json!({"count": 2}), nothing(), "FFTUT PoolNotFound"),
        ("absent", json!({"count": 2, "suspend": true}), nothing(), "FFFUT PoolNotFound"),
        ("apps", json!({"count": 1}), edit_pool("apps", failed), "FFTTT PoolFailed"),
        ("apps", json!({"count": 1, "suspend": true}), edit_pool("apps", failed), "FFFTT PoolFailed"),
        ("apps", json!({"count": 2, "enforcement": "Observe"}), edit_pool("apps", failed), "FFTFT PoolFailed"),
        (
            "apps",
            json!({"count": 1}),
            edit_pool("apps", |pool| pool.state = ProvisioningState::Canceled),
            "FFTTT PoolCanceled",
        ),
        (
            "apps",
            json!({"count": 2}),
            edit_pool("apps", |pool| pool.state = ProvisioningState::parse("Updating")),
            "FTFFT OperationInProgress",
        ),
        (
            "apps",
            json!({"count": 1}),
            edit_pool("apps", |pool| pool.state = ProvisioningState::parse("Updating")),
            "FTFTT OperationInProgress",
        ),
        (
            "apps",
            json!({"count": 1}),
            edit_pool("apps", |pool| pool.kind = PoolKind::Other("VirtualMachines".into())),
            "FFTUT UnsupportedPool",
        ),
        (
            "apps",
            json!({"count": 1}),
            edit_pool("apps", |pool| pool.power = Power::NotRunning("Stopped".into())),
            "FFTUT PoolNotRunning",
        ),
        (
            "apps",
            json!({"count": 1}),
            Box::new(|snapshot| snapshot.cluster = Known::unknown("no answer")),
            "FTFUT ClusterNotObserved",
        ),
        (
            "apps",
            json!({"count": 2}),
            Box::new(|snapshot| snapshot.pods = Known::unknown("no answer")),
            "FTFFT StaleObservation",
        ),
    ];
    for (name, spec, edit, expected) in cases {
        let policy = policy(name, spec.clone());
        let status = told(&policy, &world(&policy, edit), true, None);
        assert_eq!(standing(&status), expected, "{name} {spec}: {status:#?}");
        let holds = |type_: &str| status.condition(type_).unwrap().status == ConditionStatus::True;
        assert!(!(holds(condition::RECONCILING) && holds(condition::STALLED)));
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == 4));
    }
}

#[test]
fn what_the_autoscaler_owns_stalls_only_after_the_other_steps() {
    let policy = policy("apps", json!({"count": 2, "labels": {"a": "b"}}));
    let autoscaled = |snapshot: &mut Snapshot| {
        edit_pool("apps", |pool| pool.autoscaling = Some(Autoscaling { min: 1, max: 3 }))(snapshot);
    };
    assert_eq!(standing(&told(&policy, &world(&policy, autoscaled), true, None)), "FTFFT Progressing");
    let unseen = |snapshot: &mut Snapshot| {
        autoscaled(snapshot);
        snapshot.pods = Known::unknown("no answer");
    };
    assert_eq!(standing(&told(&policy, &world(&policy, unseen), true, None)), "FTFFT StaleObservation");
    let done = |snapshot: &mut Snapshot| {
        autoscaled(snapshot);
        edit_pool("apps", |pool| pool.labels = [("a".to_owned(), "b".to_owned())].into())(snapshot);
    };
    assert_eq!(standing(&told(&policy, &world(&policy, done), true, None)), "FFTTT PoolIsAutoscaled");
}

#[test]
fn a_refusal_is_unsafe_at_once_and_stalled_when_the_policies_have_settled() {
    let policy = policy("system", json!({"mode": "User"}));
    let snapshot = world(&policy, |_| ());
    assert_eq!(standing(&told(&policy, &snapshot, false, None)), "FTFFF LastHealthySystemPool");
    assert_eq!(standing(&told(&policy, &snapshot, true, None)), "FFTFF LastHealthySystemPool");
}

#[test]
fn waiting_for_too_long_is_stalled() {
    let policy = policy("apps", json!({"count": 2}));
    let snapshot = world(&policy, |snapshot| snapshot.pods = Known::unknown("no answer"));
    assert_eq!(standing(&told(&policy, &snapshot, true, Some("Other"))), "FTFFT StaleObservation");
    assert_eq!(standing(&told(&policy, &snapshot, true, Some("StaleObservation"))), "FFTFT StaleObservation");
}

#[test]
fn a_view_of_arm_that_is_too_old_is_not_ready() {
    let policy = policy("apps", json!({"count": 1}));
    let snapshot = world(&policy, |snapshot| {
        let Known::Seen { at, .. } = &mut snapshot.cluster else { panic!() };
        *at = Time::from_millis(NOW.as_millis() - 301_000);
    });
    assert_eq!(standing(&told(&policy, &snapshot, true, None)), "FTFTT ClusterNotObserved");
}

#[test]
fn the_same_circumstances_give_the_same_status_and_no_news() {
    let mut policy = policy("system", json!({"mode": "User", "labels": {"a": "b"}}));
    let snapshot = world(&policy, |_| ());
    let first = told(&policy, &snapshot, true, None);
    policy.status = Some(first.clone());
    let second = told(&policy, &snapshot, true, None);
    assert_eq!(first, second);
    assert_eq!(notices(&first, &second), []);
    assert_eq!(first.owned_labels, ["a"]);
}

#[test]
fn an_object_that_is_no_policy_is_stalled_and_says_why() {
    let status = malformed(&NodePoolPolicyStatus::default(), 4, "invalid type: string", NOW);
    assert_eq!(standing(&status), "FFT InvalidSpec");
    assert!(status.conditions[0].message.contains("invalid type: string"));
    assert_eq!(malformed(&status, 4, "invalid type: string", NOW.after(Span::from_secs(9))), status);
}

/// A status in which a step of the policy was taken by ARM at some earlier time.
fn begun(step: &Step) -> NodePoolPolicyStatus {
    let mut status = NodePoolPolicyStatus::default();
    take_outcome(&mut status, 4, step, &Outcome::Accepted { at: NOW, operation: None }, |_| NOW);
    status.operation = Some(Operation {
        kind: "Scaling".into(),
        since: "2026-01-01T00:00:00Z".into(),
        step: Some(step.change.to_string()),
        field: Some("count".into()),
    });
    status
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
    take_end(&mut status, &pool("apps", Mode::User, 2), &[scale()], NOW);
    assert_eq!(outcomes(&status), ["Started", "NotDone"]);
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
    take_end(&mut status, &failed, &[], NOW);
    let detail = status.history.last().unwrap().detail.as_deref();
    assert_eq!((outcomes(&status), detail), (vec!["Started", "Failed"], Some("PodDrainFailure: too many budgets")));
    for _ in 0..30 {
        take_outcome(&mut status, 4, &scale(), &Outcome::Accepted { at: NOW, operation: None }, |_| NOW);
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
    assert_eq!(status.attempt.as_ref().map(|attempt| attempt.next.as_str()), Some("2027-01-15T08:00:03Z"));
    take_outcome(&mut status, 5, &scale(), &rejected, |_| NOW);
    assert_eq!(status.attempt.map(|attempt| attempt.failures), Some(1), "another generation begins anew");
}
