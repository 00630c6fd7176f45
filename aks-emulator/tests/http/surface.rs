//! What the service offers beside pools themselves: abort, upgrade profiles, lists of clusters.

use aks_emulator::{ClusterSpec, PoolSpec, Settings, Switches};
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, FAST, Local, VERSION, fast, start, two_pools};

async fn abort(local: &Local, pool: &str) -> Answer {
    let url = local.url(&local.pool_path(&format!("{pool}/abort")));
    local.send(Method::POST, &url, None).await
}

#[tokio::test]
async fn an_abort_cancels_what_runs_and_undoes_nothing() {
    let local = fast().await;
    let hold = local.emulator.operation("apps").hold_before_nodes();
    let scale = local.put("apps", json!({"count": 4})).await;
    hold.arrived().await;
    let aborted = abort(&local, "apps").await;
    hold.release();
    assert_eq!((aborted.status, aborted.state()), (202, "Canceling"));
    assert!(aborted.header("location").is_some() && aborted.header("retry-after").is_none());
    let canceled = local.follow(&scale).await;
    assert_eq!(canceled["status"], "Canceled");
    assert_eq!(canceled["error"], json!({"code": "Canceled", "message": "Operation is being canceled by user"}));
    assert_eq!(local.follow(&aborted).await["status"], "Succeeded");
    let pool = local.get_pool("apps").await;
    assert_eq!((pool.state(), &pool.body["properties"]["count"]), ("Canceled", &json!(4)));
    let late = abort(&local, "apps").await;
    assert_eq!((late.status, late.code()), (409, "OperationNotAllowed"));
    local.put_and_follow("apps", json!({"count": 2})).await;
    assert_eq!(local.get_pool("apps").await.state(), "Succeeded");
    assert_eq!(abort(&local, "absent").await.status, 404);
}

#[tokio::test]
async fn an_aborted_delete_leaves_the_pool() {
    let local = fast().await;
    let hold = local.emulator.operation("apps").hold_before_nodes();
    let delete = local.delete("apps").await;
    hold.arrived().await;
    let aborted = abort(&local, "apps").await;
    hold.release();
    local.follow(&aborted).await;
    assert_eq!(local.follow(&delete).await["status"], "Canceled");
    assert_eq!(local.get_pool("apps").await.state(), "Canceled");
    local.put_and_follow("apps", json!({})).await;
}

#[tokio::test]
async fn an_upgrade_profile_names_newer_versions_up_to_the_control_planes() {
    let pools = [PoolSpec::system("system", 1), PoolSpec::user("old", 1).versions("1.32", "1.32.9")];
    let local = start(Settings::with_time_scale(FAST), ClusterSpec::with_pools(pools)).await;
    let profile = |pool: &str| local.pool_path(&format!("{pool}/upgradeProfiles/default"));
    let current = local.get(&profile("system")).await.body;
    assert_eq!(current["type"], "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles");
    assert!(current["id"].as_str().unwrap().ends_with("/agentPools/system/upgradeProfiles/default"));
    assert_eq!(
        current["properties"],
        json!({
            "kubernetesVersion": "1.33.5", "osType": "Linux",
            "latestNodeImageVersion": "AKSUbuntu-2204gen2containerd-202601.07.0",
        })
    );
    let old = local.get(&profile("old")).await.body;
    let upgrades = old["properties"]["upgrades"].as_array().unwrap();
    let (first, last) = (upgrades.first().unwrap(), upgrades.last().unwrap());
    assert_eq!((&first["kubernetesVersion"], &last["kubernetesVersion"]), (&json!("1.32.10"), &json!("1.33.5")));
    assert_eq!(local.get(&profile("absent")).await.code(), "NotFound");
}

#[tokio::test]
async fn clusters_are_listed_by_subscription_and_by_group() {
    let local = fast().await;
    let id = local.emulator.cluster_id();
    let cluster = local.get(&format!("{id}?api-version={VERSION}")).await.body;
    let of_group = id.trim_end_matches("/local").to_owned();
    let of_subscription = of_group.replace("/resourceGroups/local", "");
    for path in [&of_group, &of_subscription] {
        let answer = local.get(&format!("{path}?api-version={VERSION}")).await;
        assert_eq!((answer.status, &answer.body), (200, &json!({"value": [cluster]})), "{path}");
    }
    let absent = of_group.replace("resourceGroups/local", "resourceGroups/other");
    assert_eq!(local.get(&format!("{absent}?api-version={VERSION}")).await.code(), "ResourceGroupNotFound");
    assert_eq!(local.get(&format!("{of_subscription}?api-version=1")).await.code(), "NoRegisteredProviderFound");
}

#[tokio::test]
async fn a_success_may_carry_a_leftover_error() {
    let settings = Settings {
        switches: Switches { leftover_errors: true, ..Switches::default() },
        ..Settings::with_time_scale(FAST)
    };
    let local = start(settings, two_pools()).await;
    let ended = local.follow(&local.put("apps", json!({})).await).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("Succeeded"), &json!("NotLatestOperation")));
    assert_eq!(local.get_pool("apps").await.body["properties"].get("status"), None);
}
