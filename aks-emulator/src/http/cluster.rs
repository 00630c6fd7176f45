//! Managed clusters: one and lists of them, start and stop. Never judges what is asked for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::path::ClusterPath;
use super::reply::Reply;
use super::{Call, operations};
use crate::service::operation::Kind;
use crate::service::refusal::Refusal;
use crate::service::{document, power, runner};

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

/// The answer to a POST that starts or stops a cluster.
pub(super) fn power(call: &Call<'_>, at: &ClusterPath<'_>, kind: Kind) -> Result<Reply, Refusal> {
    if call.method != "POST" {
        return Err(Refusal::method(call.method));
    }
    let settings = &call.service.settings;
    let operation = call.service.try_change(|state| power::change(state, settings, &at.key(), kind))?;
    runner::start(call.service, &operation.id);
    Ok(Reply::empty(StatusCode::ACCEPTED)
        .with("azure-asyncoperation", &operations::url(call, &operation, "operations"))
        .with("location", &operations::url(call, &operation, "operationresults")))
}

/// The answer to a GET that found something.
pub(super) fn read(document: &Value) -> Reply {
    Reply::json(StatusCode::OK, document)
}
