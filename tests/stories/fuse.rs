//! Many pools that are to go at once: so many go, and then a person has to say that it is meant.

use std::collections::BTreeSet;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use kube::Api;
use nodepool_operator::api::{
    ALLOW_BULK_CHANGE, FINALIZER, INVENTORY, NodePoolInventory, NodePoolPolicyStatus, condition,
};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::support::{DEADLINE, Scene, Story, begin_with, holds, message, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("ten_deletions_in_one_commit_stop_at_the_fuse_and_a_person_lets_one_pass", ten_deletions),
        story("the_fuse_remembers_over_a_restart_what_went_with_its_policy", restarted),
        story("the_fuse_opens_by_itself_when_the_window_has_moved_on", window),
        story("a_bulk_change_that_azure_refuses_is_not_counted", refused),
    ]
}

/// A system pool of two nodes and so many user pools of one, each with its policy.
async fn cluster(lane: Lane, names: &[&'static str], arguments: &[&str], spec: Value) -> anyhow::Result<Scene> {
    let mut builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    for name in names {
        builder = builder.pool(PoolSpec::user(name, 1));
    }
    let scene = begin_with(builder, arguments).await?;
    for name in names {
        scene.apply(policy(name, spec.clone())).await?;
    }
    for name in names {
        scene.ready(name).await?;
        if spec["deletionPolicy"] == "Delete" {
            scene.has_finalizers(name, &[FINALIZER]).await?;
        }
    }
    Ok(scene)
}

/// The pools that are left of these.
fn left(scene: &Scene, names: &[&'static str]) -> BTreeSet<&'static str> {
    names.iter().copied().filter(|name| scene.bed.emulator.pool(name).is_some()).collect()
}

/// Waits until all policies but so many are gone, and those that are left are stopped by the fuse.
async fn stops_at(scene: &Scene, names: &[&'static str], number: usize) -> anyhow::Result<BTreeSet<&'static str>> {
    wait_for(&format!("{number} pools to be left"), DEADLINE, async || {
        let left = left(scene, names);
        Ok(if left.len() <= number { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await?;
    scene.bed.emulator.idle().await;
    let left = left(scene, names);
    // Each tells of all that are gone, of none that is on its way, and of nothing that passes with it, such as the room that
    // went with the last: then nothing is news any more.
    let gone: Vec<String> = names.iter().filter(|name| !left.contains(*name)).map(|name| format!("{name} (")).collect();
    for name in &left {
        scene.stalled(name, "BulkChangeFuse").await?;
        let tells_all = |status: &NodePoolPolicyStatus| {
            let said = message(status, condition::READY);
            let is_alone = status.refusals.iter().all(|refusal| refusal.rule == "BulkChangeFuse");
            gone.iter().all(|gone| said.contains(gone)) && !said.contains("(on its way)") && is_alone
        };
        scene.until(name, "to tell of all that are gone", tells_all).await?;
    }
    ensure!(left.len() == number, "only {left:?} are left");
    Ok(left)
}

/// The pools of the record.
async fn recorded(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let inventories = Api::<NodePoolInventory>::all(scene.bed.cluster.client());
    let status = inventories.get(INVENTORY).await?.status.unwrap_or_default();
    Ok(status.bulk_changes.into_iter().map(|change| format!("{} {}", change.pool, change.change)).collect())
}

async fn ten_deletions(lane: Lane) -> anyhow::Result<Scene> {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let scene = cluster(lane, &names, &[], json!({"count": 1, "deletionPolicy": "Delete"})).await?;
    for name in names {
        scene.begin_deletion(name).await?;
    }
    let left = stops_at(&scene, &names, 7).await?;
    let first = left.first().copied().context("none is left")?;
    let refusal = scene.refused(first, "BulkChangeFuse").await?;
    let gone: Vec<&str> = names.into_iter().filter(|name| !left.contains(name)).collect();
    ensure!(
        refusal
            .starts_with("no more than 3 pools may be deleted, stopped or emptied within 60 minutes, and these were: ")
            && gone.iter().all(|name| refusal.contains(&format!("{name} (deleted at 2")))
            && refusal.ends_with(&format!("kubectl annotate nodepoolpolicy {first} {ALLOW_BULK_CHANGE}={first}")),
        "{refusal}"
    );
    scene.is_quiet().await?;

    scene.annotate(first, ALLOW_BULK_CHANGE, "another").await?;
    scene.is_quiet().await?;
    scene.annotate(first, ALLOW_BULK_CHANGE, first).await?;
    scene.gone(first).await?;
    let after = stops_at(&scene, &names, 6).await?;
    ensure!(!after.contains(first), "{after:?}");
    scene.is_quiet().await?;
    Ok(scene)
}

async fn restarted(lane: Lane) -> anyhow::Result<Scene> {
    let names = ["a", "b", "c", "d", "e"];
    let mut scene =
        cluster(lane, &names, &["--bulk-changes", "2"], json!({"count": 1, "deletionPolicy": "Delete"})).await?;
    let held = scene.bed.emulator.operation("a").hold();
    scene.begin_deletion("a").await?;
    ensure!(held.arrived_within(DEADLINE).await, "the deletion never ran");
    ensure!(recorded(&scene).await? == ["a deleted"], "it is recorded before it is sent");
    scene.operator.kill().await?;
    held.release();
    scene.bed.emulator.idle().await;
    for name in ["b", "c", "d", "e"] {
        scene.begin_deletion(name).await?;
    }
    scene.operator.restart().await?;
    let left = stops_at(&scene, &names, 3).await?;
    ensure!(!left.contains("a"), "{left:?}");
    scene.operator.kill().await?;
    scene.operator.restart().await?;
    scene.looks_again().await?;
    ensure!(stops_at(&scene, &names, 3).await? == left, "a new process knows nothing of those that went");
    Ok(scene)
}

async fn window(lane: Lane) -> anyhow::Result<Scene> {
    let names = ["a", "b"];
    let arguments = ["--bulk-changes", "1", "--bulk-window-seconds", "20"];
    let scene = cluster(lane, &names, &arguments, json!({"count": 1})).await?;
    for name in names {
        scene.apply(policy(name, json!({"count": 1, "powerState": "Stopped"}))).await?;
    }
    let stopped = |name: &str| scene.in_arm(name, "powerState")["code"] == "Stopped";
    let last = scene.stalled("b", "BulkChangeFuse").await;
    ensure!(last.is_ok() && stopped("a") && !stopped("b"), "{last:?}");
    for name in names {
        let status = scene.ready(name).await?;
        ensure!(holds(&status, condition::SAFE) && stopped(name), "{status:?}");
    }
    ensure!(recorded(&scene).await? == ["b stopped"], "what lies before the window is not kept");
    Ok(scene)
}

async fn refused(lane: Lane) -> anyhow::Result<Scene> {
    let names = ["a", "b", "c"];
    let arguments = ["--bulk-changes", "1", "--retry-seconds", "600"];
    let scene = cluster(lane, &names, &arguments, json!({"count": 1})).await?;
    let matcher = aks_emulator::Matcher::method("PUT").path_ends_with("/agentPools/a").user_agent("nodepool-operator");
    let answer = aks_emulator::Canned::error(400, "BadRequest", "laid by a test");
    let _fault = scene.bed.emulator.fault(matcher, aks_emulator::Action::Answer(answer), None);
    scene.apply(policy("a", json!({"count": 0}))).await?;
    scene.stalled("a", "WriteFailed").await?;
    ensure!(recorded(&scene).await?.is_empty(), "{:?}", recorded(&scene).await?);
    scene.apply(policy("b", json!({"count": 0}))).await?;
    scene.ready("b").await?;
    ensure!(recorded(&scene).await? == ["b emptied"], "{:?}", recorded(&scene).await?);
    scene.apply(policy("c", json!({"count": 0}))).await?;
    scene.stalled("c", "BulkChangeFuse").await?;
    scene.page("bulk-change-fuse", "c").await?;
    Ok(scene)
}
