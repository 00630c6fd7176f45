//! The part of a pass that is about upgrades: what they depend on besides is read when nothing else stands against them. Never
//! read while none is planned, and never while one waits for the control plane.

use std::collections::BTreeSet;
use std::time::Duration;

use nodepool_kernel::{Change, Plan, Snapshot, Step, Verdict};
use tokio::time::Instant;

use super::pass::Pass;
use crate::api::begin_image_upgrade;

/// For how long at most what runs on a pool that is to be upgraded is not read again.
const LONGEST_KEPT: Duration = Duration::from_mins(1);

impl Pass {
    /// Reads what the planned upgrades depend on, where that is due. Tells whether anything was read.
    pub(super) async fn know_upgrades(&self, snapshot: &Snapshot, plan: &Plan, verdicts: &[Verdict]) -> bool {
        let steps = plan.policies.iter().flat_map(|policy| &policy.steps);
        let planned: BTreeSet<String> =
            steps.filter(|step| step.change.upgrades()).map(|step| step.pool.clone()).collect();
        let asks = |verdict: &&Verdict| match verdict {
            Verdict::Refused(refusal) => refusal.asks_for_upgrades(snapshot),
            Verdict::Approved(_) | Verdict::Waits { .. } => false,
        };
        let pools: BTreeSet<String> = verdicts.iter().filter(asks).map(|verdict| verdict.step().pool.clone()).collect();
        self.observer.know_upgrades((&pools, &planned), snapshot, self.upgrades_kept()).await
    }

    /// Records which image the pool has before its upgrade is asked for: after a crash it is known whether that came to
    /// something. Tells whether the step may be made.
    pub(super) async fn record_image(&self, step: &Step) -> bool {
        let Change::NodeImage { from } = &step.change else { return true };
        let Some(policy) = self.policy(&step.policy) else { return false };
        let mut status = policy.status.clone().unwrap_or_default();
        begin_image_upgrade(&policy, &mut status, from);
        self.publish(&policy, status).await
    }

    /// When what an upgrade depends on is to be read again.
    pub(super) fn upgrades_due(&self) -> Option<Instant> {
        let (good_for, retry) = self.upgrades_kept();
        self.observer.upgrades_due(good_for, retry)
    }

    fn upgrades_kept(&self) -> (Duration, Duration) {
        (
            self.refresh_interval.min(LONGEST_KEPT),
            self.arguments.arm_poll_seconds.max(self.refresh_interval.min(LONGEST_KEPT)),
        )
    }
}
