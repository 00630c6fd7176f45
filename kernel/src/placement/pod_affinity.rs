//! Required affinity and anti-affinity between pods, in both directions. Never reads preferred terms.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{Labels, Selector};
use super::node::Node;
use super::pod::{Obstacle, Pod};
use super::reason::Misfit;
use super::world::World;

/// A term of a required affinity or anti-affinity (`core/v1` `PodAffinityTerm`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTerm {
    /// In which namespaces pods are meant.
    pub namespaces: Namespaces,
    /// Which pods are meant; `matchLabelKeys` and `mismatchLabelKeys` are part of it.
    pub selector: Selector,
    /// The node label whose value says what counts as the same place.
    pub topology_key: String,
}

/// Namespaces that a term is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces {
    /// By name; the pod's own where the term names none.
    pub names: BTreeSet<String>,
    /// By their labels, besides.
    pub selector: Selector,
}

impl Namespaces {
    /// The namespaces of those names only.
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), selector: Selector::Nothing }
    }

    /// Whether the labels of namespaces decide.
    fn needs_labels(&self) -> bool {
        self.selector != Selector::Nothing && !self.selector.is_everything()
    }

    /// Whether a namespace is one of them; one whose labels are unknown is, if they decide. A namespace that does not
    /// exist has no labels (upstream `GetNamespaceLabelsSnapshot`).
    fn contain(&self, namespace: &str, known: Option<&BTreeMap<String, Labels>>) -> bool {
        if self.names.contains(namespace) || self.selector.is_everything() {
            return true;
        }
        match known {
            None => self.needs_labels(),
            Some(known) => self.selector.matches(known.get(namespace).unwrap_or(&Labels::new())),
        }
    }

    /// Whether an existing namespace is one of them, by a pod that is to be placed (upstream
    /// `mergeAffinityTermNamespacesIfNotEmpty`).
    fn contain_existing(&self, namespace: &str, known: Option<&BTreeMap<String, Labels>>) -> bool {
        let selected =
            || known.and_then(|known| known.get(namespace)).is_some_and(|labels| self.selector.matches(labels));
        self.names.contains(namespace) || self.selector.is_everything() || selected()
    }

    /// Whether every pod of these namespaces is listed, wherever it runs.
    fn all_listed(&self, world: &World) -> bool {
        self.selector == Selector::Nothing && self.names.is_subset(&world.listing().namespaces)
    }
}

/// Values of one topology key.
type Values<'a> = BTreeSet<&'a str>;

/// What affinity between pods says of the nodes (upstream `interpodaffinity` `PreFilter`, `Filter`).
pub(super) struct AffinityFilter<'a> {
    pod: &'a Pod,
    /// For each affinity term the places with pods that match all terms; empty everywhere when there is no such pod.
    attracting: Vec<Values<'a>>,
    /// Whether the pod may be the first of those that it wants to be near to.
    may_be_first: bool,
    /// For each anti-affinity term the places with pods that match it.
    avoided: Vec<Values<'a>>,
    /// For each anti-affinity term the places with pods that might match it and are not listed.
    unclear: Vec<Values<'a>>,
    /// Places from which pods that run there repel this one, with one of these pods.
    repelled: BTreeMap<&'a str, BTreeMap<&'a str, &'a Pod>>,
}

impl<'a> AffinityFilter<'a> {
    pub(super) fn new(world: &'a World, pod: &'a Pod) -> Result<Self, Obstacle> {
        check_knowledge(world, pod)?;
        let matching = matching_all(world, pod);
        let attracting = pod.affinity.iter().map(|term| places(&matching, &term.topology_key)).collect::<Vec<_>>();
        // The terms first: most pods have none, and there may be thousands of nodes.
        let all_listed =
            pod.affinity.iter().all(|term| term.namespaces.all_listed(world)) || world.partly_listed().next().is_none();
        let own = |term: &PodTerm| {
            term.namespaces.contain_existing(&pod.namespace, world.namespaces()) && term.selector.matches(&pod.labels)
        };
        let may_be_first = all_listed && attracting.iter().all(BTreeSet::is_empty) && pod.affinity.iter().all(own);
        Ok(Self {
            pod,
            attracting,
            may_be_first,
            avoided: pod
                .anti_affinity
                .iter()
                .map(|term| places(&matching_one(world, term), &term.topology_key))
                .collect(),
            unclear: pod.anti_affinity.iter().map(|term| unclear(world, term)).collect(),
            repelled: repelled(world, pod),
        })
    }

    pub(super) fn misfit(&self, node: &Node) -> Option<Misfit> {
        self.affinity(node).or_else(|| self.anti_affinity(node)).or_else(|| self.repulsion(node))
    }

