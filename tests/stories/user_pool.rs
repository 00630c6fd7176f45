//! User pools: adopted, scaled, tainted, labelled.

use std::time::Duration;

use aks_emulator::PoolSpec;
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::support::{Scene, Story, begin, plain_cluster, policy, story, taints_of, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("adopt_an_existing_pool_and_write_nothing", adopt),
        story("scale_a_user_pool_up_and_down", scale),
        story("set_change_and_clear_taints", taints),
        story("set_labels_and_keep_foreign_ones", labels),
        story("set_tags_and_keep_foreign_ones", tags),
    ]
}

async fn adopt(lane: Lane) -> anyhow::Result<Scene> {
    let builder =
        Testbed::builder(lane).pool(PoolSpec::system("system", 2).taint("CriticalAddonsOnly=true:NoSchedule"));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1).label("tier", "web"))).await?;
    scene
        .apply(policy(
            "system",
            json!({"mode": "System", "count": 2, "taints": [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}]}),
        ))
        .await?;
    scene
        .apply(policy("web", json!({"poolName": "apps", "mode": "User", "count": 1, "labels": {"tier": "web"}})))
        .await?;
    scene.ready("system").await?;
    scene
        .until("system", "to tell its nodes", |status| {
            status.pool.as_ref().is_some_and(|pool| (pool.count, pool.ready_nodes) == (2, Some(2)))
        })
        .await?;
    let status = scene.ready("web").await?;
    assert_eq!(status.owned_labels, ["tier"], "a label that was there already is owned once it is named");
    scene.page("adopted", "web").await?;
    assert_eq!(scene.writes(), []);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn scale(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    scene.ready("apps").await?;
    scene.bed.cluster.wait_for_ready_nodes("apps", 3).await?;
    assert_eq!(scene.in_arm("apps", "count"), 3);

    scene.apply(policy("apps", json!({"count": 1}))).await?;
    let status = scene.ready("apps").await?;
    scene.bed.cluster.wait_for_ready_nodes("apps", 1).await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 3})), write("apps", json!({"count": 1}))]);
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Started", "Succeeded", "Started", "Succeeded"]);
    scene.told("apps", &["PlanMade", "StepStarted", "StepSucceeded"]).await?;
    scene.page("scaled", "apps").await?;
    scene.is_quiet().await?;
    Ok(scene)
}

async fn taints(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    for (wanted, in_arm) in [
        (json!([{"key": "team", "value": "apps", "effect": "NoSchedule"}]), vec!["team=apps:NoSchedule"]),
        (
            json!([{"key": "team", "value": "web", "effect": "NoSchedule"}, {"key": "gpu", "value": "no", "effect": "PreferNoSchedule"}]),
            vec!["team=web:NoSchedule", "gpu=no:PreferNoSchedule"],
        ),
        (json!([]), vec![]),
    ] {
        scene.apply(policy("apps", json!({"taints": wanted}))).await?;
        scene.ready("apps").await?;
        let found = scene.in_arm("apps", "nodeTaints");
        assert_eq!(found.as_array().cloned().unwrap_or_default(), in_arm, "in ARM");
        for node in scene.nodes("apps").await? {
            let mut found = taints_of(&node);
            found.sort();
            let mut wanted = in_arm.clone();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "on the node");
        }
    }
    assert_eq!(
        scene.writes(),
        [
            write("apps", json!({"nodeTaints": ["team=apps:NoSchedule"]})),
            write("apps", json!({"nodeTaints": ["team=web:NoSchedule", "gpu=no:PreferNoSchedule"]})),
            write("apps", json!({"nodeTaints": []})),
        ]
    );
    scene.is_quiet().await?;
    Ok(scene)
}

async fn labels(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1).label("foreign", "x"))).await?;
    let label = |nodes: &[k8s_openapi::api::core::v1::Node], key: &str| {
        nodes.first().and_then(|node| node.metadata.labels.as_ref()?.get(key).cloned())
    };
    scene.apply(policy("apps", json!({"labels": {"tier": "web", "team": "a"}}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("apps", json!({"labels": {"tier": "api"}}))).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(status.owned_labels, ["tier"]);
    assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"foreign": "x", "tier": "api"}));
    let nodes = scene.nodes("apps").await?;
    assert_eq!(label(&nodes, "tier").as_deref(), Some("api"));
    assert_eq!(label(&nodes, "foreign").as_deref(), Some("x"));
    assert_eq!(label(&nodes, "team"), None);
    assert_eq!(
        scene.writes(),
        [
            write("apps", json!({"nodeLabels": {"foreign": "x", "tier": "web", "team": "a"}})),
            write("apps", json!({"nodeLabels": {"foreign": "x", "tier": "api"}})),
        ]
    );

    scene.apply(policy("apps", json!({"labels": {}}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"foreign": "x"}), "an empty map removes what is owned");
    scene.is_quiet().await?;
    Ok(scene)
}

async fn tags(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.edit_by_hand("apps", json!({"tags": {"Foreign": "x", "Owner": "shop"}})).await?;
    scene.bed.emulator.idle().await;
    scene.apply(policy("apps", json!({"tags": {"owner": "shop"}}))).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(
        status.owned_tags,
        ["owner"],
        "Azure's keys have no case: it is there already, and owned once it is named"
    );
    assert_eq!(scene.writes(), []);

    scene.apply(policy("apps", json!({"tags": {"owner": "shop", "cost center": "12 %"}}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("apps", json!({"tags": {"owner": "web"}}))).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(status.owned_tags, ["owner"]);
    let steps: Vec<&str> = status.history.iter().map(|entry| entry.step.as_str()).collect();
    assert_eq!(steps[1..3], ["set the tags cost center=12 %", "set the tags owner=web and remove cost center"]);
    assert_eq!(
        scene.writes(),
        [
            write("apps", json!({"tags": {"Foreign": "x", "Owner": "shop", "cost center": "12 %"}})),
            write("apps", json!({"tags": {"Foreign": "x", "owner": "web"}})),
        ]
    );

    scene.edit_by_hand("apps", json!({"tags": {"OWNER": "by hand", "Foreign": "y"}})).await?;
    scene.bed.emulator.idle().await;
    wait_for("an edit by hand to be put right", Duration::from_secs(20), async || {
        let tags = scene.in_arm("apps", "tags");
        Ok(if tags == json!({"owner": "web", "Foreign": "y"}) { Ok(()) } else { Err(tags.to_string()) })
    })
    .await?;
    scene.apply(policy("apps", json!({"tags": {}}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.in_arm("apps", "tags"), json!({"Foreign": "y"}), "an empty map removes what is owned");
    scene.is_quiet().await?;
    Ok(scene)
}
