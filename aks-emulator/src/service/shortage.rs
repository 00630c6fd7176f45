//! An operation that runs out of machines half-way: some nodes come, then it fails. Never decides that it does.

use super::operation::{Operation, OperationError};
use super::{Service, work};
use crate::faults::Shortage;

/// Creates the nodes that there are machines for, and says why the others do not come.
pub(super) async fn strike(service: &Service, operation: &Operation, pool: &str, shortage: Shortage) -> OperationError {
    if let Err(error) = work::create_at_most(service, &operation.cluster, pool, shortage.after_nodes).await {
        // Fewer still is a shortage too; and tried again, the operation would not fail as it is to.
        tracing::warn!(%error, pool, "a node before the shortage was not created");
    }
    service.read(|state| shortage.cause.error(state.clusters.get(&operation.cluster), operation))
}
