//! The bulk changes of late: what the inventory's status says of them, and what this process has added since. Never forgets one
//! that may have been made.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nodepool_kernel::{BulkChange, Known, Time};

use super::Store;
use super::inventory::InventoryRow;

/// So many records of one pool are kept: the last write may have come to nothing, and then the one before counts.
const OF_ONE_POOL: usize = 2;

/// What this process has done to the record, which the watch may not show yet.
#[derive(Debug, Default)]
pub(super) struct BulkLog(Mutex<Edits>);

#[derive(Debug, Default)]
struct Edits {
    added: Vec<BulkChange>,
    /// Changes that were recorded and never sent.
    withdrawn: Vec<BulkChange>,
}

impl BulkLog {
    fn lock(&self) -> MutexGuard<'_, Edits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Pools that were deleted, stopped or emptied lately; unknown while the inventory is.
    #[must_use]
    pub fn bulk_changes(&self, now: Time) -> Known<Vec<BulkChange>> {
        let (at, stored, lost) = match self.inventory(now) {
            Known::Unknown { reason } => return Known::Unknown { reason },
            Known::Seen { at, value: None, lost } => (at, Vec::new(), lost),
            Known::Seen { value: Some(InventoryRow { bulk: Err(reason), .. }), .. } => {
                return Known::Unknown { reason };
            }
            Known::Seen { at, value: Some(InventoryRow { bulk: Ok(stored), .. }), lost } => (at, stored, lost),
        };
        let edits = self.bulk.lock();
        let mut all: Vec<BulkChange> =
            stored.into_iter().filter(|change| !edits.withdrawn.contains(change)).chain(edits.added.clone()).collect();
        all.sort_by(|a, b| (a.at, a).cmp(&(b.at, b)));
        all.dedup();
        Known::Seen { at, value: all, lost }
    }

    /// Takes note of a change that has been recorded and is about to be sent.
    pub fn add_bulk_change(&self, change: BulkChange) {
        self.bulk.lock().added.push(change);
    }

    /// Takes a change back that was not sent.
    pub fn withdraw_bulk_change(&self, change: &BulkChange) {
        let mut edits = self.bulk.lock();
        edits.added.retain(|other| other != change);
        edits.withdrawn.push(change.clone());
    }

    /// Forgets what is no longer of account: changes before that time.
    pub fn forget_bulk_changes(&self, before: Time) {
        let mut edits = self.bulk.lock();
        edits.added.retain(|change| change.at >= before);
        edits.withdrawn.retain(|change| change.at >= before);
    }
}

/// What is worth keeping of the record: changes since that time, and of each pool the last few.
#[must_use]
pub fn worth_keeping(changes: Vec<BulkChange>, since: Time) -> Vec<BulkChange> {
    let mut kept: Vec<BulkChange> = Vec::new();
    for change in changes.into_iter().rev().filter(|change| change.at >= since) {
        if kept.iter().filter(|other| other.pool == change.pool).count() < OF_ONE_POOL {
            kept.push(change);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::BulkKind;

    use super::*;
    use crate::api::{INVENTORY, NodePoolInventoryStatus};

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn change(pool: &str, at: i64) -> BulkChange {
        let at = Time::from_millis(NOW.as_millis() + at);
        BulkChange { pool: pool.into(), policy: "p".into(), kind: BulkKind::Stopped, at, told: String::new() }
    }

    fn store(bulk: Option<Result<Vec<BulkChange>, String>>) -> Store {
        let store = Store::default();
        store.inventory.expect("w");
        store.inventory.relist("w");
        if let Some(bulk) = bulk {
            let row = InventoryRow {
                log: None,
                uid: None,
                generation: 1,
                paused: Ok(false),
                status: NodePoolInventoryStatus::default(),
                bulk,
            };
            store.inventory.apply(INVENTORY, row);
        }
        store.inventory.listed("w", NOW, |_| true);
        store
    }

    #[test]
    fn what_was_stored_and_what_was_added_count_and_what_was_withdrawn_does_not() {
        let store = store(Some(Ok(vec![change("a", 1), change("b", 2)])));
        store.add_bulk_change(change("c", 3));
        store.add_bulk_change(change("a", 1));
        assert_eq!(store.bulk_changes(NOW).value().unwrap(), &[change("a", 1), change("b", 2), change("c", 3)]);
        store.withdraw_bulk_change(&change("c", 3));
        store.withdraw_bulk_change(&change("b", 2));
        assert_eq!(store.bulk_changes(NOW).value().unwrap(), &[change("a", 1)]);
        store.forget_bulk_changes(change("", 3).at);
        assert_eq!(store.bulk_changes(NOW).value().unwrap(), &[change("a", 1), change("b", 2)], "as it is stored");
    }

    #[test]
    fn a_record_that_can_not_be_read_is_not_an_empty_one() {
        assert!(Store::default().bulk_changes(NOW).value().is_none());
        assert!(store(Some(Err("odd".into()))).bulk_changes(NOW).value().is_none());
        let absent = store(None);
        absent.add_bulk_change(change("a", 1));
        assert_eq!(absent.bulk_changes(NOW).value().unwrap(), &[change("a", 1)], "the process remembers");
    }

    #[test]
    fn old_changes_and_older_ones_of_the_same_pool_are_not_kept() {
        let all = vec![change("a", 1), change("a", 2), change("b", 3), change("a", 4)];
        assert_eq!(worth_keeping(all.clone(), NOW), [change("a", 2), change("b", 3), change("a", 4)]);
        assert_eq!(worth_keeping(all, change("", 3).at), [change("b", 3), change("a", 4)]);
    }
}
