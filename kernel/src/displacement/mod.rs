//! Which protected pods a step deprives of their place, and whether they find another. Never asks whether they may go.

mod after;
mod choices;
mod verdict;

pub(crate) use verdict::{Homeless, Lack, find};

use std::collections::BTreeSet;

use foldhash::HashSet;

use crate::disruption::Takedown;
use crate::drain::Aim;
use crate::facts::Facts;
use crate::names::{capped_list, counted};
use crate::snapshot::{AgentPool, Mode, Node, Owner, Pod};
use crate::step::{Change, Step};
use crate::taint::{MODE_LABEL, Taint, TaintEffect};

/// What a step does to the places of protected pods.
#[derive(Debug)]
pub(crate) struct Displacement<'a> {
    /// What it is in the step that does it, in words.
    pub(crate) cause: String,
    /// Pods that need another place whichever nodes go.
    pub(crate) moved: Vec<&'a Pod>,
    /// Pods that need another place if their node goes.
    pub(crate) with_nodes: Vec<(&'a Pod, &'a Node)>,
    /// Pods that have no node yet while the step closes or takes nodes, by name.
    pub(crate) waiting: Vec<&'a Pod>,
    /// How many of the pool's nodes go together; AKS chooses which, unless they are chosen.
    pub(crate) going: usize,
    /// The nodes that go, if that is not for AKS to choose.
    pub(crate) chosen: Option<BTreeSet<&'a str>>,
    /// Whether a node like the one that goes comes before it does, as in an upgrade.
    pub(crate) surges: bool,
    /// Whether the pods must be placed on system nodes, because they ran there.
    pub(crate) from_system: bool,
}

impl<'a> Displacement<'a> {
    /// What the step does; nothing if no pod could lose a place by it.
    pub(crate) fn of(facts: &Facts<'a>, step: &Step, takedown: &Takedown<'a>) -> Option<Self> {
        let pool = facts.pool(step)?;
        let chosen = chosen(facts, step, takedown);
        let going = takedown
            .removed
            .max(takedown.freed)
            .saturating_add(takedown.rolled)
            .max(chosen.as_ref().map_or(0, BTreeSet::len));
        let labels = changed_labels(step);
        let evicted = takedown.evicted.iter().map(|(pod, _)| pod);
        let evicted: HashSet<*const Pod> =
            evicted.chain(takedown.singly.iter().map(|(pod, _)| pod)).map(|pod| std::ptr::from_ref(*pod)).collect();
        let is_moved = |pod: &Pod| {
            let selects = || labels.iter().any(|key| pod.selects.contains(*key));
            evicted.contains(&std::ptr::from_ref(pod)) || step.change.demotes() || selects()
        };
        // A pod whose node is not shown may run on the pool: where it would be evicted, the step is refused as it is
        // (`StaleObservation`), so that what is left are labels.
        let on_pool = facts.pods_on(&step.pool).iter().map(|(pod, _)| *pod);
        let adrift = facts.adrift.iter().copied().filter(|_| !labels.is_empty());
        // A DaemonSet's pod goes with its node and needs no other place.
        let movable = on_pool.chain(adrift).filter(|pod| pod.owner != Owner::DaemonSet);
        let moved: Vec<&Pod> = movable.filter(|pod| is_moved(pod)).collect();
        let mut with_nodes = takedown.with_nodes.clone();
        with_nodes.retain(|(pod, _)| !is_moved(pod));
        let takes_places = going > 0 || !labels.is_empty() || closing_taints(step, pool).next().is_some();
        let mut waiting = if takes_places { facts.waiting.clone() } else { Vec::new() };
        waiting.retain(|pod| !pod.deleting);
        if moved.is_empty() && with_nodes.is_empty() && waiting.is_empty() {
            return None;
        }
        waiting.sort_by_key(|pod| (&pod.namespace, &pod.name));
        let is_system = facts.observed.pool(&step.pool).is_some_and(|pool| pool.mode == Mode::System);
        Some(Self {
            cause: cause(facts, step, pool, takedown),
            moved,
            with_nodes,
            waiting,
            going,
            chosen,
            surges: takedown.surged > 0,
            from_system: is_system || facts.nodes_of(&step.pool).iter().any(|node| node.labelled_system),
        })
    }

    /// Every pod that may need another place.
    pub(crate) fn moving(&self) -> impl Iterator<Item = &'a Pod> {
        self.moved.iter().chain(self.with_nodes.iter().map(|(pod, _)| pod)).copied()
    }
}

/// Keys of node labels that the step changes.
fn changed_labels(step: &Step) -> Vec<&str> {
    if step.change.changes_mode() { vec![MODE_LABEL] } else { step.change.changed_labels() }
}

/// The nodes that a drain takes away. Where the pool rolls or goes on with a removal besides, any may go.
fn chosen<'a>(facts: &Facts<'a>, step: &Step, takedown: &Takedown<'a>) -> Option<BTreeSet<&'a str>> {
    let is_ours = step.change.aim()? != Aim::Demotion && takedown.removed == 0 && takedown.rolled == 0;
    is_ours.then(|| facts.victims(step).into_iter().map(|node| node.name.as_str()).collect())
}

/// The taints of the pool after the step that keep pods away. Whether there is a node that they have not reached is not asked,
/// for it may not be seen.
fn closing_taints<'a>(step: &'a Step, pool: &'a AgentPool) -> impl Iterator<Item = &'a Taint> {
    step.change.taints_after(pool).iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule)
}

/// What it is in the step that deprives pods of their places, in words.
fn cause(facts: &Facts<'_>, step: &Step, pool: &AgentPool, takedown: &Takedown<'_>) -> String {
    let name = &step.pool;
    if takedown.upgrades {
        return format!("the upgrade of pool {name}, which takes one node after the other,");
    }
    if takedown.rolled > 0 {
        return format!("any write to pool {name} would go on with its unfinished upgrade, which");
    }
    if takedown.removed > 0 {
        return format!("removing {} of pool {name}", counted(takedown.removed, "node"));
    }
    if takedown.freed > 0 {
        return format!("the autoscaler, which could remove {} of pool {name},", counted(takedown.freed, "node"));
    }
    match step.change.aim() {
        Some(Aim::Scale { .. }) => {
            let nodes = counted(facts.victims(step).len(), "node");
            return format!("the drain of {nodes} of pool {name}");
        }
        Some(Aim::Demotion) => return format!("the demotion of pool {name}"),
        Some(Aim::Deletion) => return format!("the deletion of pool {name}"),
        None => {}
    }
    let is_new = |taint: &&Taint| facts.nodes_of(name).iter().any(|node| !node.taints.contains(taint));
    let taints = closing_taints(step, pool).filter(is_new).map(ToString::to_string);
    match &step.change {
        Change::Mode { .. } if step.change.demotes() => format!("the demotion of pool {name}"),
        Change::Mode { .. } => format!("the change of the mode of pool {name}"),
        Change::Labels { .. } => format!("the change of the label {}", capped_list(step.change.changed_labels())),
        _ => format!("the taint {}", capped_list(taints)),
    }
}
