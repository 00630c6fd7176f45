//! Properties of the kernel over arbitrary clusters, through its public interface only.
//!
//! `PROPTEST_CASES` sets how many clusters each property sees.

#[cfg(test)]
mod any_snapshot;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod commits;
#[cfg(test)]
mod degraded;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod deterministic;
#[cfg(test)]
mod drained;
#[cfg(test)]
#[path = "../../fuzz/drains.rs"]
mod drains;
#[cfg(test)]
mod fuse;
#[cfg(test)]
mod messages;
#[cfg(test)]
#[path = "../../fuzz/odd.rs"]
mod odd;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod places;
#[cfg(test)]
mod reached;
#[cfg(test)]
mod safety;
#[cfg(test)]
#[path = "../../fuzz/strange.rs"]
mod strange;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
#[path = "../../fuzz/versions.rs"]
mod versions;

#[cfg(test)]
use proptest::prelude::ProptestConfig;

/// As many cases as `PROPTEST_CASES` says, or `default`. Leaves no files behind.
#[cfg(test)]
fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
