//! Rights that are needed only on the way of a longer change, taken away one after the other while it is under way: each stops it
//! where it is, is told by name, and lets it go on when it is back.

use aks_emulator::PoolSpec;
use anyhow::ensure;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::PostParams;
use nodepool_operator::api::{FINALIZER, UPGRADE_NODE_IMAGE};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::drains::{deploy, ends_with, evicted_by_operator, is_open, scaled_to};
use super::node_image;
use super::support::{DEADLINE, Scene, Story, begin_with, policy, story};
use super::taken_away::Shown::{self, Log, Policy};
use super::taken_away::{told, without};

/// What fails is tried again soon.
const AGAIN: [&str; 2] = ["--retry-seconds", "0.5"];

pub fn stories() -> Vec<Story> {
    vec![
        story("a_relocation_stops_at_each_right_that_is_missing_and_goes_on_with_it", relocation),
        story("a_deletion_stops_at_each_right_that_is_missing_and_goes_on_with_it", deletion),
        story("a_node_image_waits_for_each_right_that_is_missing", image),
    ]
}

/// All rights that are taken away here.
pub fn rights() -> impl Iterator<Item = &'static str> {
    [FINALIZERS].into_iter().chain(RELOCATION).chain(DELETION).chain(IMAGE)
}

const FINALIZERS: &str = "patch nodepoolpolicies.aks.nodepool.dev";

/// In the order in which a relocation needs them.
const RELOCATION: [&str; 7] = [
    "list namespaces",
    "get replicasets.apps",
    "get statefulsets.apps",
    "get nodes",
    "patch nodes",
    "create pods/eviction",
    "Microsoft.ContainerService/managedClusters/agentPools/deleteMachines/action",
];

/// In the order in which the deletion of a user pool needs them.
const DELETION: [&str; 6] = [
    "list persistentvolumes",
    "list persistentvolumeclaims",
    "list csinodes.storage.k8s.io",
    "list volumeattachments.storage.k8s.io",
    "patch nodepoolinventories/status.aks.nodepool.dev",
    "Microsoft.ContainerService/managedClusters/agentPools/delete",
];

/// In the order in which the upgrade of a node image needs them.
const IMAGE: [&str; 2] = [
    "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles/read",
    "Microsoft.ContainerService/managedClusters/agentPools/upgradeNodeImageVersion/action",
];

/// Follows a change that needs these rights in this order, of which the first is missing already. `untouched` sees that nothing
/// was done that comes after the one that is missing.
async fn one_by_one(
    scene: &mut Scene,
    rights: &[&str],
    shown: impl Fn(&str) -> Shown,
    untouched: impl AsyncFn(&Scene, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (index, right) in rights.iter().enumerate() {
        let log = scene.operator.log().len();
        // The next one is missing before this one is back.
        if let Some(next) = rights.get(index + 1) {
            without(scene, &[*right, *next]).await?;
        }
        told(scene, right, shown(right), log).await?;
        untouched(scene, right).await.map_err(|error| error.context(format!("without {right}")))?;
        without(scene, rights.get(index + 1..=index + 1).unwrap_or_default()).await?;
    }
    Ok(())
}

/// The pods of a `StatefulSet`, one on each node.
async fn stateful(scene: &Scene, replicas: i32) -> anyhow::Result<()> {
    let labels = json!({"app": "store"});
    let apart = json!({"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"});
    let weighted = json!([{"weight": 100, "podAffinityTerm": apart}]);
    let pods = json!({
        "containers": [{"name": "c", "image": "c", "resources": {"requests": {"cpu": "10m"}}}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": weighted}},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    });
    let store: StatefulSet = serde_json::from_value(json!({
        "metadata": {"name": "store"},
        "spec": {
            "replicas": replicas, "serviceName": "store", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pods}
        }
    }))?;
    let api: Api<StatefulSet> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    api.create(&PostParams::default(), &store).await?;
    wait_for("the store to run", DEADLINE, async || {
        let ready = api.get("store").await?.status.and_then(|status| status.ready_replicas);
        Ok(if ready == Some(replicas) { Ok(()) } else { Err(format!("{ready:?} are Ready")) })
    })
    .await
}

async fn relocation(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = begin_with(Testbed::builder(lane).pool(PoolSpec::system("system", 4)), &AGAIN).await?;
    deploy(&scene.bed, "kube-system", "spread", 4).await?;
    stateful(&scene, 4).await?;
    scene.bed.wait_until_settled().await?;
    scene.apply(scaled_to(4, "Relocate")).await?;
    scene.ready("system").await?;
    without(&scene, &RELOCATION[..1]).await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    one_by_one(
        &mut scene,
        &RELOCATION,
        |_| Policy("system"),
        async |scene, right| {
            let at = RELOCATION.iter().position(|each| *each == right).unwrap_or_default();
            if at < 5 {
                is_open(scene, "system").await?;
            }
            ensure!(at > 5 || evicted_by_operator(scene)?.is_empty(), "pods were evicted");
            ensure!(scene.in_arm("system", "count") == 4, "nodes were removed");
            Ok(())
        },
    )
    .await?;
    ends_with(&scene, 3).await?;
    is_open(&scene, "system").await?;
    Ok(scene.in_which_rights_are_missing())
}

async fn deletion(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let mut scene = begin_with(builder.pool(PoolSpec::user("apps", 1)), &AGAIN).await?;
    without(&scene, &[FINALIZERS]).await?;
    let log = scene.operator.log().len();
    scene.apply(policy("apps", json!({"deletionPolicy": "Delete"}))).await?;
    told(&mut scene, FINALIZERS, Log, log).await?;
    without(&scene, &[]).await?;
    scene.has_finalizers("apps", &[FINALIZER]).await?;
    scene.ready("apps").await?;

    without(&scene, &DELETION[..1]).await?;
    scene.begin_deletion("apps").await?;
    let shown = |right: &str| if right.starts_with("patch ") { Log } else { Policy("apps") };
    // What lets the object go is the right that has held it.
    let rights: Vec<&str> = DELETION.into_iter().chain([FINALIZERS]).collect();
    one_by_one(&mut scene, &rights, shown, async |scene, right| {
        let there = scene.bed.emulator.pool("apps").is_some();
        ensure!(there == (right != FINALIZERS), "whether the pool is there: {there}");
        scene.has_finalizers("apps", &[FINALIZER]).await
    })
    .await?;
    scene.gone("apps").await?;
    ensure!(scene.bed.emulator.pool("apps").is_none(), "the pool is still there");
    Ok(scene.in_which_rights_are_missing())
}

async fn image(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let mut scene = begin_with(builder.pool(PoolSpec::user("apps", 1)), &AGAIN).await?;
    node_image::release(&scene);
    scene.apply(policy("apps", json!({}))).await?;
    scene.ready("apps").await?;
    without(&scene, &IMAGE[..1]).await?;
    scene.annotate("apps", UPGRADE_NODE_IMAGE, "first").await?;
    one_by_one(
        &mut scene,
        &IMAGE,
        |_| Policy("apps"),
        async |scene, _| {
            let newest = scene.in_arm("apps", "nodeImageVersion");
            ensure!(newest.as_str().is_some_and(|image| !image.contains("202602.10.0")), "the image is {newest}");
            Ok(())
        },
    )
    .await?;
    scene.until("apps", "to have the image", |status| status.last_handled_node_image_upgrade.is_some()).await?;
    scene.ready("apps").await?;
    ensure!(node_image::asked(&scene) >= 2, "it was denied once and done once");
    Ok(scene.in_which_rights_are_missing())
}
