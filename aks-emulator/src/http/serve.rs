//! Connections: takes them, reads requests off them, and closes them without an answer where a fault says so. Never
//! looks into a request.

use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::App;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault closes the connection")]
struct Dropped;

/// Serves until the service stops, and then finishes what was asked before.
pub(crate) async fn serve(listener: TcpListener, app: App) {
    let service = app.service.clone();
    loop {
        let accepted = tokio::select! {
            () = service.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                service.tasks.spawn(connection(stream, app.clone()));
            }
            Err(error) => {
                // Such as too many open files, which passes.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, app: App) {
    // Else small answers wait for the client's acknowledgement of the one before.
    stream.set_nodelay(true).ok();
    let stopping = app.service.stopping.clone();
    let handler = service_fn(move |request: Request<hyper::body::Incoming>| {
        let app = app.clone();
        async move { super::receive(app, request.map(Body::new)).await.ok_or(Dropped) }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), handler);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
