//! The single changes by which chosen nodes of a pool are emptied and removed. Never chooses the nodes.

use std::fmt;

use crate::names::capped_list;

/// What a drain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Fewer nodes in the pool: the drained ones are removed.
    Scale {
        /// The number of nodes that ARM counts.
        from: u32,
        /// The wanted number.
        to: u32,
    },
    /// The system pool is to become a user pool: its protected pods go elsewhere, its nodes stay.
    Demotion,
    /// The pool is to be deleted, once nothing is left on its nodes.
    Deletion,
}

impl Aim {
    /// Whether all nodes of the pool are closed, and not some that are chosen.
    #[must_use]
    pub const fn takes_all(self) -> bool {
        matches!(self, Self::Demotion | Self::Deletion)
    }
}

/// One change of a drain. All but the removal are made in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drain {
    /// Nodes are closed to new pods, and marked as this operator's doing.
    Cordon {
        /// Their names, sorted.
        nodes: Vec<String>,
        /// What for.
        aim: Aim,
    },
    /// One pod is evicted.
    Evict {
        /// `namespace/name`.
        pod: String,
        /// `metadata.uid`.
        uid: String,
        /// Its node.
        node: String,
        /// What for.
        aim: Aim,
    },
    /// Exactly these machines are removed from the pool.
    RemoveMachines {
        /// The names of their nodes, sorted.
        machines: Vec<String>,
        /// The number of nodes that ARM counts before.
        from: u32,
    },
    /// Nodes that this operator cordoned are opened again.
    Uncordon {
        /// Their names, sorted.
        nodes: Vec<String>,
        /// Why, in words.
        why: String,
    },
}

impl Drain {
    /// What it is for; nothing if it ends a drain.
    #[must_use]
    pub fn aim(&self) -> Option<Aim> {
        match self {
            Self::Cordon { aim, .. } | Self::Evict { aim, .. } => Some(*aim),
            Self::RemoveMachines { machines, from } => {
                let going = u32::try_from(machines.len()).unwrap_or(u32::MAX);
                Some(Aim::Scale { from: *from, to: from.saturating_sub(going) })
            }
            Self::Uncordon { .. } => None,
        }
    }

    /// Whether it ends a drain.
    #[must_use]
    pub const fn ends(&self) -> bool {
        matches!(self, Self::Uncordon { .. })
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale { from, to } => write!(f, "scale from {from} to {to} nodes"),
            Self::Demotion => f.write_str("change the mode from System to User"),
            Self::Deletion => f.write_str("delete the pool"),
        }
    }
}

impl fmt::Display for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = |nodes: &[String]| {
            let noun = if nodes.len() == 1 { "node" } else { "nodes" };
            format!("{noun} {}", capped_list(nodes))
        };
        match self {
            Self::Cordon { nodes: cordoned, aim } => write!(f, "cordon {} to {aim}", nodes(cordoned)),
            Self::Evict { pod, node, aim, .. } => write!(f, "evict {pod} from node {node} to {aim}"),
            Self::RemoveMachines { machines, from } => {
                let left = from.saturating_sub(u32::try_from(machines.len()).unwrap_or(u32::MAX));
                write!(f, "remove {}: scale from {from} to {left} nodes", nodes(machines))
            }
            Self::Uncordon { nodes: closed, why } => write!(f, "uncordon {}: {why}", nodes(closed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drains_read_as_sentences() {
        let (nodes, aim) = (vec!["a".to_owned(), "b".to_owned()], Aim::Scale { from: 5, to: 3 });
        let evict = |aim| Drain::Evict { pod: "kube-system/x".into(), uid: "1".into(), node: "a".into(), aim };
        for (drain, text, of) in [
            (Drain::Cordon { nodes: nodes.clone(), aim }, "cordon nodes a, b to scale from 5 to 3 nodes", Some(aim)),
            (
                evict(Aim::Demotion),
                "evict kube-system/x from node a to change the mode from System to User",
                Some(Aim::Demotion),
            ),
            (
                Drain::Cordon { nodes: nodes.clone(), aim: Aim::Deletion },
                "cordon nodes a, b to delete the pool",
                Some(Aim::Deletion),
            ),
            (
                Drain::RemoveMachines { machines: nodes, from: 5 },
                "remove nodes a, b: scale from 5 to 3 nodes",
                Some(aim),
            ),
            (
                Drain::Uncordon { nodes: vec!["a".into()], why: "the policy is suspended".into() },
                "uncordon node a: the policy is suspended",
                None,
            ),
        ] {
            assert_eq!((drain.to_string().as_str(), drain.aim(), drain.ends()), (text, of, of.is_none()));
        }
    }
}
