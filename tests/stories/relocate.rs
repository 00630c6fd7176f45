//! Chosen nodes that are drained and removed: what is planned is evicted and nothing else, one protected pod after the other,
//! and whatever stops a drain leaves no node cordoned.

use std::collections::BTreeSet;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testbed::{Lane, Match, OPERATOR_USER, Testbed, wait_for};

use super::drains::{
    deploy, ends_with, evicted_by_operator, evicted_once, five_nodes, given_up, hold_evictions, homes, is_cordoned,
    is_marked, is_open, let_go_one_by_one, marked, protected_on, removed_only, scaled_to, set_budget,
};
use super::support::{DEADLINE, Scene, Story, begin, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("relocate_scales_a_system_pool_down_by_moving_its_pods", moves_pods),
        story("relocate_moves_the_pods_of_a_stateful_set_too", moves_stateful_pods),
        story("protect_removes_only_nodes_without_protected_pods", empty_nodes),
        story("a_demotion_moves_the_protected_pods_first", demotion),
        story("a_budget_that_never_opens_stops_a_drain_before_it_begins", closed_budget),
        story("a_budget_that_closes_on_the_way_opens_every_node_again", closing_budget),
        story("a_drain_that_takes_too_long_opens_every_node_again", too_long),
        story("a_drain_of_a_policy_that_is_suspended_opens_every_node_again", suspended),
        story("a_node_that_somebody_else_cordoned_is_never_taken", foreign_cordon),
    ]
}

async fn moves_pods(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    let going = marked(&scene, 2).await?;
    let draining = scene
        .until("system", "to tell of the drain", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Draining")
        })
        .await?;
    let says = draining.operation.and_then(|operation| operation.step).unwrap_or_default();
    assert!(says.contains("to scale from 5 to 3 nodes") || says.contains("scale from 5 to 3"), "{says}");
    assert!(let_go_one_by_one(&scene, "system", held).await? > 0);
    let status = ends_with(&scene, 3).await?;

    let left: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let gone: BTreeSet<String> = homes.keys().filter(|node| !left.contains(*node)).cloned().collect();
    assert_eq!(gone, going, "exactly the chosen nodes went");
    evicted_once(&scene, &homes, &going);
    removed_only(&scene, &going);
    assert_eq!(scene.in_arm("system", "count"), 3);
    is_open(&scene, "system").await?;
    let done: Vec<&str> = status.history.iter().map(|entry| entry.step.as_str()).collect();
    assert!(done.iter().any(|step| step.starts_with("evict kube-system/")), "{done:?}");
    assert!(done.iter().any(|step| step.starts_with("remove nodes ")), "{done:?}");
    let events = Api::<Event>::all(scene.bed.cluster.client()).list(&ListParams::default()).await?;
    let told: BTreeSet<String> = events
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some("CordonedForDrain"))
        .filter_map(|event| event.regarding?.name)
        .collect();
    assert_eq!(told, going, "the nodes have their events");
    scene.is_quiet().await?;
    Ok(scene)
}

