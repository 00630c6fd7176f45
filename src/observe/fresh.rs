//! The fresh look before a write: everything that the step's safety depends on, read now. Never uses a cache for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1 as core;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Resource, ResourceExt as _};
use nodepool_kernel::{
    Budget, Dependent, InFlight, Intent, Known, MODE_LABEL, Mode, Node, Pod, Rows, Snapshot, Step, Workload,
};
use serde::de::DeserializeOwned;

use super::rows::{self, POOL_LABELS};
use super::{Observer, PAGE};
use crate::api::NodePoolPolicy;
use crate::arm::{ArmError, PoolDocument};
use crate::clock::now;
use crate::denied::in_words;

/// A list of the pods of one node costs the API server and this process less than a list of so many pods.
const PODS_FOR_A_LIST: usize = 40;

/// So many lists are under way at the same time.
const LISTS_AT_ONCE: usize = 8;

/// A snapshot for judging one step again, with the document that the write is made from.
pub struct Fresh {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The pool as ARM sent it; `None` if there is none, as before a creation.
    pub document: Option<PoolDocument>,
}

impl Observer {
    /// Reads what `step` depends on: the cluster, its pool and every system pool singly, the system nodes and the
    /// pool's nodes, the protected pods and their budgets. What Kubernetes does not tell is unknown.
    ///
    /// # Errors
    /// ARM could not be read.
    pub async fn fresh(&self, step: &Step, in_flight: &[InFlight]) -> Result<Fresh, ArmError> {
        let at = now();
        let (arm, kubernetes, removal) =
            tokio::join!(self.fresh_arm(step), self.fresh_kubernetes(step), Box::pin(self.fresh_removal(step)));
        let (cluster, document) = arm?;
        let FreshKubernetes { nodes, pods, budgets, workloads, paused } = kubernetes;
        let mut snapshot = self.snapshot(in_flight.to_vec());
        snapshot.paused = match (snapshot.paused, paused) {
            // Where the kind is not known either, nothing of that name is found.
            (Known::Unknown { reason }, _) | (_, Err(reason)) => Known::Unknown { reason },
            (Known::Seen { .. }, Ok(paused)) => Known::seen(at, paused),
        };
        if let Some(FreshRemoval { intents, dependents }) = removal {
            snapshot.intents =
                intents.map_or_else(|error| Known::unknown(in_words(&error)), |intents| Known::seen(at, intents));
            snapshot.dependents = dependents.into_iter().collect();
        }
        snapshot.cluster = Known::seen(at, cluster);
        snapshot.nodes = match (snapshot.nodes, nodes) {
            (_, Err(error)) => Known::unknown(in_words(&error)),
            (Known::Unknown { reason }, _) => Known::Unknown { reason },
            (Known::Seen { at: cached_at, value, .. }, Ok(read)) => {
                Known::seen(cached_at, with_fresh(value, read, &step.pool))
            }
        };
        snapshot.pods = match (snapshot.pods, pods) {
            (_, Err(error)) => Known::unknown(in_words(&error)),
            (_, Ok(FreshPods::All(read))) => Known::seen(at, read.into()),
            (Known::Unknown { reason }, _) => Known::Unknown { reason },
            (Known::Seen { at: cached_at, value, .. }, Ok(FreshPods::Of { nodes, read })) => {
                Known::seen(cached_at, with_fresh_pods(value, read, &nodes))
            }
        };
        snapshot.budgets =
            budgets.map_or_else(|error| Known::unknown(in_words(&error)), |budgets| Known::seen(at, budgets));
        let cached = snapshot.workloads.value().map(Vec::as_slice).unwrap_or_default();
        let still_well = |row: Workload| {
            let before = cached.iter().find(|before| before.full_name() == row.full_name());
            rows::still_well(row, before)
        };
        snapshot.workloads = workloads.map_or_else(
            |error| Known::unknown(in_words(&error)),
            |workloads| Known::seen(at, workloads.into_iter().map(still_well).collect()),
        );
        if let Some(occupancy) = self.fresh_occupancy(step, &snapshot).await {
            snapshot.occupancy.insert(step.pool.clone(), occupancy);
        }
        if let Some(upgradable) = Box::pin(self.fresh_upgradable(step, &snapshot)).await {
            snapshot.upgradable.insert(step.pool.clone(), upgradable);
        }
        Ok(Fresh { snapshot, document })
    }

