//! Refusals beyond the catalogue's: of the gateway, of bodies, and rules that no table has.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Local, VERSION, fast};

#[tokio::test]
async fn the_gateway_wraps_its_errors_and_says_so() {
    let local = fast().await;
    let id = local.emulator.cluster_id().to_owned();
    let supported = "is required for all requests";
    for (path, status, code, text) in [
        (id.clone(), 400, "MissingApiVersionParameter", supported.to_owned()),
        (
            format!("{id}?api-version=2023-01-02-preview"),
            400,
            "NoRegisteredProviderFound",
            "No registered resource provider found for location 'westeurope' and API version '2023-01-02-preview' for type 'managedClusters'. The supported api-versions are '2017-08-31, 2018-03-31, 2019-02-01".to_owned(),
        ),
        (
            format!("{id}/agentPools/apps?api-version=1"),
            400,
            "NoRegisteredProviderFound",
            "for type 'managedClusters/agentPools'".to_owned(),
        ),
        (
            format!("{}?api-version={VERSION}", id.replace("managedClusters/local", "managedClusters/other")),
            404,
            "ResourceNotFound",
            "The Resource 'Microsoft.ContainerService/managedClusters/other' under resource group 'local' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix".to_owned(),
        ),
        (
            format!("{}?api-version={VERSION}", id.replace("resourceGroups/local", "resourceGroups/other")),
            404,
            "ResourceGroupNotFound",
            "Resource group 'other' could not be found.".to_owned(),
        ),
        (
            format!("/subscriptions/other/resourceGroups/local/providers/Microsoft.ContainerService/managedClusters/local?api-version={VERSION}"),
            404,
            "SubscriptionNotFound",
            "other".to_owned(),
        ),
        (format!("{id}/unknown?api-version={VERSION}"), 404, "InvalidResourceType", String::new()),
        ("/".to_owned(), 404, "InvalidResourceType", String::new()),
    ] {
        let answer = local.get(&path).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&text), "{path}: {message}");
        assert_eq!(answer.header("x-ms-failure-cause"), Some("gateway"));
    }
    let absent = local.pool_path("p").replace("managedClusters/local", "managedClusters/other");
    let url = local.url(&absent);
    let answer = local.send(Method::DELETE, &url, None).await;
    assert_eq!(answer.code(), "ParentResourceNotFound");
    let answer = local.send(Method::PATCH, &local.url(&local.pool_path("apps")), None).await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn bodies_that_are_no_pool_are_refused() {
    let local = fast().await;
    let url = local.url(&local.pool_path("apps"));
    for body in ["", "{", "[]", "\"text\"", "{\"properties\": 7}", "\u{0}"] {
        let request = local.client.put(&url).body(body).send().await.unwrap();
        assert_eq!(request.status(), 400, "{body:?}");
        let answer: Value = request.json().await.unwrap();
        assert_eq!(answer["error"]["code"], "InvalidRequestContent", "{body:?}");
    }
    assert_eq!(local.put("apps", json!({"count": "3"})).await.status, 400);
    assert_eq!(local.put("apps", json!({"count": 1.5})).await.status, 400);
}

#[tokio::test]
async fn an_absent_pool_is_the_providers_404() {
    let local = fast().await;
    let answer = local.get_pool("ap2").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-ms-failure-cause"), None);
    assert_eq!(answer.body["subcode"], "GetAgentPool_NotFound_HCPServerError");
    assert_eq!(local.delete("ap2").await.status, 204);
}

/// A refusal of the provider: what is put on which pool, and what is answered.
#[derive(Deserialize)]
struct Row {
    pool: String,
    put: Value,
    code: String,
    /// A part of the message.
    text: String,
    target: Value,
}

#[tokio::test]
async fn rules_of_the_provider_are_400_and_change_nothing() {
    let local = fast().await;
    let before = pools(&local);
    let rows: Vec<Row> = serde_json::from_str(include_str!("refusals.json")).unwrap();
    for row in rows {
        let case = format!("{} {}", row.pool, row.put);
        let answer = local.put(&row.pool, row.put).await;
        assert_eq!((answer.status, answer.code()), (400, row.code.as_str()), "{case}");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains(&row.text), "{case}: {message}");
        assert_eq!(answer.body["target"], row.target, "{case}");
        assert_eq!(answer.body["details"], Value::Null);
        assert_eq!(answer.body["subcode"], "");
        assert_eq!(answer.header("x-ms-failure-cause"), None);
        assert_eq!(answer.header("azure-asyncoperation"), None);
    }
    assert_eq!(pools(&local), before);
}

#[tokio::test]
async fn what_is_allowed_on_system_pools_is_accepted() {
    let local = fast().await;
    let taints = json!(["CriticalAddonsOnly=true:NoSchedule", "a=b:PreferNoSchedule"]);
    local.put_and_follow("system", json!({"nodeTaints": taints})).await;
    local.put_and_follow("apps", json!({"mode": "System"})).await;
    local.put_and_follow("system", json!({"mode": "User", "count": 0})).await;
}

fn pools(local: &Local) -> Vec<Option<Value>> {
    ["system", "apps", "new"].map(|pool| local.emulator.pool(pool)).to_vec()
}
