//! Rows that watches keep up to date, and how current they are. Never takes half a list for a whole one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodepool_kernel::{Known, Time};

/// Why rows are unknown that nothing keeps from arriving.
const DUE: &str = "the first list has not arrived yet";

/// Rows of one kind from one or more watches (one a namespace).
pub struct Watched<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    rows: BTreeMap<Box<str>, Row<T>>,
    /// Watches that have not delivered a complete list yet, or have lost their connection, and why.
    troubled: BTreeMap<String, String>,
    /// The last time at which every watch was known to be connected.
    whole_at: Option<Time>,
    /// How many lists have begun.
    lists: u64,
    /// Which list a watch is at, by its number.
    relisted: BTreeMap<String, u64>,
}

struct Row<T> {
    value: T,
    /// How many lists had begun when it was last told.
    told: u64,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        let (rows, troubled, relisted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { inner: Mutex::new(Inner { rows, troubled, whole_at: None, lists: 0, relisted }) }
    }
}

impl<T: Clone + PartialEq> Watched<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a watch; the rows are unknown until it has delivered its list.
    pub fn expect(&self, watch: &str) {
        self.lock().troubled.insert(watch.to_owned(), DUE.to_owned());
    }

    /// Whether a watch has still to deliver its first list, and nothing is known to keep it from that.
    pub fn is_due(&self) -> bool {
        self.lock().troubled.values().any(|reason| reason == DUE)
    }

    /// Takes note that a watch begins a new list.
    pub fn relist(&self, watch: &str) {
        let mut inner = self.lock();
        inner.lists = inner.lists.saturating_add(1);
        let list = inner.lists;
        inner.relisted.insert(watch.to_owned(), list);
    }

    /// Takes a row; tells whether it is new or different.
    pub fn apply(&self, key: &str, row: T) -> bool {
        self.replace(key, row, |old, new| old != new)
    }

    /// Takes a row; tells whether `differs` finds it different.
    pub fn replace(&self, key: &str, row: T, differs: impl Fn(&T, &T) -> bool) -> bool {
        let mut inner = self.lock();
        let row = Row { value: row, told: inner.lists };
        match inner.rows.get_mut(key) {
            Some(old) => {
                let changed = differs(&old.value, &row.value);
                *old = row;
                changed
            }
            None => inner.rows.insert(key.into(), row).is_none(),
        }
    }

    /// The row of that key.
    pub fn get(&self, key: &str) -> Option<T> {
        self.lock().rows.get(key).map(|row| row.value.clone())
    }

    /// Removes a row; tells whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        self.lock().rows.remove(key).is_some()
    }

    /// Takes note that a watch's list is complete; rows that it did not name are gone. `belongs` tells which rows are
    /// the watch's. Tells whether anything changed.
    pub fn listed(&self, watch: &str, now: Time, belongs: impl Fn(&str) -> bool) -> bool {
        let mut inner = self.lock();
        let list = inner.relisted.remove(watch);
        let before = inner.rows.len();
        inner.rows.retain(|key, row| list.is_some_and(|list| row.told >= list) || !belongs(key));
        let recovered = inner.troubled.remove(watch).is_some();
        if inner.troubled.is_empty() {
            inner.whole_at = Some(now);
        }
        recovered || inner.rows.len() != before
    }

    /// Takes note that a watch lost its connection.
    pub fn troubled(&self, watch: &str, now: Time, error: String) {
        let mut inner = self.lock();
        if inner.troubled.is_empty() && inner.whole_at.is_some() {
            inner.whole_at = Some(now);
        }
        inner.troubled.insert(watch.to_owned(), error);
    }

    /// How many rows fit.
    pub fn count(&self, fits: impl Fn(&T) -> bool) -> usize {
        self.lock().rows.values().filter(|row| fits(&row.value)).count()
    }

    /// The rows by key, however old.
    pub fn rows(&self) -> BTreeMap<String, T> {
        self.map(T::clone)
    }

    /// What `of` makes of each row, by key, however old.
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> BTreeMap<String, U> {
        self.lock().rows.iter().map(|(key, row)| (key.to_string(), of(&row.value))).collect()
    }

    /// The time for which the rows are known to have held, if they have been listed.
    pub fn seen_at(&self, now: Time) -> Option<Time> {
        let inner = self.lock();
        if inner.troubled.is_empty() { inner.whole_at.map(|_| now) } else { inner.whole_at }
    }

    /// What is known of the rows: current while every watch is connected, otherwise as old as the lost connection.
    pub fn known<R: FromIterator<T>>(&self, now: Time) -> Known<R> {
        let inner = self.lock();
        let values = || inner.rows.values().map(|row| row.value.clone()).collect();
        match (inner.troubled.values().next(), inner.whole_at) {
            (None, Some(_)) => Known::seen(now, values()),
            (Some(reason), Some(at)) => Known::lost(at, values(), reason),
            (Some(reason), None) => Known::unknown(reason.clone()),
            (None, None) => Known::unknown("it is not watched yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: Time = Time::from_millis(1_000);
    const T2: Time = Time::from_millis(2_000);
    const T9: Time = Time::from_millis(9_000);

    fn listed(rows: &[(&str, u32)]) -> Watched<u32> {
        let watched = Watched::default();
        watched.expect("w");
        watched.relist("w");
        for (key, row) in rows {
            watched.apply(key, *row);
        }
        watched.listed("w", T1, |_| true);
        watched
    }

    #[test]
    fn a_first_list_is_due_until_it_arrives_or_something_keeps_it() {
        let watched: Watched<u32> = Watched::default();
        assert!(!watched.is_due(), "nothing is watched yet");
        watched.expect("a");
        watched.expect("b");
        watched.relist("a");
        assert!(watched.is_due());
        watched.listed("a", T1, |_| true);
        assert!(watched.is_due(), "of two lists one has arrived");
        watched.troubled("b", T1, "denied".to_owned());
        assert!(!watched.is_due(), "it is known why it does not arrive");
        watched.listed("b", T2, |_| true);
        watched.troubled("b", T2, "gone".to_owned());
        assert!(!watched.is_due(), "it was not the first");
    }

    #[test]
    fn rows_are_unknown_until_every_watch_has_listed() {
        let watched: Watched<u32> = Watched::default();
        watched.expect("a");
        watched.expect("b");
        watched.relist("a");
        watched.listed("a", T1, |key| key.starts_with('a'));
        assert!(watched.known::<Vec<_>>(T1).value().is_none());
        assert_eq!(watched.seen_at(T1), None);
        watched.relist("b");
        watched.apply("b/1", 1);
        watched.listed("b", T1, |key| key.starts_with('b'));
        assert_eq!(watched.known(T2), Known::seen(T2, vec![1]));
    }

    #[test]
    fn a_lost_watch_lets_the_rows_age_until_it_is_back() {
        let watched = listed(&[("x", 1)]);
        watched.troubled("w", T2, "gone".into());
        watched.troubled("w", T9, "still gone".into());
        assert_eq!(watched.known(T9), Known::lost(T2, vec![1], "still gone"));
        assert_eq!(watched.seen_at(T9), Some(T2));
        watched.relist("w");
        watched.apply("x", 1);
        assert_eq!(watched.known(T9), Known::lost(T2, vec![1], "still gone"), "half a list is no list");
        watched.listed("w", T9, |_| true);
        assert_eq!(watched.known(T9), Known::seen(T9, vec![1]));
        assert_eq!(watched.seen_at(T9), Some(T9));
    }

    #[test]
    fn a_new_list_drops_what_it_does_not_name() {
        let watched = listed(&[("x", 1), ("y", 2)]);
        watched.relist("w");
        assert!(!watched.apply("y", 2), "an equal row is no news");
        assert!(watched.listed("w", T2, |_| true));
        assert_eq!(watched.rows().keys().collect::<Vec<_>>(), ["y"]);
    }
}
