//! Starting and stopping the whole cluster.

use aks_emulator::{PoolSpec, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, FAST, Local, VERSION, fast, start, two_pools};

async fn post(local: &Local, action: &str) -> Answer {
    let path = format!("{}/{action}?api-version={VERSION}", local.emulator.cluster_id());
    local.send(Method::POST, &local.url(&path), None).await
}

async fn cluster(local: &Local) -> Value {
    local.get(&format!("{}?api-version={VERSION}", local.emulator.cluster_id())).await.body
}

async fn machines(local: &Local, pool: &str) -> usize {
    let list = local.get(&local.pool_path(&format!("{pool}/machines"))).await.body;
    list["value"].as_array().unwrap().len()
}

fn states(document: &Value) -> (&str, &str) {
    let properties = &document["properties"];
    (properties["provisioningState"].as_str().unwrap(), properties["powerState"]["code"].as_str().unwrap())
}

#[tokio::test]
async fn a_stopped_cluster_has_no_nodes_and_returns_with_its_counts() {
    let mut spec = two_pools();
    spec.pools.push(PoolSpec::user("asleep", 4));
    let local = start(Settings::with_time_scale(FAST), spec).await;
    local.put_and_follow("asleep", json!({"powerState": {"code": "Stopped"}})).await;

    let hold = local.emulator.cluster_operation().hold_before_nodes();
    let stop = post(&local, "stop").await;
    assert_eq!((stop.status, &stop.body), (202, &json!("")));
    assert!(stop.header("location").is_some() && stop.header("retry-after").is_none());
    hold.arrived().await;
    assert_eq!(states(&cluster(&local).await), ("Stopping", "Running"));
    assert_eq!(states(&local.get_pool("system").await.body), ("Stopping", "Stopped"));
    hold.release();
    assert_eq!(local.follow(&stop).await["status"], "Succeeded");
    assert_eq!(states(&cluster(&local).await), ("Succeeded", "Stopped"));
    for pool in ["system", "apps", "asleep"] {
        let document = local.get_pool(pool).await.body;
        assert_eq!((states(&document), &document["properties"]["count"]), (("Succeeded", "Stopped"), &json!(0)));
        assert_eq!(machines(&local, pool).await, 0);
    }

    let start = post(&local, "START").await;
    assert_eq!(local.follow(&start).await["status"], "Succeeded");
    assert_eq!(states(&cluster(&local).await), ("Succeeded", "Running"));
    for (pool, count, power) in [("system", 3, "Running"), ("apps", 2, "Running"), ("asleep", 0, "Stopped")] {
        let document = local.get_pool(pool).await.body;
        assert_eq!((states(&document), &document["properties"]["count"]), (("Succeeded", power), &json!(count)));
        assert_eq!(machines(&local, pool).await, count);
    }
    local.put_and_follow("asleep", json!({"powerState": {"code": "Running"}})).await;
    assert_eq!(machines(&local, "asleep").await, 4);
}

#[tokio::test]
async fn what_runs_on_the_cluster_and_on_pools_excludes_each_other() {
    let local = fast().await;
    let hold = local.emulator.operation("apps").hold();
    let scale = local.put("apps", json!({"count": 3})).await;
    let busy = post(&local, "stop").await;
    assert_eq!((busy.status, busy.code()), (409, "OperationNotAllowed"));
    let text = "Managed Cluster operation is not allowed: Another operation (Scaling) is in progress on agent pool (apps), please wait";
    assert!(busy.body["message"].as_str().unwrap().starts_with(text));
    hold.release();
    local.follow(&scale).await;

    let hold = local.emulator.cluster_operation().hold();
    let stop = post(&local, "stop").await;
    for busy in [
        post(&local, "stop").await,
        post(&local, "start").await,
        local.put("apps", json!({"count": 1})).await,
        local.put("new", json!({"count": 1, "mode": "User"})).await,
        local.delete("apps").await,
    ] {
        assert_eq!((busy.status, busy.code()), (409, "OperationNotAllowed"));
        let text = "Operation is not allowed: Another operation (Stopping) is in progress, please wait";
        assert!(busy.body["message"].as_str().unwrap().starts_with(text), "{busy:?}");
    }
    hold.release();
    local.follow(&stop).await;
}

#[tokio::test]
async fn the_wrong_state_is_refused_and_a_stopped_cluster_takes_no_pool_writes() {
    let local = fast().await;
    let refused = post(&local, "start").await;
    assert_eq!((refused.status, refused.code()), (409, "OperationNotAllowed"));
    let text =
        "managed cluster is in Provisioning State(Succeeded) and Power State(Running), starting cannot be performed";
    assert!(refused.body["message"].as_str().unwrap().starts_with(text));
    local.follow(&post(&local, "stop").await).await;
    let refused = post(&local, "stop").await;
    assert_eq!((refused.status, refused.code()), (409, "OperationNotAllowed"));
    let text =
        "managed cluster is not currently running, stopping cannot be performed; The stop operation started at '2";
    assert!(refused.body["message"].as_str().unwrap().starts_with(text));
    for refused in [local.put("apps", json!({"count": 1})).await, local.delete("apps").await] {
        assert_eq!((refused.status, refused.code()), (409, "OperationNotAllowed"));
    }
    let stop = format!("{}/stop?api-version={VERSION}", local.emulator.cluster_id());
    assert_eq!(local.get(&stop).await.status, 405);
}

#[tokio::test]
async fn after_a_failed_stop_or_start_the_cluster_can_be_started() {
    let local = fast().await;
    for action in ["stop", "start"] {
        let _failure = local.emulator.cluster_operation().fail("InternalError", "no", Some(1));
        let failed = post(&local, action).await;
        assert_eq!(local.follow(&failed).await["status"], "Failed");
        assert_eq!(cluster(&local).await["properties"]["provisioningState"], "Failed");
        if action == "stop" {
            local.follow(&post(&local, "stop").await).await;
        }
    }
    assert_eq!(local.follow(&post(&local, "start").await).await["status"], "Succeeded");
    assert_eq!(states(&cluster(&local).await), ("Succeeded", "Running"));
    assert_eq!((machines(&local, "system").await, machines(&local, "apps").await), (3, 2));
}
