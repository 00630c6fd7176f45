//! What steps under way do to the cluster as ARM shows it: at their worst, and as they are meant. Never judges a step.

use crate::drain::{Aim, Drain};
use crate::snapshot::{AgentPool, Autoscaling, Cluster, Mode, Power, ProvisioningState};
use crate::step::{Change, Step};
use crate::taint::Taint;

/// Applies a step to the cluster at its worst: what it takes away is gone, what it adds has not come.
pub(crate) fn worsen(cluster: &mut Cluster, step: &Step) {
    let Some(pool) = cluster.pools.iter_mut().find(|pool| pool.name == step.pool) else { return };
    match &step.change {
        Change::Mode { from, to } => pool.mode = if *to == Mode::System { from.clone() } else { to.clone() },
        // ARM shows the new count while the nodes that are there may be surplus ones of the old.
        Change::Count { from, to } => pool.count = pool.count.min(*from).min(*to),
        Change::Taints { to, .. } => {
            let new: Vec<Taint> = to.iter().filter(|taint| !pool.taints.contains(taint)).cloned().collect();
            pool.taints.extend(new);
        }
        // What a repair goes on to take away are the nodes beyond the pool's count, which never count.
        // What an upgrade takes away at once is counted where a step is judged.
        Change::Labels { .. }
        | Change::Tags { .. }
        | Change::Version { .. }
        | Change::NodeImage { .. }
        | Change::Repair { .. }
        | Change::Create(_)
        | Change::Start => {}
        Change::Autoscaling { from, to } => {
            // The autoscaler may do at once what it may, and what somebody turns off may be on for a while.
            let least = step.change.least_left(pool);
            let lower = |from: &Autoscaling, to: &Autoscaling| Autoscaling {
                min: from.min.min(to.min),
                max: from.max.min(to.max),
            };
            pool.autoscaling = match (from, to) {
                (Some(from), Some(to)) => Some(lower(from, to)),
                (one, other) => one.or(*other),
            };
            pool.count = least.unwrap_or(pool.count);
        }
        Change::UpgradeSettings { .. } => pool.max_unavailable = Some(unavailable(step, pool).to_string()),
        Change::Delete => pool.state = leaving(),
        Change::Stop => (pool.state, pool.power) = stopping(),
        Change::Drain(drain) => reach(pool, drain),
    }
}

/// How many nodes of the pool may be missing at once while it rolls, with the settings before or after the step.
pub(crate) fn unavailable(step: &Step, pool: &AgentPool) -> u32 {
    let before = pool.unavailable_while_rolling();
    let Change::UpgradeSettings { to, .. } = &step.change else { return before };
    let mut after = pool.clone();
    to.apply(&mut after);
    before.max(after.unavailable_while_rolling())
}

/// Applies a change of a drain as if the drain had reached its aim.
fn reach(pool: &mut AgentPool, drain: &Drain) {
    match drain.aim() {
        Some(Aim::Scale { from, to }) => pool.count = pool.count.min(from).min(to),
        Some(Aim::Demotion) => pool.mode = Mode::User,
        Some(Aim::Deletion) => pool.state = leaving(),
        None => {}
    }
}

/// What is left of a pool by a change that has not ended: the more, the less.
pub(super) const fn gravity(change: &Change) -> u8 {
    match change {
        Change::Delete => 3,
        Change::Stop => 2,
        Change::Version { .. } | Change::NodeImage { .. } => 1,
        _ => 0,
    }
}

/// The state of a pool that is being deleted: it is still there, and counts for nothing.
fn leaving() -> ProvisioningState {
    ProvisioningState::Busy("Deleting".to_owned())
}

/// The state of a pool that is being stopped: as one that is being deleted, it counts for nothing.
fn stopping() -> (ProvisioningState, Power) {
    (ProvisioningState::Busy("Stopping".to_owned()), Power::NotRunning("Stopped".to_owned()))
}

/// Applies a step to the cluster as it is meant. A new pool is hoped for once ARM shows it.
pub(super) fn fulfil(cluster: &mut Cluster, step: &Step) {
    let Some(pool) = cluster.pools.iter_mut().find(|pool| pool.name == step.pool) else { return };
    match &step.change {
        Change::Mode { to, .. } => pool.mode = to.clone(),
        Change::Count { to, .. } => pool.count = *to,
        Change::Taints { to, .. } => pool.taints.clone_from(to),
        Change::Labels { to, .. } => pool.labels.clone_from(to),
        Change::Tags { to, .. } => pool.tags.clone_from(to),
        Change::Autoscaling { to, .. } => pool.autoscaling = *to,
        Change::UpgradeSettings { to, .. } => to.apply(pool),
        Change::Version { to, .. } => {
            (pool.requested_version, pool.current_version) = (Some(to.to_string()), Some(to.to_string()));
        }
        // Which image it will be is AKS's choice.
        Change::NodeImage { .. } | Change::Repair { .. } | Change::Create(_) => {}
        Change::Delete => pool.state = leaving(),
        Change::Stop => (pool.state, pool.power) = stopping(),
        Change::Start => pool.power = Power::Running,
        Change::Drain(drain) => reach(pool, drain),
    }
}
