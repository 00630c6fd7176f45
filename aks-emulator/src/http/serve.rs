//! Connections: takes them, reads requests off them, and closes them without an answer where a fault says so. Never
//! looks into a request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::App;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault closes the connection")]
struct Dropped;

/// The connection that a request came over.
#[derive(Clone)]
pub(super) struct Line(Option<Arc<Socket>>);

impl Line {
    fn of(stream: &TcpStream) -> Self {
        let socket = SockRef::from(stream).try_clone();
        Self(socket.inspect_err(|error| tracing::warn!(%error, "a connection can't be reset")).ok().map(Arc::new))
    }

    /// Lets the connection end with a reset instead of a close.
    pub(super) fn reset_at_end(&self) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.set_linger(Some(Duration::ZERO))) {
            tracing::warn!(%error, "a connection is closed instead of reset");
        }
    }
}

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until the service stops, and then finishes what was asked before.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, app: App) {
    let service = app.service.clone();
    loop {
        let accepted = tokio::select! {
            () = service.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                service.tasks.spawn(greet(stream, tls.clone(), app.clone()));
            }
            Err(error) => {
                // Such as too many open files, which passes.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>, app: App) {
    // Else small answers wait for the client's acknowledgement of the one before.
    stream.set_nodelay(true).ok();
    let line = Line::of(&stream);
    let Some(tls) = tls else {
        return connection(stream, line, app).await;
    };
    let agreed = tokio::select! {
        () = app.service.stopping.cancelled() => return,
        agreed = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => agreed,
    };
    match agreed {
        Ok(Ok(stream)) => connection(stream, line, app).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client did not agree on TLS"),
        Err(_) => tracing::debug!("a client took too long to agree on TLS"),
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, line: Line, app: App) {
    let stopping = app.service.stopping.clone();
    let handler = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let app = app.clone();
        request.extensions_mut().insert(line.clone());
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
