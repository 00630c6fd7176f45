//! Memory, restart and latency at 5,000 nodes with 40,000 protected pods. The nodes and pods are objects in a real API
//! server whose controllers are stopped: nothing plays so many kubelets here. Never run before the small cluster is done
//! with.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use nodepool_operator::api::{ConditionStatus, condition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use testbed::bed::EMULATOR_USER;
use testbed::cluster::{is_of_daemon_set, node_of};
use testbed::{Operator, probe, wait_for};

use crate::latency::{everywhere, puts};
use crate::rest;
use crate::samples::Samples;
use crate::scene::{Scene, USER_POOLS, pool};
use crate::table::{Table, mebibytes, say};
use crate::watch::{Watch, is};

const NODES: usize = 5000;
const PODS_EACH: usize = 8;
const RESTARTS: usize = 5;
const CHANGES: usize = 20;
/// Writers that fill the API server at the same time.
const WRITERS: usize = 32;

pub(crate) async fn measure(scene: &mut Scene, table: &mut Table) -> anyhow::Result<()> {
    scene.delete_all().await?;
    let (nodes, pods) = fill(scene).await?;
    say(&format!("{nodes} nodes and {pods} pods"));
    let began = Instant::now();
    let all: Api<Pod> = Api::namespaced(scene.client.clone(), "kube-system");
    let listed = all.list(&ListParams::default()).await?.items.len();
    table.add(
        &format!("baseline: one list of {listed} pods by a plain client"),
        format!("{:.2} s", began.elapsed().as_secs_f64()),
        "",
    );

    scene.apply_all(everywhere()).await?;
    let mut operator = scene.operator(&[]).await?;
    scene.at_rest().await?;
    operator.restart().await?;
    scene.looks(1).await?;
    let mut watch = Watch::new(&scene.client);
    let size = format!("{nodes} nodes with {pods} protected pods");
    let complete = until_complete(&mut operator).await?;
    table.add(&format!("restart to the first complete observation, {size}"), complete.median_and_worst(), "< 3 s");
    table.add(&format!("resident memory, {size}"), memory(&operator)?, "< 64 MB");
    let refused = until_refused(scene, &mut operator, &mut watch).await?;
    table.add("restart to a refusal for which it is looked where pods could run", refused.median_and_worst(), "");
    table.add("resident memory just after it", memory(&operator)?, "");
    table.add(&format!("processor at rest, {size}"), rest::at_rest(&operator).await?, "");
    let kubelets = scene.bed.control_plane().client_of(EMULATOR_USER)?;
    let names: Vec<String> = Api::<Node>::all(kubelets.clone())
        .list_metadata(&ListParams::default())
        .await?
        .items
        .iter()
        .map(kube::ResourceExt::name_any)
        .collect();
    let figure = rest::while_nodes_report(&operator, kubelets, &names).await?;
    table.add(&format!("the same while kubelets report as they do, {} nodes every 5 minutes", names.len()), figure, "");
    let puts = puts(scene, &mut watch, CHANGES).await?;
    table.add(&format!("apply to the PUT arriving at ARM, {size}"), puts.p50_and_p99(), "");
    table.add(&format!("resident memory after {CHANGES} changes"), memory(&operator)?, "< 64 MB");
    operator.terminate().await?;
    Ok(())
}

fn memory(operator: &Operator) -> anyhow::Result<String> {
    let memory = operator.memory()?;
    Ok(format!("{}, at most {}", mebibytes(memory.now), mebibytes(memory.peak)))
}

/// Restarts the operator; how long until it says that it sees everything.
async fn until_complete(operator: &mut Operator) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..RESTARTS {
        operator.terminate().await?;
        let began = SystemTime::now();
        operator.restart().await?;
        wait_for("the operator to see everything", Duration::from_mins(1), async || {
            match probe(&operator.log(), "readyz").await {
                Ok((200, _)) => Ok(Ok(())),
                other => Ok(Err(format!("{other:?}"))),
            }
        })
        .await?;
        samples.add(began, SystemTime::now())?;
    }
    Ok(samples)
}

/// Restarts the operator after a change that is refused for what all watches show; how long until the status says so.
async fn until_refused(scene: &Scene, operator: &mut Operator, watch: &mut Watch) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..RESTARTS {
        operator.terminate().await?;
        let applied = scene.apply("system", json!({"mode": "User"})).await?;
        let began = SystemTime::now();
        operator.restart().await?;
        let refused = |status: &_| is(status, condition::SAFE, ConditionStatus::False);
        samples.add(began, watch.until_status(&applied, "refused", refused).await?)?;
        let applied = scene.apply("system", json!({"mode": "System"})).await?;
        watch.until_status(&applied, "Ready", |status| is(status, condition::READY, ConditionStatus::True)).await?;
    }
    Ok(samples)
}

