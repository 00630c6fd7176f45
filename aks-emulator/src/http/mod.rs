//! HTTP: takes requests, journals them, lays the tests' rules over them, and passes them on. Never decides what a
//! pool may be.

mod budgets;
mod cluster;
mod operations;
mod path;
mod pools;
mod reply;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use url::Url;

use crate::Exchange;
use crate::journal::Recorder;
use crate::service::Service;
use crate::service::refusal::Refusal;
pub(crate) use budgets::Budgets;
use path::Target;
use reply::Reply;

/// The largest body that is read: ARM's own limit.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What a request needs.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) budgets: Arc<Budgets>,
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

/// Serves until the service stops. Requests that are held then are answered 503.
pub(crate) async fn serve(listener: TcpListener, app: App) {
    let stopping = app.service.stopping.clone();
    let router = Router::new().fallback(receive).with_state(app);
    let served = axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the emulator no longer serves");
    }
}

/// Takes a request. It is handled to its end even if the client goes away meanwhile, as the service would.
async fn receive(State(app): State<App>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let stopping = app.service.stopping.clone();
    let read = tokio::select! {
        biased;
        () = stopping.cancelled() => return Reply::from(Refusal::stopping()).into_response(),
        read = to_bytes(body, MOST_BYTES) => read,
    };
    let Ok(body) = read else {
        let problem = format!("the body is larger than {MOST_BYTES} bytes or was cut off");
        return Reply::from(Refusal::content(&problem)).into_response();
    };
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let exchange = app.recorder.arrived(parts.method.as_str(), path, query, &parts.headers, &body);
    let task = app.service.tasks.clone().spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => Reply::from(Refusal::stopping()),
            reply = answer(&app, &parts, &body, &exchange) => reply,
        }
    });
    match task.await {
        Ok(reply) => reply.into_response(),
        Err(error) => {
            tracing::error!(%error, "a request was not answered");
            Reply::from(Refusal::internal()).into_response()
        }
    }
}

async fn answer(app: &App, parts: &Parts, body: &Bytes, exchange: &Exchange) -> Reply {
    app.service.rules.pass(exchange).await;
    let reply = match app.service.rules.fault(exchange) {
        Some(canned) => Reply::canned(&canned),
        None => handle(app, parts, body),
    };
    app.recorder.answered(exchange.sequence, reply.status.as_u16(), &reply.headers, &reply.body);
    reply
}

fn handle(app: &App, parts: &Parts, body: &[u8]) -> Reply {
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
    route(&call).unwrap_or_else(Reply::from)
}

fn route(call: &Call<'_>) -> Result<Reply, Refusal> {
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
    format!("http://{}", host.unwrap_or("localhost"))
}

/// The first value of a query parameter, its name in any case.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.into_owned())
}
