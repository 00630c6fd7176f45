//! Request budgets: what is counted on what, and the refusal when nothing is left.

use aks_emulator::Settings;
use reqwest::Method;
use serde_json::json;

use crate::support::{VERSION, start, two_pools};

/// Budgets that do not fill within a test; operations are held where they must not run either.
fn slow() -> Settings {
    Settings { request_budgets: Some(0.001), ..Settings::default() }
}

#[tokio::test]
async fn each_pool_has_a_budget_of_20_puts_and_refusals_cost_too() {
    let local = start(slow(), two_pools()).await;
    for _ in 0..20 {
        assert_eq!(local.put("apps", json!({"count": -1})).await.status, 400);
    }
    let throttled = local.put("apps", json!({"count": 3})).await;
    assert_eq!((throttled.status, throttled.code()), (429, "Throttled"));
    let seconds = throttled.header("retry-after").unwrap().to_owned();
    assert!(seconds.parse::<u64>().unwrap() > 59_000);
    assert_eq!(
        throttled.body["message"],
        format!(
            "The PutAgentPoolHandler.PUT request limit has been exceeded for \
             SubID='11111111-2222-3333-4444-555555555555', please retry again in {seconds} seconds. For more \
             information, please visit aka.ms/aks/throttling"
        )
    );
    assert_eq!(throttled.header("x-ms-failure-cause"), None);
    assert_eq!(local.emulator.pool("apps").unwrap()["properties"]["count"], 2);
    assert_eq!(local.put("system", json!({"count": -1})).await.status, 400);
}

#[tokio::test]
async fn reads_of_pools_share_the_subscriptions_budget_and_the_cluster_has_its_own() {
    let local = start(slow(), two_pools()).await;
    for pool in ["apps", "system"].into_iter().cycle().take(60) {
        assert_eq!(local.get_pool(pool).await.status, 200);
    }
    assert_eq!(local.get_pool("apps").await.status, 429);
    assert_eq!(local.delete("apps").await.status, 429);
    let cluster = format!("{}?api-version={VERSION}", local.emulator.cluster_id());
    assert_eq!(local.get(&cluster).await.status, 200);
}

#[tokio::test]
async fn what_is_not_about_pools_themselves_shares_the_subscriptions_budget_too() {
    let local = start(slow(), two_pools()).await;
    let id = local.emulator.cluster_id();
    let scope = "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.ContainerService";
    let paths = [
        format!("{id}/agentPools/apps/Machines"),
        format!("{id}/availableAgentPoolVersions"),
        format!("{id}/UpgradeProfiles/default"),
        format!("{scope}/locations/westeurope/kubernetesVersions"),
    ];
    for path in paths.iter().cycle().take(60) {
        assert_eq!(local.get(&format!("{path}?api-version={VERSION}")).await.status, 200, "{path}");
    }
    for path in paths {
        assert_eq!(local.get(&format!("{path}?api-version={VERSION}")).await.status, 429, "{path}");
    }
    for action in ["stop", "START", "agentPools/apps/deleteMachines"] {
        let url = local.url(&format!("{id}/{action}?api-version={VERSION}"));
        assert_eq!(local.send(Method::POST, &url, None).await.status, 429, "{action}");
    }
}

#[tokio::test]
async fn by_default_nothing_is_counted() {
    let local = start(Settings::default(), two_pools()).await;
    for _ in 0..100 {
        assert_eq!(local.get_pool("apps").await.status, 200);
    }
}
