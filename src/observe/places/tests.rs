use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::*;

fn pod(value: Value) -> core::Pod {
    serde_json::from_value(value).unwrap()
}

fn owned(kind: &str, version: &str, node: &str) -> core::Pod {
    let owner = json!({"apiVersion": version, "kind": kind, "name": "w", "uid": "u", "controller": true});
    pod(json!({
        "metadata": {"name": "p", "namespace": "n", "ownerReferences": [owner], "labels": {"controller-revision-hash": "r1"}},
        "spec": {"nodeName": node, "containers": [], "nodeSelector": {"old": "a"}}
    }))
}

#[test]
fn a_pod_comes_back_as_its_workload_would_start_it() {
    let storage = Storage::default();
    let template = json!({"metadata": {"labels": {}}, "spec": {"containers": [], "nodeSelector": {"new": "a"}}});
    let template = Workload::Template(serde_json::from_value(template).unwrap());
    let selector = |pod: &Pod| pod.node_selector.keys().next().cloned().unwrap();
    let starts = |workload: &Workload| workload.starts(&owned("ReplicaSet", "apps/v1", "node"), &storage);
    let back = starts(&template);
    assert_eq!((selector(&back).as_str(), back.full_name().as_str()), ("new", "n/p"));
    let waiting = template.starts(&owned("ReplicaSet", "apps/v1", ""), &storage);
    assert_eq!(selector(&waiting), "old", "one that waits is placed as it is");
    let revisions = |current: &str, update: &str| Workload::Revisions(Some((current.to_owned(), update.to_owned())));
    for (workload, obstacle) in [
        (Workload::Same, None),
        (revisions("r1", "r1"), None),
        (revisions("r1", "r2"), Some("the update of its StatefulSet is not modelled")),
        (revisions("r2", "r2"), Some("the update of its StatefulSet is not modelled")),
        (Workload::Revisions(None), Some("the update of its StatefulSet is not modelled")),
        (Workload::Nobody, Some("nothing starts it again: it has no controller")),
        (
            Workload::NotModelled("how its Job j starts it again".into()),
            Some("how its Job j starts it again is not modelled"),
        ),
        (Workload::gone("ReplicaSet", "w"), Some("its ReplicaSet w does not exist")),
    ] {
        let back = starts(&workload);
        let told: Vec<String> = back.obstacles.iter().map(ToString::to_string).collect();
        assert_eq!(told, obstacle.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{workload:?}");
        assert_eq!(selector(&back), "old");
    }
}

#[test]
fn the_controller_says_who_starts_a_pod_again() {
    let (namespace, name) = ("n".to_owned(), "w".to_owned());
    for (kind, version, owner) in [
        ("ReplicaSet", "apps/v1", Owner::ReplicaSet { namespace: namespace.clone(), name: name.clone() }),
        ("StatefulSet", "apps/v1", Owner::StatefulSet { namespace, name: name.clone() }),
        ("DaemonSet", "apps/v1", Owner::DaemonSet),
        ("ReplicaSet", "other/v1", Owner::Other { kind: "ReplicaSet".into(), name: name.clone() }),
        ("Job", "batch/v1", Owner::Other { kind: "Job".into(), name }),
    ] {
        assert_eq!(Owner::of(&owned(kind, version, "node")), owner);
    }
    assert_eq!(Owner::of(&pod(json!({"metadata": {"name": "p"}}))), Owner::Nobody);
}

#[test]
fn pods_that_are_alike_are_kept_once_and_count_each() {
    let nodes: core::Node = serde_json::from_value(json!({
        "metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "4", "pods": "10"}}
    }))
    .unwrap();
    let storage = Storage::default();
    let mut crowd = Crowd::new(vec![scheduling::node(&nodes, &storage, true)], BTreeMap::new());
    let of = |name: &str, phase: &str| {
        let resources = json!({"requests": {"cpu": "1"}});
        pod(json!({
            "metadata": {"name": name, "namespace": "n", "labels": {"app": "x"}},
            "spec": {"nodeName": "a", "containers": [{"name": "c", "resources": resources}]},
            "status": {"phase": phase}
        }))
    };
    let wanted = ["n/p0".to_owned()].into();
    let taken: Vec<bool> = ["p0", "p1", "p2"]
        .into_iter()
        .map(|name| crowd.take(of(name, "Running"), &wanted, &storage).is_some())
        .collect();
    assert_eq!(taken, [true, false, false]);
    assert!(crowd.take(of("p3", "Succeeded"), &wanted, &storage).is_none());
    assert_eq!(crowd.alike.values().map(Vec::len).sum::<usize>(), 1);
    let asks = |name: &str, cpu: i128| {
        let requests = nodepool_kernel::placement::Resources { cpu, ..Default::default() };
        Pod { namespace: "n".into(), name: name.into(), requests, ..Pod::default() }
    };
    assert!(crowd.world.feasible(&asks("q", 1000)).is_ok() && crowd.world.feasible(&asks("q", 1001)).is_err());
    assert_eq!(crowd.world.remove(&[("n", "p0")].into(), &["a"].into()), 1);
    assert!(crowd.world.feasible(&asks("q", 2000)).is_ok() && crowd.world.feasible(&asks("q", 2001)).is_err());
}
