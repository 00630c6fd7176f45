//! Topology spread constraints with `DoNotSchedule`. Never reads those that only prefer.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::untolerated;
use super::labels::{Selector, Test};
use super::node::Node;
use super::pod::Pod;
use super::reason::Misfit;
use super::world::World;

/// A topology spread constraint (`core/v1` `TopologySpreadConstraint`) with `whenUnsatisfiable: DoNotSchedule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The node label whose values are the domains.
    pub topology_key: String,
    /// How many more matching pods a domain may have than the one with fewest.
    pub max_skew: i64,
    /// With fewer domains than this the fewest counts as zero.
    pub min_domains: i64,
    /// Which pods of the pod's namespace are counted.
    pub selector: Selector,
    /// Labels whose values in the pod itself narrow the selector (`matchLabelKeys`).
    pub match_label_keys: Vec<String>,
    /// Whether only nodes that the pod's node selector and affinity match are counted (`nodeAffinityPolicy: Honor`).
    pub honor_affinity: bool,
    /// Whether only nodes whose taints the pod tolerates are counted (`nodeTaintsPolicy: Honor`).
    pub honor_taints: bool,
}

/// How the pods that one constraint counts are spread.
struct Spreading<'a> {
    constraint: &'a Spread,
    /// Matching pods by domain.
    counts: BTreeMap<&'a str, i64>,
    /// Domains with pods of the namespace that are not listed.
    unknown: BTreeSet<&'a str>,
    /// One when the pod itself matches.
    own: i64,
}

/// What all spread constraints of a pod say of the nodes (upstream `podtopologyspread` `calPreFilterState`, `Filter`).
pub(super) struct SpreadFilter<'a>(Vec<Spreading<'a>>);

impl<'a> SpreadFilter<'a> {
    pub(super) fn new(world: &'a World, pod: &'a Pod) -> Self {
        // Nodes that lack a key of any constraint count for none.
        let has_keys = |node: &Node| pod.spread.iter().all(|spread| node.labels.contains_key(&spread.topology_key));
        Self(pod.spread.iter().map(|constraint| Spreading::new(world, pod, constraint, &has_keys)).collect())
    }

    pub(super) fn misfit(&self, node: &Node) -> Option<Misfit> {
        self.0.iter().find_map(|spreading| spreading.misfit(node))
    }
}

impl<'a> Spreading<'a> {
    fn new(world: &'a World, pod: &'a Pod, constraint: &'a Spread, has_keys: &impl Fn(&Node) -> bool) -> Self {
        let selector = constraint.selector_for(pod);
        let listed = world.listing().namespaces.contains(&pod.namespace);
        let mut counts = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        let mut domains: Vec<Option<&str>> = vec![None; world.numbers()];
        for (number, site) in world.sites() {
            let node = &*site.node;
            let counted = has_keys(node) && constraint.counts_node(pod, node);
            let domain = node.labels.get(&constraint.topology_key).map(String::as_str).filter(|_| counted);
            if let Some(of_site) = domains.get_mut(number) {
                *of_site = domain;
            }
            if let Some(domain) = domain {
                counts.entry(domain).or_insert(0);
                if !node.all_pods_listed && !listed {
                    unknown.insert(domain);
                }
            }
        }
        // An empty selector counts no pod (upstream `countPodsMatchSelector`), although it matches the pod itself.
        if !selector.is_everything() {
            let matching = world.residents().with(&pod.namespace, |labels| selector.matches(labels));
            for resident in matching.filter(|resident| !resident.pod.deleting) {
                if let Some(domain) = domains.get(resident.site).copied().flatten() {
                    *counts.entry(domain).or_insert(0) += 1;
                }
            }
        }
        Self { constraint, counts, unknown, own: i64::from(selector.matches(&pod.labels)) }
    }

    fn misfit(&self, node: &Node) -> Option<Misfit> {
        let key = &self.constraint.topology_key;
        let Some(domain) = node.labels.get(key).map(String::as_str) else {
            return Some(Misfit::SpreadLabelMissing(key.clone()));
        };
        if self.unknown.contains(domain) {
            return Some(Misfit::SpreadUnknown(key.clone()));
        }
        let domains = i64::try_from(self.counts.len()).unwrap_or(i64::MAX);
        let fewest =
            self.counts.values().min().copied().filter(|_| domains >= self.constraint.min_domains).unwrap_or(0);
        let here = self.counts.get(domain).copied().unwrap_or(0);
        let skew = here.saturating_add(self.own).saturating_sub(fewest);
        (skew > self.constraint.max_skew).then(|| Misfit::Spread(key.clone()))
    }
}

impl Spread {
    /// The selector narrowed by the pod's own labels.
    fn selector_for(&self, pod: &Pod) -> Selector {
        self.match_label_keys.iter().fold(self.selector.clone(), |selector, key| match pod.labels.get(key) {
            Some(value) => selector.and(key, Test::In(vec![value.clone()])),
            None => selector,
        })
    }

    /// Whether the node's domain and pods count (upstream `matchNodeInclusionPolicies`).
    fn counts_node(&self, pod: &Pod, node: &Node) -> bool {
        (!self.honor_affinity || pod.selects(node)) && (!self.honor_taints || untolerated(pod, node).is_none())
    }
}
