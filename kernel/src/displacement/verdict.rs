//! Whether all pods of a displacement find another place, whichever nodes go. Never says what a person should do.

use std::collections::BTreeSet;

use super::Displacement;
use super::after::After;
use super::choices::Choices;
use crate::disruption::Takedown;
use crate::facts::Facts;
use crate::placement::{Obstacle, Pod, Unplaceable, World, place, place_after, placeable};
use crate::snapshot::{self, Places};
use crate::step::Step;

/// Pods without a place, in the first choice of nodes that leaves any.
#[derive(Debug)]
pub(crate) struct Homeless<'a> {
    /// The nodes that go in that choice.
    pub(crate) gone: Vec<&'a str>,
    /// Pods that are moved and find no other place.
    pub(crate) moved: Vec<Unplaceable>,
    /// Pods that could have had a place before and find none after.
    pub(crate) waiting: Vec<Unplaceable>,
    /// Whether the moved ones would have a place if what may pass by itself had passed.
    pub(crate) passing: bool,
}

/// What is not told of the places.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// How these pods would be placed.
    Pods(Vec<String>),
    /// A node: it has joined since.
    Node(String),
}

/// The pods without a place.
///
/// Pods that wait for a node are placed first, then those that other steps in flight move, then those of this step, by
/// namespace and name. Pods that other steps move take their new places and keep their old ones.
///
/// # Errors
/// What the places do not tell.
pub(crate) fn find<'a>(
    facts: &Facts<'a>,
    step: &Step,
    displaced: &Displacement<'a>,
    places: &Places,
) -> Result<Option<Homeless<'a>>, Lack> {
    let after = After::new(facts, step, &places.world).map_err(|node| Lack::Node(node.to_owned()))?;
    let others = facts.in_flight().iter().filter(|other| other.pool != step.pool);
    let elsewhere: BTreeSet<String> = others
        .filter_map(|other| Displacement::of(facts, other, &Takedown::of(facts, other)))
        .flat_map(|other| other.moving().map(snapshot::Pod::full_name).collect::<Vec<_>>())
        .collect();
    let search = Search {
        facts,
        step,
        displaced,
        before: &places.world,
        after,
        waiting: Waiting::of(places, displaced)?,
        elsewhere: look_up(places, elsewhere)?,
        moved: look_up(places, displaced.moved.iter().map(|pod| pod.full_name()))?,
        with_nodes: look_up(places, displaced.with_nodes.iter().map(|(pod, _)| pod.full_name()))?,
    };
    if let Some(chosen) = &displaced.chosen {
        return Ok(search.without(chosen));
    }
    let nodes: Vec<&str> = facts.nodes_of(&step.pool).iter().map(|node| node.name.as_str()).collect();
    Ok(match Choices::of(nodes.iter().copied(), displaced.going) {
        Choices::Each(sets) => sets.into_iter().find_map(|gone| search.without(&gone)),
        Choices::Any => search.without_all(&nodes),
    })
}

/// The pods of these names as they would be placed.
fn look_up(places: &Places, names: impl IntoIterator<Item = String>) -> Result<Vec<Pod>, Lack> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match places.pods.get(&name) {
            Some(pod) => found.push(pod.clone()),
            None => missing.push(name),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(Lack::Pods(missing)) }
}

/// Pods that wait for a node.
struct Waiting {
    /// Those that could be placed before the step.
    placeable: Vec<Pod>,
    /// Those of which that can't be said.
    unclear: Vec<Pod>,
}

impl Waiting {
    fn of(places: &Places, displaced: &Displacement<'_>) -> Result<Self, Lack> {
        let pods = look_up(places, displaced.waiting.iter().map(|pod| pod.full_name()))?;
        // At a gate no scheduler looks at a pod, whatever else is not known of it.
        let gated = |pod: &Pod| pod.obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Gate(_)));
        let (clear, unclear): (Vec<Pod>, Vec<Pod>) =
            pods.into_iter().filter(|pod| !gated(pod)).partition(|pod| pod.obstacles.is_empty());
        Ok(Self { placeable: placeable(&places.world, &clear), unclear })
    }
}

struct Search<'f, 'a> {
    facts: &'f Facts<'a>,
    step: &'f Step,
    displaced: &'f Displacement<'a>,
    before: &'f World,
    after: After<'a>,
    waiting: Waiting,
    elsewhere: Vec<Pod>,
    moved: Vec<Pod>,
    with_nodes: Vec<Pod>,
}

