//! What the tests of the client share: a client, and a step that the guard approved. Never answers anything.

use std::sync::Once;
use std::time::Duration;

use nodepool_kernel::{
    Approved, Change, Drain, DrainMark, Known, Node, Occupancy, Readiness, Rows, Settings, Snapshot, Step, Time, guard,
};
use nodepool_operator::api::{NodePoolPolicy, NodePoolPolicySpec, intent};
use nodepool_operator::arm::{ArmClient, ArmError, ClusterId, PoolDocument, PoolWrite, cluster};
use nodepool_operator::leadership::{Leadership, Permit};
use serde_json::{Value, json};

pub use crate::options::options;

/// The cluster of tests that have no other.
pub const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
/// The right to make one write: there is no other replica.
pub fn permit() -> Permit {
    Leadership::sole().permit(Duration::ZERO).unwrap()
}

/// The time of all snapshots.
const NOW: Time = Time::from_millis(1_800_000_000_000);

/// What TLS needs, once a process.
pub fn provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no other is there"));
}

/// A client that does not sign in.
pub fn client(endpoint: &str, cluster: &str) -> ArmClient {
    provider();
    ArmClient::new(options(endpoint, cluster)).unwrap()
}

/// A pool as ARM shows it.
pub fn pool(name: &str) -> Value {
    json!({"name": name, "properties": profile()})
}

fn profile() -> Value {
    json!({
        "count": 2, "mode": "User", "type": "VirtualMachineScaleSets", "osType": "Linux", "enableAutoScaling": false,
        "provisioningState": "Succeeded", "powerState": {"code": "Running"}, "orchestratorVersion": "1.33",
        "currentOrchestratorVersion": "1.33.5", "nodeLabels": {"tier": "web"}, "upgradeSettings": {"maxUnavailable": "0"},
    })
}

/// The cluster [`CLUSTER`] with a system pool and the pool `apps`, as ARM shows it.
pub fn managed_cluster() -> Value {
    let named = |name: &str, mode: &str| {
        let mut profile = profile();
        profile["name"] = json!(name);
        profile["mode"] = json!(mode);
        profile
    };
    json!({
        "id": CLUSTER,
        "properties": {
            "provisioningState": "Succeeded", "powerState": {"code": "Running"}, "nodeResourceGroup": "MC_g_c",
            "agentPoolProfiles": [named("system", "System"), named("apps", "User")],
        },
    })
}

/// A step that scales `apps` from 2 to 3, approved, and its write.
pub fn approved() -> (Approved<Step>, PoolWrite) {
    let change = Change::Count { from: 2, to: 3 };
    let write = PoolWrite::new(&PoolDocument::parse(pool("apps")).unwrap(), &change);
    (guarded(change, &seen(3)), write)
}

/// The removal of one of the two nodes of `apps`, which is cordoned for it and empty, approved.
pub fn approved_removal() -> Approved<Step> {
    let mut snapshot = seen(1);
    let Known::Seen { value: nodes, .. } = &mut snapshot.nodes else { panic!("the nodes are not known") };
    let last = nodes.iter_mut().next_back().unwrap();
    let mark = DrainMark { policy: "apps".into(), plan: "scale from 2 to 1 nodes".into(), since: NOW };
    (last.cordoned, last.drain) = (true, Some(Box::new(mark)));
    let machines = vec![last.name.clone()];
    let looked_at = machines.iter().cloned().collect();
    let empty = Occupancy { nodes: looked_at, ..Occupancy::default() };
    snapshot.occupancy.insert("apps".to_owned(), Known::seen(NOW, empty));
    guarded(Change::Drain(Drain::RemoveMachines { machines, from: 2 }), &snapshot)
}

fn guarded(change: Change, snapshot: &Snapshot) -> Approved<Step> {
    let step = Step { policy: "apps".into(), pool: "apps".into(), change };
    guard(step, snapshot, &Settings::default()).expect("nothing speaks against it")
}

/// The cluster at rest, with a policy that wants `apps` to have so many nodes.
fn seen(count: i32) -> Snapshot {
    let id: ClusterId = CLUSTER.parse().unwrap();
    let spec = NodePoolPolicySpec { count: Some(count), ..NodePoolPolicySpec::default() };
    let policy = NodePoolPolicy::new("apps", spec);
    Snapshot {
        now: NOW,
        paused: Known::seen(NOW, false),
        bulk: Known::seen(NOW, vec![]),
        intents: Known::seen(NOW, vec![intent(&policy)]),
        cluster: Known::seen(NOW, cluster(&id, &managed_cluster()).unwrap()),
        issuer: Known::seen(NOW, "https://issuer.example/".into()),
        nodes: Known::seen(NOW, vec![node("system", 0), node("system", 1), node("apps", 0), node("apps", 1)].into()),
        pods: Known::seen(NOW, Rows::default()),
        budgets: Known::seen(NOW, vec![]),
        workloads: Known::seen(NOW, vec![]),
        places: Known::unknown("it has not been read yet"),
        in_flight: vec![],
        dependents: [].into(),
        occupancy: [].into(),
        upgradable: [].into(),
    }
}

fn node(pool: &str, index: u32) -> Node {
    let long_ago = Time::from_millis(NOW.as_millis() - i64::try_from(Duration::from_hours(2).as_millis()).unwrap());
    Node {
        name: format!("aks-{pool}-12345678-vmss{index:06}"),
        pool: Some(pool.to_owned()),
        labelled_system: pool == "system",
        quarantined: false,
        readiness: Readiness::Ready { since: long_ago },
        joined: long_ago,
        cordoned: false,
        deleting: false,
        taints: vec![],
        provider_id: Some(format!("azure:///subscriptions/s/resourceGroups/MC_g_c/providers/{pool}/{index}")),
        kubelet_version: "v1.33.5".into(),
        image_version: None,
        zone: None,
        drain: None,
    }
}

/// The id that bad answers carry.
pub const ID: &str = "3d3dcd52-0000-4000-8000-00000000c0de";

/// The errors of all requests that the client makes, with the kind as it names it.
pub async fn errors(client: &ArmClient) -> [(&'static str, ArmError); 3] {
    let (approved, write) = approved();
    let (cluster, pool, put) =
        tokio::join!(client.cluster(), client.pool("apps"), client.put_pool(&approved, &write, permit()));
    [
        ("the cluster", cluster.map(drop).unwrap_err()),
        ("pool apps", pool.map(drop).unwrap_err()),
        ("the write of pool apps", put.map(drop).unwrap_err()),
    ]
}

/// What every error of a request must tell: what was asked for, where, and nothing that breaks a log.
pub fn tells(what: &str, endpoint: &str, error: &ArmError) -> String {
    let said = error.to_string();
    assert!(said.contains(what) && said.contains(endpoint), "{what}: {said}");
    assert!(!said.contains(['\n', '\r', '\0']) && said.chars().count() < 600, "{what}: {said}");
    said
}
