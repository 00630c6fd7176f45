//! The floor: how few system nodes there may be.

use aks_emulator::PoolSpec;
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("refuse_to_scale_a_system_pool_below_the_floor", below_the_floor),
        story("a_cluster_with_one_system_node_can_be_changed", one_system_node),
    ]
}

async fn below_the_floor(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 3));
    let scene = begin(builder).await?;
    scene.apply(policy("system", json!({"count": 1}))).await?;
    let refusal = scene.refused("system", "SystemCapacityFloor").await?;
    assert!(refusal.contains("the floor is 2"), "{refusal}");
    assert_eq!(scene.writes(), []);

    scene.apply(policy("system", json!({"count": 2}))).await?;
    scene.ready("system").await?;
    let [(what, body)] = &scene.writes()[..] else { anyhow::bail!("{:?}", scene.writes()) };
    assert_eq!(
        (what.as_str(), body["machineNames"].as_array().map(Vec::len)),
        ("deleteMachines", Some(1)),
        "to the floor"
    );
    Ok(scene)
}

async fn one_system_node(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 1));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?;
    scene
        .apply(policy(
            "system",
            json!({
                "mode": "System",
                "labels": {"workload": "platform"},
                "taints": [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}]
            }),
        ))
        .await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("system").await?;
    scene.ready("apps").await?;
    scene.apply(policy("system", json!({"mode": "System", "count": 2}))).await?;
    scene.ready("system").await?;
    scene.bed.cluster.wait_for_ready_nodes("system", 2).await?;
    assert_eq!(scene.evicted()?, Vec::<String>::new());
    Ok(scene)
}