impl<'a> Search<'_, 'a> {
    /// The homeless when exactly these nodes go.
    fn without(&self, gone: &BTreeSet<&'a str>) -> Option<Homeless<'a>> {
        let goes = |index: usize| {
            self.displaced.with_nodes.get(index).is_some_and(|(_, node)| gone.contains(node.name.as_str()))
        };
        let with_nodes = self.with_nodes.iter().enumerate().filter(|(index, _)| goes(*index)).map(|(_, pod)| pod);
        let pods: Vec<Pod> = self.moved.iter().chain(with_nodes).cloned().collect();
        let world = if gone.is_empty() { self.after.world.clone() } else { self.after.world.without(gone) };
        let names = || gone.iter().copied().collect();
        let homeless = self.homeless(world, pods.clone(), &self.waiting.placeable, names())?;
        let surges = self.displaced.surges && !gone.is_empty();
        if surges && self.homeless(self.surged(gone), pods, &self.waiting.placeable, names()).is_none() {
            return None;
        }
        Some(homeless)
    }

    /// The world in which nodes like these have come in their places. Of a pool of several zones it is not known in which.
    fn surged(&self, gone: &BTreeSet<&'a str>) -> World {
        let zones: BTreeSet<_> = self.facts.nodes_of(&self.step.pool).iter().map(|node| &node.zone).collect();
        let mut world = self.after.world.clone();
        for node in gone {
            world.edit(node, |labels, _| {
                labels.insert("kubernetes.io/hostname".to_owned(), format!("{node}-surge"));
                if zones.len() > 1 {
                    labels.remove("topology.kubernetes.io/zone");
                }
            });
        }
        world
    }

    /// The homeless when AKS chooses among too many nodes: none of these is a place, and all of their pods need one. A
    /// pod whose place depends on where others are would need to know which stay.
    fn without_all(&self, nodes: &[&'a str]) -> Option<Homeless<'a>> {
        let mut world = self.after.world.clone();
        for node in nodes {
            world.bar(node, "of a pool of which AKS chooses the nodes that go");
        }
        let pods: Vec<Pod> = self.moved.iter().chain(&self.with_nodes).cloned().map(tied_to_others).collect();
        let waiting: Vec<Pod> = self.waiting.placeable.iter().cloned().map(tied_to_others).collect();
        self.homeless(world, pods, &waiting, Vec::new())
    }

    fn homeless(
        &self,
        mut world: World,
        mut pods: Vec<Pod>,
        waiting: &[Pod],
        gone: Vec<&'a str>,
    ) -> Option<Homeless<'a>> {
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let displaced = self.displaced;
        let nodes = displaced.with_nodes.iter().map(|(_, node)| node.name.as_str());
        let nodes = nodes.chain(displaced.moved.iter().filter_map(|pod| pod.node.as_deref())).collect();
        world.remove(&pods.iter().map(|pod| (pod.namespace.as_str(), pod.name.as_str())).collect(), &nodes);
        let open = self.after.open(&world);
        let mut without_place = place(&open, waiting).err().unwrap_or_default();
        // Where AKS chooses, the world after is not the one that will be.
        let chosen = !gone.is_empty() || self.displaced.going == 0;
        let unclear = self.waiting.unclear.iter().filter(|pod| self.loses(pod, &open) || !(chosen || is_free(pod)));
        without_place.extend(unclear.map(unclear_place));
        let first: Vec<Pod> = waiting.iter().chain(&self.elsewhere).cloned().collect();
        let place_moved = |hopefully| {
            let narrowed = self.after.narrowed(self.facts, self.step, self.displaced, &world, hopefully);
            place_after(&narrowed, &first, &pods).err().unwrap_or_default()
        };
        let moved = if pods.is_empty() { Vec::new() } else { place_moved(false) };
        if moved.is_empty() && without_place.is_empty() {
            return None;
        }
        let passing = moved.is_empty() || place_moved(true).is_empty();
        Some(Homeless { gone, moved, waiting: without_place, passing })
    }

    /// Whether the pod would lose a node that may be its place, if nothing else kept it from there.
    fn loses(&self, pod: &Pod, after: &World) -> bool {
        let free = Pod { obstacles: Vec::new(), ..pod.clone() };
        match (self.before.feasible(&free), after.feasible(&free)) {
            (Ok(before), Ok(after)) => !before.iter().all(|node| after.contains(node)),
            (Err(before), _) => !before.obstacles.is_empty(),
            (Ok(_), Err(_)) => true,
        }
    }
}

/// A pod of which is not known whether it could be placed, and that may lose its place.
fn unclear_place(pod: &Pod) -> Unplaceable {
    Unplaceable { pod: pod.full_name(), obstacles: pod.obstacles.clone(), misfits: Vec::new() }
}

/// Whether the pod may run beside any other.
const fn is_free(pod: &Pod) -> bool {
    pod.affinity.is_empty() && pod.anti_affinity.is_empty() && pod.spread.is_empty()
}

/// The pod, without a place if that depends on where other pods are.
fn tied_to_others(mut pod: Pod) -> Pod {
    if !is_free(&pod) {
        let what = "where it may run beside pods of which AKS chooses the nodes".to_owned();
        pod.obstacles.push(Obstacle::NotModelled(what));
    }
    pod
}
