//! What runs on system nodes and how much room they have, for the inventory: one watch of pods a node, since there are few.
//! Never watches the pods of other nodes, and never holds whole objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;
use kube::runtime::watcher;
use nodepool_kernel::placement::Amount;
use nodepool_kernel::{Known, Owner, Phase, Time};
use tokio::task::AbortHandle;

use super::part::{Lists, Part};
use super::rows::{any_pod, is_mirror};
use super::scheduling::{allocatable, requests};
use super::watch::Table;
use super::watched::Watched;
use crate::run::Wake;

/// So many nodes are watched at most.
const LIMIT: usize = 50;

/// Of so many nodes at most what they offer is kept, those that are gone among them: a node is noted before it is shown.
const MOST_OFFERS: usize = 1000;

/// A pod on a system node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// `namespace/name`.
    pub pod: String,
    /// Whether it is an application's: of no protected namespace, of no `DaemonSet` and not static.
    pub application: bool,
    /// What it asks for, with `pods` of 1.
    pub room: Room,
}

/// Amounts of what pods need of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Thousandths of a core.
    pub cpu: Amount,
    /// Bytes.
    pub memory: Amount,
    /// Pods.
    pub pods: Amount,
}

/// What is known of one system node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancies {
    /// What the node offers to pods, if it has been seen.
    pub offers: Option<Room>,
    /// The pods on it that have not finished.
    pub tenants: Known<Vec<Tenant>>,
}

/// The watches of system nodes.
#[derive(Default)]
pub(super) struct Tenants {
    offers: Mutex<BTreeMap<String, Room>>,
    followed: Mutex<BTreeMap<String, Followed>>,
}

struct Followed {
    tenants: Arc<Watched<Tenant>>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it takes to begin a watch.
pub(super) struct Means<'a> {
    pub(super) lists: &'a Lists,
    pub(super) wake: &'a Arc<Wake>,
    /// The protected namespaces.
    pub(super) namespaces: &'a [String],
}

impl Tenants {
    /// Takes note of what a node offers.
    pub(super) fn note(&self, node: &core::Node) {
        let (resources, pods) = allocatable(node.status.as_ref());
        let offer = Room { cpu: resources.cpu, memory: resources.memory, pods };
        self.offers().insert(node.metadata.name.clone().unwrap_or_default(), offer);
    }

    /// Watches the pods of these nodes and of no others. Of too many nodes some are left out.
    pub(super) fn follow(&self, nodes: &BTreeSet<&str>, means: &Means<'_>) {
        let mut offers = self.offers();
        if offers.len() > MOST_OFFERS {
            offers.retain(|name, _| nodes.contains(name.as_str()));
        }
        drop(offers);
        let mut followed = self.followed();
        followed.retain(|name, _| nodes.contains(name.as_str()));
        for node in nodes {
            if followed.len() >= LIMIT {
                break;
            }
            if !followed.contains_key(*node) {
                followed.insert((*node).to_owned(), begin(node, means));
            }
        }
    }

    /// What is known of the nodes that are watched.
    pub(super) fn known(&self, now: Time) -> BTreeMap<String, Tenancies> {
        let offers = self.offers();
        let of = |(name, followed): (&String, &Followed)| {
            let offers = offers.get(name).copied();
            (name.clone(), Tenancies { offers, tenants: followed.tenants.known(now) })
        };
        self.followed().iter().map(of).collect()
    }

    fn offers(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followed(&self) -> MutexGuard<'_, BTreeMap<String, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begin(node: &str, means: &Means<'_>) -> Followed {
    let tenants = Arc::new(Watched::default());
    let table = Table { wake: Arc::clone(means.wake), name: format!("pods on {node}"), prefix: String::new() };
    tenants.expect(&table.name);
    let api = means.lists.all::<core::Pod>();
    // Without pages: API servers before 1.33 read those from etcd, past their index of pods by node.
    let config = watcher::Config { page_size: None, ..watcher::Config::default() };
    let config = config.fields(&format!("spec.nodeName={node}"));
    let (fed, namespaces) = (Arc::clone(&tenants), means.namespaces.to_vec());
    let task = tokio::spawn(async move {
        let key = full_name;
        table.follow_with(api, config, key, &fed, |pod| tenant(&pod.whole(), &namespaces)).await;
    });
    Followed { tenants, task: task.abort_handle() }
}

fn full_name(pod: &Part<core::Pod>) -> String {
    [pod.namespace().unwrap_or_default().as_str(), "/", &pod.name_any()].concat()
}

/// The row of a pod; `None` for one that has finished.
pub(super) fn tenant(pod: &core::Pod, namespaces: &[String]) -> Option<Tenant> {
    let row = any_pod(pod);
    if row.phase == Phase::Finished {
        return None;
    }
    let asks = pod.spec.as_ref().map(|spec| requests(spec, pod.status.as_ref())).unwrap_or_default();
    let is_protected = namespaces.iter().any(|namespace| **namespace == *row.namespace);
    Some(Tenant {
        pod: row.full_name(),
        application: !is_protected && row.owner != Owner::DaemonSet && !is_mirror(pod),
        room: Room { cpu: asks.cpu, memory: asks.memory, pods: 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(change: impl Fn(&mut Value)) -> Option<Tenant> {
        let mut object = json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "250m", "memory": "1Mi"}}}]},
            "status": {"phase": "Running"}
        });
        change(&mut object);
        tenant(&serde_json::from_value(object).unwrap(), &["kube-system".to_owned()])
    }

    #[test]
    fn an_application_is_what_neither_the_cluster_nor_a_daemon_set_brings() {
        let daemon =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]);
        let owned = row(|pod| pod["metadata"]["ownerReferences"] = daemon.clone());
        let protected = row(|pod| pod["metadata"]["namespace"] = json!("kube-system"));
        let mirror = row(|pod| pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"}));
        for (tenant, application) in [(row(|_| {}), true), (owned, false), (protected, false), (mirror, false)] {
            let tenant = tenant.unwrap();
            assert_eq!(tenant.application, application, "{tenant:?}");
            assert_eq!(tenant.room, Room { cpu: 250, memory: 1 << 20, pods: 1 });
        }
        assert_eq!(row(|pod| pod["status"]["phase"] = json!("Succeeded")), None);
    }
}
