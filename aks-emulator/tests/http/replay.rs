//! Recorded traffic against the emulator: the same requests on the same starting state must get the same answers.

use std::io::Write;
use std::path::PathBuf;

use aks_emulator::{ClusterSpec, PoolSpec, Settings};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::support::{Answer, FAST, Local, start};

/// Headers whose presence is compared.
const HEADERS: [&str; 4] = ["azure-asyncoperation", "location", "retry-after", "x-ms-failure-cause"];

struct Recording(Vec<Value>);

impl Recording {
    /// A file of recordings, or `None` where they are not at hand.
    fn open(name: &str) -> Option<Self> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/aks-traffic").join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            // Not with a macro, whose output the test harness would swallow.
            writeln!(std::io::stderr(), "SKIPPED: the recording {name} is not at hand").unwrap();
            return None;
        };
        Some(Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
    }

    fn exchange(&self, index: u64) -> &Value {
        self.0.iter().find(|e| e["index"] == index).unwrap()
    }

    fn properties(&self, index: u64) -> Map<String, Value> {
        let body = &self.exchange(index)["response_body"];
        body["properties"].as_object().unwrap().clone()
    }
}

/// A cluster named as the URL of a recorded request names it.
fn cluster_of(exchange: &Value, version: (&str, &str), pools: Vec<PoolSpec>) -> ClusterSpec {
    let url = exchange["url"].as_str().unwrap();
    let parts: Vec<&str> = url.split('?').next().unwrap().split('/').collect();
    let after = |name: &str| {
        let at = parts.iter().position(|p| p.eq_ignore_ascii_case(name)).unwrap();
        parts[at + 1].to_owned()
    };
    ClusterSpec {
        subscription: after("subscriptions"),
        resource_group: after("resourceGroups"),
        name: after("managedClusters"),
        location: "westus3".to_owned(),
        requested_version: Some(version.0.to_owned()),
        kubernetes_version: version.1.to_owned(),
        pools,
        ..ClusterSpec::default()
    }
}

async fn local(cluster: ClusterSpec) -> Local {
    let settings =
        Settings { api_versions_also: vec!["2025-09-02-preview".to_owned()], ..Settings::with_time_scale(FAST) };
    start(settings, cluster).await
}

/// Sends a recorded request and compares the answer, the named properties aside.
async fn replay(local: &Local, exchange: &Value, aside: &[&str]) -> Answer {
    let url = local.url(exchange["url"].as_str().unwrap());
    let method: Method = exchange["method"].as_str().unwrap().parse().unwrap();
    let body = Some(&exchange["request_body"]).filter(|body| !body.is_null());
    let answer = local.send(method, &url, body).await;
    let index = &exchange["index"];
    assert_eq!(json!(answer.status), exchange["status"], "{index}: {}", answer.body);
    for name in HEADERS {
        let recorded = exchange["response_headers"].get(name).is_some();
        assert_eq!(answer.header(name).is_some(), recorded, "{index}: {name}");
    }
    let mut recorded = exchange["response_body"].clone();
    let mut got = answer.body.clone();
    if recorded.is_null() {
        recorded = json!("");
    }
    for document in [&mut recorded, &mut got] {
        if let Some(properties) = document.pointer_mut("/properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| !aside.contains(&name.as_str()));
        }
    }
    assert_eq!(got, recorded, "{index}");
    answer
}

fn seed(local: &Local, pool: &str, properties: Map<String, Value>) {
    local.emulator.edit(|cluster| {
        cluster.pool_mut(pool).unwrap().properties = properties;
    });
}

