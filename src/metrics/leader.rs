//! Whether this process leads. Never decides it: whoever holds the lease does.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::sheet::Sheet;
use crate::leadership::Leadership;

/// Whether this process leads, as it is when somebody asks.
#[derive(Debug)]
pub(super) struct Leader(pub(super) Leadership);

impl Leader {
    pub(super) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl Collector for Leader {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        Sheet::new(encoder).gauge(
            "leader",
            "1 in the process that leads and makes passes, 0 in any other",
            self.0.leads().into(),
        )
    }
}
