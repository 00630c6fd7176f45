//! What the Azure CLI sends and others do not.

use serde_json::json;

use crate::support::fast;

#[tokio::test]
async fn an_empty_machine_size_leaves_the_choice_to_the_service() {
    let local = fast().await;
    local.put_and_follow("burst", json!({"count": 1, "mode": "User", "vmSize": ""})).await;
    let size = local.get_pool("burst").await.body["properties"]["vmSize"].clone();
    assert_eq!(size, "Standard_D4ds_v5");
}
