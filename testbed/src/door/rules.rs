//! Which requests a door holds or cuts, and the handles by which a test controls that; never forwards anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::bail;
use tokio::sync::{Semaphore, watch};

use super::Request;

/// How long [`Held::arrived`] and [`Dropped::arrived`] wait.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// Which requests a rule is for: those that fit everything that was named.
pub struct Match {
    conditions: Vec<Condition>,
    times: usize,
    words: Vec<String>,
}

type Condition = Box<dyn Fn(&Request) -> bool + Send + Sync>;

impl Match {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self { conditions: Vec::new(), times: usize::MAX, words: Vec::new() }
    }

    /// Requests with this method, such as `PUT`.
    #[must_use]
    pub fn method(method: &str) -> Self {
        let wanted = method.to_ascii_uppercase();
        Self::any().and(wanted.clone(), move |request| request.method == wanted)
    }

    /// Requests that ask for a change.
    #[must_use]
    pub fn writes() -> Self {
        Self::any().and("writes".to_owned(), Request::is_write)
    }

    /// Of those, requests whose path contains `part`.
    #[must_use]
    pub fn path_contains(self, part: &str) -> Self {
        let wanted = part.to_owned();
        self.and(format!("path with {part:?}"), move |request| request.path.contains(&wanted))
    }

    /// Of those, requests whose path ends with `part`.
    #[must_use]
    pub fn path_ends_with(self, part: &str) -> Self {
        let wanted = part.to_owned();
        self.and(format!("path to {part:?}"), move |request| request.path.ends_with(&wanted))
    }

    /// Of those, requests that `fits` answers true for.
    #[must_use]
    pub fn when(self, fits: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.and("a condition".to_owned(), fits)
    }

    /// Only the first `times` of them; the rest pass.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    fn and(mut self, word: String, fits: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.words.push(word);
        self.conditions.push(Box::new(fits));
        self
    }

    fn fits(&self, request: &Request) -> bool {
        self.conditions.iter().all(|condition| condition(request))
    }
}

/// Where on its way a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Before,
    After,
}

/// What the rules say about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Cut,
}

enum Action {
    /// Held until a permit is there, or the semaphore is closed.
    Hold(Semaphore),
    Cut,
}

struct Rule {
    stage: Stage,
    matching: Match,
    left: AtomicUsize,
    action: Action,
    arrived: watch::Sender<Vec<Arc<Request>>>,
}

impl Rule {
    /// Counts this request if the rule is for it.
    fn takes(&self, stage: Stage, request: &Arc<Request>) -> bool {
        let fits = self.stage == stage && self.matching.fits(request);
        let taken =
            fits && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if taken {
            self.arrived.send_modify(|arrived| arrived.push(request.clone()));
        }
        taken
    }
}

type List = Mutex<Vec<Arc<Rule>>>;

#[derive(Default)]
pub(super) struct Rules(Arc<List>);

impl Rules {
    pub(super) fn hold(&self, stage: Stage, matching: Match) -> Held {
        Held(self.add(stage, matching, Action::Hold(Semaphore::new(0))))
    }

    pub(super) fn cut(&self, stage: Stage, matching: Match) -> Dropped {
        Dropped(self.add(stage, matching, Action::Cut))
    }

    fn add(&self, stage: Stage, matching: Match, action: Action) -> Handle {
        let left = AtomicUsize::new(matching.times);
        let rule = Arc::new(Rule { stage, matching, left, action, arrived: watch::Sender::new(Vec::new()) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rule.clone());
        Handle { rule, rules: Arc::downgrade(&self.0), seen: AtomicUsize::new(0) }
    }

    /// Returns when no rule holds the request any more.
    pub(super) async fn meet(&self, stage: Stage, request: &Arc<Request>) -> Verdict {
        let rules = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for rule in rules {
            if !rule.takes(stage, request) {
                continue;
            }
            match &rule.action {
                Action::Cut => return Verdict::Cut,
                Action::Hold(semaphore) => {
                    if let Ok(permit) = semaphore.acquire().await {
                        permit.forget();
                    }
                }
            }
        }
        Verdict::Pass
    }
}

struct Handle {
    rule: Arc<Rule>,
    rules: Weak<List>,
    seen: AtomicUsize,
}

impl Handle {
    async fn arrived(&self) -> anyhow::Result<Arc<Request>> {
        let index = self.seen.fetch_add(1, Ordering::SeqCst);
        let mut arrived = self.rule.arrived.subscribe();
        let next = tokio::time::timeout(ARRIVES_WITHIN, arrived.wait_for(|all| all.len() > index)).await;
        match next {
            Ok(Ok(all)) => all.get(index).cloned().ok_or_else(|| anyhow::anyhow!("the request is gone")),
            _ => {
                bail!("no request ({}) came to the door within {ARRIVES_WITHIN:?}", self.rule.matching.words.join(", "))
            }
        }
    }

    fn count(&self) -> usize {
        self.rule.arrived.borrow().len()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(rules) = self.rules.upgrade() {
            rules.lock().unwrap_or_else(PoisonError::into_inner).retain(|rule| !Arc::ptr_eq(rule, &self.rule));
        }
        if let Action::Hold(semaphore) = &self.rule.action {
            semaphore.close();
        }
    }
}

/// Requests held at a door. Dropping it lets them go on and ends the rule.
pub struct Held(Handle);

impl Held {
    /// Waits until the next request has come, each in turn, and tells what it is.
    ///
    /// # Errors
    /// When none comes within 30 seconds.
    pub async fn arrived(&self) -> anyhow::Result<Arc<Request>> {
        self.0.arrived().await
    }

    /// How many have come so far, those that were let go on included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// Lets one go on, the one that came first; later ones are held as before.
    pub fn release_one(&self) {
        if let Action::Hold(semaphore) = &self.0.rule.action {
            semaphore.add_permits(1);
        }
    }

    /// Lets all go on and ends the rule.
    pub fn release(self) {
        drop(self);
    }
}

/// A rule that cuts connections. Dropping it ends the rule.
pub struct Dropped(Handle);

impl Dropped {
    /// Waits until the next request has been cut, each in turn, and tells what it was.
    ///
    /// # Errors
    /// When none comes within 30 seconds.
    pub async fn arrived(&self) -> anyhow::Result<Arc<Request>> {
        self.0.arrived().await
    }

    /// How many were cut so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }
}
