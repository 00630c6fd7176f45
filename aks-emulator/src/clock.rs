//! The service's time: what it reads as now, and how it waits. Never the pace of looks at a real API server, which
//! keeps real time.

use std::time::Duration;

use jiff::Timestamp;

/// The time of the emulated service. Durations are at the emulator's pace, that is, already scaled.
#[derive(Debug, Default)]
pub(crate) struct Clock;

impl Clock {
    /// What the service reads as now.
    #[expect(clippy::unused_self, reason = "where time comes from is the clock's to know")]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// How long ago a time of the service was; zero for one to come.
    pub(crate) fn since(&self, at: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(at)).unwrap_or(Duration::ZERO)
    }

    /// Waits until this long after a time of the service.
    pub(crate) async fn sleep_until(&self, at: Timestamp, after: Duration) {
        tokio::time::sleep(after.saturating_sub(self.since(at))).await;
    }
}
