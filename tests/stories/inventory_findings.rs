//! What the inventory says is worth a look, a story each: it is told with names while it is so, and not before or after.

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use nodepool_operator::api::{FindingSeverity, NodePoolInventoryStatus};
use serde_json::json;
use testbed::bed::Builder;
use testbed::{KubeSystem, Lane, Testbed};

use super::drains::{deploy, deploy_with};
use super::inventory::inventory;
use super::support::{Scene, Story, begin, begin_with, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_finding_names_application_pods_on_system_nodes", application_pods),
        story("a_finding_names_pods_of_kube_system_that_are_pending", pending),
        story("a_finding_names_pods_of_kube_system_that_restart", restarting),
        story("a_finding_names_pods_of_kube_system_outside_system_nodes", outside),
        story("a_finding_names_gpu_pools_without_taints", gpu),
        story("a_finding_tells_of_fewer_than_three_system_nodes", few),
        story("a_finding_tells_of_system_nodes_in_one_zone", zone),
        story("a_finding_tells_of_old_node_images", images),
        story("a_finding_names_pools_behind_the_control_plane", behind),
        story("a_finding_names_pools_without_policy", without_policy),
    ]
}

/// A cluster with nothing in kube-system, of which nothing but its pools without policies is worth a look.
fn builder(lane: Lane) -> Builder {
    let system = PoolSpec::system("system", 3).zones(&["1", "2", "3"]);
    Testbed::builder(lane).kube_system(KubeSystem::None).pool(system).pool(PoolSpec::user("apps", 1))
}

/// Images are as old as the recordings.
const ANY_IMAGE: [&str; 2] = ["--node-image-max-age-days", "36500"];

/// Waits until the inventory has a finding of that reason; its message.
async fn found(scene: &Scene, reason: &str) -> anyhow::Result<String> {
    let has = |status: &NodePoolInventoryStatus| status.finding(reason).is_some();
    let status = inventory(scene, &format!("to tell of {reason}"), has).await?;
    let finding = status.finding(reason).context("no finding")?;
    ensure!(!finding.remedy.is_empty(), "{finding:?}");
    Ok(finding.message.clone())
}

/// Waits until the inventory has no finding of that reason, and sees everything.
async fn gone(scene: &Scene, reason: &str) -> anyhow::Result<()> {
    let lacks = |status: &NodePoolInventoryStatus| {
        status.finding(reason).is_none() && status.summary.is_some() && status.unknown.is_empty()
    };
    inventory(scene, &format!("not to tell of {reason}"), lacks).await?;
    Ok(())
}

/// A cluster in which the finding is not made yet.
async fn scene_without(builder: Builder, reason: &str) -> anyhow::Result<Scene> {
    let scene = begin_with(builder, &ANY_IMAGE).await?;
    gone(&scene, reason).await?;
    Ok(scene)
}

async fn application_pods(lane: Lane) -> anyhow::Result<Scene> {
    let scene = scene_without(builder(lane), "ApplicationPodsOnSystemNodes").await?;
    let client = scene.bed.cluster.client();
    let namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}}))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let on_system = json!({"nodeSelector": {"kubernetes.azure.com/mode": "system"}});
    deploy_with(&scene.bed, "shop", "web", 2, on_system).await?;
    let message = found(&scene, "ApplicationPodsOnSystemNodes").await?;
    let status = inventory(&scene, "to name both pods", |status| {
        status.finding("ApplicationPodsOnSystemNodes").is_some_and(|it| it.message.matches("shop/web-").count() == 2)
    });
    assert!(message.contains("run on system nodes aks-system-"), "{message}");
    status.await?;
    deploy_with(&scene.bed, "shop", "web", 1, json!({"nodeSelector": {"kubernetes.azure.com/mode": "user"}})).await?;
    gone(&scene, "ApplicationPodsOnSystemNodes").await?;
    Ok(scene)
}

async fn pending(lane: Lane) -> anyhow::Result<Scene> {
    let scene = scene_without(builder(lane), "KubeSystemPodsPending").await?;
    let api: Api<Pod> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    let pod = json!({
        "metadata": {"name": "lost"},
        "spec": {"containers": [{"name": "c", "image": "c"}], "nodeSelector": {"no-such": "label"}}
    });
    api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let message = found(&scene, "KubeSystemPodsPending").await?;
    assert!(message.contains("kube-system/lost"), "{message}");
    api.delete("lost", &kube::api::DeleteParams::default().grace_period(0)).await?;
    gone(&scene, "KubeSystemPodsPending").await?;
    Ok(scene)
}

