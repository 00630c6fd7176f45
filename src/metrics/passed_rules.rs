//! How many changes a person let pass a safety rule, by rule. Never knows which.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The counters. A copy counts to the same ones.
#[derive(Debug, Clone, Default)]
pub struct PassedRules(Family<OfRule, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRule {
    rule: &'static str,
}

impl PassedRules {
    /// Counts a change that this rule lets pass.
    pub fn count(&self, rule: &'static str) {
        self.0.get_or_create(&OfRule { rule }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("rules_passed", "Changes that a person let pass a safety rule", self.0.clone());
    }
}
