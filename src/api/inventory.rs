//! `NodePoolInventory` as people write it: the one object that shows the whole cluster, and pauses all writes. Never asks for
//! anything of a pool.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::inventory_status::NodePoolInventoryStatus;

/// The name of the only inventory that there is.
pub const INVENTORY: &str = "cluster";

/// What a person asks of the operator as a whole.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[kube(
    group = "aks.nodepool.dev",
    version = "v1alpha1",
    kind = "NodePoolInventory",
    plural = "nodepoolinventories",
    shortname = "npi",
    category = "aks",
    status = "NodePoolInventoryStatus",
    derive = "PartialEq",
    doc = "NodePoolInventory shows this AKS cluster at a glance: which cluster it is, how its system pools stand, every pool and its policy, and what is worth a look. There is one, named cluster, which the operator creates. spec.paused stops every write of the operator.",
    validation = Rule::new("self.metadata.name == 'cluster'").message("there is one NodePoolInventory: name it cluster"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".status.cluster.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "System pools", type_ = "string", json_path = ".status.summary.systemPools", description = "Healthy ones of all"),
    printcolumn(name = "Usable nodes", type_ = "string", json_path = ".status.summary.usableNodes", description = "Usable system nodes of all"),
    printcolumn(name = "Pools", type_ = "integer", json_path = ".status.summary.pools"),
    printcolumn(name = "Without policy", type_ = "integer", json_path = ".status.summary.withoutPolicy"),
    printcolumn(name = "Findings", type_ = "integer", json_path = ".status.summary.findings"),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.conditions[?(@.type==\"Paused\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolInventorySpec {
    /// `true` stops every write of the operator to Azure, to nodes and to pods, for all policies, until it is set back.
    /// Statuses are kept up to date. A drain that has begun stands still, with its nodes cordoned. Without it: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// What the operator logs, at once and until it is changed: a level, or levels of parts of the program. Without it: what its
    /// setting `--log` says. Example: `nodepool_operator=debug`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub log: Option<String>,
}
