//! How policies stand, from a small cluster through the kernel's own plan and verdicts to the conditions.

mod creation;
mod drain;
mod history;
mod inventory;
mod power;
mod shown;
mod size;
mod successor;
mod upgrade;

use nodepool_kernel::{
    AgentPool, Autoscaling, Cluster, Known, Mode, Node, Os, PolicyPlan, PoolFailure, PoolKind, Power,
    ProvisioningState, Readiness, Rows, Settings, Snapshot, Span, Step, Time, Workload, decide, plan,
};
use serde_json::{Value, json};

use super::{Circumstances, Hold, Rest, malformed, notices, own_what_is_named, status, take_rest};
use crate::api::{self, ConditionStatus, NodePoolPolicy, NodePoolPolicyStatus, condition};

pub(crate) const NOW: Time = Time::from_millis(1_800_000_000_000);

pub(crate) fn pool(name: &str, mode: Mode, count: u32) -> AgentPool {
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
        tags: [].into(),
        requested_version: Some("1.33".into()),
        current_version: Some("1.33.5".into()),
        node_image: None,
        max_surge: None,
        max_unavailable: None,
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure: None,
        settings: std::sync::Arc::default(),
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
        zone: None,
        drain: None,
    }
}

type Changed<'a> = &'a dyn Fn(&mut Snapshot);

const BOUNDS: Autoscaling = Autoscaling { min: 1, max: 3 };

/// A system pool of two nodes and a user pool `apps` of one, changed by `edit`, with one policy.
pub(crate) fn world(policy: &NodePoolPolicy, edit: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let pools = vec![pool("system", Mode::System, 2), pool("apps", Mode::User, 1)];
    let nodes = pools.iter().flat_map(|pool| (0..pool.count).map(|index| node(pool, index))).collect();
    let cluster = Cluster {
        id: "id".into(),
        subscription: "s".into(),
        node_resource_group: Some("MC".into()),
        load_balancer_sku: None,
        issuer_url: None,
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        version: nodepool_kernel::Version::parse("1.34.2"),
        pools,
    };
    let well_since = Some(Time::from_millis(NOW.as_millis() - 900_000));
    let coredns = Workload {
        namespace: "kube-system".into(),
        name: "coredns".into(),
        wished: 2,
        ready: 2,
        updated: 2,
        well_since,
    };
    let mut snapshot = Snapshot {
        now: NOW,
        paused: Known::seen(NOW, false),
        bulk: Known::seen(NOW, vec![]),
        intents: Known::seen(NOW, vec![api::intent(policy)]),
        cluster: Known::seen(NOW, cluster),
        issuer: Known::unknown("not read"),
        nodes: Known::seen(NOW, nodes),
        pods: Known::seen(NOW, Rows::default()),
        budgets: Known::seen(NOW, vec![]),
        workloads: Known::seen(NOW, vec![coredns]),
        places: Known::unknown("it has not been read yet"),
        in_flight: vec![],
        dependents: [].into(),
        occupancy: [].into(),
        upgradable: [].into(),
    };
    edit(&mut snapshot);
    snapshot
}

pub(crate) fn policy(pool: &str, spec: Value) -> NodePoolPolicy {
    let mut policy = NodePoolPolicy::new(pool, serde_json::from_value(spec).unwrap());
    policy.metadata.generation = Some(4);
    policy
}

/// What the pass does before it plans: the end of an operation is recorded.
fn rest(status: &mut NodePoolPolicyStatus, pool: &AgentPool, steps: &[Step]) {
    let (problems, drift) = (vec![], vec![]);
    let plan = PolicyPlan {
        policy: "apps".into(),
        pool: pool.name.clone(),
        problems,
        steps: steps.to_vec(),
        drift,
        kept_back: vec![],
        template_drift: vec![],
        ahead: None,
        image_answered: false,
        release: None,
    };
    let retry_at = |failures: u32| NOW.after(Span::from_secs(u64::from(failures) * 60));
    take_rest(status, &Rest { now: NOW, pool, end: None, plan: &plan, generation: 4, retry_at: &retry_at });
}

