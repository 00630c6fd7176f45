//! The world as it was seen, as plain values: what was read, when, and what could not be. Never decides anything.

mod budget;
mod dependent;
mod node;
mod occupancy;
mod places;
mod pod;
mod pool;
mod rows;
mod upgradable;
mod workload;

pub use budget::{Budget, BudgetStatus, UnhealthyPods};
pub use dependent::{Dependent, Tie};
pub use node::{DrainMark, Node, Readiness};
pub use occupancy::{Occupancy, Occupant};
pub use places::Places;
pub use pod::{Controller, Owner, Phase, Pod};
pub use pool::{AgentPool, Autoscaling, Mode, Os, PoolFailure, PoolKind, Power, ProvisioningState};
pub use rows::Rows;
pub use upgradable::Upgradable;
pub use workload::Workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bulk::BulkChange;
use crate::intent::Intent;
use crate::known::Known;
use crate::step::Step;
use crate::time::Time;
use crate::version::Version;

/// Everything that planning and guarding rest on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The time of the pass.
    pub now: Time,
    /// Whether somebody has paused all writes (`NodePoolInventory`, `spec.paused`).
    pub paused: Known<bool>,
    /// Pools that were deleted, stopped or emptied lately, as far as that has been recorded.
    pub bulk: Known<Vec<BulkChange>>,
    /// The policies.
    pub intents: Known<Vec<Intent>>,
    /// The managed cluster and its pools, as ARM reports them.
    pub cluster: Known<Cluster>,
    /// The service account issuer that this API server reports of itself.
    pub issuer: Known<String>,
    /// All nodes of the Kubernetes cluster.
    pub nodes: Known<Rows<Node>>,
    /// The protected pods, wherever they run.
    pub pods: Known<Rows<Pod>>,
    /// The disruption budgets of the protected namespaces.
    pub budgets: Known<Vec<Budget>>,
    /// The Deployments of the protected namespaces.
    pub workloads: Known<Vec<Workload>>,
    /// Where pods could run. It is read when a step moves pods, so that it is mostly unknown.
    pub places: Known<Arc<Places>>,
    /// Writes that ARM accepted from this process and that have not been observed yet.
    pub in_flight: Vec<InFlight>,
    /// Pods that depend on a pool, by pool: read only for pools that are to go. A pool that is not named has not been read.
    pub dependents: BTreeMap<String, Known<Vec<Dependent>>>,
    /// What runs on nodes that are being drained, by pool: read only where a drain is planned or under way.
    pub occupancy: BTreeMap<String, Known<Occupancy>>,
    /// What upgrades depend on besides, by pool: read only where one is planned. A pool that is not named has not been read.
    pub upgradable: BTreeMap<String, Known<Upgradable>>,
}

/// The managed cluster as ARM reports it (`managedClusters` GET).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The ARM resource id.
    pub id: String,
    /// The subscription id, from the resource id.
    pub subscription: String,
    /// `properties.nodeResourceGroup`.
    pub node_resource_group: Option<String>,
    /// `properties.oidcIssuerProfile.issuerURL`.
    pub issuer_url: Option<String>,
    /// `properties.provisioningState` of the cluster itself.
    pub state: ProvisioningState,
    /// `properties.powerState` of the cluster.
    pub power: Power,
    /// `properties.networkProfile.loadBalancerSku`.
    pub load_balancer_sku: Option<String>,
    /// `properties.currentKubernetesVersion`, else `kubernetesVersion`: what the control plane runs.
    pub version: Option<Version>,
    /// `properties.agentPoolProfiles`.
    pub pools: Vec<AgentPool>,
}

impl Cluster {
    /// The pool of that name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&AgentPool> {
        self.pools.iter().find(|pool| pool.name == name)
    }
}

/// A write that ARM accepted and whose effect has not been observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// What was asked for.
    pub step: Step,
    /// When ARM accepted it.
    pub since: Time,
}
