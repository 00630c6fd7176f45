//! Foreign hands on demand: requests of somebody else, at once and later, and AKS's own upgrades.

use std::time::Duration;

use aks_emulator::{ForeignRequest, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Local, fast, start, two_pools};

async fn admin(local: &Local, path: &str, body: Value) -> Answer {
    local.send(Method::POST, &local.url(&format!("/admin/{path}")), Some(&body)).await
}

fn manual() -> Settings {
    Settings { manual_clock: true, ..Settings::default() }
}

#[tokio::test]
async fn somebody_else_scales_retaints_and_deletes_at_once() {
    let local = fast().await;
    for properties in [json!({"count": 4}), json!({"nodeTaints": ["theirs=1:NoSchedule"]})] {
        let put = json!({"method": "PUT", "target": "agentPools/apps", "body": {"properties": properties}});
        let made = admin(&local, "foreign", put).await;
        assert_eq!((made.status, &made.body["status"]), (200, &json!(200)), "{made:?}");
        local.emulator.idle().await;
    }
    let pool = local.get_pool("apps").await.body;
    assert_eq!(
        (&pool["properties"]["count"], &pool["properties"]["nodeTaints"][0]),
        (&json!(4), &json!("theirs=1:NoSchedule"))
    );
    let target = format!("{}/agentPools/apps?api-version=2025-10-01", local.emulator.cluster_id());
    let delete = json!({"method": "DELETE", "target": target, "userAgent": "terraform"});
    assert_eq!(admin(&local, "foreign", delete).await.body["status"], 202);
    assert_eq!(local.emulator.journal().by_user_agent("terraform").len(), 1);
}

#[tokio::test]
async fn what_is_for_later_comes_when_the_clock_passes_it() {
    let local = start(manual(), two_pools()).await;
    let clock = local.emulator.clock().unwrap();
    let put =
        json!({"method": "PUT", "target": "agentPools/apps", "body": {"properties": {"count": 5}}, "afterSeconds": 30});
    let planned = admin(&local, "foreign", put).await;
    assert_eq!((planned.status, &planned.body["afterSeconds"]), (202, &json!(30.0)));
    let delete = ForeignRequest::new("DELETE", &local.pool_path("apps"), None);
    assert!(local.emulator.as_someone_else_later(&delete, Duration::from_secs(40)));
    clock.advance(Duration::from_secs(29)).await;
    assert_eq!(local.get_pool("apps").await.state(), "Succeeded");
    clock.advance(Duration::from_secs(1)).await;
    assert_eq!(local.get_pool("apps").await.state(), "Scaling");
    clock.advance(Duration::from_secs(10)).await;
    assert_eq!(local.get_pool("apps").await.state(), "Deleting");
}

#[tokio::test]
async fn malformed_wishes_are_refused_and_say_why() {
    let local = fast().await;
    for (path, body, expected) in [
        ("foreign", json!({"method": "A B", "target": "/"}), "method, target or userAgent"),
        ("foreign", json!({"method": "GET", "target": "agentPools/a b"}), "malformed"),
        ("foreign", json!({"method": "GET"}), "target"),
        ("foreign", json!({"method": "GET", "target": "/", "afterSeconds": -1}), "afterSeconds is -1"),
        (
            "auto-upgrade",
            json!({"kubernetesVersion": "1.34"}),
            "kubernetesVersion is 1.34: give a version with its patch",
        ),
        ("auto-upgrade", json!({"kubernetesVersion": "1.33.5"}), "above the cluster's 1.33.5"),
        ("auto-upgrade", json!({"version": "1.33.5"}), "unknown field"),
    ] {
        let refused = admin(&local, path, body).await;
        let message = refused.body["error"]["message"].as_str().unwrap();
        assert!(refused.status == 400 && message.contains(expected), "{message}");
    }
    assert!(!local.emulator.as_someone_else_later(&ForeignRequest::new("A B", "/", None), Duration::ZERO));
}

#[tokio::test]
async fn aks_upgrades_the_control_plane_and_then_asks_for_each_pool() {
    let local = start(manual(), two_pools()).await;
    let clock = local.emulator.clock().unwrap();
    let cluster = format!("{}?api-version=2025-10-01", local.emulator.cluster_id());
    let shown = async || local.get(&cluster).await.body["properties"].clone();
    assert_eq!(admin(&local, "auto-upgrade", json!({"kubernetesVersion": "1.34.2"})).await.status, 202);
    assert!(local.emulator.auto_upgrade("1.34.3").is_err());
    clock.advance(Duration::from_secs(299)).await;
    assert_eq!(
        (&shown().await["provisioningState"], &shown().await["currentKubernetesVersion"]),
        (&json!("Upgrading"), &json!("1.33.5"))
    );
    let refused = local.put("apps", json!({"count": 3})).await;
    assert!(refused.body["message"].as_str().unwrap().contains("Another operation (Upgrading) is in progress"));
    clock.advance(Duration::from_secs(1)).await;
    assert_eq!(
        (&shown().await["provisioningState"], &shown().await["currentKubernetesVersion"]),
        (&json!("Succeeded"), &json!("1.34.2"))
    );
    while clock.advance_to_next().await.is_some() {}
    let puts = local.emulator.journal().by_user_agent("aks-auto-upgrade");
    assert_eq!(puts.iter().map(|put| put.resource_name().to_owned()).collect::<Vec<_>>(), ["system", "apps"]);
    assert_eq!(puts[0].request, Some(json!({"properties": {"orchestratorVersion": "1.34.2"}})));
    assert!(local.emulator.auto_upgrade("1.34.3").is_ok());
}

#[tokio::test]
async fn an_upgrade_of_aks_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { state_file: Some(folder.path().join("state.json")), ..manual() };
    let local = start(settings.clone(), two_pools()).await;
    local.emulator.auto_upgrade("1.34.2").unwrap();
    local.emulator.clock().unwrap().advance(Duration::from_secs(100)).await;
    local.emulator.stop().await;
    let local = start(settings, two_pools()).await;
    local.emulator.clock().unwrap().advance(Duration::from_secs(200)).await;
    let version = local.emulator.edit(|cluster| cluster.properties["currentKubernetesVersion"].clone());
    assert_eq!(version, Some(json!("1.34.2")));
}
