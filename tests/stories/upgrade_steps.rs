//! The steps of the tables of faults and crashes that upgrade a pool: where they begin, and what they ask for. Never says what
//! happens meanwhile.

use anyhow::Context as _;
use nodepool_operator::api::{NodePoolPolicyStatus, REQUESTED_AT, UPGRADE_NODE_IMAGE};
use serde_json::{Value, json};

use super::steps::{Change, present};
use super::support::{Scene, policy};

/// The control plane's version, and the one that a pool of it had before.
const VERSIONS: [&str; 2] = ["1.33.5", "1.32.9"];

/// The image of which the emulator has a new release for each case.
fn image(release: &str) -> String {
    format!("AKSUbuntu-2204gen2containerd-{release}")
}

fn release(number: usize) -> String {
    format!("2026{:02}.{:02}.0", 2 + number % 10, 1 + number % 28)
}

/// Brings it about that the pool's policy asks for no upgrade.
async fn asks_for_nothing(scene: &Scene, pool: &'static str) -> anyhow::Result<()> {
    scene.apply(policy(pool, present(scene, pool))).await?;
    scene.ready(pool).await?;
    scene.bed.emulator.idle().await;
    Ok(())
}

/// Brings it about that the pool is older than the control plane, and that the operator has seen so.
pub async fn is_old(scene: &Scene, pool: &'static str, number: usize) -> anyhow::Result<()> {
    asks_for_nothing(scene, pool).await?;
    let [_, old] = VERSIONS;
    let edited = scene.bed.emulator.edit(|cluster| {
        let pool = cluster.pool_mut(pool)?;
        pool.set("orchestratorVersion", old);
        pool.set("currentOrchestratorVersion", old);
        Some(())
    });
    edited.flatten().context("there is no such pool")?;
    scene.annotate(pool, REQUESTED_AT, &number.to_string()).await?;
    let is_seen = |status: &NodePoolPolicyStatus| {
        status.pool.as_ref().is_some_and(|pool| pool.kubernetes_version.as_deref() == Some(old))
    };
    scene.until(pool, "to be seen with the old version", is_seen).await?;
    Ok(())
}

/// Lets AKS have an image that the pool has not.
pub async fn has_newer_image(scene: &Scene, pool: &'static str, number: usize) -> anyhow::Result<()> {
    asks_for_nothing(scene, pool).await?;
    let present = scene.in_arm(pool, "nodeImageVersion");
    let newer = [number, number + 1].map(release).into_iter().find(|release| present != image(release));
    scene.bed.emulator.edit(|cluster| cluster.latest_node_image = newer);
    Ok(())
}

/// The image that AKS has for the pools of the table.
fn latest(scene: &Scene) -> String {
    let release = scene.bed.emulator.edit(|cluster| cluster.latest_node_image.clone()).flatten();
    image(release.as_deref().unwrap_or("202601.07.0"))
}

/// The control plane's version, with whose nodes the latest image comes.
pub fn version(scene: &Scene, pool: &'static str) -> Change {
    let mut spec = present(scene, pool);
    let [new, _] = VERSIONS;
    spec["kubernetesVersion"] = json!("1.33");
    let expected = vec![
        ("orchestratorVersion", json!(new)),
        ("currentOrchestratorVersion", json!(new)),
        ("nodeImageVersion", json!(latest(scene))),
    ];
    Change::new(scene, policy(pool, spec), pool, expected)
}

/// A drain timeout that changes from case to case.
pub fn settings(scene: &Scene, pool: &'static str, number: usize) -> Change {
    let (mut spec, mut expected) = (present(scene, pool), scene.in_arm(pool, "upgradeSettings"));
    let minutes = [31, 61].map(|least| json!(least + number % 30));
    let minutes = minutes.into_iter().find(|minutes| expected["drainTimeoutInMinutes"] != *minutes);
    spec["upgrade"] = json!({"drainTimeoutMinutes": minutes});
    expected["drainTimeoutInMinutes"] = json!(minutes);
    Change::new(scene, policy(pool, spec), pool, vec![("upgradeSettings", expected)])
}

/// The latest node image. The policy is another one too, so that its generation tells what its status is about.
pub fn node_image(scene: &Scene, pool: &'static str, number: usize) -> Change {
    let mut spec = present(scene, pool);
    spec["upgrade"] = json!({"drainTimeoutMinutes": drain_timeout(scene, pool), "undrainableNodes": "Schedule"});
    let mut asking = policy(pool, spec);
    asking["metadata"]["annotations"] = json!({UPGRADE_NODE_IMAGE: format!("{number} {}", latest(scene))});
    Change::new(scene, asking, pool, vec![("nodeImageVersion", json!(latest(scene)))])
}

/// What the pool has, or what AKS takes where nothing is set.
fn drain_timeout(scene: &Scene, pool: &str) -> Value {
    let present = scene.in_arm(pool, "upgradeSettings")["drainTimeoutInMinutes"].clone();
    if present.is_null() { json!(30) } else { present }
}
