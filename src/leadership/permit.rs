//! The right to write, for as long as the lease is certain to be held. Never longer than that: a write takes a permit right
//! before it begins, and is given up when the permit ends.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Where this process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no election: this is the only replica.
    Sole,
    /// Another replica leads, or none yet.
    Waiting,
    /// It leads until then at least.
    Leading { until: Instant },
}

/// Whether this process leads. A copy tells the same.
#[derive(Debug, Clone)]
pub struct Leadership(watch::Receiver<Standing>);

/// Nothing was sent, since the lease might be lost before an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing was sent: this replica does not hold the lease for long enough; it is renewed first")]
pub struct NotLeading;

/// The time of a permit ended before the write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer came before the permit to write ended")]
pub struct TooLate;

/// The right to make one write, from now until a moment before the lease can be lost.
#[derive(Debug)]
#[must_use = "a permit is for a write"]
pub struct Permit {
    until: Option<Instant>,
}

impl Leadership {
    pub(super) const fn following(standing: watch::Receiver<Standing>) -> Self {
        Self(standing)
    }

    /// That of the only replica there is.
    #[must_use]
    pub fn sole() -> Self {
        Self(watch::channel(Standing::Sole).1)
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.permit(Duration::ZERO).is_ok()
    }

    /// Waits until this process leads. If the election ends before, it waits for ever: the process ends with it.
    pub async fn won(&self) {
        let mut standing = self.0.clone();
        if standing.wait_for(|standing| *standing != Standing::Waiting).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The right to make one write that takes so long at most.
    ///
    /// # Errors
    /// This process does not lead for certain until then.
    pub fn permit(&self, takes: Duration) -> Result<Permit, NotLeading> {
        match *self.0.borrow() {
            Standing::Sole => Ok(Permit { until: None }),
            Standing::Leading { until } if Instant::now() + takes < until => Ok(Permit { until: Some(until) }),
            Standing::Leading { .. } | Standing::Waiting => Err(NotLeading),
        }
    }
}

impl Permit {
    /// Makes the write: for `limit` at most, and not beyond the permit.
    ///
    /// # Errors
    /// The time was over. What was sent by then may have had an effect.
    pub async fn within<F: Future>(self, limit: Duration, write: F) -> Result<F::Output, TooLate> {
        let deadline = Instant::now() + limit;
        let deadline = self.until.map_or(deadline, |until| deadline.min(until));
        let mut write = pin!(write);
        let mut over = pin!(sleep_until(deadline));
        poll_fn(|context| {
            // The time is asked for first: a process that was stopped for long must not send what it was about to.
            if Instant::now() >= deadline || over.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(TooLate));
            }
            write.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn leading_for(duration: Duration) -> Leadership {
        Leadership::following(watch::channel(Standing::Leading { until: Instant::now() + duration }).1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_given_only_for_what_ends_before_the_lease_can_be_lost() {
        let leadership = leading_for(Duration::from_secs(10));
        assert!(leadership.permit(Duration::from_secs(9)).is_ok());
        assert_eq!(leadership.permit(Duration::from_secs(10)).unwrap_err(), NotLeading);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(leadership.permit(Duration::from_secs(9)).unwrap_err(), NotLeading);
        assert!(leadership.permit(Duration::from_secs(7)).is_ok());
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(!leadership.leads());
        let waiting = Leadership::following(watch::channel(Standing::Waiting).1);
        assert_eq!(waiting.permit(Duration::ZERO).unwrap_err(), NotLeading);
        assert!(Leadership::sole().permit(Duration::from_hours(1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_given_up_when_its_permit_ends_or_its_own_time() {
        let leadership = leading_for(Duration::from_secs(10));
        let began = Instant::now();
        let permit = leadership.permit(Duration::from_secs(5)).unwrap();
        assert_eq!(permit.within(Duration::from_mins(1), std::future::pending::<()>()).await, Err(TooLate));
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        let permit = Leadership::sole().permit(Duration::from_secs(5)).unwrap();
        assert_eq!(permit.within(Duration::from_secs(5), std::future::pending::<()>()).await, Err(TooLate));
        assert_eq!(began.elapsed(), Duration::from_secs(15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_does_not_go_on_with_its_write() {
        let leadership = leading_for(Duration::from_secs(10));
        let (permit, goes_on) = (leadership.permit(Duration::from_secs(5)).unwrap(), AtomicU32::new(0));
        tokio::time::advance(Duration::from_secs(11)).await;
        let write = async { goes_on.fetch_add(1, Ordering::SeqCst) };
        assert_eq!(permit.within(Duration::from_mins(1), write).await, Err(TooLate));
        assert_eq!(goes_on.load(Ordering::SeqCst), 0);
    }
}
