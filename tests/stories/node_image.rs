//! Node images: a person asks once for the latest one, and the pool gets it once, under the rules of an upgrade.

use aks_emulator::{OperationFailure, PoolSpec};
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use nodepool_operator::api::{NodePoolPolicyStatus, UPGRADE_NODE_IMAGE, condition};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::drains::{deploy, deploy_with, set_budget};
use super::support::{Scene, Story, begin_with, holds, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_node_image_is_upgraded_once_when_somebody_asks", user_pool),
        story("a_node_image_of_a_system_pool_is_left_alone_under_protect", protect),
        story("a_budget_that_allows_none_refuses_a_node_image_before", closed_budget),
        story("a_failed_upgrade_of_a_node_image_is_tried_again", failed),
        story("a_node_image_whose_upgrade_somebody_aborted_waits_for_a_new_request", aborted),
        story("a_new_version_answers_for_the_node_image", with_version),
    ]
}

const OLD: &str = "AKSUbuntu-2204gen2containerd-202601.07.0";
const NEW: &str = "AKSUbuntu-2204gen2containerd-202602.10.0";

/// A system pool and a user pool of two nodes each, whose policies ask for nothing, and an image that is newer than theirs.
async fn cluster(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin_with(builder.pool(PoolSpec::user("apps", 2)), arguments).await?;
    release(&scene);
    for pool in ["system", "apps"] {
        scene.apply(policy(pool, json!({}))).await?;
        scene.ready(pool).await?;
    }
    Ok(scene)
}

/// Lets AKS have an image that is newer than what pools begin with.
pub fn release(scene: &Scene) {
    scene.bed.emulator.edit(|cluster| cluster.latest_node_image = Some("202602.10.0".to_owned()));
}

/// How often the operator has asked for the upgrade of an image.
pub fn asked(scene: &Scene) -> usize {
    let asks = |path: &str| path.contains("/upgradeNodeImageVersion");
    scene.bed.emulator.journal().by_user_agent("nodepool-operator").only(|exchange| asks(&exchange.path)).len()
}

/// The images of the nodes of a pool.
async fn images(scene: &Scene, pool: &str) -> anyhow::Result<Vec<String>> {
    let image = |node: Node| node.metadata.labels?.get("kubernetes.azure.com/node-image-version").cloned();
    Ok(scene.nodes(pool).await?.into_iter().filter_map(image).collect())
}

/// Waits until the request of that value has been answered, and the policy is Ready.
async fn answered(scene: &Scene, pool: &str, value: &str) -> anyhow::Result<NodePoolPolicyStatus> {
    let is_answered = |status: &NodePoolPolicyStatus| {
        status.last_handled_node_image_upgrade.as_deref() == Some(value) && holds(status, condition::READY)
    };
    let status = scene.until(pool, "to have answered", is_answered).await?;
    ensure!(status.node_image_upgrade.is_none(), "{status:?}");
    Ok(status)
}

async fn user_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &[]).await?;
    let before = scene.node_names("apps").await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "first").await?;
    held.arrived().await;
    let runs = |status: &NodePoolPolicyStatus| {
        status.operation.as_ref().is_some_and(|operation| operation.kind == "UpgradingNodeImageVersion")
    };
    let running = scene.until("apps", "to tell of the upgrade", runs).await?;
    let operation = running.operation.context("an operation")?;
    let step = format!("upgrade the node image from {OLD} to the latest");
    assert_eq!((operation.field.as_deref(), operation.step.as_ref()), (Some("nodeImage"), Some(&step)));
    let begun = running.node_image_upgrade.context("what was begun")?;
    assert_eq!((begun.request.as_str(), begun.from.as_str()), ("first", OLD));
    assert!(running.last_handled_node_image_upgrade.is_none());
    held.release();
    let status = answered(&scene, "apps", "first").await?;
    assert_eq!(images(&scene, "apps").await?, [NEW, NEW]);
    assert_eq!(scene.node_names("apps").await?, before, "the surge node is gone again");
    assert_eq!(images(&scene, "system").await?, [OLD, OLD], "nobody asked for it");
    assert_eq!(status.pool.context("a pool")?.node_image.as_deref(), Some(NEW));
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Started", "Succeeded"]);
    assert_eq!((asked(&scene), scene.writes().len()), (1, 1));
    scene.told("apps", &["PlanMade", "StepStarted", "StepSucceeded"]).await?;
    scene.is_quiet().await?;

    // The image is the latest already: the new request is answered and nothing is written.
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "second").await?;
    answered(&scene, "apps", "second").await?;
    scene.is_quiet().await?;
    assert_eq!(asked(&scene), 1);
    Ok(scene)
}

