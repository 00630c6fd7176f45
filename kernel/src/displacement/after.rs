//! The cluster after a step at its worst: taints and labels that come, nodes that are no place any more. Never takes a
//! node away: which one goes is another question.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;

use super::Displacement;
use crate::capacity::{Outlook, UnusableReason, Usability, is_leaving, is_running_system, may_remain, usability};
use crate::drain::Aim;
use crate::facts::{Facts, worsen};
use crate::placement::World;
use crate::snapshot::{AgentPool, Cluster, Mode, Node, Readiness};
use crate::step::{Change, Step};
use crate::taint::{MODE_LABEL, Taint};

/// What a node is that has been read with the pods and not been seen otherwise.
const UNKNOWN: &str = "not known well enough yet";

/// The cluster after a step.
pub(super) struct After<'a> {
    /// As ARM would show it at worst.
    cluster: Cluster,
    /// Nodes and pods, with the taints and labels that come.
    pub(super) world: World,
    /// By the number that a node has in the world; nothing where the node is not shown.
    seen: Vec<Option<Seen<'a>>>,
}

/// A node as it is shown.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    node: &'a Node,
    /// Where its pool is among those of the cluster.
    pool: Option<usize>,
}

/// Why a node is no place for the pods that a step moves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// It is none of the nodes that pods are looked for a place on.
    OutOfQuestion,
    /// In words after "is", and whether that may pass by itself.
    Because(&'static str, bool),
}

impl<'a> After<'a> {
    /// The cluster after the step and all in flight.
    ///
    /// # Errors
    /// The name of a node that is shown and is not in the world.
    pub(super) fn new(facts: &Facts<'a>, step: &Step, world: &World) -> Result<Self, &'a str> {
        let mut cluster = facts.cluster.clone();
        worsen(&mut cluster, step);
        let seen = seen(facts, &cluster, world)?;
        let mut after = Self { cluster, world: world.clone(), seen };
        for pool in &after.cluster.pools {
            let mut steps: Vec<&Step> = facts.in_flight().iter().filter(|other| other.pool == pool.name).collect();
            steps.sort_by_cached_key(ToString::to_string);
            steps.extend((step.pool == pool.name).then_some(step));
            for node in facts.nodes_of(&pool.name) {
                let missing: BTreeSet<&Taint> =
                    pool.taints.iter().filter(|taint| !node.taints.contains(taint)).collect();
                if !missing.is_empty() || !steps.is_empty() {
                    after.world.edit(&node.name, |labels, taints| {
                        taints.extend(missing.into_iter().cloned());
                        for step in &steps {
                            relabel(labels, &step.change);
                        }
                    });
                }
            }
        }
        Ok(after)
    }

    fn seen(&self, number: usize) -> Option<Seen<'a>> {
        self.seen.get(number).copied().flatten()
    }

    /// The world in which pods that wait for a node may be placed on any node that is known.
    pub(super) fn open(&self, world: &World) -> World {
        let mut open = world.clone();
        for (number, _) in world.numbered().filter(|(number, _)| self.seen(*number).is_none()) {
            open.bar_number(number, UNKNOWN);
        }
        open
    }

    /// The world in which only those nodes are places that the pods of a displacement may be placed on. Hopefully: what may
    /// pass by itself has passed.
    pub(super) fn narrowed(
        &self,
        facts: &Facts<'_>,
        step: &Step,
        displaced: &Displacement<'_>,
        world: &World,
        hopefully: bool,
    ) -> World {
        let mut narrowed = world.clone();
        let mut left = vec![0_usize; self.cluster.pools.len()];
        for (number, _) in world.numbered() {
            if let Some(left) = self.seen(number).and_then(|seen| left.get_mut(seen.pool?)) {
                *left = left.saturating_add(1);
            }
        }
        let beyond_count = |(pool, left): (&AgentPool, usize)| left > usize::try_from(pool.count).unwrap_or(usize::MAX);
        let surplus: Vec<bool> = self.cluster.pools.iter().zip(left).map(beyond_count).collect();
        for (number, _) in world.numbered() {
            let seen = self.seen(number);
            let pool = seen.and_then(|seen| self.cluster.pools.get(seen.pool?));
            let is_surplus = || seen.and_then(|seen| surplus.get(seen.pool?)) == Some(&true);
            match no_place(facts, step, displaced, (seen.map(|seen| seen.node), pool), is_surplus) {
                Some(NoPlace::OutOfQuestion) => narrowed.leave_out(number),
                Some(NoPlace::Because(reason, passes)) if !(passes && hopefully) => narrowed.bar_number(number, reason),
                Some(NoPlace::Because(..)) | None => {}
            }
        }
        narrowed
    }
}

