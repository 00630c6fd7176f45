//! How a policy stands whose pool is stopped, is to be, or is being started.

use nodepool_kernel::{AgentPool, Known, Power, ProvisioningState, Snapshot};
use serde_json::{Value, json};

use super::{NodePoolPolicyStatus, edit_pool, policy, standing, told, world};
use crate::api::{Operation, condition};

fn stopped(pool: &mut AgentPool) {
    (pool.power, pool.count) = (Power::NotRunning("Stopped".into()), 0);
}

/// How the policy stands, with the pool changed.
fn of(spec: Value, edit: impl FnOnce(&mut AgentPool) + 'static) -> NodePoolPolicyStatus {
    let policy = policy("apps", spec);
    told(&policy, &world(&policy, edit_pool("apps", edit)), true, None)
}

fn message<'a>(status: &'a NodePoolPolicyStatus, type_: &str) -> &'a str {
    status.condition(type_).map_or("", |condition| condition.message.as_str())
}

#[test]
fn a_pool_that_is_stopped_as_asked_is_ready_and_says_what_waits() {
    let status = of(json!({"powerState": "Stopped", "count": 5}), stopped);
    assert_eq!(standing(&status), "TFFTT UpToDate");
    assert_eq!(message(&status, condition::READY), "User pool, stopped, as the policy asks");
    let pool = status.pool.unwrap();
    assert_eq!((pool.power_state.as_deref(), pool.count), (Some("Stopped"), 0));

    let status = of(json!({"powerState": "Stopped", "count": 5, "labels": {"a": "b"}}), stopped);
    assert_eq!(standing(&status), "TFFFT UpToDate");
    let said = "User pool, stopped, as the policy asks; kept back until it runs: set the labels a=b";
    assert_eq!(message(&status, condition::READY), said);
    let in_sync = status.condition(condition::IN_SYNC).unwrap();
    assert_eq!((in_sync.reason.as_str(), status.drift.len(), &status.plan), ("KeptBack", 1, &None));
    assert_eq!(in_sync.message, "to be done when the pool runs: set the labels a=b");
}

#[test]
fn a_pool_that_is_not_as_asked_is_told_with_the_step() {
    for (spec, stops, stands, step) in [
        (json!({"powerState": "Running", "labels": {"a": "b"}}), true, "FTFFT Progressing", "next: start the pool"),
        (json!({"powerState": "Running"}), false, "TFFTT UpToDate", "User pool with 1 node, as the policy asks"),
        (
            json!({"powerState": "Stopped"}),
            false,
            "FTFFT WorkloadsDependOnPool",
            "to stop the pool waits: which pods depend on pool apps is not known: they have not been read yet",
        ),
        (
            json!({}),
            true,
            "FFTUT PoolNotRunning",
            "the pool is Stopped; nothing is changed until it is started: set spec.powerState to Running, or start it in \
             Azure (az aks nodepool start)",
        ),
    ] {
        let status = of(spec.clone(), move |pool| {
            if stops {
                stopped(pool);
            }
        });
        assert_eq!((standing(&status).as_str(), message(&status, condition::READY)), (stands, step), "{spec}");
    }
}

#[test]
fn everything_waits_while_the_cluster_is_stopped() {
    for spec in [json!({"powerState": "Running"}), json!({"powerState": "Stopped"}), json!({"count": 3})] {
        let policy = policy("apps", spec);
        let cluster_stopped = |snapshot: &mut Snapshot| {
            edit_pool("apps", stopped)(snapshot);
            let Known::Seen { value, .. } = &mut snapshot.cluster else { panic!("no cluster") };
            value.power = Power::NotRunning("Stopped".into());
        };
        let status = told(&policy, &world(&policy, cluster_stopped), true, None);
        assert_eq!(standing(&status), "FTFUT ClusterNotRunning");
        let said = "the cluster is Stopped, and the pool with it; nothing is written until it runs (az aks start)";
        assert_eq!((message(&status, condition::READY), &status.plan), (said, &None));
    }
}

#[test]
fn a_system_pool_that_is_to_be_stopped_is_refused_with_the_way_out() {
    let policy = policy("system", json!({"powerState": "Stopped"}));
    let status = told(&policy, &world(&policy, |_| ()), true, None);
    assert_eq!(standing(&status), "FFTFF SystemPoolMustRun");
    assert!(
        message(&status, condition::READY).contains("To do: set spec.powerState to Running, or make it a user pool")
    );
}

#[test]
fn a_start_is_known_by_its_step_or_by_its_kind() {
    let operation = |kind: &str, field: Option<&str>, step: Option<&str>| Operation {
        kind: kind.into(),
        since: "2027-01-15T07:55:00Z".into(),
        step: step.map(str::to_owned),
        field: field.map(str::to_owned),
        ..Operation::default()
    };
    for (kind, field, step, starts) in [
        ("Starting", None, None, true),
        ("Accepted", Some("powerState"), Some("start the pool"), true),
        ("Accepted", Some("powerState"), Some("stop the pool"), false),
        ("Stopping", Some("powerState"), Some("stop the pool"), false),
        ("Accepted", Some("labels"), Some("start"), false),
    ] {
        let operation = operation(kind, field, step);
        assert_eq!((operation.starts(), operation.brings_nodes()), (starts, starts), "{operation:?}");
    }
    assert!(operation("Creating", None, None).brings_nodes());
    let failed = of(json!({"powerState": "Stopped"}), |pool| {
        stopped(pool);
        pool.state = ProvisioningState::Failed;
    });
    assert_eq!(failed.attempt.unwrap().outcome, "Failed");
    assert_eq!((failed.drift[0].found.as_str(), failed.drift[0].wanted.as_str()), ("Running", "Stopped"));
}
