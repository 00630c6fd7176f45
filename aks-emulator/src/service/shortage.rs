//! An operation that runs out of machines half-way: some nodes come, then it fails. Never decides that it does.

use super::operation::{Operation, OperationError};
use super::{Service, work};
use crate::NodePool;
use crate::faults::{Cause, Shortage};

/// Creates the nodes that there are machines for, so that the pool has some of those it should have, and says why the
/// others do not come.
pub(super) async fn strike(
    service: &Service,
    operation: &Operation,
    pool: &NodePool,
    (some, all): (usize, usize),
    shortage: Shortage,
) -> OperationError {
    let created = work::create_at_most(service, &operation.cluster, &operation.pool, shortage.after_nodes).await;
    if let Err(error) = created {
        // Fewer still is a shortage too; and tried again, the operation would not fail as it is to.
        tracing::warn!(%error, pool = pool.name, "a node before the shortage was not created");
    }
    match shortage.cause {
        Cause::Given { code, message } => OperationError::new(&code, message),
        Cause::Preset(failure) => {
            OperationError::new(failure.code(), failure.message(pool, some, all.saturating_sub(some)))
        }
    }
}
