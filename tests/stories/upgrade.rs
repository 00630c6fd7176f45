//! Kubernetes versions: pools follow their policies and the control plane, wait for it, are refused before and never half-way,
//! and never go back.

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use nodepool_operator::api::{ConditionStatus, NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::drains::{deploy, set_budget};
use super::support::{DEADLINE, Scene, Story, begin, begin_with, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("upgrade_a_user_pool", user_pool),
        story("upgrade_settings_are_owned_one_by_one", settings),
        story("a_pool_follows_the_control_plane", control_plane),
        story("an_upgrade_waits_for_the_control_plane", waits),
        story("a_version_that_aks_does_not_offer_is_refused", skew),
        story("a_pool_that_aks_upgraded_is_never_taken_back", ahead),
        story("a_new_pool_has_the_version_and_the_settings_of_its_policy", new_pool),
        story("a_budget_that_allows_none_refuses_an_upgrade_before", closed_budget),
        story("an_upgrade_of_a_system_pool_is_refused_under_protect", protect),
        story("relocate_upgrades_system_pools_one_at_a_time", relocate),
    ]
}

/// A system pool as new as the control plane, 1.33.5, and a user pool of two nodes that is older.
pub async fn old_pool(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    begin_with(builder.pool(PoolSpec::user("apps", 2).versions("1.32", "1.32.9")), arguments).await
}

/// The write of a version.
pub fn to(pool: &str, version: &str) -> super::support::Write {
    write(pool, json!({"orchestratorVersion": version}))
}

/// Moves the control plane on, as somebody with the Azure CLI would.
fn move_control_plane(scene: &Scene, version: &str) {
    scene.bed.emulator.edit(|cluster| {
        cluster.set("kubernetesVersion", version);
        cluster.set("currentKubernetesVersion", version);
    });
}

fn reason<'a>(status: &'a NodePoolPolicyStatus, type_: &str) -> &'a str {
    status.condition(type_).map_or("", |condition| condition.reason.as_str())
}

/// The versions of the kubelets of a pool.
pub async fn kubelets(scene: &Scene, pool: &str) -> anyhow::Result<Vec<String>> {
    let version = |node: Node| node.status?.node_info.map(|info| info.kubelet_version);
    Ok(scene.nodes(pool).await?.into_iter().filter_map(version).collect())
}

async fn user_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_pool(lane, &[]).await?;
    let before = scene.node_names("apps").await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    held.arrived().await;
    let running = scene
        .until("apps", "to tell of the upgrade", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Upgrading")
        })
        .await?;
    let operation = running.operation.context("an operation")?;
    assert_eq!(operation.step.as_deref(), Some("upgrade from Kubernetes 1.32.9 to 1.33.5"));
    assert_eq!(operation.field.as_deref(), Some("kubernetesVersion"));
    scene.page("upgrading", "apps").await?;
    held.release();
    let status = scene.ready("apps").await?;
    assert_eq!(scene.writes(), [to("apps", "1.33.5")]);
    assert_eq!(kubelets(&scene, "apps").await?, ["v1.33.5", "v1.33.5"]);
    assert_eq!(scene.node_names("apps").await?, before, "the surge node is gone again");
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Started", "Succeeded"]);
    let pool = status.pool.context("a pool")?;
    assert_eq!((pool.kubernetes_version.as_deref(), pool.available_upgrades.len()), (Some("1.33.5"), 0));
    scene.told("apps", &["PlanMade", "StepStarted", "StepSucceeded"]).await?;

    // A patch of it is there already, and neither a word of the minor nor of the patch is a change.
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33.5"}))).await?;
    scene.ready("apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 1);
    let lists = scene.bed.emulator.journal().only(|exchange| exchange.path.contains("/upgradeProfiles/")).len();
    ensure!((1..=2).contains(&lists), "the list is read for the step and before its write, not at rest: {lists} times");
    Ok(scene)
}

