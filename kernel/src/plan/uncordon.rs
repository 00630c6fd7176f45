//! Which nodes are opened again that this operator cordoned: all whose drain is not wanted any more, whoever's policy it was.
//! Never opens one on what is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::PolicyPlan;
use super::problem::Problem;
use crate::drain::Drain;
use crate::intent::{Enforcement, Intent};
use crate::names::shorten;
use crate::snapshot::{AgentPool, DrainMark, Node, Snapshot};
use crate::step::{Change, Step};

/// What a policy wants of the nodes that are cordoned for it.
#[derive(Debug)]
pub(super) enum Wish {
    /// That cannot be told now: they stay as they are.
    AsItIs,
    /// These stay cordoned, the others are opened.
    Keep {
        /// Their names.
        nodes: BTreeSet<String>,
        /// Why others are opened.
        opened: String,
    },
}

impl Wish {
    /// All are opened.
    pub(super) fn open(why: &str) -> Self {
        Self::Keep { nodes: BTreeSet::new(), opened: why.to_owned() }
    }
}

/// Why no drain may go on for the policy now, in words.
pub(super) fn held(
    intent: &Intent,
    pool: &AgentPool,
    snapshot: &Snapshot,
    attempt: Option<&Problem>,
) -> Option<String> {
    if intent.suspended {
        return Some("the policy is suspended".to_owned());
    }
    if intent.enforcement == Enforcement::Observe {
        return Some("the policy only observes".to_owned());
    }
    if attempt.is_some_and(Problem::holds) {
        return Some("the drain was given up for now".to_owned());
    }
    if snapshot.in_flight.iter().any(|flight| flight.step.pool == pool.name) {
        return None;
    }
    if is_removal(pool, intent, snapshot) {
        return None;
    }
    let busy =
        |what: String, operation: &str| format!("somebody else's operation: {what} is {}", shorten(operation, 40));
    let cluster = snapshot.cluster.value().and_then(|cluster| cluster.state.operation());
    cluster
        .map(|operation| busy("the cluster".to_owned(), operation))
        .or_else(|| pool.state.operation().map(|operation| busy(format!("pool {}", pool.name), operation)))
}

/// Whether the operation on the pool may be the removal of the drained nodes, begun by another process of this operator: as
/// far as is known nothing is left on them, so that nothing is lost by leaving them closed until it has ended.
fn is_removal(pool: &AgentPool, intent: &Intent, snapshot: &Snapshot) -> bool {
    let removes = pool.state.operation().is_some_and(|operation| ["Scaling", "Deleting"].contains(&operation));
    let nodes = snapshot.nodes.value().into_iter().flatten();
    let mine = nodes.filter(|node| node.pool.as_deref() == Some(&pool.name) && node.is_drained_for(&intent.policy));
    let mine: BTreeSet<&str> = mine.map(|node| node.name.as_str()).collect();
    let occupancy = snapshot.occupancy.get(&pool.name).and_then(|known| known.value());
    removes && !mine.is_empty() && occupancy.is_none_or(|occupancy| occupancy.on(&mine).next().is_none())
}

/// Plans to open the nodes whose drain is not wanted, with the plans of their policies. What is left belongs to policies that
/// are gone, or name another pool now.
pub(super) fn add(policies: &mut [PolicyPlan], wishes: Vec<Wish>, snapshot: &Snapshot) -> Vec<Step> {
    let mut marked: BTreeMap<(&str, &str), Vec<&Node>> = BTreeMap::new();
    for node in snapshot.nodes.value().into_iter().flatten() {
        if let Some(DrainMark { policy, .. }) = node.drain.as_deref() {
            marked.entry((policy, node.pool.as_deref().unwrap_or_default())).or_default().push(node);
        }
    }
    if marked.is_empty() {
        return Vec::new();
    }
    // A policy that is let go is gone the next moment.
    for (plan, wish) in policies.iter_mut().zip(wishes).filter(|(plan, _)| plan.release.is_none()) {
        let Some(nodes) = marked.remove(&(plan.policy.as_str(), plan.pool.as_str())) else { continue };
        let Wish::Keep { nodes: kept, opened } = wish else { continue };
        let unwanted = nodes.iter().filter(|node| !kept.contains(&node.name));
        let step = uncordon(&plan.policy, &plan.pool, unwanted.copied(), &opened);
        plan.steps.splice(0..0, step);
    }
    let left = marked.into_iter();
    left.filter_map(|((policy, pool), nodes)| {
        uncordon(policy, pool, nodes.into_iter(), "their policy does not govern the pool any more")
    })
    .collect()
}

fn uncordon<'a>(policy: &str, pool: &str, nodes: impl Iterator<Item = &'a Node>, why: &str) -> Option<Step> {
    let mut nodes: Vec<String> = nodes.map(|node| node.name.clone()).collect();
    nodes.sort_unstable();
    let change = Change::Drain(Drain::Uncordon { nodes: nodes.clone(), why: why.to_owned() });
    (!nodes.is_empty()).then(|| Step { policy: policy.to_owned(), pool: pool.to_owned(), change })
}
