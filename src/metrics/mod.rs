//! What the operator counts, as `OpenMetrics` text over HTTP. Never counts by itself: each part offers its own figures.

mod cluster;
mod figures;
mod leader;
mod passed_rules;
mod policies;
mod routes;
mod sheet;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod untold;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use figures::Figures;
pub use passed_rules::PassedRules;
pub use routes::routes;
pub use untold::Untold;

use self::leader::Leader;
use crate::arm::ArmClient;
use crate::leadership::Leadership;

/// The beginning of all names.
const PREFIX: &str = "nodepool_operator";

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

/// The parts that count.
pub struct Parts<'a> {
    /// Requests to ARM and what is left of their budgets.
    pub arm: &'a ArmClient,
    /// Rules that a person let a change pass.
    pub passed_rules: &'a PassedRules,
    /// Whether this process leads.
    pub leadership: &'a Leadership,
    /// What passes find and do.
    pub figures: &'a Figures,
}

impl Metrics {
    /// What these parts count.
    #[must_use]
    pub fn new(parts: &Parts<'_>) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        parts.arm.register(&mut registry);
        parts.passed_rules.register(&mut registry);
        Leader(parts.leadership.clone()).register(&mut registry);
        parts.figures.register(&mut registry);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the operator", build);
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
