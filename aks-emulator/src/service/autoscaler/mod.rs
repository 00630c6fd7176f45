//! The cluster autoscaler: grows autoscaled pools for pods that find no place, and takes nodes away that are not
//! needed. Never an ARM operation, and never while one runs on the pool.

mod down;
mod fit;
mod look;
mod pools;
mod quantity;
mod up;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::{Service, work};
use crate::nodes::{POOL_LABEL, must_leave, victims};
use crate::{NodeError, NodePool};
use fit::Space;
use pools::Autoscaled;

/// How often the autoscaler of AKS looks, how long a node must be unneeded, and how long after growth nothing is taken
/// away: the defaults of its profile.
const SCAN: Duration = Duration::from_secs(10);
const UNNEEDED: Duration = Duration::from_mins(10);
const AFTER_GROWTH: Duration = Duration::from_mins(10);
/// However fast time runs, an API server is not looked at more often, and a scheduler gets this long.
const SHORTEST_SCAN: Duration = Duration::from_millis(200);
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// How long the scheduler may need before it has looked at a new node for every pod that waits; it backs off for 10 s
/// at most.
const FRESH: Duration = Duration::from_secs(12);

/// How long a node may take to be Ready until it no longer counts as one that comes.
const PATIENCE: Duration = Duration::from_mins(15);
const SHORTEST_PATIENCE: Duration = Duration::from_secs(30);

/// What the autoscaler remembers from look to look; a restart forgets it, as one of the real autoscaler does.
#[derive(Default)]
struct Memory {
    /// Since when nodes are unneeded.
    unneeded: HashMap<String, Timestamp>,
    grown: Option<Timestamp>,
    /// Whether pools may lack nodes that they should have, as after a crash between count and node.
    incomplete: bool,
}

/// Starts to look at autoscaled pools, unless the autoscaler is off or nodes have no pods.
pub(crate) fn start(service: &Arc<Service>) {
    if !service.settings.autoscaler || service.nodes.cluster().is_none() {
        return;
    }
    let interval = service.settings.scaled(SCAN).max(SHORTEST_SCAN);
    let service = service.clone();
    service.tasks.clone().spawn(async move {
        let mut memory = Memory { incomplete: true, ..Memory::default() };
        loop {
            tokio::select! {
                () = service.stopping.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            tokio::select! {
                () = service.stopping.cancelled() => return,
                outcome = look(&service, &mut memory) => {
                    if let Err(error) = outcome {
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, source, "the autoscaler looks again");
                        memory.incomplete = true;
                    }
                }
            }
        }
    });
}

async fn look(service: &Service, memory: &mut Memory) -> Result<(), NodeError> {
    let mut autoscaled = service.read(pools::autoscaled);
    let Some(cluster) = service.nodes.cluster().filter(|_| !autoscaled.is_empty()) else {
        return Ok(());
    };
    if memory.incomplete {
        for pool in &autoscaled {
            complete(service, pool).await?;
        }
        memory.incomplete = false;
    }
    let nodes = cluster.all_nodes().await?;
    let mut pods = cluster.all_pods().await?;
    pods.retain(|pod| !look::has_ended(pod));
    // What was read first may have moved meanwhile; steps on a pool that did are refused.
    autoscaled.retain(|pool| service.read(|state| pools::is_current(state, pool)));
    if let Some((pool, by)) = growth(service, &autoscaled, &nodes, &pods) {
        if grow(service, pool, by).await? {
            memory.grown = Some(service.clock.now());
        }
        return Ok(());
    }
    shrink(service, memory, &autoscaled, (&nodes, &pods)).await
}

/// The pool that grows now, and by how much: one under its minimum first.
fn growth<'a>(
    service: &Service,
    autoscaled: &'a [Autoscaled],
    nodes: &[Node],
    pods: &[Pod],
) -> Option<(&'a Autoscaled, u64)> {
    if let Some(pool) = autoscaled.iter().find(|pool| pool.count < pool.min) {
        return Some((pool, pool.min - pool.count));
    }
    let patience = service.settings.scaled(PATIENCE).max(SHORTEST_PATIENCE);
    let waiting = up::waiting(pods);
    let candidates: Vec<up::Candidate> =
        autoscaled.iter().filter(|pool| pool.count < pool.max).map(|pool| candidate(pool, nodes, pods)).collect();
    let (name, by) = up::plan(&waiting, up::upcoming(nodes, pods, FRESH, patience), &candidates)?;
    Some((autoscaled.iter().find(|pool| pool.nodes.name == name)?, u64::try_from(by).ok()?))
}

