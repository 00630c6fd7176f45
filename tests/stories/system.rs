//! System pools: promoted, demoted, and the demotion that must not be.

use aks_emulator::PoolSpec;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use nodepool_operator::api::{NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Match, Testbed, wait_for};

use super::support::{DEADLINE, Scene, Story, begin, holds, message, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("promote_a_user_pool", promote),
        story("refuse_to_make_a_system_pool_of_one_that_aks_does_not_take_and_offer_the_policy_of_another", unfit),
        story("demote_with_another_healthy_system_pool_and_no_protected_pods", demote),
        story("refuse_to_demote_the_only_system_pool", only_pool),
        story("refuse_to_demote_while_the_other_pools_nodes_are_not_ready", not_ready),
        story("refuse_to_demote_while_the_other_pools_nodes_are_cordoned", cordoned),
        story("refuse_to_demote_while_the_other_pools_nodes_are_tainted", tainted),
        story("refuse_to_demote_a_pool_that_protected_pods_run_on", protected_pods),
        story("a_system_pool_is_not_disturbed_while_an_add_on_does_not_run", unhealthy),
        story("the_fresh_look_before_a_write_refuses_what_has_become_unsafe", fresh_look),
        story("a_demotion_waits_for_the_promotion_that_is_planned_with_it", swap),
    ]
}

async fn two_system_pools(lane: Lane) -> anyhow::Result<Scene> {
    begin(Testbed::builder(lane).pool(PoolSpec::system("one", 2)).pool(PoolSpec::system("two", 2))).await
}

async fn promote(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("one", 2)).pool(PoolSpec::user("two", 2))).await?;
    scene.apply(policy("two", json!({"mode": "System"}))).await?;
    scene.ready("two").await?;
    for node in scene.nodes("two").await? {
        let labels = node.metadata.labels.unwrap_or_default();
        assert_eq!(labels.get("kubernetes.azure.com/mode").map(String::as_str), Some("system"));
    }
    assert_eq!(scene.writes(), [write("two", json!({"mode": "System"}))]);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn unfit(lane: Lane) -> anyhow::Result<Scene> {
    let small = PoolSpec { max_pods: 20, vm_size: "Standard_B1s".to_owned(), ..PoolSpec::user("apps", 1) };
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("one", 2)).pool(small)).await?;
    scene.apply(policy("apps", json!({"mode": "System", "labels": {"team": "a"}}))).await?;
    let refusal = scene.refused("apps", "ImmutableField").await?;
    assert!(refusal.contains("20 pods") && refusal.contains("Standard_B1s"), "{refusal}");
    let status = scene.stalled("apps", "ImmutableField").await?;
    assert!(message(&status, condition::READY).contains("{.status.successor}"), "{status:?}");
    scene.page("immutable-field", "apps").await?;

    // What a person does with it.
    let successor: Value = serde_json::from_str(&status.successor.unwrap_or_default())?;
    scene.apply(successor).await?;
    scene.apply(policy("apps", json!({"mode": "User", "labels": {"team": "a"}}))).await?;
    scene.ready("apps2").await?;
    let status = scene.ready("apps").await?;
    assert_eq!(status.successor, None);
    assert_eq!(
        (scene.in_arm("apps2", "mode"), scene.in_arm("apps2", "vmSize")),
        (json!("System"), json!("Standard_D4ds_v5"))
    );
    assert_eq!(scene.in_arm("apps", "mode"), "User");
    Ok(scene)
}

async fn demote(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane).await?;
    scene.move_add_ons_off("one").await?;
    let before = scene.evicted()?.len();
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    scene.ready("one").await?;
    assert_eq!(scene.in_arm("one", "mode"), "User");
    assert_eq!(scene.writes(), [write("one", json!({"mode": "User"}))]);
    assert_eq!(scene.evicted()?.len(), before, "a demotion evicts nothing");
    Ok(scene)
}

