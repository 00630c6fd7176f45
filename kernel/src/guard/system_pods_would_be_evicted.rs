//! `SystemPodsWouldBeEvicted`: protected pods stay where they are. Never judges where else they could run.

use super::evidence::Evidence;
use super::rule::{Broken, Rule, Standing};
use super::upgrade;
use crate::disruption::{Evicting, Takedown};
use crate::facts::Facts;
use crate::names::capped_list;
use crate::snapshot::{AgentPool, Mode, Owner, Pod};
use crate::step::Step;
use crate::taint::{MODE_LABEL, Taint};

/// How a step endangers a pod, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Threat<'a> {
    /// The write goes on with an upgrade.
    Upgrade,
    /// It is an upgrade, which replaces all nodes.
    Replacement,
    /// A taint that the pod does not tolerate for good.
    Taint(&'a Taint),
    /// AKS chooses which nodes go.
    ScaleDown,
    /// The autoscaler may remove nodes that nothing could remove before.
    Autoscaler,
    /// Nothing marks the node as a system node any more.
    Demotion,
    /// A label that the pod's DaemonSet selects on.
    Label(&'a str),
    /// The pool goes with all of its nodes.
    Deletion,
    /// It would be moved off a node that is to go, or of a pool that is no system pool any more.
    Drain,
}

/// Refuses, on any pool, a step that would evict a protected pod or leave it unprotected: a `NoExecute` taint that it
/// does not tolerate for good, a label that its DaemonSet selects on, a demotion, a scale-down (AKS chooses the node) or
/// a deletion of a pool that it runs on, an upgrade of the pool, and any write that would go on with an upgrade or with a removal
/// that has failed. `Relocate` permits an upgrade that adds a node before it takes one.
pub(super) fn check<'a>(facts: &Facts<'a>, step: &Step, takedown: &Takedown<'a>) -> Option<Broken> {
    let pool = facts.pool(step)?;
    let mut evicting = Evicting::of(step.change.taints_after(pool));
    let mut threatened: Vec<(Threat<'_>, &Pod)> = facts
        .pods_on(&step.pool)
        .iter()
        .filter_map(|(pod, node)| Some((threat(facts, step, pool, pod, evicting.first(pod, &node.taints))?, *pod)))
        .collect();
    if step.change.aim().is_some() && !facts.may_relocate(step) {
        threatened.extend(takedown.singly.iter().map(|(pod, _)| (Threat::Drain, *pod)));
    }
    let threats = distinct(threatened.iter().map(|(threat, _)| *threat));
    let Some(gravest) = threats.iter().copied().min() else {
        return upgrade::of_system_pool(facts, step);
    };
    let shown = || threatened.iter().filter(|(threat, _)| threat.is_like(&gravest));
    let causes = capped_list(threats.iter().filter(|threat| threat.is_like(&gravest)).filter_map(Threat::cause));
    let all = Evidence::of(threatened.iter().map(|(_, pod)| *pod));
    // Mostly all are threatened alike: there may be thousands.
    let pods = if shown().count() == threatened.len() {
        all.in_words()
    } else {
        Evidence::of(shown().map(|(_, pod)| *pod)).in_words()
    };
    let finding = format!("{} {pods}", gravest.finding(&step.pool, &causes));
    let leaving = threatened.iter().all(|(_, pod)| pod.deleting) || is_under_way(facts, step);
    Some(Broken {
        rule: Rule::SystemPodsWouldBeEvicted,
        // Pods that are on their way out already will not stand in the way for long.
        standing: if leaving { Standing::Passing } else { Standing::Lasting },
        finding,
        remedy: remedy(facts, step, gravest),
        pods: all.pods,
    })
}

/// The few threats that thousands of pods share, each once for each place where it stands, without a look into it.
fn distinct<'a>(all: impl Iterator<Item = Threat<'a>>) -> Vec<Threat<'a>> {
    let mut distinct: Vec<Threat<'a>> = Vec::new();
    for threat in all {
        if !distinct.iter().any(|known| known.is_same(&threat)) {
            distinct.push(threat);
        }
    }
    distinct
}

/// How the step would endanger the pod if it ran on a node of the step's `pool` and the taint, if there is one, evicted it.
pub(super) fn threat<'a>(
    facts: &Facts<'_>,
    step: &'a Step,
    pool: &'a AgentPool,
    pod: &Pod,
    evicting: Option<&'a Taint>,
) -> Option<Threat<'a>> {
    let movable = pod.owner != Owner::DaemonSet;
    let change = &step.change;
    if change.deletes() || change.stops() {
        return movable.then_some(Threat::Deletion);
    }
    // What is done in Kubernetes before the pool is deleted goes on with nothing in Azure.
    let goes_on = !change.leads_to_deletion();
    if movable && change.upgrades() && !upgrade::may_move(facts, step, pool) {
        Some(Threat::Replacement)
    } else if movable && goes_on && !change.upgrades() && facts.is_half_upgraded(pool) {
        Some(Threat::Upgrade)
    } else if let Some(taint) = evicting {
        Some(Threat::Taint(taint))
    } else if movable && (change.scales_down() || (goes_on && facts.goes_on_removing(pool))) {
        Some(Threat::ScaleDown)
    } else if movable && pool.mode == Mode::System && change.least_left(pool).is_some() && !facts.may_relocate(step) {
        Some(Threat::Autoscaler)
    } else if movable && change.demotes() {
        Some(Threat::Demotion)
    } else if !movable {
        let changed = match change {
            _ if change.changes_mode() => vec![MODE_LABEL],
            _ => change.changed_labels(),
        };
        changed.into_iter().find(|key| pod.selects.contains(*key)).map(Threat::Label)
    } else {
        None
    }
}

