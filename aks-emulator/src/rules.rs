//! Rules that a test lays over the emulator: requests and operations that are held, answers given instead of
//! handling. Never changes state itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::Exchange;

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

    fn matches(&self, request: &Exchange) -> bool {
        self.tests.iter().all(|test| test(request))
    }
}

/// An answer to give instead of handling a request.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Status.
    pub status: u16,
    /// Headers; `Content-Type` is `application/json` unless given.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Canned {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    /// An error as the resource provider shapes it.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"code": code, "details": null, "message": message, "subcode": ""}))
    }

    /// An answer with another content type, such as a proxy's page.
    #[must_use]
    pub fn text(status: u16, content_type: &str, body: &str) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.to_owned() }
    }

    /// The same with a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
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

/// Answers instead of handling, until it is dropped or has answered as often as asked.
#[derive(Debug)]
#[must_use = "the fault ends as soon as this is dropped"]
pub struct Fault {
    rule: Arc<FaultRule>,
}

impl Fault {
    /// How many requests were answered by it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rule.state().answered
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.rule.state().left = Some(0);
    }
}

#[derive(Debug)]
struct FaultRule {
    matcher: Matcher,
    answer: Canned,
    state: Mutex<FaultState>,
}

#[derive(Debug)]
struct FaultState {
    left: Option<usize>,
    answered: usize,
}

impl FaultRule {
    fn state(&self) -> MutexGuard<'_, FaultState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Exchange) -> Option<Canned> {
        if !self.matcher.matches(request) {
            return None;
        }
        let mut state = self.state();
        match &mut state.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        state.answered += 1;
        Some(self.answer.clone())
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
    faults: Vec<Arc<FaultRule>>,
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

    pub(crate) fn respond(&self, matcher: Matcher, answer: Canned, times: Option<usize>) -> Fault {
        let rule = Arc::new(FaultRule { matcher, answer, state: Mutex::new(FaultState { left: times, answered: 0 }) });
        self.set().faults.push(rule.clone());
        Fault { rule }
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

    /// The answer of the first fault that matches, if any.
    pub(crate) fn fault(&self, request: &Exchange) -> Option<Canned> {
        self.set().faults.iter().find_map(|rule| rule.answer(request))
    }

    fn set(&self) -> MutexGuard<'_, RuleSet> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.holds.retain(|(_, barrier)| !*barrier.released.borrow());
        set.stages.retain(|(_, _, barrier)| !*barrier.released.borrow());
        set.faults.retain(|rule| rule.state().left != Some(0));
        set
    }
}
