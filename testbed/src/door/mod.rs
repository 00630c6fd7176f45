//! A door between the operator and a server: everything passes through it and can be held, cut or looked at; never
//! changed.

mod forward;
mod rules;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use crate::ControlPlane;
pub use rules::{Dropped, Held, Match};
use rules::{Rules, Stage, Verdict};

/// A request as it reached a door.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without its question mark; empty if there is none.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Whether it asks for a change of anything but a lease.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS") && !self.is_about_a_lease()
    }

    /// Whether it is about the lease by which replicas agree on which of them works.
    #[must_use]
    pub fn is_about_a_lease(&self) -> bool {
        self.path.contains("/apis/coordination.k8s.io/")
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is held at the door, or its client went away while it was.
    AtTheDoor,
    /// The server has it and has not answered, or its client went away before.
    Sent,
    /// The server answered with this status and the client was given it. For a watch this is the beginning of the
    /// answer.
    Answered(u16),
    /// The connection was cut before the server got the request.
    CutBefore,
    /// The server answered with this status, and the connection was cut before the client got it.
    CutAfter(u16),
    /// The server could not be reached or broke off.
    ServerFailed,
}

/// A request with what became of it.
#[derive(Debug, Clone)]
pub struct Passage {
    /// When it reached the door.
    pub at: SystemTime,
    /// The request.
    pub request: Arc<Request>,
    /// What became of it.
    pub fate: Fate,
}

/// A reverse proxy on a loopback port of its own. It closes when dropped.
///
/// Speaks HTTP/1.1; answers stream through unbuffered, so watches work; upgrades (exec, port-forward) do not.
pub struct Door {
    url: Url,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server: Url,
    client: reqwest::Client,
    rules: Rules,
    journal: Mutex<Vec<Passage>>,
}

impl Door {
    /// A door to the API server: TLS with the testbed's authority on both sides. Clients sign in with tokens; a client
    /// certificate ends at the door.
    ///
    /// # Errors
    /// When its certificate can't be made or no port is free.
    pub async fn to_api_server(control_plane: &ControlPlane) -> anyhow::Result<Self> {
        let authority = reqwest::Certificate::from_pem(control_plane.authority_certificate().as_bytes())?;
        let client = client().tls_certs_only([authority]);
        let pair = control_plane.authority().server()?;
        let certificates = vec![
            CertificateDer::from_pem_slice(pair.certificate.as_bytes())
                .context("the door's certificate can't be read")?,
        ];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).context("the door's key can't be read")?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
        Self::open(control_plane.url(), client, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// A door to ARM: plain HTTP on both sides. The `Host` header passes unchanged, so that URLs in answers lead back
    /// through the door.
    ///
    /// # Errors
    /// When `endpoint` is not a URL or no port is free.
    pub async fn to_arm(endpoint: &str) -> anyhow::Result<Self> {
        Self::open(endpoint, client(), None).await
    }

    async fn open(server: &str, client: reqwest::ClientBuilder, tls: Option<TlsAcceptor>) -> anyhow::Result<Self> {
        let server = Url::parse(server).with_context(|| format!("{server:?} is not the URL of a server"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no loopback port is free for a door")?;
        let address: SocketAddr = listener.local_addr().context("the door's port is not known")?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{address}")).context("the door's own URL is malformed")?;
        let client = client.build().context("the door's client could not be made")?;
        let shared = Arc::new(Shared { server, client, rules: Rules::default(), journal: Mutex::default() });
        let task = tokio::spawn(accept(listener, tls, shared.clone()));
        Ok(Self { url, shared, task })
    }

    /// Where clients reach the door.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Holds requests that match before the server gets them, until the result is released or dropped.
    #[must_use]
    pub fn hold(&self, matching: Match) -> Held {
        self.shared.rules.hold(Stage::Before, matching)
    }

    /// Lets requests that match through, and holds the server's answers, until the result is released or dropped.
    #[must_use]
    pub fn hold_answer(&self, matching: Match) -> Held {
        self.shared.rules.hold(Stage::After, matching)
    }

    /// Cuts the connection of requests that match before the server gets them, as long as the result lives.
    #[must_use]
    pub fn drop_request(&self, matching: Match) -> Dropped {
        self.shared.rules.cut(Stage::Before, matching)
    }

    /// Lets requests that match through and cuts the connection instead of answering, as long as the result lives.
    #[must_use]
    pub fn drop_answer(&self, matching: Match) -> Dropped {
        self.shared.rules.cut(Stage::After, matching)
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn journal(&self) -> Vec<Passage> {
        self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn arrived(&self, request: &Arc<Request>) -> usize {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.push(Passage { at: SystemTime::now(), request: request.clone(), fate: Fate::AtTheDoor });
        journal.len() - 1
    }

    fn became(&self, passage: usize, fate: Fate) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(passage) = journal.get_mut(passage) {
            passage.fate = fate;
        }
    }
}

/// Retries and redirects are the client's business, never the door's.
fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
}

/// Connections are tasks of a set, so that closing the door closes them.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, tls.clone(), shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, shared).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, shared).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| forward::pass(shared.clone(), request));
    // An error is a connection that was cut, by either side: the journal has what became of its requests.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
