//! The managed cluster: only read for now. Never changes it.

use axum::http::StatusCode;

use super::Call;
use super::path::ClusterPath;
use super::reply::Reply;
use crate::service::document;
use crate::service::refusal::Refusal;

pub(super) fn route(call: &Call<'_>, at: &ClusterPath<'_>) -> Result<Reply, Refusal> {
    if call.method != "GET" {
        return Err(Refusal::method(call.method));
    }
    let etags = call.service.settings.switches.etags;
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

/// The answer to a GET that found something.
pub(super) fn read(document: &serde_json::Value) -> Reply {
    Reply::json(StatusCode::OK, document).with("x-ms-ratelimit-remaining-subscription-global-reads", "16499")
}
