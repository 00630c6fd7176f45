//! Requests to ARM, one at a time. Never retries a write, never follows a redirect, never logs a body or a token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, Method, Pipeline, PipelineSendOptions, RawResponse, Request,
    RetryOptions, Transport,
};
use nodepool_kernel::{Approved, Cluster, Step};
use serde_json::Value;
use url::Url;

use super::budget::{self, Budget, Urgency};
use super::document::{PoolDocument, cluster};
use super::error::ArmError;
use super::operation::{Operation, Progress, Response, next};
use super::resource_id::ClusterId;
use super::sign_in::{Authentication, SignIn, SignInError};
use super::write::PoolWrite;

/// The id that joins what Azure logs about one request.
const CORRELATION: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
/// Where an answer names the operation that carries out a write.
const OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");
/// The longest wait that is taken from an answer.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Where ARM is and which cluster is meant.
#[derive(Debug, Clone)]
pub struct ArmOptions {
    /// The endpoint, `https://management.azure.com` in the public cloud.
    pub endpoint: Url,
    /// The cluster.
    pub cluster: ClusterId,
    /// The api-version of all requests.
    pub api_version: String,
    /// How to sign in.
    pub sign_in: SignIn,
    /// A file of certificates, in PEM, of authorities to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Share of the published request budgets that may be used: 0.5 leaves half of them to other tools.
    pub request_share: f64,
    /// How long a read may take, its repetitions included.
    pub read_timeout: Duration,
    /// How long a write may take.
    pub write_timeout: Duration,
}

/// Why a client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ArmOptionsError {
    /// An endpoint on another machine needs a sign-in.
    #[error(
        "--azure-auth none is accepted only for an --arm-endpoint on this machine (127.0.0.1, [::1] or localhost), not for {endpoint}: use --azure-auth workload"
    )]
    UnauthenticatedRemote {
        /// The endpoint.
        endpoint: Url,
    },
    /// Tokens go over TLS only.
    #[error("--arm-endpoint {endpoint} is not https: a token would be sent in the clear")]
    TokenInTheClear {
        /// The endpoint.
        endpoint: Url,
    },
    /// The sign-in can't be made as told.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The certificates can't be used.
    #[error("--azure-ca-file {}: {problem}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be made")]
    Transport(#[source] reqwest::Error),
}

/// A client for one managed cluster.
pub struct ArmClient {
    /// Repeats what was not answered, or with a passing error.
    repeating: Pipeline,
    /// Sends once.
    single: Pipeline,
    budget: Budget,
    options: ArmOptions,
}

impl ArmClient {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The options contradict each other, or the environment lacks what the sign-in needs.
    pub fn new(options: ArmOptions) -> Result<Self, ArmOptionsError> {
        let transport = transport(options.ca_file.as_deref())?;
        let authorization = authorization(&options, &transport)?;
        let pipeline = |retry: RetryOptions| {
            let client_options =
                ClientOptions { retry, transport: Some(transport.clone()), ..ClientOptions::default() };
            let (name, version) = (option_env!("CARGO_PKG_NAME"), option_env!("CARGO_PKG_VERSION"));
            Pipeline::new(name, version, client_options, Vec::new(), authorization.clone(), None)
        };
        let reads = ExponentialRetryOptions {
            max_retries: 2,
            max_total_elapsed: azure_core::time::Duration::seconds(5),
            ..ExponentialRetryOptions::default()
        };
        let (repeating, single) = (pipeline(RetryOptions::exponential(reads)), pipeline(RetryOptions::none()));
        Ok(Self { repeating, single, budget: Budget::new(options.request_share), options })
    }

    /// Takes the budget for a read of the cluster.
    ///
    /// # Errors
    /// [`ArmError::OverBudget`] while there is none.
    pub fn afford_read(&self) -> Result<(), ArmError> {
        self.afford(&[(budget::Request::ReadCluster, 1)], Urgency::Urgent)
    }

    /// Takes the budget for a step: the cluster and so many pools are read, then `pool` is written.
    ///
    /// # Errors
    /// [`ArmError::OverBudget`] while there is none.
    pub fn afford_step(&self, pool: &str, pools_read: usize, urgency: Urgency) -> Result<(), ArmError> {
        let pools_read = u32::try_from(pools_read).unwrap_or(u32::MAX);
        let write = budget::Request::WritePool(pool.to_owned());
        let reads = [(budget::Request::ReadCluster, 1), (budget::Request::ReadPool, pools_read)];
        self.afford(&[&reads[..], &[(write, 1)]].concat(), urgency)
    }

