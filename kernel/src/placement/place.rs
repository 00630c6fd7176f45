//! Many pods placed one after the other. Never rests on the scheduler making the choice that suits.

use std::sync::Arc;

use super::pod::Pod;
use super::reason::Unplaceable;
use super::world::{Site, World};

/// Which of the feasible nodes a pod is put on while the next ones are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The one with most room, as the scheduler's default scores prefer.
    Emptiest,
    /// The one with least room.
    Fullest,
}

/// Whether each of the pods finds a place, in this order, each added to the world before the next is judged. A pod that
/// finds none is left out, and the ones after it are judged all the same.
///
/// The scheduler chooses among feasible nodes by scores that are not modelled. So the whole sequence must succeed both
/// when each pod takes the emptiest and when it takes the fullest node. The answer is the node of each pod in the first
/// case: what is likely, not a promise.
///
/// # Errors
/// The pods that find no place, in order. Of the two ways the first that fails speaks.
pub fn place(world: &World, pods: &[Pod]) -> Result<Vec<String>, Vec<Unplaceable>> {
    place_after(world, &[], pods)
}

/// As [`place`], after the `first` pods have taken their places, those that find one.
///
/// # Errors
/// The `pods` that find no place, in order. Of the two ways the first that fails speaks.
pub fn place_after(world: &World, first: &[Pod], pods: &[Pod]) -> Result<Vec<String>, Vec<Unplaceable>> {
    let shared = |pods: &[Pod]| pods.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    let (first, pods) = (shared(first), shared(pods));
    let likely = place_by(world, &first, &pods, Choice::Emptiest)?;
    if first.len().saturating_add(pods.len()) > 1 {
        place_by(world, &first, &pods, Choice::Fullest)?;
    }
    Ok(likely)
}

/// The pods that find a place, in this order, each on the emptiest node.
#[must_use]
pub fn placeable(world: &World, pods: &[Pod]) -> Vec<Pod> {
    let mut world = world.clone();
    let mut finds = |pod: &&Pod| put(&mut world, &Arc::new((*pod).clone()), Choice::Emptiest).is_ok();
    pods.iter().filter(|pod| finds(pod)).cloned().collect()
}

fn place_by(
    world: &World,
    first: &[Arc<Pod>],
    pods: &[Arc<Pod>],
    choice: Choice,
) -> Result<Vec<String>, Vec<Unplaceable>> {
    let mut world = world.clone();
    for pod in first {
        // Whether it finds a place is not what is asked.
        put(&mut world, pod, choice).ok();
    }
    let mut places = Vec::with_capacity(pods.len());
    let mut unplaceable = Vec::new();
    for pod in pods {
        match put(&mut world, pod, choice) {
            Ok(node) => places.push(node),
            Err(reason) => unplaceable.push(reason),
        }
    }
    if unplaceable.is_empty() { Ok(places) } else { Err(unplaceable) }
}

/// Puts the pod on a node.
fn put(world: &mut World, pod: &Arc<Pod>, choice: Choice) -> Result<String, Unplaceable> {
    let (number, name) = choice.of(world.feasible_sites(pod)?).ok_or_else(|| Unplaceable::nowhere(pod, []))?;
    world.add_at(number, Arc::clone(pod));
    Ok(name)
}

impl Choice {
    /// Ties go to the first name.
    fn of(self, sites: Vec<(usize, &Site)>) -> Option<(usize, String)> {
        let room = |site: &Site| {
            let (allocatable, used) = (&site.node.allocatable, &site.used);
            (allocatable.cpu.saturating_sub(used.cpu), allocatable.memory.saturating_sub(used.memory))
        };
        let sites = sites.into_iter();
        let chosen = match self {
            Self::Emptiest => sites.min_by_key(|(_, site)| std::cmp::Reverse(room(site))),
            Self::Fullest => sites.min_by_key(|(_, site)| room(site)),
        };
        chosen.map(|(number, site)| (number, site.node.name.clone()))
    }
}
