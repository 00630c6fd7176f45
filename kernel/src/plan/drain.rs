//! The next changes of a drain, worked out anew from what is seen: nodes that carry its mark, pods that are left on them.
//! Never judges whether they may be made, and remembers nothing.

use std::collections::BTreeSet;

use foldhash::HashSet;

use super::problem::Problem;
use super::steps::on_its_own;
use super::victims::{Candidate, choose};
use crate::capacity::{Usability, usability};
use crate::disruption::{Eviction, eviction};
use crate::drain::{Aim, Drain};
use crate::intent::{Intent, SystemPods};
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Budget, Mode, Node, Occupancy, Occupant, Owner, Readiness, Snapshot};
use crate::step::{Change, Purpose, Step};

/// What a policy's steps come to when chosen nodes are drained where that is needed.
#[derive(Debug, Default)]
pub(super) struct Refined {
    /// The steps.
    pub(super) steps: Vec<Step>,
    /// Nodes that stay cordoned.
    pub(super) kept: BTreeSet<String>,
    /// Why the nodes of the policy are opened again, in words.
    pub(super) opened: String,
    /// Why no nodes can be drained, if they would have to be.
    pub(super) problem: Option<Problem>,
}

/// What is seen of a pool and its drain.
struct Yard<'a> {
    intent: &'a Intent,
    pool: &'a AgentPool,
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    nodes: &'a [&'a Node],
    /// Nodes with protected pods that a drain would have to evict.
    guarded: BTreeSet<&'a str>,
    /// Nodes that are cordoned for this policy, while the drain may go on.
    begun: BTreeSet<&'a str>,
}

/// The steps of a policy, with a scale-down, a demotion or a deletion turned into a drain where it takes one: where protected
/// pods run, and for any scale-down or deletion of a system pool, since AKS would choose the nodes and their order. `nodes` are
/// those of the pool, and `held` says why no drain may go on now.
pub(super) fn refine(
    intent: &Intent,
    (pool, nodes): (&AgentPool, Option<&[&Node]>),
    snapshot: &Snapshot,
    settings: &Settings,
    steps: Vec<Step>,
    held: Option<&str>,
) -> Refined {
    let (Some(nodes), Some(pods)) = (nodes, snapshot.pods.value()) else {
        // Nothing is decided on nodes or pods that are not seen: marks stay as they are, and the guard refuses.
        let kept = nodes.into_iter().flatten().map(|node| node.name.clone()).collect();
        return Refined { steps, kept, ..Refined::default() };
    };
    let takes_away =
        steps.iter().any(|step| step.change.scales_down() || step.change.demotes() || step.change.deletes());
    let mine: BTreeSet<&str> =
        nodes.iter().filter(|node| node.is_drained_for(&intent.policy)).map(|node| node.name.as_str()).collect();
    if !takes_away {
        let opened = "they are not to go any more".to_owned();
        let kept = if is_on_its_way(pool, snapshot, nodes.len(), mine.len()) { owned(&mine) } else { BTreeSet::new() };
        return Refined { steps, kept, opened: held.map_or(opened, str::to_owned), problem: None };
    }
    let names: HashSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let guarded = pods.iter().filter(|pod| pod.owner != Owner::DaemonSet);
    let guarded = guarded.filter_map(|pod| names.get(pod.node.as_deref()?).copied()).collect();
    let begun = if held.is_some() { BTreeSet::new() } else { mine };
    let yard = Yard { intent, pool, snapshot, settings, nodes, guarded, begun };
    let mut refined = yard.refine(steps);
    if let Some(held) = held {
        (refined.kept, refined.opened) = (BTreeSet::new(), held.to_owned());
    }
    refined
}

fn owned(names: &BTreeSet<&str>) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether the cordoned nodes are those that Azure removes: a write of ours runs on the pool, or it has so many nodes beyond
/// its count.
fn is_on_its_way(pool: &AgentPool, snapshot: &Snapshot, nodes: usize, cordoned: usize) -> bool {
    let excess = nodes.saturating_sub(usize::try_from(pool.count).unwrap_or(usize::MAX));
    let in_flight = snapshot.in_flight.iter().any(|flight| flight.step.pool == pool.name);
    in_flight || (!pool.ended_badly() && excess > 0 && cordoned <= excess)
}

