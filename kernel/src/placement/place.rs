//! Many pods placed one after the other. Never rests on the scheduler making the choice that suits.

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
    let likely = place_by(world, pods, Choice::Emptiest)?;
    if pods.len() > 1 {
        place_by(world, pods, Choice::Fullest)?;
    }
    Ok(likely)
}

fn place_by(world: &World, pods: &[Pod], choice: Choice) -> Result<Vec<String>, Vec<Unplaceable>> {
    let mut world = world.clone();
    let mut places = Vec::with_capacity(pods.len());
    let mut unplaceable = Vec::new();
    for pod in pods {
        match world.feasible_sites(pod).map(|sites| choice.of(&sites)) {
            Ok(Some(node)) => {
                world.add(&node, pod.clone());
                places.push(node);
            }
            Ok(None) => unplaceable.push(Unplaceable::nowhere(pod, [])),
            Err(reason) => unplaceable.push(reason),
        }
    }
    if unplaceable.is_empty() { Ok(places) } else { Err(unplaceable) }
}

impl Choice {
    /// Ties go to the first name.
    fn of(self, sites: &[(usize, &Site)]) -> Option<String> {
        let room = |site: &Site| {
            let (allocatable, used) = (&site.node.allocatable, &site.used);
            (allocatable.cpu.saturating_sub(used.cpu), allocatable.memory.saturating_sub(used.memory))
        };
        let sites = sites.iter().map(|(_, site)| *site);
        let chosen = match self {
            Self::Emptiest => sites.min_by_key(|site| std::cmp::Reverse(room(site))),
            Self::Fullest => sites.min_by_key(|site| room(site)),
        };
        chosen.map(|site| site.node.name.clone())
    }
}
