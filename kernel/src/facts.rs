//! A snapshot that is complete and fresh enough to decide on. Never exists while a part is unknown or stale.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};

use crate::bulk::BulkChange;
use crate::drain::Drain;
use crate::guard::{Broken, Rule, Standing};
use crate::intent::{Intent, SystemPods};
use crate::known::Known;
use crate::names::{WHY_UNKNOWN, shorten};
use crate::settings::Settings;
use crate::snapshot::{
    AgentPool, Budget, Cluster, Dependent, InFlight, Mode, Node, Occupancy, Places, Pod, ProvisioningState, Rows,
    Snapshot, Upgradable, Workload,
};
use crate::step::{Change, Step};
use crate::taint::TaintEffect;
use crate::time::{Span, Time};

use effects::{fulfil, gravity};
pub(crate) use effects::{unavailable, worsen};

/// Everything the rules read.
pub(crate) struct Facts<'a> {
    pub(crate) now: Time,
    pub(crate) settings: &'a Settings,
    /// Whether somebody has paused all writes.
    pub(crate) paused: bool,
    /// Pools that were deleted, stopped or emptied lately.
    pub(crate) bulk: &'a Known<Vec<BulkChange>>,
    pub(crate) intents: &'a [Intent],
    pub(crate) issuer: &'a Known<String>,
    /// The cluster as ARM reports it.
    pub(crate) observed: &'a Cluster,
    /// The cluster with all writes in flight at their worst.
    pub(crate) cluster: Cluster,
    /// The cluster with all writes in flight as they are meant.
    pub(crate) hoped: Cluster,
    pub(crate) nodes: &'a Rows<Node>,
    /// The disruption budgets of the protected namespaces.
    pub(crate) budgets: &'a [Budget],
    /// The Deployments of protected namespaces.
    pub(crate) workloads: &'a [Workload],
    /// Pods that depend on the pools that are to go, as far as they have been read.
    pub(crate) dependents: &'a BTreeMap<String, Known<Vec<Dependent>>>,
    /// What runs on nodes that are being drained, as far as it has been read.
    pub(crate) occupancy: &'a BTreeMap<String, Known<Occupancy>>,
    /// What upgrades depend on besides, as far as it has been read.
    pub(crate) upgradable: &'a BTreeMap<String, Known<Upgradable>>,
    /// Protected pods that may run on any pool: their nodes are not shown, or can't be told from a pool's.
    pub(crate) adrift: Vec<&'a Pod>,
    /// Protected pods that have no node yet.
    pub(crate) waiting: Vec<&'a Pod>,
    pub(crate) places: &'a Known<Arc<Places>>,
    /// A pool whose autoscaler is taken for off, as it will be before the step that is judged.
    pub(crate) assumed_off: Option<String>,
    /// Why the cluster is not proven to be this one; the same for every step.
    pub(crate) identity: OnceCell<Option<Broken>>,
    in_flight: Vec<Step>,
    half_upgraded: HashSet<&'a str>,
    /// Where in `placed` a pool is.
    numbers: HashMap<&'a str, usize>,
    placed: Vec<Placed<'a>>,
}

/// What Kubernetes shows of one pool.
#[derive(Default)]
struct Placed<'a> {
    nodes: Vec<&'a Node>,
    /// Protected pods, with their nodes.
    pods: Vec<(&'a Pod, &'a Node)>,
}

