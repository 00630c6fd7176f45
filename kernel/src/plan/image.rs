//! The node image that somebody asked for, as a step or as nothing to be done. Never asks what AKS has.

use crate::intent::Intent;
use crate::snapshot::{AgentPool, Node, Snapshot, Upgradable};
use crate::step::Change;

/// What is to be done about a pool's node image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing: nobody asks.
    Stay,
    /// Nothing any more: the pool has the image.
    Answered,
    /// Its nodes are to get the latest one.
    Upgrade(Change),
    /// ARM does not tell which image the pool has.
    Unknown,
}

/// What is to be done about the pool's node image. That it is the latest is known only when AKS was asked; until then the
/// upgrade is planned, and not made.
pub(super) fn course(intent: &Intent, pool: &AgentPool, nodes: Option<&[&Node]>, snapshot: &Snapshot) -> Course {
    let Some(request) = &intent.image else { return Course::Stay };
    let Some(from) = &pool.node_image else { return Course::Unknown };
    let upgradable = snapshot.upgradable.get(&pool.name).and_then(|known| known.value());
    let latest = upgradable.and_then(|upgradable: &Upgradable| upgradable.latest_image.as_deref());
    let is_in_flight = snapshot.in_flight.iter().any(|write| write.step.pool == pool.name);
    if !is_in_flight && request.is_answered(pool, nodes, latest) {
        return Course::Answered;
    }
    Course::Upgrade(Change::NodeImage { from: from.clone() })
}

#[cfg(test)]
mod tests;
