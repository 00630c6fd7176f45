//! A node side with faults laid over it: nodes that are late, silent or not written. Never changes what the faults do
//! not name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    Applied, ClusterSide, Deallocation, Instance, IssuerKeys, Mark, NewInstance, NodeError, NodePool, NodeSide, names,
};
use crate::Settings;
use crate::clock::Clock;
use crate::node_faults::{Laid, NodeFaults, NodeTrouble};

/// The real node side, and what is wrong with it.
#[derive(Clone)]
pub(crate) struct FaultyNodes {
    inner: Arc<dyn NodeSide>,
    pub(crate) faults: Arc<NodeFaults>,
    clock: Arc<Clock>,
    time_scale: f64,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// Writes that are late, by pool: the newest, and what nodes may carry from all of them.
    late: Arc<Mutex<HashMap<String, (NodePool, Applied)>>>,
}

impl FaultyNodes {
    pub(crate) fn new(inner: Arc<dyn NodeSide>, settings: &Settings, clock: Arc<Clock>) -> Self {
        Self {
            inner,
            faults: Arc::default(),
            clock,
            time_scale: settings.time_scale,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            late: Arc::default(),
        }
    }

    /// Waits for a time of the service, but not beyond the fault's end or the emulator's.
    pub(crate) async fn wait(&self, laid: &Laid, time: Option<Duration>) {
        let sleep = async {
            match time {
                Some(time) => self.clock.sleep_until(self.clock.now(), time.div_f64(self.time_scale)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = laid.over.cancelled() => {}
            () = self.stopping.cancelled() => {}
            () = sleep => {}
        }
    }

    /// Lets all nodes of a pool report, or none.
    pub(crate) async fn report(&self, pool: &NodePool, reporting: bool) -> Result<(), NodeError> {
        let silent = |instance: &Instance| !(reporting && instance.ready);
        for instance in self.inner.list(pool).await?.into_iter().filter(silent) {
            self.inner.set_reporting(&instance.name, reporting).await?;
        }
        Ok(())
    }

    /// Whether a node that starts is silent. One that is so for a time is woken after it.
    fn is_silent(&self, pool: &NodePool, node: &str) -> bool {
        if self.faults.find(&pool.name, |trouble| trouble == NodeTrouble::NeverReady).is_some() {
            return true;
        }
        let late = self.faults.find(&pool.name, |trouble| matches!(trouble, NodeTrouble::LateReady(_)));
        let Some((laid, NodeTrouble::LateReady(time))) = late.map(|laid| (laid.clone(), laid.trouble)) else {
            return false;
        };
        let (nodes, node) = (self.clone(), node.to_owned());
        self.tasks.spawn(async move {
            nodes.wait(&laid, Some(time)).await;
            said(nodes.inner.set_reporting(&node, true).await);
        });
        true
    }

    /// Makes the late write of a pool, unless another one has.
    async fn catch_up(&self, pool: &str) -> Result<(), NodeError> {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).remove(pool);
        match late {
            Some((pool, applied)) => self.inner.write(&pool, &applied).await,
            None => Ok(()),
        }
    }

    /// Notes a write that is late. Returns whether another one was noted already, and is waited for.
    fn note(&self, pool: &NodePool, applied: &Applied) -> bool {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = late.remove(&pool.name);
        let waited_for = earlier.is_some();
        let mut carried = applied.clone();
        if let Some((_, earlier)) = earlier {
            carried.labels.extend(earlier.labels);
            carried.taints.extend(earlier.taints);
        }
        late.insert(pool.name.clone(), (pool.clone(), carried));
        waited_for
    }
}

/// Logs what nobody waits for.
pub(crate) fn said(outcome: Result<(), NodeError>) {
    if let Err(error) = outcome {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, source, "a fault of nodes had no effect");
    }
}

