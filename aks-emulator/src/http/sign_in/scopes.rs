//! What clusters are in: tenants, subscriptions, resource groups, and the provider's registration, only read. Never
//! anything of a cluster but its place.

use std::collections::BTreeMap;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::reply::Reply;
use super::super::{cluster, parameter, versions};
use super::App;
use crate::service::refusal::Refusal;

const NAMESPACE: &str = "Microsoft.ContainerService";

/// Answers a request for one of them; `None` for any other path.
pub(super) fn route(app: &App, parts: &Parts, segments: &[&str]) -> Option<Reply> {
    let is = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
    let answer: Box<dyn Fn() -> Result<Value, Refusal>> = match *segments {
        [t] if is(t, "tenants") => Box::new(|| Ok(tenants(app))),
        [s] if is(s, "subscriptions") => Box::new(|| Ok(subscriptions(app))),
        [s, id] if is(s, "subscriptions") => Box::new(move || subscription(app, id)),
        [s, id, g] if is(s, "subscriptions") && is(g, "resourceGroups") => Box::new(move || groups(app, id)),
        [s, id, g, group] if is(s, "subscriptions") && is(g, "resourceGroups") => {
            Box::new(move || resource_group(app, id, group))
        }
        [s, id, p, namespace] if is(s, "subscriptions") && is(p, "providers") && is(namespace, NAMESPACE) => {
            Box::new(move || provider(app, id))
        }
        _ => return None,
    };
    let is_group = segments.len() == 4 && segments.get(2).is_some_and(|kind| is(kind, "resourceGroups"));
    let asks_whether = is_group && parts.method == Method::HEAD;
    let document = check(parts, asks_whether).and_then(|()| answer());
    Some(match document {
        Ok(_) if asks_whether => Reply::empty(StatusCode::NO_CONTENT),
        Ok(document) => cluster::read(&document),
        Err(refusal) => Reply::from(refusal),
    })
}

/// These come from ARM itself, whose api-versions are not listed anywhere; any date is taken.
fn check(parts: &Parts, asks_whether: bool) -> Result<(), Refusal> {
    let version = parameter(parts.uri.query().unwrap_or_default(), "api-version").unwrap_or_default();
    if version.is_empty() {
        return Err(Refusal::missing_api_version());
    }
    if version.get(..10).is_none_or(|date| date.parse::<jiff::civil::Date>().is_err()) {
        return Err(Refusal::malformed_api_version(&version));
    }
    if parts.method == Method::GET || asks_whether { Ok(()) } else { Err(Refusal::method(parts.method.as_str())) }
}

fn tenants(app: &App) -> Value {
    let tenant = &app.directory.tenant;
    json!({"value": [{
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "displayName": "aks-emulator",
        "tenantCategory": "Home",
    }]})
}

fn subscriptions(app: &App) -> Value {
    let mut ids: Vec<String> =
        app.service.read(|state| state.clusters.values().map(|cluster| cluster.subscription.clone()).collect());
    ids.sort_unstable();
    ids.dedup();
    let value: Vec<Value> = ids.iter().map(|id| subscription_document(app, id)).collect();
    json!({"count": {"type": "Total", "value": value.len()}, "value": value})
}

fn subscription(app: &App, id: &str) -> Result<Value, Refusal> {
    let known = known_subscription(app, id)?;
    Ok(subscription_document(app, &known))
}

fn subscription_document(app: &App, id: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{id}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": id,
        "tenantId": app.directory.tenant,
        "displayName": "aks-emulator",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// A subscription's id as the state has it.
fn known_subscription(app: &App, id: &str) -> Result<String, Refusal> {
    let known = app.service.read(|state| {
        let mut ids = state.clusters.values().map(|cluster| &cluster.subscription);
        ids.find(|known| known.eq_ignore_ascii_case(id)).cloned()
    });
    known.ok_or_else(|| Refusal::subscription(id))
}

/// The resource groups of a subscription: those of clusters, and those of their nodes.
fn group_documents(app: &App, subscription: &str) -> Result<Vec<Value>, Refusal> {
    let subscription = known_subscription(app, subscription)?;
    let mut groups: BTreeMap<String, Value> = BTreeMap::new();
    app.service.read(|state| {
        for cluster in state.clusters.values().filter(|cluster| cluster.subscription == subscription) {
            let nodes = cluster.text("nodeResourceGroup");
            for (name, manager) in [(cluster.resource_group.as_str(), None), (nodes, Some(&cluster.id))] {
                let mut document = json!({
                    "id": format!("/subscriptions/{subscription}/resourceGroups/{name}"),
                    "name": name,
                    "type": "Microsoft.Resources/resourceGroups",
                    "location": cluster.location,
                    "properties": {"provisioningState": "Succeeded"},
                });
                if let (Some(fields), Some(manager)) = (document.as_object_mut(), manager) {
                    fields.insert("managedBy".to_owned(), json!(manager));
                }
                groups.entry(name.to_ascii_lowercase()).or_insert(document);
            }
        }
    });
    Ok(groups.into_values().collect())
}

fn groups(app: &App, subscription: &str) -> Result<Value, Refusal> {
    Ok(json!({"value": group_documents(app, subscription)?}))
}

fn resource_group(app: &App, subscription: &str, name: &str) -> Result<Value, Refusal> {
    let found = group_documents(app, subscription)?
        .into_iter()
        .find(|group| group.get("name").and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(name)));
    found.ok_or_else(|| Refusal::resource_group(name))
}

fn provider(app: &App, subscription: &str) -> Result<Value, Refusal> {
    let subscription = known_subscription(app, subscription)?;
    let mut locations: Vec<String> =
        app.service.read(|state| state.clusters.values().map(|cluster| cluster.location.clone()).collect());
    locations.sort_unstable();
    locations.dedup();
    let mut known: Vec<&str> = versions::KNOWN.to_vec();
    known.extend(app.service.settings.api_versions_also.iter().map(String::as_str));
    known.sort_unstable_by(|one, other| other.cmp(one));
    let kinds = ["managedClusters", "managedClusters/agentPools"].map(
        |kind| json!({"resourceType": kind, "locations": locations, "apiVersions": known, "capabilities": "None"}),
    );
    Ok(json!({
        "id": format!("/subscriptions/{subscription}/providers/{NAMESPACE}"),
        "namespace": NAMESPACE,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered",
        "resourceTypes": kinds,
    }))
}
