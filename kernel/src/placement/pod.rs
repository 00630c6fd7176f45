//! Pods as the scheduler's filters read them, running ones and those to be placed. Never holds what only scores.

use std::fmt;

use super::labels::Labels;
use super::node_affinity::NodeTerm;
use super::pod_affinity::PodTerm;
use super::ports::HostPort;
use super::resources::Resources;
use super::spread::Spread;
use super::volumes::Claim;
use crate::taint::Toleration;

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// Whether `metadata.deletionTimestamp` is set. Such a pod still takes its room, but spreading ignores it.
    pub deleting: bool,
    /// What all its containers ask for together.
    pub requests: Resources,
    /// `spec.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// `spec.nodeName`, when it names the only node that the pod may run on.
    pub node_name: Option<String>,
    /// `spec.nodeSelector`.
    pub node_selector: Labels,
    /// The terms of the required node affinity, of which one must match; `None` when there is none.
    pub node_affinity: Option<Vec<NodeTerm>>,
    /// Required affinity to other pods: all terms must hold.
    pub affinity: Vec<PodTerm>,
    /// Required anti-affinity to other pods: no term may match.
    pub anti_affinity: Vec<PodTerm>,
    /// Topology spread constraints with `DoNotSchedule`.
    pub spread: Vec<Spread>,
    /// Ports of the host that it takes.
    pub ports: Vec<HostPort>,
    /// Volumes that it uses through claims.
    pub claims: Vec<Claim>,
    /// How many of its volumes could not be traced to a driver. A running pod's are counted for every driver.
    pub untraced_volumes: u32,
    /// What keeps it from being placed anywhere as far as is known.
    pub obstacles: Vec<Obstacle>,
}

impl Pod {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What keeps a pod from being placed on any node, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// A scheduling gate (`spec.schedulingGates`) of this name.
    Gate(String),
    /// A resource claim (`spec.resourceClaims`) of this name: devices are not modelled.
    ResourceClaim(String),
    /// Another scheduler than the default one decides.
    Scheduler(String),
    /// A claim can't be used as things are: its name, and why.
    Claim {
        /// The claim's name.
        name: String,
        /// Why, in words after the name ("is not bound").
        problem: String,
    },
    /// Something in its specification that is not modelled, in words.
    NotModelled(String),
    /// Something that its placement depends on is not known, in words.
    Unknown(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate(name) => write!(f, "it waits at the scheduling gate {name}"),
            Self::ResourceClaim(name) => write!(f, "it needs the resource claim {name}, which is not modelled"),
            Self::Scheduler(name) => write!(f, "the scheduler {name} decides, not the default one"),
            Self::Claim { name, problem } => write!(f, "the volume claim {name} {problem}"),
            Self::NotModelled(what) => write!(f, "{what} is not modelled"),
            Self::Unknown(what) => write!(f, "{what}"),
        }
    }
}
