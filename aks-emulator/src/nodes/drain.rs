//! Draining one node through the API: which pods must leave, and asking them to until they have left. Never deletes a
//! node, and never passes over a pod that should have left.

use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Preconditions, Request};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::NodeError;

/// How often a node's pods are looked at, and a refused eviction is asked for again.
const LOOK: Duration = Duration::from_millis(200);
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a pod must leave before its node goes. Pods of a `DaemonSet` and static ones belong to the node, and those
/// that have finished lose nothing.
pub(crate) fn must_leave(pod: &Pod) -> bool {
    let owners = pod.owner_references();
    let of_daemon_set = owners.iter().any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet");
    let is_static = pod.annotations().contains_key("kubernetes.io/config.mirror");
    let finished = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    !(of_daemon_set || is_static || finished)
}

/// The pods on a node.
pub(super) async fn pods(client: &Client, node: &str) -> Result<Vec<Pod>, NodeError> {
    let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
    Api::<Pod>::all(client.clone())
        .list(&params)
        .await
        .map(|list| list.items)
        .map_err(|source| error("list the pods of", node, source))
}

/// Drains a node; see [`NodeSide::drain`](super::NodeSide::drain).
pub(super) async fn drain(client: &Client, node: &str, budgets: bool, timeout: Duration) -> Result<(), NodeError> {
    let deadline = Instant::now() + timeout;
    loop {
        let mut staying: Vec<Pod> = pods(client, node).await?;
        staying.retain(must_leave);
        if staying.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let mut pods: Vec<String> = staying.iter().map(ResourceExt::name_any).collect();
            pods.sort();
            return Err(NodeError::DrainTimedOut { node: node.to_owned(), pods, timeout });
        }
        staying.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        try_join_all(staying.iter().map(|pod| ask_to_leave(client, pod, budgets))).await?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Evicts or deletes a pod. A pod that is gone, was replaced by another of its name, or whose budget allows nothing
/// now is not an error: the next look decides.
async fn ask_to_leave(client: &Client, pod: &Pod, budgets: bool) -> Result<(), NodeError> {
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_default();
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let ask = async {
        if budgets {
            return evict(client, &namespace, &name, preconditions).await;
        }
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        Api::<Pod>::namespaced(client.clone(), &namespace).delete(&name, &params).await.map(|_| ())
    };
    // A client that by itself repeats what a budget refuses (429) would keep the drain from ending at its deadline.
    let Ok(outcome) = tokio::time::timeout(PATIENCE, ask).await else {
        return Ok(());
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 429) => Ok(()),
        Err(source) => Err(error("evict pod", &format!("{namespace}/{name}"), source)),
    }
}

async fn evict(client: &Client, namespace: &str, name: &str, preconditions: Preconditions) -> Result<(), kube::Error> {
    let eviction = Eviction {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        delete_options: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions {
            preconditions: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Preconditions {
                uid: preconditions.uid,
                resource_version: preconditions.resource_version,
            }),
            ..Default::default()
        }),
    };
    let body = serde_json::to_vec(&eviction).map_err(kube::Error::SerdeError)?;
    let path = <Pod as kube::Resource>::url_path(&(), Some(namespace));
    let request = Request::new(path)
        .create_subresource("eviction", name, &kube::api::PostParams::default(), body)
        .map_err(kube::Error::BuildRequest)?;
    client.request_text(request).await.map(|_| ())
}

/// Deletes what remains on a node at once, as when its machine is gone and no kubelet is left to wait for.
pub(super) async fn delete_all(client: &Client, node: &str) -> Result<(), NodeError> {
    for pod in pods(client, node).await? {
        let name = pod.name_any();
        let namespace = pod.namespace().unwrap_or_default();
        let outcome = Api::<Pod>::namespaced(client.clone(), &namespace)
            .delete(&name, &DeleteParams::default().grace_period(0))
            .await;
        match outcome {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                return Err(error("delete pod", &format!("{namespace}/{name}"), source));
            }
        }
    }
    Ok(())
}

pub(super) fn error(action: &'static str, object: &str, source: kube::Error) -> NodeError {
    NodeError::Kubernetes { action, object: object.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_pods_that_lose_something_must_leave() {
        let daemon =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]);
        let replica =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true}]);
        for (pod, expected) in [
            (json!({"metadata": {"ownerReferences": replica}}), true),
            (json!({"metadata": {}}), true),
            (json!({"metadata": {"ownerReferences": daemon}}), false),
            (json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}), false),
            (json!({"metadata": {}, "status": {"phase": "Succeeded"}}), false),
            (json!({"metadata": {}, "status": {"phase": "Pending"}}), true),
        ] {
            let text = pod.to_string();
            assert_eq!(must_leave(&serde_json::from_value(pod).unwrap()), expected, "{text}");
        }
    }
}
