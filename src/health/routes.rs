//! Health over HTTP, for the probes of kubelet: 200 with what is well, or 503 with what is not, in words. Never anything else.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Health;

/// What answers `/startupz`, `/livez` and `/readyz`.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/startupz", get(async |State(health): State<Health>| answer(health.started())))
        .route("/livez", get(async |State(health): State<Health>| answer(health.alive())))
        .route("/readyz", get(async |State(health): State<Health>| answer(health.ready())))
        .with_state(health)
}

fn answer(found: Result<String, String>) -> (StatusCode, String) {
    match found {
        Ok(text) => (StatusCode::OK, text + "\n"),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text + "\n"),
    }
}
