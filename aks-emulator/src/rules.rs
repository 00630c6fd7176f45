//! Rules that a test lays over the emulator: requests and operations that are held, and the faults of
//! [`faults`](crate::faults). Never changes state itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::failures::Cause;
use crate::faults::{OperationFault, RequestFault, Shortage, Tally};
use crate::{Action, Exchange, Fault};

type Predicate = Arc<dyn Fn(&Exchange) -> bool + Send + Sync>;

/// Which requests a rule is about. An empty matcher matches all; each further call narrows it.
#[derive(Clone, Default)]
pub struct Matcher {
    tests: Vec<Predicate>,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Matcher({} tests)", self.tests.len())
    }
}

impl Matcher {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of a method.
    #[must_use]
    pub fn method(method: &str) -> Self {
        let method = method.to_owned();
        Self::any().when(move |request| request.method.eq_ignore_ascii_case(&method))
    }

    /// PUTs of one pool.
    #[must_use]
    pub fn put_pool(pool: &str) -> Self {
        Self::method("PUT").path_ends_with(&format!("/agentPools/{pool}"))
    }

    /// Narrowed to paths that contain this, in any case.
    #[must_use]
    pub fn path_contains(self, part: &str) -> Self {
        let part = part.to_ascii_lowercase();
        self.when(move |request| request.path.to_ascii_lowercase().contains(&part))
    }

    /// Narrowed to paths that end with this, in any case.
    #[must_use]
    pub fn path_ends_with(self, end: &str) -> Self {
        let end = end.to_ascii_lowercase();
        self.when(move |request| request.path.to_ascii_lowercase().ends_with(&end))
    }

    /// Narrowed to requests whose `User-Agent` contains this.
    #[must_use]
    pub fn user_agent(self, part: &str) -> Self {
        let part = part.to_owned();
        self.when(move |request| request.user_agent().contains(&part))
    }

    /// Narrowed to requests that hold for the test. The exchange has no answer yet.
    #[must_use]
    pub fn when(mut self, test: impl Fn(&Exchange) -> bool + Send + Sync + 'static) -> Self {
        self.tests.push(Arc::new(test));
        self
    }

    pub(crate) fn matches(&self, request: &Exchange) -> bool {
        self.tests.iter().all(|test| test(request))
    }
}

/// What waits at a hold, shared by the holder and those who are held.
#[derive(Debug)]
struct Barrier {
    arrived: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

/// Keeps requests, or an operation, from going on until it is released or dropped.
#[derive(Debug)]
#[must_use = "what is held goes on as soon as this is dropped"]
pub struct Hold {
    barrier: Arc<Barrier>,
}

impl Hold {
    fn new() -> Self {
        Self { barrier: Arc::new(Barrier { arrived: watch::Sender::new(0), released: watch::Sender::new(false) }) }
    }

    /// Returns as soon as something is held, or was.
    pub async fn arrived(&self) {
        let mut arrived = self.barrier.arrived.subscribe();
        // The sender lives in the barrier, so this cannot fail.
        let _ = arrived.wait_for(|count| *count > 0).await;
    }

    /// [`Hold::arrived`] with a deadline; whether something arrived before it.
    pub async fn arrived_within(&self, deadline: Duration) -> bool {
        tokio::time::timeout(deadline, self.arrived()).await.is_ok()
    }

    /// How many have arrived so far.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.barrier.arrived.borrow()
    }

    /// Lets go of everything that is held; nothing is held afterwards.
    pub fn release(&self) {
        self.barrier.released.send_replace(true);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

impl Barrier {
    async fn pass(&self) {
        if *self.released.borrow() {
            return;
        }
        self.arrived.send_modify(|count| *count += 1);
        let mut released = self.released.subscribe();
        let _ = released.wait_for(|released| *released).await;
    }
}

/// Where an operation can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before any node is touched.
    BeforeNodes,
    /// After the nodes are done, before the operation ends.
    BeforeEnd,
}

/// All rules in force.
#[derive(Debug, Default)]
pub(crate) struct Rules(Mutex<RuleSet>);

#[derive(Debug, Default)]
struct RuleSet {
    holds: Vec<(Matcher, Arc<Barrier>)>,
    faults: Vec<RequestFault>,
    failures: Vec<OperationFault>,
    shortages: Vec<Shortage>,
    stages: Vec<(String, Stage, Arc<Barrier>)>,
}

impl Rules {
    pub(crate) fn hold(&self, matcher: Matcher) -> Hold {
        let hold = Hold::new();
        self.set().holds.push((matcher, hold.barrier.clone()));
        hold
    }

