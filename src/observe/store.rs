//! Everything that is watched, and the statuses that this process has written. Never holds whole objects beyond the
//! policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::{Budget, Intent, Known, Node, Pod, Time, Workload};

use super::bulk::BulkLog;
use super::inventory::InventoryRow;
use super::restarts::Restarts;
use super::rows;
use super::sharing::Sharing;
use super::statuses::Statuses;
use super::tenants::Tenants;
use super::watched::Watched;
use crate::api::{self, INVENTORY, NodePoolPolicy, NodePoolPolicyStatus};

/// Everything that is watched.
#[derive(Default)]
pub struct Store {
    pub(super) policies: Watched<PolicyRow>,
    pub(super) nodes: Watched<Arc<Node>>,
    pub(super) pods: Watched<Arc<Pod>>,
    pub(super) budgets: Watched<Budget>,
    pub(super) sharing: Sharing,
    pub(super) workloads: Watched<Workload>,
    pub(super) inventory: Watched<InventoryRow>,
    pub(super) bulk: BulkLog,
    pub(super) restarts: Restarts,
    pub(super) tenants: Tenants,
    pub(super) statuses: Statuses,
}

/// A policy, or what is left of one that can't be understood.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyRow {
    /// A policy, with the status that this process last gave it.
    Valid(Box<NodePoolPolicy>),
    /// An object that is not a policy of this version.
    Malformed {
        /// What is understood of it: all but its spec, with the status that this process last gave it.
        rest: Box<NodePoolPolicy>,
        /// What is wrong with its spec.
        error: String,
    },
}

/// What somebody wrote: the object's uid and its generation.
pub type PolicyVersion = (Option<String>, Option<i64>);

impl PolicyRow {
    /// Which version of the policy it is.
    #[must_use]
    pub fn version(&self) -> PolicyVersion {
        let metadata = &self.known().metadata;
        (metadata.uid.clone(), metadata.generation)
    }

    /// The policy as far as it can be understood.
    pub(super) const fn known(&self) -> &NodePoolPolicy {
        match self {
            Self::Valid(policy) | Self::Malformed { rest: policy, .. } => policy,
        }
    }

    fn known_mut(&mut self) -> &mut NodePoolPolicy {
        match self {
            Self::Valid(policy) | Self::Malformed { rest: policy, .. } => policy,
        }
    }
}

impl Store {
    /// The row of a protected pod, which shares what it has in common with others.
    pub(super) fn pod_row(&self, pod: &core::Pod) -> Option<Arc<Pod>> {
        let row = rows::pod(pod).map(|row| self.sharing.row(row))?;
        self.restarts.note(pod, &row);
        Some(Arc::new(row))
    }

    /// The policies by name.
    #[must_use]
    pub fn policies(&self) -> BTreeMap<String, PolicyRow> {
        let mut rows = self.policies.rows();
        self.statuses.give(rows.values_mut().map(PolicyRow::known_mut));
        rows
    }

    /// Whether some of what decisions rest on has still to be listed for the first time, with nothing known to keep it from
    /// arriving.
    #[must_use]
    pub fn is_arriving(&self) -> bool {
        self.nodes.is_due()
            || self.pods.is_due()
            || self.budgets.is_due()
            || self.workloads.is_due()
            || self.inventory.is_due()
    }

