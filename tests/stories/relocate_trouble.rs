//! Drains that meet trouble: nodes that die, pods that come or have no other place, operations of somebody else. Whatever
//! happens, nothing is evicted that was not judged anew, and no node is left cordoned without a drain.

use std::collections::BTreeSet;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use nodepool_operator::api::{NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::{Lane, OPERATOR_USER, Testbed, wait_for};

use super::drains::{
    asking_for, deploy_with, ends_with, evicted_by_operator, evicted_once, five_nodes, given_up, hold_evictions, homes,
    is_open, marked, pool_ends_with, removed_only, scaled_to, set_budget,
};
use super::support::{DEADLINE, ONCE, QUICK, Scene, Story, begin, binary, message, policy, story};

/// Add-ons that the operator waits for.
const REQUIRED: [&str; 3] = ["coredns-", "konnectivity-agent-", "metrics-server-"];

pub fn stories() -> Vec<Story> {
    vec![
        story("a_drain_waits_while_a_node_that_stays_is_dead", stays_and_dies),
        story("a_drain_waits_while_a_node_that_goes_is_dead", goes_and_dies),
        story("a_drain_is_given_up_when_too_few_living_nodes_would_stay", too_few_alive),
        story("a_pod_of_nobody_that_comes_to_a_cordoned_node_ends_the_drain", visitor),
        story("a_pod_that_comes_back_to_its_cordoned_node_is_not_evicted_in_a_loop", comes_back),
        story("a_protected_pod_without_another_place_is_told_before_anything_is_cordoned", no_other_place),
        story("room_that_is_taken_on_the_way_ends_the_drain", room_is_taken),
        story("relocate_scales_a_user_pool_down_by_moving_its_protected_pods", user_pool),
        story("an_operation_of_somebody_else_on_the_pool_opens_its_nodes", busy_pool),
        story("an_operation_of_somebody_else_on_another_pool_lets_a_drain_go_on", busy_elsewhere),
    ]
}

/// Moves a pod of each of two required add-ons to a node, unless one is there: where else they are is the scheduler's choice.
async fn needs(bed: &Testbed, nodes: &[String], node: &str) -> anyhow::Result<()> {
    const ADD_ONS: [&str; 2] = ["konnectivity-agent-", "metrics-server-"];
    for other in nodes.iter().filter(|other| *other != node) {
        bed.cluster.cordon(other, true).await?;
    }
    for name in ADD_ONS {
        let pods = bed.cluster.pods("kube-system").await?;
        let mut found = pods.iter().filter(|pod| pod.name_any().starts_with(name));
        let is_here = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
        if !found.clone().any(is_here) {
            let moves = found.next().with_context(|| format!("no pod {name}"))?;
            bed.cluster.delete_pod("kube-system", &moves.name_any()).await?;
        }
    }
    wait_for(&format!("the add-ons to run on {node}"), DEADLINE, async || {
        let pods = bed.cluster.pods_on(node).await?;
        let runs =
            |name: &&str| pods.iter().any(|pod| pod.name_any().starts_with(*name) && testbed::cluster::is_running(pod));
        Ok(if ADD_ONS.iter().all(runs) { Ok(()) } else { Err(format!("{} pods", pods.len())) })
    })
    .await?;
    bed.wait_until_settled().await?;
    for other in nodes.iter().filter(|other| *other != node) {
        bed.cluster.cordon(other, false).await?;
    }
    Ok(())
}

/// Whether the policy waits for the add-ons.
fn waits_for_add_ons(status: &NodePoolPolicyStatus) -> bool {
    status.condition(condition::RECONCILING).is_some_and(|it| it.reason == "KubeSystemUnhealthy")
}

/// Begins to drain two of five nodes, and lets a node with a required add-on die before the first eviction: one that
/// `goes`, or one that stays. No pod is evicted until it is back.
async fn dies(lane: Lane, goes: bool) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let names = scene.node_names("system").await?;
    needs(&scene.bed, &names, if goes { names.last() } else { names.first() }.context("no node")?).await?;
    let homes = homes(&scene, "system").await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    let first = held.arrived().await?;
    let going = marked(&scene, 2).await?;
    let is_needed = |pod: &String| REQUIRED.iter().any(|name| pod.starts_with(name)) && !first.path.contains(pod);
    let dead = homes.iter().find(|(node, pods)| going.contains(*node) == goes && pods.iter().any(is_needed));
    let dead = dead.context("the story needs a node with a required add-on")?.0;
    scene.bed.cluster.set_ready(dead, false).await?;
    held.release();
    scene.until("system", "to wait for the add-ons", waits_for_add_ons).await?;
    scene.looks_again().await?;
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1, "more than the eviction that was on its way: {evicted:?}");
    assert_eq!((scene.writes(), marked(&scene, 2).await?), (vec![], going.clone()));

    scene.bed.cluster.set_ready(dead, true).await?;
    ends_with(&scene, 3).await?;
    evicted_once(&scene, &homes, &going);
    removed_only(&scene, &going);
    Ok(scene)
}