    pub(crate) fn hold_operation(&self, pool: &str, stage: Stage) -> Hold {
        let hold = Hold::new();
        let rule = (pool.to_ascii_lowercase(), stage, hold.barrier.clone());
        self.set().stages.push(rule);
        hold
    }

    pub(crate) fn fault(&self, matcher: Matcher, action: Action, times: Option<usize>) -> Fault {
        let tally = Tally::new(times);
        self.set().faults.push(RequestFault { matcher, action, tally: tally.clone() });
        Fault { tally }
    }

    pub(crate) fn fail_operations(&self, pool: &str, cause: Cause, times: Option<usize>) -> Fault {
        let tally = Tally::new(times);
        self.set().failures.push(OperationFault { pool: pool.to_owned(), cause, tally: tally.clone() });
        Fault { tally }
    }

    /// Lets operations on a pool that lack more nodes than this fail once those are created.
    pub(crate) fn fall_short(&self, pool: &str, cause: Cause, after_nodes: usize, times: Option<usize>) -> Fault {
        let tally = Tally::new(times);
        self.set().shortages.push(Shortage { pool: pool.to_owned(), cause, after_nodes, tally: tally.clone() });
        Fault { tally }
    }

    /// Waits as long as a hold matches the request.
    pub(crate) async fn pass(&self, request: &Exchange) {
        let barriers: Vec<_> = self
            .set()
            .holds
            .iter()
            .filter(|(matcher, _)| matcher.matches(request))
            .map(|(_, barrier)| barrier.clone())
            .collect();
        for barrier in barriers {
            barrier.pass().await;
        }
    }

    /// Waits as long as the operation of a pool is held at a stage.
    pub(crate) async fn pass_stage(&self, pool: &str, stage: Stage) {
        let barriers: Vec<_> = self
            .set()
            .stages
            .iter()
            .filter(|(name, at, _)| name.eq_ignore_ascii_case(pool) && *at == stage)
            .map(|(_, _, barrier)| barrier.clone())
            .collect();
        for barrier in barriers {
            barrier.pass().await;
        }
    }

    /// What the first fault that matches does to a request, if any does.
    pub(crate) fn action(&self, request: &Exchange) -> Option<Action> {
        self.set().faults.iter().find_map(|fault| fault.take(request))
    }

    /// Why an operation on a pool is to fail, if it is.
    pub(crate) fn failure(&self, pool: &str) -> Option<Cause> {
        let set = self.set();
        let fault = set.failures.iter().find(|fault| fault.pool.eq_ignore_ascii_case(pool) && fault.tally.take())?;
        Some(fault.cause.clone())
    }

    /// What comes before a pool has all the nodes it lacks, if something does.
    pub(crate) fn shortage(&self, pool: &str, missing: usize) -> Option<Shortage> {
        let set = self.set();
        let mut shortages = set.shortages.iter().filter(|shortage| shortage.pool.eq_ignore_ascii_case(pool));
        shortages.find(|shortage| shortage.after_nodes < missing && shortage.tally.take()).cloned()
    }

    fn set(&self) -> MutexGuard<'_, RuleSet> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.holds.retain(|(_, barrier)| !*barrier.released.borrow());
        set.stages.retain(|(_, _, barrier)| !*barrier.released.borrow());
        set.faults.retain(|fault| !fault.tally.is_over());
        set.failures.retain(|fault| !fault.tally.is_over());
        set.shortages.retain(|shortage| !shortage.tally.is_over());
        set
    }
}
