//! Whether a node could take a pod: selectors, node affinity, taints, amounts. Never looks at what depends on other
//! pods, such as anti-affinity and topology spread; the scheduler does, and a pod that still waits is looked at again.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use kube::ResourceExt;

use super::quantity::Amounts;

/// A node, there or to come, and what is left on it.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) node: Node,
    pub(super) free: Amounts,
}

impl Space {
    /// A node with the pods on it.
    pub(super) fn of<'a>(node: &Node, pods: impl Iterator<Item = &'a Pod>) -> Self {
        let mut free = Amounts::of_node(node);
        pods.for_each(|pod| free.subtract(&Amounts::of_pod(pod)));
        Self { node: node.clone(), free }
    }

    /// Puts a pod there, if it fits. Returns whether it did.
    pub(super) fn take(&mut self, pod: &Pod) -> bool {
        let asked = Amounts::of_pod(pod);
        let fits = allows(&self.node, pod) && self.free.cover(&asked);
        if fits {
            self.free.subtract(&asked);
        }
        fits
    }
}

/// Whether a node's labels and taints let a pod in.
fn allows(node: &Node, pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else {
        return false;
    };
    let labels = node.labels();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let near = required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| matches(term, node)));
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    selected && near && taints.iter().all(|taint| is_tolerated(taint, tolerations))
}

/// Whether a node matches a term. One without any requirement matches nothing.
fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = BTreeMap::from([("metadata.name".to_owned(), node.name_any())]);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| holds(requirement, node.labels()))
        && fields.iter().all(|requirement| holds(requirement, &name))
}

fn holds(requirement: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let actual = labels.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let compare = |wanted: std::cmp::Ordering| match (number(actual), number(values.first())) {
        (Some(actual), Some(bound)) => actual.cmp(&bound) == wanted,
        _ => false,
    };
    match requirement.operator.as_str() {
        "In" => actual.is_some_and(|actual| values.contains(actual)),
        "NotIn" => actual.is_none_or(|actual| !values.contains(actual)),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}

fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    taint.effect == "PreferNoSchedule"
        || tolerations.iter().any(|toleration| {
            let effect = toleration.effect.as_deref().unwrap_or_default();
            let key = toleration.key.as_deref().unwrap_or_default();
            let exists = toleration.operator.as_deref() == Some("Exists");
            (effect.is_empty() || effect == taint.effect)
                && (key == taint.key || key.is_empty() && exists)
                && (exists
                    || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
        })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(crate) fn pod(spec: &Value) -> Pod {
        let mut spec = spec.clone();
        if spec.get("containers").is_none() {
            spec["containers"] = json!([{"name": "c"}]);
        }
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    pub(crate) fn node(name: &str, labels: &Value, taints: &Value) -> Node {
        let amounts = json!({"cpu": "4", "memory": "16Gi", "pods": "10"});
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels}, "spec": {"taints": taints},
            "status": {"allocatable": amounts},
        }))
        .unwrap()
    }

    #[test]
    fn labels_and_taints_let_a_pod_in_or_not() {
        let affinity = |operator: &str, key: &str, values: Value| {
            let term = json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [term]}}}})
        };
        let plain = json!({"tier": "web", "size": "7"});
        let tainted = json!([{"key": "team", "value": "a", "effect": "NoSchedule"}]);
        for (spec, taints, expected) in [
            (json!({}), json!([]), true),
            (json!({"nodeSelector": {"tier": "web"}}), json!([]), true),
            (json!({"nodeSelector": {"tier": "db"}}), json!([]), false),
            (affinity("In", "tier", json!(["db", "web"])), json!([]), true),
            (affinity("NotIn", "tier", json!(["web"])), json!([]), false),
            (affinity("Exists", "gone", json!(null)), json!([]), false),
            (affinity("DoesNotExist", "gone", json!(null)), json!([]), true),
            (affinity("Gt", "size", json!(["6"])), json!([]), true),
            (affinity("Lt", "size", json!(["7"])), json!([]), false),
            (json!({}), tainted.clone(), false),
            (json!({"tolerations": [{"key": "team", "value": "a"}]}), tainted.clone(), true),
            (json!({"tolerations": [{"key": "team", "value": "b"}]}), tainted.clone(), false),
            (
                json!({"tolerations": [{"key": "team", "operator": "Exists", "effect": "NoExecute"}]}),
                tainted.clone(),
                false,
            ),
            (json!({"tolerations": [{"operator": "Exists"}]}), tainted, true),
            (json!({}), json!([{"key": "soft", "effect": "PreferNoSchedule"}]), true),
        ] {
            assert_eq!(allows(&node("n", &plain, &taints), &pod(&spec)), expected, "{spec} on {taints}");
        }
    }

    #[test]
    fn a_space_fills_up() {
        let mut space = Space::of(&node("n", &json!({}), &json!([])), std::iter::empty());
        let asks = pod(&json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}));
        assert!(space.take(&asks));
        assert!(space.take(&asks));
        assert!(!space.take(&asks), "1 CPU is left");
    }
}
