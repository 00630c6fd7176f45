//! `NodePoolPolicy` as people write it. Never holds defaults: a field that is absent is not managed.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::NodePoolPolicyStatus;
use super::template::PoolTemplate;
use super::upgrade::Upgrade;

/// What a node pool of this AKS cluster should be like. Fields that are absent are neither compared nor changed.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[kube(
    group = "aks.nodepool.dev",
    version = "v1alpha1",
    kind = "NodePoolPolicy",
    plural = "nodepoolpolicies",
    shortname = "npp",
    category = "aks",
    status = "NodePoolPolicyStatus",
    scale(spec_replicas_path = ".spec.count", status_replicas_path = ".status.pool.count"),
    derive = "PartialEq",
    doc = "NodePoolPolicy says what one node pool of this AKS cluster should be like. The operator drives the pool there through the Azure Resource Manager and refuses every change that would leave the cluster without a healthy system pool or evict protected pods.",
    validation = Rule::new("has(self.spec.poolName) || self.metadata.name.matches('^[a-z][a-z0-9]{0,11}$')").message("metadata.name is taken as the pool's name and is not one: set spec.poolName, or use 1 to 12 lower-case letters and digits that begin with a letter"),
    validation = Rule::new("!has(self.spec.template) || !has(self.spec.template.osType) || self.spec.template.osType != 'Windows' || (has(self.spec.poolName) ? size(self.spec.poolName) : size(self.metadata.name)) <= 6").message("the pool's name is too long for spec.template.osType Windows: set spec.poolName to at most 6 characters"),
    printcolumn(name = "Pool", type_ = "string", json_path = ".status.pool.name"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.pool.mode"),
    printcolumn(name = "Desired", type_ = "string", json_path = ".status.desired"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.pool.count"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Ready-Nodes", type_ = "integer", json_path = ".status.pool.readyNodes", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.pool.kubernetesVersion", priority = 1),
    printcolumn(name = "Azure", type_ = "string", json_path = ".status.pool.provisioningState", priority = 1),
    printcolumn(name = "In-Sync", type_ = "string", json_path = ".status.conditions[?(@.type==\"InSync\")].status", priority = 1),
    printcolumn(name = "Safe", type_ = "string", json_path = ".status.conditions[?(@.type==\"Safe\")].status", priority = 1),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.plan.steps[0].step", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.poolName) == has(oldSelf.poolName) && (!has(self.poolName) || self.poolName == oldSelf.poolName)").message("spec.poolName can't be changed: delete this policy (the pool stays unless spec.deletionPolicy is Delete) and create another"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.count) || self.count >= 1").message("spec.count of a system pool must be at least 1"))]
#[x_kube(validation = Rule::new("!has(self.count) || !has(self.autoscaling)").message("spec.count and spec.autoscaling can't both be set: remove one"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.autoscaling) || self.autoscaling.minCount >= 1").message("spec.autoscaling.minCount of a system pool must be at least 1"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.template) || !has(self.template.osType) || self.template.osType == 'Linux'").message("spec.template.osType Windows does not fit spec.mode System, since the cluster's add-ons need Linux: set mode to User, or osType to Linux"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.template) || !has(self.template.priority) || self.template.priority == 'Regular'").message("spec.template.priority Spot does not fit spec.mode System, since Azure takes Spot machines away: set mode to User, or priority to Regular"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.template) || !has(self.template.maxPods) || self.template.maxPods >= 30").message("spec.template.maxPods is too small for spec.mode System: set it to at least 30, or mode to User"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.powerState) || self.powerState != 'Stopped'").message("spec.powerState Stopped does not fit spec.mode System, since AKS does not stop system pools: set mode to User, or powerState to Running"))]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'System' || !has(self.upgrade) || !has(self.upgrade.maxUnavailable) || self.upgrade.maxUnavailable in ['0', '0%']").message("spec.upgrade.maxUnavailable does not fit spec.mode System, since AKS lets no node of a system pool be missing: set it to \"0\", and maxSurge to at least 1"))]
#[x_kube(validation = Rule::new("!has(self.template) || !has(self.template.priority) || self.template.priority != 'Spot' || !has(self.upgrade) || !has(self.upgrade.maxSurge)").message("spec.upgrade.maxSurge does not fit spec.template.priority Spot, since Spot pools can't set max surge: leave maxSurge out"))]
pub struct NodePoolPolicySpec {
    /// The pool's name in AKS. Without it the policy's own name is the pool's. Can't be changed. Example: `apps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z][a-z0-9]{0,11}$"))]
    pub pool_name: Option<String>,

    /// `Enforce` drives the pool to this policy. `Observe` plans, reports drift and refusals, and never writes.
    /// Without it: `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,

    /// `true` stops all work on this policy until it is set back; the status is kept up to date. Without it: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// `System` pools host the cluster's own add-ons, `User` pools applications. A change takes some seconds in AKS
    /// and restarts nothing; taking the mode `System` away is refused while protected pods run on the pool, unless
    /// `disruption` lets them be moved first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,

    /// How many nodes the pool has, 0 to 1000, at least 1 for system pools. New nodes take minutes. Of a system pool, and of
    /// one that protected pods run on, the operator chooses, drains and removes the nodes that a smaller count costs (see
    /// `disruption`); of others AKS does. Not together with `autoscaling`, whose place it takes: then it turns the
    /// autoscaler off first. Leave it out where somebody else autoscales the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub count: Option<i32>,

    /// The cluster autoscaler of the pool is on and keeps the number of nodes within these bounds; the number itself is
    /// not compared then. Not together with `count`. A new pool begins with the minimum. To turn the autoscaler off again,
    /// set `count` in its place; without either both are left as they are. Example: `{minCount: 3, maxCount: 6}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// All taints of the pool's nodes; an empty list removes them. Written onto existing nodes at once: `NoExecute`
    /// evicts pods that do not tolerate it without asking disruption budgets. Taints that AKS keeps itself
    /// (`kubernetes.azure.com/...`) stay. Example: `[{key: CriticalAddonsOnly, value: "true", effect: NoSchedule}]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    // Atomic, not a list map: a server-side apply that empties a list map removes the whole field, so that the operator
    // could not tell "no taints" from "not managed".
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a.key == b.key && a.effect == b.effect))").message("two taints have the same key and effect: remove one"))]
    pub taints: Option<Vec<Taint>>,

    /// Labels of the pool's nodes, written onto existing nodes at once. A key that this policy once named and names
    /// no longer is removed; keys that it never named are left alone. Example: `{tier: web}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels_schema")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('kubernetes.azure.com/'))").message("label keys under kubernetes.azure.com/ belong to AKS: choose another prefix"))]
    #[x_kube(validation = Rule::new("self.all(key, !key.matches('^([^/]*[.])?(kubernetes|k8s)[.]io/') || key.matches('^([^/]*[.])?(kubelet|node)[.]kubernetes[.]io/'))").message("AKS accepts label keys under kubernetes.io or k8s.io only below kubelet.kubernetes.io or node.kubernetes.io: choose another prefix"))]
    #[x_kube(validation = Rule::new("self.all(key, size(key) <= 317 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))").message("label keys are an optional DNS prefix with a slash and a name of at most 63 letters, digits, '-', '_' and '.', which begins and ends with a letter or digit"))]
    pub labels: Option<BTreeMap<String, String>>,

    /// Azure's tags of the pool and its machines, which no node shows. A key that this policy once named and names no
    /// longer is removed; keys that it never named are left alone. The case of a key makes no difference to Azure. Tags are
    /// readable by many: put no secrets into them. Example: `{cost-center: platform}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tags_schema")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(key, size(key) >= 1 && size(key) <= 512 && !key.matches(r'[<>%&?/\\\\]'))").message("tag keys have 1 to 512 characters, and Azure refuses <, >, %, &, \\, ? and / in them"))]
    #[x_kube(validation = Rule::new("self.all(key, !key.matches('(?i)^(microsoft|azure|windows|aks-managed)'))").message("tag keys that begin with microsoft, azure or windows belong to Azure, those that begin with aks-managed to AKS: choose another key"))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a.lowerAscii() == b.lowerAscii()))").message("two tag keys differ in case only, which makes no difference to Azure: remove one"))]
    pub tags: Option<BTreeMap<String, String>>,

    /// `Stopped` stops all machines of a user pool, which is judged as the removal of all of its nodes; `Running` starts them
    /// again, as many as there were, which takes minutes. While the pool is stopped nothing else of it is changed: what
    /// differs is told and made when it runs. Without it, a pool that is stopped is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// The Kubernetes version of the nodes: a minor such as `1.34`, which any of its patches fulfils, a patch such as `1.34.2`, or
    /// `ControlPlane`, which follows the control plane. AKS replaces the nodes one after the other, which takes minutes each. A
    /// version newer than the control plane's waits for it; a pool that runs a newer version than this is left as it is; an
    /// upgrade of a system pool takes `disruption.systemPods: Relocate`. Example: `"1.34"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = Rule::new("self == 'ControlPlane' || self.matches('^[1-9][0-9]?[.](0|[1-9][0-9]{0,3})([.](0|[1-9][0-9]{0,3}))?$')").message("spec.kubernetesVersion is a minor such as 1.34, a patch such as 1.34.2, or ControlPlane"))]
    pub kubernetes_version: Option<String>,

    /// How AKS takes upgrades through the pool. A change disturbs nothing by itself; settings that are absent are left alone.
    /// Example: `{maxSurge: "33%", drainTimeoutMinutes: 30}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,

    /// What the pool is created from if it does not exist, which also needs `count` or `autoscaling`; without it, a pool
    /// that does not exist is not created. A pool that exists is compared with it and never changed for it. A pool that is
    /// deleted while its policy has a template is created again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PoolTemplate>,

    /// What deleting this object does to the pool. `Orphan` leaves the pool as it is. `Delete` deletes it: the object
    /// stays until the pool is gone, or with the reason in its status while that is refused; AKS drains the nodes. The pool
    /// is left as it is also if another policy names it, or this one is suspended or only observes. Without it: `Orphan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// What may be disturbed on the way to what this policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,
}

