//! Faults and foreign hands, through the handle and through the admin API.

use std::time::Duration;

use aks_emulator::{Action, ForeignRequest, Matcher};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Local, VERSION, fast};

async fn admin(local: &Local, method: Method, path: &str, body: Option<Value>) -> Answer {
    local.send(method, &local.url(&format!("/admin/{path}")), body.as_ref()).await
}

fn count(local: &Local) -> Value {
    local.emulator.pool("apps").unwrap()["properties"]["count"].clone()
}

async fn put_lost(local: &Local) -> reqwest::Error {
    let body = json!({"properties": {"count": 3}});
    local.client.put(local.url(&local.pool_path("apps"))).json(&body).send().await.unwrap_err()
}

#[tokio::test]
async fn a_connection_is_lost_before_or_after_the_change() {
    let local = fast().await;
    for (action, expected, answered) in [(Action::DropBefore, 2, None), (Action::DropAfter, 3, Some(200))] {
        let fault = local.emulator.fault(Matcher::put_pool("apps"), action, Some(1));
        let error = put_lost(&local).await;
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(fault.count(), 1);
        assert_eq!(count(&local), json!(expected));
        assert_eq!(local.emulator.journal().writes().last().unwrap().status, answered);
    }
    assert_eq!(local.get_pool("apps").await.status, 200);
}

#[tokio::test]
async fn a_connection_is_reset_before_the_change() {
    let local = fast().await;
    let fault = local.emulator.fault(Matcher::put_pool("apps"), Action::Reset, Some(1));
    let error = put_lost(&local).await;
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::ConnectionReset), "{error:?}");
    assert_eq!(fault.count(), 1);
    assert_eq!(count(&local), json!(2), "the request was not handled");
}

#[tokio::test]
async fn a_delayed_request_is_handled_late() {
    let local = fast().await;
    let wait = Duration::from_millis(150);
    let _fault = local.emulator.fault(Matcher::method("GET"), Action::Delay(wait), Some(1));
    let started = std::time::Instant::now();
    assert_eq!(local.get_pool("apps").await.status, 200);
    assert!(started.elapsed() >= wait);
}

#[tokio::test]
async fn somebody_else_comes_first_at_exactly_that_request() {
    let local = fast().await;
    let foreign = ForeignRequest::new(
        "PUT",
        &local.pool_path("apps"),
        Some(json!({"properties": {"nodeTaints": ["theirs=1:NoSchedule"]}})),
    );
    let _fault = local.emulator.fault(Matcher::put_pool("apps"), Action::AfterForeign(foreign), Some(1));
    let hold = local.emulator.operation("apps").hold();
    let lost = local.put("apps", json!({"count": 4})).await;
    assert_eq!((lost.status, lost.code()), (409, "OperationNotAllowed"));
    let theirs = local.emulator.journal().by_user_agent("someone-else");
    assert_eq!((theirs.len(), theirs[0].status), (1, Some(200)));
    hold.release();
    local.emulator.idle().await;
    assert_eq!(local.emulator.pool("apps").unwrap()["properties"]["nodeTaints"], json!(["theirs=1:NoSchedule"]));
    let delete = ForeignRequest::new("DELETE", &local.pool_path("apps"), None);
    assert_eq!(local.emulator.as_someone_else(&delete).await.unwrap().status, Some(202));
    local.emulator.idle().await;
    assert_eq!(local.get_pool("apps").await.status, 404);
    assert!(local.emulator.as_someone_else(&ForeignRequest::new("A B", "/", None)).await.is_none());
}

#[tokio::test]
async fn the_cluster_lags_and_its_pools_do_not() {
    let local = fast().await;
    let path = format!("{}?api-version={VERSION}", local.emulator.cluster_id());
    let shown = |answer: Answer| answer.body["properties"]["agentPoolProfiles"][1]["count"].clone();
    let stale = local.emulator.stale_clusters();
    local.put_and_follow("apps", json!({"count": 5})).await;
    assert_eq!(shown(local.get(&path).await), 2);
    assert_eq!(local.get_pool("apps").await.body["properties"]["count"], 5);
    drop(stale);
    assert_eq!(shown(local.get(&path).await), 5);
}

#[tokio::test]
async fn an_operation_fails_with_a_given_code_and_the_next_succeeds() {
    let local = fast().await;
    let fault = local.emulator.operation("apps").fail("QuotaExceeded", "no cores left", Some(1));
    let ended = local.follow(&local.put("apps", json!({"count": 3})).await).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(ended["error"], json!({"code": "QuotaExceeded", "message": "no cores left"}));
    let pool = local.get_pool("apps").await;
    assert_eq!(pool.state(), "Failed");
    assert_eq!(pool.body["properties"]["status"]["provisioningError"]["code"], "QuotaExceeded");
    assert_eq!(fault.count(), 1);
    local.put_and_follow("apps", json!({})).await;
    assert_eq!(local.get_pool("apps").await.body["properties"].get("status"), None);
}

