//! Kubernetes objects reduced to the rows that the kernel reads. Never guesses: what is absent counts at its worst.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use nodepool_kernel::{
    Budget, BudgetStatus, Controller, MODE_LABEL, Node, Owner, Phase, Pod, Readiness, Taint, Time, Toleration,
    TolerationOperator, UnhealthyPods, Workload,
};

use super::scheduling::selector;
use crate::api::{DRAIN_ANNOTATION, drain_mark};

/// The label that names a node's pool, and its older form.
pub(super) const POOL_LABELS: [&str; 2] = ["kubernetes.azure.com/agentpool", "agentpool"];

fn millis(time: &meta::Time) -> Time {
    Time::from_millis(time.0.as_millisecond())
}

/// The row of a node.
#[must_use]
pub fn node(node: &core::Node) -> Node {
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
        zone: label("topology.kubernetes.io/zone").filter(|zone| !zone.is_empty()).map(str::to_owned),
        drain: metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(DRAIN_ANNOTATION))
            .and_then(|value| drain_mark(value))
            .map(Box::new),
    }
}

/// A taint; an effect that is not known counts as the worst one.
pub(super) fn taint(taint: &core::Taint) -> Taint {
    let effect = taint.effect.parse().unwrap_or(nodepool_kernel::TaintEffect::NoExecute);
    Taint::new(&taint.key, taint.value.clone().unwrap_or_default(), effect)
}

/// The row of a protected pod; `None` for pods that need no protection: finished ones and static mirror pods.
pub(super) fn pod(pod: &core::Pod) -> Option<Pod> {
    let is_mirror = is_mirror(pod);
    Some(any_pod(pod)).filter(|pod| !is_mirror && pod.phase != Phase::Finished)
}

/// Whether the pod only shows what a kubelet runs by itself.
pub(super) fn is_mirror(pod: &core::Pod) -> bool {
    let mirror = |annotations: &BTreeMap<String, String>| annotations.contains_key("kubernetes.io/config.mirror");
    pod.metadata.annotations.as_ref().is_some_and(mirror)
}

/// The row of any pod.
#[must_use]
pub fn any_pod(pod: &core::Pod) -> Pod {
    let metadata = &pod.metadata;
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let mut conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    Pod {
        namespace: metadata.namespace.as_deref().unwrap_or_default().into(),
        name: metadata.name.as_deref().unwrap_or_default().into(),
        node: spec.and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty()).map(Into::into),
        owner: if controller.is_some_and(|owner| owner.kind == "DaemonSet") { Owner::DaemonSet } else { Owner::Other },
        deleting: metadata.deletion_timestamp.is_some(),
        tolerations: spec
            .and_then(|spec| spec.tolerations.as_ref())
            .map(|tolerations| Arc::new(tolerations.iter().map(toleration).collect()))
            .unwrap_or_default(),
        selects: Arc::new(spec.map(selected_labels).unwrap_or_default()),
        labels: Arc::new(metadata.labels.clone().unwrap_or_default()),
        phase: match status.and_then(|status| status.phase.as_deref()) {
            Some("Pending") => Phase::Pending,
            Some("Running") => Phase::Running,
            Some("Succeeded" | "Failed") => Phase::Finished,
            _ => Phase::Unknown,
        },
        ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        controller: controller.map(|owner| Arc::new(owner_of(owner, metadata))),
        created: metadata.creation_timestamp.as_ref().map(millis).unwrap_or_default(),
    }
}

