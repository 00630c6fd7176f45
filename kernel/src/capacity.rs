//! How many system nodes and pools the cluster can count on, at worst. Never counts what it cannot see.

use std::fmt;

use foldhash::HashSet;

use crate::drain::Drain;
use crate::facts::{Facts, worsen};
use crate::names::{capped, shorten};
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Cluster, Mode, Node, Os, PoolKind, Power, Readiness};
use crate::step::{Change, Step};
use crate::taint::Taint;
use crate::time::Time;

/// Whether a node can run the cluster's add-ons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usability {
    /// It can.
    Usable,
    /// It can't, and why.
    Unusable(UnusableReason),
}

/// Why a node of a system pool does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnusableReason {
    /// It is going away.
    Deleting,
    /// It is not Ready.
    NotReady,
    /// It has been Ready for too short a time.
    ReadyTooShort,
    /// It is cordoned.
    Cordoned,
    /// Nothing on the node marks it as a system node yet.
    Unlabelled,
    /// A taint keeps add-ons away.
    Tainted(Taint),
}

impl fmt::Display for UnusableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleting => f.write_str("is being deleted"),
            Self::NotReady => f.write_str("is not Ready"),
            Self::ReadyTooShort => f.write_str("became Ready only a moment ago"),
            Self::Cordoned => f.write_str("is cordoned"),
            Self::Unlabelled => f.write_str("lacks the label kubernetes.azure.com/mode=system"),
            Self::Tainted(taint) => write!(f, "has the taint {taint}"),
        }
    }
}

impl UnusableReason {
    /// Whether the reason may pass by itself within a moment.
    pub(crate) fn may_pass(&self, node: &Node, now: Time, settings: &Settings) -> bool {
        match (self, node.readiness) {
            (Self::ReadyTooShort | Self::Unlabelled, _) => true,
            (Self::Tainted(taint), _) => taint.passes_by_itself(),
            (Self::NotReady, Readiness::NotReady { since }) => now.since(since) < settings.ready_for,
            _ => false,
        }
    }
}

/// Whether a pod that tolerates only `CriticalAddonsOnly` can run on `node`, a node of the system pool `pool`.
///
/// Ready counts after [`Settings::ready_for`], or at once if the node became Ready that soon after it joined. The
/// taints that ARM holds for the pool count even before they reach the node. Of several reasons the answer is one that
/// lasts, if there is one.
#[must_use]
pub fn usability(node: &Node, pool: &AgentPool, now: Time, settings: &Settings) -> Usability {
    use UnusableReason as Reason;
    let repelling = node.taints.iter().chain(&pool.taints).filter(|taint| taint.repels_system_pods());
    let repelling = repelling.min_by_key(|taint| (taint.passes_by_itself(), *taint));
    let ready_too_short =
        |since: Time| now.since(since) < settings.ready_for && since.since(node.joined) > settings.ready_for;
    let reason = if node.deleting {
        Reason::Deleting
    } else if node.cordoned {
        Reason::Cordoned
    } else if let Some(taint) = repelling.filter(|taint| !taint.passes_by_itself()) {
        Reason::Tainted(taint.clone())
    } else if let Readiness::NotReady { .. } = node.readiness {
        Reason::NotReady
    } else if let Readiness::Ready { since } = node.readiness
        && ready_too_short(since)
    {
        Reason::ReadyTooShort
    } else if !node.labelled_system {
        Reason::Unlabelled
    } else if let Some(taint) = repelling {
        Reason::Tainted(taint.clone())
    } else {
        return Usability::Usable;
    };
    Usability::Unusable(reason)
}

/// What the add-ons can count on over all system pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Usable system nodes.
    pub(crate) usable: u32,
    /// Those of them that remain when the autoscalers of pools other than the subject have taken what they may.
    pub(crate) kept: u32,
    /// Healthy system pools.
    pub(crate) healthy_pools: u32,
    /// Sum of the pools' fixed and minimum counts.
    pub(crate) guaranteed: u32,
}

/// How what may still change is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Whatever is in progress ends at its worst. Approvals rest on this.
    Worst,
    /// Whatever may pass by itself has passed. Tells a refusal that lasts from one that may pass.
    Hopeful,
}

/// What the system pools are worth before `step`.
pub(crate) fn before(facts: &Facts<'_>, step: &Step, outlook: Outlook) -> Capacity {
    capacity(facts, cluster_of(facts, outlook), &step.pool, None, outlook)
}

