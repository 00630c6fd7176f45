//! Foreign hands between the operator's look and its write: another pool is demoted, scaled or tainted, or ARM answers with
//! what was before. Never looks at what becomes of the foreign change.

use std::collections::BTreeSet;

use aks_emulator::{Action, Matcher, PoolSpec};
use anyhow::Context as _;
use nodepool_operator::api::{NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Match, Testbed, wait_for};

use super::drains::{
    ends_with, evicted_by_operator, evicted_once, five_nodes, given_up, hold_evictions, homes, is_cordoned, marked,
    removed_only, scaled_to,
};
use super::steps::{Foreign, write_by_somebody_else};
use super::support::{DEADLINE, Scene, Story, begin, begin_with, holds, message, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("what_somebody_else_does_to_the_other_pool_before_a_write_is_heeded", other_pool),
        story("azure_refuses_a_demotion_that_somebody_else_was_quicker_with", quicker),
        story("a_stale_cluster_right_after_a_demotion_approves_no_second_one", stale_after_demotion),
        story("a_stale_cluster_right_after_a_drain_begins_no_second_one", stale_after_drain),
        story("a_demotion_of_the_other_pool_ends_the_drain_for_a_demotion", demoted_meanwhile),
    ]
}

/// Two system pools of two nodes each, with nothing in kube-system.
async fn two_pools(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("one", 2));
    begin(builder.pool(PoolSpec::system("two", 2))).await
}

/// Somebody else writes a pool with the Azure CLI, and the nodes follow.
async fn by_somebody_else(scene: &Scene, foreign: &Foreign) -> anyhow::Result<()> {
    let write = scene.bed.emulator.as_someone_else(&write_by_somebody_else(scene, foreign)).await;
    let status = write.and_then(|write| write.status);
    anyhow::ensure!(status == Some(200), "somebody else was answered {status:?}");
    scene.bed.emulator.idle().await;
    Ok(())
}

async fn other_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_pools(lane).await?;
    let hands: [(Foreign, Value, &str); 2] = [
        (("two", "mode", json!("User")), json!("System"), "LastHealthySystemPool"),
        (("two", "count", json!(1)), json!(2), "SystemCapacityFloor"),
    ];
    for (foreign, before, rule) in hands {
        // The last thing that is read before the write is the other pool.
        let held = scene.bed.arm.hold(Match::method("GET").path_contains("/agentPools/two"));
        scene.apply(policy("one", json!({"mode": "User"}))).await?;
        held.arrived().await?;
        by_somebody_else(&scene, &foreign).await?;
        held.release();
        scene.refused("one", rule).await.with_context(|| format!("after {foreign:?}"))?;
        scene.looks_again().await?;
        assert_eq!(scene.writes(), [], "{foreign:?}");

        scene.delete("one").await?;
        by_somebody_else(&scene, &(foreign.0, foreign.1, before)).await?;
        scene.bed.cluster.wait_for_ready_nodes("two", 2).await?;
    }
    // The only taint that Azure lets a system pool have takes nothing away: the demotion is made.
    let held = scene.bed.arm.hold(Match::method("GET").path_contains("/agentPools/two"));
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    held.arrived().await?;
    by_somebody_else(&scene, &("two", "nodeTaints", json!(["CriticalAddonsOnly=true:NoSchedule"]))).await?;
    held.release();
    scene.ready("one").await?;
    assert_eq!(scene.writes(), [write("one", json!({"mode": "User"}))]);
    Ok(scene)
}

