//! The status of a `NodePoolPolicy`: what was seen, planned, refused and done. Never holds secrets or signed URLs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::break_glass::BreakGlassUse;
use super::node_image::NodeImageUpgrade;

/// What the operator last saw, planned and did.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolPolicyStatus {
    /// The generation of the policy that this status is about; -1 until it was looked at for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up. `Reconciling` says that it may still become so by itself, `Stalled` that somebody has to do
    /// something. `InSync` is False while the pool differs, `Safe` is False while a step is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many nodes the policy asks for: a number, or the autoscaler's bounds. Absent where it asks for neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
    /// The pool as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<ObservedPool>,
    /// What is still to be done, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlannedSteps>,
    /// Steps that may not be made, with every rule that they break.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusedStep>,
    /// A policy of another pool as JSON, while the pool can't become what this policy asks for (`ImmutableField`): to be looked at
    /// and applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// The operation that runs on the pool, whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Where the pool differs from the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftedField>,
    /// The last steps and what became of them, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Label keys that this policy owns: they are removed from the pool when the policy names them no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owned_labels: Vec<String>,
    /// Tag keys that this policy owns: they are removed from the pool when the policy names them no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owned_tags: Vec<String>,
    /// Whether the pool's autoscaler is this policy's, which names its bounds or has named them before: a `count` turns it off
    /// then. Absent for `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owns_autoscaler: bool,
    /// Whether the annotation `aks.nodepool.dev/allow-bulk-change` has been made use of: it lets one change pass, and another one
    /// when it has been taken away and set again. Absent for `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bulk_allowance_used: bool,
    /// What has become of the annotation `aks.nodepool.dev/break-glass`, while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassUse>,
    /// The last write that came to nothing, and when the next one is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The value of the annotation `reconcile.fluxcd.io/requestedAt` for which Azure was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The upgrade of the node image that was asked for by annotation and is not answered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_image_upgrade: Option<NodeImageUpgrade>,
    /// The last value of the annotation `aks.nodepool.dev/upgrade-node-image` that was answered: the pool had the latest image,
    /// or got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_node_image_upgrade: Option<String>,
}

/// A condition, as in `meta/v1`.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The condition's type.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one word.
    pub reason: String,
    /// Why, and what to do, for a person.
    pub message: String,
    /// When the status last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The generation that the condition is about.
    pub observed_generation: i64,
}

/// Whether a condition holds.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

/// The types of conditions.
pub mod condition {
    /// Sums up: the pool is as the policy asks, or as it may be.
    pub const READY: &str = "Ready";
    /// The operator is at it, or waits for something that may pass by itself.
    pub const RECONCILING: &str = "Reconciling";
    /// Somebody has to do something.
    pub const STALLED: &str = "Stalled";
    /// The pool does not differ from the policy.
    pub const IN_SYNC: &str = "InSync";
    /// No planned step is refused.
    pub const SAFE: &str = "Safe";
    /// Of the inventory: the system pools and the add-ons are as the rules want them.
    pub const SYSTEM_HEALTHY: &str = "SystemHealthy";
    /// Of the inventory: all writes are paused.
    pub const PAUSED: &str = "Paused";
}

/// What became of a step, as history and attempts have it.
pub mod outcome {
    /// Azure took the write.
    pub const STARTED: &str = "Started";
    /// The operation succeeded.
    pub const SUCCEEDED: &str = "Succeeded";
    /// The operation failed.
    pub const FAILED: &str = "Failed";
    /// The operation was aborted.
    pub const CANCELED: &str = "Canceled";
    /// Azure did not take the write.
    pub const REFUSED: &str = "RefusedByAzure";
    /// The answer was lost.
    pub const UNKNOWN: &str = "Unknown";
    /// The answer was lost, and nothing had happened.
    pub const NOT_DONE: &str = "NotDone";
    /// A drain could not go on, and its nodes are opened again.
    pub const GIVEN_UP: &str = "GivenUp";
    /// The step was about to be made although it breaks a rule, which a person let it pass.
    pub const RULE_PASSED: &str = "RulePassed";
}

/// The pool as ARM and Kubernetes show it.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedPool {
    /// The pool's name.
    pub name: String,
    /// The mode in ARM.
    pub mode: String,
    /// The number of nodes in ARM.
    pub count: i32,
    /// The fewest nodes that the autoscaler may leave, if it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_count: Option<i32>,
    /// The most nodes that the autoscaler may make, if it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_count: Option<i32>,
    /// Nodes that are Ready in Kubernetes; absent while the nodes have not been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_nodes: Option<i32>,
    /// The state of the last operation in ARM, for example `Succeeded`.
    pub provisioning_state: String,
    /// Whether the machines run, as ARM has it, for example `Stopped`; absent while they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<String>,
    /// The Kubernetes version that runs, if ARM reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// The image of the nodes, if ARM reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_image: Option<String>,
    /// The Kubernetes versions that AKS offers the pool; told while an upgrade is planned that nothing else stands against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub available_upgrades: Vec<String>,
    /// The availability zones in ARM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The taints in ARM, as `key=value:Effect`, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<String>,
    /// The labels in ARM, as `key=value`, those that the policy does not name too, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What is still to be done.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlannedSteps {
    /// Names this plan: the same steps have the same hash. Example: `3fa1c09b7d42e815`.
    #[serde(default)]
    pub hash: String,
    /// The steps, in the order in which they are made.
    pub steps: Vec<PlannedStep>,
}