async fn protect(lane: Lane) -> anyhow::Result<Scene> {
    let scene = super::support::begin(
        Testbed::builder(lane).pool(PoolSpec::system("system", 2)).pool(PoolSpec::system("other", 2)),
    )
    .await?
    .in_which_azure_drains();
    release(&scene);
    deploy(&scene.bed, "kube-system", "spread", 4).await?;
    scene.apply(policy("system", json!({"upgrade": {"maxSurge": "1"}}))).await?;
    scene.ready("system").await?;
    let before = scene.writes().len();
    scene.annotate("system", UPGRADE_NODE_IMAGE, "1").await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    ensure!(refusal.contains("set spec.disruption.systemPods to Relocate in policy system"), "{refusal}");
    scene.stalled("system", "SystemPodsWouldBeEvicted").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), before);
    let relocate = json!({"upgrade": {"maxSurge": "1"}, "disruption": {"systemPods": "Relocate"}});
    let mut with_request = policy("system", relocate);
    with_request["metadata"]["annotations"] = json!({UPGRADE_NODE_IMAGE: "1"});
    scene.apply(with_request).await?;
    answered(&scene, "system", "1").await?;
    assert_eq!(images(&scene, "system").await?, [NEW, NEW]);
    assert_eq!(asked(&scene), 1);
    Ok(scene)
}

async fn closed_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &[]).await?;
    deploy_with(&scene.bed, "default", "web", 2, json!({"nodeSelector": {"agentpool": "apps"}})).await?;
    set_budget(&scene, "default", "web", json!({"maxUnavailable": 0})).await?;
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "1").await?;
    let refusal = scene.refused("apps", "DisruptionBudgetBlocks").await?;
    ensure!(refusal.starts_with("the upgrade of pool apps would wait for 2 pods that may not be evicted"), "{refusal}");
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    set_budget(&scene, "default", "web", json!({"maxUnavailable": 1})).await?;
    answered(&scene, "apps", "1").await?;
    assert_eq!(asked(&scene), 1);
    Ok(scene)
}

async fn failed(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &["--retry-seconds", "0.5"]).await?.in_which_azure_drains();
    let failure = scene.bed.emulator.operation("apps").fail_as(OperationFailure::PodDrainFailure, Some(1));
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "1").await?;
    let status = answered(&scene, "apps", "1").await?;
    drop(failure);
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Started", "Failed", "Started", "Succeeded"]);
    assert_eq!(images(&scene, "apps").await?, [NEW, NEW]);
    assert_eq!(asked(&scene), 2);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn aborted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane, &[]).await?.in_which_azure_drains();
    let held = scene.bed.emulator.operation("apps").hold_before_nodes();
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "1").await?;
    held.arrived().await;
    scene.abort_by_hand("apps").await?;
    held.release();
    scene.stalled("apps", "PoolCanceled").await?;
    scene.is_quiet().await?;
    assert_eq!(asked(&scene), 1, "somebody wanted it so");
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "2").await?;
    answered(&scene, "apps", "2").await?;
    assert_eq!((asked(&scene), images(&scene, "apps").await?), (2, vec![NEW.to_owned(); 2]));
    Ok(scene)
}

async fn with_version(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin_with(builder.pool(PoolSpec::user("apps", 2).versions("1.32", "1.32.9")), &[]).await?;
    release(&scene);
    let mut both = policy("apps", json!({"kubernetesVersion": "1.33"}));
    both["metadata"]["annotations"] = json!({UPGRADE_NODE_IMAGE: "1"});
    scene.apply(both).await?;
    answered(&scene, "apps", "1").await?;
    assert_eq!(images(&scene, "apps").await?, [NEW, NEW], "AKS takes its latest image for a new version");
    assert_eq!((asked(&scene), scene.writes()), (0, vec![super::upgrade::to("apps", "1.33.5")]));
    scene.is_quiet().await?;
    Ok(scene)
}
