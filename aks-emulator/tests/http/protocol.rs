//! What is answered to whom: paths, versions, documents, lists, merging.

use aks_emulator::{ClusterSpec, PoolSpec, Settings, Switches};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{FAST, VERSION, fast, start, two_pools};

#[tokio::test]
async fn the_cluster_shows_its_pools_flat_and_where_it_is() {
    let spec = ClusterSpec {
        issuer_url: Some("https://issuer.example/1/".to_owned()),
        resource_uid: Some("uid-1".to_owned()),
        ..two_pools()
    };
    let local = start(Settings::default(), spec).await;
    let path = format!("{}?api-version={VERSION}", local.emulator.cluster_id());
    let answer = local.get(&path).await;
    assert_eq!(answer.status, 200);
    let properties = &answer.body["properties"];
    assert_eq!(properties["nodeResourceGroup"], "MC_local_local_westeurope");
    assert_eq!(properties["oidcIssuerProfile"]["issuerURL"], "https://issuer.example/1/");
    assert_eq!(properties["resourceUID"], "uid-1");
    assert_eq!(properties["currentKubernetesVersion"], "1.33.5");
    let pools = properties["agentPoolProfiles"].as_array().unwrap();
    let shown: Vec<_> = pools.iter().map(|pool| (pool["name"].as_str().unwrap(), pool["count"].as_u64())).collect();
    assert_eq!(shown, [("system", Some(3)), ("apps", Some(2))]);
    assert!(pools[0].get("properties").is_none());
    assert!(answer.header("retry-after").is_none());
}

#[tokio::test]
async fn fixed_segments_of_a_path_are_in_any_case() {
    let local = fast().await;
    let path = local.pool_path("APPS").replace("resourceGroups", "RESOURCEGROUPS").replace("agentPools", "agentpools");
    let answer = local.get(&path).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body["id"].as_str().unwrap().contains("/resourcegroups/"));
    assert_eq!(answer.body, local.emulator.pool("apps").unwrap());
}

