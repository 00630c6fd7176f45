//! The cluster as Kubernetes and AKS would have it, written from the design's definitions and not from the kernel:
//! what the add-ons can count on, and which protected pods a write would evict. Never calls the kernel's own rules.

use std::collections::BTreeSet;

use nodepool_kernel::{
    AgentPool, Aim, Change, Cluster, Drain, Mode, Node, Os, Owner, Pod, PoolKind, Power, ProvisioningState, Readiness,
    Rows, Snapshot, Step, SystemPods, Taint, TaintEffect, Toleration, TolerationOperator,
};

/// What the add-ons have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    pub usable: i64,
    pub healthy: i64,
}

pub struct Oracle<'a> {
    snapshot: &'a Snapshot,
    cluster: &'a Cluster,
    nodes: &'a Rows<Node>,
}

impl<'a> Oracle<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, cluster: snapshot.cluster.value().unwrap(), nodes: snapshot.nodes.value().unwrap() }
    }

    /// The strength with these writes, and all in flight, at their worst, as it matters for a step on `subject`. To open
    /// nodes again is no write to a pool.
    pub fn strength(&self, subject: &str, writes: &[&Step]) -> Strength {
        let writes = writes.iter().copied().filter(|step| !step.change.ends_drain());
        let all: Vec<&Step> = self.snapshot.in_flight.iter().map(|write| &write.step).chain(writes).collect();
        let upgrades = |pool: &AgentPool| all.iter().any(|step| step.pool == pool.name && step.change.upgrades());
        let remains = |pool: &&AgentPool| pool.name == subject || (self.can_remain(pool) && !upgrades(pool));
        let pools = self.cluster.pools.iter().filter(remains);
        let each: Vec<i64> = pools
            .map(|pool| {
                // The autoscaler of another pool may take it down to its minimum at any moment.
                let least = pool.autoscaling.filter(|_| pool.name != subject).map_or(pool.count, |bounds| bounds.min);
                self.usable(pool, &all, least)
            })
            .collect();
        Strength {
            usable: each.iter().sum(),
            healthy: each.iter().filter(|usable| **usable > 0).count().try_into().unwrap(),
        }
    }

    pub fn nodes_of(&self, pool: &AgentPool) -> impl Iterator<Item = &'a Node> {
        let name = pool.name.clone();
        self.nodes.iter().filter(move |node| node.pool.as_ref() == Some(&name))
    }

    /// "The pool that remains": nothing under way or failed on it that takes nodes away or rolls them.
    fn can_remain(&self, pool: &AgentPool) -> bool {
        let ours = self.snapshot.in_flight.iter().any(|write| write.step.pool == pool.name);
        let calm = match &pool.state {
            ProvisioningState::Busy(operation) => operation == "Scaling" || (ours && operation == "Updating"),
            _ => true,
        };
        let broken_off = matches!(pool.state, ProvisioningState::Failed | ProvisioningState::Canceled)
            && pool
                .failure
                .as_ref()
                .is_some_and(|failure| ["Drain", "Delete", "Upgrade"].iter().any(|word| failure.code.contains(word)));
        calm && !broken_off && !self.is_half_upgraded(pool)
    }

    pub fn is_half_upgraded(&self, pool: &AgentPool) -> bool {
        let matches = match (&pool.requested_version, &pool.current_version) {
            (Some(requested), Some(current)) => format!("{current}.").starts_with(&format!("{requested}.")),
            _ => false,
        };
        let versions: Vec<&str> = self.nodes_of(pool).map(|node| node.kubelet_version.as_str()).collect();
        let mixed = versions.iter().any(|version| Some(version) != versions.first());
        let ended_badly = matches!(pool.state, ProvisioningState::Failed | ProvisioningState::Canceled);
        let blamed = pool.failure.as_ref().is_some_and(|failure| failure.code.contains("Upgrade"));
        !matches || self.nodes_of(pool).any(|node| node.quarantined) || (ended_badly && (mixed || blamed))
    }

    /// Usable nodes of a pool that remain when all these writes end at their worst, and no more than `least` nodes are left.
    fn usable(&self, pool: &AgentPool, writes: &[&Step], least: u32) -> i64 {
        let here: Vec<&Change> = writes.iter().filter(|step| step.pool == pool.name).map(|step| &step.change).collect();
        let leaves = matches!(&pool.state, ProvisioningState::Busy(operation) if operation == "Deleting" || operation == "Stopping");
        let is_system = pool.mode == Mode::System && pool.os == Os::Linux && pool.kind == PoolKind::ScaleSet;
        // A demotion takes effect; a promotion on its way, even if ARM shows it already, may yet fail.
        let loses_mode = here
            .iter()
            .any(|change| matches!(change, Change::Mode { from, to } if *to != Mode::System || *from != Mode::System))
            || here.iter().any(|change| change.aim() == Some(Aim::Demotion));
        let taken: BTreeSet<&str> = writes.iter().flat_map(|step| self.taken(step, pool)).collect();
        let goes = here.contains(&&Change::Stop)
            || here.iter().any(|change| change.deletes() || change.aim() == Some(Aim::Deletion));
        if leaves || goes || !is_system || loses_mode || pool.power != Power::Running {
            return 0;
        }
        let mut taints = pool.taints.clone();
        let mut target = i64::from(pool.count.min(least));
        for change in &here {
            match change {
                Change::Taints { to, .. } => taints.extend(to.iter().cloned()),
                Change::Count { to, .. } => target = target.min(i64::from(*to)),
                Change::Autoscaling { to: Some(to), .. } if frees_nodes(pool, change) => {
                    target = target.min(i64::from(to.min));
                }
                _ => {}
            }
            if let Some(Aim::Scale { to, .. }) = change.aim() {
                target = target.min(i64::from(to));
            }
        }
        // The nodes of a drain are chosen: they go, and no others for its sake.
        let stays = |node: &&Node| !taken.contains(node.name.as_str());
        let usable = self.nodes_of(pool).filter(stays).filter(|node| self.is_usable(node, &taints)).count();
        let (usable, joined) = (i64::try_from(usable).unwrap(), self.nodes_of(pool).filter(stays).count());
        let going = i64::try_from(taken.len()).unwrap();
        let machines = i64::try_from(joined).unwrap().max(i64::from(pool.count) - going);
        let rolls = here.iter().any(|change| change.upgrades()) || (!here.is_empty() && self.is_half_upgraded(pool));
        let settings = here.iter().filter_map(|change| match change {
            Change::UpgradeSettings { to, .. } => {
                let mut changed = pool.clone();
                to.apply(&mut changed);
                Some(changed)
            }
            _ => None,
        });
        let worst = settings.chain([pool.clone()]).map(|pool| unavailable(&pool, target)).max().unwrap_or(0);
        let rolled = if rolls { worst } else { 0 };
        // AKS chooses the machines that go, the usable ones at worst.
        (usable - (machines - target).max(0) - rolled).max(0)
    }

    fn is_usable(&self, node: &Node, pool_taints: &[Taint]) -> bool {
        let age = |seconds: i64, since: nodepool_kernel::Time| {
            self.snapshot.now.as_millis() - since.as_millis() >= seconds * 1000
        };
        let ready = match node.readiness {
            Readiness::Ready { since } => age(60, since) || since.as_millis() - node.joined.as_millis() <= 60_000,
            Readiness::NotReady { .. } => false,
        };
        let open = node
            .taints
            .iter()
            .chain(pool_taints)
            .all(|taint| taint.key == "CriticalAddonsOnly" || taint.effect == TaintEffect::PreferNoSchedule);
        ready && open && !node.cordoned && !node.deleting && node.labelled_system
    }

    /// Nodes that a drain takes out of service.
    fn taken(&self, step: &Step, pool: &AgentPool) -> Vec<&'a str> {
        let Change::Drain(drain) = &step.change else { return vec![] };
        let (named, marked): (&[String], bool) = match drain {
            Drain::Cordon { nodes, .. } => (nodes, true),
            Drain::RemoveMachines { machines, .. } => (machines, false),
            Drain::Evict { .. } => (&[], true),
            Drain::Uncordon { .. } => (&[], false),
        };
        let is_marked =
            |node: &Node| marked && node.cordoned && node.drain.as_ref().is_some_and(|mark| mark.policy == step.policy);
        let nodes = self
            .nodes_of(pool)
            .filter(|node| step.pool == pool.name && (named.contains(&node.name) || is_marked(node)));
        nodes.map(|node| node.name.as_str()).collect()
    }

    /// Whether the policy of the step lets protected pods be moved.
    fn relocates(&self, step: &Step) -> bool {
        let mut intents = self.snapshot.intents.value().unwrap().iter();
        intents.any(|intent| intent.policy == step.policy && intent.system_pods == SystemPods::Relocate)
    }

    /// Protected pods that the write would evict or leave without protection.
    pub fn victims(&self, step: &Step) -> Vec<&'a Pod> {
        // There is nobody on a pool that is to be created.
        let Some(pool) = self.cluster.pool(&step.pool).filter(|_| !step.change.ends_drain()) else { return vec![] };
        self.snapshot.pods.value().unwrap().iter().filter(|pod| self.is_victim(pod, step, pool)).collect()
    }

    fn is_victim(&self, pod: &Pod, step: &Step, pool: &AgentPool) -> bool {
        let Some(name) = &pod.node else { return false };
        let node = self.nodes.iter().find(|node| *node.name == **name);
        // A pod whose node nobody can see may be on any pool.
        if node.and_then(|node| node.pool.as_ref()).is_some_and(|name| *name != pool.name) {
            return false;
        }
        let on_node = node.filter(|node| node.pool.is_some()).map_or(&[][..], |node| &node.taints);
        if matches!(step.change, Change::Delete | Change::Stop) {
            return pod.owner != Owner::DaemonSet;
        }
        let taints = if let Change::Taints { to, .. } = &step.change { to } else { &pool.taints };
        let evicting = |taint: &&Taint| taint.effect == TaintEffect::NoExecute && !on_node.contains(taint);
        if taints.iter().filter(evicting).any(|taint| is_evicted(&pod.tolerations, taint)) {
            return true;
        }
        let selects = |key: &str| pod.selects.contains(key);
        if pod.owner == Owner::DaemonSet {
            return match &step.change {
                _ if step.change.changes_mode() => selects("kubernetes.azure.com/mode"),
                Change::Labels { from, to } => {
                    from.keys().chain(to.keys()).any(|key| from.get(key) != to.get(key) && selects(key))
                }
                _ => false,
            };
        }
        if step.change.upgrades() && self.relocates(step) {
            // "Only with maxUnavailable 0, surge of at least one."
            let surge = !matches!(pool.max_surge.as_deref(), Some("0" | "?"));
            let none_missing = matches!(pool.max_unavailable.as_deref(), None | Some("0"));
            return !(surge && none_missing) || self.goes_on_removing(pool);
        }
        let before_deletion = step.change.aim() == Some(Aim::Deletion);
        let taken = match &step.change {
            Change::Version { .. } | Change::NodeImage { .. } => true,
            Change::Mode { to, .. } => pool.mode == Mode::System && *to != Mode::System,
            Change::Count { to, .. } => *to < pool.count,
            Change::Autoscaling { .. } if !self.relocates(step) => {
                pool.mode == Mode::System && frees_nodes(pool, &step.change)
            }
            Change::Drain(drain) if !self.relocates(step) => match drain {
                Drain::Evict { pod: evicted, .. } => pod.full_name() == *evicted,
                _ if drain.aim() == Some(Aim::Demotion) || before_deletion => true,
                _ => self.taken(step, pool).iter().any(|taken| **taken == **name),
            },
            _ => false,
        };
        // To close and empty nodes is no write to the pool, and neither is its deletion one that goes on with anything.
        taken || (!before_deletion && (self.is_half_upgraded(pool) || self.goes_on_removing(pool)))
    }

    /// "Any write tries again": a removal that broke off goes on with the next write.
    pub fn goes_on_removing(&self, pool: &AgentPool) -> bool {
        let broke_off = matches!(pool.state, ProvisioningState::Failed | ProvisioningState::Canceled);
        let too_many = self.nodes_of(pool).count() > pool.count.try_into().unwrap();
        let blamed = |code: &str| code.contains("Drain") || code.contains("Delete");
        broke_off && (too_many || pool.failure.as_ref().is_some_and(|failure| blamed(&failure.code)))
    }
}