async fn only_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene =
        begin(Testbed::builder(lane).pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1))).await?;
    scene.apply(policy("apps", json!({"mode": "User", "count": 1}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("system", json!({"mode": "User", "count": 2}))).await?;
    let refusal = scene.refused("system", "LastHealthySystemPool").await?;
    assert!(refusal.contains("no other system pool") && refusal.contains("promote another pool"), "{refusal}");
    // Right after its start the operator has not seen the add-ons well for long enough, which passes.
    let rules = ["LastHealthySystemPool", "SystemCapacityFloor", "SystemPodsWouldBeEvicted", "SystemPodsUnplaceable"];
    let breaks = |status: &NodePoolPolicyStatus| status.refusals.iter().map(|refused| refused.rule.as_str()).eq(rules);
    let status = scene.until("system", "to break these rules", breaks).await?;
    assert!(holds(&status, condition::STALLED) && !holds(&status, condition::SAFE));
    scene.told("system", &["LastHealthySystemPool", "PlanMade"]).await?;
    scene.page("last-healthy-system-pool", "system").await?;
    assert_eq!(scene.writes(), []);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn unhealthy(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane).await?;
    scene.move_add_ons_off("one").await?;
    // What is started anew in this story does not go back there.
    for node in scene.node_names("one").await? {
        scene.bed.cluster.cordon(&node, true).await?;
    }
    let deployments = Api::<Deployment>::namespaced(scene.bed.cluster.client(), "kube-system");
    let ask_for = async |node_selector: Value| {
        let patch = json!({"spec": {"template": {"spec": {"nodeSelector": node_selector}}}});
        deployments.patch("metrics-server", &PatchParams::default(), &Patch::Merge(&patch)).await
    };
    // The new template fits on no node, so that the rollout hangs with the old pods Ready.
    ask_for(json!({"example.com/nowhere": "true"})).await?;
    wait_for("the rollout to have begun", DEADLINE, async || {
        let status = deployments.get("metrics-server").await?.status.unwrap_or_default();
        Ok(if status.unavailable_replicas.unwrap_or(0) > 0 { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await?;
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    scene.apply(policy("two", json!({"labels": {"team": "platform"}}))).await?;
    scene.ready("two").await?;
    let status = scene
        .until("one", "to wait for the add-on", |status| {
            status.condition(condition::RECONCILING).is_some_and(|it| it.reason == "KubeSystemUnhealthy")
        })
        .await?;
    let said = message(&status, condition::READY);
    assert!(said.contains("kube-system/metrics-server has ") && said.contains("Ready"), "{said}");
    assert!(holds(&status, condition::SAFE), "what may pass by itself is not unsafe");
    scene.page("kube-system-unhealthy", "one").await?;
    scene.looks_again().await?;
    assert_eq!(scene.writes().len(), 1, "only the label");

    ask_for(json!({"example.com/nowhere": null})).await?;
    scene.ready("one").await?;
    assert_eq!(scene.in_arm("one", "mode"), "User");
    Ok(scene)
}

/// Demotes pool `one` and sees it refused because of pool `two`, for the reason that is named.
async fn is_refused(scene: &Scene, reason: &str) -> anyhow::Result<()> {
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    let refusal = scene.refused("one", "LastHealthySystemPool").await?;
    assert!(refusal.contains("two") && refusal.contains(reason), "{refusal}");
    assert_eq!(scene.writes(), []);
    Ok(())
}

async fn not_ready(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane).await?;
    for node in scene.node_names("two").await? {
        scene.bed.cluster.set_ready(&node, false).await?;
    }
    is_refused(&scene, "is not Ready").await?;
    Ok(scene)
}

async fn cordoned(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane).await?;
    for node in scene.node_names("two").await? {
        scene.bed.cluster.cordon(&node, true).await?;
    }
    is_refused(&scene, "is cordoned").await?;
    Ok(scene)
}

async fn tainted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane).await?;
    for node in scene.node_names("two").await? {
        scene.bed.cluster.taint(&node, "maintenance=true:NoSchedule").await?;
    }
    is_refused(&scene, "maintenance=true:NoSchedule").await?;
    Ok(scene)
}

async fn protected_pods(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane).await?;
    assert!(!scene.add_ons_on("one").await?.is_empty(), "the story needs an add-on on pool one");
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    let refusal = scene.refused("one", "SystemPodsWouldBeEvicted").await?;
    let pods = scene.add_ons_on("one").await?;
    let named =
        |pod: &k8s_openapi::api::core::v1::Pod| refusal.contains(pod.metadata.name.as_deref().unwrap_or("no name"));
    assert!(pods.iter().any(named), "{refusal}");
    assert_eq!(scene.writes(), []);

    // The remedy that the refusal names works, and the operator goes on by itself.
    scene.move_add_ons_off("one").await?;
    scene.ready("one").await?;
    assert_eq!(scene.writes(), [write("one", json!({"mode": "User"}))]);
    Ok(scene)
}

async fn swap(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("one", 2)).pool(PoolSpec::user("two", 2));
    let scene = begin(builder.kube_system(KubeSystem::None)).await?;
    let held = scene.bed.emulator.operation("two").hold();
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    scene.apply(policy("two", json!({"mode": "System"}))).await?;
    anyhow::ensure!(held.arrived_within(DEADLINE).await, "the promotion never ran");
    let waits = scene
        .until("one", "to wait for the promotion", |status| {
            holds(status, condition::RECONCILING) && !holds(status, condition::STALLED)
        })
        .await?;
    assert!(!message(&waits, condition::RECONCILING).is_empty());
    assert_eq!(scene.writes(), [write("two", json!({"mode": "System"}))]);
    held.release();
    scene.ready("two").await?;
    scene.ready("one").await?;
    assert_eq!(scene.writes(), [write("two", json!({"mode": "System"})), write("one", json!({"mode": "User"}))]);
    Ok(scene)
}

/// The last view of ARM still shows a second system pool when the step is approved; the fresh look before the write
/// does not.
async fn fresh_look(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None);
    let scene = begin(builder.pool(PoolSpec::system("one", 2)).pool(PoolSpec::system("two", 2))).await?;
    let held = scene.bed.arm.hold(Match::method("GET").path_contains("/agentPools/two"));
    scene.apply(policy("one", json!({"mode": "User"}))).await?;
    held.arrived().await?;
    scene.bed.emulator.edit(|cluster| cluster.pool_mut("two").map(|pool| pool.set("mode", "User")));
    held.release();
    scene.refused("one", "LastHealthySystemPool").await?;
    scene.looks_again().await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}
