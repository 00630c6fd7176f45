//! Random faults: the same for the same seed and sequence, and a client that tries again gets through.

use aks_emulator::{Chaos, Settings};
use reqwest::Method;
use serde_json::json;

use crate::support::{FAST, Local, VERSION, fast, start, two_pools};

async fn outcomes(seed: u64) -> Vec<Option<u16>> {
    let settings = Settings { chaos: Some(Chaos { seed, rate: 0.4 }), ..Settings::with_time_scale(FAST) };
    let local = start(settings, two_pools()).await;
    let mut outcomes = Vec::new();
    for _ in 0..60 {
        outcomes.push(status(&local).await);
    }
    outcomes
}

/// `None` for a connection that was closed.
async fn status(local: &Local) -> Option<u16> {
    // Not kept, because the client would by itself repeat what was lost on a kept one.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let url = format!("{}/agentPools?api-version={VERSION}", local.emulator.cluster_id());
    client.get(local.url(&url)).send().await.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_to_the_same_requests() {
    let (first, again, other) = tokio::join!(outcomes(3), outcomes(3), outcomes(4));
    assert_eq!(first, again);
    assert_ne!(first, other);
    for expected in [Some(200), Some(429), Some(500), Some(502), Some(504), None] {
        assert!(first.contains(&expected) || other.contains(&expected), "{expected:?} in {first:?} {other:?}");
    }
}

#[tokio::test]
async fn the_presets_of_faults_answer_as_the_service() {
    let local = fast().await;
    let url = local.url("/admin/faults");
    for (action, status, code, cause) in [
        (json!({"throttle": {"retryAfterSeconds": 7}}), 429, "Throttled", None),
        (json!("internalError"), 500, "InternalOperationError", Some("service")),
        (json!("badGateway"), 502, "BadGatewayConnection", Some("service")),
        (json!("gatewayTimeout"), 504, "GatewayTimeout", Some("service")),
    ] {
        local.send(Method::POST, &url, Some(&json!({"times": 1, "action": action}))).await;
        let answer = local.get_pool("apps").await;
        assert_eq!((answer.status, answer.code(), answer.header("x-ms-failure-cause")), (status, code, cause));
        assert_eq!(answer.header("retry-after"), (status == 429).then_some("7"));
    }
    assert_eq!(local.get_pool("apps").await.status, 200);
}
