//! The manual clock: nothing moves but by it, and what is due happens at its own time.

use std::time::Duration;

use aks_emulator::Settings;
use reqwest::Method;
use serde_json::json;

use crate::support::{fast, start, two_pools};

fn manual() -> Settings {
    Settings { manual_clock: true, ..Settings::default() }
}

#[tokio::test]
async fn a_create_of_207_seconds_ends_exactly_when_the_clock_passes_it() {
    let local = start(manual(), two_pools()).await;
    let clock = local.emulator.clock().unwrap();
    let started = clock.now();
    let put = local.put("new", json!({"count": 2, "mode": "User"})).await;
    let url = put.header("azure-asyncoperation").unwrap();
    let status = || async { local.send(Method::GET, url, None).await.body };
    assert!(clock.advance(Duration::from_millis(206_999)).await);
    assert_eq!(local.get_pool("new").await.state(), "Creating");
    assert_eq!(status().await["status"], "CreatingAgentPool: 2/2 nodes completed");
    assert!(clock.advance(Duration::from_hours(1)).await);
    let ended = status().await;
    assert_eq!(ended["status"], "Succeeded");
    let time = |name: &str| ended[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("endTime").duration_since(time("startTime")).as_secs(), 207);
    assert_eq!(clock.now().duration_since(started).as_millis(), 206_999 + 3_600_000);
}

#[tokio::test]
async fn without_the_clock_nothing_moves_and_each_next_is_one_step() {
    let local = start(manual(), two_pools()).await;
    let clock = local.emulator.clock().unwrap();
    assert_eq!(clock.advance_to_next().await, None);
    local.put("apps", json!({"count": 3})).await;
    local.put("system", json!({"tags": {"a": "b"}})).await;
    let mut steps = Vec::new();
    while let Some(step) = clock.advance_to_next().await {
        steps.push(step.as_secs());
    }
    // Of 8 s for the update and 188 s for the scale, each with its nodes in the middle.
    assert_eq!(steps, [4, 4, 86, 94]);
    assert_eq!(local.get_pool("apps").await.state(), "Succeeded");
}

#[tokio::test]
async fn a_held_operation_does_not_keep_the_clock_waiting() {
    let local = start(manual(), two_pools()).await;
    let clock = local.emulator.clock().unwrap();
    let hold = local.emulator.operation("apps").hold();
    local.put("apps", json!({})).await;
    assert!(clock.advance(Duration::from_mins(10)).await);
    assert_eq!((hold.count(), local.get_pool("apps").await.state()), (1, "Updating"));
    hold.release();
    local.emulator.idle().await;
}

#[tokio::test]
async fn request_budgets_fill_with_the_clock() {
    let settings = Settings { request_budgets: Some(1.0), ..manual() };
    let local = start(settings, two_pools()).await;
    for _ in 0..20 {
        assert_eq!(local.put("apps", json!({"count": -1})).await.status, 400);
    }
    let throttled = local.put("apps", json!({"count": -1})).await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, Some("60")));
    local.emulator.clock().unwrap().advance(Duration::from_mins(1)).await;
    assert_eq!(local.put("apps", json!({"count": -1})).await.status, 400);
    assert_eq!(local.put("apps", json!({"count": -1})).await.status, 429);
}

#[tokio::test]
async fn a_restart_goes_on_at_the_time_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { state_file: Some(folder.path().join("state.json")), ..manual() };
    let local = start(settings.clone(), two_pools()).await;
    local.put("apps", json!({"count": 3})).await;
    local.emulator.clock().unwrap().advance(Duration::from_secs(187)).await;
    let stopped = local.emulator.clock().unwrap().now();
    local.emulator.stop().await;

    let local = start(settings, two_pools()).await;
    let clock = local.emulator.clock().unwrap();
    assert_eq!(clock.now(), stopped);
    assert_eq!(local.get_pool("apps").await.state(), "Scaling");
    clock.advance(Duration::from_secs(1)).await;
    assert_eq!(local.get_pool("apps").await.state(), "Succeeded");
}

#[tokio::test]
async fn the_admin_api_moves_the_clock_and_says_what_is_wrong() {
    let local = start(manual(), two_pools()).await;
    let url = local.url("/admin/clock");
    let advance = async |body| local.send(Method::POST, &url, Some(&body)).await;
    local.put("apps", json!({})).await;
    let moved = advance(json!({"advanceSeconds": 3.5})).await;
    assert_eq!((moved.status, &moved.body["advancedSeconds"]), (200, &json!(3.5)));
    let next = advance(json!({})).await.body;
    assert_eq!((&next["advancedSeconds"], &next["settled"]), (&json!(0.5), &json!(true)));
    let shown = local.send(Method::GET, &url, None).await.body;
    assert_eq!((&shown["manual"], &shown["now"]), (&json!(true), &next["now"]));
    for (body, expected) in [
        (json!({"advanceSeconds": -1}), "advanceSeconds is -1"),
        (json!({"advanceSeconds": 1e300}), "not a number from 0"),
        (json!({"seconds": 1}), "unknown field"),
    ] {
        let refused = advance(body).await;
        let message = refused.body["error"]["message"].as_str().unwrap();
        assert!(refused.status == 400 && message.contains(expected), "{refused:?}");
    }
    let real = fast().await;
    let refused = real.send(Method::POST, &real.url("/admin/clock"), Some(&json!({"advanceSeconds": 1}))).await;
    assert_eq!((refused.status, refused.code()), (409, "RealTime"));
    assert!(real.emulator.clock().is_none());
}
