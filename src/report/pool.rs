//! The pool as ARM and Kubernetes show it, for the status. Never tells what should be.

use nodepool_kernel::{AgentPool, FieldValue, Node, Power, Readiness};

use super::status::{Circumstances, brief};
use crate::api::ObservedPool;

/// How many labels, and how many taints, are listed.
const ENTRIES: usize = 20;
/// How many characters of them: a key and its value may have more than 300.
const CHARACTERS: usize = 1000;

fn small(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The pool as it is.
pub(super) fn observed(pool: &AgentPool, about: &Circumstances<'_>) -> ObservedPool {
    let nodes = about.nodes;
    let ready = |node: &&Node| {
        node.pool.as_deref() == Some(pool.name.as_str()) && matches!(node.readiness, Readiness::Ready { .. })
    };
    let zones = pool.settings.values().find(|(field, _)| field.name == "zones");
    ObservedPool {
        name: pool.name.clone(),
        mode: pool.mode.to_string(),
        count: small(pool.count),
        min_count: pool.autoscaling.map(|bounds| small(bounds.min)),
        max_count: pool.autoscaling.map(|bounds| small(bounds.max)),
        ready_nodes: nodes.value().map(|nodes| i32::try_from(nodes.iter().filter(ready).count()).unwrap_or(i32::MAX)),
        provisioning_state: pool.state.to_string(),
        power_state: match &pool.power {
            Power::Running => None,
            Power::NotRunning(state) => Some(state.clone()),
        },
        kubernetes_version: pool.current_version.clone(),
        node_image: pool.node_image.clone(),
        available_upgrades: about.offered.iter().map(ToString::to_string).collect(),
        zones: match zones {
            Some((_, FieldValue::List(zones))) => zones.clone(),
            _ => Vec::new(),
        },
        taints: entries(pool.taints.iter().map(ToString::to_string)),
        labels: entries(pool.labels.iter().map(|(key, value)| format!("{key}={value}"))),
    }
}

/// As many of the entries as a status lists, in order, and how many more there are.
fn entries(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut entries: Vec<String> = all.map(|entry| brief(&entry)).collect();
    entries.sort_unstable();
    let mut characters = 0;
    let fits = |entry: &&String| {
        characters += entry.len();
        characters <= CHARACTERS
    };
    let shown = entries.iter().take(ENTRIES).take_while(fits).count();
    let more = entries.len() - shown;
    entries.truncate(shown);
    entries.extend((more > 0).then(|| format!("and {more} more")));
    entries
}
