//! What a PUT that rolls through nodes is answered with: states, versions, images, rollbacks and refusals.

use aks_emulator::{ClusterSpec, PoolSpec, Settings, Switches};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, FAST, Local, fast, start};

const IMAGE: &str = "AKSUbuntu-2204gen2containerd-202601.07.0";
/// The first version in which images can be rolled back.
const ROLLBACK: &str = "2026-04-01";

fn old_pools() -> ClusterSpec {
    ClusterSpec::with_pools([
        PoolSpec::system("system", 1),
        PoolSpec::user("apps", 2).versions("1.32", "1.32.9"),
        PoolSpec::user("older", 1).versions("1.31", "1.31.13"),
    ])
}

async fn with(switches: Switches) -> Local {
    start(Settings { switches, ..Settings::with_time_scale(FAST) }, old_pools()).await
}

async fn property(local: &Local, pool: &str, name: &str) -> Value {
    local.get_pool(pool).await.body["properties"][name].clone()
}

async fn upgrade_image(local: &Local, pool: &str) -> Answer {
    let url = local.url(&local.pool_path(&format!("{pool}/upgradeNodeImageVersion")));
    local.send(Method::POST, &url, None).await
}

async fn put_with(local: &Local, version: &str, properties: &Value) -> Answer {
    let path = format!("{}/agentPools/apps?api-version={version}", local.emulator.cluster_id());
    local.send(Method::PUT, &local.url(&path), Some(&json!({"properties": properties}))).await
}

#[tokio::test]
async fn versions_show_what_was_asked_and_what_runs() {
    let local = with(Switches::default()).await;
    let hold = local.emulator.operation("apps").hold();
    let put = local.put("apps", json!({"orchestratorVersion": "1.33"})).await;
    assert_eq!((put.status, put.state()), (200, "Upgrading"));
    assert_eq!(put.body["properties"]["orchestratorVersion"], "1.33");
    assert_eq!(put.body["properties"]["currentOrchestratorVersion"], "1.32.9");
    hold.arrived().await;
    let running = local.send(Method::GET, put.header("azure-asyncoperation").unwrap(), None).await.body;
    assert_eq!(running["status"], "InProgress");
    assert_eq!(local.put("apps", json!({})).await.code(), "OperationNotAllowed");
    hold.release();
    local.follow(&put).await;
    assert_eq!(property(&local, "apps", "currentOrchestratorVersion").await, "1.33.5");
    for same in ["1.33", "1.33.5"] {
        let put = local.put_and_follow("apps", json!({"orchestratorVersion": same})).await;
        assert_eq!(put.state(), "Updating", "{same}");
        assert_eq!(property(&local, "apps", "orchestratorVersion").await, same);
    }

    let eager = with(Switches { versions_wait_for_nodes: false, ..Switches::default() }).await;
    let put = eager.put("apps", json!({"orchestratorVersion": "1.33.3"})).await;
    assert_eq!(put.body["properties"]["currentOrchestratorVersion"], "1.33.3");
}

#[tokio::test]
async fn versions_out_of_reach_are_refused() {
    let local = with(Switches::default()).await;
    for (pool, version, code, message) in [
        (
            "apps",
            "1.34.1",
            "NodePoolMcVersionIncompatible",
            "Node pool version 1.34.1 and control plane version 1.33.5 are incompatible. Minor version of node pool version 34 is bigger than control plane version 33. For more information, please check https://aka.ms/version-skew-policy.",
        ),
        (
            "apps",
            "1.29",
            "NodePoolMcVersionIncompatible",
            "Minor version of node pool cannot be more than 3 versions less than control plane's version. Minor version of node pool is 29 and control plane is 33.",
        ),
        ("apps", "1.33.6", "NodePoolMcVersionIncompatible", "control plane version 1.33.5 are incompatible"),
        (
            "apps",
            "1.33.1",
            "AgentPoolK8sVersionNotSupported",
            "Version 1.33.1 is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region. For more information, please check https://aka.ms/supported-version-list",
        ),
        (
            "apps",
            "1.31.13",
            "AgentPoolUpgradeVersionNotAllowed",
            "Upgrade agent pool version from 1.32.9 to 1.31.13 is not allowed, you can only upgrade one minor version at a time. Please use [az aks get-upgrades] command to get the supported upgrade paths. For more information, please check https://aka.ms/version-skew-policy",
        ),
        ("apps", "1.32.7", "AgentPoolUpgradeVersionNotAllowed", "from 1.32.9 to 1.32.7"),
        ("older", "1.33", "AgentPoolUpgradeVersionNotAllowed", "from 1.31.13 to 1.33.5"),
        ("new", "1.30", "AgentPoolK8sVersionNotSupported", "Version 1.30 is not supported"),
        ("new", "1.33.6", "NodePoolMcVersionIncompatible", "control plane version 1.33.5 are incompatible"),
        ("apps", "latest", "InvalidParameter", "orchestratorVersion"),
    ] {
        let before = local.emulator.pool(pool);
        let answer = local.put(pool, json!({"count": 1, "orchestratorVersion": version})).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{pool} to {version}");
        let text = answer.body["message"].as_str().unwrap();
        assert!(text.contains(message), "{pool} to {version}: {text}");
        assert_eq!(local.emulator.pool(pool), before);
    }
    local.put_and_follow("older", json!({"orchestratorVersion": "1.32"})).await;
    assert_eq!(property(&local, "older", "currentOrchestratorVersion").await, "1.32.10");

    let local = with(Switches { node_pools_skip_minors: true, ..Switches::default() }).await;
    local.put_and_follow("older", json!({"orchestratorVersion": "1.33"})).await;
    assert_eq!(property(&local, "older", "currentOrchestratorVersion").await, "1.33.5");
}

