//! The inventory's status, from everything that is known of the cluster. Pure: never reads a clock, never writes, and says
//! of what is not seen that it is unknown.

mod findings;
mod image;
mod pools;
mod summary;
mod system;

use nodepool_kernel::{Health, Known, Settings, Snapshot, Span, health};

pub use system::SystemRoom;

use super::conditions::merge;
use super::status::{rfc3339, shortened};
use crate::api::{ClusterIdentity, NodePoolInventoryStatus};
use crate::observe::Sight;

/// How many reasons of what is unknown are told.
const MOST_UNKNOWN: usize = 10;

/// Everything that the inventory is made of.
pub struct Survey<'a> {
    /// What rules rest on.
    pub snapshot: &'a Snapshot,
    /// What only the inventory is about.
    pub sight: &'a Sight,
    /// The kernel's settings.
    pub settings: &'a Settings,
    /// How old a node image may be.
    pub image_may_be: Span,
    /// The generation of the inventory's object.
    pub generation: i64,
}

/// What can be counted on, in numbers.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// How the cluster stands by the rules, or what is not known for it.
    pub health: Result<Health, String>,
    /// The room on the usable system nodes, if it is known.
    pub room: Option<SystemRoom>,
    /// What is not seen for it, in words.
    pub unknown: Vec<String>,
}

impl Capacity {
    /// What can be counted on in the cluster as it is.
    #[must_use]
    pub fn of(about: &Survey<'_>) -> Self {
        let health = health(about.snapshot, about.settings);
        let mut unknown: Vec<String> = health.as_ref().err().into_iter().cloned().collect();
        let room = health.as_ref().ok().and_then(|health| system::room(about, health, &mut unknown));
        Self { health, room, unknown }
    }
}

/// The status that the inventory is to have. What was known of Azure before stays, if Azure has not been read.
#[must_use]
pub fn inventory(old: &NodePoolInventoryStatus, about: &Survey<'_>, capacity: &Capacity) -> NodePoolInventoryStatus {
    let health = &capacity.health;
    let cluster = about.snapshot.cluster.value();
    let mut unknown = capacity.unknown.clone();
    let system = health.as_ref().ok().map(|health| system::health(about, health, capacity));
    let findings = findings::all(about, &mut unknown);
    let (mut pools, of_all) = match cluster {
        Some(cluster) => (pools::entries(about, cluster), cluster.pools.len()),
        None => (old.pools.clone(), old.pools.len()),
    };
    pools.truncate(pools::LIMIT);
    let more_pools = small(of_all.saturating_sub(pools.len()));
    unknown = unknown.iter().map(|reason| shortened(reason)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown.truncate(MOST_UNKNOWN);
    let drafts = summary::conditions(about, health.as_ref(), system.as_ref(), unknown.first());
    NodePoolInventoryStatus {
        observed_generation: Some(about.generation),
        conditions: merge(&old.conditions, drafts, about.generation, &rfc3339(about.snapshot.now)),
        summary: summary::numbers(about, health.as_ref().ok(), &findings),
        cluster: identity(about, health.as_ref()).or_else(|| old.cluster.clone()),
        system,
        pools,
        more_pools: (more_pools > 0).then_some(more_pools),
        findings,
        unknown,
        // They are written on their own.
        bulk_changes: Vec::new(),
    }
}

/// Which cluster it is, and how that is known.
fn identity(about: &Survey<'_>, health: Result<&Health, &String>) -> Option<ClusterIdentity> {
    let cluster = about.snapshot.cluster.value()?;
    let proof = match health.map(|health| &health.identity) {
        Ok(Ok(proof)) => proof.clone(),
        Ok(Err(doubt)) => format!("not proven: {}", doubt.finding),
        Err(unknown) => format!("not proven now: {unknown}"),
    };
    Some(ClusterIdentity {
        name: cluster.id.rsplit('/').next().unwrap_or_default().to_owned(),
        resource_id: cluster.id.clone(),
        proven: health.is_ok_and(|health| health.identity.is_ok()),
        proof: shortened(&proof),
        provisioning_state: cluster.state.to_string(),
        power_state: cluster.power.to_string(),
        kubernetes_version: cluster.version.map(|version| version.to_string()),
    })
}

/// The value of a part, or a note that it is unknown.
fn seen<'a, T>(known: &'a Known<T>, what: &str, about: &Survey<'_>, unknown: &mut Vec<String>) -> Option<&'a T> {
    known
        .fresh(about.snapshot.now, about.settings.stale_after)
        .map_err(|reason| unknown.push(format!("{what}: {reason}")))
        .ok()
}

fn small(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
