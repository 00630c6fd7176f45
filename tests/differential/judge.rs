//! The kernel's answer beside the scheduler's. Never excuses a pod for which the kernel sees a place and the scheduler
//! none.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod as Object};
use nodepool_kernel::placement::{Labels, Listing, Pod, World};
use nodepool_operator::observe::scheduling::{Storage, node, resident};

use crate::stage::{Decision, Stage};

/// Kinds in which the kernel means to be stricter: claims that are bound when a pod needs them, because nobody knows
/// where such a volume will be; and nodes without a volume's driver, because it would never be attached there.
const EXPLAINED: [&str; 2] = ["Claim", "DriverMissing"];

/// What the kernel says of one pod.
pub struct Opinion {
    /// Nodes that it thinks feasible.
    feasible: Vec<String>,
    /// The kinds of reasons, if there is none.
    kinds: Vec<String>,
    world: World,
    pod: Pod,
}

/// How the two compare.
pub enum Comparison {
    /// Both see the same.
    Same,
    /// The scheduler found a place that the kernel does not see: why not.
    Stricter(String),
    /// The kernel sees a place and the scheduler none.
    Unsafe(String),
}

impl Comparison {
    /// Whether the two may differ because the scheduler had not seen everything yet.
    pub fn may_be_early(&self) -> bool {
        match self {
            Self::Same => false,
            Self::Stricter(kind) => !EXPLAINED.contains(&kind.as_str()),
            Self::Unsafe(_) => true,
        }
    }
}

impl Opinion {
    /// What the kernel says of a pod on this stage.
    pub fn of(
        stage: &Stage,
        (claims, volumes): (Vec<PersistentVolumeClaim>, Vec<PersistentVolume>),
        namespaces: &[String; 2],
        pod: &Object,
    ) -> anyhow::Result<Self> {
        let mut storage = Storage::default();
        for claim in claims {
            storage.add_claim(claim);
        }
        for volume in volumes {
            storage.add_volume(volume);
        }
        for node in &stage.csi_nodes {
            storage.add_node(node.clone());
        }
        let nodes = stage.nodes.iter().map(|object| node(object, &storage, true)).collect();
        let labels = |team: &str| Labels::from([("team".to_owned(), team.to_owned())]);
        let known = namespaces.iter().cloned().zip(["a", "b"].map(labels)).collect();
        let mut world = World::new(nodes, Some(known), Listing::default());
        for running in &stage.running {
            if let Some((Some(node), pod)) = resident(running, &storage) {
                world.add(&node, pod);
            }
        }
        let (_, pod) = resident(pod, &storage).ok_or_else(|| anyhow::anyhow!("the pod has ended"))?;
        let (feasible, kinds) = match world.feasible(&pod) {
            Ok(nodes) => (nodes.into_iter().map(str::to_owned).collect(), vec![]),
            Err(unplaceable) => {
                let obstacles = unplaceable.obstacles.iter().map(kind);
                let misfits = unplaceable.misfits.iter().map(|(misfit, _)| kind(misfit));
                (vec![], obstacles.chain(misfits).collect())
            }
        };
        Ok(Self { feasible, kinds, world, pod })
    }

    /// Beside what the scheduler decided.
    pub fn compare(&self, decision: &Decision) -> Comparison {
        match decision {
            Decision::Bound(node) if self.feasible.contains(node) => Comparison::Same,
            Decision::Bound(node) => Comparison::Stricter(self.why_not(node)),
            Decision::Refused(_) if self.feasible.is_empty() => Comparison::Same,
            Decision::Refused(why) => Comparison::Unsafe(format!("{why}, but the kernel sees {:?}", self.feasible)),
        }
    }

    /// The kind of reason for which the kernel does not see the node. What it has against others is left out.
    fn why_not(&self, node: &str) -> String {
        let mut world = self.world.clone();
        for (number, _) in self.world.numbered().filter(|(_, other)| other.name != node) {
            world.leave_out(number);
        }
        match world.feasible(&self.pod) {
            Ok(_) => "nothing".to_owned(),
            Err(unplaceable) if unplaceable.obstacles.is_empty() => {
                let misfits = unplaceable.misfits.iter().map(|(misfit, _)| kind(misfit));
                misfits.collect::<Vec<_>>().join(" or ")
            }
            Err(unplaceable) => unplaceable.obstacles.iter().map(kind).collect::<Vec<_>>().join(" and "),
        }
    }
}

/// The variant's name.
fn kind(reason: &impl fmt::Debug) -> String {
    format!("{reason:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// Counts over all worlds.
#[derive(Default)]
pub struct Tally {
    pub decisions: usize,
    pub worlds: usize,
    bound: usize,
    /// Pods that both refuse, by each kind of reason that the kernel gives.
    refused: BTreeMap<String, usize>,
    pub stricter: BTreeMap<String, usize>,
    pub unsafe_: Vec<String>,
    pub asked_again: usize,
}

impl Tally {
    pub fn count(&mut self, opinion: &Opinion, decision: &Decision) {
        self.decisions += 1;
        self.bound += usize::from(matches!(decision, Decision::Bound(_)));
        match opinion.compare(decision) {
            Comparison::Same => {
                for kind in &opinion.kinds {
                    *self.refused.entry(kind.clone()).or_default() += 1;
                }
            }
            Comparison::Stricter(kind) => *self.stricter.entry(kind).or_default() += 1,
            Comparison::Unsafe(what) => self.unsafe_.push(format!("{}: {what}", opinion.pod.full_name())),
        }
    }

    /// Pods for which the kernel is stricter in no way that it means to be.
    pub fn unexplained(&self) -> Vec<&str> {
        self.stricter.keys().map(String::as_str).filter(|kind| !EXPLAINED.contains(kind)).collect()
    }

    pub fn strict(&self) -> usize {
        self.stricter.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.decisions - self.bound;
        writeln!(
            f,
            "{} pods in {} worlds: {} bound, {refused} without a place",
            self.decisions, self.worlds, self.bound
        )?;
        writeln!(f, "  kernel sees a place, scheduler none: {}", self.unsafe_.len())?;
        writeln!(f, "  kernel is stricter: {} {:?}", self.strict(), self.stricter)?;
        writeln!(f, "  both refuse, by the kernel's reasons: {:?}", self.refused)?;
        write!(f, "  asked again, because the two differed at first: {}", self.asked_again)
    }
}