fn told(policy: &NodePoolPolicy, snapshot: &Snapshot, settled: bool, overdue: Option<&str>) -> NodePoolPolicyStatus {
    let settings = Settings::default();
    let (mut policy, mut snapshot) = (policy.clone(), snapshot.clone());
    let pool = snapshot.cluster.value().and_then(|cluster| cluster.pool(policy.pool_name())).cloned();
    if let (Some(pool), []) = (pool, snapshot.in_flight.as_slice()) {
        let steps = plan(&snapshot, &settings).policies.remove(0).steps;
        rest(policy.status.get_or_insert_default(), &pool, &steps);
        snapshot.intents = Known::seen(NOW, vec![api::intent(&policy)]);
    }
    let (policy, snapshot) = (&policy, &snapshot);
    let plan = plan(snapshot, &settings);
    let verdicts = decide(&plan, snapshot, &settings);
    let about = Circumstances {
        now: NOW,
        hold: Hold::of(policy, snapshot.paused.value() == Some(&true)),
        plan: &plan.policies[0],
        verdicts: verdicts.iter().collect(),
        pool: snapshot.cluster.value().and_then(|cluster| cluster.pool(policy.pool_name())),
        nodes: &snapshot.nodes,
        in_flight: snapshot.in_flight.first().map(|flight| &flight.step),
        settled,
        overdue: overdue.map(str::to_owned),
        delayed: None,
        failures: policy
            .status
            .as_ref()
            .and_then(|status| status.attempt.as_ref())
            .map_or(0, |attempt| attempt.failures),
        patience: 1.0,
        repairs: 3,
        offered: vec![],
        joining: None,
        looked: true,
        stale: snapshot.cluster.fresh(NOW, settings.stale_after).err(),
    };
    status(policy, &about)
}

