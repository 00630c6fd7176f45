//! The cluster autoscaler of a pool: turned on, bounded, turned off, and off while its pool is drained.

use std::time::Duration;

use aks_emulator::PoolSpec;
use nodepool_operator::api::{condition, outcome};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Match, Testbed, wait_for};

use super::support::{DEADLINE, Scene, Story, begin, begin_with, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("the_autoscaler_of_a_user_pool_is_turned_on_bounded_and_off", bounds),
        story("turning_the_autoscaler_off_scales_nothing_that_the_policy_does_not_say", off),
        story("the_autoscaler_is_on_again_with_its_bounds_after_an_edit_by_hand", drift),
        story("the_autoscaler_of_a_system_pool_may_leave_no_less_than_is_safe", system),
        story("the_autoscaler_is_off_while_a_pool_is_drained_for_its_demotion", demotion),
        story("the_autoscaler_is_on_again_after_a_drain_that_was_given_up", given_up),
        story("create_an_autoscaled_pool_with_its_minimum", create),
    ]
}

pub fn autoscaling(min: u32, max: u32) -> Value {
    json!({"minCount": min, "maxCount": max})
}

/// What a write sends that turns it on.
pub fn turned_on(min: u32, max: u32) -> Value {
    json!({"enableAutoScaling": true, "minCount": min, "maxCount": max})
}

async fn bounds(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"autoscaling": autoscaling(1, 5)}))).await?;
    let status = scene.ready("apps").await?;
    assert!(status.owns_autoscaler);
    let says = message(&status, condition::READY);
    assert_eq!(says, "User pool with 1 node, autoscaled within 1 to 5 nodes, as the policy asks");
    scene.apply(policy("apps", json!({"autoscaling": autoscaling(2, 5)}))).await?;
    scene.ready("apps").await?;
    scene.bed.cluster.wait_for_ready_nodes("apps", 2).await?;
    scene.bed.emulator.idle().await;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(
        scene.writes(),
        [
            write("apps", turned_on(1, 5)),
            write("apps", turned_on(2, 5)),
            write("apps", json!({"enableAutoScaling": false}))
        ],
        "no count goes with it"
    );
    assert_eq!((scene.in_arm("apps", "count"), scene.in_arm("apps", "minCount")), (json!(2), json!(null)));
    assert!(!status.owns_autoscaler, "there is none any more");
    scene.is_quiet().await?;
    Ok(scene)
}

async fn off(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 3).autoscaling(3, 5))).await?;
    scene.apply(policy("apps", json!({"autoscaling": autoscaling(3, 5)}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("apps", json!({"count": 2, "enforcement": "Observe"}))).await?;
    let status = scene.until("apps", "to plan", |status| status.plan.is_some()).await?;
    let plan = status.plan.unwrap_or_default();
    let words: Vec<&str> = plan.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(words, ["turn the autoscaler off", "scale from 3 to 2 nodes"], "a scale-down is shown as such");
    assert_eq!(scene.writes(), []);
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    let written = [write("apps", json!({"enableAutoScaling": false})), write("apps", json!({"count": 2}))];
    assert_eq!(scene.writes(), written);
    Ok(scene)
}

async fn drift(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 2).autoscaling(2, 5))).await?;
    let asks =
        |enforcement: &str| policy("apps", json!({"enforcement": enforcement, "autoscaling": autoscaling(2, 5)}));
    scene.apply(asks("Observe")).await?;
    scene.ready("apps").await?;
    for (edit, found) in [
        (json!({"enableAutoScaling": false}), "turn the autoscaler on, 2 to 5 nodes"),
        (turned_on(2, 9), "change the autoscaler's bounds from 2 to 9 nodes to 2 to 5 nodes"),
    ] {
        scene.edit_by_hand("apps", edit).await?;
        let told = |said: &str| said.contains(found);
        let drifted = |status: &_| holds(status, condition::READY) && told(message(status, condition::IN_SYNC));
        scene.until("apps", "to report the edit", drifted).await?;
    }
    assert_eq!(scene.writes(), []);
    scene.apply(asks("Enforce")).await?;
    scene.ready("apps").await?;
    scene.edit_by_hand("apps", json!({"enableAutoScaling": false})).await?;
    wait_for("the autoscaler to be on again", DEADLINE, async || {
        let on = scene.in_arm("apps", "enableAutoScaling") == true;
        Ok(if on { Ok(()) } else { Err("it is off") })
    })
    .await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", turned_on(2, 5)), write("apps", turned_on(2, 5))]);
    Ok(scene)
}

