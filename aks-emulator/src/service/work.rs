//! What an operation does to nodes: write in place, add, take away, remove all. Never decides that an operation is due.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use super::operation::{Kind, Operation, OperationError};
use super::{Service, document, rolling, shortage};
use crate::nodes::victims;
use crate::{Applied, Instance, NewInstance, NodeError, NodePool};

/// How many nodes are worked on at once.
const AT_ONCE: usize = 8;
/// How often readiness is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How often a refused or lost request to the API server is tried again, and the first pause.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Minutes that the texts of failures name, whatever the scale; upgrades have their own.
const NOMINAL_DRAIN: u64 = 10;

/// Does an operation's work on nodes. It may be done again from any point, as after a restart.
pub(super) async fn nodes(service: &Service, operation: &Operation) -> Result<(), OperationError> {
    drop(service.autoscaling.lock().await);
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match attempt(service, operation).await {
            Err(Failure::Nodes(NodeError::Kubernetes { action, object, source })) => {
                tracing::warn!(action, object, error = %source, "trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other.map_err(Failure::into_error),
        }
    }
    attempt(service, operation).await.map_err(Failure::into_error)
}

/// Why an attempt ended.
pub(super) enum Failure {
    Nodes(NodeError),
    NotReady {
        expected: usize,
        actual: usize,
    },
    Drain {
        node: String,
        pods: Vec<String>,
        minutes: u64,
    },
    /// As the service words it.
    Ended(OperationError),
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::Nodes(error)
    }
}

impl Failure {
    pub(super) fn into_error(self) -> OperationError {
        match self {
            Self::Ended(error) => error,
            Self::NotReady { expected, actual } => OperationError::new(
                "NodesNotReady",
                format!("Not all nodes reached Ready state. Expected: {expected}, Actual: {actual}"),
            ),
            Self::Drain { node, pods, minutes } => {
                OperationError::new("PodDrainFailure", drain_failure(&node, &pods, minutes))
            }
            Self::Nodes(NodeError::DrainTimedOut { node, pods, .. }) => {
                OperationError::new("PodDrainFailure", drain_failure(&node, &pods, NOMINAL_DRAIN))
            }
            Self::Nodes(error @ NodeError::Kubernetes { .. }) => {
                let mut message = error.to_string();
                if let Some(source) = std::error::Error::source(&error) {
                    message = format!("{message}: {source}");
                }
                OperationError::new("InternalOperationError", message)
            }
        }
    }
}

/// The text of a drain that took too long, with the time as Go writes it.
pub(super) fn drain_failure(node: &str, pods: &[String], minutes: u64) -> String {
    let hours = if minutes >= 60 { format!("{}h", minutes / 60) } else { String::new() };
    format!(
        "Node '{node}' failed to be drained with error: 'Drain did not complete pods [{}] within {hours}{}m0s'",
        pods.join(", "),
        minutes % 60
    )
}

async fn attempt(service: &Service, operation: &Operation) -> Result<(), Failure> {
    service.protect_nodes().await?;
    let Some(name) = &operation.pool else {
        return on_cluster(service, operation).await;
    };
    let Some(pool) = pool_of(service, &operation.cluster, name) else {
        return Ok(());
    };
    let switches = &service.settings.switches;
    match operation.kind {
        Kind::Abort => rolling::settle(service, operation).await,
        Kind::StartCluster | Kind::StopCluster => Ok(()),
        Kind::Delete { ignore_budgets } => {
            let all = service.nodes.list(&pool).await?;
            let drain = switches.delete_drains && !ignore_budgets;
            remove(service, &all, drain.then_some(true)).await?;
            Ok(service.delete_deallocated(&pool).await?)
        }
        Kind::DeleteMachines => {
            let mut named = service.nodes.list(&pool).await?;
            named.retain(|instance| operation.machines.contains(&instance.name));
            remove(service, &named, None).await?;
            Ok(())
        }
        Kind::Stop => {
            stop(service, &pool).await?;
            Ok(service.delete_deallocated(&pool).await?)
        }
        Kind::Create
        | Kind::Update
        | Kind::Scale
        | Kind::Start
        | Kind::Upgrade
        | Kind::Reimage
        | Kind::UpgradeImage => {
            rolling::settle(service, operation).await?;
            let applied = applied(service, &operation.cluster, name);
            service.nodes.write(&pool, &applied).await?;
            service.forget_deallocated(&pool, operation.kind).await?;
            bring_to_count(service, operation, &pool).await?;
            rolling::roll(service, operation).await
        }
    }
}

