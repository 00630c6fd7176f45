//! Upgrades that end badly, or whose operator ends: what is unfinished is never gone on with by another write, and nothing is
//! begun twice.

use aks_emulator::OperationFailure;
use nodepool_operator::api::{NodePoolPolicyStatus, condition};
use serde_json::json;
use testbed::Lane;

use super::support::{Scene, Story, holds, message, policy, story, write};
use super::upgrade::{kubelets, old_pool, to};

pub fn stories() -> Vec<Story> {
    vec![
        story("another_change_does_not_go_on_with_a_failed_upgrade", failed),
        story("another_change_does_not_go_on_with_an_upgrade_that_somebody_aborted", aborted),
        story("a_failed_upgrade_is_tried_again_by_its_own_policy", tried_again),
        story("an_operator_that_dies_in_an_upgrade_begins_no_other", killed),
    ]
}

fn has_failed(status: &NodePoolPolicyStatus) -> bool {
    status.attempt.as_ref().is_some_and(|attempt| attempt.outcome == "Failed")
}

async fn failed(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_pool(lane, &["--retry-seconds", "0.5"]).await?.in_which_azure_drains();
    let failure = scene.bed.emulator.operation("apps").fail_as(OperationFailure::PodDrainFailure, None);
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    scene.until("apps", "to have failed", has_failed).await?;
    scene.apply(policy("apps", json!({"labels": {"tier": "web"}}))).await?;
    let refusal = scene.refused("apps", "VersionSkew").await?;
    assert_eq!(
        refusal,
        "any write to pool apps would go on with its unfinished upgrade (it is Failed, runs Kubernetes 1.32.9, and was asked for \
         1.33.5) finish the upgrade first: set spec.kubernetesVersion to the version that was asked for, or use az aks nodepool \
         upgrade"
    );
    // How often it has been tried is not told by the columns.
    scene.columns("half-upgraded").await?;
    let before = scene.writes();
    assert!(before.iter().all(|write| *write == to("apps", "1.33.5")), "its own tries, and nothing else: {before:?}");
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), before);
    // With the version it is finished first, and then the label comes.
    drop(failure);
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33", "labels": {"tier": "web"}}))).await?;
    scene.ready("apps").await?;
    let label = write("apps", json!({"nodeLabels": {"tier": "web"}}));
    assert_eq!(scene.writes().split_off(before.len()), [to("apps", "1.33.5"), label]);
    assert_eq!(kubelets(&scene, "apps").await?, ["v1.33.5", "v1.33.5"]);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn aborted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_pool(lane, &[]).await?.in_which_azure_drains();
    let held = scene.bed.emulator.operation("apps").hold_before_nodes();
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    held.arrived().await;
    scene.abort_by_hand("apps").await?;
    held.release();
    scene.stalled("apps", "PoolCanceled").await?;
    scene.is_quiet().await?;
    scene.apply(policy("apps", json!({"labels": {"tier": "web"}}))).await?;
    scene.refused("apps", "VersionSkew").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), [to("apps", "1.33.5")]);
    // Whoever changes the policy so that it asks for the version again means it.
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33.5"}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [to("apps", "1.33.5"), to("apps", "1.33.5")]);
    Ok(scene)
}

async fn tried_again(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_pool(lane, &["--retry-seconds", "3"]).await?.in_which_azure_drains();
    let _failure = scene.bed.emulator.operation("apps").fail_as(OperationFailure::PodDrainFailure, Some(1));
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    let waits = |status: &NodePoolPolicyStatus| {
        has_failed(status) && message(status, condition::READY).contains("PodDrainFailure, attempt 1")
    };
    let status = scene.until("apps", "to wait for another try", waits).await?;
    assert!(!holds(&status, condition::STALLED), "{status:?}");
    let status = scene.ready("apps").await?;
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Started", "Failed", "Started", "Succeeded"]);
    assert_eq!(scene.writes(), [to("apps", "1.33.5"), to("apps", "1.33.5")]);
    assert_eq!(kubelets(&scene, "apps").await?, ["v1.33.5", "v1.33.5"]);
    Ok(scene)
}

async fn killed(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = old_pool(lane, &[]).await?.in_which_azure_drains();
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33", "labels": {"tier": "web"}}))).await?;
    // The label comes first, and its operation is held too.
    held.arrived().await;
    held.release();
    let held = scene.bed.emulator.operation("apps").hold_before_nodes();
    held.arrived().await;
    scene.operator.kill().await?;
    scene.operator.restart().await?;
    scene
        .until("apps", "to see the upgrade", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Upgrading")
        })
        .await?;
    let label = write("apps", json!({"nodeLabels": {"tier": "web"}}));
    let upgrade = write("apps", json!({"nodeLabels": {"tier": "web"}, "orchestratorVersion": "1.33.5"}));
    assert_eq!(scene.writes(), [label.clone(), upgrade.clone()]);
    held.release();
    scene.ready("apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), [label, upgrade], "nothing was begun twice");
    assert_eq!(kubelets(&scene, "apps").await?, ["v1.33.5", "v1.33.5"]);
    Ok(scene)
}
