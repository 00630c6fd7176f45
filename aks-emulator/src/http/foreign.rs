//! Somebody else's requests at a time of their own. Never decides how they are answered.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::read;
use super::reply::Reply;
use super::{App, parameter};
use crate::ForeignRequest;
use crate::service::Service;
use crate::service::refusal::Refusal;

/// The api-version of a target that names none.
const API_VERSION: &str = "2025-10-01";
/// How far ahead a request may be asked for, in seconds of the service.
const FURTHEST: f64 = 1e9;

/// Somebody else's request, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    method: String,
    /// Path and query; without a slash in front relative to the cluster, as `agentPools/apps`.
    target: String,
    body: Option<Value>,
    user_agent: Option<String>,
    /// At the service's own pace.
    after_seconds: Option<f64>,
}

/// The answer to a request that somebody else is to make: the exchange, or 202 if that is for later.
pub(super) async fn make(app: &App, body: &[u8]) -> Result<Reply, Refusal> {
    let request: Request = read(body)?;
    let mut foreign = ForeignRequest::new(&request.method, &target(app, &request.target), request.body);
    if let Some(user_agent) = request.user_agent {
        foreign.user_agent = user_agent;
    }
    if foreign.parts().is_none() {
        return Err(Refusal::content("method, target or userAgent is malformed"));
    }
    match request.after_seconds {
        None => {
            let exchange = app.foreign(&foreign).await;
            Ok(Reply::json(StatusCode::OK, &json!(exchange)))
        }
        Some(seconds) if (0.0..=FURTHEST).contains(&seconds) => {
            let after = app.service.settings.scaled(Duration::from_secs_f64(seconds));
            later(app, foreign, after);
            Ok(Reply::json(StatusCode::ACCEPTED, &json!({"afterSeconds": after.as_secs_f64()})))
        }
        Some(other) => Err(Refusal::content(&format!("afterSeconds is {other}, not a number from 0 to {FURTHEST}"))),
    }
}

/// Makes a request after this long, at the emulator's pace, unless it stops before.
pub(crate) fn later(app: &App, request: ForeignRequest, after: Duration) {
    let now = app.service.clock.now();
    let app = app.clone();
    in_background(&app.service.clone(), async move {
        app.service.clock.sleep_until(now, after).await;
        app.foreign(&request).await;
    });
}

/// Does work of the service's own, which an advance of a manual clock waits for, until the emulator stops.
pub(super) fn in_background(service: &Arc<Service>, work: impl Future<Output = ()> + Send + 'static) {
    let turn = service.clock.turn();
    let service = service.clone();
    service.tasks.clone().spawn(async move {
        tokio::select! {
            () = service.stopping.cancelled() => {}
            () = service.clock.in_turn(turn, work) => {}
        }
    });
}

/// The target in full: relative ones are of the only cluster.
fn target(app: &App, sent: &str) -> String {
    if sent.starts_with('/') {
        return sent.to_owned();
    }
    let id = app.service.read(|state| state.clusters.values().next().map(|cluster| cluster.id.clone()));
    let mut target = format!("{}/{sent}", id.unwrap_or_default());
    let query = sent.split_once('?').map_or("", |(_, query)| query);
    if parameter(query, "api-version").is_none() {
        let joint = if sent.contains('?') { '&' } else { '?' };
        target = format!("{target}{joint}api-version={API_VERSION}");
    }
    target
}