async fn settings(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.edit_by_hand("apps", json!({"upgradeSettings": {"maxSurge": "20%", "drainTimeoutInMinutes": 45}})).await?;
    scene.bed.emulator.idle().await;
    scene.apply(policy("apps", json!({"upgrade": {"drainTimeoutMinutes": 45, "maxUnavailable": "0"}}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [], "what is not set is what AKS takes");
    scene.apply(policy("apps", json!({"upgrade": {"maxSurge": "33%", "nodeSoakMinutes": 5}}))).await?;
    let status = scene.ready("apps").await?;
    let kept = json!({
        "maxSurge": "33%", "maxUnavailable": "0", "drainTimeoutInMinutes": 45, "nodeSoakDurationInMinutes": 5
    });
    assert_eq!(scene.writes(), [write("apps", json!({"upgradeSettings": kept}))]);
    let step = status.history.last().context("a step")?;
    assert_eq!(
        (step.field.as_str(), step.step.as_str()),
        (
            "upgrade",
            "change the upgrade settings from maxSurge 20%, nodeSoakMinutes 0 to maxSurge 33%, nodeSoakMinutes 5"
        )
    );
    scene.apply(policy("apps", json!({"mode": "User"}))).await?;
    scene.ready("apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.in_arm("apps", "upgradeSettings"), kept, "what is not named is left alone");
    Ok(scene)
}

async fn control_plane(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?;
    scene.apply(policy("apps", json!({"kubernetesVersion": "ControlPlane"}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), []);
    move_control_plane(&scene, "1.33.6");
    scene.until("apps", "to differ", |status| !status.drift.is_empty()).await?;
    scene.ready("apps").await?;
    move_control_plane(&scene, "1.34.2");
    wait_for("the next upgrade", DEADLINE, async || {
        let runs = scene.in_arm("apps", "currentOrchestratorVersion");
        Ok(if runs == "1.34.2" { Ok(()) } else { Err(runs.to_string()) })
    })
    .await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [to("apps", "1.33.6"), to("apps", "1.34.2")]);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn waits(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.34", "labels": {"tier": "web"}}))).await?;
    let status = scene
        .until("apps", "to wait for the control plane", |status| {
            holds(status, condition::RECONCILING) && reason(status, condition::READY) == "VersionSkew"
        })
        .await?;
    assert_eq!(
        message(&status, condition::RECONCILING),
        "to upgrade from Kubernetes 1.33.5 to 1.34 waits: pool apps is to run Kubernetes 1.34, and no pool may be newer than \
         the control plane, which runs 1.33.5"
    );
    assert!(holds(&status, condition::SAFE) && !holds(&status, condition::STALLED), "nothing has failed");
    assert_eq!(scene.writes(), [write("apps", json!({"nodeLabels": {"tier": "web"}}))], "other changes do not wait");
    scene.is_quiet().await?;
    let lists = scene.bed.emulator.journal().only(|exchange| exchange.path.contains("/upgradeProfiles/")).len();
    assert_eq!(lists, 0, "nothing is asked while it waits");
    scene.page("waits-for-control-plane", "apps").await?;
    move_control_plane(&scene, "1.34.1");
    scene.ready("apps").await?;
    assert_eq!(scene.in_arm("apps", "currentOrchestratorVersion"), "1.34.1");
    Ok(scene)
}

async fn skew(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1).versions("1.31", "1.31.13"))).await?;
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    let refusal = scene.refused("apps", "VersionSkew").await?;
    assert_eq!(
        refusal,
        "AKS does not offer pool apps an upgrade to Kubernetes 1.33.5; it offers 1.32.6, 1.32.7, 1.32.9, 1.32.10 set \
         spec.kubernetesVersion to one of these first, and to this one when the pool has it"
    );
    let status = scene.stalled("apps", "VersionSkew").await?;
    let offered = status.pool.context("a pool")?.available_upgrades;
    assert_eq!(offered, ["1.32.6", "1.32.7", "1.32.9", "1.32.10"]);
    scene.page("version-skew", "apps").await?;
    assert_eq!(scene.writes(), []);
    scene.is_quiet().await?;
    // Step by step, as the refusal says.
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.32"}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [to("apps", "1.32"), to("apps", "1.33.5")]);
    Ok(scene)
}

async fn ahead(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?.in_which_azure_drains();
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    scene.ready("apps").await?;
    scene.bed.emulator.auto_upgrade("1.34.2")?;
    let is_ahead = |status: &NodePoolPolicyStatus| reason(status, condition::IN_SYNC) == "AheadOfSpec";
    let status =
        scene.until("apps", "to be ahead", |status| is_ahead(status) && holds(status, condition::READY)).await?;
    assert_eq!(
        message(&status, condition::IN_SYNC),
        "the pool runs Kubernetes 1.34.2, the policy asks for 1.33: AKS takes no version back, and the pool is left as it is; \
         set spec.kubernetesVersion to 1.34.2 or ControlPlane"
    );
    let in_sync = status.condition(condition::IN_SYNC).map(|condition| condition.status);
    assert_eq!(in_sync, Some(ConditionStatus::False));
    assert!(message(&status, condition::READY).ends_with("the pool runs Kubernetes 1.34.2, the policy asks for 1.33"));
    assert_eq!(status.drift.first().map(|drift| drift.field.as_str()), Some("kubernetesVersion"));
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), [], "never a downgrade");
    scene.page("ahead-of-spec", "apps").await?;
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33", "count": 2}))).await?;
    let status = scene.ready("apps").await?;
    assert!(is_ahead(&status));
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))], "all else goes on");
    Ok(scene)
}

