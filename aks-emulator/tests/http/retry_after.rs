//! `Retry-After`: absent as recorded, or as the settings have it.

use aks_emulator::Settings;
use reqwest::Method;
use serde_json::json;

use crate::support::{FAST, start, two_pools};

#[tokio::test]
async fn operations_say_when_to_look_again_only_where_asked() {
    for (retry_after, expected) in [(None, None), (Some(1), Some("1"))] {
        let settings = Settings { retry_after, ..Settings::with_time_scale(FAST) };
        let local = start(settings, two_pools()).await;
        let held = local.emulator.operation("apps").hold();
        let put = local.put("apps", json!({"count": 3})).await;
        assert_eq!(put.header("retry-after"), expected);
        let status = put.header("azure-asyncoperation").unwrap().to_owned();
        assert_eq!(local.send(Method::GET, &status, None).await.header("retry-after"), expected);
        held.release();
        local.follow(&put).await;
        assert_eq!(local.send(Method::GET, &status, None).await.header("retry-after"), None);
        assert_eq!(local.get_pool("apps").await.header("retry-after"), None);
    }
}
