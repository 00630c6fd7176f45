//! The node side: what the emulator asks of whatever stands behind its pools. Never decides when a pool changes.

mod admission;
mod budgets;
mod cluster;
mod deallocated;
mod drain;
mod faulty;
mod issuer;
mod kubelet;
mod kubernetes;
mod machine;
pub(crate) mod names;
mod none;
mod object;
mod reconcile;
pub(crate) mod victims;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use cluster::ClusterSide;
pub(crate) use drain::must_leave;
pub(crate) use faulty::{FaultyNodes, said};
pub use issuer::IssuerKeys;
pub use kubernetes::KubernetesNodes;
pub(crate) use kubernetes::instance;
pub(crate) use machine::{family as machine_family, size as machine_size};
pub use none::NoNodes;
pub(crate) use object::{POOL_LABEL, new_node};

/// What a pool's nodes should look like, taken from its ARM document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePool {
    /// Subscription of the cluster.
    pub subscription: String,
    /// Resource group of the nodes.
    pub node_resource_group: String,
    /// Azure region.
    pub location: String,
    /// Name of the pool.
    pub name: String,
    /// Name of the scale set behind it: `aks-<pool>-<8 digits>-vmss`.
    pub scale_set: String,
    /// `System`, `User`, ...
    pub mode: String,
    /// VM size.
    pub vm_size: String,
    /// `Linux` or `Windows`.
    pub os_type: String,
    /// `Ubuntu`, `AzureLinux`, ...
    pub os_sku: String,
    /// Node image.
    pub node_image_version: String,
    /// Kubernetes version that runs on the nodes.
    pub kubernetes_version: String,
    /// Most pods on one node.
    pub max_pods: u64,
    /// The pool's own labels.
    pub labels: BTreeMap<String, String>,
    /// The pool's own taints, `key=value:Effect`.
    pub taints: Vec<String>,
    /// Taints that a node gets once, when it is created.
    pub initialization_taints: Vec<String>,
    /// Availability zones; empty for a pool without.
    pub zones: Vec<String>,
    /// Whether its nodes are spot machines.
    pub spot: bool,
}

/// Label keys and taints of the pool that nodes may carry from an earlier write, so that those which the pool no
/// longer has can be told from foreign ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Label keys.
    pub labels: BTreeSet<String>,
    /// Taints, `key=value:Effect`.
    pub taints: BTreeSet<String>,
}

/// A node of a pool, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Node name.
    pub name: String,
    /// Number of the instance in its scale set.
    pub number: u64,
    /// Zone, if the pool has zones.
    pub zone: Option<String>,
    /// Whether the node reports Ready.
    pub ready: bool,
    /// IP addresses that the node reports; none until then.
    pub addresses: Vec<String>,
}

/// A node to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    /// Number of the instance in its scale set; never used twice.
    pub number: u64,
    /// Zone, if the pool has zones.
    pub zone: Option<String>,
}

/// What a rolling change must know of a node beside its [`Instance`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// What tells the node from a later one of its name.
    pub uid: String,
    /// Whether it was quarantined and nobody has taken the label off.
    pub quarantined: bool,
}

/// Why the node side could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Pods did not leave in time.
    #[error("node {node} was not drained within {timeout:?}: pods [{}] remain", pods.join(", "))]
    DrainTimedOut {
        /// The node.
        node: String,
        /// The pods that remain, sorted.
        pods: Vec<String>,
        /// How long it was tried.
        timeout: Duration,
    },
    /// The API server refused or could not be reached.
    #[error("cannot {action} {object}")]
    Kubernetes {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        object: String,
        /// What the API server or the connection said.
        source: Box<kube::Error>,
    },
}

