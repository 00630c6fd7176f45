//! Pods, templates and nodes.

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::placement::{Listing, Pod, Selector, Test, World};
use nodepool_kernel::{Taint, TaintEffect};
use serde_json::{Value, json};

use super::super::{Storage, node, resident, respawned};

/// A running pod with this specification besides a container.
fn running(spec: &Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "c"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let object = json!({"metadata": {"name": "p", "namespace": "apps", "labels": {"app": "a"}}, "spec": whole});
    resident(&serde_json::from_value(object).unwrap(), &Storage::default()).unwrap().1
}

/// The pod in whose place another is started.
fn old(spec: &Value) -> core::Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "apps"}, "spec": spec})).unwrap()
}

/// What a controller makes of a template with this specification besides a container.
fn template(spec: &Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": whole});
    respawned(&old(&json!({"containers": []})), &serde_json::from_value(template).unwrap(), &Storage::default())
}

fn obstacles(pod: &Pod) -> String {
    pod.obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_pod_is_on_its_node_but_not_tied_to_it_and_gone_when_it_has_ended() {
    let pod = |phase: &str| -> core::Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "apps", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n", "containers": []}, "status": {"phase": phase}
        }))
        .unwrap()
    };
    let (node, seen) = resident(&pod("Running"), &Storage::default()).unwrap();
    assert_eq!((node.as_deref(), seen.node_name, seen.deleting), (Some("n"), None, true));
    for phase in ["Succeeded", "Failed"] {
        assert!(resident(&pod(phase), &Storage::default()).is_none());
    }
    let (node, bare) = resident(&core::Pod::default(), &Storage::default()).unwrap();
    assert_eq!((node, obstacles(&bare).as_str()), (None, "it has no specification"));
}

#[test]
fn what_another_decides_or_nobody_models_is_an_obstacle() {
    for (spec, obstacle) in [
        (json!({}), ""),
        (json!({"schedulerName": "default-scheduler"}), ""),
        (json!({"schedulerName": "own"}), "the scheduler own decides, not the default one"),
        (json!({"schedulingGates": [{"name": "g"}]}), "it waits at the scheduling gate g"),
        (json!({"resourceClaims": [{"name": "gpu"}]}), "it needs the resource claim gpu, which is not modelled"),
        (
            json!({"tolerations": [{"key": "a", "operator": "Gt", "value": "5"}]}),
            "its toleration with the operator Gt is not modelled",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "Hm"}]}),
            "whenUnsatisfiable Hm of its topology spread over z is not modelled",
        ),
        (json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}]}), ""),
        (
            json!({"volumes": [{"name": "v", "azureDisk": {"diskName": "d", "diskURI": "u"}}]}),
            "the kind of its volume v is not modelled",
        ),
        (
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
            "the volume claim c does not exist",
        ),
    ] {
        assert_eq!(obstacles(&running(&spec)), obstacle, "{spec}");
        assert_eq!(obstacles(&template(&spec)), obstacle, "{spec}");
    }
    assert_eq!(
        obstacles(&template(&json!({"runtimeClassName": "kata"}))),
        "what its runtime class kata adds is not modelled"
    );
    assert_eq!(obstacles(&running(&json!({"runtimeClassName": "kata"}))), "");
}

#[test]
fn a_selector_that_cannot_be_understood_keeps_the_pod_back_and_keeps_others_away() {
    let term = json!({"topologyKey": "z", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
    let required = |kind: &str| json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let near = running(&required("podAffinity"));
    assert_eq!(
        (near.affinity.len(), obstacles(&near).as_str()),
        (0, "the selector of its pod affinity by z is not modelled")
    );
    let apart = running(&required("podAntiAffinity"));
    assert!(!apart.obstacles.is_empty() && apart.anti_affinity[0].selector.is_everything());
    assert!(apart.anti_affinity[0].namespaces.selector.is_everything());
}

#[test]
fn terms_mean_their_own_namespace_unless_they_name_or_select_others() {
    let namespaces = |extra: Value| {
        let mut term = json!({"topologyKey": "z"});
        term.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let pod =
            running(&json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}));
        assert_eq!(pod.affinity[0].selector, Selector::Nothing, "no selector selects nothing");
        let namespaces = &pod.affinity[0].namespaces;
        (namespaces.names.iter().cloned().collect::<Vec<_>>().join(","), namespaces.selector.is_everything())
    };
    assert_eq!(namespaces(json!({})), ("apps".into(), false));
    assert_eq!(namespaces(json!({"namespaces": ["x", "y"]})), ("x,y".into(), false));
    assert_eq!(namespaces(json!({"namespaceSelector": {}})), (String::new(), true));
    assert_eq!(namespaces(json!({"namespaces": [], "namespaceSelector": {}})), (String::new(), true));
}