/// A step that is still to be made.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The step in words.
    pub step: String,
    /// The field of the spec that it is about.
    pub field: String,
    /// What it may do to what runs: `None`, `Scheduling` (pods that run stay; where new ones are placed may change), or `Disruptive`
    /// (pods may be evicted or started again, or nodes go).
    pub risk: String,
    /// How long such a step usually takes in Azure, if that is known. Example: `about 4 minutes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usually_takes: Option<String>,
}

/// A rule that a planned step breaks.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedStep {
    /// The step.
    pub step: String,
    /// The rule that it breaks.
    pub rule: String,
    /// What was found.
    pub message: String,
    /// What would help.
    pub remedy: String,
    /// Protected pods concerned, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
}

/// An operation that runs on the pool, or a drain of its nodes.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// ARM's name for it, for example `Scaling`; `Draining` while nodes are cordoned for this policy.
    pub kind: String,
    /// When the operator first saw it.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// The step that started it; absent when it was not this policy's. Of a drain: what is next, and what that waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The field of the spec that the step is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Who started it, as far as can be told: `ThisPolicy`, or `Unknown` for anybody else, whom Azure does not name.
    pub started_by: String,
    /// How much of it is done, from 0 to 100, as far as the nodes show it; absent where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// The id by which Azure's support finds the request that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl Operation {
    /// Who started an operation of this policy's.
    pub const THIS_POLICY: &str = "ThisPolicy";
    /// Who started any other.
    pub const UNKNOWN: &str = "Unknown";

    /// The kind of a drain, which is no operation in Azure.
    pub const DRAINING: &str = "Draining";

    /// Whether it is a drain.
    #[must_use]
    pub fn is_drain(&self) -> bool {
        self.kind == Self::DRAINING
    }

    /// Whether the pool has all its nodes only a while after it has ended in ARM: it makes the pool or starts it.
    #[must_use]
    pub fn brings_nodes(&self) -> bool {
        self.creates() || self.starts()
    }

    /// Whether it starts the pool, by this policy's step or anybody's hand.
    #[must_use]
    pub fn starts(&self) -> bool {
        let is_power = self.field.as_deref() == Some("powerState");
        let by_step = is_power && self.step.as_deref().is_some_and(|step| step.starts_with("start"));
        by_step || self.kind.eq_ignore_ascii_case("Starting")
    }

    /// Whether it makes the pool, by this policy's step or anybody's hand.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.field.as_deref() == Some("create") || self.kind.eq_ignore_ascii_case("Creating")
    }
}

/// A field of the spec that the pool differs in.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftedField {
    /// The field.
    pub field: String,
    /// What the policy asks for; of labels and tags, the entries that differ. Example: `3`.
    pub wanted: String,
    /// What the pool has. Example: `2`.
    pub found: String,
    /// How Azure would take a change of it, where the pool is another than the template: `InPlace`, `Rolling`, `Replace` or
    /// `Forbidden`. Absent where that is not known, and for all other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Since when it differs, as far as the operator has seen.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Whether the pool was changed by somebody else while the policy stayed as it was. Absent for `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed_elsewhere: bool,
}

/// Something that was done.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// The field of the spec that it was about.
    pub field: String,
    /// The step.
    pub step: String,
    /// What became of it: `Started`, `Succeeded`, `Failed`, `Canceled`, `RefusedByAzure`; `Unknown` when Azure's answer
    /// was lost, and `NotDone` when it then turned out that nothing had happened; `GivenUp` for a drain that could not go on; `RulePassed` before it
    /// was made although it breaks a rule, which a person let it pass.
    pub outcome: String,
    /// Azure's code, when there is one; of a drain that was given up, the rule that refuses it, or `DrainTimedOut`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What Azure says to it; of a drain that was given up, what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The id by which Azure's support finds the request that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// A write that came to nothing.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// What became of it: `RefusedByAzure`, `Failed` if its operation failed, `Canceled` if it was aborted, `GivenUp` for a
    /// drain that could not go on.
    #[serde(default)]
    pub outcome: String,
    /// How many times in a row.
    pub failures: i32,
    /// The generation of the policy that was acted on.
    pub generation: i64,
    /// When the next attempt is due; absent if there is none until the policy changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub next: Option<String>,
    /// Azure's code; of a drain, the rule that refuses it, or `DrainTimedOut`.
    pub code: String,
    /// Azure's message; of a drain, what was found.
    pub message: String,
    /// What can be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The id by which Azure's support finds the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl NodePoolPolicyStatus {
    /// The condition of that type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}
