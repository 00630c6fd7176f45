//! `StaleObservation`: facts that contradict each other approve nothing. Never resolves the contradiction.
//!
//! Parts that are unknown or too old never get this far: [`Facts`] can't be gathered from them.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::counted;
use crate::snapshot::Mode;
use crate::step::{Change, Step};

/// Refuses for now a step that may disrupt a pool whose nodes Kubernetes does not show, or whose pool ARM does not.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let finding = match facts.pool(step) {
        None => format!("ARM shows no pool {}", step.pool),
        Some(pool) if may_disrupt(&step.change) && pool.count > 0 && facts.nodes_of(&pool.name).is_empty() => {
            let nodes = counted(usize::try_from(pool.count).unwrap_or(usize::MAX), "node");
            format!("ARM says that pool {} has {nodes}, Kubernetes shows none", pool.name)
        }
        Some(_) => return None,
    };
    Some(Broken {
        rule: Rule::StaleObservation,
        standing: Standing::Passing,
        finding,
        remedy: "wait until both agree; if they don't, look at why the pool's nodes have not joined".to_owned(),
        pods: Vec::new(),
    })
}

/// Whether the kind of change can evict pods or remove nodes.
fn may_disrupt(change: &Change) -> bool {
    match change {
        Change::Mode { from, .. } => *from == Mode::System,
        Change::Count { .. } => change.scales_down(),
        Change::Taints { .. } | Change::Labels { .. } => true,
    }
}