    /// Which version of each policy there is, by name.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, PolicyVersion> {
        self.policies.map(PolicyRow::version)
    }

    /// What somebody asks to be logged, if anybody does.
    #[must_use]
    pub fn log_filter(&self) -> Option<String> {
        self.inventory.map(|row| row.log.clone()).remove(INVENTORY).flatten()
    }

    /// What the policies ask for; those that can't be understood ask for nothing.
    #[must_use]
    pub fn intents(&self, now: Time) -> Known<Vec<Intent>> {
        let intents = || {
            self.policies()
                .values()
                .filter_map(|row| match row {
                    PolicyRow::Valid(policy) => Some(api::intent(policy)),
                    PolicyRow::Malformed { .. } => None,
                })
                .collect()
        };
        match self.policies.known::<Vec<_>>(now) {
            Known::Seen { at, lost, .. } => Known::Seen { at, value: intents(), lost },
            Known::Unknown { reason } => Known::unknown(reason),
        }
    }

    /// What a policy asks for that was just read, with the status that this process last gave it.
    #[must_use]
    pub fn intent(&self, read: &NodePoolPolicy) -> Intent {
        let mut policy = read.clone();
        self.statuses.give([&mut policy].into_iter());
        api::intent(&policy)
    }

    /// Changes the status that a policy will have; it is published with the next report.
    pub fn change_status(&self, policy: &NodePoolPolicy, change: impl FnOnce(&mut NodePoolPolicyStatus)) {
        self.statuses.change(policy, change);
    }

    /// The status that this process last wrote, or that the API server has if it wrote none.
    #[must_use]
    pub fn published(&self, policy: &NodePoolPolicy) -> NodePoolPolicyStatus {
        self.statuses.published(policy)
    }

    /// Whether somebody else has written over the status.
    #[must_use]
    pub fn is_damaged(&self, policy: &NodePoolPolicy) -> bool {
        self.statuses.is_damaged(policy)
    }

    /// Takes note that the API server has this status now, and the `resourceVersion` that came of it.
    pub fn publish(&self, policy: &NodePoolPolicy, status: NodePoolPolicyStatus, version: Option<String>) {
        self.statuses.publish(policy, status, version);
    }

    /// What `of` makes of the status of each policy, as [`Self::published`] tells it.
    pub fn map_published<T>(&self, of: impl Fn(&NodePoolPolicyStatus) -> T) -> Vec<T> {
        self.policies.map(|row| self.statuses.of_published(row.known(), &of)).into_values().collect()
    }

    /// By kind of object the time for which what is watched is known to have held, if it has been seen.
    #[must_use]
    pub fn seen_at(&self, now: Time) -> [(&'static str, Option<Time>); 6] {
        [
            ("policies", self.policies.seen_at(now)),
            ("inventory", self.inventory.seen_at(now)),
            ("nodes", self.nodes.seen_at(now)),
            ("pods", self.pods.seen_at(now)),
            ("disruption_budgets", self.budgets.seen_at(now)),
            ("deployments", self.workloads.seen_at(now)),
        ]
    }

    /// Forgets the statuses of policies that are gone.
    pub fn forget(&self, exists: impl Fn(&str) -> bool) {
        self.statuses.forget(exists);
    }
}

#[cfg(test)]
impl Store {
    /// A store of these policies, which were seen when `at` it was.
    pub(crate) fn of_policies(policies: Vec<NodePoolPolicy>, at: Time) -> Self {
        let store = Self::default();
        store.policies.expect("w");
        store.policies.relist("w");
        for policy in policies {
            let name = policy.metadata.name.clone().unwrap_or_default();
            store.policies.apply(&name, PolicyRow::Valid(Box::new(policy)));
        }
        store.policies.listed("w", at, |_| true);
        store
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodePoolPolicySpec;

    fn policy(uid: &str) -> NodePoolPolicy {
        let mut policy = NodePoolPolicy::new("p", NodePoolPolicySpec::default());
        policy.metadata.uid = Some(uid.into());
        policy
    }

    fn with_generation(generation: i64) -> NodePoolPolicyStatus {
        NodePoolPolicyStatus { observed_generation: Some(generation), ..Default::default() }
    }

    #[test]
    fn a_status_of_ours_is_newer_than_what_the_watch_shows_until_the_policy_is_another() {
        let store = Store::default();
        store.policies.apply("p", PolicyRow::Valid(Box::new(policy("a"))));
        store.publish(&policy("a"), with_generation(7), None);
        let Some(PolicyRow::Valid(seen)) = store.policies().remove("p") else { panic!() };
        assert_eq!(seen.status, Some(with_generation(7)));
        store.policies.apply("p", PolicyRow::Valid(Box::new(policy("b"))));
        let Some(PolicyRow::Valid(seen)) = store.policies().remove("p") else { panic!() };
        assert_eq!(seen.status, None);
    }
}