    /// How many pools the fresh look for `step` reads singly, with what AKS offers the one that is upgraded.
    pub fn pools_read_for(&self, step: &Step) -> usize {
        let cluster = self.cluster();
        let pools = cluster.value().map(|cluster| cluster.pools.as_slice()).unwrap_or_default();
        let offered = usize::from(step.change.upgrades());
        1 + offered + pools.iter().filter(|pool| pool.name != step.pool && pool.mode == Mode::System).count()
    }

    async fn fresh_arm(&self, step: &Step) -> Result<(nodepool_kernel::Cluster, Option<PoolDocument>), ArmError> {
        let (cluster, document) = tokio::join!(self.arm.cluster(), self.arm.pool(&step.pool));
        let mut cluster = cluster?;
        let document = match document {
            Err(error) if step.change.creates() && error.says_absent() => None,
            document => Some(document?),
        };
        if let Some(document) = &document
            && cluster.pool(&step.pool).is_none()
        {
            cluster.pools.push(document.pool());
        }
        for pool in &mut cluster.pools {
            if pool.name == step.pool {
                *pool = document.as_ref().map_or_else(|| pool.clone(), PoolDocument::pool);
            } else if pool.mode == Mode::System {
                *pool = self.arm.pool(&pool.name).await?.pool();
            }
        }
        Ok((cluster, document))
    }

