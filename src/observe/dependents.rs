//! What depends on pools that are to go: read on demand from the whole cluster, and kept with its age. Never read while no
//! such step is planned, and never written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::{Census, Dependent, Known, Site, Tenancy, Tenant, Time};
use tokio::time::Instant;

use super::scheduling::{self, Storage};
use super::storage::LocalClaims;
use super::{Observer, rows};
use crate::clock::now;
use crate::denied::in_words;

/// What has been read, by pool.
#[derive(Default)]
pub(super) struct Dependents(Mutex<BTreeMap<String, (Instant, Answer)>>);

/// The pods that depend on a pool, as of some time.
type Answer = Known<Vec<Dependent>>;

impl Dependents {
    /// All that is known.
    pub(super) fn all(&self) -> BTreeMap<String, Answer> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.iter().map(|(pool, (_, known))| (pool.clone(), known.clone())).collect()
    }

    /// Forgets all but these pools, and tells which of them are to be read: those that have not been for so long.
    fn due(&self, pools: &BTreeSet<String>, good_for: impl Fn(&Answer) -> Duration) -> Vec<String> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|pool, _| pools.contains(pool));
        let is_due =
            |pool: &&String| inner.get(*pool).is_none_or(|(read_at, known)| read_at.elapsed() >= good_for(known));
        pools.iter().filter(is_due).cloned().collect()
    }

    fn put(&self, pool: String, known: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pool, (Instant::now(), known));
    }

    fn first_due(&self, good_for: impl Fn(&Answer) -> Duration) -> Option<Instant> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.values().map(|(read_at, known)| *read_at + good_for(known)).min()
    }
}

impl Observer {
    /// Reads what depends on these pools where that is not known or older than `good_for`; after a read that failed not
    /// sooner than after `retry`. Tells whether anything was read.
    pub async fn know_dependents(&self, pools: &BTreeSet<String>, good_for: Duration, retry: Duration) -> bool {
        let due = self.dependents.due(pools, |known| if known.value().is_some() { good_for } else { retry });
        if due.is_empty() {
            return false;
        }
        for (pool, known) in self.read_dependents(due).await {
            self.dependents.put(pool, known);
        }
        true
    }

    /// When the next of them is to be read.
    #[must_use]
    pub fn dependents_due(&self, good_for: Duration, retry: Duration) -> Option<Instant> {
        self.dependents.first_due(|known| if known.value().is_some() { good_for } else { retry })
    }

    /// Reads what depends on these pools now.
    pub(super) async fn read_dependents(&self, pools: Vec<String>) -> Vec<(String, Answer)> {
        if pools.is_empty() {
            return Vec::new();
        }
        let at = now();
        let unknown = |pools: Vec<String>, reason: &str| {
            let of = |pool| (pool, Known::unknown(format!("the pods of the cluster can't be read: {reason}")));
            pools.into_iter().map(of).collect()
        };
        let census = match self.census().await {
            Ok(census) => census,
            Err(error) => return unknown(pools, &in_words(&error)),
        };
        tracing::info!(?pools, nodes = census.nodes.len(), pods = census.tenants.len(), "read what depends on pools");
        let names = pools.clone();
        // To place thousands of pods takes seconds of a processor.
        let judged = tokio::task::spawn_blocking(move || judge(&census, names, at)).await;
        judged.unwrap_or_else(|error| unknown(pools, &error.to_string()))
    }

    /// Everything that runs in the cluster. Nodes are read last: one that a pod has just come to is among them.
    async fn census(&self) -> kube::Result<Census> {
        let (storage, local) = self.storage().await?;
        let pods = self.parts(|pod| tenant(&pod.whole(), &storage, &local)).await?;
        let namespaces = self
            .listed::<core::Namespace, _>(|it| {
                Some((it.metadata.name.clone()?, it.metadata.labels.clone().unwrap_or_default()))
            })
            .await?;
        let nodes = self.parts(|node| Some(site(&node.whole(), &storage))).await?;
        Ok(Census { nodes, tenants: pods, namespaces: namespaces.into_iter().collect() })
    }
}

fn judge(census: &Census, pools: Vec<String>, at: Time) -> Vec<(String, Answer)> {
    let of = |pool: String| {
        let known = census.dependents(&pool).map_or_else(Known::unknown, |dependents| Known::seen(at, dependents));
        (pool, known)
    };
    pools.into_iter().map(of).collect()
}

fn site(node: &core::Node, storage: &Storage) -> Site {
    let row = rows::node(node);
    let mut read = scheduling::node(node, storage, true);
    if let nodepool_kernel::Readiness::NotReady { .. } = row.readiness {
        read.unavailable.get_or_insert_with(|| "not Ready".to_owned());
    }
    Site { node: read, foreign: row.is_foreign(), pool: row.pool }
}

