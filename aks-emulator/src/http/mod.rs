//! HTTP: takes requests, journals them, lays the tests' rules over them, and passes them on. Never decides what a
//! pool may be.

mod admin;
pub(crate) mod auto_upgrade;
mod budgets;
mod cluster;
mod control;
mod foreign;
mod machines;
mod node_faults;
mod operations;
mod overview;
mod path;
mod pools;
mod reply;
mod retry;
mod serve;
mod sign_in;
mod upgrades;
mod versions;

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};
use axum::response::{IntoResponse, Response};
use url::Url;

use crate::directory::Directory;
use crate::journal::Recorder;
use crate::service::Service;
use crate::service::operation::Kind;
use crate::service::refusal::Refusal;
use crate::{Action, Exchange, ForeignRequest};
use admin::Admin;
pub(crate) use budgets::Budgets;
pub(crate) use foreign::later;
pub(crate) use overview::Nodes;
use path::Target;
use reply::Reply;
use serve::Line;
pub(crate) use serve::serve;

/// The largest body that is read: ARM's own limit.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What a request needs.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) admin: Arc<Admin>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) nodes: Arc<Nodes>,
}

/// A request as the handlers see it.
pub(super) struct Call<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) budgets: &'a Budgets,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The query as sent.
    pub(super) query: &'a str,
    pub(super) api_version: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Base of the URLs in the answer, without a slash at the end.
    pub(super) base: &'a str,
}

impl Call<'_> {
    /// Whether the answer carries eTags.
    pub(super) fn etags(&self) -> bool {
        self.service.settings.shows_etags(self.api_version)
    }
}

/// Takes a request; `None` closes its connection. It is handled to its end even if the client goes away meanwhile, as
/// the service would. Requests that are held when the emulator stops are answered 503.
async fn receive(app: App, request: Request<Body>) -> Option<Response> {
    let (parts, body) = request.into_parts();
    let stopping = app.service.stopping.clone();
    let read = tokio::select! {
        biased;
        () = stopping.cancelled() => return Some(Reply::from(Refusal::stopping()).into_response()),
        read = to_bytes(body, MOST_BYTES) => read,
    };
    let Ok(body) = read else {
        let problem = format!("the body is larger than {MOST_BYTES} bytes or was cut off");
        return Some(Reply::from(Refusal::content(&problem)).into_response());
    };
    if parts.uri.path() == "/ui" && parts.method == Method::GET {
        return Some(overview::page().into_response());
    }
    if parts.uri.path().starts_with("/admin/") {
        return Some(admin::route(&app, &parts, &body).await.into_response());
    }
    let exchange = app.arrived(&parts, &body);
    let task = app.service.tasks.clone().spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => Some(Reply::from(Refusal::stopping())),
            reply = answer(&app, &parts, &body, &exchange) => reply,
        }
    });
    match task.await {
        Ok(reply) => reply.map(IntoResponse::into_response),
        Err(error) => {
            tracing::error!(%error, "a request was not answered");
            Some(Reply::from(Refusal::internal()).into_response())
        }
    }
}

/// Takes a request that did not come over a connection.
pub(crate) async fn request(app: App, request: Request<Vec<u8>>) -> Option<http::Response<Vec<u8>>> {
    let (parts, body) = receive(app, request.map(Body::from)).await?.into_parts();
    // Bodies of answers are in memory, so that there is nothing that could fail.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Some(http::Response::from_parts(parts, body.into()))
}

impl App {
    fn arrived(&self, parts: &Parts, body: &[u8]) -> Exchange {
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        self.recorder.arrived(parts.method.as_str(), path, query, &parts.headers, body)
    }

    /// Handles a request that somebody else makes, past all holds and faults; the exchange as the journal has it, or
    /// `None` if it is no request.
    pub(crate) async fn foreign(&self, request: &ForeignRequest) -> Option<Exchange> {
        let parts = request.parts()?;
        let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let exchange = self.arrived(&parts, body.as_bytes());
        let reply = handle(self, &parts, body.as_bytes()).await;
        self.note(&exchange, &reply);
        self.recorder.exchange(exchange.sequence)
    }

    fn note(&self, exchange: &Exchange, reply: &Reply) {
        self.recorder.answered(exchange.sequence, reply.status.as_u16(), &reply.headers, &reply.body);
    }
}

