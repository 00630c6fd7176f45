//! Required affinity between pods. Never drops a term: one that can't be understood repels everything.

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::placement::{Labels, Namespaces, Obstacle, PodTerm, Selector, Test};

use super::selectors::selector;

/// Whether the API server has put `matchLabelKeys` and `mismatchLabelKeys` into the selectors of terms: it does so for
/// pods, not for templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelKeys {
    /// It has.
    Merged,
    /// It has not yet.
    Pending,
}

/// Required affinity and anti-affinity, and what can't be understood in them.
pub(super) struct PodAffinity {
    pub(super) affinity: Vec<PodTerm>,
    pub(super) anti_affinity: Vec<PodTerm>,
    pub(super) obstacles: Vec<Obstacle>,
}

/// The required terms of a pod in `namespace` with these labels.
pub(super) fn pod_affinity(
    affinity: Option<&core::Affinity>,
    namespace: &str,
    labels: &Labels,
    keys: LabelKeys,
) -> PodAffinity {
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let near = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_deref());
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let apart = apart.and_then(|apart| apart.required_during_scheduling_ignored_during_execution.as_deref());
    let read = |term: &core::PodAffinityTerm| (term.topology_key.clone(), self::term(term, namespace, labels, keys));
    let near: Vec<_> = near.unwrap_or_default().iter().map(read).collect();
    let apart: Vec<_> = apart.unwrap_or_default().iter().map(read).collect();
    let odd = near.iter().chain(&apart).filter(|(_, term)| term.is_none());
    let obstacles = odd.map(|(key, _)| Obstacle::NotModelled(format!("the selector of its pod affinity by {key}")));
    PodAffinity {
        obstacles: obstacles.collect(),
        affinity: near.into_iter().filter_map(|(_, term)| term).collect(),
        anti_affinity: apart.into_iter().map(|(key, term)| term.unwrap_or_else(|| from_all(key))).collect(),
    }
}

fn term(term: &core::PodAffinityTerm, namespace: &str, labels: &Labels, keys: LabelKeys) -> Option<PodTerm> {
    let mut pods = selector(term.label_selector.as_ref())?;
    if keys == LabelKeys::Pending {
        let own = |key: &String| labels.get(key).map(|value| (key.clone(), vec![value.clone()]));
        for (key, value) in term.match_label_keys.iter().flatten().filter_map(own) {
            pods = pods.and(&key, Test::In(value));
        }
        for (key, value) in term.mismatch_label_keys.iter().flatten().filter_map(own) {
            pods = pods.and(&key, Test::NotIn(value));
        }
    }
    let listed = term.namespaces.clone().unwrap_or_default();
    // Upstream `getNamespacesFromPodAffinityTerm`.
    let own = listed.is_empty() && term.namespace_selector.is_none();
    let names = if own { [namespace.to_owned()].into() } else { listed.into_iter().collect() };
    let namespaces = Namespaces { names, selector: selector(term.namespace_selector.as_ref())? };
    Some(PodTerm { namespaces, selector: pods, topology_key: term.topology_key.clone() })
}

/// A term against every pod.
fn from_all(topology_key: String) -> PodTerm {
    let namespaces = Namespaces { names: [].into(), selector: Selector::everything() };
    PodTerm { namespaces, selector: Selector::everything(), topology_key }
}
