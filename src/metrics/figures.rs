//! What passes find and do, in numbers. Never reads anything for it, and tells nothing before the first pass has begun: a
//! process that only stands by has nothing to tell.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nodepool_kernel::{Known, Settings, Snapshot, Span, Step, Time, Verdict};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::cluster::{Carried, Pools, Work};
use super::policies::{Policies, Row};
use super::sheet::Sheet;
use super::steps::Steps;
use super::untold::{Unheard, Untold};
use crate::act::Outcome;
use crate::api::NodePoolPolicyStatus;
use crate::clock::now;
use crate::observe::Store;
use crate::report::Capacity;

/// Upper bounds of the histogram of passes, in seconds: from one that finds nothing to do to one that Azure keeps waiting.
const BOUNDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0];

/// What passes find and do. A copy tells the same.
#[derive(Clone)]
pub struct Figures(Arc<Inner>);

struct Inner {
    store: Arc<Store>,
    /// The oldest view that a decision may rest on.
    stale_after: Span,
    /// Usable system nodes that must remain.
    floor: u32,
    steps: Steps,
    unheard: Unheard,
    durations: Histogram,
    passes: Mutex<Passes>,
}

#[derive(Default)]
struct Passes {
    /// When the first one began.
    first: Option<(Instant, Time)>,
    /// When the one in hand began.
    began: Option<Instant>,
    /// When the last one ended.
    ended: Option<Instant>,
    /// When ARM was last seen.
    arm_seen: Option<Time>,
    found: Option<Found>,
    carried: Option<Carried>,
}

/// What the last pass found.
struct Found {
    policies: Policies,
    pools: Option<Pools>,
    paused: Option<bool>,
}

impl Figures {
    /// Nothing yet; of policies and watches in `store`.
    #[must_use]
    pub fn new(store: Arc<Store>, settings: &Settings) -> Self {
        Self(Arc::new(Inner {
            store,
            stale_after: settings.stale_after,
            floor: settings.min_ready_system_nodes,
            steps: Steps::new(),
            unheard: Unheard::default(),
            durations: Histogram::new(BOUNDS),
            passes: Mutex::default(),
        }))
    }

    fn passes(&self) -> MutexGuard<'_, Passes> {
        self.0.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass begins.
    pub fn begin(&self) {
        let mut passes = self.passes();
        let began = Instant::now();
        passes.first.get_or_insert((began, now()));
        passes.began = Some(began);
    }

    /// A pass ends, with the statuses published that came of it.
    pub fn observe(&self, snapshot: &Snapshot, verdicts: &[Verdict]) {
        let (rows, work): (Vec<Row>, Vec<Option<Work>>) =
            self.0.store.map_published(|status| (Row::of(status), Work::of(status))).into_iter().unzip();
        let work: Vec<Work> = work.into_iter().flatten().collect();
        let found = Found {
            policies: Policies::of(&rows, snapshot, verdicts),
            pools: Pools::of(snapshot, &work),
            paused: snapshot.paused.value().copied(),
        };
        let mut passes = self.passes();
        passes.found = Some(found);
        if let Known::Seen { at, .. } = &snapshot.cluster {
            passes.arm_seen = Some(*at);
        }
        let ended = Instant::now();
        passes.ended = Some(ended);
        if let Some(began) = passes.began.take() {
            self.0.durations.observe((ended - began).as_secs_f64());
        }
    }

    /// What the system pools can carry.
    pub fn can_carry(&self, capacity: &Capacity) {
        self.passes().carried = Some(Carried::of(capacity));
    }

    /// Counts what became of an approved step.
    pub fn acted(&self, step: &Step, outcome: &Outcome) {
        self.0.steps.acted(&step.change.purpose().to_string(), outcome);
    }

    /// Counts what could not be written.
    pub fn untold(&self, what: Untold) {
        self.0.unheard.count(what);
    }

    /// Counts what is news in a status that people can see now.
    pub fn published(&self, old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) {
        self.0.steps.published(old, new);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.0.steps.register(registry);
        self.0.unheard.register(registry);
        registry.register_collector(Box::new(self.clone()));
    }

    /// How old each view is; one that never was counts from the first pass on.
    fn ages(&self, passes: &Passes, since: Time, now: Time) -> impl Iterator<Item = (&'static str, f64)> {
        let watched = self.0.store.seen_at(now);
        let seen = [("arm", passes.arm_seen)].into_iter().chain(watched);
        seen.map(move |(source, at)| (source, now.since(at.unwrap_or(since)).as_secs_f64()))
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (passes, now) = (self.passes(), now());
        let Some((first, since)) = passes.first else { return Ok(()) };
        let mut sheet = Sheet::new(encoder);
        sheet.gauge(
            "last_pass_age_seconds",
            "Time since the last pass ended, or since the first one began",
            passes.ended.unwrap_or(first).elapsed().as_secs_f64(),
        )?;
        sheet.gauges(
            "observation_age_seconds",
            "Age of the view of ARM and of what is watched in Kubernetes; of one that never was, time since the first pass",
            self.ages(&passes, since, now).map(|(source, age)| ([("source", source)], age)),
        )?;
        let limit = self.0.stale_after.as_secs_f64();
        sheet.gauge("observation_age_limit_seconds", "Age beyond which no decision rests on a view", limit)?;
        sheet.gauge("system_nodes_floor", "Usable system nodes that must always remain", self.0.floor.into())?;
        if let Some(carried) = &passes.carried {
            carried.write(&mut sheet)?;
        }
        let Some(found) = &passes.found else { return Ok(()) };
        sheet.metric("pass_duration_seconds", "Time that passes took", &self.0.durations)?;
        let paused = found.paused.map(Into::into);
        sheet.gauge_if_known("paused", "1 while all writes are paused, 0 while they are not", paused)?;
        found.policies.write(now, &mut sheet)?;
        found.pools.as_ref().map_or(Ok(()), |pools| pools.write(&mut sheet))
    }
}
