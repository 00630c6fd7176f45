//! Policies that are deleted: what becomes of their pools.

use aks_emulator::{OperationFailure, PoolSpec};
use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::PostParams;
use nodepool_operator::api::{ALLOW_WORKLOAD_LOSS, FINALIZER, condition};
use serde_json::{Value, json};
use testbed::{Lane, Testbed};

use super::support::{DEADLINE, Scene, Story, begin, begin_with, holds, message, plain_cluster, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("delete_a_user_pool_with_its_policy", with_its_policy),
        story("deleting_a_policy_leaves_the_pool_unless_it_asks_for_more", orphaned),
        story("refuse_to_delete_the_last_system_pool_and_let_go_when_it_is_orphaned", last_system_pool),
        story("refuse_to_delete_or_empty_a_pool_whose_pods_have_nowhere_else_to_go", nowhere_else),
        story("a_rename_in_git_does_not_destroy_the_pool", renamed),
        story("a_policy_that_waits_for_its_pool_to_go_is_let_go_when_it_is_suspended", suspended),
        story("a_deletion_that_fails_is_made_again", failing),
    ]
}

/// A policy whose deletion deletes its pool.
fn deleting(name: &str, mut spec: Value) -> Value {
    spec["deletionPolicy"] = json!("Delete");
    policy(name, spec)
}

/// A Deployment that runs only on the nodes of a pool.
pub async fn only_on(scene: &Scene, pool: &str) -> anyhow::Result<()> {
    let labels = json!({"app": "shop"});
    let node = json!({"kubernetes.azure.com/agentpool": pool});
    let containers = json!([{"name": "shop", "image": "shop", "resources": {"requests": {"cpu": "100m"}}}]);
    let template = json!({"metadata": {"labels": labels}, "spec": {"nodeSelector": node, "containers": containers}});
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }))?;
    let api = Api::<Deployment>::namespaced(scene.bed.cluster.client(), "default");
    api.create(&PostParams::default(), &deployment).await?;
    testbed::wait_for("the shop to run", DEADLINE, async || {
        let pods = scene.bed.cluster.pods("default").await?;
        Ok(if pods.iter().any(testbed::cluster::is_running) { Ok(()) } else { Err("it does not") })
    })
    .await
}

fn deletions(scene: &Scene) -> Vec<String> {
    let journal = scene.bed.emulator.journal().by_user_agent("nodepool-operator").writes();
    let deletions = journal.iter().filter(|exchange| exchange.method == "DELETE");
    deletions.map(|exchange| exchange.path.clone()).collect()
}

async fn with_its_policy(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(deleting("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.is_quiet().await?;
    // What Argo CD and Flux apply again does not take the finalizer away.
    scene.apply(deleting("apps", json!({"count": 1}))).await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.is_quiet().await?;

    scene.delete("apps").await?;
    assert_eq!(scene.bed.emulator.pool("apps"), None, "the object goes when the pool is gone");
    assert_eq!(deletions(&scene).len(), 1);
    assert!(!deletions(&scene)[0].contains("ignore-pod-disruption-budget"));
    assert_eq!(scene.nodes("apps").await?.len(), 0);
    scene.told("apps", &["PlanMade", "PoolGone", "StepStarted"]).await?;
    scene.is_quiet().await?;
    Ok(scene)
}

async fn orphaned(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    for spec in [json!({"count": 1}), json!({"count": 1, "deletionPolicy": "Orphan"})] {
        scene.apply(policy("apps", spec)).await?;
        scene.ready("apps").await?;
        scene.has_finalizers("apps", &[]).await?;
        scene.delete("apps").await?;
    }
    scene.apply(deleting("apps", json!({"count": 1}))).await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.apply(policy("apps", json!({"count": 1, "deletionPolicy": "Orphan"}))).await?;
    scene.has_finalizers("apps", &[]).await?;
    scene.delete("apps").await?;
    assert_eq!(scene.writes(), []);
    assert_eq!(scene.in_arm("apps", "count"), 1);
    Ok(scene)
}

async fn last_system_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 2))).await?;
    scene.apply(deleting("system", json!({"count": 2}))).await?;
    scene.ready("system").await?;
    scene.has_finalizers("system", &[FINALIZER]).await?;
    scene.begin_deletion("system").await?;
    let refusal = scene.refused("system", "LastHealthySystemPool").await?;
    assert!(refusal.contains("there is no other system pool"), "{refusal}");
    let evicted = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(evicted.contains("all nodes of pool system would go and with them kube-system/coredns-"), "{evicted}");
    scene.refused("system", "SystemCapacityFloor").await?;
    let status = scene.stalled("system", "LastHealthySystemPool").await?;
    assert!(message(&status, condition::SAFE).starts_with("refused to delete the pool: "), "{status:?}");
    scene.page("deletion-refused", "system").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);

    scene.apply(policy("system", json!({"count": 2, "deletionPolicy": "Orphan"}))).await?;
    scene.gone("system").await?;
    scene.told("system", &["LastHealthySystemPool", "PlanMade", "PoolOrphaned"]).await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