    fn afford(&self, requests: &[(budget::Request, u32)], urgency: Urgency) -> Result<(), ArmError> {
        self.budget.take(requests, urgency).map_err(|after| ArmError::OverBudget { after })
    }

    /// The cluster with all its pools, in one request.
    ///
    /// # Errors
    /// No answer, an error, or an answer that is not a managed cluster.
    pub async fn cluster(&self) -> Result<Cluster, ArmError> {
        let document = self.get("the cluster", &self.options.cluster.to_string()).await?;
        cluster(&self.options.cluster, &document).map_err(|detail| self.malformed("the cluster", detail))
    }

    /// One pool.
    ///
    /// # Errors
    /// No answer, an error (404 when there is no such pool), or an answer that is not a pool.
    pub async fn pool(&self, name: &str) -> Result<PoolDocument, ArmError> {
        let what = format!("pool {name}");
        let document = self.get(&what, &self.pool_path(name)).await?;
        PoolDocument::parse(document).map_err(|detail| self.malformed(&what, detail))
    }

    /// Writes a pool, once, and tells the operation that carries it out, if the answer names one that may be asked. Only
    /// an approved step can be written.
    ///
    /// # Errors
    /// An error, or no answer; [`ArmError::outcome_unknown`] tells whether it may have had an effect all the same.
    pub async fn put_pool(&self, approved: &Approved<Step>, write: &PoolWrite) -> Result<Option<Operation>, ArmError> {
        let pool = &approved.get().pool;
        let mut request = self.request(&self.pool_path(pool), Method::Put);
        request.insert_header("content-type", "application/json");
        if let Some(tag) = &write.if_match {
            request.insert_header("if-match", tag.clone());
        }
        request.set_body(write.body.to_string().into_bytes());
        let answer = self.send(&self.single, request, self.options.write_timeout).await?.accepted()?;
        let operation = answer.operation.map(|url| Operation::at(&url, &self.options.endpoint)).transpose();
        Ok(operation.unwrap_or_else(|error| {
            tracing::warn!(pool, %error, "how the operation goes is seen from the pool alone");
            None
        }))
    }

    /// Asks once how an operation goes. What went wrong with the request is in the result: the operation runs on.
    pub async fn poll(&self, operation: &Operation) -> Progress {
        let absent = |error: &ArmError, retry_after| {
            let why = error.to_string();
            next(operation, &Response::Absent { why: &why, retry_after })
        };
        if let Err(after) = self.budget.take(&[(budget::Request::ReadOperation, 1)], Urgency::Urgent) {
            return absent(&ArmError::OverBudget { after }, Some(after));
        }
        let request = accepting_json(Request::new(operation.url().clone(), Method::Get));
        match self.send(&self.single, request, self.options.read_timeout).await {
            Ok(Answer { status, body, retry_after, .. }) => {
                next(operation, &Response::Answered { status, body: &body, retry_after })
            }
            Err(error) => absent(&error, None),
        }
    }

    fn pool_path(&self, name: &str) -> String {
        format!("{}/agentPools/{name}", self.options.cluster)
    }

    fn request(&self, path: &str, method: Method) -> Request {
        let mut url = self.options.endpoint.clone();
        url.set_path(path);
        url.query_pairs_mut().clear().append_pair("api-version", &self.options.api_version);
        accepting_json(Request::new(url, method))
    }

    async fn get(&self, what: &str, path: &str) -> Result<Value, ArmError> {
        let request = self.request(path, Method::Get);
        let answer = self.send(&self.repeating, request, self.options.read_timeout).await?.accepted()?;
        serde_json::from_slice(&answer.body).map_err(|error| self.malformed(what, format!("it is not JSON ({error})")))
    }

    /// Sends a request and returns whatever is answered.
    async fn send(&self, pipeline: &Pipeline, mut request: Request, limit: Duration) -> Result<Answer, ArmError> {
        let endpoint = self.options.endpoint.as_str();
        let context = Context::new();
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let sent = tokio::time::timeout(limit, pipeline.send(&context, &mut request, Some(options))).await;
        match sent {
            Ok(Ok(response)) => Ok(Answer::of(&response)),
            Ok(Err(error)) => Err(ArmError::unanswered(endpoint, error)),
            Err(_) => {
                let detail = format!("nothing came within {} s", limit.as_secs_f64());
                Err(ArmError::Lost { endpoint: endpoint.to_owned(), detail })
            }
        }
    }

    fn malformed(&self, what: &str, detail: String) -> ArmError {
        ArmError::Malformed { what: what.to_owned(), endpoint: self.options.endpoint.to_string(), detail }
    }
}

