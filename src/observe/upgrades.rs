//! What upgrades of pools depend on besides: what AKS offers, and what runs on the pool's nodes. Read on demand and kept with
//! its age; never read while no upgrade is planned, and never written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nodepool_kernel::{AgentPool, Cluster, Known, Snapshot, Step, Upgradable, Version};
use tokio::time::Instant;

use super::Observer;
use crate::arm::Offer;

/// For how long what AKS offers is not asked again, unless a version has changed: it changes from month to month.
const OFFERED_FOR: Duration = Duration::from_hours(1);

/// What has been read, by pool.
#[derive(Default)]
pub(super) struct Upgrades(Mutex<BTreeMap<String, Kept>>);

#[derive(Clone)]
struct Kept {
    read_at: Instant,
    known: Known<Upgradable>,
    offered: Option<Offered>,
}

/// What AKS offers a pool of one version beside a control plane of another.
#[derive(Clone)]
struct Offered {
    read_at: Instant,
    of: (Option<Version>, Option<Version>),
    offer: Offer,
}

impl Upgrades {
    /// All that is known.
    pub(super) fn all(&self) -> BTreeMap<String, Known<Upgradable>> {
        self.with(|kept| kept.iter().map(|(pool, kept)| (pool.clone(), kept.known.clone())).collect())
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Kept>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the pool runs, and what the control plane runs.
fn versions(pool: &str, snapshot: &Snapshot) -> (Option<Version>, Option<Version>) {
    let versions = |cluster: &Cluster| (cluster.pool(pool).and_then(AgentPool::version), cluster.version);
    snapshot.cluster.value().map(versions).unwrap_or_default()
}

impl Kept {
    fn due(&self, good_for: Duration, retry: Duration) -> Instant {
        self.read_at + if self.known.value().is_some() { good_for } else { retry }
    }
}

impl Observer {
    /// Reads what the upgrades of these pools depend on where that is not known or older than `good_for`; after a read that
    /// failed not sooner than after `retry`. Forgets all pools but `planned`. Tells whether anything was read.
    pub async fn know_upgrades(
        &self,
        (pools, planned): (&BTreeSet<String>, &BTreeSet<String>),
        snapshot: &Snapshot,
        (good_for, retry): (Duration, Duration),
    ) -> bool {
        let now = Instant::now();
        let due: Vec<(String, Option<Kept>)> = self.upgrades.with(|kept| {
            kept.retain(|pool, _| planned.contains(pool));
            let is_due = |pool: &&String| kept.get(*pool).is_none_or(|kept| kept.due(good_for, retry) <= now);
            pools.iter().filter(is_due).map(|pool| (pool.clone(), kept.get(pool).cloned())).collect()
        });
        let any = !due.is_empty();
        for (pool, before) in due {
            let of = versions(&pool, snapshot);
            let is_current = |offered: &Offered| offered.of == of && offered.read_at.elapsed() < OFFERED_FOR;
            let before = before.and_then(|kept| kept.offered).filter(is_current);
            let afforded = if before.is_some() { Ok(()) } else { self.arm.afford_pool() };
            let (known, offered) = match afforded {
                Err(error) => (Known::unknown(error.to_string()), None),
                Ok(()) => self.read_upgradable(&pool, snapshot, before).await,
            };
            self.upgrades.with(|kept| kept.insert(pool, Kept { read_at: Instant::now(), known, offered }));
        }
        any
    }

    /// When what upgrades depend on is to be read again.
    #[must_use]
    pub fn upgrades_due(&self, good_for: Duration, retry: Duration) -> Option<Instant> {
        self.upgrades.with(|kept| kept.values().map(|kept| kept.due(good_for, retry)).min())
    }

    /// The versions that AKS was last told to offer the pool, while an upgrade of it is planned.
    #[must_use]
    pub fn offered(&self, pool: &str) -> Vec<Version> {
        let versions = |kept: &Kept| kept.offered.as_ref().map(|offered| offered.offer.versions.clone());
        self.upgrades.with(|kept| kept.get(pool).and_then(versions)).unwrap_or_default()
    }

    /// What the upgrade of the step's pool depends on, read now; the budget for it has been taken with the step's.
    pub(super) async fn fresh_upgradable(&self, step: &Step, snapshot: &Snapshot) -> Option<Known<Upgradable>> {
        if !step.change.upgrades() {
            return None;
        }
        Some(self.read_upgradable(&step.pool, snapshot, None).await.0)
    }

    async fn read_upgradable(
        &self,
        pool: &str,
        snapshot: &Snapshot,
        before: Option<Offered>,
    ) -> (Known<Upgradable>, Option<Offered>) {
        let of = versions(pool, snapshot);
        let offered = match before {
            Some(offered) => offered,
            None => match self.arm.upgrades(pool).await {
                Ok(offer) => Offered { read_at: Instant::now(), of, offer },
                Err(error) => return (Known::unknown(error.in_short()), None),
            },
        };
        let on_pool = snapshot.nodes.value().into_iter().flatten().filter(|node| node.pool.as_deref() == Some(pool));
        let nodes: BTreeSet<String> = on_pool.map(|node| node.name.clone()).collect();
        let known = match self.occupancy_of(&nodes).await {
            Known::Unknown { reason } => Known::unknown(reason),
            Known::Seen { at, value, .. } => {
                let Offer { versions, latest_image } = offered.offer.clone();
                Known::seen(at, Upgradable { offered: versions, latest_image, occupancy: value })
            }
        };
        (known, Some(offered))
    }
}
