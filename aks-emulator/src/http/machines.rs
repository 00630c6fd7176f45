//! Machines of a pool over HTTP: GET, LIST and deletion by name. Never decides which machine a pool has.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cluster::read;
use super::path::ClusterPath;
use super::reply::Reply;
use super::{Call, operations};
use crate::service::pools::PoolRef;
use crate::service::refusal::Refusal;
use crate::service::{machines, runner};

/// The answer to a GET of a pool's machines, or of the one with this name.
pub(super) async fn route(
    call: &Call<'_>,
    at: &ClusterPath<'_>,
    pool: &str,
    machine: Option<&str>,
) -> Result<Reply, Refusal> {
    if call.method != "GET" {
        return Err(Refusal::method(call.method));
    }
    let instances = machines::instances(call.service, &reference(at, pool)).await?;
    let documents: Vec<Value> = call.service.read(|state| {
        let cluster = state.clusters.get(&at.key()).ok_or_else(|| Refusal::cluster(at.cluster, at.resource_group))?;
        let Some(pool) = cluster.pool(pool) else {
            return Err(Refusal::pool(at.subscription, at.resource_group, at.cluster, pool));
        };
        Ok(instances.iter().map(|instance| machines::machine(cluster, pool, instance)).collect())
    })?;
    let Some(wanted) = machine else {
        return Ok(read(&json!({"value": documents})));
    };
    let of_name = |document: &&Value| document["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    match documents.iter().find(of_name) {
        Some(document) => Ok(read(document)),
        None => Err(Refusal::machine(at.subscription, at.resource_group, at.cluster, pool, wanted)),
    }
}

/// The body of a deletion.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Deletion {
    #[serde(default)]
    machine_names: Vec<String>,
}

/// The answer to a POST that takes machines away.
pub(super) async fn delete(call: &Call<'_>, at: &ClusterPath<'_>, pool: &str) -> Result<Reply, Refusal> {
    if call.method != "POST" {
        return Err(Refusal::method(call.method));
    }
    let deletion: Deletion = serde_json::from_slice(call.body).map_err(|error| Refusal::content(&error.to_string()))?;
    let at = reference(at, pool);
    let present = machines::instances(call.service, &at).await?;
    machines::budgets_allow(call.service, &at, &deletion.machine_names, &present).await?;
    let settings = &call.service.settings;
    let operation =
        call.service.try_change(|state| machines::delete(state, settings, &at, &deletion.machine_names, &present))?;
    runner::start(call.service, &operation.id);
    Ok(Reply::empty(StatusCode::ACCEPTED)
        .with("azure-asyncoperation", &operations::url(call, &operation, "operations"))
        .with("location", &operations::url(call, &operation, "operationresults")))
}

fn reference(at: &ClusterPath<'_>, pool: &str) -> PoolRef {
    PoolRef { cluster: at.key(), pool: pool.to_owned() }
}
