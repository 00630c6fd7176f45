//! Runs operations to their end in the background, and again after a restart. Never accepts or refuses a request.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::operation::{Kind, Operation, OperationError};
use super::{Service, merge, power, rolling, work};
use crate::Error;
use crate::rules::Stage;

/// How many ended operations are remembered; the oldest are forgotten.
const KEPT: usize = 1000;

/// Creates the nodes that a cluster starts with, unless an earlier start finished that.
pub(crate) async fn create_initial_nodes(service: &Service) -> Result<(), Error> {
    if service.read(|state| state.populated) {
        return Ok(());
    }
    let pools = service.read(|state| {
        let clusters = state.clusters.values();
        clusters
            .flat_map(|cluster| {
                let key = cluster.id.to_ascii_lowercase();
                cluster.pools.iter().map(move |pool| (key.clone(), pool.name.clone()))
            })
            .collect::<Vec<_>>()
    });
    for (cluster, pool) in pools {
        work::populate(service, &cluster, &pool)
            .await
            .map_err(|source| Error::InitialNodes { pool: pool.clone(), source })?;
    }
    service.change(|state| state.populated = true);
    Ok(())
}

/// Goes on with all operations that have not ended.
pub(crate) fn resume(service: &Arc<Service>) {
    let running: Vec<String> = service.read(|state| state.running().map(|op| op.id.clone()).collect());
    for id in running {
        start(service, &id);
    }
}

/// Runs an operation in the background, unless it runs already.
pub(crate) fn start(service: &Arc<Service>, id: &str) {
    let token = service.stopping.child_token();
    match service.running().entry(id.to_owned()) {
        Entry::Occupied(_) => return,
        Entry::Vacant(entry) => entry.insert(token.clone()),
    };
    let service = service.clone();
    let id = id.to_owned();
    let turn = service.clock.turn();
    service.tasks.clone().spawn(async move { service.clock.in_turn(turn, run(&service, &id, token)).await });
}

/// Ends the task of an operation that was preempted.
pub(crate) fn cancel(service: &Service, id: &str) {
    if let Some(token) = service.running().remove(id) {
        token.cancel();
    }
}

async fn run(service: &Service, id: &str, token: CancellationToken) {
    let Some(operation) = service.read(|state| state.operations.get(id).cloned()) else {
        return;
    };
    tokio::select! {
        biased;
        () = token.cancelled() => {}
        outcome = perform(service, &operation) => finish(service, &operation, outcome),
    }
    service.running().remove(id);
}

async fn perform(service: &Service, operation: &Operation) -> Result<(), OperationError> {
    service.clock.sleep_until(operation.started, operation.duration / 2).await;
    service.clock.apart(service.rules.pass_stage(operation.subject(), Stage::BeforeNodes)).await;
    work::nodes(service, operation).await?;
    if let Some(cause) = service.rules.failure(operation.subject()) {
        return Err(service.read(|state| cause.error(state.clusters.get(&operation.cluster), operation)));
    }
    service.clock.sleep_until(operation.started, operation.duration).await;
    service.clock.apart(service.rules.pass_stage(operation.subject(), Stage::BeforeEnd)).await;
    Ok(())
}

fn finish(service: &Service, operation: &Operation, outcome: Result<(), OperationError>) {
    if let Err(error) = &outcome {
        tracing::warn!(on = operation.subject(), code = error.code, message = error.message, "an operation failed");
    }
    let error = outcome.err();
    service.change(|state| {
        let now = state.time;
        let ended = state.operations.get_mut(&operation.id).is_some_and(|stored| stored.end(now, error.clone()));
        if !ended {
            return;
        }
        if let Some(cluster) = state.clusters.get_mut(&operation.cluster) {
            match &operation.pool {
                Some(pool) => finish_pool(cluster, pool, operation.kind, error.as_ref(), now),
                None => power::finish(cluster, operation.kind, error.as_ref()),
            }
        }
        forget_oldest(state);
    });
}

fn finish_pool(
    cluster: &mut super::Cluster,
    name: &str,
    kind: Kind,
    error: Option<&OperationError>,
    now: jiff::Timestamp,
) {
    if error.is_none() && matches!(kind, Kind::Delete { .. }) {
        cluster.pools.retain(|pool| !pool.name.eq_ignore_ascii_case(name));
        return;
    }
    let Some(pool) = cluster.pool_mut(name) else {
        return;
    };
    pool.deletion_started = None;
    match error {
        None => {
            let state = if kind == Kind::Abort { "Canceled" } else { "Succeeded" };
            pool.set("provisioningState", state);
            pool.properties.remove("status");
            // An aborted change may have reached some nodes and not others.
            if kind != Kind::Abort {
                pool.applied = merge::applied(&pool.properties);
            }
            // Those two have not gone through the nodes.
            if !matches!(kind, Kind::Abort | Kind::Stop) {
                rolling::complete(pool, now);
            }
        }
        Some(error) => {
            pool.set("provisioningState", error.state());
            pool.set("status", json!({"provisioningError": error.value()}));
        }
    }
}

fn forget_oldest(state: &mut super::State) {
    while state.operations.len() > KEPT {
        let oldest = state
            .operations
            .values()
            .filter(|operation| !operation.is_running())
            .min_by_key(|operation| operation.started)
            .map(|operation| operation.id.clone());
        match oldest {
            Some(id) => state.operations.remove(&id),
            None => return,
        };
    }
}