/// What ARM answered.
struct Answer {
    status: u16,
    body: Vec<u8>,
    retry_after: Option<Duration>,
    correlation: Option<String>,
    /// The URL of the operation that carries out a write.
    operation: Option<String>,
}

impl Answer {
    fn of(response: &RawResponse) -> Self {
        let header = |name: &HeaderName| response.headers().get_optional_str(name);
        let seconds = header(&RETRY_AFTER).and_then(|text| text.parse::<u64>().ok());
        Self {
            status: u16::from(response.status()),
            body: response.body().as_ref().to_vec(),
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
            correlation: header(&CORRELATION).map(str::to_owned),
            operation: header(&OPERATION).map(str::to_owned),
        }
    }

    /// The answer if it is no error.
    fn accepted(self) -> Result<Self, ArmError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(ArmError::answered(self.status, &self.body, self.retry_after).correlated(self.correlation))
    }
}

fn accepting_json(mut request: Request) -> Request {
    request.insert_header("accept", "application/json");
    request
}

/// What requests go over. Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`).
fn transport(ca_file: Option<&Path>) -> Result<Transport, ArmOptionsError> {
    let mut builder =
        reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).redirect(reqwest::redirect::Policy::none());
    if let Some(path) = ca_file {
        builder = builder.tls_certs_merge(authorities(path)?);
    }
    let client = builder.build().map_err(ArmOptionsError::Transport)?;
    Ok(Transport::new(Arc::new(client)))
}

fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, ArmOptionsError> {
    let problem = |problem: String| ArmOptionsError::Authorities { path: path.to_owned(), problem };
    let text = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
    match reqwest::Certificate::from_pem_bundle(&text) {
        Ok(certificates) if certificates.is_empty() => Err(problem("it holds no certificate in PEM".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(problem(format!("it is not a list of certificates in PEM ({error})"))),
    }
}

/// The policies that sign requests.
fn authorization(options: &ArmOptions, transport: &Transport) -> Result<Vec<Arc<dyn Policy>>, ArmOptionsError> {
    let endpoint = options.endpoint.clone();
    match options.sign_in.authentication {
        Authentication::None if !is_loopback(&endpoint) => {
            return Err(ArmOptionsError::UnauthenticatedRemote { endpoint });
        }
        Authentication::None => {}
        _ if endpoint.scheme() != "https" => return Err(ArmOptionsError::TokenInTheClear { endpoint }),
        _ => {}
    }
    let credential = options.sign_in.credential(transport)?;
    let scope = format!("{}/.default", endpoint.as_str().trim_end_matches('/'));
    let policy = |credential| Arc::new(BearerTokenAuthorizationPolicy::new(credential, [scope])) as Arc<dyn Policy>;
    Ok(credential.map(policy).into_iter().collect())
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::Cloud;

    fn options(endpoint: &str, authentication: Authentication) -> ArmOptions {
        let cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        ArmOptions {
            endpoint: endpoint.parse().unwrap(),
            cluster: cluster.parse().unwrap(),
            api_version: "2025-10-01".into(),
            sign_in: SignIn {
                authentication,
                cloud: Cloud::Public,
                authority: None,
                tenant: None,
                client_id: None,
                secret_file: None,
                token_file: None,
            },
            ca_file: None,
            request_share: 1.0,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
        }
    }

    fn signed(endpoint: &str, authentication: Authentication) -> Result<usize, ArmOptionsError> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        authorization(&options(endpoint, authentication), &transport(None)?).map(|policies| policies.len())
    }

    #[test]
    fn no_sign_in_is_for_this_machine_only_and_tokens_for_tls_only() {
        for endpoint in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert_eq!(signed(endpoint, Authentication::None).unwrap(), 0, "{endpoint}");
        }
        for endpoint in ["https://management.azure.com", "http://10.0.0.1", "http://localhost.example"] {
            let refused = signed(endpoint, Authentication::None).unwrap_err();
            assert!(matches!(refused, ArmOptionsError::UnauthenticatedRemote { .. }), "{endpoint}");
        }
        for authentication in [Authentication::Workload, Authentication::Managed, Authentication::Cli] {
            let clear = signed("http://127.0.0.1:1", authentication).unwrap_err();
            assert!(matches!(clear, ArmOptionsError::TokenInTheClear { .. }));
        }
        assert_eq!(signed("https://127.0.0.1:1", Authentication::Managed).unwrap(), 1);
    }

    #[test]
    fn certificates_that_can_not_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        let said = |path: &Path| transport(Some(path)).err().unwrap().to_string();
        assert!(said(&path).starts_with(&format!("--azure-ca-file {}: ", path.display())));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(said(&path).ends_with("it holds no certificate in PEM"), "{}", said(&path));
    }
}
