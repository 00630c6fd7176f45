//! The cluster autoscaler of a pool: turned on, bounded, turned off.

use aks_emulator::PoolSpec;
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("the_autoscaler_of_a_user_pool_is_turned_on_bounded_and_off", bounds),
        story("turning_the_autoscaler_off_scales_nothing_that_the_policy_does_not_say", off),
        story("the_autoscaler_of_a_system_pool_may_leave_no_less_than_is_safe", system),
        story("create_an_autoscaled_pool_with_its_minimum", create),
    ]
}

async fn bounds(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"autoscaling": {"minCount": 1, "maxCount": 5}}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("apps", json!({"autoscaling": {"minCount": 2, "maxCount": 5}}))).await?;
    scene.ready("apps").await?;
    scene.bed.cluster.wait_for_ready_nodes("apps", 2).await?;
    scene.bed.emulator.idle().await;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    let autoscaling = |min: u32| json!({"enableAutoScaling": true, "minCount": min, "maxCount": 5});
    assert_eq!(
        scene.writes(),
        [
            write("apps", autoscaling(1)),
            write("apps", autoscaling(2)),
            write("apps", json!({"enableAutoScaling": false}))
        ],
        "no count goes with it"
    );
    assert_eq!((scene.in_arm("apps", "count"), scene.in_arm("apps", "minCount")), (json!(2), json!(null)));
    scene.is_quiet().await?;
    Ok(scene)
}

async fn off(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 3).autoscaling(3, 5))).await?;
    scene.apply(policy("apps", json!({"count": 2, "enforcement": "Observe"}))).await?;
    let status = scene.until("apps", "to plan", |status| status.plan.is_some()).await?;
    let plan = status.plan.unwrap_or_default();
    assert_eq!(plan.steps, ["turn the autoscaler off", "scale from 3 to 2 nodes"], "a scale-down is shown as such");
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    let written = [write("apps", json!({"enableAutoScaling": false})), write("apps", json!({"count": 2}))];
    assert_eq!(scene.writes(), written);
    Ok(scene)
}

async fn system(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 3))).await?;
    let asks = |min: u32| policy("system", json!({"autoscaling": {"minCount": min, "maxCount": 5}}));
    scene.apply(asks(1)).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("the autoscaler could remove any node of pool system and evict"), "{refusal}");
    let rules: Vec<String> = scene.status("system").await?.refusals.into_iter().map(|refusal| refusal.rule).collect();
    assert!(rules.contains(&"SystemCapacityFloor".to_owned()), "{rules:?}");
    assert_eq!(scene.writes(), []);
    scene.apply(asks(3)).await?;
    scene.ready("system").await?;
    assert_eq!(scene.writes(), [write("system", json!({"enableAutoScaling": true, "minCount": 3, "maxCount": 5}))]);
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