/// What the system pools are worth during and after `step`, at its worst.
pub(crate) fn after(facts: &Facts<'_>, step: &Step, outlook: Outlook) -> Capacity {
    let mut cluster = cluster_of(facts, outlook).clone();
    worsen(&mut cluster, step);
    capacity(facts, &cluster, &step.pool, Some(step), outlook)
}

const fn cluster_of<'a>(facts: &'a Facts<'_>, outlook: Outlook) -> &'a Cluster {
    match outlook {
        Outlook::Worst => &facts.cluster,
        Outlook::Hopeful => &facts.hoped,
    }
}

/// What the system pools are worth now, with whatever is in progress at its worst.
pub(crate) fn now(facts: &Facts<'_>) -> Capacity {
    capacity(facts, &facts.cluster, "", None, Outlook::Worst)
}

/// Whether a pool is a system pool of a kind that can be healthy at all, and runs.
pub(crate) fn is_running_system(pool: &AgentPool) -> bool {
    let of_kind = pool.mode == Mode::System && pool.os == Os::Linux && pool.kind == PoolKind::ScaleSet;
    of_kind && pool.power == Power::Running
}

/// Whether an operation that ends with the pool gone or stopped runs on it, or has failed on it.
pub(crate) fn is_leaving(pool: &AgentPool) -> bool {
    let leaves = |operation: &str| ["deleting", "stopping"].iter().any(|name| operation.eq_ignore_ascii_case(name));
    pool.state.operation().is_some_and(leaves) || pool.removal_failed()
}

/// Nodes of a pool that drains take away: those of drains in flight, and those of a step to be judged.
struct Chosen<'a> {
    names: HashSet<&'a str>,
    in_flight: usize,
    by_step: usize,
}

impl<'a> Chosen<'a> {
    fn of(facts: &'a Facts<'_>, pool: &AgentPool, step: Option<&'a Step>) -> Self {
        let is_here = |other: &&Step| other.pool == pool.name && other.change.aim().is_some();
        let mut names: HashSet<&str> =
            facts.in_flight().iter().filter(is_here).flat_map(|other| taken(facts, other)).collect();
        let in_flight = names.len();
        names.extend(step.filter(is_here).into_iter().flat_map(|step| taken(facts, step)));
        let by_step = names.len().saturating_sub(in_flight);
        Self { names, in_flight, by_step }
    }
}

/// The nodes that a drain takes, shown or gone already.
fn taken<'a>(facts: &'a Facts<'_>, step: &'a Step) -> Vec<&'a str> {
    match &step.change {
        Change::Drain(Drain::RemoveMachines { machines, .. }) => machines.iter().map(String::as_str).collect(),
        _ => facts.victims(step).into_iter().map(|node| node.name.as_str()).collect(),
    }
}

/// Usable nodes of one pool: those that are usable, less the machines beyond `count`, which may be any of them. A
/// machine whose node has not joined is one that may stay. The nodes of a drain are chosen, and none of those that stay.
fn usable_nodes(facts: &Facts<'_>, pool: &AgentPool, step: Option<&Step>, outlook: Outlook) -> u32 {
    let busy = pool.state.operation().is_some() || facts.is_in_flight(&pool.name);
    if outlook == Outlook::Hopeful && busy && !pool.taints.iter().any(Taint::repels_system_pods) {
        return pool.count;
    }
    let chosen = Chosen::of(facts, pool, step);
    let nodes: Vec<&&Node> =
        facts.nodes_of(&pool.name).iter().filter(|node| !chosen.names.contains(node.name.as_str())).collect();
    let counts = |node: &&&&Node| match usability(node, pool, facts.now, facts.settings) {
        Usability::Usable => true,
        Usability::Unusable(reason) => outlook == Outlook::Hopeful && reason.may_pass(node, facts.now, facts.settings),
    };
    let usable = small(nodes.iter().filter(counts).count());
    let machines = match outlook {
        Outlook::Worst => {
            let going = small(chosen.in_flight.saturating_add(chosen.by_step));
            small(nodes.len()).max(facts.count_before(pool).saturating_sub(going))
        }
        Outlook::Hopeful => {
            let count = facts.hoped.pool(&pool.name).map_or(0, |pool| pool.count);
            count.saturating_sub(small(chosen.by_step))
        }
    };
    usable.min(machines).saturating_sub(machines.saturating_sub(pool.count))
}

