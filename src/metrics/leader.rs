//! Whether this process leads. Never decides it: whoever holds the lease says so.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::sheet::Sheet;

/// Whether this process leads; not before it is told so. A copy tells the same.
#[derive(Debug, Clone, Default)]
pub struct Leading(Arc<AtomicBool>);

impl Leading {
    /// Takes note that this process leads, or leads no longer.
    pub fn set(&self, leads: bool) {
        self.0.store(leads, Ordering::Relaxed);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Leading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let leads = self.0.load(Ordering::Relaxed);
        Sheet::new(encoder).gauge(
            "leader",
            "1 in the process that leads and makes passes, 0 in any other",
            leads.into(),
        )
    }
}
