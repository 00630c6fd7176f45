//! Managed clusters: one and lists of them, only read for now. Never changes one.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::path::ClusterPath;
use super::reply::Reply;
use crate::service::document;
use crate::service::refusal::Refusal;

pub(super) fn route(call: &Call<'_>, at: &ClusterPath<'_>) -> Result<Reply, Refusal> {
    if call.method != "GET" {
        return Err(Refusal::method(call.method));
    }
    let etags = call.etags();
    let document = call.service.read(|state| {
        let stale = call.service.stale.cluster(&at.key());
        let cluster = stale.as_ref().or_else(|| state.clusters.get(&at.key()))?;
        Some(document::cluster(cluster, etags))
    });
    match document {
        Some(document) => Ok(read(&document)),
        None => Err(Refusal::cluster(at.cluster, at.resource_group)),
    }
}

/// The answer to a GET of all clusters of a subscription or a resource group.
pub(super) fn list(call: &Call<'_>, subscription: &str, resource_group: Option<&str>) -> Result<Reply, Refusal> {
    if call.method != "GET" {
        return Err(Refusal::method(call.method));
    }
    let etags = call.etags();
    let value: Vec<Value> = call.service.read(|state| {
        let wanted = state.clusters.iter().filter(|(_, cluster)| {
            cluster.subscription.eq_ignore_ascii_case(subscription)
                && resource_group.is_none_or(|group| cluster.resource_group.eq_ignore_ascii_case(group))
        });
        wanted
            .map(|(key, cluster)| {
                let stale = call.service.stale.cluster(key);
                document::cluster(stale.as_ref().unwrap_or(cluster), etags)
            })
            .collect()
    });
    Ok(read(&json!({"value": value})))
}

/// The answer to a GET that found something.
pub(super) fn read(document: &Value) -> Reply {
    Reply::json(StatusCode::OK, document).with("x-ms-ratelimit-remaining-subscription-global-reads", "16499")
}
