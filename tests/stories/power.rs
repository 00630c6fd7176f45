//! Pools that are stopped and started by their policies, and a cluster that is stopped as a whole.

use aks_emulator::{ForeignRequest, OperationFailure, PoolSpec};
use anyhow::ensure;
use nodepool_operator::api::{ALLOW_WORKLOAD_LOSS, FINALIZER, NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{DEADLINE, Scene, Story, begin_with, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("stop_a_user_pool_and_start_it_again_with_what_was_kept_back", stop_and_start),
        story("a_started_pool_is_ready_when_its_nodes_are", joining),
        story("refuse_to_stop_a_system_pool", system_pool),
        story("refuse_to_stop_a_pool_whose_pods_have_nowhere_else_to_go", nowhere_else),
        story("a_pool_that_somebody_else_stops_is_started_or_left_alone_as_the_policy_says", by_hand),
        story("a_stop_and_a_start_that_fail_are_made_again", failing),
        story("an_autoscaled_pool_is_stopped_and_keeps_its_bounds", autoscaled),
        story("a_stopped_pool_goes_with_its_policy", deleted),
        story("a_pool_that_is_created_for_a_policy_that_wants_it_stopped_is_stopped_then", created),
        story("everything_waits_while_the_cluster_is_stopped", cluster_stopped),
    ]
}

fn power(code: &str) -> Value {
    json!({"powerState": {"code": code}})
}

/// A system pool of two nodes and a user pool `apps` of two; what has failed is tried again at once.
async fn cluster(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    begin_with(builder.pool(PoolSpec::user("apps", 2)), &["--retry-seconds", "0.5"]).await
}

async fn stop_and_start(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2, "powerState": "Stopped"}))).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(message(&status, condition::READY), "User pool, stopped, as the policy asks");
    assert!(holds(&status, condition::IN_SYNC));
    assert_eq!((scene.nodes("apps").await?.len(), scene.in_arm("apps", "count")), (0, json!(0)));
    assert_eq!(scene.writes(), [write("apps", power("Stopped"))]);
    scene.is_quiet().await?;

    // What would be changed waits, and is told.
    let kept = json!({"count": 3, "powerState": "Stopped", "labels": {"tier": "web"}});
    scene.apply(policy("apps", kept)).await?;
    let status = scene.until("apps", "to keep the label back", |status| !holds(status, condition::IN_SYNC)).await?;
    assert!(holds(&status, condition::READY) && !holds(&status, condition::STALLED));
    scene.page("stopped", "apps").await?;
    assert!(message(&status, condition::READY).ends_with("kept back until it runs: set the labels tier=web"));
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 1);

    scene.apply(policy("apps", json!({"count": 3, "powerState": "Running", "labels": {"tier": "web"}}))).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(message(&status, condition::READY), "User pool with 3 nodes, as the policy asks");
    let labelled = |mut write: (String, Value)| {
        write.1["properties"]["nodeLabels"] = json!({"tier": "web"});
        write
    };
    let writes = scene.writes();
    assert_eq!(writes.get(1), Some(&write("apps", power("Running"))), "it is started before anything else is written");
    assert!(
        writes.contains(&write("apps", json!({"count": 3})))
            || writes.contains(&labelled(write("apps", json!({"count": 3}))))
    );
    assert_eq!(writes.len(), 4, "{writes:?}");
    assert_eq!(scene.nodes("apps").await?.len(), 3);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn joining(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2, "powerState": "Stopped"}))).await?;
    scene.ready("apps").await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"count": 2, "powerState": "Running"}))).await?;
    ensure!(held.arrived_within(DEADLINE).await, "the start never ran");
    let node = scene.node_names("apps").await?.pop().unwrap_or_default();
    scene.bed.cluster.set_ready(&node, false).await?;
    held.release();
    scene.bed.emulator.idle().await;
    let not_yet = format!("pool apps has been started; of its nodes, 1 of 2 are Ready in Kubernetes (not yet {node})");
    let waits = |status: &NodePoolPolicyStatus| message(status, condition::READY) == not_yet;
    let status = scene.until("apps", "to wait for its node", waits).await?;
    assert!(holds(&status, condition::RECONCILING) && !holds(&status, condition::READY));
    scene.operator.kill().await?;
    scene.operator.restart().await?;
    scene.is_quiet().await?;
    scene.until("apps", "to wait for its node", waits).await?;
    scene.bed.cluster.set_ready(&node, true).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", power("Stopped")), write("apps", power("Running"))]);
    Ok(scene)
}

async fn system_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let answer = scene.apply(policy("system", json!({"mode": "System", "powerState": "Stopped"}))).await;
    let said = answer.map_or_else(|error| error.to_string(), |_| "it was taken".to_owned());
    ensure!(said.contains("spec.powerState Stopped does not fit spec.mode System"), "{said}");
    scene.apply(policy("system", json!({"powerState": "Stopped"}))).await?;
    let refusal = scene.refused("system", "SystemPoolMustRun").await?;
    assert!(refusal.contains("pool system is a system pool, which AKS does not stop"), "{refusal}");
    scene.stalled("system", "SystemPoolMustRun").await?;
    scene.page("system-pool-must-run", "system").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

