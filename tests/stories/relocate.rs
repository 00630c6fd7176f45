//! Chosen nodes that are drained and removed: what is planned is evicted and nothing else, one protected pod after the other,
//! and whatever stops a drain leaves no node cordoned.

use std::collections::BTreeSet;
use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use nodepool_operator::api::{DRAIN_ANNOTATION, NodePoolPolicyStatus, condition, outcome};
use serde_json::{Value, json};
use testbed::door::Held;
use testbed::{Lane, Match, OPERATOR_USER, Operator, Testbed, wait_for};

use super::support::{QUICK, Scene, Story, begin, binary, holds, message, policy, story};

/// A drain moves many pods, each of which has to become Ready elsewhere.
const DRAIN_DEADLINE: Duration = Duration::from_secs(150);

pub fn stories() -> Vec<Story> {
    vec![
        story("relocate_scales_a_system_pool_down_by_moving_its_pods", moves_pods),
        story("protect_removes_only_nodes_without_protected_pods", empty_nodes),
        story("a_demotion_moves_the_protected_pods_first", demotion),
        story("a_budget_that_never_opens_stops_a_drain_before_it_begins", closed_budget),
        story("a_budget_that_closes_on_the_way_opens_every_node_again", closing_budget),
        story("a_drain_that_takes_too_long_opens_every_node_again", too_long),
        story("a_drain_of_a_policy_that_is_suspended_opens_every_node_again", suspended),
        story("a_drain_goes_on_after_a_crash_at_each_of_its_writes", crashes),
        story("a_node_that_somebody_else_cordoned_is_never_taken", foreign_cordon),
    ]
}

/// A system pool of five nodes, each with at least one pod of kube-system that moves: a Deployment of five spreads over them.
async fn five_nodes(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let bed = Testbed::builder(lane).pool(PoolSpec::system("system", 5)).start().await?;
    deploy(&bed, "kube-system", "spread", 5).await?;
    bed.wait_until_settled().await?;
    let options = bed.operator_options(binary()).arguments(&QUICK).arguments(arguments);
    let operator = bed.start_operator(options).await?;
    Ok(Scene::of(bed, operator))
}

/// Runs a Deployment whose pods are spread over the nodes as far as that is possible.
async fn deploy(bed: &Testbed, namespace: &str, name: &str, replicas: i32) -> anyhow::Result<()> {
    let labels = json!({"app": name});
    let spread = json!({
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels}
    });
    let container = json!({"name": "c", "image": "c", "resources": {"requests": {"cpu": "10m"}}});
    let spec = json!({
        "containers": [container], "topologySpreadConstraints": [spread],
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec}
        }
    });
    let api: Api<Deployment> = Api::namespaced(bed.cluster.client(), namespace);
    api.patch(name, &PatchParams::apply("gitops").force(), &Patch::Apply(&deployment)).await?;
    wait_for(&format!("{name} to run"), Duration::from_mins(1), async || {
        let ready = api.get(name).await?.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        Ok(if ready == replicas { Ok(()) } else { Err(format!("{ready} of {replicas} are Ready")) })
    })
    .await
}

