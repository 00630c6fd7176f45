//! How a policy that names a version stands: ahead of it, waiting for the control plane, and refused.

use super::*;

fn stands(spec: Value, change: impl FnOnce(&mut Snapshot)) -> NodePoolPolicyStatus {
    let policy = policy("apps", spec);
    told(&policy, &world(&policy, change), true, None)
}

fn runs(snapshot: &mut Snapshot, version: &str) {
    let Known::Seen { value, .. } = &mut snapshot.cluster else { panic!("no cluster") };
    let pool = value.pools.iter_mut().find(|pool| pool.name == "apps").unwrap();
    (pool.requested_version, pool.current_version) = (Some(version.to_owned()), Some(version.to_owned()));
}

#[test]
fn a_pool_ahead_of_its_policy_is_ready_and_not_in_sync() {
    let status = stands(json!({"kubernetesVersion": "1.33"}), |snapshot| runs(snapshot, "1.34.2"));
    assert_eq!(standing(&status), "TFFFT UpToDate");
    let in_sync = status.condition(condition::IN_SYNC).unwrap();
    assert_eq!(in_sync.reason, "AheadOfSpec");
    assert!(in_sync.message.ends_with("set spec.kubernetesVersion to 1.34.2 or ControlPlane"), "{}", in_sync.message);
    assert_eq!(status.drift.len(), 1);
    assert_eq!((status.drift[0].found.as_str(), status.drift[0].wanted.as_str()), ("1.34.2", "1.33"));

    let both = stands(json!({"kubernetesVersion": "1.33", "count": 2}), |snapshot| runs(snapshot, "1.34.2"));
    let in_sync = both.condition(condition::IN_SYNC).unwrap();
    assert!(in_sync.message.ends_with("ControlPlane; to be done: scale from 1 to 2 nodes"), "{}", in_sync.message);
    assert_eq!(standing(&both), "FTFFT Progressing", "the rest goes on as ever");
}

#[test]
fn a_version_that_the_control_plane_does_not_have_is_waited_for() {
    let status = stands(json!({"kubernetesVersion": "1.35"}), |snapshot| runs(snapshot, "1.34.2"));
    assert_eq!(standing(&status), "FTFFT VersionSkew");
    assert_eq!(status.drift[0].field, "kubernetesVersion");
    let waits = status.refusals.iter().find(|refused| refused.rule == "VersionSkew").unwrap();
    assert!(
        waits.message.ends_with("no pool may be newer than the control plane, which runs 1.34.2"),
        "{}",
        waits.message
    );
    let reached = stands(json!({"kubernetesVersion": "ControlPlane"}), |snapshot| runs(snapshot, "1.34.2"));
    assert_eq!(standing(&reached), "TFFTT UpToDate");
}
