//! Many pods placed one after the other. Never rests on the scheduler making the choice that suits.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pod::Pod;
use super::reason::Unplaceable;
use super::resources::Amount;
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
    let mut placing = Placing::new(world, Choice::Emptiest);
    let mut finds = |pod: &&Pod| placing.put(&Arc::new((*pod).clone())).is_ok();
    pods.iter().filter(|pod| finds(pod)).cloned().collect()
}

fn place_by(
    world: &World,
    first: &[Arc<Pod>],
    pods: &[Arc<Pod>],
    choice: Choice,
) -> Result<Vec<String>, Vec<Unplaceable>> {
    let mut placing = Placing::new(world, choice);
    for pod in first {
        // Whether it finds a place is not what is asked.
        placing.put(pod).ok();
    }
    let mut places = Vec::with_capacity(pods.len());
    let mut unplaceable = Vec::new();
    for pod in pods {
        match placing.put(pod) {
            Ok(node) => places.push(node),
            Err(reason) => unplaceable.push(reason),
        }
    }
    if unplaceable.is_empty() { Ok(places) } else { Err(unplaceable) }
}

/// A world that fills up. Of pods that are alike and come one after the other, as those of a workload do, only the first
/// is compared with every node: there may be thousands of both.
struct Placing {
    world: World,
    choice: Choice,
    /// What is known of pods like the last one.
    last: Option<Alike>,
}

/// Where pods of one form could be placed now.
struct Alike {
    like: Arc<Pod>,
    /// The numbers of the nodes, the first to be chosen first; or why there is none.
    found: Result<BTreeSet<(Preference, usize)>, Unplaceable>,
}

/// How much a node is preferred, the least most.
type Preference = (Amount, Amount);

impl Placing {
    fn new(world: &World, choice: Choice) -> Self {
        Self { world: world.clone(), choice, last: None }
    }

    /// Puts the pod on a node, and tells its name. Ties go to the first name.
    fn put(&mut self, pod: &Arc<Pod>) -> Result<String, Unplaceable> {
        let known = self.last.take().filter(|last| last.like.is_like(pod) && last.found != Ok(BTreeSet::new()));
        let mut alike = known.unwrap_or_else(|| self.look(pod));
        let chosen = alike.found.as_mut().map(BTreeSet::pop_first);
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(reason) => {
                let reason = Unplaceable { pod: pod.full_name(), ..reason.clone() };
                self.last = Some(alike);
                return Err(reason);
            }
        };
        let (_, number) = chosen.ok_or_else(|| Unplaceable::nowhere(pod, []))?;
        self.world.add_at(number, Arc::clone(pod));
        if pod.minds_only_its_node() {
            if let Ok(found) = &mut alike.found
                && let Some(site) = self.world.feasible_site(number, pod)
            {
                found.insert((self.choice.preference(site), number));
            }
            self.last = Some(alike);
        }
        Ok(self.world.name(number).to_owned())
    }

    /// Compares the pod with every node.
    fn look(&self, pod: &Arc<Pod>) -> Alike {
        let found = self
            .world
            .feasible_sites(pod)
            .map(|sites| sites.into_iter().map(|(number, site)| (self.choice.preference(site), number)).collect());
        Alike { like: Arc::clone(pod), found }
    }
}

impl Choice {
    fn preference(self, site: &Site) -> Preference {
        let (allocatable, used) = (&site.node.allocatable, &site.used);
        let room = (allocatable.cpu.saturating_sub(used.cpu), allocatable.memory.saturating_sub(used.memory));
        match self {
            Self::Fullest => room,
            // The complement orders the other way round, without an overflow.
            Self::Emptiest => (!room.0, !room.1),
        }
    }
}