#[tokio::test]
async fn rules_are_laid_listed_and_ended_through_the_admin_api() {
    let local = fast().await;
    let answer = json!({"answer": {"status": 502, "headers": {"x-a": "1"}, "body": {"error": {"code": "Bad"}}}});
    let fault = json!({"method": "GET", "pathEndsWith": "/agentPools/apps", "times": 5, "action": answer});
    let laid = admin(&local, Method::POST, "faults", Some(fault)).await;
    assert_eq!(laid.status, 201, "{laid:?}");
    let got = local.get_pool("apps").await;
    assert_eq!((got.status, got.code(), got.header("x-a")), (502, "Bad", Some("1")));
    let rules = admin(&local, Method::GET, "rules", None).await.body;
    assert_eq!(rules["value"], json!([{"id": 1, "kind": "fault", "happened": 1, "left": 4}]));
    assert_eq!(admin(&local, Method::DELETE, "rules/1", None).await.status, 204);
    assert_eq!(admin(&local, Method::DELETE, "rules/1", None).await.status, 404);
    assert_eq!(local.get_pool("apps").await.status, 200);
    let journal = admin(&local, Method::GET, "journal?after=1", None).await.body;
    assert_eq!(journal["value"].as_array().unwrap().len(), 1);
    assert_eq!(journal["value"][0]["status"], 200);
}

#[tokio::test]
async fn the_other_rules_of_the_admin_api_do_what_the_handle_does() {
    let local = fast().await;
    let drop = json!({"method": "PUT", "times": 1, "action": "dropAfter"});
    admin(&local, Method::POST, "faults", Some(drop)).await;
    put_lost(&local).await;
    local.emulator.idle().await;
    assert_eq!(count(&local), 3);
    let stale = admin(&local, Method::POST, "stale-clusters", None).await;
    assert_eq!((stale.status, &stale.body["kind"]), (201, &json!("stale")));
    let failure = json!({"pool": "apps", "code": "AllocationFailed", "message": "full", "times": 1});
    admin(&local, Method::POST, "operation-failures", Some(failure)).await;
    let held = admin(&local, Method::POST, "operation-holds", Some(json!({"pool": "system"}))).await.body;
    let ended = local.follow(&local.put("apps", json!({})).await).await;
    assert_eq!(ended["error"]["code"], "AllocationFailed");
    let stuck = local.put("system", json!({})).await;
    admin(&local, Method::DELETE, &format!("rules/{}", held["id"]), None).await;
    assert_eq!(local.follow(&stuck).await["status"], "Succeeded");
}

#[tokio::test]
async fn malformed_rules_are_refused_and_say_why() {
    let local = fast().await;
    for (path, body, expected) in [
        ("faults", json!({"action": "explode"}), "explode"),
        ("faults", json!({"path": "/", "action": "dropAfter"}), "path"),
        ("faults", json!({"action": {"answer": {"status": 7, "body": null}}}), "status is 7"),
        ("operation-failures", json!({"pool": "apps"}), "code"),
        ("operation-holds", json!({"pool": 7}), "expected a string"),
    ] {
        let answer = admin(&local, Method::POST, path, Some(body)).await;
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert_eq!(answer.status, 400);
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(admin(&local, Method::GET, "nothing", None).await.status, 404);
    assert_eq!(admin(&local, Method::GET, "journal?after=x", None).await.status, 400);
}

#[tokio::test]
async fn failures_of_the_service_are_laid_by_name() {
    let local = fast().await;
    let refuse = json!({"method": "GET", "times": 1, "action": {"refuse": "AuthorizationFailed"}});
    assert_eq!(admin(&local, Method::POST, "faults", Some(refuse)).await.status, 201);
    let refused = local.get_pool("apps").await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    let failure = json!({"pool": "apps", "failure": "AllocationFailed", "times": 1});
    assert_eq!(admin(&local, Method::POST, "operation-failures", Some(failure)).await.status, 201);
    let ended = local.follow(&local.put("apps", json!({"count": 3})).await).await;
    assert_eq!(ended["error"]["code"], "AllocationFailed");
    for wrong in [
        json!({"pool": "apps", "failure": "NoSuchThing"}),
        json!({"pool": "apps", "code": "A"}),
        json!({"pool": "apps", "failure": "AllocationFailed", "code": "A", "message": "b"}),
    ] {
        assert_eq!(admin(&local, Method::POST, "operation-failures", Some(wrong)).await.status, 400);
    }
}