#[tokio::test]
async fn a_list_is_paged_and_ends_with_an_empty_page() {
    let settings = Settings { page_size: 1, ..Settings::default() };
    let local = start(settings, two_pools()).await;
    let mut url = local.url(&format!("{}/agentPools?api-version={VERSION}", local.emulator.cluster_id()));
    let mut pages = Vec::new();
    loop {
        let answer = local.send(Method::GET, &url, None).await;
        assert_eq!(answer.status, 200);
        pages.push(answer.body["value"].as_array().unwrap().len());
        match answer.body["nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, [1, 1, 0]);
}

#[tokio::test]
async fn a_put_merges_and_a_collection_that_is_sent_replaces() {
    let local = fast().await;
    let sent = json!({"nodeLabels": {"a": "1", "b": "2"}, "nodeTaints": ["x=y:NoSchedule"], "mode": "user"});
    let answer = local.put_and_follow("apps", sent).await;
    assert_eq!((answer.status, answer.state()), (200, "Updating"));
    local.put_and_follow("apps", json!({"nodeLabels": {"b": "3"}, "count": null})).await;
    let pool = local.get_pool("apps").await.body;
    assert_eq!(pool["properties"]["nodeLabels"], json!({"b": "3"}));
    assert_eq!(pool["properties"]["nodeTaints"], json!(["x=y:NoSchedule"]));
    assert_eq!(pool["properties"]["count"], 2);
    let cleared = json!({"nodeLabels": {}, "nodeTaints": []});
    local.put_and_follow("apps", cleared).await;
    let pool = local.get_pool("apps").await.body;
    assert!(pool["properties"].get("nodeLabels").is_none());
    assert!(pool["properties"].get("nodeTaints").is_none());
}

#[tokio::test]
async fn an_autoscaled_pool_keeps_its_count_unless_the_switch_says_otherwise() {
    for (applies, expected) in [(false, 2), (true, 4)] {
        let settings = Settings {
            switches: Switches { count_applies_when_autoscaled: applies, ..Switches::default() },
            ..Settings::with_time_scale(FAST)
        };
        let pools = [PoolSpec::system("system", 1), PoolSpec::user("apps", 2).autoscaling(1, 5)];
        let local = start(settings, ClusterSpec::with_pools(pools)).await;
        local.put_and_follow("apps", json!({"count": 4, "maxCount": 9})).await;
        let pool = local.emulator.pool("apps").unwrap();
        assert_eq!(pool["properties"]["count"], expected);
        assert_eq!(pool["properties"]["maxCount"], 9);
        local.put_and_follow("apps", json!({"enableAutoScaling": false, "count": 3})).await;
        let pool = local.emulator.pool("apps").unwrap();
        assert_eq!(pool["properties"]["count"], 3);
        assert!(pool["properties"].get("minCount").is_none());
    }
}

#[tokio::test]
async fn a_stopped_pool_has_count_0_and_returns_to_its_count() {
    let local = fast().await;
    let stop = local.put_and_follow("apps", json!({"powerState": {"code": "Stopped"}})).await;
    assert_eq!((stop.state(), &stop.body["properties"]["count"]), ("Stopping", &json!(0)));
    let start = json!({"powerState": {"code": "Running"}, "count": 0});
    let start = local.put_and_follow("apps", start).await;
    assert_eq!((start.state(), &start.body["properties"]["count"]), ("Starting", &json!(2)));
}

#[tokio::test]
async fn a_version_that_runs_already_is_stored_and_nothing_more() {
    let local = fast().await;
    let path = ["properties", "orchestratorVersion"];
    let requested = |pool: Value| pool[path[0]][path[1]].clone();
    assert_eq!(requested(local.emulator.pool("apps").unwrap()), "1.33");
    let answer = local.put_and_follow("apps", json!({"orchestratorVersion": "1.33.5"})).await;
    assert_eq!(answer.state(), "Updating");
    assert_eq!(requested(local.emulator.pool("apps").unwrap()), "1.33.5");
}

#[tokio::test]
async fn etags_are_shown_and_checked_only_with_their_switch() {
    let local = fast().await;
    assert!(local.emulator.pool("apps").unwrap()["properties"].get("eTag").is_none());
    let settings =
        Settings { switches: Switches { etags: true, ..Switches::default() }, ..Settings::with_time_scale(FAST) };
    let local = start(settings, two_pools()).await;
    let url = local.url(&local.pool_path("apps"));
    let body = json!({"properties": {}});
    let send = |header: (&'static str, String)| {
        let (local, url, body) = (&local, &url, &body);
        async move {
            let headers = [(header.0, header.1.as_str())];
            local.send_with(Method::PUT, url, Some(body), &headers).await
        }
    };
    assert_eq!(send(("if-match", "other".to_owned())).await.status, 412);
    assert_eq!(send(("if-none-match", "*".to_owned())).await.status, 412);
    let both = [("if-match", "x"), ("if-none-match", "*")];
    let refused = local.send_with(Method::PUT, &url, Some(&body), &both).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    let refused = local.send_with(Method::DELETE, &url, None, &[("if-none-match", "x")]).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    let refused = local.send_with(Method::DELETE, &url, None, &[("if-match", "x")]).await;
    assert_eq!((refused.status, refused.code()), (412, "PreconditionFailed"));
    let absent = local.url(&local.pool_path("absent"));
    assert_eq!(local.send_with(Method::DELETE, &absent, None, &[("if-match", "x")]).await.status, 204);
    let before = local.pool_path("apps").replace(VERSION, "2024-08-01");
    assert!(local.get(&before).await.body["properties"].get("eTag").is_none());
    let accepted = local.send_with(Method::PUT, &local.url(&before), Some(&body), &[("if-match", "other")]).await;
    assert_eq!(accepted.status, 200);
    local.follow(&accepted).await;
    let tag = local.get_pool("apps").await.body["properties"]["eTag"].clone();
    let accepted = send(("if-match", tag.as_str().unwrap().to_owned())).await;
    assert_eq!(accepted.status, 200);
    local.follow(&accepted).await;
    assert_ne!(local.get_pool("apps").await.body["properties"]["eTag"], tag);
    let absent = local.url(&local.pool_path("absent"));
    let answer = local.send_with(Method::PUT, &absent, Some(&body), &[("if-match", "x")]).await;
    assert_eq!((answer.status, answer.code()), (412, "PreconditionFailed"));
}

#[tokio::test]
async fn pools_of_virtual_machines_show_neither_count_nor_size() {
    let local = fast().await;
    local.emulator.edit(|cluster| {
        cluster.pool_mut("apps").unwrap().set("type", "VirtualMachines");
    });
    let pool = local.get_pool("apps").await.body;
    assert!(pool["properties"].get("count").is_none());
    assert!(pool["properties"].get("vmSize").is_none());
}
