//! Nodes as the kernel needs them. Never holds heartbeats or anything else that changes without meaning.

use crate::taint::Taint;
use crate::time::Time;

/// A Kubernetes node.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, no two of them form a state")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// The agent pool, from the label `kubernetes.azure.com/agentpool` (or the older `agentpool`).
    pub pool: Option<String>,
    /// Whether the label `kubernetes.azure.com/mode` is `system`.
    pub labelled_system: bool,
    /// Whether AKS quarantined it after a failed drain (label `kubernetes.azure.com/upgrade-status: Quarantined`).
    pub quarantined: bool,
    /// The Ready condition.
    pub readiness: Readiness,
    /// `metadata.creationTimestamp`.
    pub joined: Time,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `spec.providerID`.
    pub provider_id: Option<String>,
    /// The kubelet's version, for example `v1.33.5`.
    pub kubelet_version: String,
    /// The node image, from the label `kubernetes.azure.com/node-image-version`.
    pub image_version: Option<String>,
    /// The zone, from the label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// For whose sake this operator cordoned it, from the annotation that came with the cordon.
    pub drain: Option<Box<DrainMark>>,
}

/// What the annotation of a node says that this operator cordoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainMark {
    /// The policy.
    pub policy: String,
    /// What the drain is for, in words.
    pub plan: String,
    /// When the node was cordoned.
    pub since: Time,
}

impl Node {
    /// The mark of the drain for which this operator cordoned it. One that is in use again has been taken back by somebody.
    #[must_use]
    pub fn drained(&self) -> Option<&DrainMark> {
        self.drain.as_deref().filter(|_| self.cordoned)
    }

    /// Whether it is cordoned for the sake of that policy.
    #[must_use]
    pub fn is_drained_for(&self, policy: &str) -> bool {
        self.drained().is_some_and(|mark| mark.policy == policy)
    }

    /// Whether the node is proven to be none of Azure's, for example a virtual one.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        let is_azure = |id: &str| id.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("azure:"));
        self.provider_id.as_deref().is_some_and(|id| !id.is_empty() && !is_azure(id))
    }
}

/// The Ready condition of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// `True` since that time.
    Ready {
        /// `lastTransitionTime`.
        since: Time,
    },
    /// `False` or `Unknown` since that time, or absent (`since` is then the time the node joined).
    NotReady {
        /// `lastTransitionTime`.
        since: Time,
    },
}