/// The nodes as they are shown, by their numbers in the world; of two with one name the last.
fn seen<'a>(facts: &Facts<'a>, cluster: &Cluster, world: &World) -> Result<Vec<Option<Seen<'a>>>, &'a str> {
    let mut shown: HashMap<&str, &'a Node> = facts.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let pools = cluster.pools.iter().enumerate().rev();
    let pools: HashMap<&str, usize> = pools.map(|(number, pool)| (pool.name.as_str(), number)).collect();
    let mut seen = Vec::new();
    for (number, node) in world.numbered() {
        seen.resize(number, None);
        let of_pool = |node: &Node| pools.get(node.pool.as_deref()?).copied();
        seen.push(shown.remove(node.name.as_str()).map(|node| Seen { node, pool: of_pool(node) }));
    }
    match shown.into_keys().min() {
        None => Ok(seen),
        Some(unread) => Err(unread),
    }
}

/// Why nothing that the step moves may be placed on the node: those from system nodes need a usable system node,
/// others one that is Ready.
fn no_place(
    facts: &Facts<'_>,
    step: &Step,
    displaced: &Displacement<'_>,
    (node, pool): (Option<&Node>, Option<&AgentPool>),
    surplus: impl Fn() -> bool,
) -> Option<NoPlace> {
    let because = |reason, passes| Some(NoPlace::Because(reason, passes));
    let Some(node) = node else { return because(UNKNOWN, true) };
    if displaced.from_system && pool.is_none_or(|pool| pool.mode != Mode::System) {
        return Some(NoPlace::OutOfQuestion);
    }
    if let Some(pool) = pool {
        let relies = pool.name == step.pool || may_remain(facts, pool, Outlook::Worst);
        if is_leaving(pool) || (displaced.from_system && !(is_running_system(pool) && relies)) {
            return because("of a pool that can't be relied upon", pool.state.operation().is_some());
        }
        if surplus() {
            return because("of a pool that AKS removes nodes from", true);
        }
    }
    let reason = match pool.filter(|_| displaced.from_system) {
        Some(pool) => match usability(node, pool, facts.now, facts.settings) {
            Usability::Usable => return None,
            Usability::Unusable(reason) => reason,
        },
        None if node.deleting => UnusableReason::Deleting,
        None if matches!(node.readiness, Readiness::NotReady { .. }) => UnusableReason::NotReady,
        None => return None,
    };
    because(in_words(&reason), reason.may_pass(node, facts.now, facts.settings))
}

/// Why a node is no place, in words after "is".
fn in_words(reason: &UnusableReason) -> &'static str {
    match reason {
        UnusableReason::Deleting => "being deleted",
        UnusableReason::NotReady => "not Ready",
        UnusableReason::ReadyTooShort => "Ready since a moment ago only",
        UnusableReason::Cordoned => "cordoned",
        UnusableReason::Unlabelled => "not labelled as a system node",
        UnusableReason::Tainted(_) => "closed to add-ons by a taint",
    }
}

/// What a change does to the labels of a node of its pool.
fn relabel(labels: &mut BTreeMap<String, String>, change: &Change) {
    match change {
        Change::Mode { to, .. } => {
            labels.insert(MODE_LABEL.to_owned(), to.to_string().to_ascii_lowercase());
        }
        Change::Drain(drain) if drain.aim() == Some(Aim::Demotion) => {
            labels.insert(MODE_LABEL.to_owned(), "user".to_owned());
        }
        Change::Labels { from, to } => {
            labels.retain(|key, _| !from.contains_key(key) || to.contains_key(key));
            labels.extend(to.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        _ => {}
    }
}
