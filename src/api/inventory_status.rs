//! The status of the `NodePoolInventory`: the cluster as it was seen. Never holds what changes without meaning, such as ages.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bulk::BulkChangeEntry;
use super::status::Condition;

/// The cluster as it was last seen, by Azure and by Kubernetes.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolInventoryStatus {
    /// The generation of the inventory that this status is about; -1 until it was looked at for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` says that the cluster is proven to be this one and everything was seen. `SystemHealthy` is about the system
    /// pools and the add-ons, `Paused` about `spec.paused`. `Reconciling` and `Stalled` as in policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The numbers that `kubectl get npi` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Which cluster it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterIdentity>,
    /// What hosts the cluster's own add-ons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemHealth>,
    /// Every pool in Azure, by name; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolEntry>,
    /// How many pools there are beyond those that are listed; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_pools: Option<i32>,
    /// What is worth a look, warnings first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What could not be seen, so that nothing is said about it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Pools that were deleted, stopped or scaled to zero lately, which the rule `BulkChangeFuse` counts. What lies before its
    /// window goes with the next of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bulk_changes: Vec<BulkChangeEntry>,
}

/// The numbers that `kubectl get npi` shows.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Pools in Azure.
    pub pools: i32,
    /// Healthy system pools of all system pools, for example `1/2`; `?` for what is not known.
    pub system_pools: String,
    /// Usable system nodes of all that system pools should have, for example `3/3`; `?` for what is not known.
    pub usable_nodes: String,
    /// Pools that no policy names; absent while policies have not been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_policy: Option<i32>,
    /// Findings that are warnings.
    pub findings: i32,
}

/// Which cluster it is, and how that is known.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterIdentity {
    /// The name in Azure.
    pub name: String,
    /// The resource id in Azure.
    #[serde(rename = "resourceID")]
    pub resource_id: String,
    /// Whether Azure's cluster is proven to be the one that the operator runs in. Nothing is written unless it is.
    pub proven: bool,
    /// By what it is proven, or why it is not.
    pub proof: String,
    /// The state of the cluster's last operation in Azure, for example `Succeeded`.
    pub provisioning_state: String,
    /// Whether the cluster runs, for example `Running`.
    pub power_state: String,
    /// The version of the control plane, if Azure reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
}

/// What hosts the cluster's own add-ons, as the safety rules count it: with whatever is in progress at its worst.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemHealth {
    /// System pools that have at least one usable node and can be relied upon.
    pub healthy_pools: i32,
    /// System nodes that add-ons can run on.
    pub usable_nodes: i32,
    /// Usable system nodes that must always remain.
    pub floor: i32,
    /// The sum of the fixed and minimum counts of the system pools.
    pub guaranteed_nodes: i32,
    /// What is left on the usable system nodes beside what all pods there ask for; absent while these are not all seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<Headroom>,
    /// The add-ons that must run as wished before a system pool is disturbed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_ons: Vec<AddOn>,
    /// System pools of which not all nodes can be counted on, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
}

/// What is left on the usable system nodes, over all of them together.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Headroom {
    /// Processors, for example `3.4 of 5.7 cores`.
    pub cpu: String,
    /// Memory, for example `6.1 of 13.2 GiB`.
    pub memory: String,
    /// Pods, for example `60 of 90`.
    pub pods: String,
}

/// An add-on that the cluster depends on.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddOn {
    /// The Deployment, `namespace/name`.
    pub name: String,
    /// Ready pods of those that it should have, for example `2/2`.
    pub ready: String,
    /// Its pods that are not Ready, at most five, with what is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
}

/// A pool as Azure and Kubernetes show it.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolEntry {
    /// The name.
    pub name: String,
    /// The mode.
    pub mode: String,
    /// The number of nodes in Azure; absent for a pool of a kind that is not managed, which may say it elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// Nodes that are Ready in Kubernetes; absent while the nodes have not been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_nodes: Option<i32>,
    /// The policy that governs it; absent if there is none, or policies have not been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The size of its machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
    /// The zones that it was made for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The Kubernetes version that runs, if Azure reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// Whether that is older than the control plane's. Absent for `false`, and for what is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind_control_plane: bool,
    /// The images of its nodes, newest last, at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_images: Vec<String>,
    /// The taints in Azure, as `key=value:Effect`, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<String>,
    /// The fewest nodes that the autoscaler may leave, if it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_count: Option<i32>,
    /// The most nodes that the autoscaler may make, if it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_count: Option<i32>,
    /// Whether its machines run, for example `Running`.
    pub power_state: String,
    /// The state of the last operation in Azure, for example `Succeeded`.
    pub provisioning_state: String,
}

/// Something that is worth a look.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is, as one stable word.
    pub reason: String,
    /// Whether somebody should do something.
    pub severity: FindingSeverity,
    /// What was found: pools, nodes and pods by name.
    pub message: String,
    /// What can be done about it.
    pub remedy: String,
}

/// Whether somebody should do something about a finding.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FindingSeverity {
    /// Somebody should.
    Warning,
    /// It is good to know.
    Information,
}

impl NodePoolInventoryStatus {
    /// The condition of that type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// The finding of that reason.
    #[must_use]
    pub fn finding(&self, reason: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.reason == reason)
    }
}
