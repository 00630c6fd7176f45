//! Request budgets: the token buckets that the service publishes, and 429 when one is empty. Never looks at a body.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::Call;
use super::path::{ClusterPath, Target};
use super::reply::Reply;
use crate::service::refusal::Refusal;

/// How many requests may come at once, and how many a second in the long run (section 3 of the facts).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Budget {
    burst: f64,
    a_second: f64,
    /// How the refusal names it; of these only the form is published.
    handler: &'static str,
}

const fn budget(burst: f64, a_second: f64, handler: &'static str) -> Budget {
    Budget { burst, a_second, handler }
}

const PUT_POOL: Budget = budget(20.0, 1.0 / 60.0, "PutAgentPoolHandler.PUT");
const GET_CLUSTER: Budget = budget(60.0, 1.0, "GetManagedClusterHandler.GET");
const GET_OPERATION: Budget = budget(200.0, 2.0, "GetOperationStatusHandler.GET");
const LIST_CLUSTERS: Budget = budget(500.0, 1.0, "ListManagedClustersHandler.GET");
const LIST_CLUSTERS_OF_GROUP: Budget = budget(60.0, 1.0, "ListManagedClustersByResourceGroupHandler.GET");
const ALL_OTHERS: Budget = budget(60.0, 1.0, "AllOtherHandlers");

/// What is left of one budget, as of a time since the start.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Takes a token, or says after how long there is one. A refused request takes none.
    fn take(&mut self, now: Duration, burst: f64, a_second: f64) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * a_second).min(burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / a_second))
    }
}

/// All buckets, filled when the emulator starts.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// How many times as fast as published the buckets fill; `None` is without limits.
    pace: Option<f64>,
    started: Timestamp,
    buckets: Mutex<HashMap<(&'static str, String), Bucket>>,
}

impl Budgets {
    pub(crate) fn new(pace: Option<f64>, started: Timestamp) -> Self {
        Self { pace, started, buckets: Mutex::new(HashMap::new()) }
    }

    fn take(&self, budget: Budget, key: &str, now: Timestamp) -> Result<(), Duration> {
        let Some(pace) = self.pace else {
            return Ok(());
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (budget.handler, key.to_ascii_lowercase());
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: budget.burst, at: Duration::ZERO });
        let passed = Duration::try_from(now.duration_since(self.started)).unwrap_or(Duration::ZERO);
        bucket.take(passed, budget.burst, budget.a_second * pace)
    }
}

/// Spends what a request costs; the answer if there is nothing left.
pub(super) fn spend(budgets: &Budgets, call: &Call<'_>, target: &Target<'_>) -> Option<Reply> {
    let (budget, key, subscription) = price(call, target);
    let wait = budgets.take(budget, &key, call.service.clock.now()).err()?;
    // Whole seconds, and never so few that a client who waits them comes too early.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let refusal = Refusal::throttled(budget.handler, subscription, seconds);
    Some(Reply::from(refusal).with("retry-after", &seconds.to_string()))
}

/// The budget of a request, on what it is counted, and the subscription.
fn price<'a>(call: &Call<'_>, target: &Target<'a>) -> (Budget, String, &'a str) {
    match target {
        Target::Pool(at, pool) if call.method == "PUT" => (PUT_POOL, format!("{}/{pool}", at.key()), at.subscription),
        Target::Cluster(at) if call.method == "GET" => (GET_CLUSTER, at.key(), at.subscription),
        Target::Operation { subscription, .. } => (GET_OPERATION, (*subscription).to_owned(), subscription),
        Target::Clusters { subscription, resource_group: None } => {
            (LIST_CLUSTERS, (*subscription).to_owned(), subscription)
        }
        Target::Clusters { subscription, resource_group: Some(group) } => {
            (LIST_CLUSTERS_OF_GROUP, format!("{subscription}/{group}"), subscription)
        }
        Target::OperationResult { subscription, .. }
        | Target::KubernetesVersions { subscription, .. }
        | Target::Cluster(ClusterPath { subscription, .. })
        | Target::ClusterStart(ClusterPath { subscription, .. })
        | Target::ClusterStop(ClusterPath { subscription, .. })
        | Target::ClusterUpgradeProfile(ClusterPath { subscription, .. })
        | Target::PoolVersions(ClusterPath { subscription, .. })
        | Target::PoolDeleteMachines(ClusterPath { subscription, .. }, _)
        | Target::Machines(ClusterPath { subscription, .. }, ..)
        | Target::PoolAbort(ClusterPath { subscription, .. }, _)
        | Target::PoolUpgradeProfile(ClusterPath { subscription, .. }, _)
        | Target::PoolUpgradeImage(ClusterPath { subscription, .. }, _)
        | Target::Pools(ClusterPath { subscription, .. })
        | Target::Pool(ClusterPath { subscription, .. }, _) => (ALL_OTHERS, (*subscription).to_owned(), subscription),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_flows_in() {
        let mut bucket = Bucket { tokens: 2.0, at: Duration::ZERO };
        for (second, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(60)),
            (30, Err(30)),
            (60, Ok(())),
            (61, Err(59)),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Err(60)),
        ] {
            let taken = bucket.take(Duration::from_secs(second), 2.0, 1.0 / 60.0);
            let rounded = taken.map_err(|wait| (wait.as_secs_f64() * 1000.0).round() / 1000.0);
            assert_eq!(rounded, expected.map_err(f64::from), "at {second} s");
        }
    }

    #[test]
    fn without_a_pace_nothing_is_counted() {
        let now = Timestamp::UNIX_EPOCH;
        let budgets = Budgets::new(None, now);
        assert!((0..1000).all(|_| budgets.take(PUT_POOL, "pool", now).is_ok()));
        let budgets = Budgets::new(Some(1.0), now);
        assert_eq!((0..30).filter(|_| budgets.take(PUT_POOL, "pool", now).is_ok()).count(), 20);
        assert!(budgets.take(PUT_POOL, "other", now).is_ok());
    }
}