/// Stops the controllers and makes nodes and pods, after the pattern of those that there are; how many there are then.
async fn fill(scene: &Scene) -> anyhow::Result<(usize, usize)> {
    let cluster = &scene.bed.cluster;
    let node = cluster.nodes_of("system").await?.into_iter().next().context("there is no system node")?;
    let patterns = patterns(&cluster.pods("kube-system").await?, &node.name_any())?;
    scene.bed.control_plane().stand_still();
    let new: Vec<(usize, usize)> = (3..NODES).map(|number| (number % USER_POOLS, number / USER_POOLS)).collect();
    let name_of = |number: usize, index: usize| scene.bed.emulator.node_name(&pool(number), index as u64);
    let names: Vec<String> = new.iter().map(|(number, index)| name_of(*number, *index)).collect();
    say(&format!("writing {} nodes and {} pods", names.len(), names.len() * patterns.len()));
    let client = scene.bed.control_plane().client_of(EMULATOR_USER)?;
    let nodes = names.iter().zip(&new).map(|(name, (number, index))| another_node(&node, name, &pool(*number), *index));
    let nodes = nodes.collect::<anyhow::Result<_>>()?;
    create(&Api::<Node>::all(client.clone()), nodes).await?;
    let api: Api<Pod> = Api::namespaced(client, "kube-system");
    for pattern in patterns {
        let (text, from) = (serde_json::to_string(&pattern)?, node_of(&pattern).context("a pod without a node")?);
        let name = pattern.name_any();
        let pods = names.iter().map(|node| {
            let mut pod: Pod = serde_json::from_str(&text.replace(from, node))?;
            pod.metadata.name = Some(format!("{name}-{node}"));
            anyhow::Ok(pod)
        });
        create(&api, pods.collect::<anyhow::Result<_>>()?).await?;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (number, _) in &new {
        *counts.entry(pool(*number)).or_default() += 1;
    }
    scene.bed.emulator.edit(|cluster| {
        for (name, count) in &counts {
            if let Some(pool) = cluster.pool_mut(name) {
                pool.set("count", *count);
            }
        }
    });
    Ok((names.len() + 3, names.len() * PODS_EACH))
}

/// The pods of one node, and some that could be anywhere: those of all DaemonSets first.
fn patterns(pods: &[Pod], node: &str) -> anyhow::Result<Vec<Pod>> {
    let (daemons, others): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(|pod| is_of_daemon_set(pod));
    let here = daemons.into_iter().filter(|pod| node_of(pod) == Some(node));
    let mut patterns: Vec<Pod> = here.chain(others).take(PODS_EACH).cloned().collect();
    anyhow::ensure!(patterns.len() == PODS_EACH, "kube-system has only {} kinds of pods", patterns.len());
    for pod in &mut patterns {
        anew(&mut pod.metadata);
        pod.status = None;
    }
    Ok(patterns)
}

fn anew(metadata: &mut kube::api::ObjectMeta) {
    (metadata.uid, metadata.resource_version, metadata.creation_timestamp) = (None, None, None);
    (metadata.managed_fields, metadata.generate_name, metadata.generation) = (None, None, None);
}

/// A node of a user pool that is Ready as the pattern is.
fn another_node(pattern: &Node, name: &str, pool: &str, index: usize) -> anyhow::Result<Node> {
    let old = pattern.name_any();
    let mut node: Node = serde_json::from_str(&serde_json::to_string(pattern)?.replace(&old, name))?;
    anew(&mut node.metadata);
    let labels = node.metadata.labels.get_or_insert_default();
    for (key, value) in
        [("agentpool", pool), ("kubernetes.azure.com/agentpool", pool), ("kubernetes.azure.com/mode", "user")]
    {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let spec = node.spec.get_or_insert_default();
    let machines = spec.provider_id.as_deref().and_then(|id| id.rsplit_once('/')).map(|(machines, _)| machines);
    let machines = machines.context("the node has no provider id")?.replace(scale_set(&old), scale_set(name));
    spec.provider_id = Some(format!("{machines}/{index}"));
    (spec.pod_cidr, spec.pod_cidrs) = (None, None);
    Ok(node)
}

/// The scale set of a node: its name without the six digits of the instance.
fn scale_set(node: &str) -> &str {
    node.get(..node.len().saturating_sub(6)).unwrap_or_default()
}

/// Creates all of them, many at a time.
async fn create<K>(api: &Api<K>, objects: Vec<K>) -> anyhow::Result<()>
where
    K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let created = futures::stream::iter(objects).map(async |object| {
        let created = tokio::time::timeout(Duration::from_mins(1), api.create(&PostParams::default(), &object)).await;
        created
            .context("no answer within a minute")?
            .map(drop)
            .with_context(|| format!("{} can't be made", object.name_any()))
    });
    created.buffer_unordered(WRITERS).try_collect::<()>().await
}