impl<'a> Facts<'a> {
    /// The facts of a snapshot, or what is missing.
    pub(crate) fn gather(snapshot: &'a Snapshot, settings: &'a Settings) -> Result<Self, Broken> {
        let mut missing = Vec::new();
        let (now, limit) = (snapshot.now, settings.stale_after);
        let paused = note(&mut missing, "whether all writes are paused", &snapshot.paused, now, limit);
        let intents = note(&mut missing, "the policies", &snapshot.intents, now, limit);
        let cluster = note(&mut missing, "the cluster in ARM", &snapshot.cluster, now, limit);
        let nodes = note(&mut missing, "the nodes", &snapshot.nodes, now, limit);
        let pods = note(&mut missing, "the protected pods", &snapshot.pods, now, limit);
        let budgets = note(&mut missing, "the disruption budgets", &snapshot.budgets, now, limit);
        let workloads = note(&mut missing, "the add-ons", &snapshot.workloads, now, limit);
        let (Some(paused), Some(intents), Some(cluster), Some(nodes), Some(pods), Some(budgets), Some(workloads)) =
            (paused, intents, cluster, nodes, pods, budgets, workloads)
        else {
            return Err(stale(&missing));
        };
        let mut facts = Self {
            now,
            settings,
            paused: *paused,
            bulk: &snapshot.bulk,
            intents,
            issuer: &snapshot.issuer,
            observed: cluster,
            cluster: cluster.clone(),
            hoped: cluster.clone(),
            nodes,
            budgets,
            workloads,
            dependents: &snapshot.dependents,
            occupancy: &snapshot.occupancy,
            upgradable: &snapshot.upgradable,
            adrift: Vec::new(),
            waiting: Vec::new(),
            places: &snapshot.places,
            assumed_off: None,
            identity: OnceCell::new(),
            in_flight: Vec::new(),
            half_upgraded: HashSet::default(),
            numbers: HashMap::default(),
            placed: Vec::new(),
        };
        facts.place(nodes, pods);
        let half_upgraded = cluster.pools.iter().filter(|pool| is_half_upgraded(pool, facts.nodes_of(&pool.name)));
        facts.half_upgraded = half_upgraded.map(|pool| pool.name.as_str()).collect();
        // The gravest of a pool last, so that it is what the pool is in the middle of.
        let mut in_flight: Vec<&Step> = snapshot.in_flight.iter().map(|InFlight { step, .. }| step).collect();
        in_flight.sort_by_cached_key(|step| (gravity(&step.change), step.to_string()));
        for step in in_flight {
            facts.fold(step);
        }
        Ok(facts)
    }

    /// Sorts nodes and pods by pool. There may be tens of thousands of pods: each costs one look by the name of its node.
    fn place(&mut self, nodes: &'a Rows<Node>, pods: &'a Rows<Pod>) {
        let mut by_name: HashMap<&str, (&'a Node, Option<usize>)> = HashMap::with_capacity(nodes.len());
        for node in nodes {
            let number = node.pool.as_deref().map(|pool| *self.numbers.entry(pool).or_insert(self.placed.len()));
            if number == Some(self.placed.len()) {
                self.placed.push(Placed::default());
            }
            if let Some(pool) = number.and_then(|number| self.placed.get_mut(number)) {
                pool.nodes.push(node);
            }
            by_name.insert(&node.name, (node, number));
        }
        for pod in pods {
            let Some(name) = pod.node.as_deref() else {
                self.waiting.push(pod);
                continue;
            };
            let Some((node, number)) = by_name.get(name) else {
                self.adrift.push(pod);
                continue;
            };
            match number.and_then(|number| self.placed.get_mut(number)) {
                Some(pool) => pool.pods.push((pod, node)),
                None if node.is_foreign() => {}
                None => self.adrift.push(pod),
            }
        }
    }

    fn placed(&self, pool: &str) -> Option<&Placed<'a>> {
        self.numbers.get(pool).and_then(|number| self.placed.get(*number))
    }

    /// Counts a step as under way: its pool is busy, and what it takes away is gone already.
    pub(crate) fn fold(&mut self, step: &Step) {
        worsen(&mut self.cluster, step);
        let upgraded = self.cluster.pools.iter_mut().find(|pool| pool.name == step.pool && step.change.upgrades());
        if let Some(pool) = upgraded {
            pool.state = ProvisioningState::Busy("Upgrading".to_owned());
        }
        fulfil(&mut self.hoped, step);
        self.in_flight.push(step.clone());
    }

    /// The nodes that carry the pool's label.
    pub(crate) fn nodes_of(&self, pool: &str) -> &[&'a Node] {
        self.placed(pool).map_or(&[], |pool| &pool.nodes)
    }