async fn nowhere_else(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    super::deletion::only_on(&scene, "apps").await?;
    scene.apply(policy("apps", json!({"powerState": "Stopped"}))).await?;
    let refusal = scene.refused("apps", "WorkloadsDependOnPool").await?;
    assert!(refusal.contains("1 pod depends on pool apps") && refusal.contains(ALLOW_WORKLOAD_LOSS), "{refusal}");
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    scene.annotate("apps", ALLOW_WORKLOAD_LOSS, "apps").await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", power("Stopped"))]);
    Ok(scene)
}

async fn by_hand(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    scene.edit_by_hand("apps", power("Stopped")).await?;
    scene.stalled("apps", "PoolNotRunning").await?;
    assert_eq!(scene.writes(), []);
    scene.page("pool-not-running", "apps").await?;
    scene.apply(policy("apps", json!({"count": 2, "powerState": "Running"}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", power("Running"))]);
    assert_eq!(scene.nodes("apps").await?.len(), 2);
    Ok(scene)
}

async fn failing(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    for (code, nodes) in [("Stopped", 0), ("Running", 2)] {
        let fault = scene.bed.emulator.operation("apps").fail_as(OperationFailure::AllocationFailed, Some(1));
        scene.apply(policy("apps", json!({"powerState": code}))).await?;
        testbed::wait_for("the operation to have failed", DEADLINE, async || {
            Ok(if fault.count() == 1 { Ok(()) } else { Err("it has not") })
        })
        .await?;
        let status = scene.ready("apps").await?;
        let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
        assert!(outcomes.contains(&"Failed") && outcomes.last() == Some(&"Succeeded"), "{outcomes:?}");
        assert_eq!(
            (scene.nodes("apps").await?.len(), &scene.in_arm("apps", "powerState")["code"]),
            (nodes, &json!(code))
        );
        assert_eq!(scene.in_arm("apps", "provisioningState"), "Succeeded");
    }
    Ok(scene)
}

async fn autoscaled(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let spec = |code: &str| json!({"autoscaling": {"minCount": 2, "maxCount": 5}, "powerState": code});
    scene.apply(policy("apps", spec("Running"))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("apps", spec("Stopped"))).await?;
    let status = scene.ready("apps").await?;
    assert!(holds(&status, condition::IN_SYNC), "{status:?}");
    assert_eq!((scene.in_arm("apps", "minCount"), scene.nodes("apps").await?.len()), (json!(2), 0));
    scene.is_quiet().await?;
    scene.apply(policy("apps", spec("Running"))).await?;
    scene.ready("apps").await?;
    assert_eq!((scene.in_arm("apps", "minCount"), scene.nodes("apps").await?.len()), (json!(2), 2));
    assert_eq!(scene.writes().len(), 3, "{:?}", scene.writes());
    Ok(scene)
}

async fn deleted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    scene.apply(policy("apps", json!({"powerState": "Stopped", "deletionPolicy": "Delete"}))).await?;
    scene.ready("apps").await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.delete("apps").await?;
    assert_eq!(scene.bed.emulator.pool("apps"), None);
    Ok(scene)
}

async fn created(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let spec = json!({"count": 1, "powerState": "Stopped", "template": {"vmSize": "Standard_D4ds_v5"}});
    scene.apply(policy("night", spec)).await?;
    let status = scene.ready("night").await?;
    assert_eq!(message(&status, condition::READY), "User pool, stopped, as the policy asks");
    assert_eq!((scene.nodes("night").await?.len(), scene.writes().len()), (0, 2), "{:?}", scene.writes());
    scene.is_quiet().await?;
    Ok(scene)
}

/// Stops or starts the whole cluster as somebody with the Azure CLI would.
async fn switch_by_hand(scene: &Scene, action: &str) -> anyhow::Result<()> {
    let target = format!("{}/{action}?api-version=2025-10-01", scene.bed.emulator.cluster_id());
    let answer = scene.bed.emulator.as_someone_else(&ForeignRequest::new("POST", &target, None)).await;
    ensure!(answer.is_some_and(|answer| answer.status == Some(202)), "the cluster could not {action}");
    scene.bed.emulator.idle().await;
    Ok(())
}

async fn cluster_stopped(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2, "powerState": "Running"}))).await?;
    scene.apply(policy("system", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    scene.ready("system").await?;
    switch_by_hand(&scene, "stop").await?;
    let waits = |status: &NodePoolPolicyStatus| {
        status.condition(condition::RECONCILING).is_some_and(|it| it.reason == "ClusterNotRunning")
            && message(status, condition::READY).starts_with("the cluster is Stopped")
    };
    for name in ["apps", "system"] {
        let status = scene.until(name, "to wait for the cluster", waits).await?;
        assert!(!holds(&status, condition::STALLED) && status.plan.is_none(), "{status:?}");
    }
    scene.apply(policy("apps", json!({"count": 2, "powerState": "Stopped", "labels": {"a": "b"}}))).await?;
    scene.until("apps", "to wait all the same", waits).await?;
    scene.page("cluster-not-running", "apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    switch_by_hand(&scene, "start").await?;
    scene.ready("system").await?;
    let status = scene.ready("apps").await?;
    assert!(message(&status, condition::READY).starts_with("User pool, stopped"), "{status:?}");
    assert_eq!(scene.writes(), [write("apps", power("Stopped"))]);
    Ok(scene)
}
