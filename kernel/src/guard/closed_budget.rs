//! A pod that its disruption budgets do not let go now. Never judges pods together.

use crate::disruption::{Eviction, eviction};
use crate::snapshot::{Budget, Occupancy, Occupant};

/// What keeps a pod from being evicted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closed {
    /// Whether the budget never allows a pod to go as its workload is now.
    pub(super) lasts: bool,
    /// The budget and what is the matter with it, in words.
    pub(super) why: String,
    /// The pod, `namespace/name`.
    pub(super) pod: String,
}

impl Closed {
    /// What the budgets that were read with the pool say of the pod; `None` if it may be evicted.
    pub(super) fn of(occupancy: &Occupancy, it: &Occupant) -> Option<Self> {
        let (budget, why) = match eviction(&it.pod, &occupancy.budgets) {
            Eviction::Evictable => return None,
            Eviction::Blocked { budget, why } => (budget.clone(), format!("budget {budget} {why}")),
            Eviction::Unclear { budget, why } => (budget.clone(), format!("budget {budget} {why}")),
        };
        let may_open = |of: &Budget| of.full_name() == budget && of.status.expected > of.status.desired;
        Some(Self { lasts: !occupancy.budgets.iter().any(may_open), why, pod: it.pod.full_name() })
    }
}