/// Whether a drain of the policy moves the pods that stand in the way of its demotion or deletion.
fn is_under_way(facts: &Facts<'_>, step: &Step) -> bool {
    let mut nodes = facts.nodes_of(&step.pool).iter();
    (step.change.demotes() || step.change.deletes())
        && facts.may_relocate(step)
        && nodes.any(|node| node.is_drained_for(&step.policy))
}

/// What a person can do. A scale-down that leaves nodes and a demotion may be made by moving the pods.
fn remedy(facts: &Facts<'_>, step: &Step, threat: Threat<'_>) -> String {
    if matches!(threat, Threat::Replacement) {
        return upgrade::remedy(facts, step);
    }
    let is_autoscaled = facts.observed.pool(&step.pool).is_none_or(|pool| pool.autoscaling.is_some());
    let by_policy = facts.intents.iter().any(|it| it.policy == step.policy && it.autoscaling.is_some());
    let movable = matches!(threat, Threat::ScaleDown | Threat::Demotion | Threat::Deletion | Threat::Drain)
        && (!is_autoscaled || by_policy)
        && (!step.change.empties() || step.change.leads_to_deletion())
        && (step.change.aim().is_some() || step.change.removes());
    let by_hand = threat.remedy();
    if !movable || facts.may_relocate(step) {
        return by_hand.to_owned();
    }
    format!(
        "set spec.disruption.systemPods to Relocate in policy {}, which moves them one by one; or {by_hand}",
        step.policy
    )
}

impl Threat<'_> {
    /// Whether both are the same taint or label at the same place, or else of one kind.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Taint(one), Self::Taint(other)) => std::ptr::eq(*one, *other),
            (Self::Label(one), Self::Label(other)) => std::ptr::eq(*one, *other),
            _ => self.is_like(other),
        }
    }

    /// Whether both are of one kind.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The taint or label.
    fn cause(&self) -> Option<String> {
        match self {
            Self::Taint(taint) => Some(taint.to_string()),
            Self::Label(key) => Some((*key).to_owned()),
            Self::Upgrade
            | Self::Replacement
            | Self::ScaleDown
            | Self::Autoscaler
            | Self::Demotion
            | Self::Deletion
            | Self::Drain => None,
        }
    }

    fn finding(&self, pool: &str, causes: &str) -> String {
        match self {
            Self::Upgrade => {
                format!("any write to pool {pool} would go on with its unfinished upgrade and evict")
            }
            Self::Replacement => format!("the upgrade of pool {pool} replaces all of its nodes and would evict"),
            Self::Taint(_) => format!("the taint {causes} would evict"),
            Self::ScaleDown => format!("AKS chooses which nodes of pool {pool} to remove and could evict"),
            Self::Autoscaler => {
                format!("the autoscaler could remove any node of pool {pool} and evict")
            }
            Self::Demotion => {
                format!("nothing would mark the nodes of pool {pool} as system nodes any more under")
            }
            Self::Label(_) => {
                format!("the label {causes} decides where these DaemonSet pods run; its change could remove")
            }
            Self::Deletion => format!("all nodes of pool {pool} would go and with them"),
            Self::Drain => format!("the drain of nodes of pool {pool} would evict"),
        }
    }

    const fn remedy(&self) -> &'static str {
        match self {
            Self::Upgrade => {
                "finish the upgrade, or set the pool's version back to the one that runs, before changing anything \
                 else on it"
            }
            // Of an upgrade the remedy is the policy's to give.
            Self::Replacement => "",
            Self::Taint(_) => {
                "use the effect NoSchedule, which leaves running pods alone, or let all of these pods tolerate the \
                 taint for good"
            }
            Self::ScaleDown | Self::Drain => {
                "move these pods to another pool first: cordon the nodes of this pool and restart the workloads, then \
                 uncordon"
            }
            Self::Autoscaler => {
                "set autoscaling.minCount to no less than the nodes that the pool has now, or than its present minimum; or \
                 spec.disruption.systemPods to Relocate, so that the autoscaler may move these pods as their budgets allow"
            }
            Self::Demotion => {
                "move these pods to another system pool first: cordon the nodes of this pool and restart the \
                 workloads, then uncordon"
            }
            Self::Label(_) => "leave that label as it is",
            Self::Deletion => {
                "move these pods to another pool first: cordon the nodes of this pool and restart the workloads"
            }
        }
    }
}

#[cfg(test)]
mod tests;