/// The answer to a request under the rules in force; `None` closes the connection. The journal shows an answer that
/// was lost on the way, and none where the request was.
async fn answer(app: &App, parts: &Parts, body: &Bytes, exchange: &Exchange) -> Option<Reply> {
    app.service.rules.pass(exchange).await;
    let chaos = app.service.settings.chaos;
    let drawn = || chaos.and_then(|chaos| chaos.action(exchange.sequence));
    let action = app.service.rules.action(exchange).or_else(drawn);
    let reply = match &action {
        Some(Action::DropBefore) => return None,
        Some(Action::Reset) => {
            parts.extensions.get::<Line>().inspect(|line| line.reset_at_end());
            return None;
        }
        Some(Action::Answer(canned)) => Reply::canned(canned),
        Some(Action::Refuse(failure)) => Reply::canned(&failure.answer(exchange)),
        Some(Action::Delay(duration)) => {
            tokio::time::sleep(*duration).await;
            respond(app, parts, body).await
        }
        Some(Action::AfterForeign(request)) => {
            app.foreign(request).await;
            respond(app, parts, body).await
        }
        Some(Action::RoleMissing) => sign_in::role_missing(app, parts),
        Some(Action::FederationMissing) => sign_in::federation_missing(app, parts, body).await,
        Some(Action::DropAfter) | None => respond(app, parts, body).await,
    };
    app.note(exchange, &reply);
    (!matches!(action, Some(Action::DropAfter))).then_some(reply)
}

/// The answer to a request that no fault changes.
async fn respond(app: &App, parts: &Parts, body: &[u8]) -> Reply {
    match sign_in::route(app, parts, body).await {
        Some(reply) => reply,
        None => retry::hint(&app.service.settings, handle(app, parts, body).await),
    }
}

async fn handle(app: &App, parts: &Parts, body: &[u8]) -> Reply {
    let query = parts.uri.query().unwrap_or_default();
    let api_version = parameter(query, "api-version").unwrap_or_default();
    let call = Call {
        service: &app.service,
        budgets: &app.budgets,
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query,
        api_version: &api_version,
        headers: &parts.headers,
        body,
        base: &base(app, &parts.headers),
    };
    match route(&call).await {
        Ok(reply) => reply.counted(call.method),
        Err(refusal @ Refusal::Provider { .. }) => Reply::from(refusal).counted(call.method),
        // The gateway's own answers do not say what is left.
        Err(refusal @ Refusal::Gateway { .. }) => Reply::from(refusal),
    }
}

async fn route(call: &Call<'_>) -> Result<Reply, Refusal> {
    let target = path::parse(call.path).ok_or_else(|| Refusal::unknown_path(call.path))?;
    if call.api_version.is_empty() {
        return Err(Refusal::missing_api_version());
    }
    if let Some(throttled) = budgets::spend(call.budgets, call, &target) {
        return Ok(throttled);
    }
    match target {
        Target::Cluster(at) => {
            versions::check(call, &at, "managedClusters")?;
            cluster::route(call, &at)
        }
        Target::Pools(at) => {
            versions::check(call, &at, "managedClusters/agentPools")?;
            pools::route_list(call, &at)
        }
        Target::Pool(at, pool) => {
            versions::check(call, &at, "managedClusters/agentPools")?;
            pools::route(call, &at, pool)
        }
        Target::PoolAbort(at, pool) => {
            versions::check(call, &at, "managedClusters/agentPools")?;
            pools::abort(call, &at, pool)
        }
        Target::PoolUpgradeProfile(at, pool) => {
            versions::check(call, &at, "managedClusters/agentPools")?;
            upgrades::profile(call, &at, pool)
        }
        Target::PoolDeleteMachines(at, pool) => {
            versions::check(call, &at, "managedClusters/agentPools")?;
            machines::delete(call, &at, pool).await
        }
        Target::Machines(at, pool, machine) => {
            versions::check(call, &at, "managedClusters/agentPools/machines")?;
            machines::route(call, &at, pool, machine).await
        }
        Target::ClusterStart(at) => {
            versions::check(call, &at, "managedClusters")?;
            cluster::power(call, &at, Kind::StartCluster)
        }
        Target::ClusterStop(at) => {
            versions::check(call, &at, "managedClusters")?;
            cluster::power(call, &at, Kind::StopCluster)
        }
        Target::ClusterUpgradeProfile(at) => {
            versions::check(call, &at, "managedClusters")?;
            upgrades::cluster_profile(call, &at)
        }
        Target::PoolVersions(at) => {
            versions::check(call, &at, "managedClusters")?;
            upgrades::pool_versions(call, &at)
        }
        Target::KubernetesVersions { subscription, .. } => {
            versions::check_scope(call, subscription, None, "locations/kubernetesVersions")?;
            upgrades::kubernetes_versions(call)
        }
        Target::PoolUpgradeImage(at, pool) => {
            versions::check(call, &at, "managedClusters/agentPools")?;
            upgrades::image(call, &at, pool)
        }
        Target::Clusters { subscription, resource_group } => {
            versions::check_scope(call, subscription, resource_group, "managedClusters")?;
            cluster::list(call, subscription, resource_group)
        }
        Target::Operation { id, .. } => operations::status(call, id),
        Target::OperationResult { id, .. } => operations::result(call, id),
    }
}

/// Where the answer's URLs point: the setting, or where the client says that it found the emulator.
fn base(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.service.settings.public_url {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| Url::parse(&format!("http://{host}/")).is_ok());
    let scheme = if app.service.settings.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// The first value of a query parameter, its name in any case.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.into_owned())
}
