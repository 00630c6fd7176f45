//! What clients may do that show no access token, and the account of what identities have done with their roles.

use aks_emulator::{Authentication, ClusterSpec, Identity, Role, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{FAST, Local, start, two_pools};

const TOOL: &str = "AAAAAAAA-5555-6666-7777-888888888888";
const POOLS: &str = "Microsoft.ContainerService/managedClusters/agentPools";

/// Clients that are called so may read and write pools.
async fn with_a_tool() -> Local {
    let tool = Identity::new(TOOL).user_agent("tests/").actions(&[
        "Microsoft.ContainerService/managedClusters/read",
        &format!("{POOLS}/write"),
        &format!("{POOLS}/deleteMachines/action"),
    ]);
    let settings = Settings::with_time_scale(FAST);
    assert_eq!(settings.authentication, Authentication::Off);
    start(settings, ClusterSpec { identities: vec![Identity::local(), tool], ..two_pools() }).await
}

async fn account(local: &Local) -> Value {
    let told = local.send(Method::GET, &local.url("/admin/permissions"), None).await;
    assert_eq!(told.status, 200, "{told:?}");
    // After the built-in identity, in the order of the client ids.
    told.body.pointer("/value/1").cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_client_without_a_token_is_held_to_the_role_of_its_user_agent() {
    let local = with_a_tool().await;
    let pool = local.url(&local.pool_path("apps"));
    let scale = json!({"properties": {"count": 3}});
    assert_eq!(local.send(Method::PUT, &pool, Some(&scale)).await.status, 200);
    let refused = local.send(Method::GET, &pool, None).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"), "{refused:?}");
    let others = [("user-agent", "by-hand")];
    assert_eq!(local.send_with(Method::GET, &pool, None, &others).await.status, 200, "others may do everything");

    let scope = format!("{}/agentPools/apps", local.emulator.cluster_id());
    let account = account(&local).await;
    assert_eq!(account["used"], json!([format!("{POOLS}/write")]));
    assert_eq!(account["denied"], json!([{"action": format!("{POOLS}/read"), "scope": scope}]));
    let unused =
        ["Microsoft.ContainerService/managedClusters/read".to_owned(), format!("{POOLS}/deleteMachines/action")];
    assert_eq!(account["unused"], json!(unused));
    let [_, told] = local.emulator.permissions().try_into().unwrap();
    assert_eq!(json!(told), account, "the library tells the same");
}

#[tokio::test]
async fn other_actions_count_at_once() {
    let local = with_a_tool().await;
    let pool = local.url(&local.pool_path("apps"));
    let grant = |client: &str| local.url(&format!("/admin/permissions/{client}"));
    let all_but_reads = json!({"actions": ["*"], "notActions": ["*/READ"]});
    for (client, status) in [("no-such-client", 400), (TOOL, 204)] {
        let answer = local.send(Method::PUT, &grant(client), Some(&all_but_reads)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(local.send(Method::GET, &pool, None).await.status, 403);
    assert_eq!(local.send(Method::DELETE, &pool, None).await.status, 202);
    let reads = Role { name: "n".to_owned(), actions: vec!["*/read".to_owned()], not_actions: Vec::new() };
    assert!(local.emulator.grant(TOOL, &reads) && !local.emulator.grant("no-such-client", &reads));
    assert_ne!(local.send(Method::GET, &pool, None).await.status, 403);
}

#[tokio::test]
async fn a_description_names_its_role_by_a_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    let identity = format!("{{clientId: {TOOL}, role: role.json, userAgent: tests/}}");
    std::fs::write(&file, format!("identities: [{identity}]\npools: [{{name: system, mode: System, count: 1}}]\n"))
        .unwrap();
    let error = ClusterSpec::read(&file).unwrap_err().to_string();
    assert!(error.contains("cannot read the role definition") && error.contains("role.json"), "{error}");

    let role = folder.path().join("role.json");
    std::fs::write(&role, r#"{"Name": "n", "Actions": ["*/reed"], "AssignableScopes": ["/subscriptions/S"]}"#).unwrap();
    let error = ClusterSpec::read(&file).unwrap_err().to_string();
    assert!(error.contains("role.json: Actions[0] is \"*/reed\": give PROVIDER/TYPE/VERB"), "{error}");

    std::fs::write(&role, r#"{"Name": "n", "Actions": ["*/read"], "AssignableScopes": ["/subscriptions/S"]}"#).unwrap();
    let local = start(Settings::with_time_scale(FAST), ClusterSpec::read(&file).unwrap()).await;
    assert_eq!(local.send(Method::GET, &local.url(&local.pool_path("system")), None).await.status, 200);
    assert_eq!(local.send(Method::DELETE, &local.url(&local.pool_path("system")), None).await.status, 403);
}
