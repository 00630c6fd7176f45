//! How a policy stands whose pool is created, or differs from what it would be created from.

use std::sync::Arc;

use nodepool_kernel::{Change, FieldValue, InFlight, NewPool, Span, Step, Template};
use serde_json::{Value, json};

use super::{
    AgentPool, Circumstances, Hold, Mode, NOW, NodePoolPolicy, NodePoolPolicyStatus, Settings, Snapshot, decide,
    edit_pool, plan, policy, standing, status, told, world,
};
use crate::api::{Operation, condition};
use crate::arm::End;
use crate::report::take_absence;

fn creating(spec: &Value) -> Value {
    let mut all = json!({"count": 2, "template": {"vmSize": "Standard_D4ds_v5"}});
    all.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    all
}

fn message<'a>(status: &'a NodePoolPolicyStatus, type_: &str) -> &'a str {
    status.condition(type_).map_or("", |condition| condition.message.as_str())
}

fn begun() -> NodePoolPolicyStatus {
    let operation = Operation {
        kind: "Creating".into(),
        since: "2027-01-15T07:55:00Z".into(),
        step: Some("create a User pool with 1 node of Standard_D4ds_v5".into()),
        field: Some("create".into()),
        started_by: Operation::THIS_POLICY.into(),
        ..Operation::default()
    };
    NodePoolPolicyStatus { operation: Some(operation), ..NodePoolPolicyStatus::default() }
}

/// The status while the nodes of a new pool lack something.
fn joining(policy: &NodePoolPolicy, snapshot: &Snapshot, lacking: Option<&str>) -> NodePoolPolicyStatus {
    let plan = plan(snapshot, &Settings::default());
    let verdicts = decide(&plan, snapshot, &Settings::default());
    let about = Circumstances {
        now: NOW,
        hold: Hold::of(policy, snapshot.paused.value() == Some(&true)),
        plan: &plan.policies[0],
        verdicts: verdicts.iter().collect(),
        pool: snapshot.cluster.value().and_then(|cluster| cluster.pool("apps")),
        nodes: &snapshot.nodes,
        in_flight: None,
        settled: true,
        overdue: None,
        delayed: None,
        failures: 0,
        patience: 1.0,
        repairs: 3,
        offered: vec![],
        joining: lacking.map(str::to_owned),
        looked: true,
        stale: None,
    };
    status(policy, &about)
}

#[test]
fn a_policy_whose_pool_is_to_be_created_stands_as_one_that_has_something_to_do() {
    let create = "create a User pool with 2 nodes of Standard_D4ds_v5";
    for (spec, stands, said) in [
        (json!({}), "FTFFT Progressing", format!("next: {create}")),
        (
            json!({"enforcement": "Observe"}),
            "FFFFT ObserveOnly",
            format!("the policy only observes; left undone: {create}"),
        ),
        (json!({"suspend": true}), "FFFFT PoolNotFound", "the policy is suspended; the pool does not exist".to_owned()),
    ] {
        let policy = policy("absent", creating(&spec));
        let status = told(&policy, &world(&policy, |_| ()), true, None);
        assert_eq!((standing(&status).as_str(), message(&status, condition::READY)), (stands, said.as_str()));
        assert_eq!(message(&status, condition::IN_SYNC), format!("to be done: {create}"));
    }
    let unsuitable = policy("absent", creating(&json!({"mode": "System", "template": {"vmSize": "Standard_B1s"}})));
    let status = told(&unsuitable, &world(&unsuitable, |_| ()), true, None);
    assert_eq!(standing(&status), "FFTUT TemplateUnsuitable");
}

#[test]
fn a_creation_on_its_way_is_told_before_arm_shows_the_pool() {
    let policy = policy("absent", creating(&json!({})));
    let new = NewPool::new(Mode::User, 2, size("Standard_D4ds_v5"));
    let step = Step { policy: "absent".into(), pool: "absent".into(), change: Change::Create(Box::new(new)) };
    let accepted = |snapshot: &mut Snapshot| snapshot.in_flight = vec![InFlight { step, since: NOW }];
    let status = told(&policy, &world(&policy, accepted), true, None);
    assert_eq!(standing(&status), "FTFFT OperationInProgress");
    let operation = status.operation.unwrap();
    assert_eq!((operation.kind.as_str(), operation.field.as_deref()), ("Accepted", Some("create")));
    assert!(operation.creates());
}

