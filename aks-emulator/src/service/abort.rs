//! Aborting what runs on a pool. Never undoes what was done until then.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::document;
use super::operation::{Kind, Operation};
use super::pools::{Accepted, PoolRef, new_operation, running_on};
use super::refusal::Refusal;
use super::state::State;
use crate::Settings;

/// Accepts or refuses an abort: the running operation ends `Canceled` at once, the pool when the abort has ended.
pub(crate) fn abort(state: &mut State, settings: &Settings, at: &PoolRef, etags: bool) -> Result<Accepted, Refusal> {
    let running = running_on(state, at);
    let Some(cluster) = state.clusters.get_mut(&at.cluster) else {
        return Err(Refusal::parent("abort", &at.cluster));
    };
    let Some(pool) = cluster.pool(&at.pool) else {
        return Err(Refusal::pool(&cluster.subscription, &cluster.resource_group, &cluster.name, &at.pool));
    };
    let Some(old) = running.filter(|operation| operation.kind != Kind::Abort) else {
        return Err(Refusal::nothing_to_abort(&pool.name));
    };
    let duration = settings.scaled(Kind::Abort.recorded_duration(0, 0));
    let operation = new_operation(cluster, at, Kind::Abort, duration, state.time);
    if let Some(pool) = cluster.pool_mut(&at.pool) {
        pool.set("provisioningState", Kind::Abort.provisioning_state());
        pool.set("eTag", Uuid::new_v4().to_string());
        pool.deletion_started = None;
    }
    let document = cluster.pool(&at.pool).map_or(Value::Null, |pool| document::pool(cluster, pool, etags));
    if let Some(stored) = state.operations.get_mut(&old.id) {
        stored.cancel(state.time);
    }
    state.operations.insert(operation.id.clone(), operation.clone());
    Ok(Accepted { created: false, document, operation, preempted: Some(old.id) })
}

impl Operation {
    /// Ends it as an abort does, with the recorded error.
    fn cancel(&mut self, now: Timestamp) {
        let error = super::operation::OperationError::new("Canceled", "Operation is being canceled by user".to_owned());
        if self.end(now, Some(error)) {
            "Canceled".clone_into(&mut self.status);
        }
    }
}
