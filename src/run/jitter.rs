//! A little chance in waits, so that the operators of many clusters do not come back at the same moments. Never shortens
//! a wait.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The wait and up to a tenth more.
pub(super) fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1000;
    wait.saturating_add((wait / 10_000).saturating_mul(u32::try_from(random).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_wait_becomes_up_to_a_tenth_longer() {
        let wait = Duration::from_secs(1000);
        let waits: BTreeSet<Duration> = (0..100).map(|_| jittered(wait)).collect();
        assert!(waits.len() > 10, "{waits:?}");
        assert!(waits.iter().all(|jittered| (wait..wait + wait / 10).contains(jittered)), "{waits:?}");
        assert_eq!(jittered(Duration::MAX), Duration::MAX);
    }
}