/// Takes away or brings back the nodes of all pools that stop or start with their cluster.
async fn on_cluster(service: &Service, operation: &Operation) -> Result<(), Failure> {
    let names = service.read(|state| {
        state.clusters.get(&operation.cluster).map(|cluster| cluster.stopped_pools.clone()).unwrap_or_default()
    });
    for name in names {
        let Some(pool) = pool_of(service, &operation.cluster, &name) else {
            continue;
        };
        if operation.kind == Kind::StopCluster {
            stop(service, &pool).await?;
        } else {
            populate(service, &operation.cluster, &name).await?;
            wait_ready(service, operation, &pool, count(service, &operation.cluster, &name)).await?;
        }
    }
    Ok(())
}

/// Takes all nodes of a pool away without a drain.
async fn stop(service: &Service, pool: &NodePool) -> Result<(), Failure> {
    let all = service.nodes.list(pool).await?;
    remove(service, &all, None).await?;
    Ok(())
}

/// Adds or takes away nodes until the pool has its count. On an update or upgrade of an autoscaled pool the number is
/// left alone, because the autoscaler may have moved it.
async fn bring_to_count(service: &Service, operation: &Operation, pool: &NodePool) -> Result<(), Failure> {
    let raised = raise_to_minimum(service, &operation.cluster, &pool.name);
    let keeps_count = matches!(operation.kind, Kind::Update | Kind::Upgrade | Kind::Reimage | Kind::UpgradeImage);
    if keeps_count && is_autoscaled(service, &operation.cluster, &pool.name) {
        if raised {
            create_missing(service, &operation.cluster, &pool.name).await?;
        }
        return Ok(());
    }
    let count = count(service, &operation.cluster, &pool.name);
    let present = service.nodes.list(pool).await?;
    let present = rolling::regular(service, &operation.cluster, operation.subject(), present);
    if present.len() > count {
        let gone = rolling::victims(service, operation, pool, &present, present.len() - count).await?;
        let budgets = service.settings.switches.scale_in_asks_budgets;
        drain_all(service, &gone, budgets).await?;
        let gone: Vec<String> = gone.into_iter().map(|instance| instance.name).collect();
        return Ok(service.take_away(pool, &gone).await?);
    }
    let missing = count.saturating_sub(present.len());
    if let Some(shortage) = service.rules.shortage(&pool.name, missing) {
        return Err(Failure::Ended(shortage::strike(service, operation, &pool.name, shortage).await));
    }
    create_missing(service, &operation.cluster, &pool.name).await?;
    wait_ready(service, operation, pool, count).await
}

/// Gives an autoscaled pool as many nodes as its minimum, as the autoscaler does at once (recording 03). Whether it had
/// fewer.
fn raise_to_minimum(service: &Service, cluster: &str, name: &str) -> bool {
    let least = service.read(|state| {
        let pool = state.clusters.get(cluster)?.pool(name)?;
        let least = pool.get("minCount").and_then(Value::as_u64)?;
        (pool.get("count").and_then(Value::as_u64)? < least).then_some(least)
    });
    let Some(least) = least.filter(|_| is_autoscaled(service, cluster, name)) else {
        return false;
    };
    service.change(|state| {
        if let Some(pool) = state.clusters.get_mut(cluster).and_then(|cluster| cluster.pool_mut(name)) {
            pool.set("count", least);
        }
    });
    true
}

/// Brings a pool of a cluster that starts to its nodes. Those that an earlier run left are taken over.
pub(super) async fn populate(service: &Service, cluster: &str, name: &str) -> Result<(), NodeError> {
    if let Some(pool) = pool_of(service, cluster, name) {
        service.nodes.write(&pool, &Applied::default()).await?;
    }
    create_missing(service, cluster, name).await
}

/// Creates as many nodes as the pool lacks.
pub(super) async fn create_missing(service: &Service, cluster: &str, name: &str) -> Result<(), NodeError> {
    create_at_most(service, cluster, name, usize::MAX).await
}

/// Creates nodes that the pool lacks, but no more than there are machines for.
pub(super) async fn create_at_most(service: &Service, cluster: &str, name: &str, most: usize) -> Result<(), NodeError> {
    let Some(pool) = pool_of(service, cluster, name) else {
        return Ok(());
    };
    let present = service.nodes.list(&pool).await?;
    let counted = rolling::regular(service, cluster, name, present.clone()).len();
    let missing = count(service, cluster, name).saturating_sub(counted).min(most);
    let missing = service.restart_deallocated(&pool, missing).await?;
    if missing == 0 {
        return Ok(());
    }
    let new = reserve(service, cluster, name, &present, &pool.zones, missing);
    // One after the other: of two nodes of a pool the one with the higher number is never the older one, by whole seconds too.
    let mut created = Ok(());
    for instance in &new {
        created = created.and(service.nodes.create(&pool, instance).await);
    }
    created
}

