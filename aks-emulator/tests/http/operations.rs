//! Operations: states, locks, preemption, signed URLs, and going on after a restart.

use aks_emulator::{Settings, Switches};
use reqwest::Method;
use serde_json::json;

use crate::support::{FAST, fast, start, two_pools};

#[tokio::test]
async fn a_create_goes_through_its_states() {
    let local = fast().await;
    let hold = local.emulator.operation("new").hold_before_nodes();
    let put = local.put("new", json!({"count": 2, "mode": "User"})).await;
    assert_eq!((put.status, put.state()), (201, "Creating"));
    assert!(put.header("location").is_none() && put.header("retry-after").is_none());
    hold.arrived().await;
    let url = put.header("azure-asyncoperation").unwrap();
    let running = local.send(Method::GET, url, None).await.body;
    assert_eq!(running["status"], "CreatingAgentPool");
    assert!(running.get("endTime").is_none());
    hold.release();
    let ended = local.follow(&put).await;
    assert_eq!(ended["status"], "Succeeded");
    assert!(ended["endTime"].is_string() && ended.get("error").is_none());
    assert_eq!(local.get_pool("new").await.state(), "Succeeded");
}

#[tokio::test]
async fn one_pool_has_one_operation_and_others_are_free() {
    let local = fast().await;
    let hold = local.emulator.operation("apps").hold();
    let scale = local.put("apps", json!({"count": 4})).await;
    assert_eq!(scale.state(), "Scaling");
    hold.arrived().await;
    let refused = local.put("apps", json!({"nodeLabels": {"a": "1"}})).await;
    assert_eq!((refused.status, refused.code()), (409, "OperationNotAllowed"));
    assert_eq!(
        refused.body["message"],
        "Operation is not allowed: Another agentpool operation (apps - Scaling) is in progress, please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details"
    );
    local.put_and_follow("system", json!({"tags": {"k": "v"}})).await;
    hold.release();
    assert_eq!(local.follow(&scale).await["status"], "Succeeded");
    let noop = local.put_and_follow("apps", json!({})).await;
    assert_eq!(noop.state(), "Updating");
}

#[tokio::test]
async fn a_cluster_operation_excludes_all_others() {
    let local = fast().await;
    local.emulator.edit(|cluster| cluster.set("provisioningState", "Updating"));
    for answer in [local.put("apps", json!({"count": 4})).await, local.delete("apps").await] {
        assert_eq!((answer.status, answer.code()), (409, "OperationNotAllowed"));
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains("Another operation (Updating) is in progress"));
    }
}

#[tokio::test]
async fn a_delete_preempts_and_then_nothing_else_is_allowed() {
    let local = fast().await;
    let hold = local.emulator.operation("apps").hold_before_nodes();
    let scale = local.put("apps", json!({"count": 4})).await;
    hold.arrived().await;
    let delete = local.delete("apps").await;
    assert_eq!(delete.status, 202);
    assert_eq!(delete.body, "");
    let ended = local.follow(&scale).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(ended["error"]["code"], "AKSOperationPreemptedByDelete");
    assert_eq!(local.get_pool("apps").await.state(), "Deleting");
    let refused = local.put("apps", json!({"count": 1})).await;
    assert_eq!(refused.status, 409);
    let message = refused.body["message"].as_str().unwrap();
    assert!(
        message.starts_with("Unable to perform 'Scaling' operation on 'apps' since deletion was issued"),
        "{message}"
    );
    let again = local.delete("apps").await;
    assert_eq!(again.header("azure-asyncoperation"), delete.header("azure-asyncoperation"));
    let result = delete.header("location").unwrap();
    assert_eq!(local.send(Method::GET, result, None).await.status, 202);
    hold.release();
    assert_eq!(local.follow(&delete).await["status"], "Succeeded");
    assert_eq!(local.send(Method::GET, result, None).await.status, 204);
    assert_eq!(local.get_pool("apps").await.status, 404);
}

#[tokio::test]
async fn a_pool_under_deletion_is_no_system_pool_that_stays() {
    let local = fast().await;
    local.put_and_follow("apps", json!({"mode": "System"})).await;
    let hold = local.emulator.operation("apps").hold_before_nodes();
    let delete = local.delete("apps").await;
    assert_eq!(local.delete("system").await.status, 400);
    assert_eq!(local.put("system", json!({"mode": "User"})).await.code(), "MustDefineAtLeastOneSystemPool");
    drop(hold);
    local.follow(&delete).await;
}

#[tokio::test]
async fn operation_urls_are_long_and_must_be_used_to_the_letter() {
    let local = fast().await;
    let put = local.put("apps", json!({})).await;
    let url = put.header("azure-asyncoperation").unwrap();
    assert!((2_500..3_500).contains(&url.len()), "{}", url.len());
    let bare = url.split_once('?').unwrap().0;
    for wrong in [format!("{bare}?api-version=2025-03-01"), format!("{url}x")] {
        let answer = local.send(Method::GET, &wrong, None).await;
        assert_eq!((answer.status, answer.code()), (403, "AuthorizationFailed"));
    }
    assert_eq!(local.send(Method::GET, url, None).await.status, 200);

    let settings = Settings {
        switches: Switches { operation_urls_forbidden: true, ..Switches::default() },
        ..Settings::with_time_scale(FAST)
    };
    let local = start(settings, two_pools()).await;
    let put = local.put("apps", json!({})).await;
    let url = put.header("azure-asyncoperation").unwrap();
    assert_eq!(local.send(Method::GET, url, None).await.status, 403);
}

#[tokio::test]
async fn state_and_operations_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { state_file: Some(folder.path().join("state.json")), ..Settings::with_time_scale(FAST) };
    let local = start(settings.clone(), two_pools()).await;
    let hold = local.emulator.operation("apps").hold();
    let put = local.put("apps", json!({"count": 5})).await;
    hold.arrived().await;
    local.emulator.stop().await;
    let path = put.header("azure-asyncoperation").unwrap().to_owned();
    let path = path.split_once("/subscriptions").unwrap().1.to_owned();

    let mut other = two_pools();
    other.name = "ignored".to_owned();
    let local = start(settings, other).await;
    assert!(local.emulator.cluster_id().ends_with("/local"));
    local.emulator.idle().await;
    let answer = local.get(&format!("/subscriptions{path}")).await;
    assert_eq!(answer.body["status"], "Succeeded");
    let pool = local.get_pool("apps").await;
    assert_eq!((pool.state(), &pool.body["properties"]["count"]), ("Succeeded", &json!(5)));
}
