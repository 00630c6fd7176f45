//! What many pods have alike, kept once. Never changes what a row says.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use nodepool_kernel::placement::Labels;
use nodepool_kernel::{Controller, Pod, Toleration};

/// What rows have in common: the pods of one workload are alike, and there may be tens of thousands.
#[derive(Default)]
pub struct Sharing {
    names: Shared<str>,
    tolerations: Shared<Vec<Toleration>>,
    selects: Shared<BTreeSet<String>>,
    labels: Shared<Labels>,
    controllers: Shared<Controller>,
}

impl Sharing {
    /// The row, with what others have too.
    pub fn row(&self, mut row: Pod) -> Pod {
        row.namespace = self.names.share(row.namespace);
        row.node = row.node.map(|node| self.names.share(node));
        row.tolerations = self.tolerations.share(row.tolerations);
        row.selects = self.selects.share(row.selects);
        row.labels = self.labels.share(row.labels);
        row.controller = row.controller.map(|controller| self.controllers.share(controller));
        row
    }
}

struct Shared<T: ?Sized>(Mutex<Kept<T>>);

struct Kept<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// With so many values, those that nobody uses any more are dropped.
    tidy_at: usize,
}

/// So few values are not worth a look at who uses them.
const FEW: usize = 256;

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(Kept { values: HashSet::new(), tidy_at: FEW }))
    }
}

impl<T: Eq + Hash + ?Sized> Shared<T> {
    fn share(&self, value: Arc<T>) -> Arc<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.values.get(&value) {
            return Arc::clone(known);
        }
        if kept.values.len() >= kept.tidy_at {
            kept.values.retain(|value| Arc::strong_count(value) > 1);
            kept.tidy_at = FEW.max(kept.values.len().saturating_mul(2));
        }
        kept.values.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_are_dropped() {
        let shared: Shared<String> = Shared::default();
        let first = shared.share(Arc::new("a".to_owned()));
        let second = shared.share(Arc::new("a".to_owned()));
        assert!(Arc::ptr_eq(&first, &second));
        for number in 0..10 * FEW {
            shared.share(Arc::new(number.to_string()));
        }
        let kept = shared.0.lock().unwrap();
        assert!(kept.values.len() <= FEW + 1 && kept.values.contains(&first), "{}", kept.values.len());
    }

    #[test]
    fn values_in_use_stay() {
        let shared: Shared<usize> = Shared::default();
        let used: Vec<_> = (0..4 * FEW).map(|number| shared.share(Arc::new(number))).collect();
        assert!(used.iter().all(|value| Arc::ptr_eq(value, &shared.share(Arc::new(**value)))));
    }
}
