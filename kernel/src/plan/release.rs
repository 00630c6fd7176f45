//! What becomes of a policy whose object is being deleted: the pool goes with it, or the object is let go and the pool
//! stays. Never lets an object go on what is not known.

use std::fmt;

use crate::facts::Facts;
use crate::guard::is_proven;
use crate::intent::{Deletion, Enforcement, Intent};
use crate::settings::Settings;
use crate::snapshot::{ProvisioningState, Snapshot};

/// Why an object that is being deleted is let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Its deletion leaves the pool as it is.
    Orphan,
    /// Another policy names the pool, as after a rename.
    Named {
        /// The other policy, the first by name if there are several.
        other: String,
    },
    /// The policy is suspended.
    Suspended,
    /// The policy only observes.
    ObserveOnly,
    /// The cluster is being deleted.
    ClusterLeaves,
    /// ARM has no such cluster.
    ClusterGone,
    /// ARM has no such pool.
    PoolGone,
}

impl Release {
    /// Whether the pool stays although its deletion may have been expected.
    #[must_use]
    pub const fn orphans(&self) -> bool {
        matches!(self, Self::Orphan | Self::Named { .. } | Self::Suspended | Self::ObserveOnly)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan => f.write_str("spec.deletionPolicy is not Delete"),
            Self::Named { other } => write!(f, "policy {other} names it too"),
            Self::Suspended => f.write_str("the policy is suspended"),
            Self::ObserveOnly => f.write_str("the policy only observes"),
            Self::ClusterLeaves => f.write_str("the cluster is being deleted"),
            Self::ClusterGone => f.write_str("the cluster is gone"),
            Self::PoolGone => f.write_str("the pool is gone"),
        }
    }
}

/// Why the object of the policy is let go, if its deletion is under way and it is.
pub(super) fn of(intent: &Intent, intents: &[Intent], snapshot: &Snapshot, settings: &Settings) -> Option<Release> {
    if intent.deletion? == Deletion::Orphan {
        return Some(Release::Orphan);
    }
    let others = intents.iter().filter(|other| other.pool == intent.pool && other.policy != intent.policy);
    if let Some(other) = others.map(|other| &other.policy).min() {
        return Some(Release::Named { other: other.clone() });
    }
    if intent.suspended {
        return Some(Release::Suspended);
    }
    if intent.enforcement == Enforcement::Observe {
        return Some(Release::ObserveOnly);
    }
    let cluster = snapshot.cluster.fresh(snapshot.now, settings.stale_after).ok()?;
    if matches!(&cluster.state, ProvisioningState::Busy(operation) if operation.eq_ignore_ascii_case("Deleting")) {
        return Some(Release::ClusterLeaves);
    }
    // A pool that another cluster does not have says nothing.
    let is_gone =
        cluster.pool(&intent.pool).is_none() && Facts::gather(snapshot, settings).is_ok_and(|facts| is_proven(&facts));
    is_gone.then_some(Release::PoolGone)
}

#[cfg(test)]
mod tests;
