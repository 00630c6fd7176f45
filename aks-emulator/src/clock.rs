//! The service's time: what it reads as now, and how it waits. Never the pace of looks at a real API server, which
//! keeps real time.

use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;

use crate::manual::{self, Hands, Turn};

/// The time of the emulated service. Durations are at the emulator's pace, that is, already scaled.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The hands that somebody moves; without, time is real.
    manual: Option<Hands>,
}

impl Clock {
    /// A clock that stands still until it is moved.
    pub(crate) fn manual(starts_at: Timestamp) -> Self {
        Self { manual: Some(Hands::new(starts_at)) }
    }

    /// The hands, if somebody moves them.
    pub(crate) fn hands(&self) -> Option<&Hands> {
        self.manual.as_ref()
    }

    /// What the service reads as now.
    pub(crate) fn now(&self) -> Timestamp {
        self.manual.as_ref().map_or_else(Timestamp::now, Hands::now)
    }

    /// How long ago a time of the service was; zero for one to come.
    pub(crate) fn since(&self, at: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(at)).unwrap_or(Duration::ZERO)
    }

    /// Waits until this long after a time of the service.
    pub(crate) async fn sleep_until(&self, at: Timestamp, after: Duration) {
        match &self.manual {
            None => tokio::time::sleep(after.saturating_sub(self.since(at))).await,
            Some(hands) => hands.sleep_until(manual::later(at, after)).await,
        }
    }

    /// What keeps a manual clock from being called settled until it is dropped, or given up by [`Clock::in_turn`].
    pub(crate) fn turn(&self) -> Turn {
        self.manual.as_ref().map(Hands::turn).unwrap_or_default()
    }

    /// Does work in its turn: whoever moves a manual clock waits until the work ends, or comes to a wait on the clock
    /// or to one that [`Clock::apart`] knows of.
    pub(crate) async fn in_turn<T>(&self, turn: Turn, work: impl Future<Output = T>) -> T {
        manual::in_turn(turn, work).await
    }

    /// Waits for something else than time, which may take for ever: the clock counts as settled meanwhile.
    pub(crate) async fn apart<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        if let Some(over) = wait.as_mut().now_or_never() {
            return over;
        }
        manual::give_up_turn();
        let over = wait.await;
        manual::take_turn(self.turn());
        over
    }
}
