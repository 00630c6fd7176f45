//! What one process remembers between passes. Only pessimism lives here: losing it never approves more.

use std::collections::BTreeMap;
use std::time::Duration;

use nodepool_kernel::{Cluster, InFlight, Known, Step};
use tokio::time::Instant;

/// Writes under way, waits and delays.
#[derive(Default)]
pub(super) struct Ledger {
    in_flight: Vec<InFlight>,
    delays: BTreeMap<String, Delay>,
    waits: BTreeMap<String, Wait>,
}

/// No write for a policy before `until`.
struct Delay {
    until: Instant,
    reason: String,
}

/// A policy waits for the same thing since then.
struct Wait {
    reason: String,
    since: Instant,
}

impl Ledger {
    /// Writes that ARM accepted, or may have accepted, and that have not ended.
    pub(super) fn in_flight(&self) -> &[InFlight] {
        &self.in_flight
    }

    /// The write that is under way for a policy.
    pub(super) fn in_flight_of(&self, policy: &str) -> Option<&Step> {
        self.in_flight.iter().map(|flight| &flight.step).find(|step| step.policy == policy)
    }

    /// Takes note of a write.
    pub(super) fn sent(&mut self, flight: InFlight) {
        self.in_flight.push(flight);
    }

    /// Drops the writes that an observation, begun after they were sent, shows to have ended.
    pub(super) fn observe(&mut self, cluster: &Known<Cluster>) {
        let Known::Seen { at, value } = cluster else { return };
        self.in_flight.retain(|flight| {
            let busy = value.pool(&flight.step.pool).is_some_and(|pool| pool.state.operation().is_some());
            *at <= flight.since || busy
        });
    }

    /// Delays the next write for a policy.
    pub(super) fn delay(&mut self, policy: &str, delay: Duration, reason: String) {
        self.delays.insert(policy.to_owned(), Delay { until: Instant::now() + delay, reason });
    }

    /// Why the next write for a policy is delayed, and until when.
    pub(super) fn delayed(&self, policy: &str) -> Option<(&str, Instant)> {
        let delay = self.delays.get(policy).filter(|delay| Instant::now() < delay.until)?;
        Some((&delay.reason, delay.until))
    }

    /// The earliest end of a delay.
    pub(super) fn next_delay(&self) -> Option<Instant> {
        self.delays.values().map(|delay| delay.until).filter(|until| Instant::now() < *until).min()
    }

    /// Takes note of what a policy waits for, if anything.
    pub(super) fn waits_for(&mut self, policy: &str, reason: Option<&str>) {
        match reason {
            None => drop(self.waits.remove(policy)),
            Some(reason) if self.waits.get(policy).is_some_and(|wait| wait.reason == reason) => {}
            Some(reason) => {
                let wait = Wait { reason: reason.to_owned(), since: Instant::now() };
                self.waits.insert(policy.to_owned(), wait);
            }
        }
    }

    /// The reason for which a policy has waited for longer than `limit`.
    pub(super) fn overdue(&self, policy: &str, limit: Duration) -> Option<String> {
        let wait = self.waits.get(policy).filter(|wait| wait.since.elapsed() >= limit)?;
        Some(wait.reason.clone())
    }

    /// When the first wait becomes overdue.
    pub(super) fn next_overdue(&self, limit: Duration) -> Option<Instant> {
        self.waits.values().map(|wait| wait.since + limit).filter(|at| Instant::now() < *at).min()
    }

    /// Forgets policies that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.delays.retain(|policy, _| exists(policy));
        self.waits.retain(|policy, _| exists(policy));
    }
}
