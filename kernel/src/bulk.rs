//! Bulk changes: pools that were deleted, stopped or emptied lately, which the fuse counts. Never says whether another may be.

use std::collections::BTreeSet;
use std::fmt;

use crate::settings::Settings;
use crate::step::{Change, Step};
use crate::time::Time;

/// The last time at which a pool was to be deleted, stopped or emptied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BulkChange {
    /// The pool.
    pub pool: String,
    /// The policy that asked for it.
    pub policy: String,
    /// What was to become of the pool.
    pub kind: BulkKind,
    /// When; recorded before the write is sent.
    pub at: Time,
    /// The same as people read it.
    pub told: String,
}

/// What becomes of a pool by a bulk change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BulkKind {
    /// It is deleted.
    Deleted,
    /// It is stopped.
    Stopped,
    /// It is scaled to no nodes.
    Emptied,
}

impl BulkKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deleted, Self::Stopped, Self::Emptied];

    /// What the change makes of its pool, if it is a bulk change.
    #[must_use]
    pub fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Delete => Some(Self::Deleted),
            Change::Stop => Some(Self::Stopped),
            // It is counted once, when the pool goes.
            change if change.leads_to_deletion() => None,
            change => change.empties().then_some(Self::Emptied),
        }
    }

    /// The word that status and messages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Stopped => "stopped",
            Self::Emptied => "emptied",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

impl fmt::Display for BulkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for BulkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} at {})", self.pool, self.kind, self.told)
    }
}

impl BulkChange {
    /// Whether it lies within the window that ends now. One that seems to lie ahead does: clocks differ.
    #[must_use]
    pub fn counts(&self, now: Time, settings: &Settings) -> bool {
        now.since(self.at) < settings.bulk_window
    }
}

/// What the fuse counts: what was recorded within the window, in the order of time, and pools with a change on its way that
/// has not been recorded.
pub(crate) fn counted<'a>(
    recorded: &'a [BulkChange],
    in_flight: &'a [Step],
    (now, settings): (Time, &Settings),
) -> (Vec<&'a BulkChange>, BTreeSet<&'a str>) {
    let mut recent: Vec<&BulkChange> = recorded.iter().filter(|change| change.counts(now, settings)).collect();
    // Of several changes of one pool the last.
    recent.sort_by(|a, b| (b.at, *b).cmp(&(a.at, *a)));
    let mut seen = BTreeSet::new();
    recent.retain(|change| seen.insert(change.pool.as_str()));
    recent.reverse();
    let on_their_way = in_flight.iter().filter(|step| step.change.empties());
    let on_their_way = on_their_way.map(|step| step.pool.as_str()).filter(|pool| !seen.contains(pool)).collect();
    (recent, on_their_way)
}