async fn quicker(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("one", 2));
    let scene = begin_with(builder.pool(PoolSpec::system("two", 2)), &["--retry-seconds", "1"]).await?;
    let theirs = write_by_somebody_else(&scene, &("two", "mode", json!("User")));
    let ours = Matcher::put_pool("one").user_agent("nodepool-operator");
    let race = scene.bed.emulator.fault(ours, Action::AfterForeign(theirs), Some(1));
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    let refused = |status: &NodePoolPolicyStatus| {
        status.refusals.iter().any(|refused| refused.rule == "LastHealthySystemPool")
            && status.history.iter().any(|entry| entry.outcome == "RefusedByAzure")
    };
    let status = scene.until("one", "to be refused by Azure and then by the rule", refused).await?;
    assert_eq!(race.count(), 1);
    scene.looks_again().await?;
    let modes = ["one", "two"].map(|pool| scene.in_arm(pool, "mode"));
    assert_eq!((modes, scene.writes().len()), ([json!("System"), json!("User")], 1), "{status:?}");
    Ok(scene)
}

async fn stale_after_demotion(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_pools(lane).await?;
    scene.looks_again().await?;
    let stale = scene.bed.emulator.stale_clusters();
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    wait_for("pool one to be demoted", DEADLINE, async || {
        let mode = scene.in_arm("one", "mode");
        Ok(if mode == "User" { Ok(()) } else { Err(mode.to_string()) })
    })
    .await?;
    scene.bed.emulator.idle().await;
    scene.apply(policy("two", json!({"mode": "User"}))).await?;
    scene
        .until("two", "not to be Ready", |status| {
            status.condition(condition::READY).is_some() && !holds(status, condition::READY)
        })
        .await?;
    scene.looks_again().await?;
    scene.looks_again().await?;
    let demotion = [write("one", json!({"mode": "User"}))];
    assert_eq!(scene.writes(), demotion, "while the cluster is read as it was before");

    drop(stale);
    scene.refused("two", "LastHealthySystemPool").await?;
    scene.ready("one").await?;
    assert_eq!(scene.writes(), demotion);
    Ok(scene)
}

async fn stale_after_drain(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    let held = scene.bed.arm.hold(Match::method("POST").path_ends_with("/deleteMachines"));
    scene.apply(scaled_to(3, "Relocate")).await?;
    let going = marked(&scene, 2).await?;
    wait_for("the nodes to be empty", DEADLINE, async || {
        Ok(if held.count() > 0 { Ok(()) } else { Err(serde_json::to_string_pretty(&scene.status("system").await?)?) })
    })
    .await?;
    let stale = scene.bed.emulator.stale_clusters();
    held.release();
    wait_for("the nodes to go", DEADLINE, async || {
        let nodes = scene.nodes("system").await?.len();
        Ok(if nodes == 3 { Ok(()) } else { Err(format!("{nodes} nodes")) })
    })
    .await?;
    scene.bed.emulator.idle().await;
    scene.looks_again().await?;
    scene.looks_again().await?;
    let closed = scene.nodes("system").await?.into_iter().filter(is_cordoned).count();
    assert_eq!(closed, 0, "the cluster is read as it was before, and two nodes too many seem to be left");

    drop(stale);
    ends_with(&scene, 3).await?;
    evicted_once(&scene, &homes, &going);
    removed_only(&scene, &going);
    Ok(scene)
}

async fn demoted_meanwhile(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 2)).pool(PoolSpec::system("two", 3));
    let scene = begin_with(builder, &["--retry-seconds", "3600"]).await?;
    let homes = homes(&scene, "system").await?;
    anyhow::ensure!(homes.values().any(|pods| !pods.is_empty()), "the story needs protected pods on pool system");
    let held = hold_evictions(&scene);
    scene.apply(policy("system", json!({"mode": "User", "disruption": {"systemPods": "Relocate"}}))).await?;
    held.arrived().await?;
    let going = marked(&scene, 2).await?;
    assert_eq!(going, homes.keys().cloned().collect::<BTreeSet<_>>());
    by_somebody_else(&scene, &("two", "mode", json!("User"))).await?;
    held.release();
    let status = given_up(&scene, "LastHealthySystemPool").await?;
    assert!(message(&status, condition::READY).contains("no healthy system pool would remain"), "{status:?}");
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1, "more than the eviction that was on its way: {evicted:?}");
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (evicted, vec![]));
    assert_eq!(scene.in_arm("system", "mode"), "System");
    Ok(scene)
}