    /// The protected pods on the nodes of a pool, with their nodes.
    pub(crate) fn pods_on(&self, pool: &str) -> &[(&'a Pod, &'a Node)] {
        self.placed(pool).map_or(&[], |pool| &pool.pods)
    }

    /// The protected pods on nodes that are being deleted already.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = &'a Pod> {
        self.placed.iter().flat_map(|placed| &placed.pods).map(|(pod, _)| *pod).filter(|pod| pod.deleting)
    }

    /// All protected pods, wherever they are.
    pub(crate) fn all_pods(&self) -> impl Iterator<Item = &'a Pod> {
        let placed = self.placed.iter().flat_map(|placed| &placed.pods).map(|(pod, _)| *pod);
        placed.chain(self.adrift.iter().copied()).chain(self.waiting.iter().copied())
    }

    /// The steps under way.
    pub(crate) fn in_flight(&self) -> &[Step] {
        &self.in_flight
    }

    /// The nodes that a drain takes out of service, those that are cordoned for it already included, and those that are
    /// cordoned for a deletion; none of any other step.
    pub(crate) fn victims(&self, step: &Step) -> Vec<&'a Node> {
        let named: BTreeSet<&str> = match &step.change {
            Change::Drain(Drain::Cordon { nodes, .. }) => nodes.iter().map(String::as_str).collect(),
            Change::Drain(Drain::RemoveMachines { machines, .. }) => machines.iter().map(String::as_str).collect(),
            Change::Drain(Drain::Evict { .. }) | Change::Delete => BTreeSet::new(),
            _ => return Vec::new(),
        };
        let removes = matches!(step.change, Change::Drain(Drain::RemoveMachines { .. }));
        let is_cordoned = |node: &Node| !removes && node.is_drained_for(&step.policy);
        let nodes = self.nodes_of(&step.pool).iter().copied();
        nodes.filter(|node| named.contains(node.name.as_str()) || is_cordoned(node)).collect()
    }

    /// Whether the policy of the step lets protected pods be moved.
    pub(crate) fn may_relocate(&self, step: &Step) -> bool {
        let of_policy = self.intents.iter().find(|intent| intent.policy == step.policy);
        of_policy.is_some_and(|intent| intent.system_pods == SystemPods::Relocate)
    }

    /// Whether a write of this process is under way on the pool.
    pub(crate) fn is_in_flight(&self, pool: &str) -> bool {
        self.in_flight.iter().any(|step| step.pool == pool)
    }

    /// How many machines the pool had before a write under way that changes their number: what ARM shows may be what is
    /// wanted already.
    pub(crate) fn count_before(&self, pool: &AgentPool) -> u32 {
        let seen = self.observed.pool(&pool.name).map_or(0, |pool| pool.count);
        let before = |step: &Step| {
            let (from, to) = step.change.counts().filter(|_| step.pool == pool.name)?;
            Some(if to == seen { from } else { from.max(seen) })
        };
        self.in_flight.iter().filter_map(before).max().unwrap_or(seen)
    }

    /// The pool that a step is about, with writes in flight at their worst.
    pub(crate) fn pool(&self, step: &Step) -> Option<&AgentPool> {
        self.cluster.pool(&step.pool)
    }

    /// Whether the step takes something away from the add-ons, now or from what other steps may rely on: even where an upgrade
    /// leaves no node missing, no other pool can rely on this one while it lasts.
    pub(crate) fn reduces(&self, step: &Step) -> bool {
        let is_system = |pool: &AgentPool| pool.mode == Mode::System;
        let upgrades = || step.change.upgrades() && self.observed.pool(&step.pool).is_some_and(is_system);
        self.lowers(step) || upgrades()
    }

    /// Whether the step lowers what the add-ons have, whatever the pool's nodes are worth now: one that is
    /// cordoned or not Ready may come back, one that is gone or demoted does not. Otherwise a moment in which a node
    /// is not Ready would let a step pass that is refused while it is.
    pub(crate) fn lowers(&self, step: &Step) -> bool {
        if step.change.demotes() {
            return true;
        }
        let Some(pool) = self.observed.pool(&step.pool).filter(|pool| pool.mode == Mode::System) else { return false };
        let takes_away = match &step.change {
            Change::Mode { to, .. } => *to != Mode::System,
            Change::Count { from, to } => to < from || *to < pool.count,
            Change::Taints { to, .. } => {
                to.iter().any(|taint| taint.repels_system_pods() && !pool.taints.contains(taint))
            }
            Change::Labels { .. }
            | Change::Tags { .. }
            | Change::UpgradeSettings { .. }
            | Change::Repair { .. }
            | Change::Create(_)
            | Change::Start => false,
            Change::Autoscaling { .. } => step.change.least_left(pool).is_some(),
            // Where no node may be missing, another comes first.
            Change::Version { .. } | Change::NodeImage { .. } => unavailable(step, pool) > 0,
            Change::Delete | Change::Stop => true,
            Change::Drain(drain) => return !drain.ends(),
        };
        takes_away || self.goes_on_removing(pool) || (self.is_half_upgraded(pool) && unavailable(step, pool) > 0)
    }

    /// Whether the step may evict pods or take nodes away, or takes a pool away from the add-ons.
    pub(crate) fn disrupts(&self, step: &Step) -> bool {
        let evicts = matches!(&step.change, Change::Taints { from, to }
            if to.iter().any(|taint| taint.effect == TaintEffect::NoExecute && !from.contains(taint)));
        evicts || step.change.removes() || step.change.upgrades() || self.reduces(step)
    }

    /// Whether any write to the pool would go on with a removal that has failed: the pool has more nodes than it is to
    /// have, or ARM blames a removal.
    pub(crate) fn goes_on_removing(&self, pool: &AgentPool) -> bool {
        let nodes = || u32::try_from(self.nodes_of(&pool.name).len()).unwrap_or(u32::MAX);
        pool.ended_badly() && (nodes() > pool.count || pool.removal_failed())
    }

    /// Whether the nodes of the pool run several versions or images.
    pub(crate) fn is_mixed(&self, pool: &AgentPool) -> bool {
        are_mixed(self.nodes_of(&pool.name))
    }

    /// Whether the step takes AKS through the nodes of its pool one after the other: it upgrades it, or would go on with an
    /// upgrade that has stopped half-way.
    pub(crate) fn rolls(&self, step: &Step, pool: &AgentPool) -> bool {
        step.change.upgrades() || (self.is_half_upgraded(pool) && !step.change.leads_to_deletion())
    }

    /// Whether any write to the pool would resume or start an upgrade.
    pub(crate) fn is_half_upgraded(&self, pool: &AgentPool) -> bool {
        self.half_upgraded.contains(pool.name.as_str())
    }
}