impl<'a> Yard<'a> {
    fn refine(&self, steps: Vec<Step>) -> Refined {
        let mut refined = Refined { opened: "they are not to go any more".to_owned(), ..Refined::default() };
        let demotes = steps.iter().any(|step| step.change.demotes());
        for step in steps {
            match &step.change {
                Change::Mode { .. } if step.change.demotes() => self.demote(step, &mut refined),
                Change::Delete => self.delete(step, &mut refined),
                Change::Count { from, to } if to < from && !demotes && self.takes_drain(*to) => {
                    let (from, to) = (*from, *to);
                    self.scale_down(step, from, to, &mut refined);
                }
                _ => refined.steps.push(step),
            }
        }
        // Bounds that are to change as well wait until the autoscaler is on again.
        let turns_off = |step: &Step| matches!(step.change, Change::Autoscaling { to: None, .. });
        if refined.steps.iter().any(turns_off) {
            refined.steps.retain(|step| step.change.purpose() != Purpose::Autoscaling || turns_off(step));
        }
        refined
    }

    /// Whether chosen nodes are drained for a scale-down. A user pool that is to have no nodes at all is a case of its own:
    /// what depends on it is judged as for a deletion.
    fn takes_drain(&self, to: u32) -> bool {
        to > 0 && (self.pool.mode == Mode::System || !self.guarded.is_empty() || !self.begun.is_empty())
    }

    fn scale_down(&self, step: Step, from: u32, to: u32, refined: &mut Refined) {
        let number = usize::try_from(from.saturating_sub(to)).unwrap_or(usize::MAX);
        let victims = choose(self.candidates(), self.nodes, number, self.intent.system_pods);
        let relocates = self.intent.system_pods == SystemPods::Relocate;
        let stay = victims.iter().any(|node| self.guarded.contains(node.name.as_str()));
        if stay && !relocates {
            // The guard refuses it, and says what would help.
            refined.steps.push(step);
            return;
        }
        let aim = Aim::Scale { from, to };
        let names: BTreeSet<&str> = victims.iter().map(|node| node.name.as_str()).collect();
        refined.kept = owned(&names.intersection(&self.begun).copied().collect());
        if victims.len() < number {
            let others: Vec<&str> = self.taken_by_others().map(|node| node.name.as_str()).collect();
            refined.problem = Some(Problem::too_few_nodes(number, victims.len(), &others));
            return;
        }
        let rest = || {
            let machines = names.iter().map(|name| (*name).to_owned()).collect();
            Change::Drain(Drain::RemoveMachines { machines, from })
        };
        self.next(&names, aim, refined, rest);
    }

    fn demote(&self, step: Step, refined: &mut Refined) {
        let may_move = self.intent.system_pods == SystemPods::Relocate && self.rules_the_autoscaler();
        self.take_all(step, Aim::Demotion, may_move, !self.guarded.is_empty(), refined);
    }

    /// A user pool without protected pods is AKS's to empty: it asks the budgets.
    fn delete(&self, step: Step, refined: &mut Refined) {
        let may_stay = self.guarded.is_empty() || self.intent.system_pods == SystemPods::Relocate;
        let takes_drain = !self.candidates().is_empty() && self.takes_drain(1);
        self.take_all(step, Aim::Deletion, may_stay && self.rules_the_autoscaler(), takes_drain, refined);
    }

    /// An autoscaler that is not the policy's can't be turned off meanwhile.
    fn rules_the_autoscaler(&self) -> bool {
        self.pool.autoscaling.is_none() || self.intent.autoscaling.is_some()
    }