#[test]
fn a_new_pool_is_ready_when_its_nodes_are() {
    let mut policy = policy("apps", creating(&json!({"count": 1, "template": {"vmSize": "a"}})));
    policy.status = Some(begun());
    let waits = joining(
        &policy,
        &world(&policy, |_| ()),
        Some("has been created; of its nodes, 0 of 1 are Ready in Kubernetes"),
    );
    // The node is Ready, and its labels have not been seen.
    let running = begun().operation.map(|operation| Operation { percent: Some(100), ..operation });
    assert_eq!(waits.operation, running, "it has not ended");
    let said = "pool apps has been created; of its nodes, 0 of 1 are Ready in Kubernetes";
    assert_eq!(message(&waits, condition::READY), said);
    assert!(standing(&waits).starts_with("FTF"), "{waits:?}");
    let late = |snapshot: &mut Snapshot| snapshot.now = NOW.after(Span::from_secs(1));
    let ready = joining(&policy, &world(&policy, late), None);
    assert!(standing(&ready).starts_with("TFF") && ready.operation.is_none(), "{ready:?}");

    let hours_ago = Operation { since: "2027-01-15T05:00:00Z".into(), ..begun().operation.unwrap() };
    policy.status.as_mut().unwrap().operation = Some(hours_ago);
    let stuck = joining(
        &policy,
        &world(&policy, |_| ()),
        Some("has been created; of its nodes, 0 of 1 are Ready in Kubernetes"),
    );
    assert!(standing(&stuck).ends_with("OperationOverdue"), "{}", standing(&stuck));
}

fn size(size: &str) -> Arc<Template> {
    let size = FieldValue::Text(size.to_owned());
    Arc::new(Template::from_fields(|field| (field.name == "vmSize").then(|| size.clone())))
}

#[test]
fn a_pool_that_differs_from_the_template_is_ready_and_told() {
    let policy = policy("apps", json!({"count": 1, "template": {"vmSize": "Standard_D4ds_v5"}}));
    let with = |text: &'static str| edit_pool("apps", move |pool: &mut AgentPool| pool.settings = size(text));
    let same = told(&policy, &world(&policy, with("standard_d4DS_v5")), true, None);
    assert_eq!(standing(&same), "TFFTT UpToDate");
    let other = told(&policy, &world(&policy, with("Standard_D2")), true, None);
    assert_eq!(standing(&other), "TFFFT UpToDate");
    let said = message(&other, condition::IN_SYNC);
    assert!(
        said.starts_with("template.vmSize is Standard_D2, not Standard_D4ds_v5 (Replace): a pool that exists is"),
        "{said}"
    );
    assert_eq!(
        message(&other, condition::READY),
        "User pool with 1 node, as the policy asks, but for the template's vmSize"
    );
    let [drift] = &other.drift[..] else { panic!("{:?}", other.drift) };
    let words = [&drift.field, &drift.wanted, &drift.found].map(String::as_str);
    assert_eq!(words, ["template.vmSize", "Standard_D4ds_v5", "Standard_D2"]);
    assert_eq!(drift.class.as_deref(), Some("Replace"));
    let mut both = policy.clone();
    both.spec.count = Some(2);
    let both = told(&both, &world(&both, with("Standard_D2")), true, None);
    let said = message(&both, condition::IN_SYNC);
    assert!(said.contains("to be done: scale from 1 to 2 nodes; left as it is: template.vmSize is"), "{said}");
}

#[test]
fn a_creation_that_left_no_pool_is_recorded() {
    let failed = End::Failed { code: "QuotaExceeded".into(), message: "m".into() };
    let canceled = End::Canceled { code: String::new(), message: String::new() };
    for (end, outcome, attempts) in [
        (None, "NotDone", None),
        (Some(End::Succeeded), "NotDone", None),
        (Some(failed), "Failed", Some(("QuotaExceeded", 1))),
        (Some(canceled), "Canceled", None),
    ] {
        let mut status = begun();
        take_absence(&mut status, NOW, end.as_ref(), 4, |_| NOW);
        let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
        assert_eq!((outcomes, &status.operation), (vec![outcome], &None));
        let attempt = status.attempt.as_ref().map(|attempt| (attempt.code.as_str(), attempt.failures));
        assert_eq!(attempt, attempts);
    }
    let mut other = begun();
    (other.operation.as_mut().unwrap().field, other.operation.as_mut().unwrap().kind) =
        (Some("count".into()), "Scaling".into());
    let before = other.clone();
    take_absence(&mut other, NOW, None, 4, |_| NOW);
    assert_eq!(other, before, "only a creation can come to nothing in this way");
}

#[test]
fn a_system_pool_of_machines_that_do_not_suit_add_ons_is_ready_and_says_so() {
    let policy = policy("system", json!({"count": 2}));
    let said = |text: &'static str| {
        let with = edit_pool("system", move |pool: &mut AgentPool| pool.settings = size(text));
        let status = told(&policy, &world(&policy, with), true, None);
        assert!(standing(&status).starts_with("TFF"), "{}", standing(&status));
        message(&status, condition::READY).to_owned()
    };
    assert_eq!(said("Standard_D4ds_v5"), "System pool with 2 nodes, as the policy asks");
    let burstable = "; its machines are burstable, and slow add-ons down when they have worked for long";
    assert!(said("Standard_B2ms").ends_with(burstable), "{}", said("Standard_B2ms"));
    assert!(said("Standard_NC6s_v3").ends_with("have graphics processors, which add-ons do not need"));
}