/// Whether an upgrade of the pool has stopped half-way: a quarantined node, a requested version that does not run, a
/// failure that ARM blames on an upgrade, or a failed or canceled pool with nodes of several versions or images.
pub(crate) fn is_half_upgraded(pool: &AgentPool, nodes: &[&Node]) -> bool {
    pool.version_differs() || has_stopped_upgrade(pool, nodes)
}

/// The same, as far as it shows besides the versions that were asked for and run.
pub(crate) fn has_stopped_upgrade(pool: &AgentPool, nodes: &[&Node]) -> bool {
    let ended = pool.upgrade_failed() || (pool.ended_badly() && are_mixed(nodes));
    ended || nodes.iter().any(|node| node.quarantined)
}

/// Whether the nodes run several versions or images.
fn are_mixed(nodes: &[&Node]) -> bool {
    let same = |a: &Node, b: &Node| a.kubelet_version == b.kubelet_version && a.image_version == b.image_version;
    nodes.split_first().is_some_and(|(first, rest)| rest.iter().any(|node| !same(first, node)))
}

/// The value of a part, or a note of what is missing.
fn note<'a, T>(missing: &mut Vec<String>, part: &str, known: &'a Known<T>, now: Time, limit: Span) -> Option<&'a T> {
    known.fresh(now, limit).map_err(|reason| missing.push(format!("{part}: {}", shorten(&reason, WHY_UNKNOWN)))).ok()
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

mod effects;

#[cfg(test)]
mod tests;
