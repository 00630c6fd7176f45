//! What could not be written to the API server, by what it is. Never knows why, which the log tells.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What people, or a later process, are not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// The status of a policy.
    PolicyStatus,
    /// The inventory, which is created or whose status is written.
    Inventory,
    /// An event.
    Event,
    /// The finalizer of a policy.
    Finalizer,
}

impl Untold {
    const fn name(self) -> &'static str {
        match self {
            Self::PolicyStatus => "policy_status",
            Self::Inventory => "inventory",
            Self::Event => "event",
            Self::Finalizer => "finalizer",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    what: &'static str,
}

/// The counters. A copy counts to the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Unheard(Family<OfKind, Counter>);

impl Unheard {
    pub(super) fn count(&self, what: Untold) {
        self.0.get_or_create(&OfKind { what: what.name() }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "What could not be written to the API server although people or a later process need it";
        registry.register("untold", help, self.0.clone());
    }
}