/// Its pods come back under their own names, so that a successor is told by its id.
async fn moves_stateful_pods(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let labels = json!({"app": "store"});
    let apart = json!({"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"});
    let weighted = json!([{"weight": 100, "podAffinityTerm": apart}]);
    let pods = json!({
        "containers": [{"name": "c", "image": "c", "resources": {"requests": {"cpu": "10m"}}}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": weighted}},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    });
    let store: StatefulSet = serde_json::from_value(json!({
        "metadata": {"name": "store"},
        "spec": {
            "replicas": 5, "serviceName": "store", "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pods}
        }
    }))?;
    let api: Api<StatefulSet> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    api.create(&PostParams::default(), &store).await?;
    wait_for("the StatefulSet to run", DEADLINE, async || {
        let ready = api.get("store").await?.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        Ok(if ready == 5 { Ok(()) } else { Err(format!("{ready} are Ready")) })
    })
    .await?;
    let homes = homes(&scene, "system").await?;
    scene.apply(scaled_to(4, "Relocate")).await?;
    let going = marked(&scene, 1).await?;
    ends_with(&scene, 4).await?;
    evicted_once(&scene, &homes, &going);
    let evicted = evicted_by_operator(&scene)?;
    anyhow::ensure!(evicted.iter().any(|pod| pod.starts_with("store-")), "{evicted:?}");
    removed_only(&scene, &going);
    Ok(scene)
}

async fn empty_nodes(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 5))).await?;
    let names = scene.node_names("system").await?;
    let free: BTreeSet<String> = names.iter().take(2).cloned().collect();
    scene.bed.cluster.move_pods_off(&free.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    scene.bed.wait_until_settled().await?;
    for node in names.iter().skip(2) {
        let pods = protected_on(&scene, &[node.clone()].into()).await?;
        anyhow::ensure!(!pods.is_empty(), "the story needs a protected pod on {node}");
    }
    let before = scene.evicted()?.len();
    scene.apply(scaled_to(3, "Protect")).await?;
    ends_with(&scene, 3).await?;
    assert_eq!(scene.evicted()?.len(), before, "nothing was evicted");
    removed_only(&scene, &free);
    // What is left all have protected pods.
    scene.apply(scaled_to(2, "Protect")).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("set spec.disruption.systemPods to Relocate in policy system"), "{refusal}");
    assert_eq!((scene.writes().len(), scene.evicted()?.len()), (1, before));
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn demotion(lane: Lane) -> anyhow::Result<Scene> {
    let scene =
        begin(Testbed::builder(lane).pool(PoolSpec::system("system", 2)).pool(PoolSpec::system("two", 3))).await?;
    let nodes: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let planned = protected_on(&scene, &nodes).await?;
    anyhow::ensure!(!planned.is_empty(), "the story needs protected pods on pool system");
    deploy(&scene.bed, "default", "shop", 5).await?;
    scene.apply(policy("system", json!({"mode": "User", "disruption": {"systemPods": "Relocate"}}))).await?;
    ends_with(&scene, 2).await?;
    assert_eq!(scene.in_arm("system", "mode"), "User");
    let evicted: BTreeSet<String> = evicted_by_operator(&scene)?.into_iter().collect();
    assert_eq!(evicted, planned, "applications stay where they are");
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn closed_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    deploy(&scene.bed, "default", "shop", 5).await?;
    set_budget(&scene, "default", "shop", json!({"maxUnavailable": 0})).await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    let refusal = scene.refused("system", "DisruptionBudgetBlocks").await?;
    assert!(refusal.contains("default/shop") && refusal.contains("let the budget allow one pod to go"), "{refusal}");
    assert_eq!((scene.writes(), evicted_by_operator(&scene)?), (vec![], vec![]));
    is_open(&scene, "system").await?;
    // The remedy works, and the operator goes on by itself.
    set_budget(&scene, "default", "shop", json!({"maxUnavailable": 1})).await?;
    ends_with(&scene, 3).await?;
    Ok(scene)
}

async fn closing_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &["--retry-seconds", "3600"]).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    set_budget(&scene, "kube-system", "spread", json!({"maxUnavailable": 0})).await?;
    held.release();
    given_up(&scene, "DisruptionBudgetBlocks").await?;
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.iter().all(|pod| !pod.starts_with("spread-")), "{evicted:?}");
    assert_eq!((scene.writes(), scene.in_arm("system", "count")), (vec![], json!(5)));
    // It does not evict in a loop.
    scene.looks_again().await?;
    assert_eq!(evicted_by_operator(&scene)?, evicted);
    Ok(scene)
}

async fn too_long(lane: Lane) -> anyhow::Result<Scene> {
    // Long enough for an eviction to be tried: a pod that is as new as the cordon waits some seconds for it.
    let scene = five_nodes(lane, &["--drain-deadline-seconds", "20", "--retry-seconds", "3600"]).await?;
    // No eviction ever reaches the API server.
    let lost = scene.bed.api.drop_request(Match::method("POST").path_contains("/eviction"));
    scene.apply(scaled_to(3, "Relocate")).await?;
    lost.arrived().await?;
    given_up(&scene, "DrainTimedOut").await?;
    assert_eq!(evicted_by_operator(&scene)?, Vec::<String>::new());
    assert_eq!(scene.in_arm("system", "count"), 5);
    Ok(scene)
}

async fn suspended(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    marked(&scene, 2).await?;
    let spec = json!({"count": 3, "suspend": true, "disruption": {"systemPods": "Relocate"}});
    scene.apply(policy("system", spec)).await?;
    held.release();
    is_open(&scene, "system").await?;
    scene.looks_again().await?;
    assert!(evicted_by_operator(&scene)?.len() <= 1, "only the one that was under way");
    assert_eq!(scene.in_arm("system", "count"), 5);
    // A policy that is gone leaves nothing behind either.
    scene.apply(scaled_to(3, "Relocate")).await?;
    scene
        .apply(policy("system", json!({"count": 3, "suspend": false, "disruption": {"systemPods": "Relocate"}})))
        .await?;
    marked(&scene, 2).await?;
    let held = hold_evictions(&scene);
    scene.delete("system").await?;
    held.release();
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn foreign_cordon(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let names = scene.node_names("system").await?;
    // The newest node would be the first choice.
    let theirs = names.last().context("no node")?.clone();
    scene.bed.cluster.cordon(&theirs, true).await?;
    let on_it = protected_on(&scene, &[theirs.clone()].into()).await?;
    scene.apply(scaled_to(4, "Relocate")).await?;
    ends_with(&scene, 4).await?;
    let node = scene.nodes("system").await?.into_iter().find(|node| node.name_any() == theirs);
    let node = node.context("the node of somebody else was removed")?;
    assert!(is_cordoned(&node) && !is_marked(&node), "{:?}", node.annotations());
    let written = scene.bed.audit.writes_by(OPERATOR_USER)?;
    assert!(written.iter().all(|write| write.resource != "nodes" || write.name != theirs), "{written:?}");
    assert_eq!(protected_on(&scene, &[theirs.clone()].into()).await?, on_it, "nothing was moved there, nor away");
    scene.bed.cluster.cordon(&theirs, false).await?;
    Ok(scene)
}
