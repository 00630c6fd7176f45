//! The part of the admin API that does something at once: moves the clock, makes requests as somebody else, shows the
//! state. Never lays a rule, and never is part of the
//! journal itself.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::json;

use super::admin::read;
use super::reply::Reply;
use super::{App, auto_upgrade, foreign, overview};
use crate::ManualClock;
use crate::service::refusal::Refusal;

/// How far time may be moved at once: some 30 years.
const FURTHEST: f64 = 1e9;

/// A move of the clock, as it is sent; without a number to whatever is due next.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MoveRequest {
    advance_seconds: Option<f64>,
}

/// What an identity may do from now on, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GrantRequest {
    actions: Vec<String>,
    #[serde(default)]
    not_actions: Vec<String>,
}

/// Answers a request under `/admin/` that this part knows.
pub(super) async fn route(app: &App, parts: &Parts, body: &[u8]) -> Option<Result<Reply, Refusal>> {
    match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/admin/state") => Some(Ok(overview::state(app).await)),
        ("GET", "/admin/clock") => Some(Ok(show_clock(app))),
        ("POST", "/admin/clock") => Some(move_clock(app, body).await),
        ("POST", "/admin/foreign") => Some(foreign::make(app, body).await),
        ("GET", "/admin/permissions") => {
            Some(Ok(Reply::json(StatusCode::OK, &json!({"value": app.directory.permissions()}))))
        }
        ("PUT", path) => path.strip_prefix("/admin/permissions/").map(|client| grant(app, client, body)),
        ("POST", "/admin/auto-upgrade") => Some(auto_upgrade::order(app, body)),
        _ => None,
    }
}

fn grant(app: &App, client: &str, body: &[u8]) -> Result<Reply, Refusal> {
    let request: GrantRequest = read(body)?;
    if app.directory.grant(client, request.actions, request.not_actions) {
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    } else {
        Err(Refusal::content(&format!("{client:?} is the client id of no identity; GET /admin/permissions lists them")))
    }
}

fn show_clock(app: &App) -> Reply {
    let clock = &app.service.clock;
    Reply::json(StatusCode::OK, &json!({"now": clock.now(), "manual": clock.hands().is_some()}))
}

async fn move_clock(app: &App, body: &[u8]) -> Result<Reply, Refusal> {
    let request: MoveRequest = read(body)?;
    let Some(clock) = ManualClock::of(&app.service) else {
        return Err(Refusal::real_time());
    };
    let before = clock.now();
    let settled = match request.advance_seconds {
        None => clock.advance_to_next().await.is_some(),
        Some(seconds) if (0.0..=FURTHEST).contains(&seconds) => clock.advance(Duration::from_secs_f64(seconds)).await,
        Some(other) => {
            let problem = format!("advanceSeconds is {other}, not a number from 0 to {FURTHEST}");
            return Err(Refusal::content(&problem));
        }
    };
    let moved = clock.now().duration_since(before).as_secs_f64();
    Ok(Reply::json(StatusCode::OK, &json!({"now": clock.now(), "advancedSeconds": moved, "settled": settled})))
}
