//! Answers that arrive whole and are not what ARM sends: each is told for what it is, and nothing is guessed.

use nodepool_kernel::{AgentPool, Mode, Os, PoolKind, Power};
use nodepool_operator::arm::ArmError;
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::support::{CLUSTER, ID, client, errors, managed_cluster, pool, tells};

const PAGE: &str = "<!DOCTYPE html>\n<html><title>Sign in to the proxy</title></html>";

/// An answer with the usual headers and the id of [`ID`].
fn reply(status: &str, sort: &str, body: impl AsRef<[u8]>) -> Reply {
    let headers = [format!("content-type: {sort}"), format!("x-ms-correlation-request-id: {ID}")];
    Reply::whole(status, &[&headers[0], &headers[1]], body)
}

fn json_reply(body: &Value) -> Reply {
    reply("200 OK", "application/json", body.to_string())
}

#[tokio::test]
async fn an_answer_of_success_that_is_no_document_is_malformed() {
    let gzip = Reply::whole(
        "200 OK",
        &["content-type: application/json", "content-encoding: gzip", &format!("x-ms-request-id: {ID}")],
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0],
    );
    for (name, reply, detail) in [
        ("text", reply("200 OK", "application/json", "hello"), "it is not JSON"),
        ("no JSON to its end", reply("200 OK", "application/json", r#"{"name": "apps", "properties": {"#), "not JSON"),
        ("a page", reply("200 OK", "text/html", PAGE), "text/html"),
        ("no text", reply("200 OK", "application/json", [0xff, 0xfe, 0x00]), "it is not JSON"),
        ("nested without end", reply("200 OK", "application/json", "[".repeat(100_000)), "it is not JSON"),
        ("nothing", reply("200 OK", "application/json", ""), "it is empty (status 200)"),
        ("no content", Reply::whole("204 No Content", &[&format!("x-ms-request-id: {ID}")], ""), "it is empty"),
        ("gzip", gzip, "it is encoded as gzip"),
        (
            "too large",
            reply("200 OK", "application/json", format!("\"{}\"", "x".repeat(10 << 20))),
            "larger than 8 MiB",
        ),
        ("without properties", json_reply(&json!({"name": "apps"})), "properties is missing"),
        ("properties are no object", json_reply(&json!({"name": "apps", "properties": 5})), "properties is missing"),
    ] {
        let server = Server::start(reply).await;
        for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
            let said = tells(what, server.endpoint(), &error);
            assert!(matches!(error, ArmError::Malformed { .. }), "{name}: {said}");
            assert!(said.contains(detail) && said.contains("--arm-endpoint"), "{name}: {said}");
            assert_eq!(error.correlation(), Some(ID), "{name}: {said}");
            assert!(error.outcome_unknown(), "{name}: {said}");
        }
        let writes = server.requests().iter().filter(|request| request.starts_with("PUT")).count();
        assert_eq!((writes, server.requests().len()), (1, 3), "{name}: nothing is asked twice");
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let reply = Reply::cut("200 OK", &["content-type: application/json"], "").then_goes_on();
    let server = Server::start(reply).await;
    for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
        let said = tells(what, server.endpoint(), &error);
        assert!(matches!(error, ArmError::Malformed { .. }) && said.contains("larger than 8 MiB"), "{said}");
    }
}

#[tokio::test]
async fn a_document_about_something_else_is_malformed() {
    let mut other = managed_cluster();
    other["id"] = json!(CLUSTER.replace("/c", "/d"));
    other["name"] = json!("batch");
    let server = Server::start(json_reply(&other)).await;
    for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
        let said = tells(what, server.endpoint(), &error);
        let named = if what == "the cluster" { "managedClusters/d" } else { "pool batch" };
        assert!(matches!(error, ArmError::Malformed { .. }) && said.contains(named), "{said}");
    }
}

#[tokio::test]
async fn an_error_answer_that_is_no_error_of_arm_is_told_by_its_status() {
    let long = format!("{PAGE}{}", "x".repeat(100_000));
    for (name, status, sort, body, detail, unknown) in [
        ("a page", "502 Bad Gateway", "text/html", long.as_str(), "text/html: <!DOCTYPE html>", true),
        ("nothing", "503 Service Unavailable", "text/plain", "", "an empty body", true),
        ("a page that refuses", "403 Forbidden", "text/html", PAGE, "Sign in to the proxy", false),
        ("a page of a 404", "404 Not Found", "text/html", PAGE, "text/html", false),
        ("no code", "500 Oops", "application/json", r#"{"error": "broken"}"#, r#"{"error": "broken"}"#, true),
        ("a number as code", "400 Bad Request", "application/json", r#"{"code": 7, "message": "m"}"#, "7", false),
        (
            "a sentence as code",
            "400 Bad Request",
            "application/json",
            r#"{"code": "a b", "message": "m"}"#,
            "a b",
            false,
        ),
        ("no JSON", "409 Conflict", "application/json", "{", "application/json: {", false),
        ("the server gave up", "408 Request Timeout", "text/plain", "late", "late", true),
    ] {
        let server = Server::start(reply(status, sort, body)).await;
        for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
            let said = tells(what, server.endpoint(), &error);
            assert!(said.starts_with(&format!("HTTP {}: ", &status[..3])), "{name}: {said}");
            assert!(said.contains("no error of Azure Resource Manager") && said.contains(detail), "{name}: {said}");
            assert_eq!(error.status().map(|status| status.to_string()).as_deref(), status.get(..3), "{name}");
            assert_eq!((error.correlation(), error.outcome_unknown()), (Some(ID), unknown), "{name}: {said}");
        }
        let writes = server.requests().iter().filter(|request| request.starts_with("PUT")).count();
        assert_eq!(writes, 1, "{name}: a write goes once");
    }
}

#[tokio::test]
async fn a_message_without_end_is_cut() {
    let body = json!({"error": {"code": "Verbose", "message": format!("first\nsecond {}", "x".repeat(1 << 20))}});
    let server = Server::start(reply("400 Bad Request", "application/json", body.to_string())).await;
    let error = client(server.endpoint(), CLUSTER).cluster().await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("Azure answered 400 Verbose: first second xxx") && said.ends_with('…'), "{said}");
    assert!(said.chars().count() < 2100, "{}", said.len());
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let elsewhere = Server::start(json_reply(&pool("apps"))).await;
    let target = format!("{}stolen?secret=signature", elsewhere.endpoint());
    for (status, unknown) in [(301, false), (302, false), (303, true), (304, true), (307, false), (308, false)] {
        let headers = [format!("location: {target}"), format!("x-ms-request-id: {ID}")];
        let reply = Reply::whole(&format!("{status} Elsewhere"), &[&headers[0], &headers[1]], "");
        let server = Server::start(reply).await;
        for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
            let said = tells(what, server.endpoint(), &error);
            assert!(said.contains(&format!("answered {status}")) && said.contains("a redirect to 127.0.0.1"), "{said}");
            assert!(said.contains("--arm-endpoint") && !said.contains("signature"), "{said}");
            assert_eq!((error.correlation(), error.outcome_unknown()), (Some(ID), unknown), "{said}");
        }
        assert_eq!(server.requests().len(), 3, "{status}: nothing is asked twice");
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
    let nowhere = Server::start(Reply::whole("302 Found", &[], "")).await;
    let error = client(nowhere.endpoint(), CLUSTER).cluster().await.unwrap_err();
    assert!(error.to_string().contains("a redirect to no known host"), "{error}");
}

