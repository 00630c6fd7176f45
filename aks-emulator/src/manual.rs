//! A clock that stands still until somebody moves it: who sleeps on it, and when all that it woke has come to rest.
//! Never moves by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::service::Service;

/// How long, in real time, an advance waits altogether for what it woke.
const PATIENCE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The turns of the work that runs in this task.
    static TURNS: RefCell<Vec<Turn>>;
}

/// The manual clock of a running emulator, from [`Emulator::clock`](crate::Emulator::clock). Time stands still unless
/// it is moved; it is the service's time, that is, recorded durations divided by the time scale.
#[derive(Clone, Copy)]
pub struct ManualClock<'a> {
    service: &'a Service,
    hands: &'a Hands,
}

impl std::fmt::Debug for ManualClock<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ManualClock({})", self.now())
    }
}

impl<'a> ManualClock<'a> {
    pub(crate) fn of(service: &'a Service) -> Option<Self> {
        service.clock.hands().map(|hands| Self { service, hands })
    }

    /// What the service reads as now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.hands.now()
    }

    /// Moves time forward. Everything due happens in order and at its own time, and has come to rest when this
    /// returns `true`: it ended, waits on the clock again, or is held. `false` means that something still worked after
    /// 10 s of real time, such as nodes that do not become Ready; it goes on in the background.
    pub async fn advance(&self, by: Duration) -> bool {
        let settled = self.hands.advance(by).await;
        self.keep();
        settled
    }

    /// Moves time to the next moment at which something is due, as [`ManualClock::advance`] does, and says how far
    /// that was; `None` if nothing waits for time.
    pub async fn advance_to_next(&self) -> Option<Duration> {
        self.hands.settle(Instant::now() + PATIENCE).await;
        let next = self.hands.next()?;
        let by = Duration::try_from(next.duration_since(self.now())).unwrap_or_default();
        self.advance(by).await;
        Some(by)
    }

    /// Keeps the time in the state, so that a restart goes on from it.
    fn keep(&self) {
        self.service.change(|_| ());
    }
}

/// A time of the service, and what waits for later ones.
#[derive(Debug)]
pub(crate) struct Hands {
    face: Mutex<Face>,
    busy: Arc<watch::Sender<usize>>,
    moving: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Face {
    now: Timestamp,
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<Turn>>,
    last: u64,
}

impl Hands {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            face: Mutex::new(Face { now, sleepers: BTreeMap::new(), last: 0 }),
            busy: Arc::new(watch::Sender::new(0)),
            moving: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.face().now
    }

    pub(crate) fn turn(&self) -> Turn {
        self.busy.send_modify(|count| *count += 1);
        Turn(Some(self.busy.clone()))
    }

    /// Waits until the clock shows a time. The task's turn ends meanwhile, and whoever moves the clock gives it a new
    /// one.
    pub(crate) async fn sleep_until(&self, deadline: Timestamp) {
        let woken = {
            let mut face = self.face();
            if deadline <= face.now {
                return;
            }
            face.last += 1;
            let (wake, woken) = oneshot::channel();
            let place = (deadline, face.last);
            face.sleepers.insert(place, wake);
            woken
        };
        give_up_turn();
        // The sender goes away unused only together with the clock.
        if let Ok(turn) = woken.await {
            take_turn(turn);
        }
    }

    async fn advance(&self, by: Duration) -> bool {
        let _alone = self.moving.lock().await;
        let patience = Instant::now() + PATIENCE;
        let target = later(self.now(), by);
        let mut settled = self.settle(patience).await;
        while self.step(target) {
            settled = self.settle(patience).await;
        }
        settled
    }

    /// Moves to the next time at which a sleeper is due and wakes it; to the target and `false` if none is before.
    fn step(&self, target: Timestamp) -> bool {
        let mut face = self.face();
        let Some(next) = face.next().filter(|next| *next <= target) else {
            face.now = face.now.max(target);
            return false;
        };
        face.now = next;
        while let Some(sleeper) = face.sleepers.first_entry().filter(|sleeper| sleeper.key().0 <= next) {
            // One that went away meanwhile gives the turn back.
            sleeper.remove().send(self.turn()).ok();
        }
        true
    }

    /// When the next sleeper is due.
    fn next(&self) -> Option<Timestamp> {
        self.face().next()
    }

    /// Waits until nobody has a turn; `false` if somebody still has at the deadline.
    async fn settle(&self, deadline: Instant) -> bool {
        let mut busy = self.busy.subscribe();
        let quiet = busy.wait_for(|count| *count == 0);
        tokio::time::timeout_at(deadline, quiet).await.is_ok()
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Face {
    fn next(&mut self) -> Option<Timestamp> {
        self.sleepers.retain(|_, sleeper| !sleeper.is_closed());
        self.sleepers.keys().next().map(|(deadline, _)| *deadline)
    }
}

/// The right to work that keeps the clock unsettled; none on a real clock.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<Arc<watch::Sender<usize>>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(busy) = &self.0 {
            busy.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

/// Runs work in a turn that ends with it or with its waits.
pub(crate) async fn in_turn<T>(turn: Turn, work: impl Future<Output = T>) -> T {
    TURNS.scope(RefCell::new(vec![turn]), work).await
}

/// Ends the turns of this task, if it has any.
pub(crate) fn give_up_turn() {
    let turns = TURNS.try_with(RefCell::take).unwrap_or_default();
    drop(turns);
}

/// Gives this task a turn. Work outside of any turn keeps nobody waiting.
pub(crate) fn take_turn(turn: Turn) {
    TURNS.try_with(|turns| turns.borrow_mut().push(turn)).ok();
}

/// A time this long after another; the last that can be told where there is none.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn note_twice(hands: &Hands, seconds: [u64; 2], noted: &Mutex<Vec<Timestamp>>) {
        for seconds in seconds {
            hands.sleep_until(later(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))).await;
            noted.lock().unwrap().push(hands.now());
        }
    }

    #[tokio::test]
    async fn sleepers_wake_in_order_at_their_own_times_and_then_all_is_settled() {
        let hands = Arc::new(Hands::new(Timestamp::UNIX_EPOCH));
        let noted = Arc::new(Mutex::new(Vec::new()));
        for seconds in [[4, 9], [5, 6], [5, 100]] {
            let (hands, noted) = (hands.clone(), noted.clone());
            let turn = hands.turn();
            tokio::spawn(in_turn(turn, async move { note_twice(&hands, seconds, &noted).await }));
        }
        assert!(hands.advance(Duration::from_secs(3)).await && noted.lock().unwrap().is_empty());
        assert!(hands.advance(Duration::from_secs(6)).await);
        let seconds: Vec<i64> = noted.lock().unwrap().iter().map(|at| at.as_second()).collect();
        assert_eq!(seconds, [4, 5, 5, 6, 9]);
        assert_eq!((hands.now().as_second(), hands.next().unwrap().as_second()), (9, 100));
    }

    #[tokio::test]
    async fn who_went_away_is_not_waited_for() {
        let hands = Hands::new(Timestamp::UNIX_EPOCH);
        let soon = later(hands.now(), Duration::from_secs(1));
        let sleeping = tokio::time::timeout(Duration::from_millis(1), hands.sleep_until(soon));
        assert!(sleeping.await.is_err());
        assert_eq!(hands.next(), None);
        assert!(hands.advance(Duration::from_secs(2)).await);
        hands.sleep_until(soon).await;
    }
}
