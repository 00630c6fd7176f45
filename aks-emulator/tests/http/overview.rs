//! The page for people and the state that it shows.

use aks_emulator::Settings;
use reqwest::Method;
use serde_json::json;

use crate::support::{fast, start, two_pools};

#[tokio::test]
async fn the_state_shows_clusters_pools_nodes_and_operations_and_no_secret() {
    let local = start(Settings { manual_clock: true, ..Settings::default() }, two_pools()).await;
    let put = local.put("apps", json!({"count": 3, "nodeLabels": {"a": "<b>"}})).await;
    assert_eq!(put.status, 400, "labels with markup are refused");
    let put = local.put("apps", json!({"count": 3, "nodeLabels": {"tier": "web"}})).await;
    let answer = local.get("/admin/state").await;
    let state = &answer.body;
    assert_eq!((answer.status, &state["manualClock"]), (200, &json!(true)));
    let cluster = &state["clusters"][0];
    assert_eq!((&cluster["name"], &cluster["kubernetesVersion"]), (&json!("local"), &json!("1.33.5")));
    let apps = &cluster["pools"][1];
    assert_eq!(
        (&apps["provisioningState"], &apps["count"], &apps["labels"]["tier"]),
        (&json!("Scaling"), &json!(3), &json!("web"))
    );
    let nodes = apps["nodes"].as_array().unwrap();
    assert!(
        nodes.len() == 2 && nodes[0]["ready"] == true && nodes[0]["name"].as_str().unwrap().starts_with("aks-apps-")
    );
    let operation = &state["operations"][0];
    assert_eq!((&operation["kind"], &operation["status"]), (&json!("Scaling"), &json!("InProgress")));
    let url = put.header("azure-asyncoperation").unwrap();
    let id = url.split("/operations/").nth(1).unwrap().split('?').next().unwrap();
    assert!(!state.to_string().contains(id), "an operation's URL follows from its id");
    assert!(local.emulator.journal().iter().all(|exchange| exchange.path != "/admin/state"));
}

#[tokio::test]
async fn the_page_may_run_nothing_but_its_own_script() {
    let local = fast().await;
    let page = local.get("/ui").await;
    let text = page.body.as_str().unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!text.contains("{nonce}"));
    for forbidden in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " onclick", "://", "style=\""]
    {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    let again = local.get("/ui").await;
    assert_ne!(again.header("content-security-policy"), Some(policy));
    assert_eq!(local.send(Method::POST, &local.url("/ui"), None).await.status, 404);
    assert_eq!(local.get("/").await.code(), "InvalidResourceType");
}

#[tokio::test]
async fn the_journal_can_be_read_from_its_end() {
    let local = fast().await;
    for _ in 0..5 {
        local.get_pool("apps").await;
    }
    let last = local.get("/admin/journal?after=1&last=2").await.body;
    let numbers: Vec<_> =
        last["value"].as_array().unwrap().iter().map(|exchange| exchange["sequence"].clone()).collect();
    assert_eq!(numbers, [4, 5]);
    assert_eq!(local.get("/admin/journal?last=x").await.status, 400);
}
