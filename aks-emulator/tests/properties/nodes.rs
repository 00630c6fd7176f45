//! A node side that outlives restarts and notes what must never happen to an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use aks_emulator::{Applied, Instance, Mark, NewInstance, NoNodes, NodeError, NodePool, NodeSide};
use async_trait::async_trait;

/// Nodes in memory with the numbers that each scale set gave since it was last without any.
#[derive(Default)]
pub struct Watched {
    nodes: NoNodes,
    present: Mutex<BTreeSet<String>>,
    given: Mutex<BTreeMap<String, BTreeSet<u64>>>,
    wrongs: Mutex<Vec<String>>,
}

impl Watched {
    pub fn wrongs(&self) -> Vec<String> {
        self.wrongs.lock().unwrap().clone()
    }

    /// How many nodes there are whose names start like this.
    pub fn count(&self, start: &str) -> usize {
        self.present.lock().unwrap().iter().filter(|name| name.starts_with(start)).count()
    }
}

#[async_trait]
impl NodeSide for Watched {
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        self.nodes.list(pool).await
    }

    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        let present = self.nodes.list(pool).await?;
        {
            let mut given = self.given.lock().unwrap();
            let numbers = given.entry(pool.scale_set.clone()).or_default();
            if present.is_empty() {
                numbers.clear();
            }
            if !numbers.insert(instance.number) {
                let wrong = format!("instance {} of {} was created twice", instance.number, pool.name);
                self.wrongs.lock().unwrap().push(wrong);
            }
        }
        self.nodes.create(pool, instance).await?;
        let names = self.nodes.list(pool).await?.into_iter().map(|instance| instance.name);
        self.present.lock().unwrap().extend(names);
        Ok(())
    }

    async fn write(&self, pool: &NodePool, applied: &Applied) -> Result<(), NodeError> {
        self.nodes.write(pool, applied).await
    }

    async fn cordon(&self, node: &str) -> Result<(), NodeError> {
        self.nodes.cordon(node).await
    }

    async fn drain(&self, node: &str, budgets: bool, timeout: Duration) -> Result<(), NodeError> {
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

    async fn budgets_against(&self, nodes: &[String]) -> Result<Vec<String>, NodeError> {
        self.nodes.budgets_against(nodes).await
    }

    async fn delete(&self, node: &str) -> Result<(), NodeError> {
        self.present.lock().unwrap().remove(node);
        self.nodes.delete(node).await
    }
}
