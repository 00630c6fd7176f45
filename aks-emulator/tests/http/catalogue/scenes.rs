//! Scenes that provoke an error, each on an emulator of its own.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{Action, ClusterSpec, Matcher, OperationFailure, PoolSpec, RequestFailure, Settings, Switches};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::staged::Staged;
use crate::support::{Answer, FAST, Local, VERSION, fast, start, start_on, two_pools};

/// Plays a scene, a name and perhaps an argument, to the answer that it is about.
pub async fn play(scene: &str) -> Answer {
    match scene.split_once(' ').unwrap_or((scene, "")) {
        ("fail", failure) => fail(failure).await,
        ("refuse-put", failure) => refuse(failure, "apps").await,
        ("refuse-cluster", failure) => refuse(failure, "cluster").await,
        ("refuse-operation", failure) => refuse(failure, "operation").await,
        ("delete-last-pool" | "delete-last-system-pool" | "pool-being-deleted" | "preempted-by-delete", _) => {
            deletion(scene).await
        }
        ("pool-busy" | "cluster-busy" | "pool-blocks-cluster", _) => busy(scene).await,
        ("start-running-cluster" | "stop-stopped-cluster", _) => power(scene).await,
        ("if-match-on-absent-pool" | "if-match-of-another" | "if-none-match-on-pool" | "both-preconditions", _) => {
            precondition(scene).await
        }
        ("vm-size-not-offered" | "vcpu-quota" | "too-many-pools" | "too-many-nodes", _) => room(scene).await,
        ("nodes-not-ready" | "drain-fails", _) => nodes(scene).await,
        ("absent-pool" | "absent-cluster" | "absent-parent" | "absent-group", _) => absent(scene).await,
        ("request-budget", _) => budget().await,
        _ => panic!("no scene is named {scene}"),
    }
}

/// The end of an accepted operation as an answer.
async fn ended(local: &Local, accepted: &Answer) -> Answer {
    assert!(accepted.status < 300, "{accepted:?}");
    let operation = local.follow(accepted).await;
    let pool = local.get_pool("apps").await;
    let mut body = json!({"operation": operation});
    if pool.status == 200 {
        body["pool"] = pool.body;
    }
    Answer { status: 200, headers: HeaderMap::new(), body }
}

async fn fail(failure: &str) -> Answer {
    let local = fast().await;
    let failure: OperationFailure = serde_json::from_value(json!(failure)).unwrap();
    let _fault = local.emulator.operation("apps").fail_as(failure, Some(1));
    let accepted = local.put("apps", json!({"count": 4})).await;
    ended(&local, &accepted).await
}

async fn refuse(failure: &str, what: &str) -> Answer {
    let local = fast().await;
    let failure: RequestFailure = serde_json::from_value(json!(failure)).unwrap();
    let part = if what == "operation" { "/operations/" } else { "" };
    let accepted = local.put("apps", json!({})).await;
    local.follow(&accepted).await;
    let _fault = local.emulator.fault(Matcher::any().path_contains(part), Action::Refuse(failure), Some(1));
    let refused = match what {
        "operation" => {
            let url = accepted.header("azure-asyncoperation").unwrap();
            local.send(Method::GET, url, None).await
        }
        "cluster" => local.get(&format!("{}?api-version={VERSION}", local.emulator.cluster_id())).await,
        pool => local.put(pool, json!({"count": 4})).await,
    };
    assert_eq!(local.emulator.pool("apps").unwrap()["properties"]["count"], 2);
    refused
}

async fn deletion(scene: &str) -> Answer {
    let local = fast().await;
    let before = local.emulator.operation("apps").hold_before_nodes();
    match scene {
        "delete-last-system-pool" => local.delete("system").await,
        "delete-last-pool" => {
            before.release();
            local.follow(&local.delete("apps").await).await;
            local.delete("system").await
        }
        "pool-being-deleted" => {
            local.delete("apps").await;
            local.put("apps", json!({"count": 3})).await
        }
        _ => {
            let scale = local.put("apps", json!({"count": 3})).await;
            let deletion = local.delete("apps").await;
            before.release();
            local.follow(&deletion).await;
            ended(&local, &scale).await
        }
    }
}

