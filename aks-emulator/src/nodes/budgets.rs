//! Whether disruption budgets of system add-ons would allow nodes to go at once. Never evicts anything.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams};
use kube::core::{Selector, SelectorExt};
use kube::{Client, ResourceExt};

use super::NodeError;
use super::drain::error;

/// Where the service's add-ons run.
const ADD_ONS: &str = "kube-system";

/// See [`NodeSide::budgets_against`](super::NodeSide::budgets_against).
pub(super) async fn against(client: &Client, nodes: &[String]) -> Result<Vec<String>, NodeError> {
    let all = ListParams::default();
    let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), ADD_ONS).list(&all).await;
    let budgets = budgets.map_err(|source| error("list the disruption budgets of", ADD_ONS, source))?;
    let pods = Api::<Pod>::namespaced(client.clone(), ADD_ONS).list(&all).await;
    let pods = pods.map_err(|source| error("list the pods of", ADD_ONS, source))?;
    let nodes: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
    let going: Vec<&Pod> = pods.items.iter().filter(|pod| is_ready(pod) && is_on(pod, &nodes)).collect();
    Ok(budgets.items.iter().filter(|budget| disagrees(budget, &going)).map(ResourceExt::name_any).collect())
}

/// Whether more of a budget's healthy pods would go than it allows now.
fn disagrees(budget: &PodDisruptionBudget, going: &[&Pod]) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
    // Without a selector a budget is about no pod.
    let Some(Ok(selector)) = selector.map(Selector::try_from) else {
        return false;
    };
    let affected = going.iter().filter(|pod| selector.matches(pod.labels())).count();
    let allowed = budget.status.as_ref().map_or(0, |status| status.disruptions_allowed);
    affected > usize::try_from(allowed).unwrap_or_default()
}

fn is_on(pod: &Pod, nodes: &BTreeSet<&str>) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_some_and(|node| nodes.contains(node))
}

fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_disagrees_when_more_healthy_pods_go_than_it_allows() {
        let pod = |app: &str| -> Pod { serde_json::from_value(json!({"metadata": {"labels": {"app": app}}})).unwrap() };
        let (dns, other) = (pod("dns"), pod("other"));
        for (allowed, going, expected) in [
            (1, vec![&dns, &other], false),
            (1, vec![&dns, &dns], true),
            (0, vec![&dns], true),
            (0, vec![&other], false),
        ] {
            let budget = serde_json::from_value(json!({
                "metadata": {"name": "b"},
                "spec": {"selector": {"matchLabels": {"app": "dns"}}},
                "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2},
            }));
            assert_eq!(disagrees(&budget.unwrap(), &going), expected, "{allowed}");
        }
        assert!(!disagrees(&PodDisruptionBudget::default(), &[&dns]));
    }

    #[test]
    fn a_pod_that_is_not_ready_or_goes_anyway_does_not_count() {
        let pod = |status: &str, deleted: Option<&str>| -> Pod {
            let conditions = json!([{"type": "Ready", "status": status}]);
            let metadata = json!({"deletionTimestamp": deleted});
            serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": conditions}})).unwrap()
        };
        assert!(is_ready(&pod("True", None)));
        assert!(!is_ready(&pod("False", None)) && !is_ready(&pod("True", Some("2026-01-01T00:00:00Z"))));
        assert!(!is_ready(&Pod::default()));
    }
}