/// Whether the autoscaler may remove nodes afterwards that nothing may remove now: "enabling with a minimum below the
/// current count, or lowering it there", and a maximum that is lowered below it.
fn frees_nodes(pool: &AgentPool, change: &Change) -> bool {
    let Change::Autoscaling { to: Some(to), .. } = change else { return false };
    let (min, max) = pool.autoscaling.map_or((pool.count, u32::MAX), |bounds| (bounds.min, bounds.max));
    (to.min < pool.count && to.min < min) || (to.max < pool.count && to.max < max)
}

/// What the taint manager does: the first toleration that matches decides, and one with seconds only delays.
pub fn is_evicted(tolerations: &[Toleration], taint: &Taint) -> bool {
    let matches = |toleration: &&Toleration| {
        let exists = toleration.operator == TolerationOperator::Exists;
        match &toleration.key {
            None => exists,
            Some(key) => *key == taint.key && (exists || toleration.value == taint.value),
        }
    };
    tolerations.iter().find(matches).is_none_or(|toleration| toleration.limited)
}

/// Nodes that a rolling pool takes away at once.
pub fn unavailable(pool: &AgentPool, count: i64) -> i64 {
    match pool.max_unavailable.as_deref() {
        None | Some("0") => 0,
        Some("1") => count.min(1),
        Some("50%") => (count + 1) / 2,
        _ => count,
    }
}