#[tokio::test]
async fn recording_09_create_update_delete() {
    let Some(recording) = Recording::open("09-test-aks-managedcluster-20250801-crud.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("ap1", 1)];
    let cluster = cluster_of(recording.exchange(38), ("1.33", "1.33.5"), pools);
    let local = local(cluster).await;
    replay(&local, recording.exchange(38), &[]).await;
    for write in [42, 55] {
        let accepted = replay(&local, recording.exchange(write), &[]).await;
        assert_eq!(local.follow(&accepted).await["status"], "Succeeded");
        let read = if write == 42 { 54 } else { 59 };
        replay(&local, recording.exchange(read), &[]).await;
    }
    let accepted = replay(&local, recording.exchange(61), &[]).await;
    assert_eq!(local.follow(&accepted).await["status"], "Succeeded");
}

#[tokio::test]
async fn recording_09_absent_cluster() {
    let Some(recording) = Recording::open("09-test-aks-managedcluster-20250801-crud.jsonl") else {
        return;
    };
    let exchange = recording.exchange(69);
    let mut cluster = cluster_of(exchange, ("1.33", "1.33.5"), vec![PoolSpec::system("a", 1)]);
    cluster.name = "another".to_owned();
    replay(&local(cluster).await, exchange, &[]).await;
}

#[tokio::test]
async fn recording_11_taints_set_change_clear() {
    let Some(recording) = Recording::open("11-nodepool-update-taints-msi.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("nodepool1", 1)];
    let cluster = cluster_of(recording.exchange(16), ("1.25.6", "1.25.6"), pools);
    let local = local(cluster).await;
    seed(&local, "nodepool1", recording.properties(15));
    for (write, read) in [(16, 19), (22, 25), (28, 31)] {
        let accepted = replay(&local, recording.exchange(write), &[]).await;
        local.follow(&accepted).await;
        replay(&local, recording.exchange(read), &[]).await;
    }
}

#[tokio::test]
async fn recording_02_delete_of_one_pool_and_promotion_of_another() {
    let Some(recording) = Recording::open("02-nodepool-system-pool.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("nodepool1", 1)];
    let cluster = cluster_of(recording.exchange(18), ("1.25.6", "1.25.6"), pools);
    let local = local(cluster).await;
    // Defaults of 2023; the emulator fills in those of 2026.
    let aside = ["maxPods", "nodeImageVersion", "upgradeSettings", "securityProfile"];
    for create in [18, 30] {
        let accepted = replay(&local, recording.exchange(create), &aside).await;
        local.follow(&accepted).await;
    }
    seed(&local, "nodepool2", recording.properties(45));
    let hold = local.emulator.operation("nodepool1").hold_before_nodes();
    let delete = replay(&local, recording.exchange(44), &[]).await;
    let promote = replay(&local, recording.exchange(46), &[]).await;
    local.follow(&promote).await;
    replay(&local, recording.exchange(49), &[]).await;
    hold.release();
    local.follow(&delete).await;
}

#[tokio::test]
async fn recording_04_restricted_taint_and_pages() {
    let Some(recording) = Recording::open("04-create-cluster-with-taints.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("nodepool1", 1), PoolSpec::user("nodepool2", 3)];
    let cluster = cluster_of(recording.exchange(28), ("1.30", "1.30.11"), pools);
    let local = local(cluster).await;
    seed(&local, "nodepool2", recording.properties(27));
    replay(&local, recording.exchange(28), &[]).await;
    let list = recording.exchange(11)["url"].as_str().unwrap();
    let first = local.get(list).await.body;
    let next = first["nextLink"].as_str().unwrap();
    assert!(next.contains("?%24skipToken=") && next.contains("&skipToken="));
    let second = local.send(Method::GET, next, None).await.body;
    assert_eq!(second, recording.exchange(12)["response_body"]);
}

#[tokio::test]
async fn recording_01_scale_and_tags() {
    let Some(recording) = Recording::open("01-nodepool-create-scale-delete.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("nodepool1", 1)];
    let cluster = cluster_of(recording.exchange(16), ("1.25.6", "1.25.6"), pools);
    let local = local(cluster).await;
    let aside = ["maxPods", "nodeImageVersion", "upgradeSettings", "securityProfile"];
    let created = replay(&local, recording.exchange(16), &aside).await;
    local.follow(&created).await;
    let mut properties = recording.properties(16);
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    seed(&local, "nodepool2", properties);
    for write in [29, 43, 48] {
        let accepted = replay(&local, recording.exchange(write), &[]).await;
        assert_eq!(local.follow(&accepted).await["status"], "Succeeded");
    }
}

#[tokio::test]
async fn recording_03_autoscaler_with_count_0() {
    let Some(recording) = Recording::open("03-nodepool-autoscaler-then-update.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("nodepool1", 1)];
    let cluster = cluster_of(recording.exchange(16), ("1.25.6", "1.25.6"), pools);
    let local = local(cluster).await;
    let aside = ["maxPods", "nodeImageVersion", "upgradeSettings", "securityProfile"];
    let created = replay(&local, recording.exchange(16), &aside).await;
    local.follow(&created).await;
    let mut properties = recording.properties(16);
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    let name = recording.exchange(16)["response_body"]["name"].clone();
    seed(&local, name.as_str().unwrap(), properties);
    let updated = replay(&local, recording.exchange(23), &[]).await;
    local.follow(&updated).await;
}

#[tokio::test]
async fn recording_05_stop_and_start() {
    let Some(recording) = Recording::open("05-nodepool-stop-and-start.jsonl") else {
        return;
    };
    let pools = vec![PoolSpec::system("nodepool1", 1), PoolSpec::user("c000003", 2)];
    let cluster = cluster_of(recording.exchange(35), ("1.25.6", "1.25.6"), pools);
    let local = local(cluster).await;
    let mut properties = recording.properties(42);
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    seed(&local, "c000003", properties);
    for write in [35, 42] {
        let accepted = replay(&local, recording.exchange(write), &[]).await;
        local.follow(&accepted).await;
    }
}
