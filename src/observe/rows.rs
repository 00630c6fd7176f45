//! Kubernetes objects reduced to the rows that the kernel reads. Never guesses: what is absent counts at its worst.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use nodepool_kernel::{
    Budget, MODE_LABEL, Node, Owner, Pod, Readiness, Taint, Time, Toleration, TolerationOperator, Workload,
};

/// The label that names a node's pool, and its older form.
pub(super) const POOL_LABELS: [&str; 2] = ["kubernetes.azure.com/agentpool", "agentpool"];

fn millis(time: &meta::Time) -> Time {
    Time::from_millis(time.0.as_millisecond())
}

/// The row of a node.
pub(super) fn node(node: &core::Node) -> Node {
    let metadata = &node.metadata;
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let spec = node.spec.as_ref();
    let status = node.status.as_ref();
    let joined = metadata.creation_timestamp.as_ref().map(millis).unwrap_or_default();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"));
    let since = ready.and_then(|ready| ready.last_transition_time.as_ref()).map_or(joined, millis);
    Node {
        name: metadata.name.clone().unwrap_or_default(),
        pool: POOL_LABELS.into_iter().find_map(label).map(str::to_owned),
        labelled_system: label(MODE_LABEL).is_some_and(|mode| mode.eq_ignore_ascii_case("system")),
        quarantined: label("kubernetes.azure.com/upgrade-status")
            .is_some_and(|status| status.eq_ignore_ascii_case("quarantined")),
        readiness: match ready {
            Some(ready) if ready.status == "True" => Readiness::Ready { since },
            _ => Readiness::NotReady { since },
        },
        joined,
        cordoned: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
        deleting: metadata.deletion_timestamp.is_some(),
        taints: spec
            .and_then(|spec| spec.taints.as_ref())
            .map(|taints| taints.iter().map(taint).collect())
            .unwrap_or_default(),
        provider_id: spec.and_then(|spec| spec.provider_id.clone()).filter(|id| !id.is_empty()),
        kubelet_version: status
            .and_then(|status| status.node_info.as_ref())
            .map(|info| info.kubelet_version.clone())
            .unwrap_or_default(),
        image_version: label("kubernetes.azure.com/node-image-version").map(str::to_owned),
    }
}

/// A taint; an effect that is not known counts as the worst one.
pub(super) fn taint(taint: &core::Taint) -> Taint {
    let effect = taint.effect.parse().unwrap_or(nodepool_kernel::TaintEffect::NoExecute);
    Taint::new(&taint.key, taint.value.clone().unwrap_or_default(), effect)
}

/// The row of a protected pod; `None` for pods that need no protection: finished ones and static mirror pods.
pub(super) fn pod(pod: &core::Pod) -> Option<Pod> {
    let metadata = &pod.metadata;
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let mirror = metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key("kubernetes.io/config.mirror"));
    if mirror || phase == "Succeeded" || phase == "Failed" {
        return None;
    }
    let controller = metadata
        .owner_references
        .as_ref()
        .and_then(|owners| owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.kind.as_str()));
    let spec = pod.spec.as_ref();
    Some(Pod {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        node: spec.and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty()),
        owner: if controller == Some("DaemonSet") { Owner::DaemonSet } else { Owner::Other },
        deleting: metadata.deletion_timestamp.is_some(),
        tolerations: spec
            .and_then(|spec| spec.tolerations.as_ref())
            .map(|tolerations| tolerations.iter().map(toleration).collect())
            .unwrap_or_default(),
        selects: spec.map(selected_labels).unwrap_or_default(),
    })
}

pub(super) fn toleration(toleration: &core::Toleration) -> Toleration {
    let operator = match toleration.operator.as_deref() {
        None | Some("" | "Equal") => TolerationOperator::Equal,
        Some("Exists") => TolerationOperator::Exists,
        Some(other) => TolerationOperator::Other(other.to_owned()),
    };
    let (effect, operator) = match toleration.effect.as_deref().filter(|effect| !effect.is_empty()) {
        None => (None, operator),
        Some(text) => match text.parse() {
            Ok(effect) => (Some(effect), operator),
            // An effect that is not known tolerates nothing that is.
            Err(_) => (None, TolerationOperator::Other(text.to_owned())),
        },
    };
    Toleration {
        key: toleration.key.clone(),
        operator,
        value: toleration.value.clone().unwrap_or_default(),
        effect,
        limited: toleration.toleration_seconds.is_some(),
    }
}

/// Keys of the node labels that decide where the pod may run.
fn selected_labels(spec: &core::PodSpec) -> BTreeSet<String> {
    let selector = spec.node_selector.iter().flatten().map(|(key, _)| key.clone());
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    let expressions = terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
    selector.chain(expressions.map(|expression| expression.key.clone())).collect()
}

