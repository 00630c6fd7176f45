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

    /// Whether the filters can't tell the pods apart: all is the same but their names.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let Self {
            namespace,
            name: _,
            labels,
            deleting,
            requests,
            tolerations,
            node_name,
            node_selector,
            node_affinity,
            affinity,
            anti_affinity,
            spread,
            ports,
            claims,
            untraced_volumes,
            obstacles,
        } = self;
        *namespace == other.namespace
            && *deleting == other.deleting
            && *requests == other.requests
            && *untraced_volumes == other.untraced_volumes
            && *labels == other.labels
            && *tolerations == other.tolerations
            && *node_name == other.node_name
            && *node_selector == other.node_selector
            && *node_affinity == other.node_affinity
            && *affinity == other.affinity
            && *anti_affinity == other.anti_affinity
            && *spread == other.spread
            && *ports == other.ports
            && *claims == other.claims
            && *obstacles == other.obstacles
    }

    /// Whether the pod changes nothing for another like it, but on the node that it is placed on: it is near to none and far
    /// from none, and nothing is its alone.
    pub(super) const fn minds_only_its_node(&self) -> bool {
        self.affinity.is_empty() && self.anti_affinity.is_empty() && self.spread.is_empty() && self.claims.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::testing::{labels, pod, spread, term};
    use crate::taint::TolerationOperator;

    #[test]
    fn pods_are_alike_if_nothing_but_their_names_differs() {
        let like = Pod { labels: labels(&[]), ..pod("a") };
        assert!(like.is_like(&Pod { name: "b".into(), ..like.clone() }));
        let tolerates_all = Toleration {
            key: None,
            operator: TolerationOperator::Exists,
            value: String::new(),
            effect: None,
            limited: false,
        };
        let changes: [fn(&mut Pod); 13] = [
            |pod| pod.namespace.push('x'),
            |pod| pod.deleting = true,
            |pod| pod.requests.cpu += 1,
            |pod| pod.labels = labels(&[("app", "b")]),
            |pod| pod.node_name = Some("n0".into()),
            |pod| pod.node_selector = labels(&[("zone", "1")]),
            |pod| pod.node_affinity = Some(Vec::new()),
            |pod| pod.affinity.push(term("b", "zone")),
            |pod| pod.anti_affinity.push(term("b", "zone")),
            |pod| pod.spread.push(spread("b", "zone")),
            |pod| pod.ports.push(HostPort { ip: String::new(), protocol: "TCP".into(), port: 53 }),
            |pod| pod.claims.push(Claim::default()),
            |pod| pod.untraced_volumes += 1,
        ];
        let mut others: Vec<Pod> = vec![
            Pod { tolerations: vec![tolerates_all], ..like.clone() },
            Pod { obstacles: vec![Obstacle::Gate("g".into())], ..like.clone() },
        ];
        others.extend(changes.iter().map(|change| {
            let mut other = like.clone();
            change(&mut other);
            other
        }));
        for other in others {
            assert!(!like.is_like(&other) && !other.is_like(&like), "{other:?}");
        }
    }
}
