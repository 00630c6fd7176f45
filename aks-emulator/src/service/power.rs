//! Starting and stopping a whole cluster: what it does to the state at once, at its nodes and at its end. Never
//! touches pools that were stopped on their own.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::operation::{Kind, Operation, OperationError};
use super::refusal::Refusal;
use super::state::{Cluster, Pool, State, is_terminal};
use super::validate;
use crate::Settings;

/// Accepts or refuses a start or a stop.
pub(crate) fn change(state: &mut State, settings: &Settings, key: &str, kind: Kind) -> Result<Operation, Refusal> {
    let stopped_at = state
        .operations
        .values()
        .filter(|operation| operation.cluster == key && operation.kind == Kind::StopCluster)
        .map(|operation| operation.started)
        .max();
    let Some(cluster) = state.clusters.get_mut(key) else {
        return Err(Refusal::parent("action", key));
    };
    idle(cluster)?;
    let (provisioning, power) = (cluster.text("provisioningState"), validate::power(&cluster.properties));
    match kind {
        // A stop that failed leaves pools stopped in a cluster that is not.
        Kind::StartCluster if power == "Running" && cluster.stopped_pools.is_empty() => {
            return Err(Refusal::not_stopped(provisioning, power));
        }
        Kind::StopCluster if power != "Running" => return Err(Refusal::not_running(stopped_at, state.time)),
        _ => {}
    }
    let operation =
        Operation::on_cluster(cluster, key, kind, settings.scaled(kind.recorded_duration(0, 0)), state.time);
    begin(cluster, kind);
    state.operations.insert(operation.id.clone(), operation.clone());
    Ok(operation)
}

/// Refuses while anything runs on the cluster or on one of its pools.
fn idle(cluster: &Cluster) -> Result<(), Refusal> {
    let state = cluster.text("provisioningState");
    if !is_terminal(state) {
        return Err(Refusal::cluster_busy(state));
    }
    match cluster.pools.iter().find(|pool| !is_terminal(pool.text("provisioningState"))) {
        Some(pool) => Err(Refusal::pool_blocks_cluster(pool.text("provisioningState"), &pool.name)),
        None => Ok(()),
    }
}

fn begin(cluster: &mut Cluster, kind: Kind) {
    let stops = kind == Kind::StopCluster;
    cluster.set("provisioningState", kind.provisioning_state());
    if stops {
        let running = cluster.pools.iter().filter(|pool| validate::power(&pool.properties) == "Running");
        let running: Vec<String> = running.map(|pool| pool.name.clone()).collect();
        cluster.stopped_pools.extend(running);
    }
    let affected = std::mem::take(&mut cluster.stopped_pools);
    for name in &affected {
        if let Some(pool) = cluster.pool_mut(name) {
            pool.set("provisioningState", kind.provisioning_state());
            pool.set("eTag", Uuid::new_v4().to_string());
            switch(pool, stops);
        }
    }
    cluster.stopped_pools = affected;
}

/// A stopped pool shows count 0 and returns to its old count, as one that is stopped on its own.
fn switch(pool: &mut Pool, stops: bool) {
    let code = if stops { "Stopped" } else { "Running" };
    if validate::power(&pool.properties) == code {
        return;
    }
    pool.set("powerState", json!({"code": code}));
    if stops {
        pool.count_when_started = pool.get("count").and_then(Value::as_u64);
        pool.set("count", 0);
    } else {
        let count = pool.count_when_started.take();
        pool.set("count", count.unwrap_or_default());
    }
}

/// What the end of a start or a stop does to the cluster and the pools that it affects.
pub(super) fn finish(cluster: &mut Cluster, kind: Kind, error: Option<&OperationError>) {
    let provisioning = if error.is_none() { "Succeeded" } else { "Failed" };
    cluster.set("provisioningState", provisioning);
    set_status(&mut cluster.properties, error);
    let affected = cluster.stopped_pools.clone();
    for name in &affected {
        if let Some(pool) = cluster.pool_mut(name) {
            pool.set("provisioningState", provisioning);
            set_status(&mut pool.properties, error);
        }
    }
    if error.is_none() {
        let stops = kind == Kind::StopCluster;
        cluster.set("powerState", json!({"code": if stops { "Stopped" } else { "Running" }}));
        if !stops {
            cluster.stopped_pools.clear();
        }
    }
}

fn set_status(properties: &mut Map<String, Value>, error: Option<&OperationError>) {
    match error {
        Some(error) => properties.insert("status".to_owned(), json!({"provisioningError": error.value()})),
        None => properties.remove("status"),
    };
}
