//! What the rules ask of an upgrade besides: that protected pods may be moved and no node is missing meanwhile, that the
//! budgets of applications let it through, and that system pools go one at a time. Never starts one.

use std::collections::BTreeSet;

use super::closed_budget::Closed;
use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::{WHY_UNKNOWN, capped, capped_list, counted, shorten};
use crate::snapshot::{AgentPool, Mode, Occupant};
use crate::step::Step;

/// How many budgets a finding names.
const SHOWN: usize = 3;

/// Whether the step is an upgrade that may move protected pods: its policy relocates them, no node is missing meanwhile, and
/// each gets its successor before it is drained.
pub(super) fn may_move(facts: &Facts<'_>, step: &Step, pool: &AgentPool) -> bool {
    step.change.upgrades() && facts.may_relocate(step) && pool.unavailable_while_rolling() == 0 && pool.surge() > 0
}

/// What a person can do so that the upgrade may move protected pods.
pub(super) fn remedy(facts: &Facts<'_>, step: &Step) -> String {
    if facts.may_relocate(step) {
        return format!(
            "set spec.upgrade of policy {} to maxUnavailable \"0\" and maxSurge of at least 1, so that every node has its \
             successor before its pods are moved",
            step.policy
        );
    }
    format!(
        "set spec.disruption.systemPods to Relocate in policy {}, which lets AKS move them node by node as their budgets allow",
        step.policy
    )
}

/// Refuses an upgrade of a system pool whose pods may not be moved, also while no protected pod runs there: until the last
/// node has its turn one may come.
pub(super) fn of_system_pool(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.pool(step)?;
    if !step.change.upgrades() || pool.mode != Mode::System || may_move(facts, step, pool) {
        return None;
    }
    Some(Broken {
        rule: Rule::SystemPodsWouldBeEvicted,
        standing: Standing::Lasting,
        finding: format!(
            "the upgrade replaces every node of system pool {}, with whatever protected pods run there when its turn comes",
            step.pool
        ),
        remedy: remedy(facts, step),
        pods: Vec::new(),
    })
}

/// Why a system pool is not upgraded now: another one is.
pub(super) fn another_runs(facts: &Facts<'_>, step: &Step) -> Option<String> {
    let is_system = |pool: &AgentPool| pool.mode == Mode::System;
    if !step.change.upgrades() || !facts.pool(step).is_some_and(is_system) {
        return None;
    }
    let others = facts.cluster.pools.iter().filter(|pool| pool.name != step.pool && is_system(pool));
    let other = others.filter(|pool| pool.is_upgrading()).map(|pool| &pool.name).min()?;
    Some(format!("system pool {other} is being upgraded, and system pools are upgraded one at a time"))
}

/// Refuses an upgrade that the budgets of applications would stop on its way: AKS drains node after node, and gives up on a
/// pod that may not go. Protected pods are judged with all that is taken down elsewhere.
pub(super) fn budgets(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    if !step.change.upgrades() {
        return None;
    }
    let known = facts.upgradable.get(&step.pool);
    // Where that is not known, `VersionSkew` refuses the upgrade, for the versions that AKS offers are read with it.
    let upgradable = known.and_then(|known| known.fresh(facts.now, facts.settings.stale_after).ok())?;
    let occupancy = &upgradable.occupancy;
    if let Some(node) = facts.nodes_of(&step.pool).iter().find(|node| !occupancy.nodes.contains(&node.name)) {
        return Some(not_known(step, &format!("node {} has not been read yet", node.name)));
    }
    let is_asked = |it: &&Occupant| it.holds_node() && !it.protected && !it.pod.deleting;
    let asked = occupancy.pods.iter().filter(is_asked);
    let found: BTreeSet<Closed> = asked.filter_map(|it| Closed::of(occupancy, it)).collect();
    let lasts = found.iter().any(|closed| closed.lasts);
    let gravest = || found.iter().filter(|closed| closed.lasts == lasts);
    let shown: BTreeSet<&String> = gravest().map(|closed| &closed.why).collect();
    if shown.is_empty() {
        return None;
    }
    let pods: BTreeSet<&String> = gravest().map(|closed| &closed.pod).collect();
    Some(Broken {
        rule: Rule::DisruptionBudgetBlocks,
        standing: if lasts { Standing::Lasting } else { Standing::Passing },
        finding: format!(
            "the upgrade of pool {} would wait for {} that may not be evicted, and fail: {} ({})",
            step.pool,
            counted(pods.len(), "pod"),
            capped(shown, SHOWN, "; "),
            capped_list(pods)
        ),
        remedy:
            "let each of these budgets allow one pod to go (more replicas, or less that must be available); AKS drains \
                 one node after the other"
                .to_owned(),
        pods: Vec::new(),
    })
}

fn not_known(step: &Step, why: &str) -> Broken {
    Broken {
        rule: Rule::DisruptionBudgetBlocks,
        standing: Standing::Passing,
        finding: format!(
            "it is not known which pods run on pool {} and whether they may be evicted: {}",
            step.pool,
            shorten(why, WHY_UNKNOWN)
        ),
        remedy: "the operator reads all pods of the pool by itself; if this stays, look at its log and at its permissions in \
                 the cluster"
            .to_owned(),
        pods: Vec::new(),
    }
}

#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod tests;
