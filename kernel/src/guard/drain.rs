//! What the rules ask of a drain besides: that it goes on from what is seen, that nothing is lost that nobody would start
//! again, and that one protected pod runs elsewhere before the next goes. Never chooses nodes or pods.

use std::collections::BTreeSet;

use super::closed_budget::Closed;
use super::rule::{Broken, Rule, Standing};
use crate::dependents::Tenancy;
use crate::drain::{Aim, Drain};
use crate::facts::Facts;
use crate::names::{WHY_UNKNOWN, capped_list, shorten};
use crate::placement::Misfit;
use crate::snapshot::{AgentPool, DrainMark, Node, Occupancy, Occupant, Owner, Phase, Places, Pod};
use crate::step::{Change, Step};
use crate::taint::{Toleration, TolerationOperator};
use crate::time::{Span, Time};

/// The time of a cordon is this process's, those of pods are the API server's. A pod counts as made since the cordon, and is
/// waited for, from so long before it.
const LEEWAY: Span = Span::from_secs(60);
/// So far these two clocks may differ, with what is cut off a pod's time. Too little of it lets a pod that comes back be evicted
/// more than once; too much of it lets pods wait that are older than the cordon.
const SKEW: Span = Span::from_secs(5);

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
    let Change::Drain(drain) = &step.change else { return not_emptied(facts, step) };
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
        Err(reason) => return without_pods(unread(&reason)),
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
        Drain::RemoveMachines { .. } => left(facts, step, occupancy),
        Drain::Cordon { .. } | Drain::Uncordon { .. } => None,
    }
}

/// What keeps the nodes that were closed for the deletion of their pool from being empty.
fn not_emptied(facts: &Facts<'_>, step: &Step) -> Option<(String, Vec<String>)> {
    if !step.change.deletes() || facts.victims(step).is_empty() {
        return None;
    }
    match occupancy(facts, step) {
        Ok(occupancy) => left(facts, step, occupancy),
        Err(reason) => Some((unread(&reason), Vec::new())),
    }
}

fn left(facts: &Facts<'_>, step: &Step, occupancy: &Occupancy) -> Option<(String, Vec<String>)> {
    let left: Vec<String> = on_victims(facts, step, occupancy).map(|it| it.pod.full_name()).collect();
    let found = || format!("pods are left on nodes that are to be removed: {}", capped_list(&left));
    (!left.is_empty()).then(|| (found(), left.clone()))
}