/// A pod that runs or has been given a node; `None` if it is finished or waits for a node.
pub(super) fn tenant(pod: &core::Pod, storage: &Storage, local: &LocalClaims) -> Option<Tenant> {
    let (node, placed) = scheduling::resident(pod, storage)?;
    Some(Tenant { node: node?, local_data: local_data(pod, local), pod: Arc::new(placed), tenancy: tenancy(pod) })
}

/// Who would start the pod again.
pub(super) fn tenancy(pod: &core::Pod) -> Tenancy {
    let metadata = &pod.metadata;
    let is_mirror = metadata.annotations.iter().flatten().any(|(key, _)| key == "kubernetes.io/config.mirror");
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    match controller.map(|owner| owner.kind.as_str()) {
        _ if is_mirror => Tenancy::OfNode,
        Some("DaemonSet" | "Node") => Tenancy::OfNode,
        Some(_) => Tenancy::Controlled,
        None => Tenancy::Alone,
    }
}

/// The first volume of the pod that holds data on its node's disks: a folder of the node that a container may write to, or
/// a claim on such a volume.
fn local_data(pod: &core::Pod, local: &LocalClaims) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let is_written = |volume: &str| {
        let mut mounts = containers().flat_map(|container| container.volume_mounts.iter().flatten());
        mounts.any(|mount| mount.name == volume && mount.read_only != Some(true))
    };
    let is_local = |claim: String| local.contains(&(namespace.clone(), claim));
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let holds = |volume: &&core::Volume| {
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
        let own = volume.ephemeral.as_ref().map(|_| format!("{pod_name}-{}", volume.name));
        (volume.host_path.is_some() && is_written(&volume.name)) || claim.or(own).is_some_and(is_local)
    };
    spec.volumes.iter().flatten().find(holds).map(|volume| volume.name.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenant_of(metadata: &Value, spec: &Value) -> Option<Tenant> {
        let mut pod = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}});
        pod["metadata"]["name"] = json!("web");
        pod["metadata"]["namespace"] = json!("shop");
        let local =
            LocalClaims::from([("shop".to_owned(), "data".to_owned()), ("shop".to_owned(), "web-own".to_owned())]);
        tenant(&serde_json::from_value(pod).unwrap(), &Storage::default(), &local)
    }

    fn owned(kind: &str, controller: bool) -> Value {
        let owner = json!({"apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "controller": controller});
        json!({"ownerReferences": [owner]})
    }

    #[test]
    fn who_starts_a_pod_again_is_told_by_its_controller() {
        let on_node = || json!({"nodeName": "n", "containers": []});
        for (metadata, tenancy) in [
            (owned("DaemonSet", true), Tenancy::OfNode),
            (owned("Node", true), Tenancy::OfNode),
            (owned("ReplicaSet", true), Tenancy::Controlled),
            (owned("ReplicaSet", false), Tenancy::Alone),
            (json!({}), Tenancy::Alone),
            (json!({"annotations": {"kubernetes.io/config.mirror": "x"}}), Tenancy::OfNode),
        ] {
            assert_eq!(tenant_of(&metadata, &on_node()).unwrap().tenancy, tenancy, "{metadata}");
        }
        assert!(tenant_of(&json!({}), &json!({"containers": []})).is_none(), "it waits for a node");
    }

    #[test]
    fn data_is_what_is_written_to_the_nodes_disks() {
        let found = |volume: Value, read_only: bool| {
            let mounts = json!([{"name": volume["name"], "mountPath": "/x", "readOnly": read_only}]);
            let containers = json!([{"name": "c", "volumeMounts": mounts}]);
            let spec = json!({"nodeName": "n", "containers": containers, "volumes": [volume]});
            tenant_of(&json!({}), &spec).unwrap().local_data
        };
        let path = json!({"name": "v", "hostPath": {"path": "/data"}});
        assert_eq!(found(path.clone(), false).as_deref(), Some("v"));
        assert_eq!(found(path, true), None);
        assert_eq!(found(json!({"name": "v", "emptyDir": {}}), false), None);
        let claim = |name: &str| json!({"name": "v", "persistentVolumeClaim": {"claimName": name}});
        assert_eq!(found(claim("data"), true).as_deref(), Some("v"));
        assert_eq!(found(claim("disk"), false), None);
        assert_eq!(found(json!({"name": "own", "ephemeral": {}}), false).as_deref(), Some("own"));
    }
}
