//! Shortages and faults of nodes, as operations and pools show them without Kubernetes.

use std::time::Duration;

use aks_emulator::{NodeTrouble, OperationFailure, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{FAST, Local, fast, start, two_pools};

async fn lay(local: &Local, path: &str, body: &Value) -> (u16, Value) {
    let answer = local.send(Method::POST, &local.url(&format!("/admin/{path}")), Some(body)).await;
    (answer.status, answer.body)
}

/// The error of a scaling to this count, which fails.
async fn fails(local: &Local, count: u64) -> Value {
    let accepted = local.put("apps", json!({"count": count})).await;
    let ended = local.follow(&accepted).await;
    assert_eq!(ended["status"], "Failed", "{ended}");
    let pool = local.get_pool("apps").await;
    assert_eq!(pool.body["properties"]["status"]["provisioningError"], ended["error"]);
    assert_eq!(pool.body["properties"]["count"], count);
    ended["error"].clone()
}

#[tokio::test]
async fn machines_run_out_with_the_codes_and_texts_of_azure() {
    let local = fast().await;
    for (failure, text) in [
        (OperationFailure::QuotaExceeded, "exceeding approved StandardDdsv5 Family Cores quota"),
        (OperationFailure::SkuNotAvailable, "Capacity Restrictions: Standard_D4ds_v5' is currently not available"),
        (OperationFailure::AllocationFailed, "the cluster is out of capacity"),
        (OperationFailure::ZonalAllocationFailed, "capacity for the requested VM size Standard_D4ds_v5 in zone 1"),
        (OperationFailure::OverconstrainedAllocationRequest, "Ephemeral"),
        (OperationFailure::OverconstrainedZonalAllocationRequest, "Availability Zone"),
    ] {
        let fault = local.emulator.operation("apps").fail_half_way(failure, 0, Some(1));
        let error = fails(&local, 5).await;
        assert_eq!(error["code"], format!("{failure:?}"));
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
        assert_eq!(fault.count(), 1);
        local.put_and_follow("apps", json!({"count": 2})).await;
    }
}

#[tokio::test]
async fn some_nodes_come_before_machines_run_out() {
    let local = fast().await;
    let preset = json!({"pool": "apps", "failure": "QuotaExceeded", "afterNodes": 1, "times": 1});
    assert_eq!(lay(&local, "operation-failures", &preset).await.0, 201);
    local.put_and_follow("apps", json!({"count": 3})).await;
    assert_eq!(fails(&local, 6).await["code"], "QuotaExceeded");
    let state = local.send(Method::GET, &local.url("/admin/state"), None).await.body.to_string();
    assert_eq!(state.matches("\"aks-apps-").count(), 4, "of the three that lacked one came: {state}");
    let given = json!({"pool": "apps", "code": "Mine", "message": "half-way", "afterNodes": 1, "times": 1});
    lay(&local, "operation-failures", &given).await;
    assert_eq!(fails(&local, 7).await, json!({"code": "Mine", "message": "half-way"}));
    local.put_and_follow("apps", json!({"count": 7})).await;
}

#[tokio::test]
async fn nodes_that_are_not_ready_fail_their_operation_until_the_fault_ends() {
    let settings = Settings { ready_timeout: Some(Duration::from_millis(50)), ..Settings::with_time_scale(FAST) };
    let local = start(settings, two_pools()).await;
    let (status, rule) = lay(&local, "node-faults", &json!({"pool": "apps", "trouble": "neverReady"})).await;
    assert_eq!((status, &rule["kind"]), (201, &json!("nodeFault")));
    let error = fails(&local, 3).await;
    assert_eq!(error["message"], "Not all nodes reached Ready state. Expected: 3, Actual: 2");
    local.send(Method::DELETE, &local.url(&format!("/admin/rules/{}", rule["id"])), None).await;
    let _late = local.emulator.node_fault("apps", NodeTrouble::LateReady(Duration::from_mins(1)));
    local.put_and_follow("apps", json!({"count": 4})).await;
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused() {
    let local = fast().await;
    for (path, body, expected) in [
        ("node-faults", json!({"pool": "apps", "trouble": "lateReady"}), "seconds is missing"),
        ("node-faults", json!({"pool": "apps", "trouble": "neverReady", "seconds": 1}), "use lateReady"),
        ("node-faults", json!({"pool": "apps", "trouble": "gone"}), "gone"),
        ("operation-failures", json!({"pool": "apps", "failure": "Full", "afterNodes": 1}), "Full"),
        ("operation-failures", json!({"pool": "apps", "failure": "SkuNotAvailable", "code": "A"}), "either failure"),
    ] {
        let (status, answer) = lay(&local, path, &body).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(expected), "{message}");
    }
}
