//! Pools that are emptied before they are deleted: protected pods move first, and whatever stops that leaves nothing half done.

use std::collections::BTreeSet;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use kube::Api;
use nodepool_operator::api::{FINALIZER, condition, outcome};
use serde_json::{Value, json};
use testbed::{Lane, Testbed, wait_for};

use super::autoscaler::{autoscaling, turned_on, two_system_pools};
use super::drains::{
    deploy, evicted_by_operator, evicted_once, hold_evictions, homes, is_cordoned, is_marked, is_open, set_budget,
};
use super::support::{DEADLINE, Scene, Story, begin, begin_with, holds, message, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("deleting_a_system_pool_moves_its_pods_first", system_pool),
        story("deleting_a_user_pool_moves_protected_pods_first_where_the_policy_lets_it", user_pool),
        story("a_deletion_that_a_budget_stops_on_the_way_leaves_the_pool_as_it_was", closing_budget),
        story("a_deletion_that_is_taken_back_on_the_way_leaves_the_pool_open", taken_back),
    ]
}

/// A policy whose deletion deletes its pool.
pub fn goes(name: &str, system_pods: &str, more: Value) -> Value {
    let mut spec = json!({"deletionPolicy": "Delete", "disruption": {"systemPods": system_pods}});
    if let (Value::Object(all), Value::Object(more)) = (&mut spec, more) {
        all.extend(more);
    }
    policy(name, spec)
}

/// Two system pools of which the first is to go, with protected pods on its nodes.
pub async fn two_pools(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 2));
    let scene = begin_with(builder.pool(PoolSpec::system("two", 3)), arguments).await?;
    deploy(&scene.bed, "kube-system", "spread", 5).await?;
    scene.bed.wait_until_settled().await?;
    let homes = homes(&scene, "system").await?;
    anyhow::ensure!(homes.values().any(|pods| !pods.is_empty()), "the story needs protected pods on pool system");
    scene.apply(goes("system", "Relocate", json!({}))).await?;
    scene.has_finalizers("system", &[FINALIZER]).await?;
    scene.ready("system").await?;
    Ok(scene)
}

/// Waits until the policy and its pool are gone, and sees on the way that coredns never falls below its budget.
async fn goes_safely(scene: &Scene, name: &str) -> anyhow::Result<()> {
    let coredns: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(scene.bed.cluster.client(), "kube-system");
    wait_for(&format!("policy {name} to be gone"), DEADLINE.saturating_mul(2), async || {
        let ready = coredns.get("coredns").await?.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        anyhow::ensure!(ready >= 1, "{ready} pods of coredns are Ready");
        let Some(found) = scene.find(name).await? else { return Ok(Ok(())) };
        Ok(Err(serde_json::to_string_pretty(&found.status)?))
    })
    .await?;
    assert_eq!(scene.bed.emulator.pool(name), None, "the object goes when the pool is gone");
    Ok(())
}

/// What is written to ARM when a pool goes: that, and nothing else.
pub fn only_its_deletion(scene: &Scene, pool: &str) {
    let journal = scene.bed.emulator.journal().by_user_agent("nodepool-operator").writes();
    let written: Vec<String> =
        journal.iter().map(|exchange| format!("{} {}", exchange.method, exchange.path)).collect();
    assert!(written.len() == 1 && written[0].starts_with("DELETE "), "{written:?}");
    assert!(written[0].ends_with(&format!("/agentPools/{pool}")) && !written[0].contains("ignore"), "{written:?}");
}

async fn system_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_pools(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    let held = hold_evictions(&scene);
    scene.begin_deletion("system").await?;
    held.arrived().await?;
    let nodes = scene.nodes("system").await?;
    assert!(nodes.iter().all(|node| is_cordoned(node) && is_marked(node)), "all are closed before the first goes");
    let draining = scene
        .until("system", "to tell of the drain", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Draining")
        })
        .await?;
    let says = draining.operation.and_then(|operation| operation.step).unwrap_or_default();
    assert!(says.contains("to delete the pool"), "{says}");
    held.release();
    goes_safely(&scene, "system").await?;
    evicted_once(&scene, &homes, &homes.keys().cloned().collect());
    only_its_deletion(&scene, "system");
    scene.told("system", &["PlanMade", "PoolGone", "StepStarted", "StepSucceeded"]).await?;
    scene.is_quiet().await?;
    Ok(scene)
}

