//! Faults that are drawn for each request, the same ones for the same seed and sequence of requests. Never touches the
//! requests of foreign hands.

use std::time::Duration;

use crate::{Action, Canned, Error};

/// Random faults on requests. What happens to a request follows from the seed and from its number in the journal
/// alone: the same seed and the same sequence of requests give the same faults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chaos {
    /// Where the draws start.
    pub seed: u64,
    /// Share of the requests that something happens to, from 0 to 1.
    pub rate: f64,
}

impl Chaos {
    /// What happens to the request with this number, if anything does: as often as each other it is throttled,
    /// answered 500, 502 or 504, lost before or after it is handled, or delayed by up to half a second.
    pub(crate) fn action(self, sequence: u64) -> Option<Action> {
        let draw = mix(self.seed ^ mix(sequence));
        let [share, kind, size] = parts(draw);
        if f64::from(share) >= self.rate * 65_536.0 {
            return None;
        }
        Some(match kind % 7 {
            0 => Action::Answer(Canned::throttled(1 + u64::from(size % 5))),
            1 => Action::Answer(Canned::internal_error()),
            2 => Action::Answer(Canned::bad_gateway()),
            3 => Action::Answer(Canned::gateway_timeout()),
            4 => Action::DropBefore,
            5 => Action::DropAfter,
            _ => Action::Delay(Duration::from_millis(u64::from(size % 500))),
        })
    }

    pub(crate) fn check(self) -> Result<(), Error> {
        if (0.0..=1.0).contains(&self.rate) {
            return Ok(());
        }
        Err(Error::setting("chaos.rate", self.rate, "give a share of the requests, from 0 to 1"))
    }
}

/// Three numbers that do not follow from each other.
fn parts(draw: u64) -> [u16; 3] {
    [48, 32, 16].map(|shift| u16::try_from((draw >> shift) & 0xffff).unwrap_or(u16::MAX))
}

/// The finaliser of `SplitMix64`: numbers that are close come out far apart.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, rate: f64) -> Vec<String> {
        let chaos = Chaos { seed, rate };
        (1..=7000).map(|sequence| format!("{:?}", chaos.action(sequence))).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_and_another_does_not() {
        assert_eq!(drawn(1, 0.5), drawn(1, 0.5));
        assert_ne!(drawn(1, 0.5), drawn(2, 0.5));
    }

    #[test]
    fn the_rate_is_kept_and_each_kind_comes() {
        let happened = |rate| drawn(7, rate).iter().filter(|action| *action != "None").count();
        assert_eq!((happened(0.0), happened(1.0)), (0, 7000));
        assert!((650..750).contains(&happened(0.1)), "{}", happened(0.1));
        for part in ["429", "500", "502", "504", "DropBefore", "DropAfter", "Delay"] {
            let count = drawn(7, 1.0).iter().filter(|action| action.contains(part)).count();
            assert!(count > 850, "{part}: {count}");
        }
    }

    #[test]
    fn a_rate_beyond_all_requests_is_refused() {
        for rate in [-0.1, 1.1, f64::NAN] {
            assert!(Chaos { seed: 1, rate }.check().unwrap_err().to_string().contains("chaos.rate"));
        }
    }
}