async fn restarting(lane: Lane) -> anyhow::Result<Scene> {
    let scene = scene_without(builder(lane), "KubeSystemPodsRestarting").await?;
    deploy(&scene.bed, "kube-system", "coredns", 1).await?;
    let api: Api<Pod> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    let pods = scene.bed.cluster.pods("kube-system").await?;
    let pod = pods.iter().find(|pod| pod.name_any().starts_with("coredns-")).context("no pod")?.name_any();
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}});
    let container = json!({
        "name": "c", "image": "c", "imageID": "c", "ready": false, "restartCount": 7, "state": waiting
    });
    let status = json!({"status": {
        "containerStatuses": [container], "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]
    }});
    api.patch_status(&pod, &PatchParams::default(), &Patch::Merge(&status)).await?;
    let message = found(&scene, "KubeSystemPodsRestarting").await?;
    assert!(message.contains(&format!("kube-system/{pod}")), "{message}");
    api.delete(&pod, &kube::api::DeleteParams::default().grace_period(0)).await?;
    gone(&scene, "KubeSystemPodsRestarting").await?;
    Ok(scene)
}

async fn outside(lane: Lane) -> anyhow::Result<Scene> {
    let scene = scene_without(builder(lane), "KubeSystemPodsOutsideSystemNodes").await?;
    let on = |mode: &str| json!({"nodeSelector": {"kubernetes.azure.com/mode": mode}});
    deploy_with(&scene.bed, "kube-system", "metrics-server", 1, on("user")).await?;
    let message = found(&scene, "KubeSystemPodsOutsideSystemNodes").await?;
    assert!(message.contains("on aks-apps-") && message.contains("kube-system/metrics-server-"), "{message}");
    deploy_with(&scene.bed, "kube-system", "metrics-server", 1, on("system")).await?;
    gone(&scene, "KubeSystemPodsOutsideSystemNodes").await?;
    Ok(scene)
}

async fn gpu(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(builder(lane).pool(PoolSpec::user("gpu", 0).vm_size("Standard_NC6s_v3"))).await?;
    let message = found(&scene, "GpuPoolsWithoutTaints").await?;
    assert!(message.ends_with("gpu (Standard_NC6s_v3)"), "{message}");
    // The remedy works, by the operator itself.
    let taint = json!([{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]);
    scene.apply(policy("gpu", json!({"taints": taint}))).await?;
    inventory(&scene, "not to tell of it", |status| status.finding("GpuPoolsWithoutTaints").is_none()).await?;
    Ok(scene)
}

async fn few(lane: Lane) -> anyhow::Result<Scene> {
    let system = PoolSpec::system("system", 2);
    let scene = begin(Testbed::builder(lane).kube_system(KubeSystem::None).pool(system)).await?;
    let message = found(&scene, "FewSystemNodes").await?;
    assert!(message.ends_with("system 2"), "{message}");
    scene.apply(policy("system", json!({"mode": "System", "count": 3}))).await?;
    inventory(&scene, "not to tell of it", |status| status.finding("FewSystemNodes").is_none()).await?;
    Ok(scene)
}

async fn zone(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None);
    let scene = begin(builder.pool(PoolSpec::system("system", 3).zones(&["2"]))).await?;
    let message = found(&scene, "SystemNodesInOneZone").await?;
    assert!(message.ends_with("-2"), "{message}");
    let template = json!({"vmSize": "Standard_D4ds_v5", "zones": ["1", "3"]});
    scene.apply(policy("other", json!({"mode": "System", "count": 2, "template": template}))).await?;
    scene.ready("other").await?;
    inventory(&scene, "not to tell of it", |status| status.finding("SystemNodesInOneZone").is_none()).await?;
    Ok(scene)
}

async fn images(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(builder(lane)).await?;
    let message = found(&scene, "NodeImagesOld").await?;
    assert!(message.contains("more than 30 days old: apps (AKS") && message.contains("system (AKS"), "{message}");
    Ok(scene)
}

async fn behind(lane: Lane) -> anyhow::Result<Scene> {
    let scene = scene_without(builder(lane), "PoolsBehindControlPlane").await?;
    scene.bed.emulator.edit(|cluster| {
        if let Some(pool) = cluster.pool_mut("apps") {
            pool.set("orchestratorVersion", "1.31.1");
            pool.set("currentOrchestratorVersion", "1.31.1");
        }
    });
    let message = found(&scene, "PoolsBehindControlPlane").await?;
    assert!(message.ends_with("apps (1.31.1)"), "{message}");
    Ok(scene)
}

async fn without_policy(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(builder(lane)).await?;
    let message = found(&scene, "PoolsWithoutPolicy").await?;
    assert!(message.contains("no policy names apps, system"), "{message}");
    scene.apply(policy("apps", json!({"enforcement": "Observe"}))).await?;
    let status = inventory(&scene, "to name the other only", |status| {
        status.finding("PoolsWithoutPolicy").is_some_and(|it| it.message.contains("no policy names system:"))
    });
    let status = status.await?;
    let finding = status.finding("PoolsWithoutPolicy").context("no finding")?;
    assert_eq!(finding.severity, FindingSeverity::Information);
    scene.apply(policy("system", json!({}))).await?;
    inventory(&scene, "not to tell of it", |status| status.finding("PoolsWithoutPolicy").is_none()).await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}
