//! What a cluster and its pools look like at the start, as a person describes them. Never the state afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::service::validate;
use crate::{Error, Identity};

/// A managed cluster to start with. In YAML or JSON the fields are in camel case and all but `pools` may be left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Subscription id.
    pub subscription: String,
    /// Tenant of the subscription.
    pub tenant: String,
    /// Who may sign in; by default one identity of the name `local`, see [`Identity::local`]. Not kept in a state file.
    pub identities: Vec<Identity>,
    /// Resource group of the cluster.
    pub resource_group: String,
    /// Name of the cluster.
    pub name: String,
    /// Azure region, such as `westeurope`.
    pub location: String,
    /// Resource group of the nodes; by default `MC_<group>_<cluster>_<location>`.
    pub node_resource_group: Option<String>,
    /// Current Kubernetes version of the control plane, with its patch.
    pub kubernetes_version: String,
    /// The version that was asked for; by default the current one without its patch.
    pub requested_version: Option<String>,
    /// Service account issuer (`oidcIssuerProfile.issuerURL`); without one the profile is disabled.
    pub issuer_url: Option<String>,
    /// `resourceUID`, which tells a cluster from one of the same name that was deleted; by default derived from the
    /// resource id.
    pub resource_uid: Option<String>,
    /// Release of the newest node images, such as `202602.10.0`; by default that of the newest recording, which the
    /// pools start with in any case.
    pub latest_node_image: Option<String>,
    /// vCPUs that the pools may have of each VM family; more is refused with `ErrCode_InsufficientVCPUQuota`.
    pub vcpu_quota: Option<u64>,
    /// VM sizes that the location offers; a new pool of another is refused. By default all.
    pub vm_sizes: Option<Vec<String>>,
    /// The pools, in the order of `agentPoolProfiles`.
    pub pools: Vec<PoolSpec>,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            subscription: "11111111-2222-3333-4444-555555555555".to_owned(),
            tenant: "22222222-3333-4444-5555-666666666666".to_owned(),
            identities: vec![Identity::local()],
            resource_group: "local".to_owned(),
            name: "local".to_owned(),
            location: "westeurope".to_owned(),
            node_resource_group: None,
            kubernetes_version: "1.33.5".to_owned(),
            requested_version: None,
            issuer_url: None,
            resource_uid: None,
            vcpu_quota: None,
            vm_sizes: None,
            latest_node_image: None,
            pools: Vec::new(),
        }
    }
}

impl ClusterSpec {
    /// The default cluster with these pools.
    #[must_use]
    pub fn with_pools(pools: impl IntoIterator<Item = PoolSpec>) -> Self {
        Self { pools: pools.into_iter().collect(), ..Self::default() }
    }

    /// The ARM id of the cluster.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
            self.subscription, self.resource_group, self.name
        )
    }

    /// The resource group of the nodes, given or derived.
    #[must_use]
    pub fn node_resource_group(&self) -> String {
        self.node_resource_group
            .clone()
            .unwrap_or_else(|| format!("MC_{}_{}_{}", self.resource_group, self.name, self.location))
    }

    /// The version asked for, given or derived: `1.33` for a current `1.33.5`.
    #[must_use]
    pub fn requested_version(&self) -> String {
        self.requested_version.clone().unwrap_or_else(|| {
            let parts: Vec<&str> = self.kubernetes_version.splitn(3, '.').take(2).collect();
            parts.join(".")
        })
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let words = [
            ("subscription", &self.subscription),
            ("resourceGroup", &self.resource_group),
            ("name", &self.name),
            ("location", &self.location),
            ("tenant", &self.tenant),
        ];
        for (field, value) in words {
            if value.is_empty() || value.contains(['/', '?', '#', ' ']) {
                return Err(Error::setting(
                    field,
                    format!("{value:?}"),
                    "give a name without spaces, '/', '?' and '#'",
                ));
            }
        }
        if validate::minor(&self.kubernetes_version).is_none() {
            return Err(Error::setting(
                "kubernetesVersion",
                format!("{:?}", self.kubernetes_version),
                "give a version such as 1.33.5",
            ));
        }
        if let Some(release) = &self.latest_node_image
            && (release.is_empty() || !release.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        {
            return Err(Error::setting(
                "latestNodeImage",
                format!("{release:?}"),
                "give a release such as 202602.10.0",
            ));
        }
        if self.pools.is_empty() {
            return Err(Error::setting("pools", "empty", "give at least one pool"));
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, pool) in self.pools.iter().enumerate() {
            if !names.insert(&pool.name) {
                return Err(Error::setting(&format!("pools[{index}].name"), &pool.name, "name each pool once"));
            }
        }
        Ok(())
    }
}

