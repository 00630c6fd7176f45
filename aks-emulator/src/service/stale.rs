//! Reads of the managed cluster that lag behind. Never affects reads of pools or any write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Cluster;

type Clusters = BTreeMap<String, Cluster>;

/// The clusters as they were, if reads lag now. The newest freeze that is still held counts.
#[derive(Debug, Default)]
pub(crate) struct Stale(Mutex<Vec<Weak<Clusters>>>);

/// Keeps GETs of the managed cluster at an older state until it is dropped.
#[derive(Debug)]
#[must_use = "reads are up to date as soon as this is dropped"]
pub struct StaleClusters {
    clusters: Arc<Clusters>,
}

impl StaleClusters {
    /// How many clusters are kept.
    pub(crate) fn count(&self) -> usize {
        self.clusters.len()
    }
}

impl Stale {
    pub(crate) fn freeze(&self, clusters: Clusters) -> StaleClusters {
        let clusters = Arc::new(clusters);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&clusters));
        StaleClusters { clusters }
    }

    /// The older state of a cluster, if reads lag.
    pub(crate) fn cluster(&self, key: &str) -> Option<Cluster> {
        let mut frozen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frozen.retain(|clusters| clusters.strong_count() > 0);
        frozen.last().and_then(Weak::upgrade)?.get(key).cloned()
    }
}
