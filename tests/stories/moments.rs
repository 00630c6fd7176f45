//! Moments that no other story stays in for long enough to be read. Each ends well all the same.

use aks_emulator::{Canned, Matcher, OperationFailure, PoolSpec};
use nodepool_operator::api::condition;
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin_with, plain_cluster, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_failed_operation_is_told_with_the_time_of_the_next_attempt", failed),
        story("a_policy_that_comes_while_azure_cannot_be_read_says_so", unread),
    ]
}

async fn failed(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin_with(builder.pool(PoolSpec::user("apps", 1)), &["--retry-seconds", "3600"]).await?;
    let _quota = scene.bed.emulator.operation("apps").fail_as(OperationFailure::QuotaExceeded, Some(1));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene
        .until("apps", "to wait for the next attempt", |status| {
            status.condition(condition::READY).is_some_and(|ready| ready.reason == "OperationFailed")
        })
        .await?;
    scene.page("operation-failed", "apps").await?;
    // Somebody else is quicker.
    scene.edit_by_hand("apps", json!({"count": 2})).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn unread(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    scene.operator.terminate().await?;
    let forbidden = scene.bed.emulator.respond(
        Matcher::method("GET").path_ends_with("/managedClusters/local").user_agent("nodepool-operator"),
        Canned::error(403, "AuthorizationFailed", "laid by a test"),
        None,
    );
    scene.operator.restart().await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene
        .until("apps", "to say so", |status| {
            status.condition(condition::READY).is_some_and(|ready| ready.reason == "ClusterNotObserved")
        })
        .await?;
    scene.page("cluster-not-observed", "apps").await?;
    drop(forbidden);
    scene.ready("apps").await?;
    Ok(scene)
}
