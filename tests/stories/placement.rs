//! Pods that need another place: a step that would leave a protected pod without one is refused, and one that waits for a
//! node in vain blocks nothing.

use aks_emulator::PoolSpec;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use nodepool_operator::api::condition;
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{DEADLINE, Scene, Story, begin, holds, policy, story, taints_of};

pub fn stories() -> Vec<Story> {
    vec![
        story("refuse_a_no_execute_taint_that_leaves_a_protected_pod_without_a_place", no_execute),
        story("refuse_a_label_without_which_a_protected_pod_has_no_place", label),
        story("a_protected_pod_that_waits_in_vain_blocks_nothing", waits_in_vain),
        story("a_protected_pod_that_waits_keeps_the_place_that_it_may_have", waits_for_another_scheduler),
    ]
}

/// A system pool of two nodes and two user pools of one, with nothing in kube-system.
async fn cluster(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    begin(builder.pool(PoolSpec::user("apps", 1)).pool(PoolSpec::user("spare", 1))).await
}

/// Runs a Deployment of one pod in kube-system.
async fn deploy(scene: &Scene, name: &str, more: Value) -> anyhow::Result<()> {
    let mut spec = json!({"containers": [{"name": "c", "image": "c", "resources": {"requests": {"cpu": "100m"}}}]});
    if let (Value::Object(all), Value::Object(more)) = (&mut spec, more) {
        all.extend(more);
    }
    let labels = json!({"app": name});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}
        }
    });
    let parameters = PatchParams::apply("gitops").force();
    deployments(scene).patch(name, &parameters, &Patch::Apply(&deployment)).await?;
    Ok(())
}

fn deployments(scene: &Scene) -> Api<Deployment> {
    Api::namespaced(scene.bed.cluster.client(), "kube-system")
}

/// Waits until a pod of kube-system runs on a node of the pool.
async fn runs_on(scene: &Scene, pool: &str) -> anyhow::Result<()> {
    testbed::wait_for(&format!("a pod on {pool}"), DEADLINE, async || {
        let pods = scene.add_ons_on(pool).await?;
        Ok(if pods.iter().any(testbed::cluster::is_running) { Ok(()) } else { Err("none runs") })
    })
    .await
}

async fn no_execute(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    deploy(&scene, "keeper", json!({"nodeSelector": {"kubernetes.azure.com/agentpool": "apps"}})).await?;
    runs_on(&scene, "apps").await?;
    let taints = json!({"taints": [{"key": "team", "value": "a", "effect": "NoExecute"}]});
    scene.apply(policy("apps", taints)).await?;
    let refusal = scene.refused("apps", "SystemPodsUnplaceable").await?;
    let why = "(0 of 4 nodes: 3 are not selected by its node selector or affinity, 1 has the taint team=a:NoExecute)";
    assert!(refusal.contains("kube-system/keeper-") && refusal.contains(why), "{refusal}");
    scene.page("system-pods-unplaceable", "apps").await?;
    assert_eq!(scene.writes(), []);
    // Once its workload asks for another place, nothing is moved any more.
    deploy(&scene, "keeper", json!({"nodeSelector": {"kubernetes.azure.com/agentpool": "spare"}})).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn label(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    scene.apply(policy("apps", json!({"labels": {"tier": "a"}}))).await?;
    scene.ready("apps").await?;
    deploy(&scene, "keeper", json!({"nodeSelector": {"tier": "a"}})).await?;
    runs_on(&scene, "apps").await?;
    let written = scene.writes().len();
    scene.apply(policy("apps", json!({"labels": {"tier": "b"}}))).await?;
    let refusal = scene.refused("apps", "SystemPodsUnplaceable").await?;
    assert!(refusal.contains("the change of the label tier would leave pods without a place"), "{refusal}");
    assert_eq!(scene.writes().len(), written);
    // Another pool takes it.
    scene.apply(policy("spare", json!({"labels": {"tier": "a"}}))).await?;
    scene.ready("spare").await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn waits_in_vain(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 3));
    let scene = begin(builder.pool(PoolSpec::user("apps", 2))).await?;
    deploy(&scene, "stray", json!({"nodeSelector": {"no": "where"}})).await?;
    deploy(&scene, "gated", json!({"schedulingGates": [{"name": "example.com/gate"}]})).await?;
    let taint = json!({"key": "team", "value": "a", "effect": "NoSchedule"});
    let addons = json!({"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"});
    scene.apply(policy("apps", json!({"taints": [taint], "labels": {"tier": "a"}, "count": 1}))).await?;
    scene.apply(policy("system", json!({"taints": [addons], "count": 5}))).await?;
    scene.ready("apps").await?;
    scene.ready("system").await?;
    assert_eq!(scene.evicted()?, Vec::<String>::new());
    Ok(scene)
}

async fn waits_for_another_scheduler(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let selector = json!({"kubernetes.azure.com/agentpool": "apps"});
    deploy(&scene, "other", json!({"schedulerName": "another", "nodeSelector": selector})).await?;
    let taint = json!({"key": "team", "value": "a", "effect": "NoSchedule"});
    scene.apply(policy("apps", json!({"taints": [taint]}))).await?;
    let waits = scene
        .until("apps", "to wait for the pod", |status| {
            let rule = |refused: &nodepool_operator::api::RefusedStep| refused.rule == "SystemPodsUnplaceable";
            holds(status, condition::RECONCILING) && status.refusals.iter().any(rule)
        })
        .await?;
    assert!(waits.refusals[0].message.contains("the scheduler another decides"), "{:?}", waits.refusals);
    scene.looks_again().await?;
    assert_eq!(scene.writes(), []);
    deployments(&scene).delete("other", &DeleteParams::default()).await?;
    scene.ready("apps").await?;
    for node in scene.nodes("apps").await? {
        assert_eq!(taints_of(&node), ["team=a:NoSchedule"]);
    }
    Ok(scene)
}
