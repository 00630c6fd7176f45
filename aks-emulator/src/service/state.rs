//! What the service knows: clusters by resource id, their pools, and operations. Never decides anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::capacity::Limits;
use super::operation::Operation;
use super::rolling::{Rolling, Used};
use crate::Applied;

/// Everything that is kept across a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Clusters by resource id in lower case.
    pub(crate) clusters: BTreeMap<String, Cluster>,
    /// Operations by their id.
    pub(crate) operations: BTreeMap<String, Operation>,
    /// Whether the nodes that the cluster starts with were created.
    pub(crate) populated: bool,
    /// The service's time as of the latest change, the one that is being made included.
    #[serde(default)]
    pub(crate) time: Timestamp,
    /// The upgrade that AKS makes on its own, while it runs.
    #[serde(default)]
    pub(crate) auto_upgrade: Option<AutoUpgrade>,
}

/// An upgrade of the control plane and then of all pools.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AutoUpgrade {
    pub(crate) version: String,
    pub(crate) started: Timestamp,
}

impl State {
    pub(crate) fn running(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().filter(|operation| operation.is_running())
    }
}

/// A managed cluster as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Resource id as it was given.
    pub id: String,
    /// Subscription id.
    pub subscription: String,
    /// Resource group.
    pub resource_group: String,
    /// Name.
    pub name: String,
    /// Azure region.
    pub location: String,
    /// `properties` of the managed cluster, except `agentPoolProfiles`, which follow from the pools.
    pub properties: Map<String, Value>,
    /// Release of the newest node images, such as `202602.10.0`; by default that of the newest recording.
    #[serde(default)]
    pub latest_node_image: Option<String>,
    /// What a GET shows beside `properties`: `identity`, `sku`, and `tags` if there are some.
    #[serde(default)]
    pub members: Map<String, Value>,
    /// What there is room for.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// The pools, in the order of `agentPoolProfiles`.
    pub pools: Vec<Pool>,
    /// The pools that stopped with the cluster, and start with it.
    #[serde(default)]
    pub(crate) stopped_pools: Vec<String>,
}

impl Cluster {
    /// A pool by its name, in any case.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name.eq_ignore_ascii_case(name))
    }

    /// A pool by its name, to be changed.
    pub fn pool_mut(&mut self, name: &str) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| pool.name.eq_ignore_ascii_case(name))
    }

    /// Sets a property of the cluster, such as `provisioningState`.
    pub fn set(&mut self, property: &str, value: impl Into<Value>) {
        self.properties.insert(property.to_owned(), value.into());
    }

    pub(crate) fn text(&self, property: &str) -> &str {
        text(&self.properties, property)
    }
}

/// A node pool as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// `properties` of the agent pool.
    pub properties: Map<String, Value>,
    /// Labels and taints that nodes may carry from earlier writes.
    pub(crate) applied: Applied,
    /// The count to return to when a stopped pool is started.
    pub(crate) count_when_started: Option<u64>,
    /// Number that the next instance of the scale set gets.
    pub(crate) next_instance: u64,
    /// How many machines it has deallocated and kept.
    #[serde(default)]
    pub(crate) deallocated: u64,
    /// When its deletion was asked for, while that runs.
    pub(crate) deletion_started: Option<Timestamp>,
    /// A change that has not reached all nodes.
    #[serde(default)]
    pub(crate) rolling: Option<Rolling>,
    /// What it can be rolled back to.
    #[serde(default)]
    pub(crate) recently_used: Vec<Used>,
}

impl Pool {
    /// Sets a property, such as `mode` or `provisioningState`.
    pub fn set(&mut self, property: &str, value: impl Into<Value>) {
        self.properties.insert(property.to_owned(), value.into());
    }

    /// A property, if it has one.
    #[must_use]
    pub fn get(&self, property: &str) -> Option<&Value> {
        self.properties.get(property)
    }

    pub(crate) fn text(&self, property: &str) -> &str {
        text(&self.properties, property)
    }

    pub(crate) fn is_system(&self) -> bool {
        self.text("mode") == "System"
    }
}

/// A property that is a string, or an empty string.
pub(crate) fn text<'a>(properties: &'a Map<String, Value>, property: &str) -> &'a str {
    properties.get(property).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a provisioning state is one that an operation ends in.
pub(crate) fn is_terminal(state: &str) -> bool {
    matches!(state, "Succeeded" | "Failed" | "Canceled")
}