/// Sets the budget of the pods of an app.
async fn set_budget(scene: &Scene, namespace: &str, app: &str, rule: Value) -> anyhow::Result<()> {
    let mut spec = json!({"selector": {"matchLabels": {"app": app}}});
    if let (Value::Object(all), Value::Object(rule)) = (&mut spec, rule) {
        all.extend(rule);
    }
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app, "namespace": namespace},
        "spec": spec
    });
    let api: Api<PodDisruptionBudget> = Api::namespaced(scene.bed.cluster.client(), namespace);
    let set = api.patch(app, &PatchParams::apply("gitops").force(), &Patch::Apply(&budget)).await?;
    wait_for(&format!("the budget of {app} to be counted"), Duration::from_secs(30), async || {
        let status = api.get(app).await?.status.unwrap_or_default();
        let counted = status.observed_generation >= set.metadata.generation && status.expected_pods > 0;
        Ok(if counted { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await
}

fn scaled_to(count: u32, system_pods: &str) -> Value {
    policy("system", json!({"count": count, "disruption": {"systemPods": system_pods}}))
}

/// Pods of kube-system on these nodes that no DaemonSet owns, `namespace/name`.
async fn protected_on(scene: &Scene, nodes: &BTreeSet<String>) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for node in nodes {
        let pods = scene.bed.cluster.pods_on(node).await?;
        let is_protected = |pod: &&k8s_openapi::api::core::v1::Pod| {
            pod.namespace().as_deref() == Some("kube-system") && !testbed::cluster::is_of_daemon_set(pod)
        };
        found.extend(pods.iter().filter(is_protected).map(ResourceExt::name_any));
    }
    Ok(found)
}

/// Pods that the operator evicted, in the order in which it did.
fn evicted_by_operator(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let departures = scene.bed.audit.departures()?;
    Ok(departures.into_iter().filter(|gone| gone.user == OPERATOR_USER).map(|gone| gone.pod).collect())
}

fn is_marked(node: &Node) -> bool {
    node.annotations().contains_key(DRAIN_ANNOTATION)
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// Sees that no node of the pool is cordoned, nor marked.
async fn is_open(scene: &Scene, pool: &str) -> anyhow::Result<()> {
    wait_for(&format!("every node of {pool} to be open"), Duration::from_secs(30), async || {
        let closed = scene.nodes(pool).await?.into_iter().filter(|node| is_cordoned(node) || is_marked(node));
        let closed: Vec<String> = closed.map(|node| node.name_any()).collect();
        Ok(if closed.is_empty() { Ok(()) } else { Err(format!("{closed:?}")) })
    })
    .await
}

/// The names of the nodes that the operator cordoned.
async fn marked(scene: &Scene, number: usize) -> anyhow::Result<BTreeSet<String>> {
    wait_for(&format!("{number} nodes to be cordoned"), Duration::from_secs(40), async || {
        let nodes = scene.nodes("system").await?;
        let found: BTreeSet<String> =
            nodes.iter().filter(|node| is_marked(node) && is_cordoned(node)).map(ResourceExt::name_any).collect();
        Ok(if found.len() == number { Ok(found) } else { Err(format!("{found:?}")) })
    })
    .await
}

/// Waits for the end of a drain, and sees on the way that coredns never falls below its budget. No more than one protected
/// pod is away at a time.
async fn ends_with(scene: &Scene, count: usize) -> anyhow::Result<NodePoolPolicyStatus> {
    let coredns: Api<Deployment> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    wait_for(&format!("system to end with {count} nodes"), DRAIN_DEADLINE, async || {
        let ready = coredns.get("coredns").await?.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        anyhow::ensure!(ready >= 1, "{ready} pods of coredns are Ready");
        let status = scene.status("system").await?;
        let nodes = scene.nodes("system").await?.len();
        let done = holds(&status, condition::READY) && nodes == count;
        Ok(if done { Ok(status) } else { Err(format!("{nodes} nodes; {}", serde_json::to_string_pretty(&status)?)) })
    })
    .await
    .with_context(|| format!("the operator's log ends: {}", scene.operator.log_tail(30)))
}

/// What the operator has written to ARM: only the removal of these machines.
fn removed_only(scene: &Scene, machines: &BTreeSet<String>) {
    let wanted = json!({"machineNames": machines});
    assert_eq!(scene.writes(), [("deleteMachines".to_owned(), wanted)]);
}

async fn moves_pods(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let before: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let mut homes = Vec::new();
    for node in &before {
        homes.push((node.clone(), protected_on(&scene, &[node.clone()].into()).await?));
    }
    scene.apply(scaled_to(3, "Relocate")).await?;
    let going = marked(&scene, 2).await?;
    let draining = scene
        .until("system", "to tell of the drain", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Draining")
        })
        .await?;
    let says = draining.operation.and_then(|operation| operation.step).unwrap_or_default();
    assert!(says.contains("to scale from 5 to 3 nodes") || says.contains("scale from 5 to 3"), "{says}");
    let status = ends_with(&scene, 3).await?;

    let left: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    assert_eq!(before.difference(&left).cloned().collect::<BTreeSet<_>>(), going, "exactly the chosen nodes went");
    let planned: BTreeSet<String> =
        homes.into_iter().filter(|(node, _)| going.contains(node)).flat_map(|(_, pods)| pods).collect();
    let evicted = evicted_by_operator(&scene)?;
    assert!(!evicted.is_empty());
    assert_eq!(evicted.iter().cloned().collect::<BTreeSet<_>>(), planned, "what was planned was evicted");
    assert_eq!(evicted.len(), planned.len(), "each once");
    removed_only(&scene, &going);
    assert_eq!(scene.in_arm("system", "count"), 3);
    is_open(&scene, "system").await?;
    let done: Vec<&str> = status.history.iter().map(|entry| entry.step.as_str()).collect();
    assert!(done.iter().any(|step| step.starts_with("evict kube-system/")), "{done:?}");
    assert!(done.iter().any(|step| step.starts_with("remove nodes ")), "{done:?}");
    let events = Api::<Event>::all(scene.bed.cluster.client()).list(&ListParams::default()).await?;
    let told: BTreeSet<String> = events
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some("CordonedForDrain"))
        .filter_map(|event| event.regarding?.name)
        .collect();
    assert_eq!(told, going, "the nodes have their events");
    scene.is_quiet().await?;
    Ok(scene)
}

async fn empty_nodes(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).pool(PoolSpec::system("system", 5))).await?;
    let names = scene.node_names("system").await?;
    let free: BTreeSet<String> = names.iter().take(2).cloned().collect();
    scene.bed.cluster.move_pods_off(&free.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    scene.bed.wait_until_settled().await?;
    for node in names.iter().skip(2) {
        let pods = protected_on(&scene, &[node.clone()].into()).await?;
        anyhow::ensure!(!pods.is_empty(), "the story needs a protected pod on {node}");
    }
    let before = scene.evicted()?.len();
    scene.apply(scaled_to(3, "Protect")).await?;
    ends_with(&scene, 3).await?;
    assert_eq!(scene.evicted()?.len(), before, "nothing was evicted");
    removed_only(&scene, &free);
    // What is left all have protected pods.
    scene.apply(scaled_to(2, "Protect")).await?;
    let refusal = scene.refused("system", "SystemPodsWouldBeEvicted").await?;
    assert!(refusal.contains("set spec.disruption.systemPods to Relocate in policy system"), "{refusal}");
    assert_eq!((scene.writes().len(), scene.evicted()?.len()), (1, before));
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn demotion(lane: Lane) -> anyhow::Result<Scene> {
    let scene =
        begin(Testbed::builder(lane).pool(PoolSpec::system("system", 2)).pool(PoolSpec::system("two", 3))).await?;
    let nodes: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let planned = protected_on(&scene, &nodes).await?;
    anyhow::ensure!(!planned.is_empty(), "the story needs protected pods on pool system");
    deploy(&scene.bed, "default", "shop", 5).await?;
    scene.apply(policy("system", json!({"mode": "User", "disruption": {"systemPods": "Relocate"}}))).await?;
    ends_with(&scene, 2).await?;
    assert_eq!(scene.in_arm("system", "mode"), "User");
    let evicted: BTreeSet<String> = evicted_by_operator(&scene)?.into_iter().collect();
    assert_eq!(evicted, planned, "applications stay where they are");
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn closed_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    deploy(&scene.bed, "default", "shop", 5).await?;
    set_budget(&scene, "default", "shop", json!({"maxUnavailable": 0})).await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    let refusal = scene.refused("system", "DisruptionBudgetBlocks").await?;
    assert!(refusal.contains("default/shop") && refusal.contains("let the budget allow one pod to go"), "{refusal}");
    assert_eq!((scene.writes(), evicted_by_operator(&scene)?), (vec![], vec![]));
    is_open(&scene, "system").await?;
    // The remedy works, and the operator goes on by itself.
    set_budget(&scene, "default", "shop", json!({"maxUnavailable": 1})).await?;
    ends_with(&scene, 3).await?;
    Ok(scene)
}

/// Waits until the drain was given up, and sees that every node is open again and that the status says why and when the next
/// attempt is due.
async fn given_up(scene: &Scene, code: &str) -> anyhow::Result<NodePoolPolicyStatus> {
    let status = scene
        .until("system", "to give the drain up", |status| {
            let given = status.attempt.as_ref().is_some_and(|attempt| attempt.outcome == outcome::GIVEN_UP);
            let says = message(status, condition::READY);
            given && holds(status, condition::STALLED) && says.starts_with("the last drain was given up")
        })
        .await?;
    let attempt = status.attempt.as_ref().context("no attempt")?;
    assert_eq!(attempt.code, code, "{attempt:?}");
    assert!(attempt.next.is_some(), "{attempt:?}");
    let said = message(&status, condition::READY);
    assert!(said.starts_with("the last drain was given up and its nodes are open again"), "{said}");
    is_open(scene, "system").await?;
    Ok(status)
}

async fn closing_budget(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &["--retry-seconds", "3600"]).await?;
    let held = scene.bed.api.hold(Match::method("POST").path_contains("/eviction"));
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    set_budget(&scene, "kube-system", "spread", json!({"maxUnavailable": 0})).await?;
    held.release();
    given_up(&scene, "DisruptionBudgetBlocks").await?;
    let evicted = evicted_by_operator(&scene)?;
    assert!(evicted.iter().all(|pod| !pod.starts_with("spread-")), "{evicted:?}");
    assert_eq!((scene.writes(), scene.in_arm("system", "count")), (vec![], json!(5)));
    // It does not evict in a loop.
    scene.looks_again().await?;
    assert_eq!(evicted_by_operator(&scene)?, evicted);
    Ok(scene)
}

