//! Ordinary days on the ordinary cluster (three system nodes, a user pool, the add-ons of AKS with their budgets): all that is
//! asked for is done, and what would hurt is refused by its rule. Under `Protect` no pod is evicted, ever.
//!
//! Told elsewhere: the whole of a one-node cluster (`capacity`), an upgrade by Azure that passes by (`foreign`), the demotion of the
//! only system pool (`system`), its deletion (`deletion`), and `NoExecute` on a user pool with both coredns pods (`eviction`).

use std::collections::BTreeSet;

use aks_emulator::PoolSpec;
use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{Lane, OPERATOR_USER, Testbed, wait_for};

use super::drains::{
    ends_with, evicted_by_operator, evicted_once, five_nodes, hold_evictions, homes, is_open, let_go_one_by_one,
    scaled_to,
};
use super::support::{DEADLINE, Scene, Story, begin, policy, story, taints_of, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("what_is_asked_for_on_ordinary_days_is_done", ordinary_days),
        story("one_system_pool_takes_the_place_of_another_in_one_commit", in_one_commit),
        story("refuse_five_to_three_under_protect_with_protected_pods_on_every_node", five_to_three),
    ]
}

/// Keeps a pod of kube-system pending that has nothing to do with any pool.
async fn stray(scene: &Scene) -> anyhow::Result<()> {
    let labels = json!({"app": "stray"});
    let spec = json!({"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "c"}]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "stray", "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}
    });
    let api: Api<Deployment> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    api.patch("stray", &PatchParams::apply("gitops").force(), &Patch::Apply(&deployment)).await?;
    wait_for("a pod to be pending", DEADLINE, async || {
        let pods = scene.bed.cluster.pods("kube-system").await?;
        let waits = pods.iter().any(|pod| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            name.starts_with("stray-") && testbed::cluster::node_of(pod).is_none()
        });
        Ok(if waits { Ok(()) } else { Err("there is none") })
    })
    .await
}

fn taint(key: &str, value: &str) -> Value {
    json!([{"key": key, "value": value, "effect": "NoSchedule"}])
}

async fn have_taint(scene: &Scene, pool: &str, taint: &str) -> anyhow::Result<()> {
    for node in scene.nodes(pool).await? {
        ensure!(taints_of(&node) == [taint], "{:?}", taints_of(&node));
    }
    Ok(())
}

async fn ordinary_days(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 3));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?;
    stray(&scene).await?;
    for count in [3, 1] {
        scene.apply(policy("apps", json!({"count": count}))).await?;
        scene.ready("apps").await?;
        scene.bed.cluster.wait_for_ready_nodes("apps", count).await?;
    }
    scene.apply(policy("apps", json!({"count": 1, "taints": taint("team", "a")}))).await?;
    scene.ready("apps").await?;
    have_taint(&scene, "apps", "team=a:NoSchedule").await?;

    let addons = || taint("CriticalAddonsOnly", "true");
    scene.apply(policy("system", json!({"mode": "System", "count": 3, "taints": addons()}))).await?;
    scene.ready("system").await?;
    have_taint(&scene, "system", "CriticalAddonsOnly=true:NoSchedule").await?;
    scene.apply(policy("system", json!({"mode": "System", "count": 5, "taints": addons()}))).await?;
    scene.ready("system").await?;
    scene.bed.cluster.wait_for_ready_nodes("system", 5).await?;
    assert_eq!(evicted_by_operator(&scene)?, Vec::<String>::new(), "under Protect");

    let relocate = json!({"systemPods": "Relocate"});
    let fewer = json!({"mode": "System", "count": 3, "taints": addons(), "disruption": relocate});
    scene.apply(policy("system", fewer)).await?;
    ends_with(&scene, 3).await?;
    assert_eq!(scene.in_arm("system", "count"), 3);
    is_open(&scene, "system").await?;
    for pool in ["system", "apps"] {
        assert_eq!(scene.warnings(pool).await?, Vec::<String>::new(), "nothing was refused on the way");
    }
    scene.is_quiet().await?;
    Ok(scene)
}

async fn in_one_commit(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 3));
    let scene = begin(builder.pool(PoolSpec::user("next", 3))).await?;
    stray(&scene).await?;
    let homes = homes(&scene, "system").await?;
    let retired =
        |system_pods: &str| policy("system", json!({"mode": "User", "disruption": {"systemPods": system_pods}}));
    // Under Protect the first half is done, and the second is refused.
    scene.apply(retired("Protect")).await?;
    scene.apply(policy("next", json!({"mode": "System"}))).await?;
    scene.ready("next").await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("set spec.disruption.systemPods to Relocate in policy system"), "{refusal}");
    scene.looks_again().await?;
    let promotion = write("next", json!({"mode": "System"}));
    assert_eq!((scene.writes(), evicted_by_operator(&scene)?), (vec![promotion.clone()], vec![]));

    // And the same in the other direction, both halves at once: back to the start by hand.
    scene.delete("system").await?;
    scene.delete("next").await?;
    scene.edit_by_hand("next", json!({"mode": "User"})).await?;
    scene.bed.emulator.idle().await;
    let held = hold_evictions(&scene);
    scene.apply(retired("Relocate")).await?;
    scene.apply(policy("next", json!({"mode": "System"}))).await?;
    scene.ready("next").await?;
    let moved = let_go_one_by_one(&scene, "system", held).await?;
    let nodes: BTreeSet<String> = homes.keys().cloned().collect();
    assert_eq!(moved, homes.values().map(BTreeSet::len).sum::<usize>());
    evicted_once(&scene, &homes, &nodes);
    let modes = ["system", "next"].map(|pool| scene.in_arm(pool, "mode"));
    assert_eq!(modes, ["User", "System"]);
    assert_eq!(scene.writes(), [promotion.clone(), promotion, write("system", json!({"mode": "User"}))]);
    is_open(&scene, "system").await?;
    scene.ready("next").await?;
    for name in ["next", "system"] {
        scene.never_failed(name).await?;
    }
    Ok(scene)
}

async fn five_to_three(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    ensure!(homes.values().all(|pods| !pods.is_empty()), "the story needs a protected pod on every node");
    scene.apply(scaled_to(3, "Protect")).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    scene.page("scale-down-under-protect", "system").await?;
    assert!(refusal.contains("set spec.disruption.systemPods to Relocate in policy system"), "{refusal}");
    scene.looks_again().await?;
    let written = scene.bed.audit.writes_by(OPERATOR_USER)?;
    let touched = written.iter().filter(|write| write.resource == "nodes" || write.resource.starts_with("pods"));
    assert_eq!((touched.count(), scene.writes()), (0, vec![]));
    Ok(scene)
}
