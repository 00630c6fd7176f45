//! The part of a pass that is about policies that are being deleted and pools that are to go: what depends on these pools
//! is read, and the objects are held or let go. Never lets an object go because Azure accepted the deletion.

use std::collections::BTreeSet;
use std::time::Duration;

use nodepool_kernel::{Deletion, Mode, Plan, Problem, Release, Snapshot};
use tokio::time::Instant;

use super::finalizers::Written;
use super::pass::Pass;
use crate::api::{NodePoolPolicy, is_held, is_to_be_held};
use crate::metrics::Untold;
use crate::observe::PolicyRow;
use crate::report::{Notice, Severity};

/// For how long at most what depends on a pool is not read again.
const LONGEST_KEPT: Duration = Duration::from_mins(1);

/// Lets every object go that waits for its pool to be deleted: the cluster is gone, and all pools with it.
pub(super) fn let_go(plan: &mut Plan, snapshot: &Snapshot) {
    let intents = snapshot.intents.value().map_or(&[][..], Vec::as_slice);
    let waits = |policy: &str| {
        intents.iter().any(|intent| intent.policy == policy && intent.deletion == Some(Deletion::Delete))
    };
    for policy in &mut plan.policies {
        if policy.release.is_none() && waits(&policy.policy) {
            policy.release = Some(Release::ClusterGone);
            policy.steps.clear();
            policy.drift.clear();
            policy.problems.clear();
        }
    }
}

/// The user pools from which a planned step takes all nodes, and could as far as its policy goes.
fn emptied(snapshot: &Snapshot, plan: &Plan) -> BTreeSet<String> {
    let cluster = snapshot.cluster.value();
    let is_user = |pool: &str| {
        let pool = cluster.and_then(|cluster| cluster.pool(pool));
        pool.is_some_and(|pool| pool.mode != Mode::System && pool.state.operation().is_none())
    };
    let policies = plan.policies.iter().filter(|policy| !policy.problems.iter().any(Problem::holds));
    let steps = policies.flat_map(|policy| &policy.steps).filter(|step| step.change.empties() && is_user(&step.pool));
    let in_flight = |pool: &str| snapshot.in_flight.iter().any(|flight| flight.step.pool == pool);
    steps.map(|step| step.pool.clone()).filter(|pool| !in_flight(pool)).collect()
}

impl Pass {
    /// Reads what depends on the pools that are to go, where that is due. Tells whether anything was read.
    pub(super) async fn know_dependents(&self, snapshot: &Snapshot, plan: &Plan) -> bool {
        let (good_for, retry) = self.dependents_kept();
        self.observer.know_dependents(&emptied(snapshot, plan), good_for, retry).await
    }

    /// When what depends on a pool that is to go is to be read again.
    pub(super) fn dependents_due(&self) -> Option<Instant> {
        let (good_for, retry) = self.dependents_kept();
        self.observer.dependents_due(good_for, retry)
    }

    fn dependents_kept(&self) -> (Duration, Duration) {
        (self.refresh_interval.min(LONGEST_KEPT), self.arguments.arm_poll_seconds)
    }

    /// Holds the objects whose deletion is to delete their pools, and lets go those for which nothing is left to wait for.
    pub(super) async fn keep_finalizers(&mut self, plan: &Plan) {
        let rows = self.store.policies();
        let uids: Vec<String> = rows.values().filter_map(|row| row.version().0).collect();
        self.finalizers.retain(uids.iter().map(String::as_str));
        for (name, row) in &rows {
            let written = match row {
                _ if !self.is_as_planned(name, row) => continue,
                PolicyRow::Valid(policy) if self.finalizers.is_outdated(policy) => continue,
                PolicyRow::Valid(policy) if policy.metadata.deletion_timestamp.is_some() => {
                    let release = plan.of(name).and_then(|plan| plan.release.clone());
                    self.part_with(policy, release).await
                }
                PolicyRow::Valid(policy) if is_to_be_held(policy) != is_held(policy) => {
                    self.finalizers.write(policy, is_to_be_held(policy)).await
                }
                // Nobody knows what it wants, so that its pool stays.
                PolicyRow::Malformed { rest, .. } if is_let_go(rest) && !self.finalizers.is_outdated(rest) => {
                    self.finalizers.write(rest, false).await
                }
                PolicyRow::Valid(_) | PolicyRow::Malformed { .. } => continue,
            };
            if written == Written::Failed {
                self.figures.untold(Untold::Finalizer);
            }
            if written != Written::Done {
                self.wake_later();
            }
        }
    }

    /// Lets the object of a policy go, if there is a reason.
    async fn part_with(&mut self, policy: &NodePoolPolicy, release: Option<Release>) -> Written {
        let Some(release) = release.filter(|_| is_held(policy)) else { return Written::Done };
        if release == Release::PoolGone && !self.is_really_gone(policy.pool_name()).await {
            return Written::Later;
        }
        let written = self.finalizers.write(policy, false).await;
        if written == Written::Done {
            self.tell(policy, &notice(policy.pool_name(), &release)).await;
        }
        written
    }

    /// Asks for the pool itself: the view of the whole cluster may be an old one.
    async fn is_really_gone(&self, pool: &str) -> bool {
        let read = match self.arm.afford_pool() {
            Ok(()) => self.arm.pool(pool).await.map(drop),
            Err(error) => Err(error),
        };
        match read {
            Err(error) if error.says_absent() => true,
            Err(error) => {
                tracing::warn!(pool, %error, "whether the pool is gone is not known; it is read again");
                false
            }
            Ok(()) => {
                tracing::info!(pool, "the view of the cluster is an old one: the pool is still there");
                self.refresh().await;
                false
            }
        }
    }
}

/// Whether an object that can't be understood is only held by the operator any more, which then lets it go.
pub(super) fn is_let_go(rest: &NodePoolPolicy) -> bool {
    rest.metadata.deletion_timestamp.is_some() && is_held(rest)
}

/// What people are told of an object that was let go.
fn notice(pool: &str, release: &Release) -> Notice {
    let (reason, note) = match release {
        Release::PoolGone => ("PoolGone", format!("pool {pool} is gone, and the policy with it")),
        Release::ClusterGone | Release::ClusterLeaves => ("ClusterGone", format!("{release}, and pool {pool} with it")),
        Release::Orphan | Release::Named { .. } | Release::Suspended | Release::ObserveOnly => {
            ("PoolOrphaned", format!("pool {pool} stays as it is: {release}"))
        }
    };
    Notice { severity: Severity::Normal, reason: reason.to_owned(), action: "Delete", note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_became_of_the_pool() {
        for (release, reason, note) in [
            (Release::PoolGone, "PoolGone", "pool apps is gone, and the policy with it"),
            (Release::ClusterLeaves, "ClusterGone", "the cluster is being deleted, and pool apps with it"),
            (Release::ClusterGone, "ClusterGone", "the cluster is gone, and pool apps with it"),
            (Release::Suspended, "PoolOrphaned", "pool apps stays as it is: the policy is suspended"),
            (Release::ObserveOnly, "PoolOrphaned", "pool apps stays as it is: the policy only observes"),
            (Release::Orphan, "PoolOrphaned", "pool apps stays as it is: spec.deletionPolicy is not Delete"),
            (
                Release::Named { other: "web".into() },
                "PoolOrphaned",
                "pool apps stays as it is: policy web names it too",
            ),
        ] {
            let told = notice("apps", &release);
            assert_eq!((told.reason.as_str(), told.note.as_str()), (reason, note));
        }
    }
}