async fn stays_and_dies(lane: Lane) -> anyhow::Result<Scene> {
    dies(lane, false).await
}

async fn goes_and_dies(lane: Lane) -> anyhow::Result<Scene> {
    dies(lane, true).await
}

async fn too_few_alive(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &ONCE).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(2, "Relocate")).await?;
    held.arrived().await?;
    let going = marked(&scene, 3).await?;
    let names = scene.node_names("system").await?;
    let dead = names.iter().find(|node| !going.contains(*node)).context("no node stays")?;
    scene.bed.cluster.set_ready(dead, false).await?;
    held.release();
    let status = given_up(&scene, "SystemCapacityFloor").await?;
    assert!(message(&status, condition::READY).contains("the floor is 2"), "{status:?}");
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1, "more than the eviction that was on its way: {evicted:?}");
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (evicted, vec![]));

    scene.bed.cluster.set_ready(dead, true).await?;
    Ok(scene)
}

/// A pod in kube-system that asks no scheduler for its node, and that nobody starts again.
async fn visit(scene: &Scene, node: &str) -> anyhow::Result<String> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "visitor", "namespace": "kube-system"},
        "spec": {"nodeName": node, "containers": asking_for("10m")},
    }))?;
    let api: Api<Pod> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    let made = api.create(&PostParams::default(), &pod).await?;
    wait_for("the visitor to run", DEADLINE, async || {
        let runs = testbed::cluster::is_running(&api.get("visitor").await?);
        Ok(if runs { Ok(()) } else { Err("it does not") })
    })
    .await?;
    Ok(made.metadata.uid.unwrap_or_default())
}

async fn visitor(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &ONCE).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    let going = marked(&scene, 2).await?;
    let uid = visit(&scene, going.first().context("no node goes")?).await?;
    held.release();
    let status = given_up(&scene, "WorkloadsDependOnPool").await?;
    assert!(message(&status, condition::READY).contains("kube-system/visitor"), "{status:?}");
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1 && !evicted.contains(&"visitor".to_owned()), "{evicted:?}");
    let pods = scene.bed.cluster.pods("kube-system").await?;
    let found = pods.iter().find(|pod| pod.name_any() == "visitor").and_then(|pod| pod.metadata.uid.clone());
    assert_eq!((found, scene.writes()), (Some(uid), vec![]));

    // Without the visitor it goes on, as soon as it is asked anew.
    scene.bed.cluster.delete_pod("kube-system", "visitor").await?;
    scene.apply(policy("system", json!({"count": 3, "tags": {}, "disruption": {"systemPods": "Relocate"}}))).await?;
    ends_with(&scene, 3).await?;
    Ok(scene)
}

async fn comes_back(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &ONCE).await?;
    let nodes = scene.node_names("system").await?;
    // It wants the first node to go, is not kept from it by a cordon, and could run elsewhere.
    let mut more = wants(nodes.last().context("no node")?);
    more["tolerations"] = json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]);
    deploy_with(&scene.bed, "kube-system", "clingy", 1, more).await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    given_up(&scene, "WorkloadsDependOnPool").await?;
    let evicted = evicted_by_operator(&scene)?;
    let again = evicted.iter().filter(|pod| pod.starts_with("clingy-")).count();
    // The second time, if it came back so soon that it could have been there before.
    assert!((1..=2).contains(&again), "{evicted:?}");
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (evicted, vec![]));
    Ok(scene)
}

/// Prefers a node, as part of a specification.
fn wants(node: &str) -> Value {
    let there = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]});
    let preferred = json!([{"weight": 100, "preference": there}]);
    json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}})
}

async fn no_other_place(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let nodes = scene.node_names("system").await?;
    let newest = nodes.last().context("no node")?;
    let only_there = json!({"nodeSelector": {"kubernetes.io/hostname": newest}});
    deploy_with(&scene.bed, "kube-system", "keeper", 1, only_there).await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    let refusal = scene.refused("system", "SystemPodsUnplaceable").await?;
    assert!(
        refusal.contains("kube-system/keeper-") && refusal.contains("not selected by its node selector"),
        "{refusal}"
    );
    scene.looks_again().await?;
    let touched = |resource: &str| {
        let written = scene.bed.audit.writes_by(OPERATOR_USER)?;
        anyhow::Ok(written.into_iter().filter(|write| write.resource == resource).collect::<Vec<_>>())
    };
    assert_eq!((touched("nodes")?, touched("pods/eviction")?, scene.writes()), (vec![], vec![], vec![]));
    // The remedy works, and the operator goes on by itself.
    deploy_with(&scene.bed, "kube-system", "keeper", 1, json!({})).await?;
    ends_with(&scene, 3).await?;
    Ok(scene)
}

