//! A node side without Kubernetes: it remembers instances in memory and reports them Ready. Never forgets on its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Applied, Deallocation, Instance, Mark, NewInstance, NodeError, NodePool, NodeSide, names};

/// Nodes that exist in name only, for those who need the ARM side alone.
#[derive(Debug, Default)]
pub struct NoNodes {
    instances: Mutex<BTreeMap<String, Instance>>,
    deallocated: Mutex<BTreeMap<String, Instance>>,
    /// How many addresses were given out; none is given twice before all were.
    addresses: AtomicU16,
}

impl NoNodes {
    /// A node side without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An address of the service's default subnet, whose first four and last are Azure's own.
    fn next_address(&self) -> String {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed) % (u16::MAX - 4) + 4;
        let [high, low] = number.to_be_bytes();
        format!("10.224.{high}.{low}")
    }

    fn insert(&self, pool: &NodePool, new: &NewInstance, ready: bool) {
        let name = names::node(&pool.scale_set, new.number);
        let mut instances = self.instances();
        let addresses = vec![self.next_address()];
        let (number, zone) = (new.number, new.zone.clone());
        instances.entry(name.clone()).or_insert(Instance { name, number, zone, ready, addresses });
    }

    fn instances(&self) -> MutexGuard<'_, BTreeMap<String, Instance>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> MutexGuard<'_, BTreeMap<String, Instance>> {
        self.deallocated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeSide for NoNodes {
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        Ok(self.instances().values().filter(|instance| instance.name.starts_with(&pool.scale_set)).cloned().collect())
    }

    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.insert(pool, instance, true);
        Ok(())
    }

    async fn create_silent(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.insert(pool, instance, false);
        Ok(())
    }

    async fn set_reporting(&self, node: &str, reporting: bool) -> Result<(), NodeError> {
        if let Some(instance) = self.instances().get_mut(node) {
            instance.ready = reporting;
        }
        Ok(())
    }

    async fn write(&self, _pool: &NodePool, _applied: &Applied) -> Result<(), NodeError> {
        Ok(())
    }

    async fn cordon(&self, _node: &str) -> Result<(), NodeError> {
        Ok(())
    }

    async fn drain(&self, _node: &str, _budgets: bool, _timeout: Duration) -> Result<(), NodeError> {
        Ok(())
    }

    async fn delete(&self, node: &str) -> Result<(), NodeError> {
        self.instances().remove(node);
        self.stopped().remove(node);
        Ok(())
    }

    fn deallocation(&self) -> Option<&dyn Deallocation> {
        Some(self)
    }

    async fn budgets_against(&self, _nodes: &[String]) -> Result<Vec<String>, NodeError> {
        Ok(Vec::new())
    }

    async fn marks(&self, pool: &NodePool) -> Result<BTreeMap<String, Mark>, NodeError> {
        Ok(self.list(pool).await?.into_iter().map(|instance| (instance.name, Mark::default())).collect())
    }

    async fn uncordon(&self, _node: &str) -> Result<(), NodeError> {
        Ok(())
    }

    async fn quarantine(&self, _node: &str) -> Result<(), NodeError> {
        Ok(())
    }

    async fn replace(&self, pool: &NodePool, instance: &NewInstance, _uid: &str) -> Result<(), NodeError> {
        self.create(pool, instance).await
    }
}

#[async_trait]
impl Deallocation for NoNodes {
    async fn deallocated(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        Ok(self.stopped().values().filter(|instance| instance.name.starts_with(&pool.scale_set)).cloned().collect())
    }

    async fn deallocate(&self, node: &str) -> Result<(), NodeError> {
        if let Some(instance) = self.instances().remove(node) {
            self.stopped().insert(node.to_owned(), Instance { ready: false, ..instance });
        }
        Ok(())
    }

    async fn restart(&self, _pool: &NodePool, node: &str, reporting: bool) -> Result<(), NodeError> {
        if let Some(instance) = self.stopped().remove(node) {
            self.instances().insert(node.to_owned(), Instance { ready: reporting, ..instance });
        }
        Ok(())
    }
}
