//! What runs on nodes that are being drained, or are to be. Never says whether it may go.

use std::collections::BTreeSet;

use super::budget::Budget;
use super::pod::{Phase, Pod};
use crate::dependents::Tenancy;

/// All pods of some nodes, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Occupancy {
    /// The nodes that were looked at.
    pub nodes: BTreeSet<String>,
    /// Every pod on them.
    pub pods: Vec<Occupant>,
    /// The disruption budgets of the namespaces of these pods.
    pub budgets: Vec<Budget>,
}

/// A pod on a node that is being drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The pod.
    pub pod: Pod,
    /// `metadata.uid`: another pod may take its name.
    pub uid: String,
    /// Who would start it again.
    pub tenancy: Tenancy,
    /// Whether it is one of the protected pods.
    pub protected: bool,
}

impl Occupant {
    /// Whether the node is not empty while the pod is there: DaemonSet pods and static ones go with their node, finished ones
    /// are no loss.
    #[must_use]
    pub fn holds_node(&self) -> bool {
        self.tenancy != Tenancy::OfNode && self.pod.phase != Phase::Finished
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        self.pod.node.as_deref().unwrap_or_default()
    }
}

impl Occupancy {
    /// The pods that keep these nodes from being empty.
    pub fn on<'a>(&'a self, nodes: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a Occupant> {
        self.pods.iter().filter(|occupant| occupant.holds_node() && nodes.contains(occupant.node()))
    }

    /// Whether all of these nodes were looked at.
    #[must_use]
    pub fn covers(&self, nodes: &BTreeSet<&str>) -> bool {
        nodes.iter().all(|node| self.nodes.contains(*node))
    }
}