#[tokio::test]
async fn the_correlation_id_is_that_of_azure_before_that_of_the_provider() {
    for (headers, id) in [
        (&["x-ms-correlation-request-id: a", "x-ms-request-id: b"][..], Some("a")),
        (&["x-ms-request-id: b"], Some("b")),
        (&["x-ms-correlation-request-id: ", "x-ms-request-id: b"], Some("b")),
        (&[], None),
    ] {
        let server = Server::start(Reply::whole("200 OK", headers, "nonsense")).await;
        let error = client(server.endpoint(), CLUSTER).cluster().await.unwrap_err();
        assert_eq!(error.correlation(), id, "{headers:?}");
        assert!(id.is_none_or(|id| !error.to_string().contains(&format!("id {id}"))), "the text stays the same");
    }
}

/// The typed view of a pool of which one property is this.
async fn seen(property: &str, value: &Value) -> AgentPool {
    let mut document = pool("apps");
    document["properties"][property] = value.clone();
    let server = Server::start(json_reply(&document)).await;
    client(server.endpoint(), CLUSTER).pool("apps").await.unwrap().pool()
}

#[tokio::test]
async fn unknown_values_are_kept_as_what_they_are_and_missing_ones_are_not_made_up() {
    type Holds = fn(&AgentPool) -> bool;
    let cases: [(&str, Value, Holds); 10] = [
        ("mode", json!("Gateway"), |pool| pool.mode == Mode::Other("Gateway".into())),
        ("mode", json!(null), |pool| pool.mode == Mode::Other("unset".into())),
        ("provisioningState", json!("Frobnicating"), |pool| pool.state.operation() == Some("Frobnicating")),
        ("provisioningState", json!(null), |pool| pool.state.operation().is_some()),
        ("type", json!("Quantum"), |pool| pool.kind == PoolKind::Other("Quantum".into())),
        ("powerState", json!(null), |pool| pool.power != Power::Running),
        ("osType", json!("Plan9"), |pool| pool.os == Os::Other("Plan9".into())),
        ("orchestratorVersion", json!(null), AgentPool::version_differs),
        ("nodeLabels", json!(null), |pool| pool.labels.is_empty() && pool.kind == PoolKind::ScaleSet),
        ("tags", json!(null), |pool| pool.tags.is_empty() && pool.kind == PoolKind::ScaleSet),
    ];
    for (property, value, holds) in cases {
        let seen = seen(property, &value).await;
        assert!(holds(&seen), "{property} {value}: {seen:?}");
    }
}

#[tokio::test]
async fn a_pool_with_a_value_that_can_not_be_right_is_unreadable() {
    for (property, value, named) in [
        ("type", json!(null), "type"),
        ("count", json!(null), "count"),
        ("count", json!("2"), "count"),
        ("count", json!(-1), "count"),
        ("count", json!(2.5), "count"),
        ("count", json!(5_000_000_000_u64), "count"),
        ("enableAutoScaling", json!("false"), "enableAutoScaling"),
        ("enableAutoScaling", json!(true), "minCount"),
        ("nodeTaints", json!("a=b:NoSchedule"), "nodeTaints"),
        ("nodeTaints", json!(["a=b:Sometimes"]), "nodeTaints"),
        ("nodeTaints", json!([7]), "nodeTaints"),
        ("nodeLabels", json!(["a"]), "nodeLabels"),
        ("nodeLabels", json!({"a": 1}), "nodeLabels"),
        ("tags", json!(["a"]), "tags"),
        ("mode", json!(1), "mode"),
        ("orchestratorVersion", json!(1.33), "orchestratorVersion"),
        ("upgradeSettings", json!({"maxUnavailable": 1}), "upgradeSettings"),
    ] {
        let kind = seen(property, &value).await.kind;
        assert!(matches!(&kind, PoolKind::Unreadable(why) if why.contains(named)), "{property} {value}: {kind:?}");
    }
}