/// The row of a disruption budget. A status that is absent or behind the generation allows nothing.
pub(super) fn budget(budget: &PodDisruptionBudget) -> Budget {
    let current = |status: &&k8s_openapi::api::policy::v1::PodDisruptionBudgetStatus| {
        status.observed_generation.unwrap_or(0) >= budget.metadata.generation.unwrap_or(i64::MAX)
    };
    let status = budget.status.as_ref().filter(current);
    Budget {
        namespace: budget.metadata.namespace.clone().unwrap_or_default(),
        name: budget.metadata.name.clone().unwrap_or_default(),
        allowed: status.and_then(|status| u32::try_from(status.disruptions_allowed).ok()),
    }
}

/// The row of a Deployment, as it was not seen before. A status that is behind the generation counts as if nothing ran.
pub(super) fn workload(deployment: &Deployment, now: Time) -> Workload {
    let metadata = &deployment.metadata;
    let generation = metadata.generation.unwrap_or(i64::MAX);
    let status =
        deployment.status.as_ref().filter(|status| status.observed_generation.unwrap_or_default() >= generation);
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let mut row = Workload {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        // The API server sets 1 where nothing is asked for.
        wished: deployment.spec.as_ref().and_then(|spec| spec.replicas).map_or(1, |wished| count(Some(wished))),
        ready: count(status.and_then(|status| status.ready_replicas)),
        updated: count(status.and_then(|status| status.updated_replicas)),
        well_since: None,
    };
    row.well_since = row.is_well().then_some(now);
    row
}

/// The row with what an earlier look knew: since when it has been well.
pub(super) fn still_well(mut row: Workload, before: Option<&Workload>) -> Workload {
    if let (Some(_), Some(before)) = (row.well_since, before) {
        row.well_since = before.well_since.or(row.well_since);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_reduced_to_what_rules_read() {
        let object: core::Node = serde_json::from_value(json!({
            "metadata": {
                "name": "aks-sys-1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"agentpool": "old", "kubernetes.azure.com/agentpool": "sys", "kubernetes.azure.com/mode": "system"}
            },
            "spec": {"unschedulable": true, "providerID": "azure:///x", "taints": [{"key": "a", "effect": "Unheard"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}]}
        }))
        .unwrap();
        let row = node(&object);
        assert_eq!((row.pool.as_deref(), row.labelled_system, row.cordoned), (Some("sys"), true, true));
        assert!(matches!(row.readiness, Readiness::Ready { since } if since.since(row.joined).as_secs() == 60));
        assert_eq!(row.taints[0].to_string(), "a:NoExecute", "an unknown effect counts as the worst");
    }

    #[test]
    fn a_node_without_a_ready_condition_is_not_ready() {
        assert!(matches!(node(&core::Node::default()).readiness, Readiness::NotReady { .. }));
    }

    #[test]
    fn mirror_and_finished_pods_are_not_protected_and_daemon_set_pods_are_told_apart() {
        let parse = |value| serde_json::from_value::<core::Pod>(value).unwrap();
        assert!(pod(&parse(json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}))).is_none());
        assert!(pod(&parse(json!({"metadata": {}, "status": {"phase": "Succeeded"}}))).is_none());
        let owned = parse(json!({
            "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]},
            "spec": {"containers": [], "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [
                {"operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            ]}
        }));
        let row = pod(&owned).unwrap();
        assert_eq!(row.owner, Owner::DaemonSet);
        assert!(row.selects.contains("kubernetes.io/os") && row.tolerations[1].limited);
    }

    #[test]
    fn a_deployment_is_well_when_all_of_its_pods_are_ready_and_up_to_date() {
        let (early, late) = (Time::from_millis(1), Time::from_millis(2));
        let parse = |observed: i64, ready: i32, updated: i32| {
            let value = json!({
                "metadata": {"name": "coredns", "namespace": "kube-system", "generation": 2},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "readyReplicas": ready, "updatedReplicas": updated}
            });
            workload(&serde_json::from_value(value).unwrap(), late)
        };
        let well = parse(2, 2, 2);
        assert_eq!((well.full_name().as_str(), well.wished, well.well_since), ("kube-system/coredns", 2, Some(late)));
        for unwell in [parse(1, 2, 2), parse(2, 1, 2), parse(2, 2, 1)] {
            assert_eq!(unwell.well_since, None, "{unwell:?}");
            assert_eq!(still_well(well.clone(), Some(&unwell)).well_since, Some(late));
        }
        let before = Workload { well_since: Some(early), ..well.clone() };
        assert_eq!(still_well(well.clone(), Some(&before)).well_since, Some(early));
        assert_eq!(still_well(parse(2, 1, 2), Some(&before)).well_since, None);
        assert_eq!(still_well(well, None).well_since, Some(late));
        let unset = workload(&Deployment::default(), late);
        assert_eq!((unset.wished, unset.ready, unset.well_since), (1, 0, None));
    }

    #[test]
    fn a_budget_whose_status_lags_allows_nothing() {
        let parse = |observed: i64| {
            let value = json!({
                "metadata": {"name": "b", "generation": 2},
                "status": {"disruptionsAllowed": 1, "observedGeneration": observed, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}
            });
            budget(&serde_json::from_value(value).unwrap())
        };
        assert_eq!((parse(1).allowed, parse(2).allowed), (None, Some(1)));
    }
}