async fn too_long(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &["--drain-deadline-seconds", "2", "--retry-seconds", "3600"]).await?;
    // No eviction ever reaches the API server.
    let lost = scene.bed.api.drop_request(Match::method("POST").path_contains("/eviction"));
    scene.apply(scaled_to(3, "Relocate")).await?;
    lost.arrived().await?;
    given_up(&scene, "DrainTimedOut").await?;
    assert_eq!(evicted_by_operator(&scene)?, Vec::<String>::new());
    assert_eq!(scene.in_arm("system", "count"), 5);
    Ok(scene)
}

async fn suspended(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let held = scene.bed.api.hold(Match::method("POST").path_contains("/eviction"));
    scene.apply(scaled_to(3, "Relocate")).await?;
    held.arrived().await?;
    marked(&scene, 2).await?;
    let spec = json!({"count": 3, "suspend": true, "disruption": {"systemPods": "Relocate"}});
    scene.apply(policy("system", spec)).await?;
    held.release();
    is_open(&scene, "system").await?;
    scene.looks_again().await?;
    assert!(evicted_by_operator(&scene)?.len() <= 1, "only the one that was under way");
    assert_eq!(scene.in_arm("system", "count"), 5);
    // A policy that is gone leaves nothing behind either.
    scene.apply(scaled_to(3, "Relocate")).await?;
    scene
        .apply(policy("system", json!({"count": 3, "suspend": false, "disruption": {"systemPods": "Relocate"}})))
        .await?;
    marked(&scene, 2).await?;
    let held = scene.bed.api.hold(Match::method("POST").path_contains("/eviction"));
    scene.delete("system").await?;
    held.release();
    is_open(&scene, "system").await?;
    Ok(scene)
}

