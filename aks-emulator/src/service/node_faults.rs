//! Laying faults over the nodes of a pool, and ending what a restart has left of them. Never decides what a fault does.

use std::sync::Arc;

use super::{Service, document};
use crate::nodes::said;
use crate::{NodeError, NodeFault, NodePool, NodeTrouble};

impl Service {
    /// Lays a fault over the nodes of a pool, whether the pool is there yet or not.
    pub(crate) fn lay_node_fault(self: &Arc<Self>, pool: &str, trouble: NodeTrouble) -> NodeFault {
        let (fault, laid) = self.faulty.faults.lay(pool, trouble);
        let time = match trouble {
            NodeTrouble::NotReady(time) => time,
            NodeTrouble::NeverReady => None,
            _ => return fault,
        };
        let (service, pool) = (self.clone(), pool.to_owned());
        self.tasks.spawn(async move {
            if matches!(trouble, NodeTrouble::NotReady(_)) {
                said(service.report(&pool, false).await);
            }
            service.faulty.wait(&laid, time).await;
            laid.over.cancel();
            let silences = |other| matches!(other, NodeTrouble::NeverReady | NodeTrouble::NotReady(_));
            if service.faulty.faults.find(&pool, silences).is_none() {
                said(service.report(&pool, true).await);
            }
        });
        fault
    }

    async fn report(&self, pool: &str, reporting: bool) -> Result<(), NodeError> {
        match self.node_pools().into_iter().find(|known| known.name.eq_ignore_ascii_case(pool)) {
            Some(pool) => self.faulty.report(&pool, reporting).await,
            None => Ok(()),
        }
    }

    /// Lets the nodes report that a fault of an earlier run has silenced: faults do not survive a restart.
    pub(crate) async fn wake_nodes(&self) -> Result<(), NodeError> {
        for pool in self.node_pools() {
            self.faulty.report(&pool, true).await?;
        }
        Ok(())
    }

    /// All pools as their nodes should look.
    pub(super) fn node_pools(&self) -> Vec<NodePool> {
        self.read(|state| {
            let clusters = state.clusters.values();
            clusters.flat_map(|cluster| cluster.pools.iter().map(|pool| document::node_pool(cluster, pool))).collect()
        })
    }
}
