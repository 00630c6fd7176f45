//! The fresh look before a write: everything that the step's safety depends on, read now. Never uses a cache for it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::ListParams;
use nodepool_kernel::{Budget, InFlight, Known, MODE_LABEL, Mode, Node, Pod, Snapshot, Step};

use super::rows::{self, POOL_LABELS};
use super::{Observer, now};
use crate::arm::{ArmError, PoolDocument};

/// A snapshot for judging one step again, with the document that the write is made from.
pub struct Fresh {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The pool as ARM sent it.
    pub document: PoolDocument,
}

impl Observer {
    /// Reads what `step` depends on: the cluster, its pool and every system pool singly, the system nodes and the
    /// pool's nodes, the protected pods and their budgets. What Kubernetes does not tell is unknown.
    ///
    /// # Errors
    /// ARM could not be read.
    pub async fn fresh(&self, step: &Step, in_flight: &[InFlight]) -> Result<Fresh, ArmError> {
        let at = now();
        let (arm, kubernetes) = tokio::join!(self.fresh_arm(step), self.fresh_kubernetes(step));
        let (cluster, document) = arm?;
        let (nodes, pods, budgets) = kubernetes;
        let known = |error: kube::Error| match error {
            kube::Error::Api(status) => status.message,
            other => other.to_string(),
        };
        let mut snapshot = self.snapshot(in_flight.to_vec());
        snapshot.cluster = Known::seen(at, cluster);
        snapshot.nodes = match (snapshot.nodes, nodes) {
            (_, Err(error)) => Known::unknown(known(error)),
            (Known::Unknown { reason }, _) => Known::Unknown { reason },
            (Known::Seen { at: cached_at, value }, Ok(read)) => {
                Known::seen(cached_at, with_fresh(value, read, &step.pool))
            }
        };
        snapshot.pods = pods.map_or_else(|error| Known::unknown(known(error)), |pods| Known::seen(at, pods));
        snapshot.budgets =
            budgets.map_or_else(|error| Known::unknown(known(error)), |budgets| Known::seen(at, budgets));
        Ok(Fresh { snapshot, document })
    }

    /// How many pools the fresh look for `step` reads singly.
    pub fn pools_read_for(&self, step: &Step) -> usize {
        let cluster = self.cluster();
        let pools = cluster.value().map(|cluster| cluster.pools.as_slice()).unwrap_or_default();
        1 + pools.iter().filter(|pool| pool.name != step.pool && pool.mode == Mode::System).count()
    }

    async fn fresh_arm(&self, step: &Step) -> Result<(nodepool_kernel::Cluster, PoolDocument), ArmError> {
        let (cluster, document) = tokio::join!(self.arm.cluster(), self.arm.pool(&step.pool));
        let (mut cluster, document) = (cluster?, document?);
        for pool in &mut cluster.pools {
            if pool.name == step.pool {
                *pool = document.pool();
            } else if pool.mode == Mode::System {
                *pool = self.arm.pool(&pool.name).await?.pool();
            }
        }
        Ok((cluster, document))
    }

    async fn fresh_kubernetes(
        &self,
        step: &Step,
    ) -> (kube::Result<Vec<Node>>, kube::Result<Vec<Pod>>, kube::Result<Vec<Budget>>) {
        let nodes = async {
            let api = Api::<core::Node>::all(self.client.clone());
            let [label, older] = POOL_LABELS;
            let mut read = BTreeMap::new();
            let selectors =
                [format!("{MODE_LABEL}=system"), format!("{label}={}", step.pool), format!("{older}={}", step.pool)];
            for selector in selectors {
                let listed = api.list(&ListParams::default().labels(&selector)).await?;
                read.extend(listed.iter().map(rows::node).map(|node| (node.name.clone(), node)));
            }
            Ok(read.into_values().collect())
        };
        let pods = async {
            let mut read = Vec::new();
            for namespace in &self.namespaces {
                let api = Api::<core::Pod>::namespaced(self.client.clone(), namespace);
                read.extend(api.list(&ListParams::default()).await?.iter().filter_map(|pod| self.store.pod_row(pod)));
            }
            Ok(read)
        };
        let budgets = async {
            let mut read = Vec::new();
            for namespace in &self.namespaces {
                let api = Api::<PodDisruptionBudget>::namespaced(self.client.clone(), namespace);
                read.extend(api.list(&ListParams::default()).await?.iter().map(rows::budget));
            }
            Ok(read)
        };
        tokio::join!(nodes, pods, budgets)
    }
}

/// The cached nodes with those that were read in their places; cached nodes that should have been read and were not
/// are gone.
fn with_fresh(cached: Vec<Node>, read: Vec<Node>, pool: &str) -> Vec<Node> {
    let should_have_been_read = |node: &Node| node.labelled_system || node.pool.as_deref() == Some(pool);
    let mut nodes: BTreeMap<String, Node> =
        cached.into_iter().filter(|node| !should_have_been_read(node)).map(|node| (node.name.clone(), node)).collect();
    nodes.extend(read.into_iter().map(|node| (node.name.clone(), node)));
    nodes.into_values().collect()
}
