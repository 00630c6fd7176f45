//! What ARM calls done and nodes do not show yet: a new or started pool is ready when Kubernetes shows its nodes Ready, a
//! change of labels or taints has ended when its nodes carry them. Never judges a pool that is at rest for longer.

use std::collections::{BTreeMap, BTreeSet};

use nodepool_kernel::{AgentPool, Known, Node, ProvisioningState, Readiness, Rows, Snapshot};

use crate::api::NodePoolPolicy;
use crate::observe::{Observer, PolicyRow};

/// Names shown in a message.
const SHOWN: usize = 3;

/// What is known of the pools whose last step is not seen on their nodes.
#[derive(Default)]
pub(super) struct Joins {
    /// The policies on whose pools every node carries the labels that it should, as far as has been looked.
    complete: BTreeSet<String>,
    /// How many last steps had not been seen on all nodes when it was looked.
    open: usize,
}

/// What the last step of a policy changes on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The first nodes join.
    Creation,
    /// Nodes join again.
    Start,
    /// Nodes get other labels.
    Labels,
    /// Nodes get other taints.
    Taints,
}

impl Joins {
    /// What the nodes of the policy's pool lack, in words, if the last step of the policy has ended in ARM, and they lack
    /// something of it.
    pub(super) fn lacking(&self, policy: &NodePoolPolicy, snapshot: &Snapshot) -> Option<String> {
        let (pool, effect) = ended(policy, snapshot)?;
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        let unlabelled = || effect != Effect::Taints && !self.complete.contains(name);
        let lacking = lacking(pool, effect, &snapshot.nodes);
        let lacking = lacking.or_else(|| unlabelled().then(|| "their labels have not been seen".to_owned()))?;
        Some(match effect {
            Effect::Creation => format!("has been created; of its nodes, {lacking}"),
            Effect::Start => format!("has been started; of its nodes, {lacking}"),
            Effect::Labels => format!("has other labels in Azure; on its nodes, {lacking}"),
            Effect::Taints => format!("has other taints in Azure; {lacking}"),
        })
    }

    /// Whether any last step is not seen on its nodes.
    pub(super) const fn are_any(&self) -> bool {
        self.open > 0
    }

    /// Looks at the labels of nodes that lack nothing else, which no row of a node holds. Tells whether anything has become
    /// complete.
    pub(super) async fn look(
        &mut self,
        rows: &BTreeMap<String, PolicyRow>,
        snapshot: &Snapshot,
        observer: &Observer,
    ) -> bool {
        let mut complete = BTreeSet::new();
        self.open = 0;
        for (name, row) in rows {
            let PolicyRow::Valid(policy) = row else { continue };
            let Some((pool, effect)) = ended(policy, snapshot) else { continue };
            self.open = self.open.saturating_add(1);
            if effect == Effect::Taints || lacking(pool, effect, &snapshot.nodes).is_some() {
                continue;
            }
            let expected = match effect {
                Effect::Creation | Effect::Start => usize::try_from(pool.count).unwrap_or(usize::MAX),
                Effect::Labels | Effect::Taints => of_pool(pool, &snapshot.nodes).count(),
            };
            match observer.labelled_nodes(&pool.name, &pool.labels).await {
                Ok(nodes) if nodes >= expected => {
                    complete.insert(name.clone());
                }
                Ok(nodes) => tracing::debug!(pool = pool.name, nodes, "nodes lack labels of their pool"),
                Err(error) => tracing::warn!(pool = pool.name, %error, "the labels of nodes could not be read"),
            }
        }
        self.complete = complete;
        !self.complete.is_empty()
    }
}

/// The pool of the policy and what its last step changes on nodes, if that is all that is known to have been begun and ARM
/// shows the pool at rest.
fn ended<'a>(policy: &NodePoolPolicy, snapshot: &'a Snapshot) -> Option<(&'a AgentPool, Effect)> {
    let operation = policy.status.as_ref()?.operation.as_ref()?;
    let effect = match operation.field.as_deref() {
        _ if operation.creates() => Effect::Creation,
        _ if operation.starts() => Effect::Start,
        Some("labels") => Effect::Labels,
        Some("taints") => Effect::Taints,
        _ => return None,
    };
    let pool = snapshot.cluster.value()?.pool(policy.pool_name())?;
    let is_under_way = snapshot.in_flight.iter().any(|write| write.step.pool == pool.name);
    (!is_under_way && pool.state == ProvisioningState::Succeeded).then_some((pool, effect))
}

/// The nodes of the pool that stay.
fn of_pool<'a>(pool: &AgentPool, nodes: &'a Known<Rows<Node>>) -> impl Iterator<Item = &'a Node> {
    let nodes = nodes.value().into_iter().flatten();
    nodes.filter(|node| node.pool.as_deref() == Some(pool.name.as_str()) && !node.deleting)
}

/// What the nodes of the pool lack, as far as their rows tell.
fn lacking(pool: &AgentPool, effect: Effect, known: &Known<Rows<Node>>) -> Option<String> {
    if known.value().is_none() {
        return Some("the nodes are not known".to_owned());
    }
    let nodes: Vec<&Node> = of_pool(pool, known).collect();
    let is_ready = |node: &&&Node| matches!(node.readiness, Readiness::Ready { .. });
    let ready = nodes.iter().filter(is_ready).count();
    if matches!(effect, Effect::Creation | Effect::Start) && ready < usize::try_from(pool.count).unwrap_or(usize::MAX) {
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