/// What may be disturbed on the way to what the policy asks for.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// What may become of protected pods that run on nodes which are to go, on a pool that is to be deleted, or on a system
    /// pool that is to become a user pool. `Protect` leaves them where they are: only nodes and pools without such pods are
    /// removed, and a demotion is refused. `Relocate` moves them: the nodes are cordoned, the pods evicted one by one as their
    /// disruption budgets allow, each when the one before runs elsewhere. Without it: `Protect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_pods: Option<SystemPods>,
}

/// What may become of protected pods that run on nodes which are to go, on a pool that is to be deleted, or on a system pool
/// that is to become a user pool. `Protect` leaves them where they are: only nodes and pools without such pods are removed, and
/// a demotion is refused. `Relocate` moves them: the nodes are cordoned, the pods evicted one by one as their disruption budgets
/// allow, each when the one before runs elsewhere. Without it: `Protect`.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemPods {
    /// They stay where they are.
    Protect,
    /// They are moved one by one.
    Relocate,
}

/// The bounds of the cluster autoscaler of the pool.
#[derive(KubeSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minCount <= self.maxCount").message("spec.autoscaling.minCount is greater than maxCount: set it to at most maxCount"))]
pub struct Autoscaling {
    /// The fewest nodes, 0 to 1000, at least 1 for system pools. On a system pool it counts as what may be left at any
    /// time: less than there are now is judged as the removal of the others.
    #[schemars(range(min = 0, max = 1000))]
    pub min_count: i32,
    /// The most nodes, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_count: i32,
}