async fn new_pool(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder).await?;
    let upgrade = json!({"maxSurge": "50%", "undrainableNodes": "Cordon"});
    let new = |version: &str| json!({"count": 1, "kubernetesVersion": version, "upgrade": upgrade, "template": {"vmSize": "Standard_D4ds_v5"}});
    scene.apply(policy("apps", new("1.34"))).await?;
    scene.until("apps", "to wait", |status| reason(status, condition::READY) == "VersionSkew").await?;
    scene.apply(policy("apps", new("1.32"))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.in_arm("apps", "currentOrchestratorVersion"), "1.32.10");
    assert_eq!(scene.in_arm("apps", "upgradeSettings")["maxSurge"], "50%");
    assert_eq!(scene.in_arm("apps", "upgradeSettings")["undrainableNodeBehavior"], "Cordon");
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 1);
    Ok(scene)
}

async fn closed_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_pool(lane, &[]).await?;
    let apart: Value = json!({"nodeSelector": {"agentpool": "apps"}});
    super::drains::deploy_with(&scene.bed, "default", "web", 2, apart).await?;
    set_budget(&scene, "default", "web", json!({"maxUnavailable": 0})).await?;
    scene.apply(policy("apps", json!({"kubernetesVersion": "1.33"}))).await?;
    let refusal = scene.refused("apps", "DisruptionBudgetBlocks").await?;
    assert!(
        refusal.starts_with(
            "the upgrade of pool apps would wait for 2 pods that may not be evicted, and fail: budget default/web allows no \
             disruption: 2 healthy pods, 2 are needed (default/web-"
        ),
        "{refusal}"
    );
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    set_budget(&scene, "default", "web", json!({"maxUnavailable": 1})).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [to("apps", "1.33.5")]);
    Ok(scene)
}

async fn old_system(lane: Lane) -> anyhow::Result<Scene> {
    let system = |name: &str| PoolSpec::system(name, 2).versions("1.32", "1.32.9");
    begin(Testbed::builder(lane).pool(system("system")).pool(system("other"))).await
}

async fn protect(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_system(lane).await?;
    deploy(&scene.bed, "kube-system", "spread", 4).await?;
    scene.apply(policy("system", json!({"kubernetesVersion": "1.33"}))).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    let finding = "the upgrade of pool system replaces all of its nodes and would evict kube-system/";
    let remedy = "set spec.disruption.systemPods to Relocate in policy system, which lets AKS move them node by node as their \
                  budgets allow";
    assert!(refusal.starts_with(finding) && refusal.ends_with(remedy), "{refusal}");
    scene.stalled("system", "SystemPodsWouldBeEvicted").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    let lists = scene.bed.emulator.journal().only(|exchange| exchange.path.contains("/upgradeProfiles/")).len();
    assert_eq!(lists, 0, "what is refused anyhow is not asked for");
    Ok(scene)
}

async fn relocate(lane: Lane) -> anyhow::Result<Scene> {
    let scene = old_system(lane).await?.in_which_azure_drains();
    let mut wanted = json!({"upgrade": {"maxSurge": "1"}, "disruption": {"systemPods": "Relocate"}});
    for pool in ["system", "other"] {
        scene.apply(policy(pool, wanted.clone())).await?;
        scene.ready(pool).await?;
    }
    wanted["kubernetesVersion"] = json!("1.33");
    let held = scene.bed.emulator.operation("other").hold();
    scene.apply(policy("other", wanted.clone())).await?;
    held.arrived().await;
    scene.apply(policy("system", wanted)).await?;
    let status = scene
        .until("system", "to wait for the other pool", |status| {
            status.refusals.iter().any(|refused| refused.rule == "OperationInProgress")
                || message(status, condition::READY).contains("waits for")
        })
        .await?;
    assert!(!holds(&status, condition::STALLED), "{status:?}");
    held.release();
    scene.ready("other").await?;
    scene.ready("system").await?;
    let settings = |pool: &str| write(pool, json!({"upgradeSettings": {"maxSurge": "1", "maxUnavailable": "0"}}));
    let versions: Vec<_> =
        scene.writes().into_iter().filter(|write| !write.1["properties"]["orchestratorVersion"].is_null()).collect();
    assert_eq!(
        versions,
        [to("other", "1.33.5"), to("system", "1.33.5")],
        "one after the other: {:?}",
        settings("other")
    );
    for pool in ["system", "other"] {
        assert_eq!(kubelets(&scene, pool).await?, ["v1.33.5", "v1.33.5"]);
    }
    Ok(scene)
}
