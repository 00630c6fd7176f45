//! Agent pools over HTTP: GET, LIST, PUT, DELETE. Never judges a pool; that is the service's.

use axum::http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value, json};

use super::path::ClusterPath;
use super::reply::Reply;
use super::{Call, cluster, operations, parameter};
use crate::service::pools::{Accepted, Delete, PoolRef, Put};
use crate::service::preconditions::{self, Preconditions};
use crate::service::refusal::Refusal;
use crate::service::{Pool, abort, document, pools, runner};

/// Offset added to what a `$skipToken` says, as the recorded tokens are opaque and not small.
const TOKEN: usize = 3_550_077;

pub(super) fn route_list(call: &Call<'_>, at: &ClusterPath<'_>) -> Result<Reply, Refusal> {
    if call.method == "GET" {
        return list(call, at);
    }
    Err(Refusal::method(call.method))
}

pub(super) fn route(call: &Call<'_>, at: &ClusterPath<'_>, pool: &str) -> Result<Reply, Refusal> {
    match call.method {
        "GET" => get(call, at, pool),
        "PUT" => put(call, at, pool),
        "DELETE" => delete(call, at, pool),
        other => Err(Refusal::method(other)),
    }
}

fn get(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    let etags = call.etags();
    call.service.read(|state| {
        let cluster = state.clusters.get(&at.key()).ok_or_else(|| Refusal::cluster(at.cluster, at.resource_group))?;
        match cluster.pool(name) {
            Some(pool) => Ok(cluster::read(&document::pool(cluster, pool, etags))),
            None => Err(Refusal::pool(at.subscription, at.resource_group, at.cluster, name)),
        }
    })
}

fn list(call: &Call<'_>, at: &ClusterPath<'_>) -> Result<Reply, Refusal> {
    let settings = &call.service.settings;
    let token = parameter(call.query, "$skipToken").or_else(|| parameter(call.query, "skipToken"));
    let skip = match token {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(TOKEN))
            .ok_or_else(|| Refusal::content(&format!("the skip token '{token}' is invalid")))?,
    };
    let (all, page) = call.service.read(|state| {
        let cluster = state.clusters.get(&at.key()).ok_or_else(|| Refusal::cluster(at.cluster, at.resource_group))?;
        // By name, as in recording 05, and not in the order of creation.
        let mut pools: Vec<&Pool> = cluster.pools.iter().collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        let page: Vec<Value> = pools
            .into_iter()
            .skip(skip)
            .take(settings.page_size)
            .map(|pool| document::pool(cluster, pool, call.etags()))
            .collect();
        Ok((cluster.pools.len(), page))
    })?;
    let next = skip + page.len();
    let last_of_all = skip < next && settings.switches.list_ends_with_empty_page;
    let mut body = Map::from_iter([("value".to_owned(), Value::Array(page))]);
    if next < all || last_of_all {
        let token = TOKEN + next;
        let link = format!(
            "{}{}?%24skipToken={token}&api-version={}&skipToken={token}",
            call.base, call.path, call.api_version
        );
        body.insert("nextLink".to_owned(), json!(link));
    }
    Ok(cluster::read(&Value::Object(body)))
}

fn put(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    let request = Put {
        at: reference(at, name),
        api_version: call.api_version.to_owned(),
        preconditions: preconditions(call),
        body: object(call.body)?,
    };
    let settings = &call.service.settings;
    // A refusal changes nothing and so need not be saved.
    let accepted = call.service.change(|state| pools::put(state, settings, &request))?;
    runner::start(call.service, &accepted.operation.id);
    let status = if accepted.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Reply::json(status, &accepted.document)
        .with("azure-asyncoperation", &operations::url(call, &accepted.operation, "operations")))
}

fn delete(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    let request = Delete {
        at: reference(at, name),
        preconditions: preconditions(call),
        ignore_budgets: parameter(call.query, "ignore-pod-disruption-budget")
            .is_some_and(|value| value.eq_ignore_ascii_case("true")),
    };
    let settings = &call.service.settings;
    let accepted = call.service.change(|state| pools::delete(state, settings, &request))?;
    let Some(accepted) = accepted else {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    };
    begin_preempting(call, &accepted);
    Ok(Reply::empty(StatusCode::ACCEPTED)
        .with("azure-asyncoperation", &operations::url(call, &accepted.operation, "operations"))
        .with("location", &operations::url(call, &accepted.operation, "operationresults")))
}

/// The answer to a POST that aborts what runs on a pool.
pub(super) fn abort(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    if call.method != "POST" {
        return Err(Refusal::method(call.method));
    }
    let settings = &call.service.settings;
    let accepted =
        call.service.try_change(|state| abort::abort(state, settings, &reference(at, name), call.etags()))?;
    begin_preempting(call, &accepted);
    Ok(Reply::json(StatusCode::ACCEPTED, &accepted.document)
        .with("azure-asyncoperation", &operations::url(call, &accepted.operation, "operations"))
        .with("location", &operations::url(call, &accepted.operation, "operationresults")))
}

fn begin_preempting(call: &Call<'_>, accepted: &Accepted) {
    if let Some(old) = &accepted.preempted {
        runner::cancel(call.service, old);
    }
    runner::start(call.service, &accepted.operation.id);
}

pub(super) fn reference(at: &ClusterPath<'_>, name: &str) -> PoolRef {
    PoolRef { cluster: at.key(), pool: name.to_owned() }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Err(Refusal::content("the request body is empty"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::content(&error.to_string()))
}

/// The eTag headers, if the api-version has them.
fn preconditions(call: &Call<'_>) -> Preconditions {
    if !preconditions::known_to(call.api_version) {
        return Preconditions::default();
    }
    Preconditions { if_match: text(call, header::IF_MATCH), if_none_match: text(call, header::IF_NONE_MATCH) }
}

fn text(call: &Call<'_>, name: HeaderName) -> Option<String> {
    let value = call.headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
