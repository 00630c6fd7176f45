//! Applies manifests to an API server as `kubectl apply --server-side` does; never decides what is in them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

/// The name under which the testbed applies.
const MANAGER: &str = "testbed";

/// Applies every document of a YAML text, in their order. An object without a namespace goes to `default`.
///
/// # Errors
/// When the text is not a list of Kubernetes objects, or the API server refuses one.
pub async fn apply(client: &Client, yaml: &str) -> anyhow::Result<()> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("the manifest is not YAML")?;
    let mut kinds: HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)> = HashMap::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let object: DynamicObject =
            serde_json::from_value(document).context("the manifest has something that is not a Kubernetes object")?;
        let types = object.types.clone().context("an object of the manifest has no apiVersion and kind")?;
        let kind =
            GroupVersionKind::try_from(&types).context("an object of the manifest has a malformed apiVersion")?;
        if !kinds.contains_key(&kind) {
            let found = pinned_kind(client, &kind)
                .await
                .with_context(|| format!("the API server does not know {} {}", types.api_version, types.kind))?;
            kinds.insert(kind.clone(), found);
        }
        let Some((resource, capabilities)) = kinds.get(&kind) else { continue };
        let api: Api<DynamicObject> = match (&capabilities.scope, object.namespace()) {
            (Scope::Cluster, _) => Api::all_with(client.clone(), resource),
            (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), resource),
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), &namespace, resource),
        };
        let parameters = PatchParams::apply(MANAGER).force();
        let name = object.name_any();
        api.patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("{} {name} can't be applied", types.kind))?;
    }
    Ok(())
}

/// Applies a CustomResourceDefinition and waits until the API server serves it.
///
/// # Errors
/// As [`apply`], and when it is not served within a few seconds.
pub async fn apply_definition(client: &Client, yaml: &str) -> anyhow::Result<()> {
    let definition: CustomResourceDefinition = serde_saphyr::from_str(yaml).context("the definition can't be read")?;
    let name = definition.name_any();
    apply(client, yaml).await?;
    let established = kube::runtime::wait::await_condition(
        Api::<CustomResourceDefinition>::all(client.clone()),
        &name,
        kube::runtime::conditions::is_crd_established(),
    );
    tokio::time::timeout(Duration::from_mins(1), established)
        .await
        .with_context(|| format!("{name} is not served after 20 s"))?
        .with_context(|| format!("{name} can't be watched"))?;
    Ok(())
}
