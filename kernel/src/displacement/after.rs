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
    nodes: HashMap<&'a str, &'a Node>,
}

/// Why a node is no place for the pods that a step moves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// It is none of the nodes that pods are looked for a place on.
    OutOfQuestion,
    /// In words after "is", and whether that may pass by itself.
    Because(String, bool),
}

impl<'a> After<'a> {
    /// The cluster after the step and all in flight.
    pub(super) fn new(facts: &Facts<'a>, step: &Step, world: &World) -> Self {
        let mut cluster = facts.cluster.clone();
        worsen(&mut cluster, step);
        let nodes = facts.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let mut after = Self { cluster, world: world.clone(), nodes };
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
        after
    }

    /// The world in which pods that wait for a node may be placed on any node that is known.
    pub(super) fn open(&self, world: &World) -> World {
        let mut open = world.clone();
        for node in world.nodes().filter(|node| !self.nodes.contains_key(node.name.as_str())) {
            open.bar(&node.name, UNKNOWN);
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
        let pools: HashMap<&str, &AgentPool> =
            self.cluster.pools.iter().rev().map(|pool| (pool.name.as_str(), pool)).collect();
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for node in world.nodes() {
            if let Some(pool) = self.nodes.get(node.name.as_str()).and_then(|node| node.pool.as_deref()) {
                *left.entry(pool).or_default() += 1;
            }
        }
        for node in world.nodes() {
            let surplus = |pool: &AgentPool| {
                left.get(pool.name.as_str())
                    .is_some_and(|left| *left > usize::try_from(pool.count).unwrap_or(usize::MAX))
            };
            let seen = self.nodes.get(node.name.as_str()).copied();
            let pool = seen.and_then(|node| pools.get(node.pool.as_deref()?)).copied();
            match no_place(facts, step, displaced, (seen, pool), surplus) {
                Some(NoPlace::OutOfQuestion) => narrowed.leave_out(&node.name),
                Some(NoPlace::Because(reason, passes)) if !(passes && hopefully) => narrowed.bar(&node.name, reason),
                Some(NoPlace::Because(..)) | None => {}
            }
        }
        narrowed
    }
}

/// Why nothing that the step moves may be placed on the node: those from system nodes need a usable system node,
/// others one that is Ready.
fn no_place(
    facts: &Facts<'_>,
    step: &Step,
    displaced: &Displacement<'_>,
    (node, pool): (Option<&Node>, Option<&AgentPool>),
    surplus: impl Fn(&AgentPool) -> bool,
) -> Option<NoPlace> {
    let because = |reason: &str, passes| Some(NoPlace::Because(reason.to_owned(), passes));
    let Some(node) = node else { return because(UNKNOWN, true) };
    if displaced.from_system && pool.is_none_or(|pool| pool.mode != Mode::System) {
        return Some(NoPlace::OutOfQuestion);
    }
    if let Some(pool) = pool {
        let relies = pool.name == step.pool || may_remain(facts, pool, Outlook::Worst);
        if is_leaving(pool) || (displaced.from_system && !(is_running_system(pool) && relies)) {
            return because("of a pool that can't be relied upon", pool.state.operation().is_some());
        }
        if surplus(pool) {
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
