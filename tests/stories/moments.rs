//! Moments that no other story stays in for long enough to be read. Each ends well all the same.

use aks_emulator::{Canned, Matcher, OperationFailure, PoolSpec};
use nodepool_operator::api::{FINALIZER, NodePoolPolicyStatus, condition};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::drains::{deploy, given_up, hold_evictions, marked, scaled_to, set_budget};
use super::inventory::inventory;
use super::support::{
    DEADLINE, ONCE, QUICK, Scene, Story, binary, message, plain_cluster, plain_cluster_with, policy, story,
};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_failed_operation_is_told_with_the_time_of_the_next_attempt", failed),
        story("a_refused_write_is_told_with_the_time_of_the_next_attempt", refused),
        story("a_write_that_azure_puts_off_is_told_as_delayed", put_off),
        story("a_policy_that_comes_while_azure_cannot_be_read_says_so", unread),
        story("a_policy_that_a_newer_definition_lets_through_is_told_as_invalid", newer),
        story("a_policy_that_is_not_understood_leaves_its_pool_when_it_is_deleted", newer_and_deleted),
        story("a_policy_that_somebody_else_keeps_says_what_becomes_of_its_pool", kept),
        story("a_drain_that_finds_too_few_nodes_says_which_are_cordoned", too_few),
        story("a_drain_and_its_end_are_read_page_by_page", drained),
    ]
}

/// Whether the policy's Ready has this reason.
fn is(reason: &str) -> impl Fn(&NodePoolPolicyStatus) -> bool {
    move |status| status.condition(condition::READY).is_some_and(|ready| ready.reason == reason)
}

async fn failed(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster_with(lane, &ONCE).await?;
    let _quota = scene.bed.emulator.operation("apps").fail_as(OperationFailure::QuotaExceeded, Some(1));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.until("apps", "to wait for the next attempt", is("OperationFailed")).await?;
    scene.page("operation-failed", "apps").await?;
    // Somebody else is quicker.
    scene.edit_by_hand("apps", json!({"count": 2})).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn refused(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster_with(lane, &ONCE).await?;
    let quota =
        "Insufficient vcpu quota requested 8, remaining 4 for family StandardDDSv5Family for region westeurope.";
    let refusal = scene.bed.emulator.respond(
        Matcher::put_pool("apps").user_agent("nodepool-operator"),
        Canned::error(400, "ErrCode_InsufficientVCPUQuota", quota),
        None,
    );
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    scene.stalled("apps", "WriteFailed").await?;
    scene.page("write-failed", "apps").await?;
    assert_eq!(refusal.count(), 1);
    // What the quota has room for.
    drop(refusal);
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn put_off(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster_with(lane, &ONCE).await?;
    let put = Matcher::put_pool("apps").user_agent("nodepool-operator");
    let throttled = scene.bed.emulator.respond(put, Canned::throttled(3600), None);
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.until("apps", "to be delayed", is("WriteDelayed")).await?;
    scene.page("write-delayed", "apps").await?;
    assert_eq!(throttled.count(), 1);
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
    scene.until("apps", "to say so", is("ClusterNotObserved")).await?;
    scene.page("cluster-not-observed", "apps").await?;
    drop(forbidden);
    scene.ready("apps").await?;
    Ok(scene)
}

async fn newer(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"labels": {"tier": "web"}}))).await?;
    scene.ready("apps").await?;
    asks_for_what_is_newer(&scene).await?;
    scene.page("invalid-spec", "apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 1);
    // What the policy owned before is its own still, also after a restart: the label goes when the policy lets it go.
    scene.operator.restart().await?;
    asks(&scene, "User").await?;
    scene.apply(policy("apps", json!({"labels": {}}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.in_arm("apps", "nodeLabels")["tier"], json!(null));
    Ok(scene)
}

async fn newer_and_deleted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1, "deletionPolicy": "Delete"}))).await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    asks_for_what_is_newer(&scene).await?;
    scene.kubectl(&["delete", "npp", "apps", "--wait=false"]).await?;
    wait_for("the object to be let go", DEADLINE, async || {
        let left = scene.kubectl(&["get", "npp", "-o", "name"]).await?;
        Ok(if left.trim().is_empty() { Ok(()) } else { Err(left) })
    })
    .await?;
    scene.is_quiet().await?;
    anyhow::ensure!(scene.writes().is_empty(), "nobody knows what it wanted: {:?}", scene.writes());
    assert_eq!(scene.in_arm("apps", "count"), 1);
    Ok(scene)
}