async fn room_is_taken(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &ONCE).await?;
    let nodes = scene.node_names("system").await?;
    let newest = nodes.last().context("no node")?;
    needs(&scene.bed, &nodes, newest).await?;
    // A large pod that is on the first node to go, and could run elsewhere.
    let mut more = wants(newest);
    more["containers"] = asking_for("1500m");
    deploy_with(&scene.bed, "kube-system", "large", 1, more).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    assert!(marked(&scene, 2).await?.contains(newest), "the story needs the newest node to go");
    deploy_with(&scene.bed, "default", "ballast", 3, json!({"containers": asking_for("2500m")})).await?;
    held.release();
    let status = given_up(&scene, "SystemPodsUnplaceable").await?;
    assert!(message(&status, condition::READY).contains("kube-system/large-"), "{status:?}");
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.iter().all(|pod| !pod.starts_with("large-")), "{evicted:?}");
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (evicted, vec![]));
    Ok(scene)
}

async fn user_pool(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 2));
    let scene = begin(builder.pool(PoolSpec::user("apps", 3))).await?;
    let on_apps = json!({"nodeSelector": {"kubernetes.azure.com/agentpool": "apps"}});
    deploy_with(&scene.bed, "kube-system", "agent", 3, on_apps.clone()).await?;
    deploy_with(&scene.bed, "default", "shop", 3, on_apps).await?;
    set_budget(&scene, "default", "shop", json!({"minAvailable": 2})).await?;
    scene.bed.wait_until_settled().await?;
    let homes = homes(&scene, "apps").await?;
    anyhow::ensure!(homes.values().all(|pods| !pods.is_empty()), "the story needs a protected pod on each node");
    let to = |systems: &str| policy("apps", json!({"count": 2, "disruption": {"systemPods": systems}}));
    scene.apply(to("Protect")).await?;
    scene.refused("apps", "SystemPodsWouldBeEvicted").await?;
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (vec![], vec![]));

    scene.apply(to("Relocate")).await?;
    pool_ends_with(&scene, "apps", 2).await?;
    let left: BTreeSet<String> = scene.node_names("apps").await?.into_iter().collect();
    let gone: BTreeSet<String> = homes.keys().filter(|node| !left.contains(*node)).cloned().collect();
    let (shop, protected): (Vec<String>, Vec<String>) =
        evicted_by_operator(&scene)?.into_iter().partition(|pod| pod.starts_with("shop-"));
    let planned: Vec<String> = gone.iter().filter_map(|node| homes.get(node)).flatten().cloned().collect();
    assert_eq!((shop.len(), protected), (1, planned), "each through the eviction API, and once");
    removed_only(&scene, &gone);
    is_open(&scene, "apps").await?;
    Ok(scene)
}

async fn busy_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    marked(&scene, 2).await?;
    let operation = scene.bed.emulator.operation("system").hold();
    scene.edit_by_hand("system", json!({"nodeLabels": {"by": "hand"}})).await?;
    anyhow::ensure!(operation.arrived_within(DEADLINE).await, "their operation never ran");
    held.release();
    is_open(&scene, "system").await?;
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.len() <= 1, "more than the eviction that was on its way: {evicted:?}");
    scene.looks_again().await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (evicted, vec![]));
    is_open(&scene, "system").await?;

    operation.release();
    ends_with(&scene, 3).await?;
    assert_eq!(scene.in_arm("system", "nodeLabels"), json!({"by": "hand"}));
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn busy_elsewhere(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 4));
    let bed = builder.pool(PoolSpec::user("apps", 1)).start().await?;
    let on_system = json!({"nodeSelector": {"kubernetes.azure.com/agentpool": "system"}});
    deploy_with(&bed, "kube-system", "spread", 4, on_system).await?;
    bed.wait_until_settled().await?;
    let operator = bed.start_operator(bed.operator_options(binary()).arguments(&QUICK)).await?;
    let scene = Scene::of(bed, operator);
    let homes = homes(&scene, "system").await?;
    let held = hold_evictions(&scene);
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    let going = marked(&scene, 1).await?;
    let operation = scene.bed.emulator.operation("apps").hold();
    scene.edit_by_hand("apps", json!({"nodeLabels": {"by": "hand"}})).await?;
    anyhow::ensure!(operation.arrived_within(DEADLINE).await, "their operation never ran");
    held.release();
    ends_with(&scene, 3).await?;
    assert_eq!(scene.in_arm("apps", "provisioningState"), "Updating", "theirs has run all the time");
    evicted_once(&scene, &homes, &going);
    removed_only(&scene, &going);
    operation.release();
    scene.bed.emulator.idle().await;
    Ok(scene)
}
