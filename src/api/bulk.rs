//! The record of bulk changes in the inventory's status, and the annotation that lets one pass. Never decides what is one.

use kube::{KubeSchema, ResourceExt as _};
use nodepool_kernel as kernel;
use serde::{Deserialize, Serialize};

use super::intent::time;
use super::policy::NodePoolPolicy;

/// The annotation by which a person lets one bulk change of a pool pass the fuse. Its value is the name of the pool, so that it
/// can't be meant for another.
pub const ALLOW_BULK_CHANGE: &str = "aks.nodepool.dev/allow-bulk-change";

/// A pool that was to be deleted, stopped or emptied.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkChangeEntry {
    /// The pool.
    pub pool: String,
    /// The policy that asked for it.
    pub policy: String,
    /// What was to become of the pool: `deleted`, `stopped` or `emptied`.
    pub change: String,
    /// When, recorded before it was sent.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
}

impl BulkChangeEntry {
    /// The change as it is stored.
    #[must_use]
    pub fn of(change: &kernel::BulkChange) -> Self {
        let (pool, policy) = (change.pool.clone(), change.policy.clone());
        Self { pool, policy, change: change.kind.name().to_owned(), time: change.told.clone() }
    }

    /// The change that is stored.
    ///
    /// # Errors
    /// Says what can't be understood: then nothing is known of what has been done.
    pub fn read(&self) -> Result<kernel::BulkChange, String> {
        let odd = |field: &str, value: &str| format!("{field} of a bulk change of pool {} is {value:?}", self.pool);
        let at = time(&self.time).ok_or_else(|| odd("time", &self.time))?;
        let kind = kernel::BulkKind::parse(&self.change).ok_or_else(|| odd("change", &self.change))?;
        let (pool, policy) = (self.pool.clone(), self.policy.clone());
        Ok(kernel::BulkChange { pool, policy, kind, at, told: self.time.clone() })
    }
}

/// Whether a person lets a bulk change of the policy's pool pass.
#[must_use]
pub fn allows_bulk_change(policy: &NodePoolPolicy) -> bool {
    policy.annotations().get(ALLOW_BULK_CHANGE).is_some_and(|pool| pool == policy.pool_name())
}

/// Whether that may still be made use of: it holds for one change.
pub(super) fn may_exceed_fuse(policy: &NodePoolPolicy) -> bool {
    allows_bulk_change(policy) && !policy.status.as_ref().is_some_and(|status| status.bulk_allowance_used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NodePoolPolicySpec, NodePoolPolicyStatus};

    #[test]
    fn a_change_reads_as_it_was_written_and_nothing_odd_is_taken_for_one() {
        let entry = |change: &str, time: &str| {
            let (change, time) = (change.to_owned(), time.to_owned());
            BulkChangeEntry { pool: "apps".into(), policy: "p".into(), change, time }
        };
        let stored = entry("stopped", "2027-01-15T08:00:00.123Z");
        let read = stored.read().unwrap();
        assert_eq!((read.at, read.kind), (kernel::Time::from_millis(1_800_000_000_123), kernel::BulkKind::Stopped));
        assert_eq!(BulkChangeEntry::of(&read), stored);
        let error = entry("stopped", "soon").read().unwrap_err();
        assert_eq!(error, r#"time of a bulk change of pool apps is "soon""#);
        assert!(entry("renamed", "2027-01-15T08:00:00Z").read().unwrap_err().contains("change of a bulk change"));
    }

    #[test]
    fn the_fuse_may_be_passed_once_for_the_pool_of_that_name() {
        for (value, used, passes) in [("apps", false, true), ("apps", true, false), ("web", false, false)] {
            let mut policy = NodePoolPolicy::new("apps", NodePoolPolicySpec::default());
            policy.annotations_mut().insert(ALLOW_BULK_CHANGE.into(), value.into());
            policy.status = Some(NodePoolPolicyStatus { bulk_allowance_used: used, ..NodePoolPolicyStatus::default() });
            assert_eq!(may_exceed_fuse(&policy), passes, "{value} {used}");
        }
        assert!(!may_exceed_fuse(&NodePoolPolicy::new("apps", NodePoolPolicySpec::default())));
    }
}