/// Policy `apps` asks for something that the operator does not know, and is told so. As if the definition were of a later version
/// than the operator; the next testbed applies its own again.
async fn asks_for_what_is_newer(scene: &Scene) -> anyhow::Result<()> {
    let mode = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/mode/enum/-";
    let later = json!([{"op": "add", "path": mode, "value": "Gateway"}]).to_string();
    scene.kubectl(&["patch", "crd", "nodepoolpolicies.aks.nodepool.dev", "--type", "json", "-p", &later]).await?;
    asks(scene, "Gateway").await?;
    wait_for("the policy to be told as invalid", DEADLINE, async || {
        let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
        let reason = scene.kubectl(&["get", "npp", "apps", "-o", ready]).await?;
        Ok(if reason == "InvalidSpec" { Ok(()) } else { Err(reason) })
    })
    .await
}

/// Sets the mode that policy `apps` asks for. The API server takes a moment to go by a new definition.
async fn asks(scene: &Scene, mode: &str) -> anyhow::Result<()> {
    let patch = json!({"spec": {"mode": mode}}).to_string();
    wait_for(&format!("the API server to take mode {mode}"), DEADLINE, async || {
        let taken = scene.kubectl(&["patch", "npp", "apps", "--type", "merge", "-p", &patch]).await;
        Ok(taken.map_err(|error| error.to_string()))
    })
    .await?;
    Ok(())
}

async fn kept(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let mut theirs = policy("apps", json!({"count": 1}));
    theirs["metadata"]["finalizers"] = json!(["example.com/keep"]);
    scene.apply(theirs).await?;
    scene.ready("apps").await?;
    scene.begin_deletion("apps").await?;
    scene.until("apps", "to be told as deleted", is("BeingDeleted")).await?;
    scene.page("being-deleted", "apps").await?;
    scene.is_quiet().await?;
    scene.kubectl(&["patch", "npp", "apps", "--type", "merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await?;
    scene.gone("apps").await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

/// A system pool of so many nodes, with two pods of an add-on on each and no other that moves.
async fn two_pods_a_node(lane: Lane, nodes: u32) -> anyhow::Result<Scene> {
    let bed = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", nodes));
    let bed = bed.start().await?;
    deploy(&bed, "kube-system", "metrics-server", 2 * i32::try_from(nodes)?).await?;
    bed.wait_until_settled().await?;
    let operator = bed.start_operator(bed.operator_options(binary()).arguments(&QUICK).arguments(&ONCE)).await?;
    Ok(Scene::of(bed, operator))
}

async fn too_few(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_pods_a_node(lane, 4).await?;
    let nodes = scene.node_names("system").await?;
    let cordoned: Vec<&String> = nodes.iter().take(3).collect();
    for node in &cordoned {
        scene.bed.cluster.cordon(node, true).await?;
    }
    // As long as it has not seen all of it, it makes another plan.
    inventory(&scene, "to count one usable node", |status| {
        status.system.as_ref().is_some_and(|system| system.usable_nodes == 1)
    })
    .await?;
    scene.apply(scaled_to(2, "Relocate")).await?;
    let status = scene.stalled("system", "TooFewNodes").await?;
    scene.page("too-few-nodes", "system").await?;
    let said = message(&status, condition::READY);
    assert!(cordoned.iter().all(|node| said.contains(node.as_str())), "{said}");
    assert_eq!((scene.writes(), scene.evicted()?), (vec![], vec![]));
    for node in &cordoned {
        scene.bed.cluster.cordon(node, false).await?;
    }
    scene.ready("system").await?;
    assert_eq!(scene.node_names("system").await?.len(), 2);
    Ok(scene)
}

async fn drained(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_pods_a_node(lane, 3).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(2, "Relocate")).await?;
    held.arrived().await?;
    let going = marked(&scene, 1).await?.pop_first().unwrap_or_default();
    scene.bed.cluster.set_ready(&going, false).await?;
    held.release();
    scene.until("system", "to wait for the add-on on the dead node", is("KubeSystemUnhealthy")).await?;
    scene.page("draining", "system").await?;
    set_budget(&scene, "kube-system", "metrics-server", json!({"maxUnavailable": 0})).await?;
    scene.bed.cluster.set_ready(&going, true).await?;
    given_up(&scene, "DisruptionBudgetBlocks").await?;
    scene.page("drain-given-up", "system").await?;
    // The remedy works, as a changed policy is tried at once.
    set_budget(&scene, "kube-system", "metrics-server", json!({"maxUnavailable": 1})).await?;
    scene.apply(policy("system", json!({"count": 2, "disruption": {"systemPods": "Relocate"}, "labels": {}}))).await?;
    scene.ready("system").await?;
    assert_eq!(scene.node_names("system").await?.len(), 2);
    scene.page("drained", "system").await?;
    Ok(scene)
}