/// Machines that are stopped and kept when their pool scales in. Their nodes are not among those that
/// [`NodeSide::list`] gives.
#[async_trait]
pub trait Deallocation: Send + Sync {
    /// The nodes of the pool whose machines are deallocated.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if they cannot be read.
    async fn deallocated(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError>;

    /// Stops the machine of a drained node and keeps the node, not Ready.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be written.
    async fn deallocate(&self, node: &str) -> Result<(), NodeError>;

    /// Starts the machine of a deallocated node, which is open for pods again. Without `reporting` it does not report
    /// Ready until [`NodeSide::set_reporting`] lets it.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be written.
    async fn restart(&self, pool: &NodePool, node: &str, reporting: bool) -> Result<(), NodeError>;
}

/// The machines behind the pools. Each call may be repeated after a crash: creating a node that exists and deleting
/// one that is gone succeed.
#[async_trait]
pub trait NodeSide: Send + Sync + 'static {
    /// The nodes of the pool.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if they cannot be read.
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError>;

    /// Creates a node; it need not be Ready yet.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be created.
    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError>;

    /// Creates a node that does not report Ready until [`NodeSide::set_reporting`] lets it; a node side that has no say
    /// in that creates it as ever.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be created.
    async fn create_silent(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.create(pool, instance).await
    }

    /// Makes a node's kubelet stop to report, or report again, if the node side has a say in that.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be written.
    async fn set_reporting(&self, _node: &str, _reporting: bool) -> Result<(), NodeError> {
        Ok(())
    }

    /// Writes the pool's labels, taints and mode onto all its nodes in place. What is in `applied` and no longer in
    /// the pool goes; labels and taints that never were the pool's stay.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if a node cannot be written.
    async fn write(&self, pool: &NodePool, applied: &Applied) -> Result<(), NodeError>;

    /// Marks a node unschedulable.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be written.
    async fn cordon(&self, node: &str) -> Result<(), NodeError>;

    /// Moves pods off a node, except those of `DaemonSets` and static ones. With `budgets` through the eviction API,
    /// which asks the disruption budgets; without, pods are simply deleted.
    ///
    /// # Errors
    /// [`NodeError::DrainTimedOut`] if pods remain when `timeout` is over, [`NodeError::Kubernetes`] if the API
    /// server refuses.
    async fn drain(&self, node: &str, budgets: bool, timeout: Duration) -> Result<(), NodeError>;

    /// What the issuer of service account tokens publishes, or `None` where there is no issuer.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if it cannot be read.
    async fn issuer_keys(&self) -> Result<Option<IssuerKeys>, NodeError> {
        Ok(None)
    }

    /// The disruption budgets of the service's add-ons, in `kube-system`, that would not allow all of these nodes to
    /// go now. Nothing is evicted.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if budgets or pods cannot be read.
    async fn budgets_against(&self, nodes: &[String]) -> Result<Vec<String>, NodeError>;

    /// Deletes a node and whatever pods remain on it, as when its machine goes away.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the API server refuses.
    async fn delete(&self, node: &str) -> Result<(), NodeError>;

    /// What there is to know of the pool's nodes for a rolling change, by name.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if they cannot be read.
    async fn marks(&self, pool: &NodePool) -> Result<BTreeMap<String, Mark>, NodeError>;

    /// Marks a node schedulable.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be written.
    async fn uncordon(&self, node: &str) -> Result<(), NodeError>;

    /// Cordons a node and labels it `kubernetes.azure.com/upgrade-status: Quarantined`.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the node cannot be written.
    async fn quarantine(&self, node: &str) -> Result<(), NodeError>;

    /// Reimages an instance: the node with this UID goes with its pods, and one of the same name comes as the pool has
    /// it now. A node of that name with another UID is the one that came, and stays.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the API server refuses.
    async fn replace(&self, pool: &NodePool, instance: &NewInstance, uid: &str) -> Result<(), NodeError>;

    /// Machines that are kept, deallocated; `None` for a node side that can only delete them.
    fn deallocation(&self) -> Option<&dyn Deallocation> {
        None
    }

    /// The cluster around the nodes; `None` for a node side without pods.
    fn cluster(&self) -> Option<&dyn ClusterSide> {
        None
    }
}
