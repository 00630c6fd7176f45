//! Nodes in memory that do as a test says: report Ready or not, keep their pods, have budgets that disagree.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aks_emulator::{Applied, Instance, Mark, NewInstance, NoNodes, NodeError, NodePool, NodeSide};
use async_trait::async_trait;

#[derive(Default)]
pub struct Staged {
    nodes: NoNodes,
    unready: AtomicBool,
    stuck: AtomicBool,
    guarded: AtomicBool,
}

impl Staged {
    /// From now on all nodes report Ready, or none does.
    pub fn ready(&self, ready: bool) {
        self.unready.store(!ready, Ordering::SeqCst);
    }

    /// From now on no node can be drained.
    pub fn keep_pods(&self) {
        self.stuck.store(true, Ordering::SeqCst);
    }

    /// From now on a budget of an add-on allows no node to go.
    pub fn guard(&self) {
        self.guarded.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl NodeSide for Staged {
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        let mut instances = self.nodes.list(pool).await?;
        for instance in &mut instances {
            instance.ready = !self.unready.load(Ordering::SeqCst);
        }
        Ok(instances)
    }

    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.nodes.create(pool, instance).await
    }

    async fn write(&self, pool: &NodePool, applied: &Applied) -> Result<(), NodeError> {
        self.nodes.write(pool, applied).await
    }

    async fn cordon(&self, node: &str) -> Result<(), NodeError> {
        assert!(!self.guarded.load(Ordering::SeqCst), "{node} was cordoned");
        self.nodes.cordon(node).await
    }

    async fn drain(&self, node: &str, budgets: bool, timeout: Duration) -> Result<(), NodeError> {
        assert!(!self.guarded.load(Ordering::SeqCst), "{node} was drained");
        if self.stuck.load(Ordering::SeqCst) {
            return Err(NodeError::DrainTimedOut { node: node.to_owned(), pods: vec!["web-0".to_owned()], timeout });
        }
        self.nodes.drain(node, budgets, timeout).await
    }

    async fn marks(&self, pool: &NodePool) -> Result<BTreeMap<String, Mark>, NodeError> {
        self.nodes.marks(pool).await
    }

    async fn uncordon(&self, node: &str) -> Result<(), NodeError> {
        self.nodes.uncordon(node).await
    }

    async fn quarantine(&self, node: &str) -> Result<(), NodeError> {
        self.nodes.quarantine(node).await
    }

    async fn replace(&self, pool: &NodePool, instance: &NewInstance, uid: &str) -> Result<(), NodeError> {
        self.nodes.replace(pool, instance, uid).await
    }

    async fn delete(&self, node: &str) -> Result<(), NodeError> {
        self.nodes.delete(node).await
    }

    async fn budgets_against(&self, _nodes: &[String]) -> Result<Vec<String>, NodeError> {
        let guarded = self.guarded.load(Ordering::SeqCst);
        Ok(guarded.then(|| "coredns-pdb".to_owned()).into_iter().collect())
    }
}
