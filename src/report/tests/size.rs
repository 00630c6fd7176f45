//! However large the cluster is, a status stays small.

use nodepool_kernel::{Known, Snapshot, Taint, TaintEffect};
use serde_json::json;

use super::inventory::pod;
use super::{node, policy, standing, told, world};
use crate::api::{HistoryEntry, NodePoolPolicyStatus};

/// What a status may weigh at most, as the API server stores it.
const LIMIT: usize = 16 * 1024;

/// A system pool of 1,000 nodes with 500 protected pods, and taints and labels as long as they may be.
fn crowd(snapshot: &mut Snapshot) {
    let Known::Seen { value: cluster, .. } = &mut snapshot.cluster else { panic!() };
    let pool = cluster.pools.iter_mut().find(|pool| pool.name == "system").unwrap();
    pool.count = 1000;
    let long = |index: usize| format!("{}/{}", "p".repeat(200), format!("{index:03}").repeat(20));
    let taint = |index| Taint::new(long(index), "v".repeat(63), TaintEffect::NoSchedule);
    pool.taints = (0..50).map(taint).collect();
    pool.labels = (0..50).map(|index| (long(index), "v".repeat(63))).collect();
    let Known::Seen { value: nodes, .. } = &mut snapshot.nodes else { panic!() };
    *nodes = (0..1000).map(|index| node(pool, index)).collect();
    let name = |index: usize| format!("{}-{index}", "x".repeat(240));
    let pods = nodes.iter().take(500).enumerate().map(|(index, node)| pod(&name(index), Some(&node.name)));
    snapshot.pods = Known::seen(super::NOW, pods.collect());
}

fn entry(index: usize) -> HistoryEntry {
    HistoryEntry {
        time: "2027-01-15T07:55:00Z".into(),
        field: "mode".into(),
        step: format!("change the mode from User to System, {index} times"),
        outcome: "Failed".into(),
        code: Some("PodDrainFailure".into()),
        detail: Some("d".repeat(300)),
        correlation_id: Some("00000000-0000-4000-8000-000000000000".into()),
    }
}

#[test]
fn a_status_stays_within_its_limit_whatever_the_cluster_is_like() {
    let mut policy = policy("system", json!({"mode": "User"}));
    let history = (0..1000).map(entry).collect();
    policy.status = Some(NodePoolPolicyStatus { history, ..NodePoolPolicyStatus::default() });
    let snapshot = world(&policy, crowd);
    let status = told(&policy, &snapshot, true, None);
    assert!(standing(&status).starts_with("FFTFF "), "{}", standing(&status));
    assert!(status.refusals.len() > 1, "it breaks several rules");
    assert_eq!(status.history.len(), 10, "what was too long before is cut");
    assert_eq!(status.history.last(), Some(&entry(999)), "the newest are kept");
    let size = serde_json::to_vec(&status).unwrap().len();
    assert!(size < LIMIT, "{size} bytes");
}