fn unread(reason: &str) -> String {
    format!("what runs on the nodes to be drained is not known: {reason}")
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
    let occupancy =
        known.fresh(facts.now, facts.settings.stale_after).map_err(|reason| shorten(&reason, WHY_UNKNOWN))?;
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

/// Whether somebody lets the workloads of the pool be lost.
pub(super) fn may_lose(facts: &Facts<'_>, step: &Step) -> bool {
    facts.intents.iter().any(|intent| intent.policy == step.policy && intent.may_lose_workloads)
}

/// Refuses a drain of pods that nothing would start again, and of pods that come back to a cordoned node: each is evicted once
/// at most. Before a deletion whoever may lose workloads may lose the first, if they are not protected.
pub(super) fn loses(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    step.change.aim()?;
    let occupancy = occupancy(facts, step).ok()?;
    let names = |wanted: &dyn Fn(&Occupant) -> bool| {
        let found = on_victims(facts, step, occupancy).filter(|it| !it.pod.deleting && wanted(it));
        let mut names: Vec<String> = found.map(|it| it.pod.full_name()).collect();
        names.sort_unstable();
        names
    };
    let may_lose = |it: &Occupant| !it.protected && step.change.leads_to_deletion() && may_lose(facts, step);
    let alone = names(&|it| it.tenancy == Tenancy::Alone && !may_lose(it));
    let late = names(&|it| since(facts, it.node()).is_some_and(|since| it.pod.created > since.after(SKEW)));
    let (standing, finding, remedy, pods) = if !alone.is_empty() {
        (
            Standing::Lasting,
            format!("nothing would start these pods again: {}", capped_list(&alone)),
            "delete these pods, or let a controller (a Deployment, for example) own them",
            alone,
        )
    } else if !late.is_empty() {
        (
            Standing::Lasting,
            format!("these pods have come to nodes since they were cordoned: {}", capped_list(&late)),
            "let these pods not tolerate node.kubernetes.io/unschedulable, and give them no spec.nodeName",
            late,
        )
    } else {
        let early = just_come(facts, step, occupancy)?;
        (
            Standing::Passing,
            format!("{early} came when its node was cordoned, and may come back at once"),
            "nothing to do: it is evicted once, some seconds after the cordon",
            vec![early],
        )
    };
    Some(Broken { rule: Rule::WorkloadsDependOnPool, standing, finding, remedy: remedy.to_owned(), pods })
}

/// The pod to be evicted, if it may have come since the cordon, and for as long as one that comes back in its place could not be
/// told from those that were there before.
fn just_come(facts: &Facts<'_>, step: &Step, occupancy: &Occupancy) -> Option<String> {
    let Change::Drain(Drain::Evict { uid, .. }) = &step.change else { return None };
    let found = occupancy.pods.iter().find(|it| it.uid == *uid)?;
    let since = since(facts, found.node())?;
    let is_early = found.pod.created.after(SKEW) > since && facts.now <= since.after(SKEW).after(SKEW);
    is_early.then(|| found.pod.full_name())
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
    let asked = on_victims(facts, step, occupancy).filter(is_asked);
    let found: BTreeSet<Closed> = asked.filter_map(|it| Closed::of(occupancy, it)).collect();
    let lasts = found.iter().any(|closed| closed.lasts);
    let why = &found.iter().find(|closed| closed.lasts == lasts)?.why;
    Some(Broken {
        rule: Rule::DisruptionBudgetBlocks,
        standing: if lasts { Standing::Lasting } else { Standing::Passing },
        finding: format!(
            "the eviction of {} is not allowed now: {why}",
            capped_list(found.iter().map(|closed| &closed.pod))
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
    let places = facts.places.fresh(facts.now, facts.settings.stale_after).ok();
    let is_new = move |pod: &Pod| {
        let counts = pod.owner != Owner::DaemonSet && pod.controller.is_some() && pod.phase != Phase::Finished;
        counts && pod.created.after(LEEWAY) >= began && !pod.ready && !pod.deleting
    };
    let is_waited_for = move |pod: &Pod| is_new(pod) && !places.is_some_and(|places| waits_in_vain(places, pod));
    facts.all_pods().filter(move |pod| is_waited_for(pod)).map(Pod::full_name)
}

/// Whether the pod has no node and would find none if no node were cordoned either. One that takes the place of a pod of a
/// drained node would: the room that its predecessor left is still there, for nothing else is placed on a cordoned node.
fn waits_in_vain(places: &Places, pod: &Pod) -> bool {
    let Some(found) = places.pods.get(&pod.full_name()).filter(|_| pod.node.is_none()) else { return false };
    let cordon = Toleration {
        key: Some("node.kubernetes.io/unschedulable".to_owned()),
        operator: TolerationOperator::Exists,
        value: String::new(),
        effect: None,
        limited: false,
    };
    let mut unbarred = found.clone();
    unbarred.tolerations.push(cordon);
    // What may be otherwise the next moment, or is not known, does not show that it waits in vain.
    let lasts = |misfit: &Misfit| match misfit {
        Misfit::NotSelected | Misfit::NotNamed | Misfit::Lacks { .. } | Misfit::TooManyPods => true,
        Misfit::Taint(taint) => !taint.key.starts_with("node.kubernetes.io/"),
        _ => false,
    };
    let why = places.world.feasible(&unbarred).err().filter(|why| why.obstacles.is_empty());
    why.is_some_and(|why| why.misfits.iter().all(|(misfit, _)| lasts(misfit)))
}

/// When the node was cordoned for a drain.
fn since(facts: &Facts<'_>, node: &str) -> Option<Time> {
    let node = facts.nodes.iter().find(|it| it.name == node)?;
    node.drained().map(|DrainMark { since, .. }| *since)
}

#[cfg(test)]
mod tests;
