use k8s_openapi::api::core::v1 as core;
use prost::Message;
use prost::bytes::Bytes;
use serde_json::{Value, json};

use super::super::restarts::Restarts;
use super::super::rows::{any_pod, is_mirror, node};
use super::super::scheduling::{self, Storage, allocatable};
use super::super::{dependents, tenants};
use super::*;

const POD: &str = include_str!("samples/pod.json");
const NODE: &str = include_str!("samples/node.json");

/// The object as it is when it is being deleted, and the same without each thing that it has, however deep, and with null there.
fn variants(object: &str) -> Vec<Value> {
    let mut object: Value = serde_json::from_str(object).unwrap();
    for time in ["creationTimestamp", "deletionTimestamp"] {
        object["metadata"][time] = json!("2026-01-01T00:00:00Z");
    }
    object["metadata"]["uid"] = json!("u");
    object["metadata"]["resourceVersion"] = json!("7");
    let mut paths = Vec::new();
    paths_of(&object, &mut String::new(), &mut paths);
    let mut all = vec![object.clone()];
    for path in paths {
        let (above, last) = path.rsplit_once('/').unwrap();
        let mut without = object.clone();
        match without.pointer_mut(above).unwrap() {
            Value::Array(items) => drop(items.remove(last.parse().unwrap())),
            fields => drop(fields.as_object_mut().unwrap().remove(&last.replace("~1", "/"))),
        }
        let mut with_null = object.clone();
        *with_null.pointer_mut(&path).unwrap() = Value::Null;
        all.extend([without, with_null]);
    }
    all
}

fn paths_of(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    let steps: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in steps {
        let above = path.len();
        path.push('/');
        path.push_str(&step);
        paths.push(path.clone());
        paths_of(value, path, paths);
        path.truncate(above);
    }
}

/// The whole object and its part; `None` where that is no object, or one that the API server never sends.
fn read<K: for<'de> Deserialize<'de> + Partly>(object: &Value) -> Option<[K; 2]> {
    let whole = serde_json::from_value(object.clone()).ok()?;
    let part: Part<K> = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    Some([whole, part.whole()])
}

#[test]
fn whoever_reads_a_pod_reads_the_same_in_its_part() {
    let protected = ["kube-system".to_owned()];
    let local = [("shop".to_owned(), "data".to_owned())].into();
    let mut read_all = 0;
    for variant in variants(POD) {
        let Some(pods) = read::<core::Pod>(&variant) else { continue };
        read_all += 1;
        let [whole, part] = pods.map(|pod| {
            let (restarts, row) = (Restarts::default(), any_pod(&pod));
            restarts.note(&pod, &row);
            let restarting = restarts.of(&vec![row.clone()].into(), row.created);
            let storage = Storage::default();
            let placed = scheduling::resident(&pod, &storage);
            let dependent = dependents::tenant(&pod, &storage, &local);
            let tenant = tenants::tenant(&pod, &protected);
            let named = (pod.metadata.uid.clone(), pod.metadata.resource_version.clone(), is_mirror(&pod));
            format!(
                "{row:?} {restarting:?} {placed:?} {dependent:?} {tenant:?} {named:?} {:?}",
                dependents::tenancy(&pod)
            )
        });
        assert_eq!(part, whole, "{variant}");
    }
    assert!(read_all > 300, "only {read_all} of the variants are pods");
}

#[test]
fn whoever_reads_a_node_reads_the_same_in_its_part() {
    let mut read_all = 0;
    for variant in variants(NODE) {
        let Some(nodes) = read::<core::Node>(&variant) else { continue };
        read_all += 1;
        let [whole, part] = nodes.map(|read| {
            let placed = scheduling::node(&read, &Storage::default(), true);
            format!("{:?} {:?} {placed:?}", node(&read), allocatable(read.status.as_ref()))
        });
        assert_eq!(part, whole, "{variant}");
    }
    assert!(read_all > 60, "only {read_all} of the variants are nodes");
}

/// Numbers of fields are not judged by this, since one table tells them both ways: a story compares with the API server's.
#[test]
fn what_a_list_tells_in_protobuf_it_tells_in_json() {
    for variant in variants(POD) {
        let Ok(read) = serde_json::from_value::<pod::Pod>(variant.clone()) else { continue };
        let list = protobuf::listed("PodList", read.clone());
        let json: Value = serde_json::from_slice(&protobuf::in_json(list).unwrap()).unwrap();
        let again: Part<core::Pod> = serde_json::from_value(json["items"][0].clone()).unwrap();
        assert_eq!(again.whole(), read.whole(), "{variant}");
        assert_eq!(json["metadata"], json!({"resourceVersion": "7", "continue": "more"}));
    }
}

#[test]
fn a_time_that_was_never_is_none() {
    let condition = r#"{"type": "Ready", "status": "True", "lastTransitionTime": null}"#;
    let read: node::NodeCondition = serde_json::from_str(condition).unwrap();
    let told = node::NodeCondition::decode(read.encode_to_vec().as_slice()).unwrap();
    assert!(
        told.clone().whole().last_transition_time.is_none(),
        "a node that is Ready since 1970 would count as stable"
    );
    assert_eq!(serde_json::to_value(told).unwrap(), json!({"type": "Ready", "status": "True"}));
}

#[test]
fn half_a_list_is_no_list() {
    let whole = protobuf::listed("NodeList", serde_json::from_str::<node::Node>(NODE).unwrap());
    for length in 0..whole.len() {
        assert!(protobuf::in_json(whole.slice(..length)).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn an_answer_that_is_no_list_says_why() {
    let error = |told: &[u8]| protobuf::in_json(Bytes::copy_from_slice(told)).unwrap_err().to_string();
    assert!(error(b"{}").ends_with("does not begin as such"));
    assert!(error(b"k8s\0\xff").contains("can't be read"));
    let other = protobuf::listed("SecretList", pod::Pod::default());
    assert_eq!(error(&other), "the API server answered with a SecretList where a list of pods or nodes was asked for");
}
