//! Durations and their percentiles. Never drops a sample.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;

/// How long something took, many times.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Takes note of one.
    pub(crate) fn add(&mut self, from: SystemTime, to: SystemTime) -> anyhow::Result<()> {
        self.0.push(to.duration_since(from).context("the clock went backwards")?);
        Ok(())
    }

    /// The duration that so many percent of the samples do not exceed (nearest rank).
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied().unwrap_or_default()
    }

    /// "p50 20 ms, p99 41 ms (200)".
    pub(crate) fn p50_and_p99(&self) -> String {
        let of = |percent| format!("p{percent} {:.0} ms", self.percentile(percent).as_secs_f64() * 1000.0);
        format!("{}, {} ({})", of(50), of(99), self.0.len())
    }

    /// "median 1.2 s, worst 1.4 s (5)".
    pub(crate) fn median_and_worst(&self) -> String {
        let of = |percent| self.percentile(percent).as_secs_f64();
        format!("median {:.2} s, worst {:.2} s ({})", of(50), of(100), self.0.len())
    }
}
