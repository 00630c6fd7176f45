//! Protected pods and disruption budgets as the kernel needs them. Never holds what no rule reads.

use std::collections::BTreeSet;

use crate::taint::{Taint, Toleration};

/// A protected pod: one in a protected namespace that is neither finished nor a static mirror pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.nodeName`; `None` while it is pending.
    pub node: Option<String>,
    /// Who controls the pod.
    pub owner: Owner,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// Keys of node labels that its node selector or required node affinity reads.
    pub selects: BTreeSet<String>,
}

/// Who controls a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A DaemonSet: the pod goes with its node and needs no other place.
    DaemonSet,
    /// Anything else, or nothing.
    Other,
}

impl Pod {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        [self.namespace.as_str(), "/", &self.name].concat()
    }

    /// Whether the pod would keep running for good on a node that carries `taint`.
    ///
    /// The taint manager takes the first toleration that matches; here none that matches may be for some seconds
    /// only, so that the order of tolerations does not decide.
    #[must_use]
    pub fn stays_under(&self, taint: &Taint) -> bool {
        let mut matching = self.tolerations.iter().filter(|toleration| toleration.matches(taint)).peekable();
        matching.peek().is_some() && matching.all(|toleration| toleration.stays_under(taint))
    }
}

/// A PodDisruptionBudget of a protected namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `status.disruptionsAllowed`; `None` when the status is absent or behind the generation, which blocks.
    pub allowed: Option<u32>,
}
