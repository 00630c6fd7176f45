//! The right cluster, and pools that are not for this operator.

use aks_emulator::PoolSpec;
use nodepool_operator::api::condition;
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin, message, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("never_write_to_a_cluster_with_another_issuer", wrong_cluster),
        story("leave_pools_of_other_kinds_alone", other_kinds),
        story("say_which_pools_exist_when_one_does_not", absent),
        story("leave_the_count_of_an_autoscaled_pool_to_the_autoscaler", autoscaled),
        story("a_version_that_was_asked_for_without_its_patch_is_no_upgrade", version),
    ]
}

async fn wrong_cluster(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane)
        .kube_system(KubeSystem::None)
        .cluster(|cluster| cluster.issuer_url = Some("https://elsewhere.oic.prod-aks.azure.com/a/b/".to_owned()));
    let scene = begin(builder.pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1))).await?;
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    let refusal = scene.refused("apps", "WrongCluster").await?;
    assert!(refusal.contains("https://elsewhere.oic") && refusal.contains("--cluster-resource-id"), "{refusal}");
    scene.page("wrong-cluster", "apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

async fn other_kinds(lane: Lane) -> anyhow::Result<Scene> {
    let mut builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let odd = [
        ("vms", "type", "VirtualMachines"),
        ("gateway", "mode", "Gateway"),
        ("managed", "mode", "ManagedSystem"),
        ("strange", "mode", "Interplanetary"),
    ];
    for (pool, _, _) in odd {
        builder = builder.pool(PoolSpec::user(pool, 1));
    }
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?;
    scene.bed.emulator.edit(|cluster| {
        for (pool, property, value) in odd {
            if let Some(pool) = cluster.pool_mut(pool) {
                pool.set(property, value);
            }
        }
    });
    for (pool, _, _) in odd {
        scene.apply(policy(pool, json!({"count": 2, "mode": "User"}))).await?;
    }
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    for (pool, _, value) in odd {
        let status = scene.stalled(pool, "UnsupportedPool").await?;
        assert!(message(&status, condition::STALLED).contains(value), "{status:?}");
    }
    scene.ready("apps").await?;
    scene.page("unsupported-pool", "vms").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))], "the odd ones stop no other");
    Ok(scene)
}

async fn absent(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?;
    scene.apply(policy("web", json!({"count": 2}))).await?;
    let status = scene.stalled("web", "PoolNotFound").await?;
    assert!(message(&status, condition::READY).contains("apps, system"), "{status:?}");
    scene.page("pool-not-found", "web").await?;
    scene.is_quiet().await?;
    Ok(scene)
}

async fn autoscaled(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1).autoscaling(1, 5))).await?;
    scene.apply(policy("apps", json!({"count": 3, "labels": {"tier": "web"}}))).await?;
    let status = scene.stalled("apps", "PoolIsAutoscaled").await?;
    assert!(message(&status, condition::STALLED).contains("remove spec.count"), "{status:?}");
    scene.page("pool-is-autoscaled", "apps").await?;
    assert_eq!(
        scene.writes(),
        [write("apps", json!({"nodeLabels": {"tier": "web"}}))],
        "the rest is done all the same"
    );
    scene.apply(policy("apps", json!({"labels": {"tier": "web"}}))).await?;
    scene.ready("apps").await?;
    Ok(scene)
}

async fn version(lane: Lane) -> anyhow::Result<Scene> {
    let system = PoolSpec::system("system", 2).versions("1.33", "1.33.5");
    let scene = begin(Testbed::builder(lane).pool(system)).await?;
    scene.apply(policy("system", json!({"mode": "System", "count": 2}))).await?;
    scene.ready("system").await?;
    assert_eq!(scene.writes(), []);
    scene.apply(policy("system", json!({"mode": "System", "count": 2, "labels": {"a": "b"}}))).await?;
    scene.ready("system").await?;
    assert_eq!(scene.writes(), [write("system", json!({"nodeLabels": {"a": "b"}}))]);

    scene.bed.emulator.edit(|cluster| cluster.pool_mut("system").map(|pool| pool.set("orchestratorVersion", "1.34")));
    scene.apply(policy("system", json!({"mode": "System", "count": 2, "labels": {"a": "c"}}))).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("unfinished upgrade"), "{refusal}");
    assert_eq!(scene.writes().len(), 1, "a write would go on with the upgrade");
    Ok(scene)
}
