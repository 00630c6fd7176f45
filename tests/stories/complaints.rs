//! What users of other tools complain about, where no other story is about it: each first line has the gist of the issue. The
//! whole list, with the story of each, is `docs/complaints.md`.

use std::time::Duration;

use aks_emulator::{Canned, Matcher, NodeTrouble, PoolSpec};
use nodepool_operator::api::{FINALIZER, condition};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_change_is_ready_when_the_nodes_carry_it_and_not_when_azure_does", late_writes),
        story("a_spot_pool_keeps_what_azure_has_put_on_it", spot),
        story("several_changes_at_once_are_one_operation_after_the_other", several_changes),
        story("nothing_is_ever_written_into_a_policy", untouched),
        story("policies_do_not_hold_up_a_cluster_that_is_gone", gone),
    ]
}

/// "Taint in ARM but not on nodes" (Azure/AKS #2870).
async fn late_writes(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let taints = json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]);
    for (asked, says) in [
        (json!({"taints": taints}), "pool apps has other taints in Azure; taints of the pool are missing on aks-apps-"),
        (
            json!({"labels": {"tier": "web"}}),
            "pool apps has other labels in Azure; on its nodes, their labels have not",
        ),
    ] {
        let fault = scene.bed.emulator.node_fault("apps", NodeTrouble::LateWrites(Duration::from_hours(100)));
        scene.apply(policy("apps", asked)).await?;
        let waits = |status: &_| message(status, condition::READY).starts_with(says);
        let status = scene.until("apps", "to wait for its nodes", waits).await?;
        assert!(holds(&status, condition::RECONCILING) && !holds(&status, condition::READY), "{status:?}");
        fault.release();
        scene.ready("apps").await?;
    }
    let node = scene.nodes("apps").await?.remove(0);
    let labels = node.metadata.labels.unwrap_or_default();
    assert_eq!(labels.get("tier").map(String::as_str), Some("web"));
    scene.is_quiet().await?;
    Ok(scene)
}

/// "Spot instances endlessly reconciles node taints" (CAPZ #3976), "a label update silently deleted the spot label"
/// (Azure/AKS #3152).
async fn spot(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin(builder).await?;
    let template = json!({"vmSize": "Standard_D4ds_v5", "priority": "Spot"});
    let spec = json!({"count": 1, "taints": [], "labels": {"tier": "batch"}, "template": template});
    scene.apply(policy("spot", spec.clone())).await?;
    scene.ready("spot").await?;
    scene.is_quiet().await?;
    let mut other = spec;
    other["labels"] = json!({"tier": "night"});
    other["taints"] = json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]);
    scene.apply(policy("spot", other)).await?;
    scene.ready("spot").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 3, "one creation, one change of labels and one of taints");
    let own = "kubernetes.azure.com/scalesetpriority";
    assert_eq!(scene.in_arm("spot", "nodeTaints"), json!([format!("{own}=spot:NoSchedule"), "team=a:NoSchedule"]));
    assert_eq!(scene.in_arm("spot", "nodeLabels"), json!({own: "spot", "tier": "night"}));
    Ok(scene)
}

/// "Several changes at once: Failed, or very slow" (rancher/rancher #33049).
async fn several_changes(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let taints = json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]);
    let spec = json!({"count": 2, "labels": {"tier": "web"}, "tags": {"owner": "shop"}, "taints": taints});
    scene.apply(policy("apps", spec)).await?;
    let status = scene.ready("apps").await?;
    let purposes: Vec<String> = scene
        .writes()
        .into_iter()
        .map(|(_, body)| ["count", "enableAutoScaling"].into_iter().find(|key| body["properties"].get(key).is_some()))
        .map(|key| key.unwrap_or("marks").to_owned())
        .collect();
    assert_eq!(purposes.len(), 4, "{purposes:?}");
    assert_eq!(purposes.iter().filter(|purpose| *purpose == "count").count(), 1, "{purposes:?}");
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Started", "Succeeded"].repeat(4), "each ends before the next begins");
    Ok(scene)
}

/// "Late-initialised `node_count`" (provider-upjet-azure #1043): defaults and observations in the spec fight with Git.
async fn untouched(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({}))).await?;
    scene.ready("apps").await?;
    let asked = json!({"count": 2});
    scene.apply(policy("apps", asked)).await?;
    scene.ready("apps").await?;
    assert_eq!(serde_json::to_value(scene.spec("apps").await?)?, json!({"count": 2}));
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))]);
    Ok(scene)
}

/// "Deletion of AKS cluster fails: There has to be at least one system agent pool" (Cluster API Azure #1355).
async fn gone(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    for pool in ["system", "apps"] {
        scene.apply(policy(pool, json!({"deletionPolicy": "Delete"}))).await?;
        scene.ready(pool).await?;
        scene.has_finalizers(pool, &[FINALIZER]).await?;
    }
    let id = scene.bed.emulator.cluster_id().to_owned();
    let name = id.rsplit('/').next().unwrap_or_default();
    let absent = Canned::error(404, "ResourceNotFound", &format!("The Resource '{name}' was not found."));
    let ours = Matcher::method("GET").path_ends_with(name).user_agent("nodepool-operator");
    let fault = scene.bed.emulator.respond(ours, absent, None);
    for pool in ["system", "apps"] {
        scene.delete(pool).await?;
        assert!(scene.bed.emulator.pool(pool).is_some(), "pool {pool} was not touched");
    }
    drop(fault);
    assert_eq!(scene.writes(), []);
    Ok(scene)
}