/// How many of a pool's usable nodes remain when its autoscaler has taken it down to its minimum, which it may at any moment
/// and by whichever nodes.
fn kept_by_autoscaler(pool: &AgentPool, usable: u32) -> u32 {
    usable.saturating_sub(pool.count.saturating_sub(pool.guaranteed_count()))
}

/// Whether the pool can be the one that remains while a step is made on another pool.
pub(crate) fn may_remain(facts: &Facts<'_>, pool: &AgentPool, outlook: Outlook) -> bool {
    let ours = |operation: &str| operation == "Updating" && facts.is_in_flight(&pool.name);
    match pool.state.operation() {
        Some(_) if outlook == Outlook::Hopeful => return true,
        Some(operation) if operation != "Scaling" && !ours(operation) => return false,
        // The write that began the operation may have gone on with an upgrade that had stopped half-way.
        Some(_) if facts.is_mixed(pool) => return false,
        _ => {}
    }
    !facts.is_half_upgraded(pool)
}

/// The capacity of `cluster` before, or during and after, a step on the pool `subject`.
///
/// The subject counts by its nodes, even half upgraded, less those that the step would upgrade at once; any other pool
/// counts only if it can be relied upon.
fn capacity(facts: &Facts<'_>, cluster: &Cluster, subject: &str, step: Option<&Step>, outlook: Outlook) -> Capacity {
    let mut total = Capacity { usable: 0, kept: 0, healthy_pools: 0, guaranteed: 0 };
    for pool in cluster.pools.iter().filter(|pool| is_running_system(pool) && !is_leaving(pool)) {
        let is_subject = pool.name == subject;
        total.guaranteed = total.guaranteed.saturating_add(pool.guaranteed_count());
        if !is_subject && !may_remain(facts, pool, outlook) {
            continue;
        }
        let rolls = is_subject && step.is_some_and(|step| facts.rolls(step, pool));
        let rolling = if rolls { pool.unavailable_while_rolling() } else { 0 };
        let usable = usable_nodes(facts, pool, step, outlook).saturating_sub(rolling);
        total.usable = total.usable.saturating_add(usable);
        let kept = if is_subject { usable } else { kept_by_autoscaler(pool, usable) };
        total.kept = total.kept.saturating_add(kept);
        total.healthy_pools = total.healthy_pools.saturating_add(u32::from(usable > 0));
    }
    total
}

/// Why the system pools other than `subject` do not carry the cluster, in words.
pub(crate) fn explain_others(facts: &Facts<'_>, subject: &str) -> String {
    let others = facts.cluster.pools.iter().filter(|pool| pool.mode == Mode::System && pool.name != subject);
    let reasons: Vec<String> = others.map(|pool| explain(facts, pool) + &explain_autoscaler(facts, pool)).collect();
    if reasons.is_empty() { "there is no other system pool".to_owned() } else { capped(reasons, 3, "; ") }
}

/// What the autoscaler may leave of the pool's usable nodes, in words; empty if it leaves them all.
fn explain_autoscaler(facts: &Facts<'_>, pool: &AgentPool) -> String {
    let usable = usable_nodes(facts, pool, None, Outlook::Worst);
    let kept = kept_by_autoscaler(pool, usable);
    if kept == usable { String::new() } else { format!(", of which its autoscaler may leave {kept}") }
}

/// What one system pool can be counted on for, in words.
pub(crate) fn explain(facts: &Facts<'_>, pool: &AgentPool) -> String {
    let name = &pool.name;
    if pool.os != Os::Linux || pool.kind != PoolKind::ScaleSet {
        return format!("system pool {name} is not a Linux scale set");
    }
    if pool.power != Power::Running {
        return format!("system pool {name} is not running");
    }
    if is_leaving(pool) || !may_remain(facts, pool, Outlook::Worst) {
        let half = if facts.is_half_upgraded(pool) { ", half upgraded" } else { "" };
        return format!(
            "system pool {name} is {}{half} and can't be relied upon",
            shorten(&pool.state.to_string(), 40)
        );
    }
    let unusable =
        facts.nodes_of(name).iter().filter_map(|node| match usability(node, pool, facts.now, facts.settings) {
            Usability::Usable => None,
            Usability::Unusable(reason) => Some(format!("{} {reason}", node.name)),
        });
    let unusable = capped(unusable, 3, ", ");
    let usable = usable_nodes(facts, pool, None, Outlook::Worst);
    let detail = if unusable.is_empty() { String::new() } else { format!(" ({unusable})") };
    format!("system pool {name} has {usable} usable of {} nodes{detail}", pool.count)
}

/// A count as the type that ARM's counts have.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
