//! New and started pools whose nodes have not all joined: a pool that ARM calls created or running is ready only when Kubernetes shows its nodes
//! Ready, with the labels and taints of the pool. Never judges a pool that is at rest for longer.

use std::collections::{BTreeMap, BTreeSet};

use nodepool_kernel::{AgentPool, Known, Node, ProvisioningState, Readiness, Snapshot};

use crate::api::{NodePoolPolicy, Operation};
use crate::observe::{Observer, PolicyRow};

/// Names shown in a message.
const SHOWN: usize = 3;

/// What is known of the pools whose creation or start has not ended.
#[derive(Default)]
pub(super) struct Joins {
    /// The policies whose new pools have all that they should, as far as has been looked.
    complete: BTreeSet<String>,
}

impl Joins {
    /// What the new nodes of the policy's pool lack, in words, if its creation or start has begun, has ended in ARM, and they lack
    /// something.
    pub(super) fn lacking(&self, policy: &NodePoolPolicy, snapshot: &Snapshot) -> Option<String> {
        let pool = created(policy, snapshot)?;
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        let lacking = lacking(pool, &snapshot.nodes);
        lacking.or_else(|| (!self.complete.contains(name)).then(|| "their labels have not been seen".to_owned()))
    }

    /// Whether any pool is known to be new.
    pub(super) fn are_any(snapshot: &Snapshot) -> bool {
        snapshot.intents.value().is_some_and(|intents| intents.iter().any(|intent| intent.creating))
    }

    /// Looks at the labels of new nodes that lack nothing else, which no row of a node holds. Tells whether anything has
    /// become complete.
    pub(super) async fn look(
        &mut self,
        rows: &BTreeMap<String, PolicyRow>,
        snapshot: &Snapshot,
        observer: &Observer,
    ) -> bool {
        let mut complete = BTreeSet::new();
        for (name, row) in rows {
            let PolicyRow::Valid(policy) = row else { continue };
            let Some(pool) = created(policy, snapshot).filter(|pool| lacking(pool, &snapshot.nodes).is_none()) else {
                continue;
            };
            match observer.labelled_nodes(&pool.name, &pool.labels).await {
                Ok(nodes) if nodes >= usize::try_from(pool.count).unwrap_or(usize::MAX) => {
                    complete.insert(name.clone());
                }
                Ok(nodes) => tracing::debug!(pool = pool.name, nodes, "new nodes lack labels of their pool"),
                Err(error) => tracing::warn!(pool = pool.name, %error, "the labels of new nodes could not be read"),
            }
        }
        self.complete = complete;
        !self.complete.is_empty()
    }
}

/// The pool of the policy, if its creation or start is all that is known to have been begun and ARM shows it at rest.
fn created<'a>(policy: &NodePoolPolicy, snapshot: &'a Snapshot) -> Option<&'a AgentPool> {
    let operation = policy.status.as_ref()?.operation.as_ref()?;
    let pool = snapshot.cluster.value()?.pool(policy.pool_name())?;
    let is_under_way = snapshot.in_flight.iter().any(|write| write.step.pool == pool.name);
    (Operation::brings_nodes(operation) && !is_under_way && pool.state == ProvisioningState::Succeeded).then_some(pool)
}

/// What the nodes of a new pool lack, as far as their rows tell.
fn lacking(pool: &AgentPool, nodes: &Known<Vec<Node>>) -> Option<String> {
    let Some(nodes) = nodes.value() else { return Some("the nodes are not known".to_owned()) };
    let nodes: Vec<&Node> = nodes.iter().filter(|node| node.pool.as_deref() == Some(pool.name.as_str())).collect();
    let is_ready = |node: &&&Node| matches!(node.readiness, Readiness::Ready { .. });
    let ready = nodes.iter().filter(is_ready).count();
    if ready < usize::try_from(pool.count).unwrap_or(usize::MAX) {
        let others: Vec<&str> = nodes.iter().filter(|node| !is_ready(node)).map(|node| node.name.as_str()).collect();
        let who = if others.is_empty() { String::new() } else { format!(" (not yet {})", first(others)) };
        return Some(format!("{ready} of {} are Ready in Kubernetes{who}", pool.count));
    }
    let bare = |node: &&&Node| pool.taints.iter().any(|taint| !node.taints.contains(taint));
    let bare: Vec<&str> = nodes.iter().filter(bare).map(|node| node.name.as_str()).collect();
    (!bare.is_empty()).then(|| format!("taints of the pool are missing on {}", first(bare)))
}

/// The first names in the order of the alphabet, and how many more there are.
fn first(mut names: Vec<&str>) -> String {
    names.sort_unstable();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let shown = names.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
