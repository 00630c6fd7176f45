//! Taints that evict: what the taint manager would do is refused, what it would not do passes.

use aks_emulator::PoolSpec;
use serde_json::json;
use testbed::{Lane, Testbed};

use super::support::{Scene, Story, begin, policy, story, taints_of};

pub fn stories() -> Vec<Story> {
    vec![
        story("refuse_a_no_execute_taint_that_protected_pods_do_not_tolerate", not_tolerated),
        story("allow_a_no_execute_taint_that_all_protected_pods_tolerate", tolerated),
        story("refuse_a_no_execute_taint_on_a_user_pool_that_protected_pods_run_on", on_a_user_pool),
    ]
}

async fn not_tolerated(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 2))).await?;
    scene
        .apply(policy("system", json!({"taints": [{"key": "maintenance", "value": "now", "effect": "NoExecute"}]})))
        .await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("maintenance=now:NoExecute") && refusal.contains("kube-system/coredns-"), "{refusal}");
    let restricted = scene.refused("system", "RestrictedSystemTaint").await?;
    assert!(restricted.contains("CriticalAddonsOnly=true:NoSchedule"), "{restricted}");
    scene.page("system-pods-would-be-evicted", "system").await?;
    scene.looks_again().await?;
    assert_eq!((scene.writes(), scene.evicted()?), (vec![], vec![]));
    Ok(scene)
}

async fn tolerated(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 2))).await?;
    scene
        .apply(policy(
            "system",
            json!({"taints": [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NoExecute"}]}),
        ))
        .await?;
    scene.ready("system").await?;
    for node in scene.nodes("system").await? {
        assert_eq!(taints_of(&node), ["CriticalAddonsOnly=true:NoExecute"]);
    }
    scene.looks_again().await?;
    assert_eq!(scene.evicted()?, Vec::<String>::new(), "the taint manager agrees");
    Ok(scene)
}

async fn on_a_user_pool(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 2))).await?;
    scene.move_add_ons_off("system").await?;
    assert!(!scene.add_ons_on("apps").await?.is_empty(), "the story needs an add-on on the user pool");
    let before = scene.evicted()?.len();
    scene.apply(policy("apps", json!({"taints": [{"key": "team", "value": "a", "effect": "NoExecute"}]}))).await?;
    scene.refused("apps", "SystemPodsWouldBeEvicted").await?;
    let blocked = scene.refused("apps", "DisruptionBudgetBlocks").await?;
    assert!(blocked.contains("budget kube-system/coredns-pdb allows 1 disruption, 2 pods would go"), "{blocked}");
    scene.page("disruption-budget-blocks", "apps").await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.refused("apps", "SystemPodsWouldBeEvicted").await?;
    assert_eq!(scene.writes(), []);
    assert_eq!(scene.evicted()?.len(), before);
    Ok(scene)
}