async fn system(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 3))).await?;
    let asks = |min: u32| policy("system", json!({"autoscaling": autoscaling(min, 5)}));
    scene.apply(asks(1)).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("the autoscaler could remove any node of pool system and evict"), "{refusal}");
    let rules: Vec<String> = scene.status("system").await?.refusals.into_iter().map(|refusal| refusal.rule).collect();
    assert!(rules.contains(&"SystemCapacityFloor".to_owned()), "{rules:?}");
    // The floor holds whatever may become of the pods.
    scene
        .apply(policy("system", json!({"autoscaling": autoscaling(1, 5), "disruption": {"systemPods": "Relocate"}})))
        .await?;
    scene.refused("system", "SystemCapacityFloor").await?;
    assert_eq!(scene.writes(), []);
    scene.apply(asks(3)).await?;
    scene.ready("system").await?;
    assert_eq!(scene.writes(), [write("system", turned_on(3, 5))]);
    Ok(scene)
}

/// Two system pools, of which the first is autoscaled by its policy.
pub async fn two_system_pools(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 2).autoscaling(2, 5));
    begin_with(builder.pool(PoolSpec::system("two", 3)), arguments).await
}

/// A policy that retires the first of them, and goes on scaling it.
pub fn demoted() -> Value {
    json!({"mode": "User", "autoscaling": autoscaling(2, 5), "disruption": {"systemPods": "Relocate"}})
}

async fn demotion(lane: Lane) -> anyhow::Result<Scene> {
    let scene = two_system_pools(lane, &[]).await?;
    scene.apply(policy("system", demoted())).await?;
    let done = |status: &_| holds(status, condition::READY) && holds(status, condition::IN_SYNC);
    scene.until("system", "to be demoted", done).await?;
    let each = [json!({"enableAutoScaling": false}), json!({"mode": "User"}), turned_on(2, 5)];
    assert_eq!(scene.writes(), each.map(|changed| write("system", changed)));
    Ok(scene)
}

async fn given_up(lane: Lane) -> anyhow::Result<Scene> {
    let arguments = ["--drain-deadline-seconds", "20", "--retry-seconds", "3600"];
    let scene = two_system_pools(lane, &arguments).await?;
    // No eviction ever reaches the API server.
    let lost = scene.bed.api.drop_request(Match::method("POST").path_contains("/eviction"));
    scene.apply(policy("system", demoted())).await?;
    lost.arrived().await?;
    wait_for("the autoscaler to be on again", Duration::from_mins(2), async || {
        let status = scene.status("system").await?;
        let given = status.attempt.as_ref().is_some_and(|attempt| attempt.outcome == outcome::GIVEN_UP);
        let on = scene.in_arm("system", "enableAutoScaling") == true && status.operation.is_none();
        Ok(if given && on && scene.writes().len() == 2 { Ok(()) } else { Err(serde_json::to_string(&status)?) })
    })
    .await?;
    scene.looks_again().await?;
    let status = scene.stalled("system", "DrainGivenUp").await?;
    assert!(status.attempt.is_some_and(|attempt| attempt.failures == 1), "turning it on is no success of the drain");
    let each = [json!({"enableAutoScaling": false}), turned_on(2, 5)];
    assert_eq!(scene.writes(), each.map(|changed| write("system", changed)), "and it is not tried in a loop");
    assert_eq!(scene.in_arm("system", "mode"), "System");
    Ok(scene)
}

async fn create(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let template = json!({"vmSize": "Standard_D4ds_v5"});
    scene.apply(policy("new", json!({"autoscaling": {"minCount": 2, "maxCount": 4}, "template": template}))).await?;
    scene.ready("new").await?;
    let sent = json!({
        "mode": "User", "count": 2, "enableAutoScaling": true, "minCount": 2, "maxCount": 4, "vmSize": "Standard_D4ds_v5",
    });
    assert_eq!(scene.writes(), [("new".to_owned(), json!({ "properties": sent }))]);
    scene.bed.cluster.wait_for_ready_nodes("new", 2).await?;
    scene.is_quiet().await?;
    Ok(scene)
}
