//! Writes under way: from the moment in which ARM took them, or may have, until they are seen to have ended. Never shorter,
//! since a write that is forgotten too early could be made twice.

use std::collections::BTreeSet;
use std::time::Duration;

use nodepool_kernel::{AgentPool, Cluster, InFlight, Known, Step, Time};
use tokio::time::Instant;

use crate::arm::{End, Operation, Progress};

/// How long an operation is followed by its URL at most: beyond, the pool's own state says more.
const LONGEST_FOLLOWED: Duration = Duration::from_hours(1);

/// How long a write that ARM took is waited for while ARM shows neither that it is at it nor what came of it: its views of
/// the cluster may lag, and somebody may have taken the change back.
const LONGEST_UNSEEN: Duration = Duration::from_mins(2);

/// Writes under way, at most one a pool.
#[derive(Default)]
pub(super) struct Flights {
    flights: Vec<Flight>,
    /// How the operations of policies ended, until that is recorded.
    ends: Vec<(String, End)>,
}

struct Flight {
    write: InFlight,
    /// An observation that began no later than this says nothing about the end.
    blind_until: Time,
    operation: Option<Followed>,
    /// When ARM took it; `None` if that is not known.
    accepted: Option<Instant>,
    /// Whether ARM has been seen to be at it, or has told its end.
    seen: bool,
}

impl Flight {
    /// Whether ARM took the write and a pool at rest is a picture of before it.
    fn is_unseen(&self, pool: Option<&AgentPool>) -> bool {
        let is_waited_for = self.accepted.is_some_and(|accepted| accepted.elapsed() < LONGEST_UNSEEN);
        let change = &self.write.step.change;
        is_waited_for && !self.seen && pool.map_or_else(|| change.creates(), |pool| !change.is_made(pool))
    }
}

/// An operation that is followed by its URL.
struct Followed {
    operation: Operation,
    began: Instant,
    next_poll: Instant,
}

impl Flights {
    /// The writes.
    pub(super) fn all(&self) -> Vec<InFlight> {
        self.flights.iter().map(|flight| flight.write.clone()).collect()
    }

    /// The write that is under way for a policy.
    pub(super) fn of(&self, policy: &str) -> Option<&Step> {
        self.flights.iter().map(|flight| &flight.write.step).find(|step| step.policy == policy)
    }

    /// Takes note of a write that ARM took, and of the operation that carries it out.
    pub(super) fn accepted(&mut self, write: InFlight, operation: Option<Operation>, poll_after: Duration) {
        let now = Instant::now();
        let operation = operation.map(|operation| Followed { operation, began: now, next_poll: now + poll_after });
        self.flights.push(Flight { blind_until: write.since, write, operation, accepted: Some(now), seen: false });
    }

    /// Takes note of a write that ARM may have taken.
    pub(super) fn lost(&mut self, write: InFlight) {
        self.flights.push(Flight { blind_until: write.since, write, operation: None, accepted: None, seen: false });
    }

    /// The operations that are to be asked about now, each with its pool.
    pub(super) fn due(&self) -> Vec<(String, Operation)> {
        let now = Instant::now();
        let due = |flight: &&Flight| flight.operation.as_ref().is_some_and(|followed| followed.next_poll <= now);
        let operation =
            |flight: &Flight| Some((flight.write.step.pool.clone(), flight.operation.as_ref()?.operation.clone()));
        self.flights.iter().filter(due).filter_map(operation).collect()
    }

    /// When the next operation is to be asked about.
    pub(super) fn next_poll(&self) -> Option<Instant> {
        self.flights.iter().filter_map(|flight| Some(flight.operation.as_ref()?.next_poll)).min()
    }