/// What controls the pod. A Deployment names its replica sets after itself and the hash of the template, which its pods
/// carry as a label.
fn owner_of(controller: &meta::OwnerReference, pod: &meta::ObjectMeta) -> Controller {
    let hash = pod.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    let deployment = hash
        .filter(|_| controller.kind == "ReplicaSet")
        .and_then(|hash| controller.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    match deployment {
        Some(name) => Controller { kind: "Deployment".to_owned(), name: name.to_owned() },
        None => Controller { kind: controller.kind.clone(), name: controller.name.clone() },
    }
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

/// The row of a disruption budget.
#[must_use]
pub fn budget(budget: &PodDisruptionBudget) -> Budget {
    let metadata = &budget.metadata;
    let spec = budget.spec.as_ref();
    let always = spec.and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref()) == Some("AlwaysAllow");
    Budget {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        selector: selector(spec.and_then(|spec| spec.selector.as_ref())),
        unhealthy: if always { UnhealthyPods::AlwaysAllow } else { UnhealthyPods::IfHealthyBudget },
        // Without a generation no status is known to be about the budget as it is.
        generation: metadata.generation.unwrap_or(i64::MAX),
        status: budget.status.as_ref().map_or_else(BudgetStatus::default, |status| BudgetStatus {
            observed_generation: status.observed_generation.unwrap_or(0),
            allowed: status.disruptions_allowed,
            healthy: status.current_healthy,
            desired: status.desired_healthy,
            expected: status.expected_pods,
            unconfirmed: status.disrupted_pods.as_ref().map_or(0, BTreeMap::len),
        }),
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
    use nodepool_kernel::placement::Selector;
    use serde_json::{Value, json};

    #[test]
    fn a_node_is_reduced_to_what_rules_read() {
        let object: core::Node = serde_json::from_value(json!({
            "metadata": {
                "name": "aks-sys-1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {
                    "agentpool": "old", "kubernetes.azure.com/agentpool": "sys", "kubernetes.azure.com/mode": "system",
                    "topology.kubernetes.io/zone": "westeurope-1"
                },
                "annotations": {"aks.nodepool.dev/drain": r#"{"policy":"p","plan":"x","since":"2026-01-01T00:02:00Z"}"#}
            },
            "spec": {"unschedulable": true, "providerID": "azure:///x", "taints": [{"key": "a", "effect": "Unheard"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}]}
        }))
        .unwrap();
        let row = node(&object);
        assert_eq!((row.pool.as_deref(), row.labelled_system, row.cordoned), (Some("sys"), true, true));
        assert!(matches!(row.readiness, Readiness::Ready { since } if since.since(row.joined).as_secs() == 60));
        assert_eq!(row.zone.as_deref(), Some("westeurope-1"));
        assert!(
            row.is_drained_for("p") && row.drained().is_some_and(|mark| mark.since.since(row.joined).as_secs() == 120)
        );
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
    fn pods_of_a_deployment_are_told_by_the_hash_of_its_template() {
        let of = |kind: &str, name: &str, hash: Value| {
            let owner = json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true});
            let metadata = json!({"labels": {"pod-template-hash": hash, "app": "a"}, "ownerReferences": [owner]});
            let row = any_pod(&serde_json::from_value(json!({"metadata": metadata})).unwrap());
            let controller = row.controller.unwrap();
            format!("{}/{}", controller.kind, controller.name)
        };
        assert_eq!(of("ReplicaSet", "coredns-7848t", json!("7848t")), "Deployment/coredns");
        assert_eq!(of("ReplicaSet", "coredns-7848t", json!("other")), "ReplicaSet/coredns-7848t");
        assert_eq!(of("ReplicaSet", "coredns7848t", json!("7848t")), "ReplicaSet/coredns7848t");
        assert_eq!(of("StatefulSet", "db-7848t", json!("7848t")), "StatefulSet/db-7848t");
        assert_eq!(any_pod(&core::Pod::default()).controller, None);
    }

    #[test]
    fn phase_and_readiness_are_what_the_status_says() {
        let of = |status: Value| {
            let row = any_pod(&serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap());
            (row.phase, row.ready)
        };
        let ready =
            |status: &str| json!([{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}]);
        assert_eq!(of(json!({"phase": "Running", "conditions": ready("True")})), (Phase::Running, true));
        assert_eq!(of(json!({"phase": "Pending", "conditions": ready("False")})), (Phase::Pending, false));
        assert_eq!(of(json!({"phase": "Failed"})), (Phase::Finished, false));
        assert_eq!(of(json!({"phase": "Succeeded"})), (Phase::Finished, false));
        assert_eq!(of(json!({"phase": "Strange", "conditions": ready("Unknown")})), (Phase::Unknown, false));
        assert_eq!(of(json!({})), (Phase::Unknown, false));
    }

    #[test]
    fn a_budget_is_reduced_to_what_an_eviction_depends_on() {
        let read = |value: Value| budget(&serde_json::from_value(value).unwrap());
        let status = json!({
            "disruptionsAllowed": 1, "observedGeneration": 2, "currentHealthy": 3, "desiredHealthy": 4, "expectedPods": 5,
            "disruptedPods": {"a": "2026-01-01T00:00:00Z"}
        });
        let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
        let row =
            read(json!({"metadata": {"name": "b", "namespace": "n", "generation": 3}, "spec": spec, "status": status}));
        let counted =
            BudgetStatus { observed_generation: 2, allowed: 1, healthy: 3, desired: 4, expected: 5, unconfirmed: 1 };
        assert_eq!((row.full_name().as_str(), row.generation, row.status), ("n/b", 3, counted));
        assert_eq!((row.unhealthy, row.is_current()), (UnhealthyPods::AlwaysAllow, false));
        assert!(row.selector.unwrap().matches(&[("a".to_owned(), "b".to_owned())].into()));
    }

    #[test]
    fn what_a_budget_does_not_say_allows_nothing() {
        let bare = budget(&PodDisruptionBudget::default());
        assert_eq!(bare.status, BudgetStatus::default());
        assert_eq!((bare.is_current(), bare.unhealthy), (false, UnhealthyPods::IfHealthyBudget));
        assert_eq!(bare.selector, Some(Selector::Nothing), "as the API server has it");
        let strange = json!({"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}});
        assert_eq!(budget(&serde_json::from_value(strange).unwrap()).selector, None);
    }
}
