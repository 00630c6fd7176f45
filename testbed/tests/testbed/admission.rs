//! What a pool's ARM document says about its nodes can't be edited through Kubernetes, and the rest can.

use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use kube::api::{Patch, PatchParams};
use kube::{Error, ResourceExt};
use serde_json::{Value, json};
use testbed::cluster::taints;
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

use crate::arm;

const DEADLINE: Duration = Duration::from_mins(2);

/// What the API server says to a merge patch of a node, which is not made: nothing, or why not.
async fn patch(bed: &Testbed, node: &str, patch: &Value) -> anyhow::Result<Option<String>> {
    let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
    match bed.cluster.nodes_api().patch(node, &parameters, &Patch::Merge(patch)).await {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) if status.code == 403 => Ok(Some(status.message)),
        Err(error) => Err(error).context("the node can't be patched"),
    }
}

fn label(key: &str, value: &Value) -> Value {
    json!({"metadata": {"labels": {key: value}}})
}

fn tainted(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value, "effect": "NoSchedule"})
}

/// A policy takes a moment to be in force: waits until a change is refused with this text.
async fn is_refused(bed: &Testbed, node: &str, change: &Value, text: &str) -> anyhow::Result<()> {
    let said = wait_for(&format!("{change} to be refused"), DEADLINE, async || {
        Ok(patch(bed, node, change).await?.ok_or("it would be made"))
    })
    .await?;
    ensure!(said.contains("aks-node-validating-webhook.azmk8s.io") && said.contains(text), "{said}");
    Ok(())
}

pub async fn nodes_are_edited_through_their_pool_or_by_hand_but_not_both(lanes: Lanes) -> anyhow::Result<()> {
    let bed = Testbed::builder(lanes.lease().await?)
        .kube_system(KubeSystem::None)
        .pool(PoolSpec::system("system", 1))
        .pool(PoolSpec::user("apps", 1).label("tier", "web").taint("team=apps:NoSchedule"))
        .start()
        .await?;
    let node = bed.cluster.nodes_of("apps").await?.first().map(ResourceExt::name_any).unwrap_or_default();

    let update = "Label update/add request \"tier:db\" refused. User is attempting to update/add a label configured on \
                  node pool. Please change node pool label configuration through Azure..";
    is_refused(&bed, &node, &label("tier", &json!("db")), update).await?;
    let delete = "Label delete request \"tier:web\" refused.";
    is_refused(&bed, &node, &label("tier", &Value::Null), delete).await?;
    let taint = "Taint delete request \"team=apps:NoSchedule\" refused. User is attempting to delete a taint configured \
                 on aks node pool \"apps\".";
    is_refused(&bed, &node, &json!({"spec": {"taints": null}}), taint).await?;
    is_refused(&bed, &node, &json!({"spec": {"taints": [tainted("team", "other")]}}), taint).await?;

    let both = json!({"spec": {"taints": [tainted("team", "apps"), tainted("by", "hand")]}});
    for free in [label("mine", &json!("1")), label("mine", &Value::Null), label("tier", &json!("web")), both] {
        ensure!(patch(&bed, &node, &free).await?.is_none(), "{free} was refused");
    }
    let system = bed.cluster.nodes_of("system").await?.first().map(ResourceExt::name_any).unwrap_or_default();
    ensure!(patch(&bed, &system, &label("tier", &json!("db"))).await?.is_none(), "it is no label of that pool");

    bed.cluster.taint(&node, "by=hand:NoSchedule").await?;
    // The pool lets go of its labels and taints, and what was put by hand stays.
    arm::put(&bed.emulator, "apps", &json!({"nodeLabels": {}, "nodeTaints": []})).await?;
    let left = bed.cluster.nodes_api().get(&node).await?;
    ensure!(!left.labels().contains_key("tier"), "{:?}", left.labels());
    let keys: Vec<String> = taints(&left).into_iter().map(|taint| taint.key).collect();
    ensure!(keys == ["by"], "{keys:?}");
    wait_for("tier to be free", DEADLINE, async || {
        Ok(patch(&bed, &node, &label("tier", &json!("mine"))).await?.map_or(Ok(()), Err))
    })
    .await?;

    // An emulator that stops takes its rule along.
    arm::put(&bed.emulator, "apps", &json!({"nodeLabels": {"tier": "web"}})).await?;
    is_refused(&bed, &node, &label("tier", &json!("db")), "Label update/add").await?;
    bed.emulator.stop().await;
    wait_for("the rule to go", DEADLINE, async || {
        Ok(patch(&bed, &node, &label("tier", &json!("db"))).await?.map_or(Ok(()), Err))
    })
    .await
}