/// A node pool to start with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PoolSpec {
    /// Name: 1 to 12 lower-case letters and digits, a letter first.
    pub name: String,
    /// `System`, `User`, or another mode that the service knows.
    pub mode: String,
    /// Number of nodes.
    pub count: u32,
    /// VM size of the nodes.
    pub vm_size: String,
    /// `Linux` or `Windows`.
    pub os_type: String,
    /// Taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Minimum and maximum of the cluster autoscaler, if it owns the count.
    pub autoscaling: Option<(u32, u32)>,
    /// Version asked for; by default the cluster's.
    pub orchestrator_version: Option<String>,
    /// Version that runs; by default the cluster's.
    pub current_version: Option<String>,
    /// Availability zones, such as `1`, `2`, `3`.
    pub zones: Vec<String>,
    /// `VirtualMachineScaleSets` or `VirtualMachines`.
    pub kind: String,
    /// Most pods on one node.
    pub max_pods: u32,
    /// Whether its nodes are spot machines.
    pub spot: bool,
    /// Whether the pool is stopped; `count` is what it returns to when started.
    pub stopped: bool,
    /// Any other properties of the ARM API, such as `upgradeSettings`, checked as in a PUT.
    pub properties: Map<String, Value>,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            name: "pool".to_owned(),
            mode: "User".to_owned(),
            count: 1,
            vm_size: "Standard_D4ds_v5".to_owned(),
            os_type: "Linux".to_owned(),
            taints: Vec::new(),
            labels: BTreeMap::new(),
            autoscaling: None,
            orchestrator_version: None,
            current_version: None,
            zones: Vec::new(),
            kind: "VirtualMachineScaleSets".to_owned(),
            max_pods: 250,
            spot: false,
            stopped: false,
            properties: Map::new(),
        }
    }
}

impl PoolSpec {
    /// A Linux pool of mode System with this many nodes.
    #[must_use]
    pub fn system(name: &str, count: u32) -> Self {
        Self { name: name.to_owned(), mode: "System".to_owned(), count, ..Self::default() }
    }

    /// A Linux pool of mode User with this many nodes.
    #[must_use]
    pub fn user(name: &str, count: u32) -> Self {
        Self { mode: "User".to_owned(), ..Self::system(name, count) }
    }

    /// The same with a further taint, `key=value:Effect`.
    #[must_use]
    pub fn taint(mut self, taint: &str) -> Self {
        self.taints.push(taint.to_owned());
        self
    }

    /// The same with a further label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with the cluster autoscaler owning the count.
    #[must_use]
    pub fn autoscaling(mut self, min: u32, max: u32) -> Self {
        self.autoscaling = Some((min, max));
        self
    }

    /// The same with another VM size.
    #[must_use]
    pub fn vm_size(mut self, size: &str) -> Self {
        size.clone_into(&mut self.vm_size);
        self
    }

    /// The same with availability zones.
    #[must_use]
    pub fn zones(mut self, zones: &[&str]) -> Self {
        self.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        self
    }

    /// The same with a requested and a current version.
    #[must_use]
    pub fn versions(mut self, requested: &str, current: &str) -> Self {
        self.orchestrator_version = Some(requested.to_owned());
        self.current_version = Some(current.to_owned());
        self
    }
}
