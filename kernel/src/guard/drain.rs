//! What the rules ask of a drain besides: that it goes on from what is seen, that nothing is lost that nobody would start
//! again, and that one protected pod runs elsewhere before the next goes. Never chooses nodes or pods.

use std::collections::BTreeSet;

use super::rule::{Broken, Rule, Standing};
use crate::dependents::Tenancy;
use crate::disruption::{Eviction, eviction};
use crate::drain::{Aim, Drain};
use crate::facts::Facts;
use crate::names::{capped_list, shorten};
use crate::snapshot::{AgentPool, Budget, DrainMark, Node, Occupancy, Occupant, Owner, Phase, Pod};
use crate::step::{Change, Step};
use crate::time::{Span, Time};

/// The time of a cordon is this process's, those of pods are the API server's, in whole seconds; and a pod may be bound in
/// the moment in which its node is cordoned. Nothing follows from a difference that is smaller.
const LEEWAY: Span = Span::from_secs(60);

/// Refuses to open nodes that this operator did not cordon for the policy.
pub(super) fn check_end(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let Change::Drain(Drain::Uncordon { nodes, .. }) = &step.change else { return None };
    let is_ours = |name: &&String| {
        let node = facts.nodes.iter().find(|node| node.name == **name);
        node.and_then(|node| node.drain.as_deref()).is_some_and(|mark| mark.policy == step.policy)
    };
    let others: Vec<&String> = nodes.iter().filter(|name| !is_ours(name)).collect();
    (!others.is_empty()).then(|| Broken {
        rule: Rule::StaleObservation,
        standing: Standing::Passing,
        finding: format!("not cordoned for policy {}: {}", step.policy, capped_list(others)),
        remedy: "nothing to do: the step is dropped".to_owned(),
        pods: Vec::new(),
    })
}

/// What contradicts the step, in words, and the pods concerned: it goes on from another state of the nodes, or what runs on
/// them is not known.
pub(super) fn contradiction(facts: &Facts<'_>, step: &Step, pool: &AgentPool) -> Option<(String, Vec<String>)> {
    let Change::Drain(drain) = &step.change else { return None };
    let without_pods = |finding: String| Some((finding, Vec::new()));
    let another =
        |found: String| without_pods(format!("the step was planned on another state of pool {}: {found}", step.pool));
    if let Some(Aim::Scale { from, .. }) = drain.aim()
        && from != pool.count
    {
        return another(format!("its count is {}, not {from}", pool.count));
    }
    if pool.autoscaling.is_some() && facts.assumed_off.as_ref() != Some(&pool.name) {
        return another("it is autoscaled".to_owned());
    }
    if let Some(found) = other_nodes(facts, step, drain) {
        return another(found);
    }
    let occupancy = match occupancy(facts, step) {
        Ok(occupancy) => occupancy,
        Err(reason) => return without_pods(format!("what runs on the nodes to be drained is not known: {reason}")),
    };
    match drain {
        Drain::Evict { pod, uid, node, .. } => {
            let is_it = |it: &&Occupant| it.uid == *uid && it.pod.full_name() == *pod && it.node() == node;
            let found = occupancy.pods.iter().find(is_it);
            match found.map(|found| found.pod.deleting) {
                Some(false) => None,
                Some(true) => another(format!("{pod} is on its way out")),
                None => another(format!("{pod} is not on node {node} any more")),
            }
        }
        Drain::RemoveMachines { .. } => {
            let left: Vec<String> = on_victims(facts, step, occupancy).map(|it| it.pod.full_name()).collect();
            let found = || format!("pods are left on nodes that are to be removed: {}", capped_list(&left));
            (!left.is_empty()).then(|| (found(), left.clone()))
        }
        Drain::Cordon { .. } | Drain::Uncordon { .. } => None,
    }
}

/// What is not with the nodes as the step takes it.
fn other_nodes(facts: &Facts<'_>, step: &Step, drain: &Drain) -> Option<String> {
    let shown = |name: &String| facts.nodes_of(&step.pool).iter().find(|node| node.name == *name).copied();
    let fault = |name: &String| match (drain, shown(name)) {
        (_, None) => Some(format!("node {name} is not shown")),
        (Drain::Cordon { .. }, Some(node)) => node.cordoned.then(|| format!("node {name} is cordoned already")),
        (_, Some(node)) => {
            (!node.is_drained_for(&step.policy)).then(|| format!("node {name} is not cordoned by this operator"))
        }
    };
    match drain {
        Drain::Cordon { nodes, .. } | Drain::RemoveMachines { machines: nodes, .. } => nodes.iter().find_map(fault),
        Drain::Evict { node, .. } => fault(node),
        Drain::Uncordon { .. } => None,
    }
}

/// What runs on the nodes of the drain, if it is known of all of them.
fn occupancy<'a>(facts: &Facts<'a>, step: &Step) -> Result<&'a Occupancy, String> {
    let known = facts.occupancy.get(&step.pool).ok_or_else(|| "it has not been read yet".to_owned())?;
    let occupancy = known.fresh(facts.now, facts.settings.stale_after).map_err(|reason| shorten(&reason, 140))?;
    let victims = facts.victims(step);
    let unread = victims.iter().map(|node| &node.name).filter(|name| !occupancy.nodes.contains(*name)).min();
    unread.map_or(Ok(occupancy), |node| Err(format!("node {node} has not been read yet")))
}

/// The pods that keep the nodes of the drain from being empty; of a demotion, which leaves the nodes, the protected ones.
fn on_victims<'a>(
    facts: &Facts<'_>,
    step: &Step,
    occupancy: &'a Occupancy,
) -> impl Iterator<Item = &'a Occupant> + use<'a> {
    let victims: BTreeSet<String> = facts.victims(step).into_iter().map(|node| node.name.clone()).collect();
    let all = step.change.aim() != Some(Aim::Demotion);
    let is_on = move |it: &&Occupant| it.holds_node() && victims.contains(it.node()) && (all || it.protected);
    occupancy.pods.iter().filter(is_on)
}

