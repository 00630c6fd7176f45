//! The client against the AKS emulator, over real HTTP: what it reads, what it writes once, and what it is told.

use std::sync::Arc;

use aks_emulator::{Action, Canned, ClusterSpec, Emulator, Matcher, NoNodes, PoolSpec, Settings};
use nodepool_operator::arm::{ArmClient, ArmError};
use serde_json::json;

use crate::support::{approved, client, permit};

/// An emulator with a system pool and the pool `apps` of two nodes, and a client of it.
async fn start(etags: bool) -> (Emulator, ArmClient) {
    let mut settings = Settings::with_time_scale(1e6);
    settings.switches.etags = etags;
    let cluster = ClusterSpec::with_pools([PoolSpec::system("system", 2), PoolSpec::user("apps", 2)]);
    let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
    let client = client(emulator.endpoint().as_str(), emulator.cluster_id());
    (emulator, client)
}

fn count(emulator: &Emulator) -> u64 {
    emulator.pool("apps").unwrap()["properties"]["count"].as_u64().unwrap()
}

#[tokio::test]
async fn the_cluster_and_its_pools_are_read_alike() {
    for etags in [false, true] {
        let (emulator, client) = start(etags).await;
        let cluster = client.cluster().await.unwrap();
        let names: Vec<&str> = cluster.pools.iter().map(|pool| pool.name.as_str()).collect();
        assert_eq!(names, ["system", "apps"]);
        assert!(cluster.node_resource_group.is_some());
        for pool in &cluster.pools {
            assert_eq!(client.pool(&pool.name).await.unwrap().pool(), *pool);
        }
        let asked = emulator.journal().iter().map(|exchange| exchange.method.clone()).collect::<Vec<_>>();
        assert_eq!(asked, ["GET", "GET", "GET"]);
    }
}

#[tokio::test]
async fn a_write_goes_once_and_is_seen() {
    let (emulator, client) = start(false).await;
    let (approved, write) = approved();
    client.put_pool(&approved, &write, permit()).await.map(drop).unwrap();
    emulator.idle().await;
    assert_eq!((count(&emulator), emulator.journal().writes().iter().count()), (3, 1));
    let seen = client.pool("apps").await.unwrap().pool();
    assert_eq!((seen.count, seen.state.operation()), (3, None));
}

#[tokio::test]
async fn a_write_with_the_etag_of_an_older_document_has_no_effect() {
    let (emulator, client) = start(true).await;
    let (approved, mut write) = approved();
    write.if_match = Some("\"older\"".to_owned());
    let error = client.put_pool(&approved, &write, permit()).await.map(drop).unwrap_err();
    assert_eq!((error.status(), error.outcome_unknown()), (Some(412), false), "{error}");
    assert_eq!(count(&emulator), 2);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_the_code_of_azure() {
    let (emulator, client) = start(false).await;
    let error = client.pool("absent").await.map(drop).unwrap_err();
    assert!(matches!(&error, ArmError::Answered { status: 404, code, .. } if code == "NotFound"), "{error}");
    let other = emulator.cluster_id().replace("/local", "/other");
    let error = crate::support::client(emulator.endpoint().as_str(), &other).cluster().await.unwrap_err();
    assert!(matches!(error.status(), Some(404)), "{error}");
}

#[tokio::test]
async fn a_read_is_repeated_and_a_write_never_is() {
    let (emulator, client) = start(false).await;
    for canned in [Canned::internal_error(), Canned::bad_gateway(), Canned::gateway_timeout()] {
        let _once = emulator.respond(Matcher::method("GET"), canned.clone(), Some(1));
        client.cluster().await.unwrap();
        let _always = emulator.respond(Matcher::method("PUT"), canned, None);
        let before = emulator.journal().writes().iter().count();
        let (approved, write) = approved();
        let error = client.put_pool(&approved, &write, permit()).await.map(drop).unwrap_err();
        assert!(error.outcome_unknown() && error.status().is_some_and(|status| status >= 500), "{error}");
        assert_eq!(emulator.journal().writes().iter().count(), before + 1);
    }
    assert_eq!(count(&emulator), 2);
}

#[tokio::test]
async fn whether_a_lost_write_had_an_effect_is_unknown() {
    for (action, effect) in [(Action::DropBefore, 2), (Action::DropAfter, 3)] {
        let (emulator, client) = start(false).await;
        let _lost = emulator.fault(Matcher::method("PUT"), action, None);
        let (approved, write) = approved();
        let error = client.put_pool(&approved, &write, permit()).await.map(drop).unwrap_err();
        assert!(matches!(error, ArmError::Lost { .. }) && error.outcome_unknown(), "{error}");
        assert!(error.to_string().contains("the write of pool apps"), "{error}");
        emulator.idle().await;
        assert_eq!(count(&emulator), effect);
    }
}

#[tokio::test]
async fn an_answer_about_another_pool_is_not_taken_for_an_acceptance() {
    let (emulator, client) = start(false).await;
    let other = Canned::json(200, &json!({"name": "batch", "properties": {"provisioningState": "Updating"}}));
    let _odd = emulator.respond(Matcher::method("PUT"), other, None);
    let (approved, write) = approved();
    let error = client.put_pool(&approved, &write, permit()).await.map(drop).unwrap_err();
    assert!(matches!(&error, ArmError::Malformed { detail, .. } if detail.contains("pool batch")), "{error}");
}
