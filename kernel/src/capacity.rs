//! How many system nodes and pools the cluster can count on, at worst. Never counts what it cannot see.

use std::fmt;

use crate::facts::Facts;
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Cluster, Mode, Node, Os, PoolKind, Power, ProvisioningState, Readiness};
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
    fn may_pass(&self, node: &Node, now: Time, settings: &Settings) -> bool {
        match (self, node.readiness) {
            (Self::ReadyTooShort | Self::Unlabelled, _) => true,
            (Self::NotReady, Readiness::NotReady { since }) => now.since(since) < settings.ready_for,
            _ => false,
        }
    }
}

/// Whether a pod that tolerates only `CriticalAddonsOnly` can run on `node`, a node of the system pool `pool`.
///
/// Ready counts after [`Settings::ready_for`], or at once if the node became Ready that soon after it joined. The
/// taints that ARM holds for the pool count even before they reach the node.
#[must_use]
pub fn usability(node: &Node, pool: &AgentPool, now: Time, settings: &Settings) -> Usability {
    use UnusableReason as Reason;
    let repelling = || node.taints.iter().chain(&pool.taints).find(|taint| taint.repels_system_pods());
    let ready_too_short =
        |since: Time| now.since(since) < settings.ready_for && since.since(node.joined) > settings.ready_for;
    let reason = if node.deleting {
        Reason::Deleting
    } else if let Readiness::NotReady { .. } = node.readiness {
        Reason::NotReady
    } else if let Readiness::Ready { since } = node.readiness
        && ready_too_short(since)
    {
        Reason::ReadyTooShort
    } else if node.cordoned {
        Reason::Cordoned
    } else if !node.labelled_system {
        Reason::Unlabelled
    } else if let Some(taint) = repelling() {
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

/// Whether a pool is a system pool of a kind that can be healthy at all.
fn is_system(pool: &AgentPool) -> bool {
    pool.mode == Mode::System && pool.os == Os::Linux && pool.kind == PoolKind::ScaleSet
}

/// Whether the operation that runs on the pool ends with the pool gone or stopped.
fn is_leaving(pool: &AgentPool) -> bool {
    matches!(pool.state.operation(), Some("Deleting" | "Stopping")) || pool.removal_failed()
}

/// Usable nodes of one pool: those that are usable, less the nodes beyond `count`, which may be any of them.
fn usable_nodes(facts: &Facts<'_>, pool: &AgentPool, outlook: Outlook) -> u32 {
    let nodes = facts.nodes_of(&pool.name);
    let counts = |node: &&&Node| match usability(node, pool, facts.now, facts.settings) {
        Usability::Usable => true,
        Usability::Unusable(reason) => outlook == Outlook::Hopeful && reason.may_pass(node, facts.now, facts.settings),
    };
    let usable = small(nodes.iter().filter(counts).count());
    let surplus = small(nodes.len()).saturating_sub(pool.count);
    usable.saturating_sub(surplus).min(pool.count)
}

/// Whether the pool can be the one that remains while a step is made on another pool.
fn may_remain(facts: &Facts<'_>, pool: &AgentPool, outlook: Outlook) -> bool {
    let settled = match &pool.state {
        ProvisioningState::Succeeded | ProvisioningState::Failed | ProvisioningState::Canceled => true,
        ProvisioningState::Busy(operation) => {
            outlook == Outlook::Hopeful || operation == "Scaling" || facts.is_in_flight(&pool.name)
        }
    };
    settled && !facts.is_half_upgraded(pool)
}

/// The capacity of `cluster`, with a step made on `subject`.
///
/// The subject counts by its nodes, even half upgraded; any other pool counts only if it can be relied upon.
pub(crate) fn capacity(facts: &Facts<'_>, cluster: &Cluster, subject: &str, rolls: bool, outlook: Outlook) -> Capacity {
    let mut total = Capacity { usable: 0, healthy_pools: 0, guaranteed: 0 };
    for pool in cluster.pools.iter().filter(|pool| is_system(pool)) {
        if is_leaving(pool) || pool.power != Power::Running {
            continue;
        }
        total.guaranteed = total.guaranteed.saturating_add(pool.guaranteed_count());
        let is_subject = pool.name == subject;
        if !is_subject && !may_remain(facts, pool, outlook) {
            continue;
        }
        let mut usable = usable_nodes(facts, pool, outlook);
        if is_subject && rolls {
            usable = usable.min(pool.count.saturating_sub(pool.unavailable_while_rolling()));
        }
        total.usable = total.usable.saturating_add(usable);
        total.healthy_pools = total.healthy_pools.saturating_add(u32::from(usable > 0));
    }
    total
}

/// Why the system pools other than `subject` do not carry the cluster, in words.
pub(crate) fn explain_others(facts: &Facts<'_>, cluster: &Cluster, subject: &str) -> String {
    let mut reasons: Vec<String> = cluster
        .pools
        .iter()
        .filter(|pool| pool.mode == Mode::System && pool.name != subject)
        .map(|pool| explain(facts, pool))
        .collect();
    reasons.sort_unstable();
    if reasons.is_empty() { "there is no other system pool".to_owned() } else { reasons.join("; ") }
}

/// What one system pool can be counted on for, in words.
fn explain(facts: &Facts<'_>, pool: &AgentPool) -> String {
    let name = &pool.name;
    if !is_system(pool) {
        return format!("system pool {name} is not a Linux scale set");
    }
    if pool.power != Power::Running {
        return format!("system pool {name} is not running");
    }
    if is_leaving(pool) || !may_remain(facts, pool, Outlook::Worst) {
        let half = if facts.is_half_upgraded(pool) { ", half upgraded" } else { "" };
        return format!("system pool {name} is {}{half} and can't be relied upon", pool.state);
    }
    let mut unusable: Vec<String> = facts
        .nodes_of(name)
        .iter()
        .filter_map(|node| match usability(node, pool, facts.now, facts.settings) {
            Usability::Usable => None,
            Usability::Unusable(reason) => Some(format!("{} {reason}", node.name)),
        })
        .collect();
    unusable.sort_unstable();
    let usable = usable_nodes(facts, pool, Outlook::Worst);
    let more = unusable.len().saturating_sub(3);
    unusable.truncate(3);
    let detail = if unusable.is_empty() { String::new() } else { format!(" ({}", unusable.join(", ")) };
    let detail = match (detail.is_empty(), more) {
        (true, _) => detail,
        (false, 0) => format!("{detail})"),
        (false, more) => format!("{detail} and {more} more)"),
    };
    format!("system pool {name} has {usable} usable of {} nodes{detail}", pool.count)
}

/// A count as the type that ARM's counts have.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, node, pool};
    use crate::time::Span;

    #[test]
    fn a_node_counts_only_when_add_ons_can_run_on_it() {
        let settings = Settings::default();
        let system = pool("sys", Mode::System, 1);
        let ago = |seconds: i64| Time::from_millis(NOW.as_millis() - seconds * 1000);
        let cases: Vec<(&str, Box<dyn Fn(&mut Node)>, bool)> = vec![
            ("plain", Box::new(|_| ()), true),
            ("not ready", Box::new(move |n| n.readiness = Readiness::NotReady { since: ago(900) }), false),
            ("ready for 10 s", Box::new(move |n| n.readiness = Readiness::Ready { since: ago(10) }), false),
            ("ready for 60 s", Box::new(move |n| n.readiness = Readiness::Ready { since: ago(60) }), true),
            (
                "ready since it joined",
                Box::new(move |n| {
                    n.joined = ago(20);
                    n.readiness = Readiness::Ready { since: ago(10) };
                }),
                true,
            ),
            ("cordoned", Box::new(|n| n.cordoned = true), false),
            ("deleting", Box::new(|n| n.deleting = true), false),
            ("unlabelled", Box::new(|n| n.labelled_system = false), false),
            ("tainted", Box::new(|n| n.taints.push("a=b:NoSchedule".parse().unwrap())), false),
            ("add-ons only", Box::new(|n| n.taints.push("CriticalAddonsOnly=true:NoSchedule".parse().unwrap())), true),
            ("soft taint", Box::new(|n| n.taints.push("a=b:PreferNoSchedule".parse().unwrap())), true),
        ];
        for (case, edit, usable) in cases {
            let mut node = node("sys", 0);
            edit(&mut node);
            let found = usability(&node, &system, NOW, &settings);
            assert_eq!(found == Usability::Usable, usable, "{case}: {found:?}");
        }
    }

    #[test]
    fn taints_that_have_not_reached_the_node_count_already() {
        let mut system = pool("sys", Mode::System, 1);
        system.taints.push("a=b:NoExecute".parse().unwrap());
        assert_ne!(usability(&node("sys", 0), &system, NOW, &Settings::default()), Usability::Usable);
    }

    #[test]
    fn a_short_grace_tells_what_may_pass() {
        let settings = Settings { ready_for: Span::from_secs(60), ..Settings::default() };
        let mut fresh = node("sys", 0);
        fresh.readiness = Readiness::NotReady { since: Time::from_millis(NOW.as_millis() - 5_000) };
        assert!(UnusableReason::NotReady.may_pass(&fresh, NOW, &settings));
        fresh.readiness = Readiness::NotReady { since: Time::from_millis(NOW.as_millis() - 61_000) };
        assert!(!UnusableReason::NotReady.may_pass(&fresh, NOW, &settings));
        assert!(!UnusableReason::Cordoned.may_pass(&fresh, NOW, &settings));
    }
}
