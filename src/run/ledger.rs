//! What one process remembers between passes. Only pessimism lives here: losing it never approves more.

use std::collections::BTreeMap;
use std::time::Duration;

use nodepool_kernel::Time;
use tokio::time::Instant;

use super::jitter::jittered;

/// Waits and delays.
#[derive(Default)]
pub(super) struct Ledger {
    delays: BTreeMap<String, Delay>,
    waits: BTreeMap<String, Wait>,
    held_up: BTreeMap<String, Time>,
}

/// No write for a policy before `until`.
struct Delay {
    until: Instant,
    reason: String,
    /// How many writes in a row came to nothing.
    failures: u32,
}

/// The longest delay that grows by itself.
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// A policy waits for the same thing since then.
struct Wait {
    reason: String,
    since: Instant,
}

impl Ledger {
    /// Takes note that ARM took a write for a policy.
    pub(super) fn accepted(&mut self, policy: &str) {
        self.delays.remove(policy);
    }

    /// Takes note that a policy has what it asks for: what came to nothing before is of no account once its delay is over.
    pub(super) fn reached(&mut self, policy: &str) {
        if self.delayed(policy).is_none() {
            self.delays.remove(policy);
        }
    }

    /// Delays the next write for a policy: by `first`, twice as long with each write in a row that comes to nothing, and
    /// by `at_least` in any case.
    pub(super) fn delay(&mut self, policy: &str, first: Duration, at_least: Option<Duration>, reason: String) {
        let failures = self.delays.get(policy).map_or(0, |delay| delay.failures);
        let grown = first.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(LONGEST_DELAY.max(first));
        let until = Instant::now() + jittered(at_least.map_or(grown, |at_least| grown.max(at_least)));
        self.delays.insert(policy.to_owned(), Delay { until, reason, failures: failures.saturating_add(1) });
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

    /// Takes note of the policies with a step that waits for other steps.
    pub(super) fn held_up<'a>(&mut self, policies: impl Iterator<Item = &'a str>, now: Time) {
        let since = |policy: &str| self.held_up.get(policy).copied().unwrap_or(now);
        self.held_up = policies.map(|policy| (policy.to_owned(), since(policy))).collect();
    }

    /// Since when a step of the policy has waited for other steps.
    pub(super) fn held_up_since(&self, policy: &str) -> Option<Time> {
        self.held_up.get(policy).copied()
    }

    /// Forgets policies that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.delays.retain(|policy, _| exists(policy));
        self.waits.retain(|policy, _| exists(policy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_grow_until_a_write_is_accepted() {
        let mut ledger = Ledger::default();
        let first = Duration::from_secs(5);
        let within = |ledger: &Ledger, seconds| {
            let delay = ledger.delayed("p").unwrap().1 - Instant::now();
            let (least, most) = (Duration::from_secs(seconds), Duration::from_secs(seconds).mul_f64(1.1));
            assert!((least..most).contains(&delay), "{delay:?}, not {seconds} s and up to a tenth more");
        };
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            ledger.delay("p", first, None, "lost".into());
            within(&ledger, seconds);
            tokio::time::advance(Duration::from_mins(10)).await;
            assert!(ledger.delayed("p").is_none());
        }
        ledger.accepted("p");
        ledger.delay("p", first, Some(Duration::from_secs(90)), "throttled".into());
        within(&ledger, 90);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_to_nothing_is_forgotten_when_the_policy_has_what_it_asks_for() {
        let (mut ledger, first) = (Ledger::default(), Duration::from_secs(5));
        let delay = |ledger: &Ledger| ledger.delayed("p").map(|(_, until)| (until - Instant::now()).as_secs());
        ledger.delay("p", first, None, "lost".into());
        ledger.reached("p");
        assert!(delay(&ledger).is_some(), "not before the delay is over");
        ledger.delay("p", first, None, "lost".into());
        assert!(delay(&ledger) >= Some(9));
        tokio::time::advance(Duration::from_mins(1)).await;
        ledger.reached("p");
        ledger.delay("p", first, None, "lost".into());
        assert!(delay(&ledger) < Some(6), "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_same_thing_becomes_overdue_and_for_another_begins_anew() {
        let (mut ledger, limit) = (Ledger::default(), Duration::from_mins(10));
        ledger.waits_for("p", Some("A"));
        tokio::time::advance(Duration::from_mins(6)).await;
        ledger.waits_for("p", Some("B"));
        tokio::time::advance(Duration::from_mins(6)).await;
        ledger.waits_for("p", Some("B"));
        assert_eq!(ledger.overdue("p", limit), None);
        tokio::time::advance(Duration::from_mins(4)).await;
        assert_eq!(ledger.overdue("p", limit).as_deref(), Some("B"));
        ledger.waits_for("p", None);
        assert_eq!(ledger.overdue("p", limit), None);
    }
}