#[tokio::test]
async fn each_kind_of_change_has_its_state() {
    let local = fast().await;
    for (change, state, image) in [
        (json!({"osSKU": "AzureLinux"}), "Upgrading", "AKSAzureLinux-V3gen2-202601.07.0"),
        (json!({"osSKU": "ubuntu"}), "Upgrading", IMAGE),
        (json!({"enableFIPS": true}), "Upgrading", "AKSUbuntu-2204gen2fipscontainerd-202601.07.0"),
        (json!({"enableFIPS": false}), "Upgrading", IMAGE),
        (json!({"securityProfile": {"enableVTPM": true}}), "Updating", IMAGE),
        (json!({"securityProfile": {"enableSecureBoot": true}}), "Updating", IMAGE),
        (json!({"localDNSProfile": {"mode": "Preferred"}}), "Updating", IMAGE),
        (json!({"upgradeSettings": {"maxSurge": "33%"}}), "Updating", IMAGE),
    ] {
        let put = local.put_and_follow("apps", change.clone()).await;
        assert_eq!(put.state(), state, "{change}");
        assert_eq!(property(&local, "apps", "nodeImageVersion").await, image, "{change}");
    }
    let large = json!({"count": 995, "osSKU": "AzureLinux", "upgradeSettings": {"maxSurge": "1%"}});
    assert_eq!(local.put("apps", large).await.code(), "AgentPoolMaxCountExceeded");
    let windows = local.put("apps", json!({"osSKU": "Windows2022"})).await;
    assert_eq!((windows.status, windows.code()), (400, "PropertyChangeNotAllowed"));
    let no_surge = local.put("apps", json!({"upgradeSettings": {"maxSurge": "0"}})).await;
    assert_eq!((no_surge.status, no_surge.code()), (400, "InvalidParameter"));
}

#[tokio::test]
async fn an_image_is_upgraded_when_there_is_a_newer_one() {
    let local = fast().await;
    let newer = IMAGE.replace("202601.07.0", "202602.10.0");
    for (release, image) in [("202601.07.0", IMAGE), ("202602.10.0", newer.as_str())] {
        local.emulator.edit(|cluster| cluster.latest_node_image = Some(release.to_owned()));
        let post = upgrade_image(&local, "apps").await;
        assert_eq!((post.status, post.state()), (202, "UpgradingNodeImageVersion"));
        assert!(post.header("location").is_some() && post.header("retry-after").is_none());
        assert_eq!(local.follow(&post).await["status"], "Succeeded");
        assert_eq!(property(&local, "apps", "nodeImageVersion").await, image);
    }
    assert_eq!(upgrade_image(&local, "absent").await.code(), "NotFound");
    let hold = local.emulator.operation("apps").hold();
    local.put("apps", json!({})).await;
    hold.arrived().await;
    assert_eq!(upgrade_image(&local, "apps").await.status, 409);
    let get = local.get(&local.pool_path("apps/upgradeNodeImageVersion")).await;
    assert_eq!(get.status, 405);
}

