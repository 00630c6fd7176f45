//! Serves the metrics over HTTP: `GET /metrics` and nothing else. Never asks who reads them: they hold no secret.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::Metrics;

/// The media type of `OpenMetrics` text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why metrics can't be served.
#[derive(Debug, thiserror::Error)]
#[error("--metrics-address {address} can't be listened on: {source}; choose another, or turn metrics off with \"\"")]
pub struct MetricsServerError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A port that metrics are served on.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Takes the port, a free one for port 0.
    ///
    /// # Errors
    /// The port is taken, or the address is not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsServerError> {
        let failed = |source| MetricsServerError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until it is dropped.
    ///
    /// # Errors
    /// It can't go on.
    pub async fn serve(self, metrics: Metrics) -> std::io::Result<()> {
        let router = Router::new().route("/metrics", get(text)).with_state(Arc::new(metrics));
        axum::serve(self.listener, router).await
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
