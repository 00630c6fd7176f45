//! Pods and nodes of which only the part is decoded that rows are made of: what manages their fields, containers and
//! images are most of their text. Never reads that part otherwise than the whole object would be read.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::{Metadata, Resource};
use serde::{Deserialize, Deserializer};

/// An object as if the rest of it were absent.
#[derive(Debug, Clone)]
pub struct Part<K>(pub K);

/// An object of which a part can be read.
pub trait Partly: Sized {
    /// The part.
    type Read: for<'de> Deserialize<'de> + Into<Self>;
}

impl<'de, K: Partly> Deserialize<'de> for Part<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        K::Read::deserialize(deserializer).map(|read| Self(read.into()))
    }
}

impl<K: Resource> Resource for Part<K> {
    const API_VERSION: &'static str = K::API_VERSION;
    const GROUP: &'static str = K::GROUP;
    const KIND: &'static str = K::KIND;
    const VERSION: &'static str = K::VERSION;
    const URL_PATH_SEGMENT: &'static str = K::URL_PATH_SEGMENT;
    type Scope = K::Scope;
}

impl<K: Metadata> Metadata for Part<K> {
    type Ty = K::Ty;

    fn metadata(&self) -> &Self::Ty {
        self.0.metadata()
    }

    fn metadata_mut(&mut self) -> &mut Self::Ty {
        self.0.metadata_mut()
    }
}

impl Partly for core::Pod {
    type Read = Object<PodSpec, PodStatus>;
}

impl Partly for core::Node {
    type Read = Object<NodeSpec, NodeStatus>;
}

/// What is read of any object. Everything may be absent or null, as in the whole object.
#[derive(Deserialize)]
pub struct Object<Spec, Status> {
    metadata: Option<About>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct About {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<meta::OwnerReference>>,
    creation_timestamp: Option<meta::Time>,
    deletion_timestamp: Option<meta::Time>,
}

impl From<About> for meta::ObjectMeta {
    fn from(read: About) -> Self {
        Self {
            name: read.name,
            namespace: read.namespace,
            resource_version: read.resource_version,
            labels: read.labels,
            annotations: read.annotations,
            owner_references: read.owner_references,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    node_name: Option<String>,
    node_selector: Option<BTreeMap<String, String>>,
    tolerations: Option<Vec<core::Toleration>>,
    affinity: Option<Affinity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Affinity {
    node_affinity: Option<core::NodeAffinity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    phase: Option<String>,
    conditions: Option<Vec<core::PodCondition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    restart_count: Option<i32>,
    state: Option<core::ContainerState>,
    last_state: Option<core::ContainerState>,
}

impl From<ContainerStatus> for core::ContainerStatus {
    fn from(read: ContainerStatus) -> Self {
        Self {
            restart_count: read.restart_count.unwrap_or_default(),
            state: read.state,
            last_state: read.last_state,
            ..Self::default()
        }
    }
}

impl From<Object<PodSpec, PodStatus>> for core::Pod {
    fn from(read: Object<PodSpec, PodStatus>) -> Self {
        let containers = |read: Option<Vec<ContainerStatus>>| read.map(|all| all.into_iter().map(Into::into).collect());
        let affinity = |read: Affinity| core::Affinity { node_affinity: read.node_affinity, ..Default::default() };
        let spec = |read: PodSpec| core::PodSpec {
            node_name: read.node_name,
            node_selector: read.node_selector,
            tolerations: read.tolerations,
            affinity: read.affinity.map(affinity),
            ..Default::default()
        };
        let status = |read: PodStatus| core::PodStatus {
            phase: read.phase,
            conditions: read.conditions,
            container_statuses: containers(read.container_statuses),
            init_container_statuses: containers(read.init_container_statuses),
            ..Default::default()
        };
        Self {
            metadata: read.metadata.unwrap_or_default().into(),
            spec: read.spec.map(spec),
            status: read.status.map(status),
        }
    }
}

#[derive(Deserialize)]
pub struct NodeSpec {
    unschedulable: Option<bool>,
    taints: Option<Vec<core::Taint>>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    conditions: Option<Vec<core::NodeCondition>>,
    node_info: Option<core::NodeSystemInfo>,
    allocatable: Option<BTreeMap<String, Quantity>>,
}

impl From<Object<NodeSpec, NodeStatus>> for core::Node {
    fn from(read: Object<NodeSpec, NodeStatus>) -> Self {
        let spec = |read: NodeSpec| core::NodeSpec {
            unschedulable: read.unschedulable,
            taints: read.taints,
            provider_id: read.provider_id,
            ..Default::default()
        };
        let status = |read: NodeStatus| core::NodeStatus {
            conditions: read.conditions,
            node_info: read.node_info,
            allocatable: read.allocatable,
            ..Default::default()
        };
        Self {
            metadata: read.metadata.unwrap_or_default().into(),
            spec: read.spec.map(spec),
            status: read.status.map(status),
        }
    }
}

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