async fn user_pool(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 2))).await?;
    deploy(&scene.bed, "kube-system", "agent", 4).await?;
    deploy(&scene.bed, "default", "shop", 4).await?;
    scene.bed.wait_until_settled().await?;
    let homes = homes(&scene, "apps").await?;
    anyhow::ensure!(homes.values().any(|pods| !pods.is_empty()), "the story needs a protected pod on pool apps");
    scene.apply(goes("apps", "Protect", json!({}))).await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.begin_deletion("apps").await?;
    let refusal = scene.refused("apps", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("set spec.disruption.systemPods to Relocate in policy apps"), "{refusal}");
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (vec![], vec![]));
    is_open(&scene, "apps").await?;

    // The remedy works on an object that is being deleted already.
    scene.apply(goes("apps", "Relocate", json!({}))).await?;
    goes_safely(&scene, "apps").await?;
    let moved: BTreeSet<String> = evicted_by_operator(&scene)?.into_iter().collect();
    let planned: BTreeSet<&String> = homes.values().flatten().collect();
    assert!(planned.iter().all(|pod| moved.contains(*pod)), "{planned:?} {moved:?}");
    only_its_deletion(&scene, "apps");
    scene.bed.wait_until_settled().await?;
    Ok(scene)
}

async fn closing_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane, &["--retry-seconds", "3600"]).await?;
    deploy(&scene.bed, "kube-system", "spread", 5).await?;
    scene.bed.wait_until_settled().await?;
    let last = homes(&scene, "system").await?.values().flatten().max().cloned().unwrap_or_default();
    anyhow::ensure!(last.starts_with("spread-"), "the story needs a pod of spread on pool system: {last}");
    scene.apply(goes("system", "Relocate", json!({"autoscaling": autoscaling(2, 5)}))).await?;
    scene.has_finalizers("system", &[FINALIZER]).await?;
    scene.ready("system").await?;
    let held = hold_evictions(&scene);
    scene.begin_deletion("system").await?;
    let first = held.arrived().await?;
    anyhow::ensure!(!first.path.contains("/spread-"), "the story needs another pod to go first: {}", first.path);
    set_budget(&scene, "kube-system", "spread", json!({"maxUnavailable": 0})).await?;
    held.release();
    let status = scene
        .until("system", "to give the drain up", |status| {
            let given = status.attempt.as_ref().is_some_and(|attempt| attempt.outcome == outcome::GIVEN_UP);
            let says = message(status, condition::READY);
            let is_told = says.starts_with("the last drain was given up and its nodes are open again");
            given && is_told && holds(status, condition::STALLED)
        })
        .await?;
    assert_eq!(status.attempt.as_ref().map(|attempt| attempt.code.as_str()), Some("DisruptionBudgetBlocks"));
    is_open(&scene, "system").await?;
    wait_for("the autoscaler to be on again", DEADLINE, async || {
        let on = scene.in_arm("system", "enableAutoScaling") == true;
        Ok(if on { Ok(()) } else { Err(format!("{:?}", scene.writes())) })
    })
    .await?;
    let each = [json!({"enableAutoScaling": false}), turned_on(2, 5)];
    assert_eq!(scene.writes(), each.clone().map(|changed| write("system", changed)));
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.iter().all(|pod| !pod.starts_with("spread-")), "{evicted:?}");
    // It does not evict in a loop.
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes().len()), (evicted, 2));

    // With room in the budget it is tried again when the policy asks anew.
    set_budget(&scene, "kube-system", "spread", json!({"maxUnavailable": 1})).await?;
    scene.apply(goes("system", "Relocate", json!({"autoscaling": autoscaling(2, 5), "labels": {}}))).await?;
    goes_safely(&scene, "system").await?;
    Ok(scene)
}

async fn taken_back(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_pools(lane, &[]).await?;
    let held = hold_evictions(&scene);
    scene.begin_deletion("system").await?;
    held.arrived().await?;
    scene
        .apply(policy("system", json!({"disruption": {"systemPods": "Relocate"}, "deletionPolicy": "Orphan"})))
        .await?;
    held.release();
    scene.gone("system").await?;
    is_open(&scene, "system").await?;
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1, "more than the eviction that was on its way: {evicted:?}");
    scene.told("system", &["PlanMade", "PoolOrphaned", "StepSucceeded"]).await?;
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (evicted, vec![]));
    scene.bed.emulator.pool("system").context("the pool is gone")?;
    Ok(scene)
}