    /// How many nodes of the pool carry these labels.
    ///
    /// # Errors
    /// The API server could not be read.
    pub async fn labelled_nodes(&self, pool: &str, labels: &BTreeMap<String, String>) -> kube::Result<usize> {
        let of_pool = format!("{}={pool}", POOL_LABELS[0]);
        let selector: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).chain([of_pool]).collect();
        let api = self.lists.all::<core::Node>();
        let names = rows_of(&api, ListParams::default().labels(&selector.join(",")), |node| Some(node.name_any()));
        Ok(names.await?.len())
    }

    /// What a step that takes all nodes of a pool away depends on besides: the policies, of which another may name the pool
    /// by now, and what depends on the pool.
    async fn fresh_removal(&self, step: &Step) -> Option<FreshRemoval> {
        if !step.change.empties() {
            return None;
        }
        let policies = async {
            let api = Api::<DeserializeGuard<NodePoolPolicy>>::all(self.client.clone());
            rows_of(&api, ListParams::default().limit(PAGE), |policy| policy.0.ok()).await
        };
        let is_system =
            self.cluster().value().and_then(|it| it.pool(&step.pool)).is_some_and(|it| it.mode == Mode::System);
        let pools = if is_system { Vec::new() } else { vec![step.pool.clone()] };
        let (policies, dependents) = tokio::join!(policies, self.read_dependents(pools));
        let intents = policies.map(|policies| policies.iter().map(|policy| self.store.intent(policy)).collect());
        Some(FreshRemoval { intents, dependents })
    }

    async fn fresh_kubernetes(&self, step: &Step) -> FreshKubernetes {
        let seen = now();
        let ((nodes, pods), budgets, workloads, paused) = tokio::join!(
            self.fresh_nodes_and_pods(step),
            self.protected(|budget| Some(rows::budget(&budget))),
            self.protected(|deployment| Some(rows::workload(&deployment, seen))),
            self.paused_now(),
        );
        FreshKubernetes { nodes, pods, budgets, workloads, paused }
    }

    /// The nodes that the step can touch, and the protected pods on them, or all where that costs less.
    async fn fresh_nodes_and_pods(&self, step: &Step) -> (kube::Result<Vec<Node>>, kube::Result<FreshPods>) {
        let (nodes, pods) =
            (self.store.nodes.count(|node| is_touched(node, &step.pool)), self.store.pods.count(|_| true));
        if nodes.saturating_mul(PODS_FOR_A_LIST) >= pods {
            let all = ListParams::default().limit(PAGE);
            let (nodes, pods) = tokio::join!(self.fresh_nodes(step), self.protected_pods(&all));
            return (nodes, pods.map(FreshPods::All));
        }
        let nodes = self.fresh_nodes(step).await;
        let names = nodes.iter().flatten().map(|node| node.name.clone()).collect();
        let pods = self.fresh_pods_of(names).await;
        (nodes, pods)
    }

    async fn fresh_nodes(&self, step: &Step) -> kube::Result<Vec<Node>> {
        let api = self.lists.all::<core::Node>();
        let [label, older] = POOL_LABELS;
        let mut read = BTreeMap::new();
        let selectors =
            [format!("{MODE_LABEL}=system"), format!("{label}={}", step.pool), format!("{older}={}", step.pool)];
        for selector in selectors {
            let of_pool = ListParams::default().labels(&selector).limit(PAGE);
            let listed = rows_of(&api, of_pool, |node| Some(rows::node(&node.whole()))).await?;
            read.extend(listed.into_iter().map(|node| (node.name.clone(), node)));
        }
        Ok(read.into_values().collect())
    }

    async fn fresh_pods_of(&self, nodes: BTreeSet<String>) -> kube::Result<FreshPods> {
        let lists = nodes.iter().map(|node| async move {
            // Without pages: API servers before 1.33 read those from etcd, past their index of pods by node.
            let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
            self.protected_pods(&on_node).await
        });
        let read = futures::stream::iter(lists.collect::<Vec<_>>()).buffer_unordered(LISTS_AT_ONCE);
        let read: Vec<Vec<Arc<Pod>>> = read.try_collect().await?;
        Ok(FreshPods::Of { nodes, read: read.into_iter().flatten().collect() })
    }

    /// The rows of the objects of a kind in the protected namespaces.
    async fn protected<K, T>(&self, row: impl Fn(K) -> Option<T>) -> kube::Result<Vec<T>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut read = Vec::new();
        for namespace in &self.namespaces {
            let api = Api::<K>::namespaced(self.client.clone(), namespace);
            read.extend(rows_of(&api, ListParams::default().limit(PAGE), &row).await?);
        }
        Ok(read)
    }

    async fn protected_pods(&self, which: &ListParams) -> kube::Result<Vec<Arc<Pod>>> {
        let mut read = Vec::new();
        for namespace in &self.namespaces {
            let api = self.lists.namespaced::<core::Pod>(namespace);
            read.extend(rows_of(&api, which.clone(), |pod| self.store.pod_row(&pod.whole())).await?);
        }
        Ok(read)
    }
}

/// What a step that takes all nodes of a pool away depends on besides.
struct FreshRemoval {
    intents: kube::Result<Vec<Intent>>,
    dependents: Vec<(String, Known<Vec<Dependent>>)>,
}

/// Protected pods that were read.
enum FreshPods {
    /// All.
    All(Vec<Arc<Pod>>),
    /// Those of some nodes.
    Of { nodes: BTreeSet<String>, read: Vec<Arc<Pod>> },
}

/// What was read from Kubernetes, each part or why not.
struct FreshKubernetes {
    nodes: kube::Result<Vec<Node>>,
    pods: kube::Result<FreshPods>,
    budgets: kube::Result<Vec<Budget>>,
    workloads: kube::Result<Vec<Workload>>,
    paused: Result<bool, String>,
}

