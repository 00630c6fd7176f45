//! What the stories of drains share: a pool with protected pods on every node, the end of a drain and what it leaves behind.
//! Never asserts by itself what a story is about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use nodepool_operator::api::{DRAIN_ANNOTATION, NodePoolPolicyStatus, condition, outcome};
use serde_json::{Value, json};
use testbed::door::Held;
use testbed::{Lane, Match, OPERATOR_USER, Testbed, wait_for};

use super::support::{DEADLINE, QUICK, Scene, binary, holds, message, policy};

/// What moves in a drain moves one after the other, so that it may take longer than a single step.
const DRAIN_DEADLINE: Duration = DEADLINE.saturating_mul(2);
/// The request by which a pod is evicted.
const EVICTION: &str = "/eviction";

/// A system pool of five nodes, each with at least one pod of kube-system that moves: a Deployment of five spreads over them.
pub async fn five_nodes(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let bed = five_nodes_without_operator(lane).await?;
    let options = bed.operator_options(binary()).arguments(&QUICK).arguments(arguments);
    let operator = bed.start_operator(options).await?;
    Ok(Scene::of(bed, operator))
}

/// The same, before the operator is started.
pub async fn five_nodes_without_operator(lane: Lane) -> anyhow::Result<Testbed> {
    let bed = Testbed::builder(lane).pool(PoolSpec::system("system", 5)).start().await?;
    deploy(&bed, "kube-system", "spread", 5).await?;
    bed.wait_until_settled().await?;
    Ok(bed)
}

/// Runs a Deployment whose pods are spread over the nodes as far as that is possible.
pub async fn deploy(bed: &Testbed, namespace: &str, name: &str, replicas: i32) -> anyhow::Result<()> {
    deploy_with(bed, namespace, name, replicas, json!({})).await
}

/// The same, with more in the specification of its pods.
pub async fn deploy_with(bed: &Testbed, namespace: &str, name: &str, replicas: i32, more: Value) -> anyhow::Result<()> {
    let labels = json!({"app": name});
    let spread = json!({
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels}
    });
    let container = json!({"name": "c", "image": "c", "resources": {"requests": {"cpu": "10m"}}});
    let mut spec = json!({
        "containers": [container], "topologySpreadConstraints": [spread],
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut spec, more) {
        all.extend(more);
    }
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec}
        }
    });
    let api: Api<Deployment> = Api::namespaced(bed.cluster.client(), namespace);
    api.patch(name, &PatchParams::apply("gitops").force(), &Patch::Apply(&deployment)).await?;
    wait_for(&format!("{name} to run"), DEADLINE, async || {
        let status = api.get(name).await?.status.unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or(0);
        Ok(if ready == replicas { Ok(()) } else { Err(format!("{ready} of {replicas} are Ready")) })
    })
    .await
}

/// Pods that ask for so much, as part of a specification.
pub fn asking_for(cpu: &str) -> Value {
    json!([{"name": "c", "image": "c", "resources": {"requests": {"cpu": cpu}}}])
}

