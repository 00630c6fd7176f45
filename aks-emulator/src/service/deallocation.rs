//! Pools that keep the machines they scale in, deallocated, and start them first when they grow. Never chooses which
//! instance goes.

use std::time::Duration;

use super::operation::Kind;
use super::{Pool, Service, work};
use crate::{Instance, NodeError, NodePool};

/// A pool of mode Deallocate was recorded to scale in in 79 s. Machines that are only started are taken to need as
/// long.
const DEALLOCATION: Duration = Duration::from_secs(79);

impl Pool {
    /// How long a scaling takes in which machines are only stopped, or only started.
    pub(super) fn time_by_deallocation(&self, kind: Kind, from: u64, to: u64) -> Option<Duration> {
        let keeps = kind == Kind::Scale && self.text("scaleDownMode") == "Deallocate";
        (keeps && to <= from + self.deallocated).then_some(DEALLOCATION)
    }
}

impl Service {
    /// Ends the part of drained nodes in their pool: their machines are deleted, or deallocated where the pool says so.
    pub(super) async fn take_away(&self, pool: &NodePool, nodes: &[String]) -> Result<(), NodeError> {
        let kept = self.nodes.deallocation().filter(|_| self.deallocates(&pool.name));
        let each = nodes.iter().map(|node| async move {
            match kept {
                Some(kept) => kept.deallocate(node).await,
                None => self.nodes.delete(node).await,
            }
        });
        work::all(each.collect()).await?;
        self.count_deallocated(pool).await
    }

    /// Starts deallocated machines of a pool that lacks nodes, the oldest first. Returns how many it lacks then.
    pub(super) async fn restart_deallocated(&self, pool: &NodePool, missing: usize) -> Result<usize, NodeError> {
        let Some(kept) = self.nodes.deallocation().filter(|_| missing > 0) else {
            return Ok(missing);
        };
        let mut stopped = kept.deallocated(pool).await?;
        stopped.sort_by_key(|instance| instance.number);
        stopped.truncate(missing);
        let each = stopped.iter().map(|instance| kept.restart(pool, &instance.name, true));
        work::all(each.collect()).await?;
        self.count_deallocated(pool).await?;
        Ok(missing - stopped.len())
    }

    /// Deletes the deallocated machines of a pool that no longer keeps any, and those that an upgrade or a reimage would
    /// leave behind as they were.
    pub(super) async fn forget_deallocated(&self, pool: &NodePool, by: Kind) -> Result<(), NodeError> {
        let rolls = matches!(by, Kind::Upgrade | Kind::Reimage | Kind::UpgradeImage);
        if self.deallocates(&pool.name) && !rolls { Ok(()) } else { self.delete_deallocated(pool).await }
    }

    /// Deletes all deallocated machines of a pool.
    pub(super) async fn delete_deallocated(&self, pool: &NodePool) -> Result<(), NodeError> {
        let stopped = self.deallocated(pool).await?;
        if stopped.is_empty() {
            return Ok(());
        }
        work::all(stopped.iter().map(|instance| self.nodes.delete(&instance.name)).collect()).await?;
        self.count_deallocated(pool).await
    }

    async fn deallocated(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        match self.nodes.deallocation() {
            Some(kept) => kept.deallocated(pool).await,
            None => Ok(Vec::new()),
        }
    }

    fn deallocates(&self, pool: &str) -> bool {
        self.read(|state| {
            let pool = state.clusters.values().find_map(|cluster| cluster.pool(pool));
            pool.is_some_and(|pool| pool.text("scaleDownMode") == "Deallocate")
        })
    }

    /// Notes how many there are, for the time that the next growth takes.
    async fn count_deallocated(&self, pool: &NodePool) -> Result<(), NodeError> {
        let count = u64::try_from(self.deallocated(pool).await?.len()).unwrap_or_default();
        let known = |state: &super::State| {
            let pool = state.clusters.values().find_map(|cluster| cluster.pool(&pool.name));
            pool.is_none_or(|pool| pool.deallocated == count)
        };
        if self.read(known) {
            return Ok(());
        }
        self.change(|state| {
            let pool = state.clusters.values_mut().find_map(|cluster| cluster.pool_mut(&pool.name));
            if let Some(pool) = pool {
                pool.deallocated = count;
            }
        });
        Ok(())
    }
}