/// The rows of everything that is listed, page by page, as of one moment.
pub(super) async fn rows_of<K, T>(
    api: &Api<K>,
    mut which: ListParams,
    mut row: impl FnMut(K) -> Option<T>,
) -> kube::Result<Vec<T>>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut rows = Vec::new();
    loop {
        let page = api.list(&which).await?;
        rows.extend(page.items.into_iter().filter_map(&mut row));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => which = which.continue_token(&token),
            None => return Ok(rows),
        }
    }
}

/// Whether a step on the pool can touch the node, or its safety rests on it.
fn is_touched(node: &Node, pool: &str) -> bool {
    node.labelled_system || node.pool.as_deref() == Some(pool)
}

/// The cached nodes with those that were read in their places; cached nodes that should have been read and were not
/// are gone.
fn with_fresh(cached: Rows<Node>, read: Vec<Node>, pool: &str) -> Rows<Node> {
    let read_now: BTreeSet<&str> = read.iter().map(|node| node.name.as_str()).collect();
    let mut nodes = cached;
    nodes.retain(|node| !is_touched(node, pool) && !read_now.contains(node.name.as_str()));
    nodes.extend(read);
    nodes
}

/// The cached pods with those of `nodes` as they were read; cached ones that were not read there are gone.
fn with_fresh_pods(cached: Rows<Pod>, read: Vec<Arc<Pod>>, nodes: &BTreeSet<String>) -> Rows<Pod> {
    let read_now: BTreeSet<(&str, &str)> = read.iter().map(|pod| name_of(pod)).collect();
    let is_elsewhere = |pod: &Pod| pod.node.as_deref().is_none_or(|node| !nodes.contains(node));
    let mut pods = cached;
    pods.retain(|pod| is_elsewhere(pod) && !read_now.contains(&name_of(pod)));
    pods.extend(read);
    pods
}

fn name_of(pod: &Pod) -> (&str, &str) {
    (&pod.namespace, &pod.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: Option<&str>) -> Arc<Pod> {
        let object = json!({"metadata": {"namespace": "kube-system", "name": name}, "spec": {"nodeName": node}});
        Arc::new(rows::any_pod(&serde_json::from_value(object).unwrap()))
    }

    #[test]
    fn nodes_that_a_step_can_touch_are_as_read_and_others_as_cached() {
        let node = |name: &str, pool: &str| {
            let object = json!({"metadata": {"name": name, "labels": {"agentpool": pool}}});
            rows::node(&serde_json::from_value(object).unwrap())
        };
        let cached = vec![node("stays", "a"), node("gone", "a"), node("elsewhere", "b"), node("moved", "b")];
        let fresh = with_fresh(cached.into(), vec![node("stays", "a"), node("moved", "a"), node("new", "a")], "a");
        let mut seen: Vec<_> = fresh.iter().map(|node| (node.name.as_str(), node.pool.as_deref().unwrap())).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("elsewhere", "b"), ("moved", "a"), ("new", "a"), ("stays", "a")]);
    }

    #[test]
    fn pods_of_the_nodes_that_were_read_are_as_read_and_others_as_cached() {
        let cached = vec![
            pod("stays", Some("a")),
            pod("gone", Some("a")),
            pod("was-pending", None),
            pod("is-pending", None),
            pod("elsewhere", Some("b")),
            pod("moved", Some("b")),
        ];
        let read = vec![pod("stays", Some("a")), pod("was-pending", Some("a")), pod("moved", Some("a"))];
        let mut seen: Vec<_> = with_fresh_pods(cached.into(), read, &["a".to_owned()].into())
            .iter()
            .map(|pod| (pod.name.to_string(), pod.node.as_deref().unwrap_or_default().to_owned()))
            .collect();
        seen.sort();
        let expected = [("elsewhere", "b"), ("is-pending", ""), ("moved", "a"), ("stays", "a"), ("was-pending", "a")];
        assert_eq!(seen, expected.map(|(name, node)| (name.to_owned(), node.to_owned())));
    }
}
