//! What the operator counts, as `OpenMetrics` text over HTTP. Never counts by itself: each part offers its own counters.

mod passed_rules;
mod routes;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use passed_rules::PassedRules;
pub use routes::routes;

use crate::arm::ArmClient;

/// The beginning of all names.
const PREFIX: &str = "nodepool_operator";

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// What these parts count.
    #[must_use]
    pub fn new(arm: &ArmClient, passed_rules: &PassedRules) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        arm.register(&mut registry);
        passed_rules.register(&mut registry);
        Self { registry }
    }

    /// The counters as they stand, as `OpenMetrics` text.
    ///
    /// # Errors
    /// A part could not write what it counted.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
