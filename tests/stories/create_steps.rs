//! The steps of the tables of faults and crashes that create and delete a pool: where they begin, and what they ask for. Never
//! says what happens meanwhile.

use aks_emulator::ForeignRequest;
use anyhow::ensure;
use nodepool_operator::api::FINALIZER;
use serde_json::json;

use super::steps::{Change, NEW, TAINT, taint};
use super::support::{Scene, policy};

/// Brings it about that the new pool is not there, and that the operator has seen so.
pub async fn is_absent(scene: &Scene, number: usize) -> anyhow::Result<()> {
    if scene.bed.emulator.pool(NEW).is_some() {
        scene.apply(policy(NEW, json!({"mode": "User"}))).await?;
        scene.ready(NEW).await?;
        let target = format!("{}/agentPools/{NEW}?api-version=2025-10-01", scene.bed.emulator.cluster_id());
        let deleted = scene.bed.emulator.as_someone_else(&ForeignRequest::new("DELETE", &target, None)).await;
        ensure!(deleted.is_some(), "pool {NEW} could not be deleted");
        scene.bed.emulator.idle().await;
    }
    // It asks for something, so that ARM is read.
    scene.apply(policy(NEW, json!({"mode": "User", "labels": {"gone": number.to_string()}}))).await?;
    scene.stalled(NEW, "PoolNotFound").await?;
    Ok(())
}

/// Brings it about that the new pool is there, and goes with its policy.
pub async fn goes_with_its_policy(scene: &Scene) -> anyhow::Result<()> {
    let template = json!({"vmSize": "Standard_D4ds_v5"});
    let spec = json!({"mode": "User", "count": 1, "template": template, "deletionPolicy": "Delete"});
    scene.apply(policy(NEW, spec)).await?;
    scene.has_finalizers(NEW, &[FINALIZER]).await?;
    scene.ready(NEW).await?;
    scene.bed.emulator.idle().await;
    Ok(())
}

/// A pool with a label, a tag and a taint.
pub fn creation(scene: &Scene, number: usize) -> Change {
    let (labels, size) = (json!({"turn": number.to_string()}), "Standard_D4ds_v5");
    let template = json!({"vmSize": size, "osSKU": "AzureLinux", "zones": ["1", "2"], "maxPods": 50});
    let mut spec = json!({"mode": "User", "count": 1, "taints": [taint()], "template": template});
    (spec["labels"], spec["tags"]) = (labels.clone(), labels.clone());
    let expected = vec![
        ("mode", json!("User")),
        ("count", json!(1)),
        ("nodeLabels", labels.clone()),
        ("tags", labels),
        ("nodeTaints", json!([TAINT])),
        ("vmSize", json!(size)),
        ("osSKU", json!("AzureLinux")),
        ("availabilityZones", json!(["1", "2"])),
        ("maxPods", json!(50)),
        ("provisioningState", json!("Succeeded")),
    ];
    Change::new(scene, policy(NEW, spec), NEW, expected)
}
