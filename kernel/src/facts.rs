//! A snapshot that is complete and fresh enough to decide on. Never exists while a part is unknown or stale.

use std::collections::HashMap;

use crate::guard::{Broken, Rule, Standing};
use crate::intent::Intent;
use crate::known::Known;
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Budget, Cluster, InFlight, Mode, Node, Pod, ProvisioningState, Snapshot};
use crate::step::{Change, Step};
use crate::time::{Span, Time};

/// Everything the rules read. The cluster has all writes in flight folded in at their worst.
pub(crate) struct Facts<'a> {
    pub(crate) now: Time,
    pub(crate) settings: &'a Settings,
    pub(crate) intents: &'a [Intent],
    pub(crate) issuer: &'a Known<String>,
    pub(crate) cluster: Cluster,
    pub(crate) nodes: &'a [Node],
    pub(crate) pods: &'a [Pod],
    in_flight: Vec<String>,
    by_pool: HashMap<&'a str, Vec<&'a Node>>,
}

impl<'a> Facts<'a> {
    /// The facts of a snapshot, or what is missing.
    pub(crate) fn gather(snapshot: &'a Snapshot, settings: &'a Settings) -> Result<Self, Broken> {
        let mut missing = Vec::new();
        let (now, limit) = (snapshot.now, settings.stale_after);
        let intents = note(&mut missing, "the policies", &snapshot.intents, now, limit);
        let cluster = note(&mut missing, "the cluster in ARM", &snapshot.cluster, now, limit);
        let nodes = note(&mut missing, "the nodes", &snapshot.nodes, now, limit);
        let pods = note(&mut missing, "the protected pods", &snapshot.pods, now, limit);
        // No rule reads the budgets' numbers yet, but a step that is decided while they can't be read would be
        // decided on half a view of the cluster.
        let budgets: Option<&Vec<Budget>> = note(&mut missing, "the disruption budgets", &snapshot.budgets, now, limit);
        let (Some(intents), Some(cluster), Some(nodes), Some(pods), Some(_)) = (intents, cluster, nodes, pods, budgets)
        else {
            return Err(stale(&missing));
        };
        let mut by_pool: HashMap<&str, Vec<&Node>> = HashMap::new();
        for node in nodes {
            if let Some(pool) = node.pool.as_deref() {
                by_pool.entry(pool).or_default().push(node);
            }
        }
        let mut facts = Self {
            now,
            settings,
            intents,
            issuer: &snapshot.issuer,
            cluster: cluster.clone(),
            nodes,
            pods,
            in_flight: Vec::new(),
            by_pool,
        };
        for InFlight { step, .. } in &snapshot.in_flight {
            facts.fold(step);
        }
        Ok(facts)
    }

    /// Counts a step as under way: its pool is busy, and what it takes away is gone already.
    pub(crate) fn fold(&mut self, step: &Step) {
        worsen(&mut self.cluster, step);
        self.in_flight.push(step.pool.clone());
        if let Some(pool) = self.cluster.pools.iter_mut().find(|pool| pool.name == step.pool)
            && pool.state.operation().is_none()
        {
            pool.state = ProvisioningState::Busy("Updating".to_owned());
        }
    }

    /// The cluster as it would be with `step` at its worst, for judging the step.
    pub(crate) fn after(&self, step: &Step) -> Cluster {
        let mut cluster = self.cluster.clone();
        worsen(&mut cluster, step);
        cluster
    }

    /// The nodes that carry the pool's label.
    pub(crate) fn nodes_of(&self, pool: &str) -> &[&'a Node] {
        self.by_pool.get(pool).map_or(&[], Vec::as_slice)
    }

    /// Whether a write of this process is under way on the pool.
    pub(crate) fn is_in_flight(&self, pool: &str) -> bool {
        self.in_flight.iter().any(|name| name == pool)
    }

    /// The pool that a step is about.
    pub(crate) fn pool(&self, step: &Step) -> Option<&AgentPool> {
        self.cluster.pool(&step.pool)
    }

    /// Whether any write to the pool would resume or start an upgrade: a quarantined node, a requested version that
    /// does not run, or a failed or canceled pool with nodes of several versions or images.
    pub(crate) fn is_half_upgraded(&self, pool: &AgentPool) -> bool {
        let nodes = self.nodes_of(&pool.name);
        let ended_badly = matches!(pool.state, ProvisioningState::Failed | ProvisioningState::Canceled);
        let mixed = || {
            let same =
                |a: &Node, b: &Node| a.kubelet_version == b.kubelet_version && a.image_version == b.image_version;
            nodes.split_first().is_some_and(|(first, rest)| rest.iter().any(|node| !same(first, node)))
        };
        pool.version_differs() || nodes.iter().any(|node| node.quarantined) || (ended_badly && mixed())
    }

    /// The protected pods on the nodes of a pool, with their nodes.
    pub(crate) fn pods_on(&self, pool: &str) -> Vec<(&'a Pod, &'a Node)> {
        let nodes: HashMap<&str, &'a Node> =
            self.nodes_of(pool).iter().map(|node| (node.name.as_str(), *node)).collect();
        if nodes.is_empty() {
            return Vec::new();
        }
        self.pods.iter().filter_map(|pod| Some((pod, *nodes.get(pod.node.as_deref()?)?))).collect()
    }
}

/// The value of a part, or a note of what is missing.
fn note<'a, T>(missing: &mut Vec<String>, part: &str, known: &'a Known<T>, now: Time, limit: Span) -> Option<&'a T> {
    known.fresh(now, limit).map_err(|reason| missing.push(format!("{part}: {reason}"))).ok()
}

/// The refusal for facts that are missing.
fn stale(missing: &[String]) -> Broken {
    Broken {
        rule: Rule::StaleObservation,
        standing: Standing::Passing,
        finding: format!("not everything that safety rests on is known: {}", missing.join("; ")),
        remedy: "the operator reads again by itself; if this stays, look at its log and at its access to ARM and to \
                 the API server"
            .to_owned(),
        pods: Vec::new(),
    }
}

/// Applies a step to the cluster at its worst: what it takes away is gone, what it adds has not come.
fn worsen(cluster: &mut Cluster, step: &Step) {
    let Some(pool) = cluster.pools.iter_mut().find(|pool| pool.name == step.pool) else { return };
    match &step.change {
        Change::Mode { to, .. } => {
            if *to != Mode::System {
                pool.mode = to.clone();
            }
        }
        Change::Count { to, .. } => pool.count = pool.count.min(*to),
        Change::Taints { to, .. } => {
            let new: Vec<_> = to.iter().filter(|taint| !pool.taints.contains(taint)).cloned().collect();
            pool.taints.extend(new);
        }
        Change::Labels { .. } => {}
    }
}
