//! Operations that end badly, or not at all: what is tried again, what is left to a person, and what people are told.

use aks_emulator::{Journal, OperationFailure, PoolSpec};
use anyhow::ensure;
use nodepool_operator::api::{Attempt, NodePoolPolicyStatus, condition};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::support::{DEADLINE, Scene, Story, begin_with, binary, holds, message, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_failed_operation_is_tried_again", repaired),
        story("a_pool_that_fails_too_often_is_left_to_a_person", exhausted),
        story("a_failure_by_another_hand_is_repaired_too", foreign_failure),
        story("what_somebody_aborted_is_not_begun_again", canceled),
        story("an_operation_that_does_not_end_is_told", overdue),
        story("how_an_operation_goes_is_asked_at_its_own_url", followed),
    ]
}

async fn cluster(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    begin_with(builder.pool(PoolSpec::user("apps", 1)), &[&["--retry-seconds", "0.5"], arguments].concat()).await
}

fn outcomes(status: &NodePoolPolicyStatus) -> Vec<&str> {
    status.history.iter().map(|entry| entry.outcome.as_str()).collect()
}

fn failures(status: &NodePoolPolicyStatus) -> Option<(&str, i32)> {
    status.attempt.as_ref().map(|attempt: &Attempt| (attempt.outcome.as_str(), attempt.failures))
}

async fn repaired(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &[]).await?;
    let _quota = scene.bed.emulator.operation("apps").fail_as(OperationFailure::QuotaExceeded, Some(2));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let failed =
        scene.until("apps", "to wait for another try", |status| failures(status) == Some(("Failed", 2))).await?;
    assert!(holds(&failed, condition::RECONCILING) && !holds(&failed, condition::READY), "{failed:?}");
    let said = message(&failed, condition::READY);
    assert!(said.contains("QuotaExceeded, attempt 2") && said.contains("To do: have the quota"), "{said}");
    let status = scene.ready("apps").await?;
    assert_eq!(outcomes(&status), ["Started", "Failed", "Started", "Failed", "Started", "Succeeded"]);
    assert_eq!(failures(&status), None);
    let repair = write("apps", json!({}));
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2})), repair.clone(), repair]);
    assert_eq!(scene.node_names("apps").await?.len(), 2);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn exhausted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &["--repairs", "2"]).await?;
    let quota = scene.bed.emulator.operation("apps").fail_as(OperationFailure::QuotaExceeded, None);
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.stalled("apps", "PoolFailed").await?;
    let said = message(&status, condition::STALLED);
    assert!(said.contains("failed, 3 times in a row (QuotaExceeded: "), "{said}");
    scene.page("pool-failed", "apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 3, "once, and two tries more");

    // A restart does not begin to count anew, a change of the policy does.
    drop(quota);
    let mut scene = scene;
    scene.operator.kill().await?;
    scene.operator.restart().await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 3);
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn foreign_failure(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &[]).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    let _failure = scene.bed.emulator.operation("apps").fail("InternalOperationError", "laid by a test", Some(1));
    scene.edit_by_hand("apps", json!({"nodeLabels": {"by": "hand"}})).await?;
    scene.until("apps", "to have seen it", |status| failures(status) == Some(("Failed", 1))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"nodeLabels": {"by": "hand"}}))]);
    Ok(scene)
}

async fn canceled(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &[]).await?;
    let held = scene.bed.emulator.operation("apps").hold_before_nodes();
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    held.arrived().await;
    scene.abort_by_hand("apps").await?;
    held.release();
    let status = scene.stalled("apps", "PoolCanceled").await?;
    assert_eq!((outcomes(&status), failures(&status)), (vec!["Started", "Canceled"], Some(("Canceled", 1))));
    scene.page("pool-canceled", "apps").await?;
    // The wish differs again, and is not begun all the same.
    scene.bed.emulator.edit(|cluster| cluster.pool_mut("apps").map(|pool| pool.properties["count"] = json!(1)));
    scene.until("apps", "to see the count", |status| !status.drift.is_empty()).await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 1);
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn overdue(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &["--operation-patience", "0.0005"]).await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.stalled("apps", "OperationOverdue").await?;
    let said = message(&status, condition::STALLED);
    assert!(said.contains("scale from 1 to 2 nodes") && said.contains("operation-abort"), "{said}");
    scene.page("operation-overdue", "apps").await?;
    scene.is_quiet().await?;
    held.release();
    scene.ready("apps").await?;
    assert_eq!(scene.writes().len(), 1);
    Ok(scene)
}

async fn followed(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let bed = builder.pool(PoolSpec::user("apps", 1)).start().await?;
    // At rest the cluster is read so seldom that no such read falls into the story.
    let options = bed.operator_options(binary()).arguments(&["--arm-poll-seconds", "0.2"]);
    let operator = bed.start_operator(options.arguments(&["--system-node-ready-seconds", "0.5"])).await?;
    let scene = Scene::of(bed, operator);
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    held.arrived().await;
    scene
        .until("apps", "to be seen scaling", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Scaling")
        })
        .await?;
    let by_operator = || scene.bed.emulator.journal().by_user_agent("nodepool-operator");
    let polls = |journal: &Journal| journal.only(|exchange| exchange.path.contains("/operations/")).len();
    let start = by_operator().last().map_or(0, |exchange| exchange.sequence);
    wait_for("the operation to be asked about five times", DEADLINE, async || {
        let asked = polls(&by_operator().after(start));
        Ok(if asked >= 5 { Ok(()) } else { Err(format!("{asked} times")) })
    })
    .await?;
    let since = by_operator().after(start);
    // The read that showed the operation may have been under way.
    ensure!(since.len() <= polls(&since) + 1, "{} requests, {} about the operation", since.len(), polls(&since));
    held.release();
    scene.ready("apps").await?;
    let log = scene.operator.log_tail(10_000);
    ensure!(!log.contains("&s=") && !log.contains("&h="), "a signed URL is in the log");
    Ok(scene)
}
