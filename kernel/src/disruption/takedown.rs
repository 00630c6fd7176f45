//! Which protected pods a step takes down together. Never asks whether they may go.

use std::collections::{BTreeMap, BTreeSet};

use super::no_execute::Evicting;
use crate::drain::Drain;
use crate::facts::{Facts, unavailable};
use crate::snapshot::{AgentPool, Node, Owner, Pod};
use crate::step::{Change, Step};
use crate::taint::{MODE_LABEL, Taint};

/// The protected pods that one step takes down, and how.
#[derive(Debug, Default)]
pub(crate) struct Takedown<'a> {
    /// Pods that go while their nodes stay.
    pub(crate) evicted: Vec<(&'a Pod, Going)>,
    /// The taints that evict them.
    pub(crate) taints: BTreeSet<Taint>,
    /// Pods that go with their nodes, if these are among those that go.
    pub(crate) with_nodes: Vec<(&'a Pod, &'a Node)>,
    /// How many nodes are removed at worst; which ones is for AKS to choose, and nobody asks the budgets.
    pub(crate) removed: usize,
    /// How many nodes the autoscaler may remove at worst that nothing could remove before. It asks the budgets.
    pub(crate) freed: usize,
    /// How many nodes are rolled at once, each drained as the budgets allow.
    pub(crate) rolled: usize,
    /// Whether nodes are rolled because the step is an upgrade.
    pub(crate) upgrades: bool,
    /// How many nodes an upgrade drains at once because it adds as many.
    pub(crate) surged: usize,
    /// Pods that a drain of this operator evicts, each when the one before runs elsewhere.
    pub(crate) singly: Vec<(&'a Pod, &'a Node)>,
}

/// Why a pod goes while its node stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// A `NoExecute` taint that it does not tolerate for good.
    Taint,
    /// A label that its DaemonSet selects on.
    Label,
}

impl<'a> Takedown<'a> {
    /// What a step takes down on its pool.
    pub(crate) fn of(facts: &Facts<'a>, step: &Step) -> Self {
        let Some(pool) = facts.pool(step) else { return Self::default() };
        let mut evicting = Evicting::of(step.change.taints_after(pool));
        let labels = if step.change.changes_mode() { vec![MODE_LABEL] } else { step.change.changed_labels() };
        let mut takedown = Self {
            removed: removed(facts, step, pool),
            freed: freed(facts, step, pool),
            rolled: rolled(facts, step, pool),
            upgrades: step.change.upgrades(),
            surged: if step.change.upgrades() { size(pool.surge()) } else { 0 },
            ..Self::default()
        };
        let nodes_go = takedown.removed > 0 || takedown.rolled > 0 || takedown.freed > 0;
        takedown.singly = singly(facts, step);
        for (pod, node) in facts.pods_on(&step.pool) {
            let is_daemon = pod.owner == Owner::DaemonSet;
            if step.change.deletes() || step.change.stops() {
                takedown.with_nodes.extend((!is_daemon).then_some((*pod, *node)));
            } else if let Some(taint) = evicting.first(pod, &node.taints) {
                takedown.evicted.push((*pod, Going::Taint));
                if !takedown.taints.contains(taint) {
                    takedown.taints.insert(taint.clone());
                }
            } else if is_daemon && labels.iter().any(|key| pod.selects.contains(*key)) {
                takedown.evicted.push((*pod, Going::Label));
            } else if !is_daemon && nodes_go {
                takedown.with_nodes.push((*pod, *node));
            }
        }
        takedown
    }

    /// What is being taken down elsewhere than on the step's pool: by steps in flight, and by somebody else's removal.
    pub(crate) fn elsewhere(facts: &Facts<'a>, step: &Step) -> Vec<Self> {
        let in_flight = facts.in_flight().iter().filter(|other| other.pool != step.pool);
        let foreign =
            facts.observed.pools.iter().filter(|pool| pool.name != step.pool && !facts.is_in_flight(&pool.name));
        in_flight
            .map(|other| Self::of(facts, other))
            .chain(foreign.filter_map(|pool| Self::foreign(facts, pool)))
            .collect()
    }