#[async_trait]
impl NodeSide for FaultyNodes {
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        self.inner.list(pool).await
    }

    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        if let Some(laid) = self.faults.find(&pool.name, |trouble| matches!(trouble, NodeTrouble::LateObject(_)))
            && let NodeTrouble::LateObject(time) = laid.trouble
        {
            self.wait(&laid, Some(time)).await;
        }
        let name = names::node(&pool.scale_set, instance.number);
        if self.is_silent(pool, &name) {
            self.inner.create_silent(pool, instance).await
        } else {
            self.inner.create(pool, instance).await
        }
    }

    async fn create_silent(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.inner.create_silent(pool, instance).await
    }

    async fn set_reporting(&self, node: &str, reporting: bool) -> Result<(), NodeError> {
        self.inner.set_reporting(node, reporting).await
    }

    async fn write(&self, pool: &NodePool, applied: &Applied) -> Result<(), NodeError> {
        let waited_for = self.note(pool, applied);
        let late = self.faults.find(&pool.name, |trouble| matches!(trouble, NodeTrouble::LateWrites(_)));
        let Some((laid, NodeTrouble::LateWrites(time))) = late.map(|laid| (laid.clone(), laid.trouble)) else {
            return self.catch_up(&pool.name).await;
        };
        if !waited_for {
            let (nodes, pool) = (self.clone(), pool.name.clone());
            self.tasks.spawn(async move {
                nodes.wait(&laid, Some(time)).await;
                said(nodes.catch_up(&pool).await);
            });
        }
        Ok(())
    }

    async fn cordon(&self, node: &str) -> Result<(), NodeError> {
        self.inner.cordon(node).await
    }

    async fn drain(&self, node: &str, budgets: bool, timeout: Duration) -> Result<(), NodeError> {
        self.inner.drain(node, budgets, timeout).await
    }

    async fn delete(&self, node: &str) -> Result<(), NodeError> {
        self.inner.delete(node).await
    }

    async fn issuer_keys(&self) -> Result<Option<IssuerKeys>, NodeError> {
        self.inner.issuer_keys().await
    }

    async fn marks(&self, pool: &NodePool) -> Result<BTreeMap<String, Mark>, NodeError> {
        self.inner.marks(pool).await
    }

    async fn uncordon(&self, node: &str) -> Result<(), NodeError> {
        self.inner.uncordon(node).await
    }

    async fn quarantine(&self, node: &str) -> Result<(), NodeError> {
        self.inner.quarantine(node).await
    }

    async fn replace(&self, pool: &NodePool, instance: &NewInstance, uid: &str) -> Result<(), NodeError> {
        let name = names::node(&pool.scale_set, instance.number);
        let silent = self.is_silent(pool, &name);
        self.inner.replace(pool, instance, uid).await?;
        if silent { self.inner.set_reporting(&name, false).await } else { Ok(()) }
    }

    fn deallocation(&self) -> Option<&dyn Deallocation> {
        self.inner.deallocation().map(|_| self as &dyn Deallocation)
    }

    async fn budgets_against(&self, nodes: &[String]) -> Result<Vec<String>, NodeError> {
        self.inner.budgets_against(nodes).await
    }

    fn cluster(&self) -> Option<&dyn ClusterSide> {
        self.inner.cluster()
    }
}

#[async_trait]
impl Deallocation for FaultyNodes {
    async fn deallocated(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        match self.inner.deallocation() {
            Some(kept) => kept.deallocated(pool).await,
            None => Ok(Vec::new()),
        }
    }

    async fn deallocate(&self, node: &str) -> Result<(), NodeError> {
        match self.inner.deallocation() {
            Some(kept) => kept.deallocate(node).await,
            None => self.inner.delete(node).await,
        }
    }

    async fn restart(&self, pool: &NodePool, node: &str, reporting: bool) -> Result<(), NodeError> {
        let reporting = reporting && !self.is_silent(pool, node);
        match self.inner.deallocation() {
            Some(kept) => kept.restart(pool, node, reporting).await,
            None => Ok(()),
        }
    }
}