#[tokio::test]
async fn a_description_can_have_a_newer_image_than_its_pools() {
    let cluster = ClusterSpec { latest_node_image: Some("202602.10.0".to_owned()), ..old_pools() };
    let local = start(Settings::with_time_scale(FAST), cluster).await;
    assert_eq!(property(&local, "apps", "nodeImageVersion").await, IMAGE);
    let newer = IMAGE.replace("202601.07.0", "202602.10.0");
    let profile = local.get(&local.pool_path("apps/upgradeProfiles/default")).await.body;
    assert_eq!(profile["properties"]["latestNodeImageVersion"], newer);
    local.put_and_follow("new", json!({"count": 1})).await;
    assert_eq!(property(&local, "new", "nodeImageVersion").await, newer);
}

#[tokio::test]
async fn a_pool_is_rolled_back_to_what_it_ran_before() {
    let local = with(Switches::default()).await;
    local.emulator.edit(|cluster| cluster.latest_node_image = Some("202602.10.0".to_owned()));
    local.put_and_follow("apps", json!({"orchestratorVersion": "1.33"})).await;
    let profile = |version: &str| {
        format!("{}/agentPools/apps/upgradeProfiles/default?api-version={version}", local.emulator.cluster_id())
    };
    let used = local.get(&profile(ROLLBACK)).await.body["properties"]["recentlyUsedVersions"].clone();
    assert_eq!((&used[0]["orchestratorVersion"], &used[0]["nodeImageVersion"]), (&json!("1.32.9"), &json!(IMAGE)));
    assert!(used[0]["timestamp"].is_string());
    let before = local.get(&profile("2026-03-01")).await.body;
    assert_eq!(before["properties"].get("recentlyUsedVersions"), None);

    let read = property(&local, "apps", "nodeImageVersion").await;
    for (version, image) in [("2026-03-01", json!("anything")), (ROLLBACK, read)] {
        let put = put_with(&local, version, &json!({"nodeImageVersion": image})).await;
        assert_eq!(put.state(), "Updating", "{version}");
        local.follow(&put).await;
    }
    let unknown = put_with(&local, ROLLBACK, &json!({"nodeImageVersion": "AKSUbuntu-2204gen2containerd-1"})).await;
    assert_eq!((unknown.status, unknown.code()), (400, "InvalidParameter"));
    let mixed = json!({"nodeImageVersion": IMAGE, "orchestratorVersion": "1.31.13"});
    assert_eq!(put_with(&local, ROLLBACK, &mixed).await.status, 400);

    let back = json!({"nodeImageVersion": IMAGE, "orchestratorVersion": "1.32"});
    let put = put_with(&local, ROLLBACK, &back).await;
    assert_eq!((put.status, put.state()), (200, "Upgrading"), "{put:?}");
    local.follow(&put).await;
    assert_eq!(property(&local, "apps", "nodeImageVersion").await, IMAGE);
    assert_eq!(property(&local, "apps", "currentOrchestratorVersion").await, "1.32.9");
    let used = local.get(&profile(ROLLBACK)).await.body["properties"]["recentlyUsedVersions"].clone();
    assert_eq!(used, json!([]), "no rollback of a rollback");
}

#[tokio::test]
async fn a_repeated_image_may_reimage() {
    let local = with(Switches { repeated_node_image_reimages: true, ..Switches::default() }).await;
    let put = put_with(&local, ROLLBACK, &json!({"nodeImageVersion": IMAGE})).await;
    assert_eq!(put.state(), "Upgrading");
    assert_eq!(local.follow(&put).await["status"], "Succeeded");
}

#[tokio::test]
async fn what_failed_stays_asked_for_and_goes_on_later() {
    let local = with(Switches::default()).await;
    let failure = local.emulator.operation("apps").fail("QuotaExceeded", "no cores left", Some(1));
    let put = local.put("apps", json!({"orchestratorVersion": "1.33"})).await;
    assert_eq!(local.follow(&put).await["status"], "Failed");
    drop(failure);
    let pool = local.get_pool("apps").await.body["properties"].clone();
    assert_eq!((&pool["orchestratorVersion"], &pool["currentOrchestratorVersion"]), (&json!("1.33"), &json!("1.32.9")));
    local.put_and_follow("apps", json!({"orchestratorVersion": "1.33"})).await;
    assert_eq!(property(&local, "apps", "currentOrchestratorVersion").await, "1.33.5");
}