    /// Upstream `satisfyPodAffinity`.
    fn affinity(&self, node: &Node) -> Option<Misfit> {
        let terms = || self.pod.affinity.iter().zip(&self.attracting);
        let missing = terms().find(|(term, _)| !node.labels.contains_key(&term.topology_key));
        let lonely = terms().find(|(term, places)| !has(node, &term.topology_key, places));
        match (missing, lonely) {
            (Some((term, _)), _) => Some(Misfit::Affinity(term.topology_key.clone())),
            (None, Some((term, _))) if !self.may_be_first => Some(Misfit::Affinity(term.topology_key.clone())),
            _ => None,
        }
    }

    /// Upstream `satisfyPodAntiAffinity`.
    fn anti_affinity(&self, node: &Node) -> Option<Misfit> {
        let terms = || self.pod.anti_affinity.iter();
        let avoided = terms().zip(&self.avoided).find(|(term, places)| has(node, &term.topology_key, places));
        let unclear = terms().zip(&self.unclear).find(|(term, places)| has(node, &term.topology_key, places));
        let avoided = avoided.map(|(term, _)| Misfit::AntiAffinity(term.topology_key.clone()));
        avoided.or_else(|| unclear.map(|(term, _)| Misfit::AntiAffinityUnknown(term.topology_key.clone())))
    }

    /// Upstream `satisfyExistingPodsAntiAffinity`.
    fn repulsion(&self, node: &Node) -> Option<Misfit> {
        let by = |(key, places): (&&str, &BTreeMap<&str, &Pod>)| {
            places.get(node.labels.get(*key)?.as_str()).map(|pod| pod.full_name())
        };
        self.repelled.iter().find_map(by).map(Misfit::Repelled)
    }
}

/// Fails when something decides that is not known at all.
fn check_knowledge(world: &World, pod: &Pod) -> Result<(), Obstacle> {
    let mut terms = pod.affinity.iter().chain(&pod.anti_affinity);
    if world.namespaces().is_none() && terms.any(|term| term.namespaces.needs_labels()) {
        return Err(Obstacle::Unknown("its affinity selects namespaces by their labels, which are unknown".to_owned()));
    }
    if !world.listing().repelling
        && let Some(node) = world.partly_listed().next()
    {
        return Err(Obstacle::Unknown(format!(
            "a pod on {} may repel it by its anti-affinity: not all pods there are known",
            node.name
        )));
    }
    Ok(())
}

fn has(node: &Node, key: &str, places: &Values<'_>) -> bool {
    node.labels.get(key).is_some_and(|value| places.contains(value.as_str()))
}

/// The values of `key` on these nodes.
fn places<'a>(nodes: &[&'a Node], key: &str) -> Values<'a> {
    nodes.iter().filter_map(|node| node.labels.get(key)).map(String::as_str).collect()
}

/// The nodes of pods in namespaces of the term that its selector matches.
fn matching_one<'a>(world: &'a World, term: &PodTerm) -> Vec<&'a Node> {
    matching(world, std::slice::from_ref(term))
}

/// The nodes of pods that match all affinity terms of the pod (upstream `podMatchesAllAffinityTerms`).
fn matching_all<'a>(world: &'a World, pod: &Pod) -> Vec<&'a Node> {
    if pod.affinity.is_empty() { Vec::new() } else { matching(world, &pod.affinity) }
}

fn matching<'a>(world: &'a World, terms: &[PodTerm]) -> Vec<&'a Node> {
    let meant =
        |namespace: &&str| terms.iter().all(|term| term.namespaces.contain_existing(namespace, world.namespaces()));
    let selected = |labels: &Labels| terms.iter().all(|term| term.selector.matches(labels));
    let residents = world.residents();
    let namespaces = residents.namespaces().into_iter().filter(meant);
    let matching = namespaces.flat_map(|namespace| residents.with(namespace, selected));
    matching.filter_map(|resident| world.site_of(resident)).map(|site| &*site.node).collect()
}

/// The places of nodes on which pods may run that the term means and that are not listed.
fn unclear<'a>(world: &'a World, term: &PodTerm) -> Values<'a> {
    if term.namespaces.all_listed(world) {
        return Values::new();
    }
    world.partly_listed().filter_map(|node| node.labels.get(&term.topology_key)).map(String::as_str).collect()
}

/// The places from which pods repel this one (upstream `getExistingAntiAffinityCounts`).
fn repelled<'a>(world: &'a World, pod: &Pod) -> BTreeMap<&'a str, BTreeMap<&'a str, &'a Pod>> {
    let mut repelled: BTreeMap<&str, BTreeMap<&str, &Pod>> = BTreeMap::new();
    for resident in world.repelling() {
        let Some(site) = world.site_of(resident) else { continue };
        for term in &resident.pod.anti_affinity {
            let meant =
                term.namespaces.contain(&pod.namespace, world.namespaces()) && term.selector.matches(&pod.labels);
            if let Some(value) = site.node.labels.get(&term.topology_key)
                && meant
            {
                let by = repelled.entry(&term.topology_key).or_default().entry(value).or_insert(&resident.pod);
                // The same pod whatever the order in which they were added.
                if (&resident.pod.namespace, &resident.pod.name) < (&by.namespace, &by.name) {
                    *by = &resident.pod;
                }
            }
        }
    }
    repelled
}