async fn busy(scene: &str) -> Answer {
    let local = fast().await;
    let _hold = local.emulator.operation("apps").hold();
    if scene == "cluster-busy" {
        local.emulator.edit(|cluster| cluster.set("provisioningState", "Updating"));
        return local.put("apps", json!({"count": 3})).await;
    }
    assert_eq!(local.put("apps", json!({"count": 3})).await.status, 200);
    if scene == "pool-busy" {
        return local.put("apps", json!({"count": 4})).await;
    }
    post(&local, "stop").await
}

async fn post(local: &Local, action: &str) -> Answer {
    let path = format!("{}/{action}?api-version={VERSION}", local.emulator.cluster_id());
    local.send(Method::POST, &local.url(&path), None).await
}

async fn power(scene: &str) -> Answer {
    let local = fast().await;
    if scene == "start-running-cluster" {
        return post(&local, "start").await;
    }
    local.follow(&post(&local, "stop").await).await;
    post(&local, "stop").await
}

async fn precondition(scene: &str) -> Answer {
    let switches = Switches { etags: true, ..Switches::default() };
    let local = start(Settings { switches, ..Settings::with_time_scale(FAST) }, two_pools()).await;
    let (pool, headers): (&str, &[(&str, &str)]) = match scene {
        "if-match-on-absent-pool" => ("new", &[("if-match", "x")]),
        "if-match-of-another" => ("apps", &[("if-match", "x")]),
        "if-none-match-on-pool" => ("apps", &[("if-none-match", "*")]),
        _ => ("apps", &[("if-match", "x"), ("if-none-match", "*")]),
    };
    let body = json!({"properties": {"count": 3}});
    local.send_with(Method::PUT, &local.url(&local.pool_path(pool)), Some(&body), headers).await
}

async fn room(scene: &str) -> Answer {
    let spec = ClusterSpec {
        // Of 20 that the pools have.
        vcpu_quota: (scene == "vcpu-quota").then_some(22),
        vm_sizes: Some(vec!["standard_d4ds_v5".to_owned()]),
        ..two_pools()
    };
    let local = start(Settings::with_time_scale(FAST), spec).await;
    let (pool, properties): (&str, Value) = match scene {
        "vm-size-not-offered" => ("new", json!({"count": 1, "vmSize": "Standard_D8ds_v5"})),
        "vcpu-quota" => ("apps", json!({"count": 3})),
        "too-many-pools" => {
            local.emulator.edit(|cluster| cluster.set("maxAgentPools", 2));
            ("new", json!({"count": 1}))
        }
        _ => {
            local.emulator.edit(|cluster| cluster.pool_mut("system").unwrap().set("count", 4990));
            ("apps", json!({"count": 20}))
        }
    };
    local.put(pool, properties).await
}

async fn nodes(scene: &str) -> Answer {
    let staged = Arc::new(Staged::default());
    let settings = Settings { ready_timeout: Some(Duration::from_millis(200)), ..Settings::with_time_scale(FAST) };
    let local = start_on(settings, two_pools(), staged.clone()).await;
    if scene == "drain-fails" {
        staged.keep_pods();
        let deletion = local.delete("apps").await;
        return ended(&local, &deletion).await;
    }
    staged.ready(false);
    let update = local.put("apps", json!({"nodeLabels": {"a": "b"}})).await;
    ended(&local, &update).await
}

async fn absent(scene: &str) -> Answer {
    let local = fast().await;
    let id = local.emulator.cluster_id().to_owned();
    let other = id.replace("managedClusters/local", "managedClusters/other");
    match scene {
        "absent-pool" => local.get_pool("ap2").await,
        "absent-cluster" => local.get(&format!("{other}?api-version={VERSION}")).await,
        "absent-group" => {
            let group = id.replace("resourceGroups/local", "resourceGroups/other");
            local.get(&format!("{group}?api-version={VERSION}")).await
        }
        _ => {
            let url = local.url(&format!("{other}/agentPools/apps?api-version={VERSION}"));
            local.send(Method::DELETE, &url, None).await
        }
    }
}

async fn budget() -> Answer {
    let settings = Settings { request_budgets: Some(0.001), ..Settings::default() };
    let local = start(settings, ClusterSpec::with_pools([PoolSpec::system("apps", 1)])).await;
    for _ in 0..20 {
        assert_eq!(local.put("apps", json!({"count": -1})).await.status, 400);
    }
    local.put("apps", json!({"count": 2})).await
}
