//! The fresh look before a write: everything that the step's safety depends on, read now. Never uses a cache for it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1 as core;
use kube::api::ListParams;
use kube::{Api, Resource};
use nodepool_kernel::{Budget, InFlight, Known, MODE_LABEL, Mode, Node, Pod, Snapshot, Step, Workload};
use serde::de::DeserializeOwned;

use super::rows::{self, POOL_LABELS};
use super::{Observer, PAGE, now};
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
        let FreshKubernetes { nodes, pods, budgets, workloads } = kubernetes;
        let mut snapshot = self.snapshot(in_flight.to_vec());
        snapshot.cluster = Known::seen(at, cluster);
        snapshot.nodes = match (snapshot.nodes, nodes) {
            (_, Err(error)) => Known::unknown(in_words(error)),
            (Known::Unknown { reason }, _) => Known::Unknown { reason },
            (Known::Seen { at: cached_at, value }, Ok(read)) => {
                Known::seen(cached_at, with_fresh(value, read, &step.pool))
            }
        };
        snapshot.pods = pods.map_or_else(|error| Known::unknown(in_words(error)), |pods| Known::seen(at, pods));
        snapshot.budgets =
            budgets.map_or_else(|error| Known::unknown(in_words(error)), |budgets| Known::seen(at, budgets));
        let cached = snapshot.workloads.value().map(Vec::as_slice).unwrap_or_default();
        let still_well = |row: Workload| {
            let before = cached.iter().find(|before| before.full_name() == row.full_name());
            rows::still_well(row, before)
        };
        snapshot.workloads = workloads.map_or_else(
            |error| Known::unknown(in_words(error)),
            |workloads| Known::seen(at, workloads.into_iter().map(still_well).collect()),
        );
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

    async fn fresh_kubernetes(&self, step: &Step) -> FreshKubernetes {
        let nodes = async {
            let api = Api::<core::Node>::all(self.client.clone());
            let [label, older] = POOL_LABELS;
            let mut read = BTreeMap::new();
            let selectors =
                [format!("{MODE_LABEL}=system"), format!("{label}={}", step.pool), format!("{older}={}", step.pool)];
            for selector in selectors {
                let listed =
                    rows_of(&api, ListParams::default().labels(&selector), |node| Some(rows::node(node))).await?;
                read.extend(listed.into_iter().map(|node| (node.name.clone(), node)));
            }
            Ok(read.into_values().collect())
        };
        let seen = now();
        let (nodes, pods, budgets, workloads) = tokio::join!(
            nodes,
            self.protected(|pod| self.store.pod_row(pod)),
            self.protected(|budget| Some(rows::budget(budget))),
            self.protected(|deployment| Some(rows::workload(deployment, seen))),
        );
        FreshKubernetes { nodes, pods, budgets, workloads }
    }

    /// The rows of all objects of a kind in the protected namespaces.
    async fn protected<K, T>(&self, row: impl Fn(&K) -> Option<T>) -> kube::Result<Vec<T>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut read = Vec::new();
        for namespace in &self.namespaces {
            let api = Api::<K>::namespaced(self.client.clone(), namespace);
            read.extend(rows_of(&api, ListParams::default(), &row).await?);
        }
        Ok(read)
    }
}

/// Why the API server does not tell something.
pub(super) fn in_words(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

/// What was read from Kubernetes, each part or why not.
struct FreshKubernetes {
    nodes: kube::Result<Vec<Node>>,
    pods: kube::Result<Vec<Pod>>,
    budgets: kube::Result<Vec<Budget>>,
    workloads: kube::Result<Vec<Workload>>,
}

/// The rows of everything that is listed, page by page, as of one moment.
pub(super) async fn rows_of<K, T>(
    api: &Api<K>,
    which: ListParams,
    mut row: impl FnMut(&K) -> Option<T>,
) -> kube::Result<Vec<T>>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut rows = Vec::new();
    let mut which = which.limit(PAGE);
    loop {
        let page = api.list(&which).await?;
        rows.extend(page.iter().filter_map(&mut row));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => which = which.continue_token(&token),
            None => return Ok(rows),
        }
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
