//! The limits that an operator's administrator sets for the whole cluster. Never read from the environment here.

use crate::time::Span;

/// Cluster-wide settings of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The floor: usable system nodes that must remain in the cluster, over all system pools.
    pub min_ready_system_nodes: u32,
    /// How long a system node must have been Ready before it counts as usable.
    pub ready_for: Span,
    /// The oldest view that a decision may rest on.
    pub stale_after: Span,
    /// How many steps may run side by side.
    pub steps_in_parallel: usize,
    /// How often a failed operation is tried again before somebody has to look.
    pub repairs: u32,
    /// How long a step that takes away system capacity may wait for others before no other disruptive step begins.
    pub priority_after: Span,
    /// Names of the Deployments in protected namespaces that must run as wished before a system pool is disturbed.
    pub required_add_ons: Vec<String>,
    /// How long they must have done so.
    pub add_ons_stable_for: Span,
    /// How long nodes may be cordoned for a drain before it is given up.
    pub drain_deadline: Span,
    /// The api-version that ARM is spoken to in, which decides what can be changed on a pool that exists.
    pub api_version: String,
    /// How many pools may be deleted, stopped or emptied within the window before a person has to let more pass.
    pub bulk_changes: usize,
    /// The window.
    pub bulk_window: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_ready_system_nodes: 2,
            ready_for: Span::from_secs(60),
            stale_after: Span::from_secs(300),
            steps_in_parallel: 10,
            repairs: 3,
            priority_after: Span::from_secs(300),
            required_add_ons: ["coredns", "konnectivity-agent", "metrics-server"].map(str::to_owned).into(),
            add_ons_stable_for: Span::from_secs(30),
            drain_deadline: Span::from_secs(3600),
            api_version: "2025-10-01".to_owned(),
            bulk_changes: 3,
            bulk_window: Span::from_secs(3600),
        }
    }
}
