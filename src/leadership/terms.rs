//! The times that follow from how long a lease is valid. Never read from a lease that somebody else wrote.

use std::time::Duration;

/// The times of an election. With the default lease of 45 s: renewed every 7.5 s, looked at every 3 s by those who wait,
/// and a write may take up to 33 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    lease: Duration,
}

/// A write that may take longer than the lease is certain to last.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "--arm-write-timeout-seconds {write} does not fit into --lease-seconds {lease}: a write must end before another replica can \
     take over, which leaves it {longest:.1} s; make it shorter, or the lease longer"
)]
pub struct TermsError {
    write: f64,
    lease: f64,
    longest: f64,
}

impl Terms {
    /// The times of a lease of this length.
    #[must_use]
    pub const fn of(lease: Duration) -> Self {
        Self { lease }
    }

    /// The same, if a write of that length fits in.
    ///
    /// # Errors
    /// It does not.
    pub fn with_room_for(self, write: Duration) -> Result<Self, TermsError> {
        if write <= self.longest_write() {
            return Ok(self);
        }
        let (write, lease) = (write.as_secs_f64(), self.lease.as_secs_f64());
        Err(TermsError { write, lease, longest: self.longest_write().as_secs_f64() })
    }

    /// How long others wait after the holder was last heard of.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long after it began to renew the holder may write: shorter than the lease, for clocks that run at unlike speed.
    #[must_use]
    pub fn validity(&self) -> Duration {
        self.lease.mul_f64(0.9)
    }

    /// How often the holder renews.
    #[must_use]
    pub fn renewal(&self) -> Duration {
        self.lease / 6
    }

    /// How often those who wait look, and how soon a renewal that failed is tried again.
    #[must_use]
    pub fn look(&self) -> Duration {
        self.lease / 15
    }

    /// How long a request about the lease may take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.lease / 6
    }

    /// The longest time that a write may take: while renewals go well, so much is always left.
    #[must_use]
    pub fn longest_write(&self) -> Duration {
        self.validity().saturating_sub(self.renewal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_fits_into_what_is_left_before_a_renewal() {
        let terms = Terms::of(Duration::from_secs(45));
        assert_eq!(terms.longest_write(), Duration::from_secs(33));
        assert_eq!(terms.with_room_for(Duration::from_secs(33)), Ok(terms));
        let error = terms.with_room_for(Duration::from_mins(1)).unwrap_err().to_string();
        assert!(error.starts_with("--arm-write-timeout-seconds 60 does not fit into --lease-seconds 45"), "{error}");
        assert!(error.contains("33.0 s"), "{error}");
    }

    #[test]
    fn the_holder_stops_before_others_begin() {
        for seconds in [3, 15, 45, 3600] {
            let terms = Terms::of(Duration::from_secs(seconds));
            assert!(terms.validity() < terms.lease());
            assert!(terms.renewal() + terms.request_timeout() < terms.validity());
        }
    }
}