/// The planned steps in words.
fn words(status: &NodePoolPolicyStatus) -> Vec<&str> {
    status.plan.iter().flat_map(|plan| &plan.steps).map(|step| step.step.as_str()).collect()
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
    let paused = || -> Edit { Box::new(|snapshot| snapshot.paused = Known::seen(NOW, true)) };
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
        ("system", demote.clone(), paused(), "TFFFF Paused"),
        ("apps", json!({"count": 2, "suspend": true}), paused(), "TFFFT Paused"),
        ("apps", json!({"count": 1}), paused(), "TFFTT Paused"),
        ("absent", json!({"count": 2}), paused(), "FFFUT PoolNotFound"),
        ("system", json!({"mode": "User", "enforcement": "Observe"}), nothing(), "TFFFF ObserveOnly"),
        (
            "apps",
            json!({"mode": "System", "taints": [{"key": "a", "effect": "PreferNoSchedule"}], "enforcement": "Observe"}),
            nothing(),
            "TFFFT ObserveOnly",
        ),
        ("absent", json!({"count": 2}), nothing(), "FFTUT PoolNotFound"),
        ("absent", json!({"count": 2, "suspend": true}), nothing(), "FFFUT PoolNotFound"),
        ("apps", json!({"count": 1}), edit_pool("apps", failed), "FTFTT OperationFailed"),
        ("apps", json!({"count": 2}), edit_pool("apps", failed), "FTFFT OperationFailed"),
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
        (
            "apps",
            json!({"count": 2}),
            Box::new(|snapshot| snapshot.paused = Known::unknown("no answer")),
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
fn a_fixed_count_turns_the_policys_own_autoscaler_off_before_anything_is_scaled() {
    let mut policy = policy("apps", json!({"count": 1}));
    policy.status = Some(NodePoolPolicyStatus { owns_autoscaler: true, ..NodePoolPolicyStatus::default() });
    let snapshot = world(&policy, edit_pool("apps", |pool| (pool.count, pool.autoscaling) = (2, Some(BOUNDS))));
    let status = told(&policy, &snapshot, true, None);
    assert_eq!(standing(&status), "FTFFT Progressing");
    assert_eq!(words(&status), ["turn the autoscaler off", "scale from 2 to 1 nodes"]);
    assert_eq!(status.drift.iter().map(|drift| drift.field.as_str()).collect::<Vec<_>>(), ["count", "autoscaling"]);
}

#[test]
fn the_autoscaler_is_the_policys_while_it_names_bounds_and_until_a_count_has_turned_it_off() {
    let bounds = json!({"autoscaling": {"minCount": 1, "maxCount": 3}});
    let on = |snapshot: &mut Snapshot| edit_pool("apps", |pool| pool.autoscaling = Some(BOUNDS))(snapshot);
    let off = |_: &mut Snapshot| ();
    let unseen = |snapshot: &mut Snapshot| snapshot.cluster = Known::unknown("no answer");
    let gone = |snapshot: &mut Snapshot| {
        if let Known::Seen { value, .. } = &mut snapshot.cluster {
            value.pools.retain(|pool| pool.name != "apps");
        }
    };
    let cases: [(Value, bool, Changed<'_>, bool); 9] = [
        (bounds.clone(), false, &off, true),
        (json!({"count": 2}), false, &on, false),
        (json!({"count": 2}), true, &on, true),
        (json!({"count": 2}), true, &unseen, true),
        (json!({"count": 2}), true, &off, false),
        (json!({"count": 2}), true, &gone, false),
        (json!({}), true, &on, false),
        (json!({"suspend": true, "count": 2}), true, &on, true),
        (json!({}), false, &unseen, false),
    ];
    for (spec, before, edit, owns) in cases {
        let mut policy = policy("apps", spec.clone());
        policy.status = Some(NodePoolPolicyStatus { owns_autoscaler: before, ..NodePoolPolicyStatus::default() });
        assert_eq!(told(&policy, &world(&policy, edit), true, None).owns_autoscaler, owns, "{spec}");
    }
    let (policy, mut status) = (policy("apps", bounds), NodePoolPolicyStatus::default());
    assert!(own_what_is_named(&policy, &mut status) && status.owns_autoscaler, "stored before the write");
    assert!(!own_what_is_named(&policy, &mut status));
}

#[test]
fn an_autoscaled_pool_is_shown_with_its_bounds() {
    let policy = policy("apps", json!({"autoscaling": {"minCount": 1, "maxCount": 3}}));
    let snapshot = world(&policy, edit_pool("apps", |pool| pool.autoscaling = Some(BOUNDS)));
    let status = told(&policy, &snapshot, true, None);
    let ready = status.condition(condition::READY).unwrap();
    assert_eq!(ready.message, "User pool with 1 node, autoscaled within 1 to 3 nodes, as the policy asks");
    let pool = status.pool.unwrap();
    assert_eq!((pool.count, pool.min_count, pool.max_count), (1, Some(1), Some(3)));
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
    let owned = vec!["tier".to_owned()];
    let policy = policy("system", json!({"mode": "User", "labels": {"tier": "web"}}));
    let before =
        NodePoolPolicyStatus { owned_labels: owned.clone(), ..told(&policy, &world(&policy, |_| ()), true, None) };
    let status = malformed(&before, Some(4), "invalid type: string", NOW);
    assert_eq!(standing(&status), "FFT InvalidSpec");
    assert!(status.conditions[0].message.contains("invalid type: string"));
    assert_eq!((status.owned_labels.clone(), status.history.clone()), (owned, before.history));
    assert_eq!((&status.pool, &status.plan), (&None, &None));
    assert_eq!(malformed(&status, Some(4), "invalid type: string", NOW.after(Span::from_secs(9))), status);
}