#[test]
fn label_keys_are_merged_for_templates_only() {
    let term = json!({
        "topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["app", "none"], "mismatchLabelKeys": ["app"]
    });
    let spec = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let value = || vec!["a".to_owned()];
    let merged = Selector::everything().and("app", Test::In(value())).and("app", Test::NotIn(value()));
    assert_eq!(template(&spec).anti_affinity[0].selector, merged);
    assert_eq!(running(&spec).anti_affinity[0].selector, Selector::everything(), "the API server did it already");
}

#[test]
fn a_template_gets_what_the_api_server_adds() {
    let pod = template(&json!({"hostNetwork": true, "nodeName": "n"}));
    assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.labels["app"].as_str()), ("apps", "p", "a"));
    assert_eq!(pod.ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["80/TCP"]);
    assert_eq!(pod.node_name.as_deref(), Some("n"));
    assert!(template(&json!({})).ports.is_empty());
    let failing = Taint::new("node.kubernetes.io/not-ready", "", TaintEffect::NoExecute);
    assert!(pod.tolerations.iter().any(|toleration| toleration.matches(&failing) && toleration.limited));
    let own = json!({"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]});
    assert_eq!(template(&own).tolerations.len(), 2, "its own toleration stands, the other one is added");
    let empty = respawned(&core::Pod::default(), &core::PodTemplateSpec::default(), &Storage::default());
    assert_eq!(obstacles(&empty), "its template is empty");
}

#[test]
fn a_pod_that_comes_back_asks_for_no_less_than_the_one_that_went() {
    let requests = |cpu: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
    let cpu = |template: &str| {
        let template = serde_json::from_value(json!({"spec": requests(template)})).unwrap();
        respawned(&old(&requests("500m")), &template, &Storage::default()).requests.cpu
    };
    assert_eq!((cpu("100m"), cpu("2")), (500, 2000));
}

#[test]
fn host_ports_are_those_of_containers_and_sidecars() {
    let port = |number: u16| json!([{"containerPort": 1, "hostPort": number, "hostIP": "10.0.0.1", "protocol": "UDP"}]);
    let pod = running(&json!({
        "containers": [{"name": "a", "ports": port(1)}, {"name": "b", "ports": [{"containerPort": 9}]}],
        "initContainers": [{"name": "i", "ports": port(2)}, {"name": "s", "restartPolicy": "Always", "ports": port(3)}]
    }));
    let ports: Vec<_> = pod.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["10.0.0.1:1/UDP", "10.0.0.1:3/UDP"]);
}

#[test]
fn a_node_offers_what_its_object_says_and_nothing_while_it_goes() {
    let object: core::Node = serde_json::from_value(json!({
        "metadata": {"name": "n", "labels": {"zone": "1"}},
        "spec": {"unschedulable": true, "taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "Unheard"}]},
        "status": {"allocatable": {"cpu": "3860m", "memory": "100Ki", "pods": "30", "x.dev/y": "2"}}
    }))
    .unwrap();
    let row = node(&object, &Storage::default(), true);
    assert_eq!((row.name.as_str(), row.labels["zone"].as_str(), row.unschedulable), ("n", "1", true));
    assert_eq!((row.allocatable.cpu, row.allocatable.memory, row.max_pods), (3860, 102_400, 30));
    assert_eq!(row.allocatable.others["x.dev/y"], 2);
    assert_eq!(row.taints.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:NoSchedule", "b:NoExecute"]);
    assert!(row.all_pods_listed && row.unavailable.is_none() && row.drivers.is_none());
    let mut going = object;
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(node(&going, &Storage::default(), true).unavailable.as_deref(), Some("being deleted"));
}

#[test]
fn objects_without_anything_in_them_fit_nowhere() {
    let world = World::new(vec![node(&core::Node::default(), &Storage::default(), true)], None, Listing::default());
    let (_, pod) =
        resident(&serde_json::from_value(json!({"spec": {"containers": []}})).unwrap(), &Storage::default()).unwrap();
    assert_eq!(world.feasible(&pod).unwrap_err().why(), "0 of 1 node: 1 runs as many pods as allowed");
}
