//! The part of a pass that keeps the record of bulk changes: written before the change is sent, so that a crash forgets none.
//! Never decides whether one may be made.

use nodepool_kernel::{BulkChange, BulkKind, Known, Rule, Snapshot, Step, Time, Verdict};
use tokio::time::Instant;

use super::pass::Pass;
use crate::act::Outcome;
use crate::api::{BulkChangeEntry, allows_bulk_change};
use crate::clock::now;
use crate::observe::worth_keeping;

impl Pass {
    /// Records the step if it is a bulk change, and that a person's leave for one is made use of. Tells whether the step may be
    /// made, with the record; what is not recorded is made later.
    pub(super) async fn record_bulk(&mut self, step: &Step) -> Result<Option<BulkChange>, ()> {
        let Some(kind) = BulkKind::of(&step.change) else { return Ok(None) };
        let at = now();
        let told = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_string();
        let change = BulkChange { pool: step.pool.clone(), policy: step.policy.clone(), kind, at, told };
        let known = self.store.bulk_changes(at).value().cloned();
        let all = known.map(|all| all.into_iter().chain([change.clone()]).collect());
        if !self.store_bulk(all, at).await || !self.use_allowance(step).await {
            let reason = "that a pool is deleted, stopped or emptied could not be recorded yet".to_owned();
            self.ledger.delay(&step.policy, self.arguments.arm_poll_seconds, None, reason);
            return Err(());
        }
        self.store.add_bulk_change(change.clone());
        Ok(Some(change))
    }

    /// Takes the record back if nothing was sent, or Azure did not take it.
    pub(super) async fn settle_bulk(&mut self, recorded: Option<BulkChange>, outcome: &Outcome) {
        let is_made = matches!(outcome, Outcome::Accepted { .. } | Outcome::Made { .. } | Outcome::Unknown { .. });
        let Some(change) = recorded.filter(|_| !is_made) else { return };
        self.store.withdraw_bulk_change(&change);
        let at = now();
        // If this comes to nothing, a later process counts a pool too many.
        self.store_bulk(self.store.bulk_changes(at).value().cloned(), at).await;
    }

    /// Writes the record. Tells whether the API server has it.
    async fn store_bulk(&self, all: Option<Vec<BulkChange>>, at: Time) -> bool {
        let (Known::Seen { value: Some(row), .. }, Some(all)) = (self.store.inventory(at), all) else {
            tracing::info!("there is no inventory yet in which bulk changes could be recorded");
            return false;
        };
        let window = i64::try_from(self.settings.bulk_window.as_millis()).unwrap_or(i64::MAX);
        let since = Time::from_millis(at.as_millis().saturating_sub(window));
        let entries: Vec<BulkChangeEntry> = worth_keeping(all, since).iter().map(BulkChangeEntry::of).collect();
        if let Err(error) = self.publisher.bulk_changes(row.uid.as_deref(), &entries).await {
            tracing::warn!(%error, "bulk changes wait until they can be recorded");
            return false;
        }
        self.store.forget_bulk_changes(since);
        true
    }

    /// Records that the leave to pass the fuse is made use of, if a person gave it: it holds for one change.
    async fn use_allowance(&self, step: &Step) -> bool {
        let Some(policy) = self.policy(&step.policy).filter(|policy| allows_bulk_change(policy)) else { return true };
        let mut status = self.store.published(&policy);
        status.bulk_allowance_used = true;
        self.publish(&policy, status).await
    }

    /// When the window has moved on for a change that the fuse stops.
    pub(super) fn fuse_due(&self, snapshot: &Snapshot, verdicts: &[Verdict]) -> Option<Instant> {
        let is_stopped = |verdict: &Verdict| matches!(verdict, Verdict::Refused(refusal) if refusal.broken.iter().any(|broken| broken.rule == Rule::BulkChangeFuse));
        if !verdicts.iter().any(is_stopped) {
            return None;
        }
        let ends = snapshot.bulk.value()?.iter().map(|change| change.at.after(self.settings.bulk_window));
        let first = ends.filter(|end| *end > snapshot.now).min()?;
        Some(Instant::now() + std::time::Duration::from_millis(first.since(snapshot.now).as_millis()))
    }
}
