//! The request budgets that AKS publishes, mirrored here so that the operator never uses them up. Never sends anything,
//! and never waits: a request that there is no budget for is not made now.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::telemetry::Kind;

/// What a request counts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    /// GET of the managed cluster.
    ReadCluster,
    /// GET of a pool.
    ReadPool,
    /// PUT of the named pool.
    WritePool(String),
    /// GET of how an operation goes.
    ReadOperation,
}

/// How much of the budgets may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// All but the reserve.
    Ordinary,
    /// The reserve too: for the repair of a pool that failed, and for the looks that it needs.
    Urgent,
}

/// The part of each bucket that ordinary steps leave.
const RESERVE: f64 = 1.0 / 8.0;

/// A token bucket as published: how many requests may come at once, and how many a second in the long run.
#[derive(Debug, Clone, Copy)]
struct Published {
    burst: f64,
    a_second: f64,
}

impl Request {
    /// What it is for.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::ReadCluster => Kind::ReadCluster,
            Self::ReadPool => Kind::ReadPool,
            Self::WritePool(_) => Kind::WritePool,
            Self::ReadOperation => Kind::ReadOperation,
        }
    }

    /// Source: the service limits of AKS, "throttling limits on AKS resource provider APIs".
    const fn published(&self) -> Published {
        match self {
            Self::ReadCluster | Self::ReadPool => Published { burst: 60.0, a_second: 1.0 },
            Self::WritePool(_) => Published { burst: 20.0, a_second: 1.0 / 60.0 },
            Self::ReadOperation => Published { burst: 200.0, a_second: 2.0 },
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The operator's share of the published budgets.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    buckets: Mutex<BTreeMap<Request, Bucket>>,
}

impl Budget {
    /// Full buckets of this share of the published ones.
    pub(super) fn new(share: f64) -> Self {
        Self { share, buckets: Mutex::default() }
    }

    /// Takes what all of these requests need, or nothing: then how long it takes until it is there. What needs more than
    /// the bucket ever holds, or leaves more than is in it, gets it when the bucket is full.
    pub(super) fn take(&self, requests: &[(Request, u32)], urgency: Urgency) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut wait = Duration::ZERO;
        let mut left = Vec::new();
        for (request, number) in requests {
            let (most, a_second) = self.size(request);
            let tokens = self.tokens(request, buckets.get(request), now);
            let reserve = if urgency == Urgency::Ordinary { most * RESERVE } else { 0.0 };
            let needed = (f64::from(*number) + reserve).min(most);
            if tokens < needed {
                wait = wait.max(Duration::from_secs_f64((needed - tokens) / a_second));
            }
            left.push((request.clone(), Bucket { tokens: tokens - f64::from(*number), at: now }));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.extend(left);
        Ok(())
    }

    /// Takes what has been sent already, even if it is not there.
    pub(super) fn spend(&self, request: &Request, number: u32) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let tokens = self.tokens(request, buckets.get(request), now) - f64::from(number);
        buckets.insert(request.clone(), Bucket { tokens, at: now });
    }

    /// How many requests of each kind may be made now; of the pools' own buckets the one with the least.
    pub(super) fn left(&self) -> BTreeMap<Kind, f64> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let untouched =
            [Request::ReadCluster, Request::ReadPool, Request::WritePool(String::new()), Request::ReadOperation];
        let mut left: BTreeMap<Kind, f64> =
            untouched.iter().map(|request| (request.kind(), self.size(request).0)).collect();
        for (request, bucket) in buckets.iter() {
            let tokens = self.tokens(request, Some(bucket), now);
            left.entry(request.kind()).and_modify(|least| *least = least.min(tokens));
        }
        left
    }

    /// How many requests may come at once, and how many a second in the long run.
    fn size(&self, request: &Request) -> (f64, f64) {
        let Published { burst, a_second } = request.published();
        ((burst * self.share).max(1.0), a_second * self.share)
    }

    fn tokens(&self, request: &Request, bucket: Option<&Bucket>, now: Instant) -> f64 {
        let (most, a_second) = self.size(request);
        bucket.map_or(most, |bucket| (bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * a_second).min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(budget: &Budget, kind: Kind) -> String {
        budget.left()[&kind].to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_empties_and_fills_again_as_published() {
        let budget = Budget::new(1.0);
        let write = [(Request::WritePool("apps".into()), 1)];
        for _ in 0..20 {
            assert_eq!(budget.take(&write, Urgency::Urgent), Ok(()));
        }
        assert_eq!(budget.take(&write, Urgency::Urgent), Err(Duration::from_mins(1)));
        assert_eq!(
            budget.take(&[(Request::WritePool("other".into()), 1)], Urgency::Urgent),
            Ok(()),
            "each pool has its own"
        );
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(budget.take(&write, Urgency::Urgent), Ok(()));
        assert!(budget.take(&write, Urgency::Urgent).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn all_is_taken_or_nothing() {
        let budget = Budget::new(0.5);
        assert_eq!(budget.take(&[(Request::ReadPool, 30)], Urgency::Urgent), Ok(()));
        let both = [(Request::ReadCluster, 1), (Request::ReadPool, 2)];
        for _ in 0..50 {
            assert_eq!(budget.take(&both, Urgency::Urgent), Err(Duration::from_secs(4)));
        }
        assert_eq!(
            budget.take(&[(Request::ReadCluster, 30)], Urgency::Urgent),
            Ok(()),
            "the refused ones took nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_needs_more_than_a_full_bucket_is_not_refused_for_ever() {
        let budget = Budget::new(0.5);
        let many = [(Request::ReadPool, 40)];
        assert_eq!(budget.take(&many, Urgency::Urgent), Ok(()));
        assert_eq!(
            budget.take(&many, Urgency::Urgent),
            Err(Duration::from_secs(80)),
            "what was taken beyond the bucket is owed"
        );
        tokio::time::advance(Duration::from_secs(80)).await;
        assert_eq!(budget.take(&many, Urgency::Urgent), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn ordinary_steps_leave_an_eighth() {
        let budget = Budget::new(0.8);
        let write = [(Request::WritePool("apps".into()), 1)];
        let taken = |urgency| std::iter::from_fn(|| budget.take(&write, urgency).ok()).count();
        assert_eq!(taken(Urgency::Ordinary), 14, "16 without 2");
        assert_eq!(budget.take(&write, Urgency::Ordinary), Err(Duration::from_secs(75)));
        assert_eq!(taken(Urgency::Urgent), 2);
        let small = Budget::new(0.01);
        assert_eq!(small.take(&write, Urgency::Ordinary), Ok(()), "a bucket of one is not all reserve");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_without_asking_is_owed_and_shown() {
        let budget = Budget::new(1.0);
        assert_eq!(shown(&budget, Kind::ReadCluster), "60");
        budget.spend(&Request::ReadCluster, 62);
        assert_eq!(shown(&budget, Kind::ReadCluster), "-2");
        let read = [(Request::ReadCluster, 1)];
        assert_eq!(budget.take(&read, Urgency::Urgent), Err(Duration::from_secs(3)));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(budget.take(&read, Urgency::Urgent), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_pools_the_one_with_the_least_is_shown() {
        let budget = Budget::new(1.0);
        budget.spend(&Request::WritePool("one".into()), 3);
        budget.spend(&Request::WritePool("two".into()), 5);
        budget.spend(&Request::WritePool("three".into()), 1);
        assert_eq!(shown(&budget, Kind::WritePool), "15");
        assert_eq!(shown(&budget, Kind::ReadOperation), "200");
    }
}