    /// Closes and empties all nodes before the step, if that `may` be done and the step `takes` it.
    fn take_all(&self, step: Step, aim: Aim, may: bool, takes: bool, refined: &mut Refined) {
        let names: BTreeSet<&str> = self.candidates().iter().map(|candidate| candidate.node.name.as_str()).collect();
        if may {
            refined.kept = owned(&names.intersection(&self.begun).copied().collect());
        }
        // Pods on nodes that somebody else cordoned are not moved: then the guard refuses the step and names them.
        if !may || !takes || !self.guarded.is_subset(&names) {
            refined.steps.push(step);
            return;
        }
        // The autoscaler would take away the nodes that are being emptied, or add some for the pods that move.
        if self.pool.autoscaling.is_some() {
            let off = Change::Autoscaling { from: self.pool.autoscaling, to: None };
            refined.steps.push(on_its_own(self.intent, self.pool, off));
        }
        let rest = || step.change.clone();
        self.next(&names, aim, refined, rest);
    }

    /// What is next: to cordon what is not, to evict what is left, and then the rest.
    fn next(&self, names: &BTreeSet<&str>, aim: Aim, refined: &mut Refined, rest: impl Fn() -> Change) {
        let push = |refined: &mut Refined, change| refined.steps.push(on_its_own(self.intent, self.pool, change));
        let open: Vec<String> = names.difference(&self.begun).map(|name| (*name).to_owned()).collect();
        if !open.is_empty() {
            return push(refined, Change::Drain(Drain::Cordon { nodes: open, aim }));
        }
        let evictions = self.evictions(names, aim);
        let is_done = evictions.is_empty();
        for occupant in evictions {
            let (pod, uid, node) = (occupant.pod.full_name(), occupant.uid.clone(), occupant.node().to_owned());
            push(refined, Change::Drain(Drain::Evict { pod, uid, node, aim }));
        }
        if is_done {
            push(refined, rest());
        }
    }

    /// The next protected pod and the next other one.
    fn evictions(&self, names: &BTreeSet<&str>, aim: Aim) -> Vec<&'a Occupant> {
        let known = self.snapshot.occupancy.get(&self.pool.name).and_then(|known| known.value());
        let Some(occupancy) = known.filter(|occupancy| occupancy.covers(names)) else { return Vec::new() };
        let is_left = |it: &&Occupant| it.holds_node() && !it.pod.deleting && names.contains(it.node());
        let mut left: Vec<&Occupant> = occupancy.pods.iter().filter(is_left).collect();
        left.sort_by_cached_key(|occupant| occupant.pod.full_name());
        let next = |protected: bool, budgets: &[Budget]| {
            let of_kind = || left.iter().copied().filter(|occupant| occupant.protected == protected);
            of_kind().find(|it| eviction(&it.pod, budgets) == Eviction::Evictable).or_else(|| of_kind().next())
        };
        let protected = next(true, budgets_of(self.snapshot, occupancy));
        let other = next(false, &occupancy.budgets).filter(|_| aim != Aim::Demotion);
        protected.into_iter().chain(other).collect()
    }

    /// The nodes that may be chosen: not those that somebody else cordoned, or that are going away.
    fn candidates(&self) -> Vec<Candidate<'a>> {
        let own = |node: &&&Node| !node.deleting && (!node.cordoned || node.is_drained_for(&self.intent.policy));
        let candidate = |node: &&'a Node| Candidate {
            node,
            begun: self.begun.contains(node.name.as_str()),
            guarded: self.guarded.contains(node.name.as_str()),
            usable: self.is_usable(node),
        };
        self.nodes.iter().filter(own).map(candidate).collect()
    }

    fn is_usable(&self, node: &Node) -> bool {
        // What a drain has cordoned was usable before, as far as it is Ready.
        let is_ready = matches!(node.readiness, Readiness::Ready { .. });
        let of_system = || usability(node, self.pool, self.snapshot.now, self.settings) == Usability::Usable;
        is_ready && (self.pool.mode != Mode::System || self.begun.contains(node.name.as_str()) || of_system())
    }

    fn taken_by_others(&self) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().copied().filter(|node| node.cordoned && !node.is_drained_for(&self.intent.policy))
    }
}

/// The budgets of protected pods, as they are watched; those that were read with the pods where they are not known.
fn budgets_of<'a>(snapshot: &'a Snapshot, occupancy: &'a Occupancy) -> &'a [Budget] {
    snapshot.budgets.value().map_or(&occupancy.budgets, Vec::as_slice)
}

#[cfg(test)]
mod tests;