    /// What an operation on the pool takes down: all of it, or the nodes beyond its count.
    fn foreign(facts: &Facts<'a>, pool: &AgentPool) -> Option<Self> {
        let nodes = facts.nodes_of(&pool.name).len();
        let removed = match pool.state.operation()? {
            "Deleting" | "Stopping" => nodes,
            _ => nodes.saturating_sub(size(pool.count)),
        };
        let pods = facts.pods_on(&pool.name).iter().filter(|(pod, _)| pod.owner != Owner::DaemonSet).copied();
        (removed > 0).then(|| Self { with_nodes: pods.collect(), removed, ..Self::default() })
    }
}

/// The protected pods that a drain still has to evict.
fn singly<'a>(facts: &Facts<'a>, step: &Step) -> Vec<(&'a Pod, &'a Node)> {
    let Change::Drain(drain) = &step.change else { return Vec::new() };
    let pods = facts.pods_on(&step.pool).iter().copied().filter(|(pod, _)| pod.owner != Owner::DaemonSet);
    match (drain, drain.aim()) {
        (_, None) => Vec::new(),
        (Drain::Evict { pod: evicted, .. }, _) => pods.filter(|(pod, _)| pod.full_name() == *evicted).collect(),
        (_, Some(aim)) if aim.takes_all() => pods.collect(),
        (_, Some(_)) => {
            let victims: BTreeSet<&str> = facts.victims(step).into_iter().map(|node| node.name.as_str()).collect();
            pods.filter(|(_, node)| victims.contains(node.name.as_str())).collect()
        }
    }
}

/// How many nodes of the pool the step removes at worst. How many are left of a removal that failed is not known
/// where the pool has no more nodes than it should have.
fn removed(facts: &Facts<'_>, step: &Step, pool: &AgentPool) -> usize {
    let nodes = facts.nodes_of(&pool.name).len();
    let by_step = match step.change {
        Change::Count { from, to } if to < from => nodes.max(size(from)).saturating_sub(size(to)),
        Change::Delete | Change::Stop => return nodes.max(size(pool.count)),
        _ => 0,
    };
    let going_on = match nodes.saturating_sub(size(pool.count)) {
        // What is done in Kubernetes, before the pool is deleted, goes on with nothing in Azure.
        _ if !facts.goes_on_removing(pool) || step.change.leads_to_deletion() => 0,
        0 => nodes,
        surplus => surplus,
    };
    by_step.max(going_on)
}

/// How many nodes the autoscaler may take at worst, if the step gives it any that nothing could take before.
fn freed(facts: &Facts<'_>, step: &Step, pool: &AgentPool) -> usize {
    let nodes = facts.nodes_of(&pool.name).len().max(size(pool.count));
    step.change.least_left(pool).map_or(0, |least| nodes.saturating_sub(size(least)))
}

/// How many nodes any write to the pool, other than its deletion, rolls at once.
fn rolled(facts: &Facts<'_>, step: &Step, pool: &AgentPool) -> usize {
    if facts.rolls(step, pool) { size(unavailable(step, pool)).max(1) } else { 0 }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// How many pods of one kind a takedown takes.
#[derive(Debug, Default)]
pub(crate) struct Load<'a> {
    /// Pods that go while their nodes stay.
    pub(crate) evicted: usize,
    /// Pods that go with their nodes, by the node's name.
    pub(crate) by_node: BTreeMap<&'a str, usize>,
    /// Whether a drain evicts any, one after the other.
    pub(crate) singly: bool,
}

impl Load<'_> {
    /// How many go together at worst when so many nodes go.
    pub(crate) fn at_worst(&self, nodes: usize) -> usize {
        let mut counts: Vec<usize> = self.by_node.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        self.evicted + counts.iter().take(nodes).sum::<usize>()
    }

    /// Whether any is left when so many nodes are gone.
    pub(crate) fn outlasts(&self, nodes: usize) -> bool {
        self.by_node.len() > nodes
    }
}

#[cfg(test)]
mod tests;
