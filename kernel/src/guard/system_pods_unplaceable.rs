//! `SystemPodsUnplaceable`: protected pods that a step moves have another place, and those that wait for a node keep the
//! place that they could have. Never judges whether they may be moved.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Evidence;
use super::rule::{Broken, Rule, Standing};
use crate::displacement::{Displacement, Homeless, Lack, find};
use crate::disruption::Takedown;
use crate::facts::Facts;
use crate::names::{capped, capped_list};
use crate::placement::Unplaceable;
use crate::snapshot::Pod;
use crate::step::Step;

/// How many reasons a finding gives.
const SHOWN: usize = 3;

/// Refuses, on any pool, a step after which protected pods that it moves have no place: those from system nodes on the
/// usable system nodes that remain, others on any Ready node that remains; or after which one that waits for a node has
/// none although it had one before. Whichever nodes AKS chooses to remove, all must have one.
///
/// Where pods could run is read when it is asked for. Until then nothing is known, and the step is refused for now.
pub(super) fn check<'a>(facts: &Facts<'a>, step: &Step, takedown: &Takedown<'a>) -> Option<Broken> {
    let displaced = Displacement::of(facts, step, takedown)?;
    let needed = || displaced.moving().chain(displaced.waiting.iter().copied()).map(Pod::full_name).collect();
    let places = match facts.places.fresh(facts.now, facts.settings.stale_after) {
        Ok(places) => places,
        Err(reason) => return Some(unknown(&format!("it is not known where they could run ({reason})"), needed())),
    };
    match find(facts, step, &displaced, places) {
        Ok(homeless) => homeless.map(|homeless| refusal(facts, step, &displaced, &homeless)),
        Err(Lack::Pods(pods)) => Some(unknown("it is not known yet where they could run", pods)),
        Err(Lack::Node(node)) => {
            Some(unknown(&format!("node {node} has joined since it was read where they could run"), needed()))
        }
    }
}

/// The refusal for places that are not known. It names all of the pods, for these are then read.
fn unknown(what: &str, mut pods: Vec<String>) -> Broken {
    pods.sort_unstable();
    pods.dedup();
    Broken {
        rule: Rule::SystemPodsUnplaceable,
        standing: Standing::Passing,
        finding: format!("the step may deprive pods of their place, and {what}: {}", capped_list(&pods)),
        remedy:
            "the operator reads all nodes and pods by itself; if this stays, look at its log and at its permissions \
                 in the cluster"
                .to_owned(),
        pods,
    }
}

fn refusal(facts: &Facts<'_>, step: &Step, displaced: &Displacement<'_>, homeless: &Homeless<'_>) -> Broken {
    let leaving: BTreeSet<String> = facts.leaving().map(Pod::full_name).collect();
    let passing = homeless.passing || homeless.moved.iter().all(|pod| leaving.contains(&pod.pod));
    let pods = homeless.moved.iter().chain(&homeless.waiting).map(|pod| pod.pod.clone());
    Broken {
        rule: Rule::SystemPodsUnplaceable,
        standing: if passing { Standing::Passing } else { Standing::Lasting },
        finding: finding(displaced, homeless, facts.nodes_of(&step.pool).len()),
        remedy: remedy(displaced, homeless).to_owned(),
        pods: Evidence::named(pods).pods,
    }
}

fn finding(displaced: &Displacement<'_>, homeless: &Homeless<'_>, nodes: usize) -> String {
    let is_choice = !homeless.gone.is_empty() && homeless.gone.len() < nodes;
    let choice = if is_choice { format!(" (with {} gone)", capped_list(&homeless.gone)) } else { String::new() };
    let mut found = Vec::new();
    if !homeless.moved.is_empty() {
        let nodes = if displaced.from_system { "usable system node" } else { "Ready node" };
        found.push(format!("leave pods without a place on any {nodes} that remains: {}", by_reason(&homeless.moved)));
    }
    if !homeless.waiting.is_empty() {
        let waiting = by_reason(&homeless.waiting);
        found.push(format!("take the place from pods that wait for a node and could be placed now: {waiting}"));
    }
    format!("{}{choice} would {}", displaced.cause, found.join("; and would "))
}

/// The pods with their reasons, those with one reason together.
fn by_reason(pods: &[Unplaceable]) -> String {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods {
        alike.entry(pod.why()).or_default().push(&pod.pod);
    }
    capped(alike.iter().map(|(why, pods)| format!("{} ({why})", capped_list(pods))), SHOWN, "; ")
}

const fn remedy(displaced: &Displacement<'_>, homeless: &Homeless<'_>) -> &'static str {
    if homeless.moved.is_empty() {
        "wait until these pods have their nodes; if they stay pending, look why (kubectl describe pod)"
    } else if displaced.from_system {
        "make room on another system pool first: more or larger nodes that take these pods; or change what keeps the pods \
         from the nodes that are there"
    } else {
        "let another pool take these pods first: nodes with the labels, taints and room that they ask for; or change what \
         keeps the pods from the nodes that are there"
    }
}

#[cfg(test)]
mod tests;