/// Refuses a drain of pods that nothing would start again, and of pods that come back to a cordoned node.
pub(super) fn loses(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    step.change.aim()?;
    let occupancy = occupancy(facts, step).ok()?;
    let names = |wanted: &dyn Fn(&Occupant) -> bool| {
        let found = on_victims(facts, step, occupancy).filter(|it| !it.pod.deleting && wanted(it));
        let mut names: Vec<String> = found.map(|it| it.pod.full_name()).collect();
        names.sort_unstable();
        names
    };
    let alone = names(&|it| it.tenancy == Tenancy::Alone);
    let late = names(&|it| since(facts, it.node()).is_some_and(|since| it.pod.created > since.after(LEEWAY)));
    let (finding, remedy, pods) = if !alone.is_empty() {
        (
            format!("nothing would start these pods again: {}", capped_list(&alone)),
            "delete these pods, or let a controller (a Deployment, for example) own them",
            alone,
        )
    } else if !late.is_empty() {
        (
            format!("these pods have come to nodes since they were cordoned: {}", capped_list(&late)),
            "let these pods not tolerate node.kubernetes.io/unschedulable, and give them no spec.nodeName",
            late,
        )
    } else {
        return None;
    };
    let (rule, standing) = (Rule::WorkloadsDependOnPool, Standing::Lasting);
    Some(Broken { rule, standing, finding, remedy: remedy.to_owned(), pods })
}

/// Refuses to begin a drain of pods that are not protected, or the eviction of one of them, where their disruption budgets do
/// not allow it now. Those of protected pods are judged with all that is taken down elsewhere.
pub(super) fn budget(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let Change::Drain(drain) = &step.change else { return None };
    let occupancy = occupancy(facts, step).ok()?;
    let is_asked = |it: &&Occupant| match drain {
        Drain::Evict { uid, .. } => it.uid == *uid,
        Drain::Cordon { .. } => !it.protected && !it.pod.deleting,
        Drain::RemoveMachines { .. } | Drain::Uncordon { .. } => false,
    };
    let blocked = |it: &Occupant| {
        let (budget, found) = match eviction(&it.pod, &occupancy.budgets) {
            Eviction::Evictable => return None,
            Eviction::Blocked { budget, why } => (budget.clone(), format!("budget {budget} {why}")),
            Eviction::Unclear { budget, why } => (budget.clone(), format!("budget {budget} {why}")),
        };
        let may_open = |of: &Budget| of.full_name() == budget && of.status.expected > of.status.desired;
        Some((!occupancy.budgets.iter().any(may_open), found, it.pod.full_name()))
    };
    let found: BTreeSet<_> = on_victims(facts, step, occupancy).filter(is_asked).filter_map(blocked).collect();
    let lasts = found.iter().any(|(lasts, ..)| *lasts);
    let (_, why, _) = found.iter().find(|(this, ..)| *this == lasts)?;
    Some(Broken {
        rule: Rule::DisruptionBudgetBlocks,
        standing: if lasts { Standing::Lasting } else { Standing::Passing },
        finding: format!(
            "the eviction of {} is not allowed now: {why}",
            capped_list(found.iter().map(|(_, _, pod)| pod))
        ),
        remedy:
            "let the budget allow one pod to go (more replicas, or less that must be available); pods are evicted one \
                 at a time"
                .to_owned(),
        pods: Vec::new(),
    })
}

/// What the next eviction of a protected pod waits for: those before it, and the pods that take their places.
pub(super) fn unsettled(facts: &Facts<'_>, step: &Step) -> Vec<String> {
    let Change::Drain(Drain::Evict { pod: evicted, .. }) = &step.change else { return Vec::new() };
    let here = || facts.pods_on(&step.pool).iter().filter(|(pod, _)| pod.owner != Owner::DaemonSet);
    if !here().any(|(pod, _)| pod.full_name() == *evicted) {
        return Vec::new();
    }
    let on_victim = |node: &Node| node.is_drained_for(&step.policy);
    let leaving = here().filter(|(pod, node)| pod.deleting && on_victim(node)).map(|(pod, _)| pod.full_name());
    let leaving = capped_list(leaving);
    let began = facts.victims(step).iter().filter_map(|node| Some(node.drained()?.since)).min();
    let mut unready: Vec<String> = began.map_or_else(Vec::new, |began| unready_since(facts, began).collect());
    unready.sort_unstable();
    let mut found = Vec::new();
    if !leaving.is_empty() {
        found.push(format!("{leaving} is on its way out"));
    }
    if !unready.is_empty() {
        found.push(format!("{}, started since the drain began, is not Ready", capped_list(&unready)));
    }
    found
}

/// Protected pods that were made since then and are not Ready: one of them may take the place of a pod that was evicted.
fn unready_since(facts: &Facts<'_>, began: Time) -> impl Iterator<Item = String> {
    let is_new = move |pod: &Pod| {
        let counts = pod.owner != Owner::DaemonSet && pod.controller.is_some() && pod.phase != Phase::Finished;
        counts && pod.created.after(LEEWAY) >= began && !pod.ready && !pod.deleting
    };
    facts.all_pods().filter(move |pod| is_new(pod)).map(Pod::full_name)
}

/// When the node was cordoned for a drain.
fn since(facts: &Facts<'_>, node: &str) -> Option<Time> {
    let node = facts.nodes.iter().find(|it| it.name == node)?;
    node.drained().map(|DrainMark { since, .. }| *since)
}

#[cfg(test)]
mod tests;
