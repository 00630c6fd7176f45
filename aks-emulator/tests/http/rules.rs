//! The handles for tests: journal, holds, faults, the back door, and what settings are refused.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{Canned, ClusterSpec, Emulator, Matcher, NoNodes, PoolSpec, Settings};
use serde_json::json;

use crate::support::{fast, two_pools};

#[tokio::test]
async fn the_journal_has_every_request_with_its_answer() {
    let local = fast().await;
    local.get_pool("apps").await;
    local.put_and_follow("apps", json!({"count": 3})).await;
    let journal = local.emulator.journal();
    assert_eq!(journal[0].sequence, 1);
    let writes = journal.by_user_agent("tests/1").writes();
    assert_eq!(writes.len(), 1);
    let put = &writes[0];
    assert_eq!((put.method.as_str(), put.resource_name(), put.status), ("PUT", "apps", Some(200)));
    assert_eq!(put.query, "api-version=2025-10-01");
    assert_eq!(put.request, Some(json!({"properties": {"count": 3}})));
    assert_eq!(put.response.as_ref().unwrap()["properties"]["provisioningState"], "Scaling");
    assert!(put.response_headers.contains_key("azure-asyncoperation"));
    assert!(journal.by_user_agent("someone").is_empty());
    assert!(journal.after(put.sequence).iter().all(|e| !e.is_write()));
}

#[tokio::test]
async fn a_held_request_is_not_handled_before_its_release() {
    let local = fast().await;
    let hold = local.emulator.hold(Matcher::put_pool("apps"));
    let put = local.put("apps", json!({"count": 3}));
    let watch = async {
        hold.arrived().await;
        assert_eq!(local.emulator.journal().writes()[0].status, None);
        assert_eq!(local.emulator.pool("apps").unwrap()["properties"]["count"], 2);
        assert_eq!(local.get_pool("apps").await.status, 200);
        hold.release();
    };
    let (put, ()) = tokio::join!(put, watch);
    assert_eq!(put.status, 200);
    assert_eq!(hold.count(), 1);
    local.emulator.idle().await;
    let free = local.put("apps", json!({"count": 4})).await;
    assert_eq!(free.status, 200);
}

#[tokio::test]
async fn a_held_write_is_made_although_its_client_went_away() {
    let local = fast().await;
    let hold = local.emulator.hold(Matcher::method("PUT"));
    let url = local.url(&local.pool_path("apps"));
    let lost = local
        .client
        .put(url)
        .json(&json!({"properties": {"count": 3}}))
        .timeout(Duration::from_millis(200))
        .send()
        .await;
    assert!(lost.is_err());
    assert!(hold.arrived_within(Duration::from_secs(5)).await);
    drop(hold);
    local.emulator.operation("apps").finished().await;
    while local.emulator.journal().writes()[0].status.is_none() {
        tokio::task::yield_now().await;
    }
    local.emulator.idle().await;
    assert_eq!(local.emulator.pool("apps").unwrap()["properties"]["count"], 3);
}

#[tokio::test]
async fn a_fault_answers_as_often_as_asked_and_changes_nothing() {
    let local = fast().await;
    let page = Canned::text(200, "text/html", "<html>sign in</html>");
    let fault = local.emulator.respond(Matcher::method("PUT"), page, Some(1));
    let answer = local.put("apps", json!({"count": 3})).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html")));
    assert_eq!(local.emulator.pool("apps").unwrap()["properties"]["count"], 2);
    assert_eq!(fault.count(), 1);
    local.put_and_follow("apps", json!({"count": 3})).await;

    let error = Canned::error(429, "Throttled", "please retry again").header("retry-after", "7");
    let fault = local.emulator.respond(Matcher::any().path_contains("/AGENTPOOLS/apps"), error, None);
    for _ in 0..2 {
        let answer = local.get_pool("apps").await;
        assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (429, "Throttled", Some("7")));
    }
    drop(fault);
    assert_eq!(local.get_pool("apps").await.status, 200);
}

#[tokio::test]
async fn the_back_door_changes_what_is_stored() {
    let local = fast().await;
    local.emulator.edit(|cluster| {
        cluster.set("oidcIssuerProfile", json!({"enabled": false}));
        cluster.pool_mut("apps").unwrap().set("mode", "ManagedSystem");
    });
    let pool = local.get_pool("apps").await;
    assert_eq!(pool.body["properties"]["mode"], "ManagedSystem");
    assert!(local.emulator.journal().writes().is_empty());
}

#[tokio::test]
async fn held_requests_do_not_keep_it_from_stopping() {
    let local = fast().await;
    let _hold = local.emulator.hold(Matcher::any());
    let stop = async {
        while local.emulator.journal().is_empty() {
            tokio::task::yield_now().await;
        }
        local.emulator.stop().await;
    };
    let (answer, ()) = tokio::join!(local.get_pool("apps"), stop);
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_name() {
    let apps = || ClusterSpec::with_pools([PoolSpec::system("system", 1)]);
    let named = |pool: PoolSpec| ClusterSpec::with_pools([pool]);
    for (settings, cluster, expected) in [
        (Settings::with_time_scale(0.0), two_pools(), "time_scale is 0"),
        (Settings::with_time_scale(f64::NAN), two_pools(), "time_scale is NaN"),
        (Settings { request_budgets: Some(0.0), ..Settings::default() }, two_pools(), "request_budgets is 0"),
        (Settings { page_size: 0, ..Settings::default() }, two_pools(), "page_size is 0"),
        (Settings::default(), ClusterSpec { name: "a/b".to_owned(), ..apps() }, "name is \"a/b\""),
        (
            Settings::default(),
            ClusterSpec { kubernetes_version: "new".to_owned(), ..apps() },
            "kubernetesVersion is \"new\"",
        ),
        (Settings::default(), ClusterSpec::default(), "pools is empty"),
        (Settings::default(), named(PoolSpec::system("Bad", 1)), "pools[0].name is Bad"),
        (Settings::default(), named(PoolSpec::system("s", 0)), "count was 0"),
    ] {
        let error = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
