//! Disruption budgets as the kernel needs them. Never computes a status: that is the disruption controller's.

use crate::placement::Selector;

/// A PodDisruptionBudget of a protected namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.selector`; `None` when it can't be understood. An absent selector selects nothing, an empty one everything.
    pub selector: Option<Selector>,
    /// `spec.unhealthyPodEvictionPolicy`.
    pub unhealthy: UnhealthyPods,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status`; all zero while there is none.
    pub status: BudgetStatus,
}

/// Whether a budget guards pods that are not Ready (`spec.unhealthyPodEvictionPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnhealthyPods {
    /// `IfHealthyBudget`, also where nothing or something unknown is set: they may go while enough others are healthy.
    #[default]
    IfHealthyBudget,
    /// `AlwaysAllow`: they may always go.
    AlwaysAllow,
}

/// What the disruption controller has counted (`status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetStatus {
    /// `observedGeneration`.
    pub observed_generation: i64,
    /// `disruptionsAllowed`.
    pub allowed: i32,
    /// `currentHealthy`.
    pub healthy: i32,
    /// `desiredHealthy`.
    pub desired: i32,
    /// `expectedPods`.
    pub expected: i32,
    /// How many pods `disruptedPods` names: evicted, and not yet seen to go.
    pub unconfirmed: usize,
}

impl Budget {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether the status is about the budget as it is now.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.status.observed_generation >= self.generation
    }
}