/// What deleting this object does to the pool. `Orphan` leaves the pool as it is. `Delete` deletes it: the object stays until
/// the pool is gone, or with the reason in its status while that is refused; AKS drains the nodes. The pool is left as it is
/// also if another policy names it, or this one is suspended or only observes. Without it: `Orphan`.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Leaves the pool as it is.
    Orphan,
    /// Deletes the pool with all of its nodes.
    Delete,
}

/// `Enforce` drives the pool to this policy. `Observe` plans, reports drift and refusals, and never writes. Without it:
/// `Enforce`.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// Drives the pool to the policy.
    Enforce,
    /// Reports, and never writes.
    Observe,
}

/// `System` pools host the cluster's own add-ons, `User` pools applications. A change takes some seconds in AKS and
/// restarts nothing; taking the mode `System` away is refused while protected pods run on the pool.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// For the cluster's own add-ons.
    System,
    /// For applications.
    User,
}

/// Whether the machines of the pool run. `Stopped` stops all machines of a user pool, which is judged as the removal of all of
/// its nodes; `Running` starts them again, as many as there were, which takes minutes. While the pool is stopped nothing else
/// of it is changed: what differs is told and made when it runs. Without it, a pool that is stopped is left alone.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerState {
    /// They run.
    Running,
    /// They are stopped.
    Stopped,
}

/// A taint of all nodes of the pool, as in `core/v1`.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!self.key.startsWith('kubernetes.azure.com/')").message("taint keys under kubernetes.azure.com/ belong to AKS: choose another key"))]
pub struct Taint {
    /// The key. Example: `CriticalAddonsOnly`.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9][-A-Za-z0-9_./]*$"))]
    pub key: String,
    /// The value; absent or empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = "^([A-Za-z0-9][-A-Za-z0-9_.]*)?$"))]
    pub value: Option<String>,
    /// `NoSchedule` keeps new pods away, `PreferNoSchedule` if there is another place, `NoExecute` also evicts.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaintEffect {
    /// Keeps new pods away.
    NoSchedule,
    /// Keeps new pods away if there is another place.
    PreferNoSchedule,
    /// Keeps new pods away and evicts running ones.
    NoExecute,
}

impl NodePoolPolicy {
    /// The pool that the policy is about.
    #[must_use]
    pub fn pool_name(&self) -> &str {
        self.spec.pool_name.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

/// Labels with the bounds that make the rules over them affordable for the API server.
fn labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
        }
    })
}

/// Tags with Azure's bounds.
fn tags_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": { "type": "string", "maxLength": 256 }
    })
}