/// Takes numbers that no instance of the pool ever had.
pub(super) fn reserve(
    service: &Service,
    cluster: &str,
    name: &str,
    present: &[Instance],
    zones: &[String],
    missing: usize,
) -> Vec<NewInstance> {
    service.change(|state| {
        let Some(pool) = state.clusters.get_mut(cluster).and_then(|cluster| cluster.pool_mut(name)) else {
            return Vec::new();
        };
        let highest = present.iter().map(|instance| instance.number + 1).max();
        let first = pool.next_instance.max(highest.unwrap_or_default());
        let new = victims::spread(present, zones, first, missing);
        pool.next_instance = first + u64::try_from(new.len()).unwrap_or_default();
        new
    })
}

async fn wait_ready(service: &Service, operation: &Operation, pool: &NodePool, expected: usize) -> Result<(), Failure> {
    let deadline = Instant::now() + service.settings.ready_timeout();
    loop {
        let present = service.nodes.list(pool).await?;
        let present = rolling::regular(service, &operation.cluster, operation.subject(), present);
        let ready = present.iter().filter(|instance| instance.ready).count();
        if operation.kind == Kind::Create {
            let status = format!("CreatingAgentPool: {ready}/{expected} nodes completed");
            show(service, operation, &status);
        }
        if ready >= expected {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::NotReady { expected, actual: ready });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Deletes nodes, drained before (`Some(true)` asks budgets). No node is deleted while another could not be drained;
/// those stay cordoned.
async fn remove(service: &Service, nodes: &[Instance], drain: Option<bool>) -> Result<(), NodeError> {
    if let Some(budgets) = drain {
        drain_all(service, nodes, budgets).await?;
    }
    let mut deletions = Vec::new();
    for node in nodes {
        deletions.push(service.nodes.delete(&node.name));
    }
    all(deletions).await
}

/// Drains nodes, all cordoned first.
async fn drain_all(service: &Service, nodes: &[Instance], budgets: bool) -> Result<(), NodeError> {
    let timeout = service.settings.drain_timeout();
    for node in nodes {
        service.nodes.cordon(&node.name).await?;
    }
    let mut drains = Vec::new();
    for node in nodes {
        drains.push(service.nodes.drain(&node.name, budgets, timeout));
    }
    all(drains).await
}

/// Does all of it, a few at a time; the first failure counts, after the rest was tried.
pub(super) async fn all(work: Vec<impl Future<Output = Result<(), NodeError>> + Send>) -> Result<(), NodeError> {
    let done: Vec<_> = stream::iter(work).buffered(AT_ONCE).collect().await;
    done.into_iter().collect()
}

fn show(service: &Service, operation: &Operation, status: &str) {
    let shown = service.read(|state| state.operations.get(&operation.id).is_some_and(|stored| stored.status == status));
    if shown {
        return;
    }
    service.change(|state| {
        if let Some(stored) = state.operations.get_mut(&operation.id)
            && stored.is_running()
        {
            status.clone_into(&mut stored.status);
        }
    });
}

fn applied(service: &Service, cluster: &str, name: &str) -> Applied {
    service.read(|state| {
        let pool = state.clusters.get(cluster).and_then(|cluster| cluster.pool(name));
        pool.map(|pool| pool.applied.clone()).unwrap_or_default()
    })
}

/// The pool as its nodes should look, if it is still there.
pub(super) fn pool_of(service: &Service, cluster: &str, name: &str) -> Option<NodePool> {
    service.read(|state| {
        let cluster = state.clusters.get(cluster)?;
        let pool = cluster.pool(name)?;
        Some(document::node_pool(cluster, pool))
    })
}

fn is_autoscaled(service: &Service, cluster: &str, name: &str) -> bool {
    service.read(|state| {
        let pool = state.clusters.get(cluster).and_then(|cluster| cluster.pool(name));
        pool.and_then(|pool| pool.get("enableAutoScaling")) == Some(&Value::Bool(true))
    })
}

fn count(service: &Service, cluster: &str, name: &str) -> usize {
    service.read(|state| {
        let pool = state.clusters.get(cluster).and_then(|cluster| cluster.pool(name));
        pool.and_then(|pool| pool.get("count"))
            .and_then(Value::as_u64)
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or_default()
    })
}
