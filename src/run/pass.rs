//! One pass over the whole cluster: observe, plan, guard, act, report. One pass runs at a time, and never waits for an
//! operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nodepool_kernel::{
    Approved, InFlight, Known, Plan, PolicyPlan, Problem, Settings, Snapshot, Step, Time, Verdict, decide, plan,
};
use tokio::time::Instant;

use super::arguments::Arguments;
use super::ends::retry_at;
use super::farewell;
use super::finalizers::Finalizers;
use super::flights::Flights;
use super::inventory::Bulletin;
use super::joins::Joins;
use super::ledger::Ledger;
use super::logging::Log;
use super::sight;
use super::wake::Wake;
use crate::act::{Hands, Outcome, act};
use crate::api::{NodePoolPolicy, is_look_due};
use crate::arm::ArmClient;
use crate::clock::now;
use crate::health::Health;
use crate::leadership::Leadership;
use crate::metrics::{Figures, PassedRules};
use crate::observe::{Observer, PolicyRow, PolicyVersion, Store};
use crate::report::{Publisher, own_what_is_named, take_outcome};

/// For how long after the start a status that another process left stands while first lists arrive.
const ARRIVAL: Duration = Duration::from_mins(1);

/// Everything that a pass needs, with the parts of it that are told in `drains`, `ends`, `farewell` and `telling`.
pub(super) struct Pass {
    pub(super) arguments: Arguments,
    /// How often ARM is read at rest, with this process's share of jitter.
    pub(super) refresh_interval: Duration,
    pub(super) settings: Settings,
    pub(super) arm: Arc<ArmClient>,
    /// For single requests; writes only while this replica leads.
    pub(super) client: kube::Client,
    pub(super) leadership: Leadership,
    pub(super) health: Health,
    /// For watches, which may be silent for long.
    pub(super) watched_lists: crate::observe::Lists,
    pub(super) observer: Observer,
    pub(super) store: Arc<Store>,
    pub(super) publisher: Publisher,
    pub(super) wake: Arc<Wake>,
    pub(super) ledger: Ledger,
    pub(super) flights: Flights,
    pub(super) joins: Joins,
    pub(super) finalizers: Finalizers,
    pub(super) bulletin: Bulletin,
    pub(super) log: Log,
    pub(super) passed_rules: PassedRules,
    pub(super) figures: Figures,
    /// The versions of the policies that the plan is about.
    pub(super) planned: BTreeMap<String, PolicyVersion>,
    /// When this process began to watch.
    pub(super) begun: Instant,
    /// Whether first lists were on their way when the pass began: what is not known for that is no news to anybody.
    pub(super) is_arriving: bool,
    pub(super) stopping: tokio_util::sync::CancellationToken,
}

