//! Takes away what an earlier story left on a control plane; never touches what belongs to the control plane itself.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::wait::wait_for;

const DEADLINE: Duration = Duration::from_mins(2);

/// The group of the operator's own objects.
const OWN_GROUP: &str = "aks.nodepool.dev";

/// Namespaces that stay; all others go.
const KEPT_NAMESPACES: [&str; 5] = ["default", "kube-system", "kube-public", "kube-node-lease", "nodepool-operator"];

/// Namespaced kinds that make pods or act on them; they go before the pods.
const WORKLOADS: [(&str, &str, &str); 9] = [
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "ReplicaSet"),
    ("batch", "v1", "CronJob"),
    ("batch", "v1", "Job"),
    ("", "v1", "ReplicationController"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
];

/// Namespaced kinds that go with their story once nothing writes them any more.
const TRACES: [(&str, &str, &str); 3] =
    [("", "v1", "Service"), ("", "v1", "PersistentVolumeClaim"), ("", "v1", "Event")];

/// Kinds of the whole cluster that go with their story.
const CLUSTER_WIDE: [(&str, &str, &str); 6] = [
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"),
    ("", "v1", "PersistentVolume"),
    ("", "v1", "Node"),
];

/// Takes away nodes, workloads, pods, budgets, events, webhooks, the operator's own objects and namespaces of an
/// earlier story, and waits until they are gone.
///
/// # Errors
/// When something is still there after 40 seconds.
pub(super) async fn reset(client: &Client) -> anyhow::Result<()> {
    // A webhook of an earlier story could refuse everything that follows.
    for kind in CLUSTER_WIDE.iter().filter(|(group, ..)| !group.is_empty()) {
        delete_all(&api(client, kind, None)).await?;
    }
    delete_own_objects(client).await?;
    let all_namespaces = namespaces(client).await?;
    wait_for("an earlier story's workloads to go", DEADLINE, async || {
        Ok(gone(&sweep(client, &all_namespaces, &WORKLOADS).await?))
    })
    .await?;
    wait_for("an earlier story's nodes and pods to go", DEADLINE, async || {
        let mut left = delete_pods(client).await?;
        for kind in &CLUSTER_WIDE {
            left.extend(delete_all(&api(client, kind, None)).await?);
        }
        Ok(gone(&left))
    })
    .await?;
    sweep(client, &all_namespaces, &TRACES).await?;
    // What Helm installed is Helm's: nobody else's release could have it.
    if !releases(client).await?.is_empty() {
        crate::operator::remove(client).await?;
    }
    delete_all(&api(client, &("coordination.k8s.io", "v1", "Lease"), Some("nodepool-operator"))).await?;
    delete_all(&api(client, &("coordination.k8s.io", "v1", "Lease"), Some("kube-node-lease"))).await?;
    delete_namespaces(client).await
}

/// Releases of Helm in the operator's namespace.
async fn releases(client: &Client) -> anyhow::Result<Vec<String>> {
    let secrets = api(client, &("", "v1", "Secret"), Some("nodepool-operator"));
    let found = secrets.list_metadata(&ListParams::default().labels("owner=helm")).await;
    Ok(found.context("releases of Helm can't be listed")?.items.iter().map(ResourceExt::name_any).collect())
}

fn gone(left: &[String]) -> Result<(), String> {
    if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
}

fn api(client: &Client, kind: &(&str, &str, &str), namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version, kind) = *kind;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Deletes all of a kind and tells what was there before. The API server's own service stays.
async fn delete_all(api: &Api<DynamicObject>) -> anyhow::Result<Vec<String>> {
    let all = api
        .list_metadata(&ListParams::default())
        .await
        .with_context(|| format!("{} can't be listed", api.resource_url()))?;
    let names: Vec<String> = all.items.iter().map(ResourceExt::name_any).filter(|name| name != "kubernetes").collect();
    let parameters =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    let deletions = names.iter().map(async |name| match api.delete(name, &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    });
    try_join_all(deletions).await.with_context(|| format!("{} can't be deleted", api.resource_url()))?;
    Ok(names)
}

async fn sweep(client: &Client, namespaces: &[String], kinds: &[(&str, &str, &str)]) -> anyhow::Result<Vec<String>> {
    let places = namespaces.iter().flat_map(|namespace| kinds.iter().map(move |kind| (namespace, kind)));
    let swept = places.map(async |(namespace, kind)| delete_all(&api(client, kind, Some(namespace))).await);
    Ok(try_join_all(swept).await?.into_iter().flatten().collect())
}

/// Deletes pods at once, without their grace; finalizers would keep them.
async fn delete_pods(client: &Client) -> anyhow::Result<Vec<String>> {
    let pods =
        Api::<Pod>::all(client.clone()).list_metadata(&ListParams::default()).await.context("pods can't be listed")?;
    let deletions = pods.items.iter().map(async |pod| {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        if !pod.finalizers().is_empty() {
            forget_finalizers(&api, &pod.name_any()).await?;
        }
        match api.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop),
        }
    });
    try_join_all(deletions).await.context("an earlier story's pods can't be deleted")?;
    Ok(pods.items.iter().map(ResourceExt::name_any).collect())
}

/// Deletes the operator's own objects, of whatever kind it has defined. Their finalizers would wait for an operator
/// that is gone.
async fn delete_own_objects(client: &Client) -> anyhow::Result<()> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone())
        .list(&ListParams::default())
        .await
        .context("definitions can't be listed")?;
    for definition in definitions.items.iter().filter(|definition| definition.spec.group == OWN_GROUP) {
        let Some(version) = definition.spec.versions.iter().find(|version| version.served) else { continue };
        let api = api(client, &(OWN_GROUP, &version.name, &definition.spec.names.kind), None);
        wait_for("an earlier story's own objects to go", DEADLINE, async || {
            for object in api.list_metadata(&ListParams::default()).await.context("own objects can't be listed")?.items
            {
                if !object.finalizers().is_empty() {
                    forget_finalizers(&api, &object.name_any()).await?;
                }
            }
            Ok(gone(&delete_all(&api).await?))
        })
        .await?;
    }
    Ok(())
}

async fn forget_finalizers<K>(api: &Api<K>, name: &str) -> kube::Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let nothing = json!({"metadata": {"finalizers": null}});
    match api.patch(name, &PatchParams::default(), &Patch::Merge(nothing)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

async fn namespaces(client: &Client) -> anyhow::Result<Vec<String>> {
    let all = Api::<Namespace>::all(client.clone())
        .list_metadata(&ListParams::default())
        .await
        .context("namespaces can't be listed")?;
    Ok(all.items.iter().map(ResourceExt::name_any).collect())
}

async fn delete_namespaces(client: &Client) -> anyhow::Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    wait_for("an earlier story's namespaces to go", DEADLINE, async || {
        let mut left = namespaces(client).await?;
        left.retain(|name| !KEPT_NAMESPACES.contains(&name.as_str()));
        for name in &left {
            match api.delete(name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                other => drop(other.with_context(|| format!("namespace {name} can't be deleted"))?),
            }
        }
        Ok(gone(&left))
    })
    .await
}
