//! `spec.paused` of the inventory: nothing is written anywhere while it is true, or while nobody can tell.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{Patch, PatchParams};
use nodepool_operator::api::{ConditionStatus, FINALIZER, condition};
use serde_json::json;
use testbed::{Lane, Match, OPERATOR_USER, wait_for};

use super::drains::{ends_with, evicted_by_operator, five_nodes, hold_evictions, is_cordoned, marked, scaled_to};
use super::inventory::pause;
use super::support::{DEADLINE, Scene, Story, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_pause_stops_every_write_until_it_ends", pauses),
        story("a_pause_shows_what_would_be_refused", refused),
        story("a_pause_leaves_a_drain_where_it_is", drain),
        story("a_deletion_waits_while_all_writes_are_paused", deletion),
        story("a_pause_holds_the_step_that_is_about_to_be_made", at_the_last_moment),
        story("nothing_is_written_while_nobody_can_tell_whether_all_is_paused", forbidden),
    ]
}

async fn pauses(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    pause(&scene, true).await?;
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    let paused = scene
        .until("apps", "to be paused", |status| {
            status.condition(condition::READY).is_some_and(|ready| ready.reason == "Paused")
        })
        .await?;
    assert!(holds(&paused, condition::READY), "the live pool is well: {paused:?}");
    assert!(!holds(&paused, condition::STALLED) && !holds(&paused, condition::RECONCILING), "{paused:?}");
    assert!(holds(&paused, condition::SAFE) && !holds(&paused, condition::IN_SYNC), "{paused:?}");
    assert!(message(&paused, condition::READY).contains("all writes are paused; left undone: "), "{paused:?}");
    scene.page("paused", "apps").await?;
    // A pause outlives the operator.
    scene.operator.terminate().await?;
    scene.operator.restart().await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    pause(&scene, false).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 3}))]);
    Ok(scene)
}

async fn refused(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    pause(&scene, true).await?;
    scene.apply(policy("system", json!({"mode": "User"}))).await?;
    let status = scene
        .until("system", "to be unsafe", |status| {
            status.condition(condition::SAFE).is_some_and(|safe| safe.status == ConditionStatus::False)
        })
        .await?;
    assert!(holds(&status, condition::READY) && !holds(&status, condition::STALLED), "{status:?}");
    assert!(status.refusals.iter().any(|refused| refused.rule == "LastHealthySystemPool"), "{status:?}");
    assert!(status.refusals.iter().all(|refused| refused.rule != "Paused"), "a pause is no refusal: {status:?}");
    scene.page("paused-and-unsafe", "system").await?;
    Ok(scene)
}

async fn drain(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &["--drain-deadline-seconds", "600"]).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    marked(&scene, 2).await?;
    pause(&scene, true).await?;
    held.release();
    scene.looks_again().await?;
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1, "only the one that was under way: {evicted:?}");
    scene.is_quiet().await?;
    assert_eq!(evicted_by_operator(&scene)?, evicted);
    marked(&scene, 2).await?;
    let closed = scene.nodes("system").await?.iter().filter(|node| is_cordoned(node)).count();
    assert_eq!(closed, 2, "the nodes stay as they are");
    pause(&scene, false).await?;
    ends_with(&scene, 3).await?;
    Ok(scene)
}

async fn deletion(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"deletionPolicy": "Delete"}))).await?;
    scene.ready("apps").await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    pause(&scene, true).await?;
    scene.begin_deletion("apps").await?;
    scene.looks_again().await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    ensure!(!scene.nodes("apps").await?.is_empty(), "the pool has gone");
    pause(&scene, false).await?;
    scene.gone("apps").await?;
    ensure!(scene.bed.emulator.pool("apps").is_none(), "the pool is still there");
    Ok(scene)
}

/// Somebody pauses while the fresh look before a write is under way.
async fn at_the_last_moment(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    let reads = scene.bed.api.hold(Match::method("GET").path_ends_with("/nodepoolinventories/cluster").times(1));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    reads.arrived().await?;
    let object = json!({
        "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolInventory", "metadata": {"name": "cluster"},
        "spec": {"paused": true}
    });
    let parameters = PatchParams::apply("gitops").force();
    super::inventory::inventories(&scene).patch("cluster", &parameters, &Patch::Apply(&object)).await?;
    reads.release();
    scene
        .until("apps", "to be paused", |status| {
            status.condition(condition::READY).is_some_and(|ready| ready.reason == "Paused")
        })
        .await?;
    assert_eq!(scene.writes(), []);
    pause(&scene, false).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

/// The role as it is installed, without the rights to inventories.
async fn forbidden(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    scene.operator.terminate().await?;
    let roles: Api<ClusterRole> = Api::all(scene.bed.cluster.client());
    let whole = roles.get("nodepool-operator").await?;
    let mut less = whole.clone();
    let is_other = |rule: &k8s_openapi::api::rbac::v1::PolicyRule| {
        !rule.resources.iter().flatten().any(|resource| resource == "nodepoolinventories")
    };
    less.rules.iter_mut().for_each(|rules| rules.retain(is_other));
    less.metadata.managed_fields = None;
    roles.replace("nodepool-operator", &kube::api::PostParams::default(), &less).await?;
    scene.operator.restart().await?;
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    let status = scene
        .until("apps", "to say what is not known", |status| {
            status.condition(condition::READY).is_some_and(|ready| ready.reason == "StaleObservation")
        })
        .await?;
    let says = message(&status, condition::READY);
    assert!(says.contains("whether all writes are paused") && says.contains("nodepoolinventories"), "{says}");
    assert!(scene.operator.log().contains("the watch of the inventory fails"), "the log says so too");
    scene.page("stale-observation", "apps").await?;
    scene.looks_again().await?;
    assert_eq!(scene.writes(), []);
    // With the right the operator goes on by itself.
    let again = json!({"rules": whole.rules});
    roles.patch("nodepool-operator", &PatchParams::default(), &Patch::Merge(&again)).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 3}))]);
    wait_for("the operator to write the inventory", DEADLINE.min(Duration::from_mins(1)), async || {
        let written = scene.bed.audit.writes_by(OPERATOR_USER)?;
        let known = written.iter().any(|write| write.resource.starts_with("nodepoolinventories"));
        Ok(if known { Ok(()) } else { Err("it has not") })
    })
    .await?;
    Ok(scene.in_which_rights_are_missing())
}