impl Pass {
    /// Makes one pass and tells when the next one is due at the latest.
    pub(super) async fn run(&mut self) -> Instant {
        self.health.lives();
        self.figures.begin();
        self.log.follow(self.store.log_filter());
        self.is_arriving = self.store.is_arriving() && self.begun.elapsed() < ARRIVAL;
        let ended = self.follow().await;
        if ended || self.is_arm_due() {
            self.refresh().await;
        }
        let (mut snapshot, mut plan) = self.plan();
        if self.is_older_than_the_policies() && (asks_for_anything(&plan) || self.is_look_due()) {
            self.refresh().await;
            (snapshot, plan) = self.plan();
        }
        if self.joins.look(&self.store.policies(), &snapshot, &self.observer).await {
            (snapshot, plan) = self.plan();
        }
        if self.know_dependents(&snapshot, &plan).await {
            (snapshot, plan) = self.plan();
        }
        if self.know_occupancy(&snapshot, &plan).await {
            (snapshot, plan) = self.plan();
        }
        let mut verdicts = self.decide(&plan, &mut snapshot).await;
        if self.know_upgrades(&snapshot, &plan, &verdicts).await {
            (snapshot, plan) = self.plan();
            verdicts = self.decide(&plan, &mut snapshot).await;
        }
        if self.give_up(&plan, &verdicts, &snapshot).await {
            (snapshot, plan) = self.plan();
            verdicts = self.decide(&plan, &mut snapshot).await;
        }
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Approved(_))) {
            self.act_on(verdicts).await;
            (snapshot, plan) = self.plan();
            if self.know_occupancy(&snapshot, &plan).await {
                (snapshot, plan) = self.plan();
            }
            verdicts = self.decide(&plan, &mut snapshot).await;
        }
        self.ledger.held_up(waiting(&plan, &verdicts), snapshot.now);
        for policy in plan.policies.iter().filter(|policy| policy.steps.is_empty() && policy.problems.is_empty()) {
            self.ledger.reached(&policy.policy);
        }
        self.keep_finalizers(&plan).await;
        self.report(&snapshot, &plan, &verdicts).await;
        self.report_inventory(&snapshot).await;
        self.figures.observe(&snapshot, &verdicts);
        self.health.saw(sight::lacking(&snapshot, &self.settings));
        let due = self.next_pass(&snapshot, &verdicts);
        self.health.lives_until(due);
        due
    }

    /// Whether whoever comes next sees everything that this process has written. Looks once more if it does not know.
    pub(super) async fn is_all_seen(&mut self) -> bool {
        if self.flights.are_unseen() {
            self.refresh().await;
            self.flights.observe(&self.observer.cluster());
        }
        !self.flights.are_unseen()
    }

    /// The snapshot and the plan on it, with the ends of operations recorded first: whether a failed one is tried again,
    /// and when, is part of the plan.
    fn plan(&mut self) -> (Snapshot, Plan) {
        self.flights.observe(&self.observer.cluster());
        let (snapshot, plan) = self.plan_once();
        if self.record_ends(&snapshot, &plan) { self.plan_once() } else { (snapshot, plan) }
    }

    fn plan_once(&mut self) -> (Snapshot, Plan) {
        // Before the snapshot: a policy that changes in between counts as one that was not planned.
        self.planned = self.store.versions();
        let mut snapshot = self.observer.snapshot(self.flights.all());
        if let Known::Seen { value: intents, .. } = &mut snapshot.intents {
            for intent in intents {
                intent.waits_since = self.ledger.held_up_since(&intent.policy);
            }
        }
        let mut plan = plan(&snapshot, &self.settings);
        if self.observer.is_cluster_gone() {
            farewell::let_go(&mut plan, &snapshot);
        }
        (snapshot, plan)
    }

    /// Whether the plan is about the policy as it is. If it has changed since, the next pass is about it.
    pub(super) fn is_as_planned(&self, name: &str, row: &PolicyRow) -> bool {
        self.planned.get(name) == Some(&row.version())
    }

    /// Decides on the plan, and reads where pods could run if a step moves any.
    async fn decide(&self, plan: &Plan, snapshot: &mut Snapshot) -> Vec<Verdict> {
        let mut verdicts = decide(plan, snapshot, &self.settings);
        let mut asked = BTreeSet::new();
        loop {
            let refusals = verdicts.iter().filter_map(|verdict| match verdict {
                Verdict::Refused(refusal) => Some(refusal),
                Verdict::Approved(_) | Verdict::Waits { .. } => None,
            });
            let lacking: BTreeSet<String> =
                refusals.flat_map(|refusal| refusal.lacks_places_of(snapshot, &self.settings)).cloned().collect();
            if lacking.is_subset(&asked) {
                break;
            }
            asked.extend(lacking);
            snapshot.places = self.observer.places(&asked, self.arguments.arm_poll_seconds).await;
            verdicts = decide(plan, snapshot, &self.settings);
        }
        if asked.is_empty() {
            self.observer.forget_places();
        }
        verdicts
    }

    /// Asks once about each operation that is due. Tells whether one has ended, or tells nothing any more.
    async fn follow(&mut self) -> bool {
        let mut ended = false;
        for (pool, operation) in self.flights.due() {
            let progress = self.arm.poll(&operation).await;
            ended |= self.flights.progressed(&pool, progress, now(), self.arguments.arm_poll_seconds);
        }
        ended
    }

    pub(super) async fn refresh(&self) {
        if let Err(error) = self.observer.refresh().await {
            let (correlation, to_do) = (error.correlation(), error.missing_permission());
            tracing::warn!(%error, correlation, to_do, "the cluster could not be read from ARM; it is read again");
        }
    }

    fn is_arm_due(&self) -> bool {
        self.observer.arm_read_at().is_none_or(|at| Instant::now() >= at + self.arm_interval())
    }

    /// How often ARM is read now: seldom while nothing happens, often while an operation runs, less and less often while
    /// ARM can't be read.
    fn arm_interval(&self) -> Duration {
        let (poll, refresh) = (self.arguments.arm_poll_seconds, self.refresh_interval);
        if let Some(failures) = self.observer.failed_reads() {
            return poll.saturating_mul(2_u32.saturating_pow(failures.get().min(16) - 1)).min(refresh.max(poll));
        }
        let busy = self.observer.is_busy_beyond(&self.flights.followed()) || self.flights.are_to_be_seen();
        if busy || self.ledger.next_delay().is_some() { poll } else { refresh }
    }

    /// Whether a policy was written after ARM was last read: what is about to be done or refused needs a newer view.
    pub(super) fn is_older_than_the_policies(&self) -> bool {
        self.wake
            .policy_changed_at()
            .is_some_and(|changed| self.observer.arm_read_at().is_none_or(|read| read < changed))
    }

    /// Whether somebody asks for a fresh look at ARM.
    fn is_look_due(&self) -> bool {
        let asks = |row: &PolicyRow| matches!(row, PolicyRow::Valid(policy) if is_look_due(policy));
        self.store.policies().values().any(asks)
    }

    /// Carries out what is approved and not delayed.
    async fn act_on(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            let Verdict::Approved(approved) = verdict else { continue };
            if self.stopping.is_cancelled() || self.ledger.delayed(&approved.get().policy).is_some() {
                continue;
            }
            self.health.lives();
            self.carry_out(approved).await;
        }
    }

    async fn carry_out(&mut self, approved: Approved<Step>) {
        let step = approved.get().clone();
        if !self.own_keys(&step).await || !self.record_image(&step).await {
            return;
        }
        if !self.record_passed(&approved).await {
            return;
        }
        let Ok(recorded) = self.record_bulk(&step).await else { return };
        let hands = Hands { arm: &self.arm, client: &self.client, leadership: &self.leadership };
        let outcome = act(approved, &self.observer, hands, &self.flights.all(), &self.settings).await;
        let Step { policy, pool, change } = &step;
        tracing::info!(policy, pool, step = %change, %outcome, correlation = outcome.correlation(), "acted");
        self.settle_bulk(recorded, &outcome).await;
        if let Outcome::Made { .. } = outcome {
            self.tell_of_nodes(&step).await;
        }
        self.take(&step, &outcome);
    }

    /// Stores which labels and tags the policy owns before a write that depends on it: after a crash they are known.
    async fn own_keys(&mut self, step: &Step) -> bool {
        if step.change.ends_drain() {
            return true;
        }
        let Some(policy) = self.policy(&step.policy) else { return false };
        let mut status = policy.status.clone().unwrap_or_default();
        if step.change.deletes() || !own_what_is_named(&policy, &mut status) {
            return true;
        }
        self.publish(&policy, status).await
    }

    fn take(&mut self, step: &Step, outcome: &Outcome) {
        self.figures.acted(step, outcome);
        let poll = self.arguments.arm_poll_seconds;
        match outcome {
            Outcome::Accepted { at, operation, .. } => {
                self.flights.accepted(InFlight { step: step.clone(), since: *at }, operation.clone(), poll);
                self.ledger.accepted(&step.policy);
            }
            Outcome::Made { .. } => {
                self.observer.outdate_occupancy(&step.pool);
                self.ledger.accepted(&step.policy);
                self.ledger.delay(&step.policy, poll, None, "the last change is being observed".to_owned());
            }
            Outcome::Unknown { at, error } => {
                self.flights.lost(InFlight { step: step.clone(), since: *at });
                self.ledger.delay(&step.policy, poll, None, error.clone());
            }
            Outcome::Superseded | Outcome::Refused(_) => {
                let changed = || "the cluster has just changed and is read again".to_owned();
                self.ledger.delay(&step.policy, poll, None, outcome.unseen().unwrap_or_else(changed));
            }
            Outcome::Postponed { after, error } => {
                self.ledger.delay(&step.policy, poll, *after, error.clone());
            }
            Outcome::NotSent { error } => self.ledger.delay(&step.policy, poll, None, error.clone()),
            Outcome::Rejected { .. } => {}
        }
        let base = self.arguments.retry_seconds;
        if let Some(policy) = self.policy(&step.policy) {
            let generation = policy.metadata.generation.unwrap_or_default();
            self.store.change_status(&policy, |status| {
                take_outcome(status, generation, step, outcome, |failures| retry_at(base, failures));
            });
        }
    }

    pub(super) fn policy(&self, name: &str) -> Option<Box<NodePoolPolicy>> {
        match self.store.policies().remove(name) {
            Some(PolicyRow::Valid(policy)) => Some(policy),
            Some(PolicyRow::Malformed { .. }) | None => None,
        }
    }

    pub(super) fn wake_later(&self) {
        let (wake, delay) = (Arc::clone(&self.wake), self.arguments.arm_poll_seconds);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            wake.facts_changed();
        });
    }

    /// When the policies have settled: a while after the last one was written.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        self.wake.policy_changed_at().map(|changed| changed + self.arguments.settle_seconds)
    }

    fn next_pass(&self, snapshot: &Snapshot, verdicts: &[Verdict]) -> Instant {
        let started = Instant::now();
        let read = self.observer.arm_read_at().unwrap_or(started);
        let mut due = read + self.arm_interval();
        let mut at_latest = |at: Option<Instant>| due = at.map_or(due, |at| due.min(at));
        at_latest(self.settles_at().filter(|at| *at > started));
        at_latest(self.ledger.next_delay());
        at_latest(self.dependents_due());
        at_latest(self.occupancy_due());
        at_latest(self.upgrades_due());
        at_latest(self.flights.next_poll());
        at_latest(self.bulletin.due());
        at_latest(self.fuse_due(snapshot, verdicts));
        at_latest(self.observer.places_due());
        at_latest(self.ledger.next_overdue(self.arguments.progress_deadline_seconds));
        let passes = |verdict: &Verdict| match verdict {
            Verdict::Refused(refusal) => !refusal.is_lasting(),
            Verdict::Waits { .. } => true,
            Verdict::Approved(_) => false,
        };
        if verdicts.iter().any(passes) || self.joins.are_any() {
            at_latest(Some(started + self.arguments.arm_poll_seconds));
        }
        if verdicts.iter().any(
            |verdict| matches!(verdict, Verdict::Approved(step) if self.ledger.delayed(&step.get().policy).is_none()),
        ) {
            at_latest(Some(started));
        }
        at_latest(next_attempt(snapshot).map(|at| started + Duration::from_millis(at.since(now()).as_millis())));
        due
    }
}

/// When the next attempt after a refused write is due.
fn next_attempt(snapshot: &Snapshot) -> Option<Time> {
    let intents = snapshot.intents.value()?;
    intents.iter().filter_map(|intent| intent.backing_off(snapshot.now).map(|(_, next)| next)).min()
}

/// The policies with a step that could be made but for other steps.
fn waiting<'a>(plan: &'a Plan, verdicts: &'a [Verdict]) -> impl Iterator<Item = &'a str> {
    let held = |name: &str| plan.of(name).is_some_and(|plan| plan.problems.iter().any(Problem::holds));
    verdicts.iter().filter_map(move |verdict| match verdict {
        Verdict::Waits { step, .. } if !held(&step.policy) => Some(step.policy.as_str()),
        _ => None,
    })
}

/// Whether any policy asks for a change, or can't be fulfilled as ARM was last seen.
fn asks_for_anything(plan: &Plan) -> bool {
    let asks =
        |policy: &PolicyPlan| !policy.steps.is_empty() || !policy.problems.is_empty() || policy.release.is_some();
    plan.policies.iter().any(asks) || !plan.left_behind.is_empty()
}
