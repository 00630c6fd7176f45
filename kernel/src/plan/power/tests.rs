//! What a policy plans for a pool that is stopped, or is to be.

use super::*;
use crate::intent::{Attempt, Cause};
use crate::snapshot::{Mode, Snapshot};
use crate::testing::{NOW, edit, governed, pool, pool_mut, taint};
use crate::{Settings, plan};

const STOPPED: Option<PowerWish> = Some(PowerWish::Stopped);
const RUNNING: Option<PowerWish> = Some(PowerWish::Running);

/// A user pool whose policy wants another count, a label and a taint, and this power.
fn cluster(wish: Option<PowerWish>, power: &str) -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3)], "apps");
    let intent = edit(&mut snapshot.intents).first_mut().unwrap();
    intent.power = wish;
    intent.count = Some(5);
    intent.labels = Some([("tier".to_owned(), "web".to_owned())].into());
    intent.taints = Some(vec![taint("team=shop:NoSchedule")]);
    if power != "Running" {
        let pool = pool_mut(&mut snapshot, "apps");
        (pool.power, pool.count) = (Power::NotRunning(power.into()), 0);
        edit(&mut snapshot.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
    }
    snapshot
}

/// Steps, what is kept back, and problems.
fn planned(snapshot: &Snapshot) -> (Vec<String>, Vec<String>, Vec<&'static str>) {
    let plan = plan(snapshot, &Settings::default());
    let policy = plan.policies.first().unwrap();
    (
        policy.steps.iter().map(|step| step.change.to_string()).collect(),
        policy.kept_back.iter().map(|drift| drift.text.clone()).collect(),
        policy.problems.iter().map(Problem::reason).collect(),
    )
}

const TAINT: &str = "change the taints from [none] to [team=shop:NoSchedule]";
const LABEL: &str = "set the labels tier=web";

#[test]
fn a_pool_is_stopped_or_started_alone_and_the_rest_waits_until_it_runs() {
    let all = ["scale from 3 to 5 nodes", TAINT, LABEL];
    for (wish, power, steps, kept_back) in [
        (None, "Running", &all[..], &[][..]),
        (RUNNING, "Running", &all, &[]),
        (STOPPED, "Running", &["stop the pool"], &[TAINT, LABEL]),
        (STOPPED, "Stopped", &[], &[TAINT, LABEL]),
        (STOPPED, "stopped", &[], &[TAINT, LABEL]),
        (RUNNING, "Stopped", &["start the pool"], &[TAINT, LABEL]),
    ] {
        let (mut found, kept, problems) = planned(&cluster(wish, power));
        found.sort();
        let mut steps = steps.to_vec();
        steps.sort_unstable();
        assert_eq!((found, kept, problems), (own(&steps), own(kept_back), vec![]), "{wish:?} {power}");
    }
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_pool_that_does_not_run_and_that_nobody_speaks_of_is_left_alone() {
    assert_eq!(planned(&cluster(None, "Stopped")), (vec![], vec![], vec!["PoolNotRunning"]));
    for wish in [STOPPED, RUNNING] {
        assert_eq!(planned(&cluster(wish, "in an unknown power state")).2, ["PoolNotRunning"]);
    }
}

#[test]
fn nothing_is_planned_while_the_cluster_is_stopped() {
    for wish in [None, STOPPED, RUNNING] {
        let mut stopped = cluster(wish, "Stopped");
        edit(&mut stopped.cluster).power = Power::NotRunning("Stopped".into());
        assert_eq!(planned(&stopped), (vec![], vec![], vec!["ClusterNotRunning"]));
        for operation in ["Stopping", "Starting"] {
            let mut moving = cluster(wish, "Stopped");
            edit(&mut moving.cluster).state = ProvisioningState::Busy(operation.into());
            assert_eq!(planned(&moving).2, ["ClusterNotRunning"]);
        }
    }
    let mut busy = cluster(RUNNING, "Stopped");
    edit(&mut busy.cluster).state = ProvisioningState::Busy("Updating".into());
    assert_eq!(planned(&busy).0, ["start the pool"]);
    let mut moving = cluster(RUNNING, "Running");
    edit(&mut moving.cluster).state = ProvisioningState::Busy("Stopping".into());
    assert_eq!(planned(&moving).2, [""; 0], "it is compared, and the guard waits");
    assert!(!Problem::ClusterNotRunning { state: "Stopped".into() }.is_lasting());
}

#[test]
fn a_system_pool_becomes_a_user_pool_before_it_is_stopped() {
    let mut snapshot = cluster(STOPPED, "Running");
    pool_mut(&mut snapshot, "apps").mode = Mode::System;
    edit(&mut snapshot.intents).first_mut().unwrap().mode = Some(Mode::User);
    let (steps, kept, _) = planned(&snapshot);
    assert_eq!(steps, ["change the mode from System to User", "stop the pool"]);
    assert_eq!(kept, [TAINT, LABEL]);
    let decided = crate::decide(&plan(&snapshot, &Settings::default()), &snapshot, &Settings::default());
    let waits = decided.iter().any(|verdict| {
        matches!(verdict, crate::Verdict::Waits { step, reason } if step.change.stops() && reason.contains("the step before it, pool apps: change the mode"))
    });
    assert!(waits, "{decided:?}");
}

#[test]
fn a_stop_that_failed_is_made_again_when_that_is_due() {
    let mut snapshot = cluster(STOPPED, "Stopped");
    pool_mut(&mut snapshot, "apps").state = ProvisioningState::Failed;
    assert_eq!(planned(&snapshot).0, ["stop the pool"]);
    let (code, message, remedy) = (String::new(), String::new(), String::new());
    let next = Some(NOW.after(crate::Span::from_secs(60)));
    let attempt = Attempt { cause: Cause::Failed, failures: 1, generation: 1, next, code, message, remedy };
    edit(&mut snapshot.intents).first_mut().unwrap().attempt = Some(attempt);
    let found = planned(&snapshot);
    assert_eq!((found.0.as_slice(), found.2.as_slice()), (&["stop the pool".to_owned()][..], &["OperationFailed"][..]));
    pool_mut(&mut snapshot, "apps").state = ProvisioningState::Canceled;
    assert_eq!(planned(&snapshot).0, [""; 0], "somebody wanted it so");
}

#[test]
fn an_autoscaled_pool_is_stopped_and_its_scale_left_alone() {
    let bounds = crate::Autoscaling { min: 1, max: 5 };
    let mut snapshot = cluster(STOPPED, "Running");
    pool_mut(&mut snapshot, "apps").autoscaling = Some(bounds);
    assert_eq!(planned(&snapshot).0, ["stop the pool"]);
    assert_eq!(planned(&snapshot).2, [""; 0], "the autoscaler of somebody else is of no account");
}