    /// Takes note of how the operation on a pool goes. Tells whether it is followed no longer, so that the pool has to
    /// be looked at.
    pub(super) fn progressed(&mut self, pool: &str, progress: Progress, now: Time, poll_after: Duration) -> bool {
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.write.step.pool == pool) else { return false };
        let Some(followed) = flight.operation.as_mut() else { return false };
        match progress {
            Progress::Running { operation, poll_after: asked, .. } => {
                let wait = asked.map_or(poll_after, |asked| asked.max(poll_after));
                (followed.operation, followed.next_poll) = (operation, Instant::now() + wait);
                if followed.began.elapsed() < LONGEST_FOLLOWED {
                    return false;
                }
            }
            Progress::Ended(end) => {
                (flight.blind_until, flight.seen) = (now, true);
                self.ends.push((flight.write.step.policy.clone(), end));
            }
            Progress::Untold { why } => {
                tracing::info!(pool, why, "how the operation goes is seen from the pool alone");
            }
        }
        flight.operation = None;
        true
    }

    /// Drops the writes that an observation shows to have ended.
    pub(super) fn observe(&mut self, cluster: &Known<Cluster>) {
        let Known::Seen { at, value, .. } = cluster else { return };
        self.flights.retain_mut(|flight| {
            let pool = value.pool(&flight.write.step.pool);
            let is_blind = *at <= flight.blind_until;
            let busy = pool.is_some_and(|pool| pool.state.operation().is_some());
            flight.seen |= busy && !is_blind;
            is_blind || busy || flight.operation.is_some() || flight.is_unseen(pool)
        });
    }

    /// The pools on which operations are followed by their URLs and have been seen: nothing more is to be learned of them
    /// from the cluster until they end.
    pub(super) fn followed(&self) -> BTreeSet<&str> {
        let is_followed = |flight: &&Flight| flight.seen && flight.operation.is_some();
        self.flights.iter().filter(is_followed).map(|flight| flight.write.step.pool.as_str()).collect()
    }

    /// Whether a write is under way whose end is to be seen from the cluster, or that has not been seen there yet.
    pub(super) fn are_to_be_seen(&self) -> bool {
        self.flights.iter().any(|flight| !flight.seen || flight.operation.is_none())
    }

    /// Whether a write is under way, or may be, that has not been seen in the cluster.
    pub(super) fn are_unseen(&self) -> bool {
        self.flights.iter().any(|flight| !flight.seen)
    }

    /// How the operation of a policy ended, if ARM told and it is not recorded yet and the pool has been seen since.
    pub(super) fn end_of(&self, policy: &str) -> Option<&End> {
        self.ends.iter().rev().find(|(of, _)| of == policy).map(|(_, end)| end)
    }

    /// Forgets how the operation of a policy ended.
    pub(super) fn end_is_recorded(&mut self, policy: &str) {
        self.ends.retain(|(of, _)| of != policy);
    }

    /// Forgets the ends of policies that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.ends.retain(|(policy, _)| exists(policy));
    }
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{Change, NewPool};
    use serde_json::json;

    use super::*;
    use crate::arm::{ClusterId, cluster};

    const POLL: Duration = Duration::from_secs(5);

    fn operation() -> Operation {
        Operation::at("https://arm.local/operations/1?s=x", &"https://arm.local".parse().unwrap()).unwrap()
    }

    fn write() -> InFlight {
        let change = Change::Count { from: 1, to: 2 };
        InFlight { step: Step { policy: "p".into(), pool: "apps".into(), change }, since: Time::from_millis(1_000) }
    }

    /// The cluster as an observation that began then shows it.
    fn seen(at: i64, state: &str) -> Known<Cluster> {
        let id: ClusterId =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c".parse().unwrap();
        let pools = json!([{"name": "apps", "provisioningState": state, "count": 1}]);
        let document = json!({"properties": {"agentPoolProfiles": pools}});
        Known::seen(Time::from_millis(at), cluster(&id, &document).unwrap())
    }

    /// The same with so many nodes, at rest.
    fn counting(at: i64, count: u32) -> Known<Cluster> {
        let Known::Seen { at, value: mut cluster, .. } = seen(at, "Succeeded") else { panic!() };
        cluster.pools[0].count = count;
        Known::seen(at, cluster)
    }

    fn running(poll_after: Option<Duration>) -> Progress {
        Progress::Running { operation: operation(), poll_after, says: "InProgress".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_operation_ends_when_its_pool_is_seen_at_rest_after_it_was_sent() {
        let mut flights = Flights::default();
        flights.accepted(write(), None, POLL);
        for (at, state, under_way) in [
            (999, "Succeeded", true),
            (1_000, "Succeeded", true),
            (2_000, "Scaling", true),
            (3_000, "Succeeded", false),
        ] {
            flights.observe(&seen(at, state));
            assert_eq!(flights.of("p").is_some(), under_way, "{at} {state}");
        }
        assert!(flights.next_poll().is_none() && flights.end_of("p").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_taken_is_waited_for_until_arm_shows_it_and_one_that_was_lost_is_not() {
        let mut flights = Flights::default();
        flights.lost(write());
        flights.observe(&seen(2_000, "Succeeded"));
        assert!(flights.of("p").is_none());

        flights.accepted(write(), None, POLL);
        flights.observe(&seen(2_000, "Succeeded"));
        assert!(flights.of("p").is_some(), "the count is the old one");
        flights.observe(&counting(2_500, 2));
        assert!(flights.of("p").is_none());

        flights.accepted(write(), None, POLL);
        tokio::time::advance(LONGEST_UNSEEN).await;
        flights.observe(&seen(3_000, "Succeeded"));
        assert!(flights.of("p").is_none(), "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_that_was_taken_is_waited_for_until_arm_shows_the_pool() {
        let (mut flights, mut creation) = (Flights::default(), write());
        let template = std::sync::Arc::default();
        let new = NewPool::new(nodepool_kernel::Mode::User, 1, template);
        creation.step.change = Change::Create(Box::new(new));
        let Known::Seen { value: mut absent, .. } = seen(2_000, "Succeeded") else { panic!() };
        absent.pools.clear();
        flights.lost(creation.clone());
        flights.observe(&Known::seen(Time::from_millis(2_000), absent.clone()));
        assert!(flights.of("p").is_none(), "whether it was taken is not known");
        flights.accepted(creation, None, POLL);
        flights.observe(&Known::seen(Time::from_millis(2_000), absent));
        assert!(flights.of("p").is_some());
        flights.observe(&seen(3_000, "Creating"));
        assert!(flights.of("p").is_some());
        flights.observe(&seen(4_000, "Succeeded"));
        assert!(flights.of("p").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn while_its_operation_runs_a_pool_at_rest_is_an_old_picture() {
        let mut flights = Flights::default();
        flights.accepted(write(), Some(operation()), POLL);
        flights.observe(&seen(2_000, "Succeeded"));
        assert!(flights.of("p").is_some() && flights.are_to_be_seen() && flights.followed().is_empty());
        flights.observe(&seen(2_500, "Scaling"));
        assert!(!flights.are_to_be_seen() && flights.followed().contains("apps"));

        let ended = Progress::Ended(End::Succeeded);
        assert!(flights.progressed("apps", ended, Time::from_millis(9_000), POLL));
        flights.observe(&seen(9_000, "Succeeded"));
        assert!(flights.of("p").is_some() && flights.are_to_be_seen(), "the pool is looked at after the end");
        flights.observe(&seen(9_001, "Succeeded"));
        assert!(flights.of("p").is_none());
        assert_eq!(flights.end_of("p"), Some(&End::Succeeded));
        flights.end_is_recorded("p");
        assert_eq!(flights.end_of("p"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_is_asked_about_when_it_is_due() {
        let mut flights = Flights::default();
        flights.accepted(write(), Some(operation()), POLL);
        assert!(flights.due().is_empty());
        let mut waited = Vec::new();
        for asked in [None, Some(Duration::from_secs(1)), Some(Duration::from_secs(30))] {
            let wait = flights.next_poll().unwrap() - Instant::now();
            tokio::time::advance(wait).await;
            waited.push(wait.as_secs());
            assert_eq!(flights.due().len(), 1);
            assert!(!flights.progressed("apps", running(asked), Time::from_millis(2_000), POLL));
            assert!(flights.due().is_empty());
        }
        waited.push((flights.next_poll().unwrap() - Instant::now()).as_secs());
        assert_eq!(waited, [5, 5, 5, 30]);
        tokio::time::advance(LONGEST_FOLLOWED).await;
        assert!(flights.progressed("apps", running(None), Time::from_millis(2_000), POLL), "not for ever");
        assert!(flights.next_poll().is_none() && flights.of("p").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_tells_nothing_leaves_it_to_the_pool() {
        let mut flights = Flights::default();
        flights.accepted(write(), Some(operation()), POLL);
        let untold = Progress::Untold { why: "403".into() };
        assert!(flights.progressed("apps", untold, Time::from_millis(2_000), POLL));
        assert!(flights.of("p").is_some() && flights.end_of("p").is_none());
        flights.observe(&counting(2_001, 2));
        assert!(flights.of("p").is_none());
        assert!(!flights.progressed("apps", running(None), Time::from_millis(2_000), POLL), "it is gone");
    }
}
