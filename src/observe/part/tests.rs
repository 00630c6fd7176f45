#[cfg(test)]
mod tests {
    use super::super::restarts::Restarts;
    use super::super::rows::{any_pod, is_mirror, node};
    use super::super::scheduling::allocatable;
    use super::*;
    use serde_json::{Value, json};

    const THEN: &str = "2026-01-01T00:00:00Z";

    /// The object, and the same without each of its fields and with null in each place, two levels deep.
    fn variants(object: &Value) -> Vec<Value> {
        let mut all = vec![object.clone()];
        for part in ["metadata", "spec", "status"] {
            all.extend([without(object, &[part]), with_null(object, &[part])]);
            for field in object[part].as_object().unwrap().keys() {
                all.extend([without(object, &[part, field]), with_null(object, &[part, field])]);
            }
        }
        all
    }

    fn without(object: &Value, path: &[&str]) -> Value {
        let (mut changed, (last, above)) = (object.clone(), path.split_last().unwrap());
        above.iter().fold(&mut changed, |at, key| &mut at[*key]).as_object_mut().unwrap().remove(*last);
        changed
    }

    fn with_null(object: &Value, path: &[&str]) -> Value {
        let mut changed = object.clone();
        *path.iter().fold(&mut changed, |at, key| &mut at[*key]) = Value::Null;
        changed
    }

    fn read<K: for<'de> Deserialize<'de> + Partly>(object: &Value) -> [K; 2] {
        let Part(part) = serde_json::from_value(object.clone()).unwrap();
        [serde_json::from_value(object.clone()).unwrap(), part]
    }

    #[test]
    fn a_pod_has_the_row_that_the_whole_object_has() {
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-x", "uid": "u", "controller": true});
        let term = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        let ended = json!({"terminated": {"exitCode": 1, "finishedAt": THEN}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let container =
            json!({"name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 9, "lastState": ended});
        let other = json!({"name": "b", "image": "i", "imageID": "", "ready": true, "restartCount": 1, "state": waits});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-x-1", "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": {"pod-template-hash": "x"},
                "annotations": {"kubernetes.io/config.mirror": "m"}, "ownerReferences": [owner],
                "creationTimestamp": THEN, "deletionTimestamp": THEN, "managedFields": [{"manager": "m", "fieldsV1": {"f:a": {}}}]
            },
            "spec": {
                "nodeName": "n", "nodeSelector": {"disk": "ssd"}, "containers": [{"name": "a", "image": "i"}],
                "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}},
                    "podAntiAffinity": {}
                }
            },
            "status": {
                "phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": THEN}],
                "containerStatuses": [container], "initContainerStatuses": [other], "podIP": "10.0.0.1"
            }
        });
        let restarts = |pod: &core::Pod| {
            let (restarts, row) = (Restarts::default(), any_pod(pod));
            restarts.note(pod, &row);
            restarts.of(&vec![row].into(), crate::api::time(THEN).unwrap())
        };
        for variant in variants(&pod) {
            let [whole, part] = read::<core::Pod>(&variant);
            assert_eq!(any_pod(&part), any_pod(&whole), "{variant}");
            assert_eq!(is_mirror(&part), is_mirror(&whole), "{variant}");
            assert_eq!(restarts(&part), restarts(&whole), "{variant}");
            assert_eq!(part.metadata.resource_version, whole.metadata.resource_version, "{variant}");
        }
    }

    #[test]
    fn a_node_has_the_row_that_the_whole_object_has() {
        let info = json!({
            "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "v1.33.5", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": ""
        });
        let mark = json!({"policy": "p", "plan": "scale", "since": THEN}).to_string();
        let object = json!({
            "metadata": {
                "name": "n", "labels": {
                    "kubernetes.azure.com/agentpool": "sys", "kubernetes.azure.com/mode": "system", "topology.kubernetes.io/zone": "z",
                    "kubernetes.azure.com/upgrade-status": "Quarantined", "kubernetes.azure.com/node-image-version": "i"
                },
                "annotations": {crate::api::DRAIN_ANNOTATION: mark}, "creationTimestamp": THEN, "deletionTimestamp": THEN
            },
            "spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}], "providerID": "azure://a", "podCIDR": "c"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": THEN}], "nodeInfo": info,
                "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "30"}, "images": [{"names": ["a"], "sizeBytes": 1}]
            }
        });
        for variant in variants(&object) {
            let [whole, part] = read::<core::Node>(&variant);
            assert_eq!(node(&part), node(&whole), "{variant}");
            assert_eq!(allocatable(part.status.as_ref()), allocatable(whole.status.as_ref()), "{variant}");
        }
    }
}