fn candidate(pool: &Autoscaled, nodes: &[Node], pods: &[Pod]) -> up::Candidate {
    let own: Vec<String> = nodes_of(&pool.nodes, nodes).map(ResourceExt::name_any).collect();
    let daemons = |name: &String| {
        let daemons = pods.iter().filter(|pod| look::is_of_daemon_set(pod) && look::node_of(pod) == Some(name));
        daemons.cloned().collect::<Vec<Pod>>()
    };
    // The DaemonSets of the pool are those of its nodes now; of an empty pool they are not known.
    let daemons = own.iter().map(daemons).max_by_key(Vec::len).unwrap_or_default();
    let node = pool.new_node(nodes);
    let room = usize::try_from(pool.max - pool.count).unwrap_or(usize::MAX);
    up::Candidate { pool: pool.nodes.name.clone(), room, space: Space::of(&node, daemons.iter()) }
}

fn nodes_of<'a>(pool: &'a NodePool, nodes: &'a [Node]) -> impl Iterator<Item = &'a Node> {
    nodes.iter().filter(|node| {
        node.labels().get(POOL_LABEL) == Some(&pool.name) && node.name_any().starts_with(&pool.scale_set)
    })
}

/// Raises the count and creates what it lacks. Returns whether the pool was still the autoscaler's to move.
async fn grow(service: &Service, pool: &Autoscaled, by: u64) -> Result<bool, NodeError> {
    let _step = service.autoscaling.lock().await;
    if !service.change(|state| pools::raise(state, pool, by)) {
        return Ok(false);
    }
    tracing::info!(pool = pool.nodes.name, from = pool.count, by, "the autoscaler adds nodes");
    work::create_missing(service, &pool.cluster, &pool.nodes.name).await?;
    Ok(true)
}

/// Creates what the count has and the nodes lack.
async fn complete(service: &Service, pool: &Autoscaled) -> Result<(), NodeError> {
    let _step = service.autoscaling.lock().await;
    if service.read(|state| pools::is_current(state, pool)) {
        work::create_missing(service, &pool.cluster, &pool.nodes.name).await?;
    }
    Ok(())
}

/// Takes away one node for each pool, of those unneeded for long enough: one that nothing must leave first, then the
/// newest.
async fn shrink(
    service: &Service,
    memory: &mut Memory,
    autoscaled: &[Autoscaled],
    (nodes, pods): (&[Node], &[Pod]),
) -> Result<(), NodeError> {
    let now = service.clock.now();
    let wait = |recorded: Duration| service.settings.scaled(recorded).max(SHORTEST_WAIT);
    let mut unneeded = HashMap::new();
    for node in autoscaled.iter().flat_map(|pool| nodes_of(&pool.nodes, nodes)) {
        if down::is_unneeded(node, nodes, pods) {
            let name = node.name_any();
            let since = memory.unneeded.get(&name).copied().unwrap_or(now);
            unneeded.insert(name, since);
        }
    }
    memory.unneeded = unneeded;
    if memory.grown.is_some_and(|at| service.clock.since(at) < wait(AFTER_GROWTH)) {
        return Ok(());
    }
    for pool in autoscaled.iter().filter(|pool| pool.count > pool.min) {
        let due = |node: &&Node| {
            let since = memory.unneeded.get(&node.name_any());
            since.is_some_and(|since| service.clock.since(*since) >= wait(UNNEEDED))
        };
        let empty = |name: &str| !pods.iter().any(|pod| look::node_of(pod) == Some(name) && must_leave(pod));
        let due = nodes_of(&pool.nodes, nodes).filter(due).map(ResourceExt::name_any);
        if let Some(node) = due.max_by_key(|name| (empty(name), name.clone())) {
            memory.unneeded.remove(&node);
            take_away(service, pool, &node).await?;
        }
    }
    Ok(())
}

/// Cordons, drains as budgets allow, and deletes a node, and lowers the count. A node whose pods do not leave in time
/// stays and is opened again.
async fn take_away(service: &Service, pool: &Autoscaled, node: &str) -> Result<(), NodeError> {
    tracing::info!(pool = pool.nodes.name, node, "the autoscaler takes a node away");
    service.nodes.cordon(node).await?;
    match service.nodes.drain(node, true, service.settings.drain_timeout()).await {
        Err(error @ NodeError::DrainTimedOut { .. }) => {
            tracing::info!(%error, "the autoscaler keeps the node");
            return service.nodes.uncordon(node).await;
        }
        other => other?,
    }
    let step = service.autoscaling.lock().await;
    if !service.read(|state| pools::is_current(state, pool)) {
        drop(step);
        return service.nodes.uncordon(node).await;
    }
    // The node first: what a crash leaves in between is a count that lacks a node, which the next start creates.
    service.take_away(&pool.nodes, &[node.to_owned()]).await?;
    service.change(|state| pools::lower(state, pool));
    Ok(())
}
