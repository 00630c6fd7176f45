//! Claims, volumes and what nodes attach.

use nodepool_kernel::placement::{Pod, Volume};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::{Storage, node, resident, respawned};

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A bound claim `c` and its volume `v`, each with what is changed in it.
fn storage(claim: &Value, volume: &Value) -> Storage {
    let mut bound = json!({
        "metadata": {"name": "c", "namespace": "apps", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "v", "accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}
    });
    merge(&mut bound, claim);
    let mut disk = json!({
        "metadata": {"name": "v"}, "spec": {"csi": {"driver": "disk.csi.azure.com", "volumeHandle": "/disks/1"}}
    });
    merge(&mut disk, volume);
    let mut storage = Storage::default();
    storage.add_claim(object(bound));
    storage.add_volume(object(disk));
    storage
}

/// Puts the fields of `change` over those of `value`; null takes one away.
fn merge(value: &mut Value, change: &Value) {
    for (key, change) in change.as_object().unwrap() {
        match (value.get_mut(key), change) {
            (Some(Value::Object(_)), Value::Object(_)) => merge(&mut value[key], change),
            (_, Value::Null) => drop(value.as_object_mut().unwrap().remove(key)),
            _ => value[key] = change.clone(),
        }
    }
}

fn user(storage: &Storage) -> Pod {
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]);
    let pod = json!({
        "metadata": {"name": "p", "namespace": "apps"}, "spec": {"containers": [], "volumes": volumes}
    });
    resident(&object(pod), storage).unwrap().1
}

#[test]
fn a_bound_claim_is_traced_to_its_volume() {
    let terms = json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]}]);
    let volume = json!({
        "metadata": {"labels": {"topology.kubernetes.io/zone": "1__ 2", "topology.kubernetes.io/region": "a____b"}},
        "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
    });
    let pod = user(&storage(&json!({"spec": {"accessModes": ["ReadWriteOncePod"]}}), &volume));
    let [claim] = &pod.claims[..] else { panic!("one claim: {pod:?}") };
    assert!(claim.exclusive && pod.obstacles.is_empty() && pod.untraced_volumes == 0);
    assert_eq!(claim.volume, Some(Volume { driver: "disk.csi.azure.com".into(), handle: "/disks/1".into() }));
    assert_eq!(claim.node_affinity.as_ref().map(Vec::len), Some(1));
    let zones = [("topology.kubernetes.io/zone".to_owned(), ["1".to_owned(), "2".to_owned()].into())].into();
    assert_eq!(claim.zones, zones, "a list with an empty part is ignored");
}

#[test]
fn a_volume_that_no_driver_attaches_can_be_reached_from_everywhere() {
    let pod = user(&storage(&json!({}), &json!({"spec": {"csi": null, "nfs": {"server": "s", "path": "/"}}})));
    let claim = &pod.claims[0];
    assert!(claim.volume.is_none() && claim.node_affinity.is_none() && claim.zones.is_empty() && !claim.exclusive);
}

#[test]
fn a_claim_that_cannot_be_traced_is_an_obstacle_and_takes_a_place() {
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let named = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]);
    let by_name = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": named}}}});
    assert_eq!(user(&storage(&json!({}), &by_name)).claims[0].node_affinity, Some(vec![]), "reached from nowhere");
    for (claim, volume, problem) in [
        (going, json!({}), "is being deleted"),
        (json!({"status": {"phase": "Lost"}}), json!({}), "has lost its volume"),
        (
            json!({"spec": {"volumeName": ""}}),
            json!({}),
            "is not bound to a volume, so where that would be is not known",
        ),
        (
            json!({"metadata": {"annotations": null}}),
            json!({}),
            "is not bound to a volume, so where that would be is not known",
        ),
        (json!({"spec": null}), json!({}), "has no specification"),
        (json!({"metadata": {"namespace": "other"}}), json!({}), "does not exist"),
        (json!({}), json!({"metadata": {"name": "w"}}), "names the volume v, which does not exist"),
        (json!({}), json!({"spec": null}), "names the volume v without specification"),
        (
            json!({}),
            json!({"spec": {"csi": null, "azureDisk": {"diskName": "d", "diskURI": "u"}}}),
            "has a volume of a kind that is not modelled",
        ),
    ] {
        let pod = user(&storage(&claim, &volume));
        assert_eq!(pod.obstacles[0].to_string(), format!("the volume claim c {problem}"));
        assert_eq!((pod.claims.len(), pod.untraced_volumes), (0, 1));
    }
}

#[test]
fn an_ephemeral_volume_has_a_claim_while_its_pod_exists() {
    let spec = json!({"containers": [], "volumes": [{"name": "data", "ephemeral": {}}]});
    let bound = storage(&json!({"metadata": {"name": "p-data"}}), &json!({}));
    let pod = object(json!({"metadata": {"name": "p", "namespace": "apps"}, "spec": spec}));
    assert_eq!(resident(&pod, &bound).unwrap().1.claims[0].name, "p-data");
    let next = respawned(&pod, &object(json!({"spec": spec})), &bound);
    assert_eq!(
        next.obstacles[0].to_string(),
        "the volume claim data does not exist before the pod does, so where its volume would be is not known"
    );
}

#[test]
fn a_node_has_its_drivers_and_what_is_attached() {
    let mut storage = storage(&json!({}), &json!({}));
    let drivers = json!([
        {"name": "disk", "nodeID": "n", "allocatable": {"count": 8}}, {"name": "file", "nodeID": "n"},
        {"name": "odd", "nodeID": "n", "allocatable": {"count": -1}}
    ]);
    storage.add_node(object(json!({"metadata": {"name": "n"}, "spec": {"drivers": drivers}})));
    let attachment = |node: &str, volume: Value| {
        object(json!({"metadata": {}, "spec": {"attacher": "disk.csi.azure.com", "nodeName": node, "source": volume}}))
    };
    storage.add_attachment(attachment("n", json!({"persistentVolumeName": "v"})));
    storage.add_attachment(attachment("n", json!({"persistentVolumeName": "gone"})));
    storage.add_attachment(attachment("n", json!({})));
    storage.add_attachment(attachment("m", json!({"persistentVolumeName": "v"})));
    let row = node(&object(json!({"metadata": {"name": "n"}})), &storage, true);
    let limits = [("disk", Some(8)), ("file", None), ("odd", Some(0))];
    assert_eq!(row.drivers, Some(limits.map(|(name, limit)| (name.to_owned(), limit)).into()));
    let handles: Vec<_> = row.attached.iter().map(|volume| volume.handle.as_str()).collect();
    assert_eq!(handles, ["/disks/1", "gone"], "one whose volume is gone still takes a place");
}