/// Sets the budget of the pods of an app.
pub async fn set_budget(scene: &Scene, namespace: &str, app: &str, rule: Value) -> anyhow::Result<()> {
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
    wait_for(&format!("the budget of {app} to be counted"), DEADLINE, async || {
        let status = api.get(app).await?.status.unwrap_or_default();
        let counted = status.observed_generation >= set.metadata.generation && status.expected_pods > 0;
        Ok(if counted { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await
}

pub fn scaled_to(count: u32, system_pods: &str) -> Value {
    policy("system", json!({"count": count, "disruption": {"systemPods": system_pods}}))
}

/// Pods of kube-system on these nodes that no DaemonSet owns, `namespace/name`.
pub async fn protected_on(scene: &Scene, nodes: &BTreeSet<String>) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for node in nodes {
        let pods = scene.bed.cluster.pods_on(node).await?;
        let is_protected =
            |pod: &&Pod| pod.namespace().as_deref() == Some("kube-system") && !testbed::cluster::is_of_daemon_set(pod);
        found.extend(pods.iter().filter(is_protected).map(ResourceExt::name_any));
    }
    Ok(found)
}

/// Pods that the operator evicted, in the order in which it did.
pub fn evicted_by_operator(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let departures = scene.bed.audit.departures()?;
    Ok(departures.into_iter().filter(|gone| gone.user == OPERATOR_USER).map(|gone| gone.pod).collect())
}

pub fn is_marked(node: &Node) -> bool {
    node.annotations().contains_key(DRAIN_ANNOTATION)
}

pub fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// Sees that no node of the pool is cordoned, nor marked.
pub async fn is_open(scene: &Scene, pool: &str) -> anyhow::Result<()> {
    wait_for(&format!("every node of {pool} to be open"), DEADLINE, async || {
        let closed = scene.nodes(pool).await?.into_iter().filter(|node| is_cordoned(node) || is_marked(node));
        let closed: Vec<String> = closed.map(|node| node.name_any()).collect();
        Ok(if closed.is_empty() { Ok(()) } else { Err(format!("{closed:?}")) })
    })
    .await
}

/// The names of the nodes that the operator cordoned.
pub async fn marked(scene: &Scene, number: usize) -> anyhow::Result<BTreeSet<String>> {
    wait_for(&format!("{number} nodes to be cordoned"), DEADLINE, async || {
        let nodes = scene.nodes("system").await?;
        let found: BTreeSet<String> =
            nodes.iter().filter(|node| is_marked(node) && is_cordoned(node)).map(ResourceExt::name_any).collect();
        Ok(if found.len() == number { Ok(found) } else { Err(format!("{found:?}")) })
    })
    .await
}

/// Waits until pool `system` is as its policy asks and has so many nodes, and sees on the way that coredns never falls below
/// its budget.
pub async fn ends_with(scene: &Scene, count: usize) -> anyhow::Result<NodePoolPolicyStatus> {
    pool_ends_with(scene, "system", count).await
}

/// The same of another pool.
pub async fn pool_ends_with(scene: &Scene, pool: &str, count: usize) -> anyhow::Result<NodePoolPolicyStatus> {
    let coredns: Api<Deployment> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    wait_for(&format!("{pool} to end with {count} nodes"), DRAIN_DEADLINE, async || {
        let ready = coredns.get("coredns").await?.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        anyhow::ensure!(ready >= 1, "{ready} pods of coredns are Ready");
        let status = scene.status(pool).await?;
        let nodes = scene.nodes(pool).await?.len();
        let done = holds(&status, condition::READY) && nodes == count;
        Ok(if done { Ok(status) } else { Err(format!("{nodes} nodes; {}", serde_json::to_string_pretty(&status)?)) })
    })
    .await
    .with_context(|| format!("the operator's log ends: {}", scene.operator.log_tail(30)))
}

/// What the operator has written to ARM: only the removal of these machines.
pub fn removed_only(scene: &Scene, machines: &BTreeSet<String>) {
    let wanted = json!({"machineNames": machines});
    assert_eq!(scene.writes(), [("deleteMachines".to_owned(), wanted)]);
}

/// Waits until the drain was given up, and sees that every node is open again and that the status says why and when the next
/// attempt is due.
pub async fn given_up(scene: &Scene, code: &str) -> anyhow::Result<NodePoolPolicyStatus> {
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

/// Pods of kube-system that no DaemonSet owns, by the nodes of a pool on which they are.
pub async fn homes(scene: &Scene, pool: &str) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut homes = BTreeMap::new();
    for node in scene.node_names(pool).await? {
        let pods = protected_on(scene, &[node.clone()].into()).await?;
        homes.insert(node, pods);
    }
    Ok(homes)
}

/// Sees that the operator evicted exactly what was on these nodes, and each pod once.
pub fn evicted_once(scene: &Scene, homes: &BTreeMap<String, BTreeSet<String>>, nodes: &BTreeSet<String>) {
    let planned: BTreeSet<&String> =
        homes.iter().filter(|(node, _)| nodes.contains(*node)).flat_map(|it| it.1).collect();
    let evicted = evicted_by_operator(scene).unwrap_or_default();
    assert_eq!(evicted.iter().collect::<BTreeSet<_>>(), planned, "what was planned was evicted");
    assert_eq!(evicted.len(), planned.len(), "each once: {evicted:?}");
}

/// Stops every eviction on its way to the API server.
pub fn hold_evictions(scene: &Scene) -> Held {
    scene.bed.api.hold(Match::method("POST").path_contains(EVICTION))
}

/// How many pods of each Deployment of kube-system are Ready.
async fn ready_pods(scene: &Scene) -> anyhow::Result<BTreeMap<String, i32>> {
    let api: Api<Deployment> = Api::namespaced(scene.bed.cluster.client(), "kube-system");
    let ready = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas);
    let all = api.list(&ListParams::default()).await?.items;
    Ok(all.iter().map(|deployment| (deployment.name_any(), ready(deployment).unwrap_or(0))).collect())
}

/// Lets the evictions go on one by one until a policy is Ready, and sees before each that every pod that was evicted before
/// has a Ready successor. Tells how many there were.
pub async fn let_go_one_by_one(scene: &Scene, pool: &str, held: Held) -> anyhow::Result<usize> {
    let whole = ready_pods(scene).await?;
    let mut let_go = 0;
    wait_for(&format!("the drain of {pool} to end"), DRAIN_DEADLINE, async || {
        let status = scene.status(pool).await?;
        if held.count() > let_go {
            let ready = ready_pods(scene).await?;
            anyhow::ensure!(ready == whole, "{ready:?} are Ready when the next is evicted, of {whole:?}");
            anyhow::ensure!(held.count() == let_go + 1, "two evictions at a time");
            held.release_one();
            let_go += 1;
        }
        Ok(if holds(&status, condition::READY) { Ok(()) } else { Err(serde_json::to_string_pretty(&status)?) })
    })
    .await?;
    Ok(let_go)
}