/// Starts the operator, and kills it when the request or its answer is held.
async fn killed_at(operator: &mut Operator, held: Held) -> anyhow::Result<()> {
    operator.restart().await?;
    held.arrived().await?;
    operator.kill().await?;
    held.release();
    Ok(())
}

async fn crashes(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = five_nodes(lane, &[]).await?;
    let before: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let mut homes = Vec::new();
    for node in &before {
        homes.push((node.clone(), protected_on(&scene, &[node.clone()].into()).await?));
    }
    let is_cordon = |request: &testbed::door::Request| request.path.contains("/api/v1/nodes/");
    let eviction = || Match::method("POST").path_contains("/eviction").times(1);
    let removal = || Match::method("POST").path_ends_with("/deleteMachines").times(1);
    // The first cordon is made and its answer never read, so that one of two nodes is cordoned.
    let answer = scene.bed.api.hold_answer(Match::method("PATCH").when(is_cordon));
    scene.apply(scaled_to(3, "Relocate")).await?;
    answer.arrived().await?;
    scene.operator.kill().await?;
    answer.release();
    // Killed before each kind of request, and after it.
    let request = scene.bed.api.hold(eviction());
    killed_at(&mut scene.operator, request).await?;
    let answer = scene.bed.api.hold_answer(eviction());
    killed_at(&mut scene.operator, answer).await?;
    let request = scene.bed.arm.hold(removal());
    killed_at(&mut scene.operator, request).await?;
    let answer = scene.bed.arm.hold_answer(removal());
    killed_at(&mut scene.operator, answer).await?;
    scene.operator.restart().await?;
    ends_with(&scene, 3).await?;
    let left: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let gone: BTreeSet<String> = before.difference(&left).cloned().collect();
    let planned: BTreeSet<String> =
        homes.into_iter().filter(|(node, _)| gone.contains(node)).flat_map(|(_, pods)| pods).collect();
    let evicted = evicted_by_operator(&scene)?;
    assert_eq!(evicted.iter().cloned().collect::<BTreeSet<_>>(), planned);
    assert_eq!(evicted.len(), planned.len(), "each once: {evicted:?}");
    assert_eq!(scene.in_arm("system", "count"), 3);
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn foreign_cordon(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let names = scene.node_names("system").await?;
    // The newest node would be the first choice.
    let theirs = names.last().context("no node")?.clone();
    scene.bed.cluster.cordon(&theirs, true).await?;
    scene.apply(scaled_to(4, "Relocate")).await?;
    ends_with(&scene, 4).await?;
    let node = scene.nodes("system").await?.into_iter().find(|node| node.name_any() == theirs);
    let node = node.context("the node of somebody else was removed")?;
    assert!(is_cordoned(&node) && !is_marked(&node), "{:?}", node.annotations());
    let written = scene.bed.audit.writes_by(OPERATOR_USER)?;
    assert!(written.iter().all(|write| write.resource != "nodes" || write.name != theirs), "{written:?}");
    assert!(protected_on(&scene, &[theirs.clone()].into()).await?.len() <= 3, "nothing was moved there");
    scene.bed.cluster.cordon(&theirs, false).await?;
    Ok(scene)
}