async fn nowhere_else(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    only_on(&scene, "apps").await?;
    scene.apply(policy("apps", json!({"count": 0}))).await?;
    let refusal = scene.refused("apps", "WorkloadsDependOnPool").await?;
    assert!(refusal.contains("1 pod depends on pool apps") && refusal.contains("default/shop-"), "{refusal}");
    scene.apply(deleting("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.begin_deletion("apps").await?;
    let refusal = scene.refused("apps", "WorkloadsDependOnPool").await?;
    assert!(
        refusal.contains("not selected by its node selector") && refusal.contains(ALLOW_WORKLOAD_LOSS),
        "{refusal}"
    );
    scene.page("workloads-depend-on-pool", "apps").await?;
    scene.is_quiet().await?;
    scene.annotate("apps", ALLOW_WORKLOAD_LOSS, "web").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), [], "the annotation names another pool");

    scene.annotate("apps", ALLOW_WORKLOAD_LOSS, "apps").await?;
    scene.gone("apps").await?;
    assert_eq!((deletions(&scene).len(), scene.bed.emulator.pool("apps")), (1, None));
    Ok(scene)
}

/// Ages are told in seconds, so that the names too say which of the two policies was first.
async fn renamed(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(deleting("before", json!({"poolName": "apps", "count": 1}))).await?;
    scene.ready("before").await?;
    scene.has_finalizers("before", &[FINALIZER]).await?;
    scene.apply(deleting("renamed", json!({"poolName": "apps", "count": 1}))).await?;
    scene.delete("before").await?;
    scene.told("before", &["PoolOrphaned"]).await?;
    scene.ready("renamed").await?;
    scene.looks_again().await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

async fn suspended(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    only_on(&scene, "apps").await?;
    scene.apply(deleting("apps", json!({"count": 1}))).await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.begin_deletion("apps").await?;
    let status = scene.stalled("apps", "WorkloadsDependOnPool").await?;
    ensure!(!holds(&status, condition::SAFE), "{status:?}");
    scene.apply(deleting("apps", json!({"count": 1, "suspend": true}))).await?;
    scene.gone("apps").await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

async fn failing(lane: Lane) -> anyhow::Result<Scene> {
    let cluster = Testbed::builder(lane).pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1));
    let scene = begin_with(cluster, &["--retry-seconds", "0.5"]).await?;
    scene.apply(deleting("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    let _fault = scene.bed.emulator.operation("apps").fail_as(OperationFailure::AllocationFailed, Some(1));
    scene.begin_deletion("apps").await?;
    scene.gone("apps").await?;
    assert_eq!((deletions(&scene).len(), scene.bed.emulator.pool("apps")), (2, None));
    scene.told("apps", &["PlanMade", "PoolGone", "StepFailed", "StepStarted"]).await?;
    Ok(scene)
}
