//! Requests to ARM, one at a time. Never retries a write, never follows a redirect, never logs a body or a token.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, Method, Pipeline, PipelineSendOptions, Request, RetryOptions,
    Transport,
};
use nodepool_kernel::{Approved, Cluster, Step};
use serde_json::Value;
use url::Url;

use super::document::{PoolDocument, cluster};
use super::error::ArmError;
use super::resource_id::ClusterId;
use super::write::PoolWrite;

/// The id that joins what Azure logs about one request.
const CORRELATION: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// How the operator signs in to Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Authentication {
    /// Workload identity: the service account token that AKS projects into the pod is exchanged for an Azure token.
    Workload,
    /// No sign-in; only for an endpoint on this machine, such as the AKS emulator.
    None,
}

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
    pub authentication: Authentication,
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
    #[error("--arm-endpoint {endpoint} is not https: with --azure-auth workload a token would be sent in the clear")]
    TokenInTheClear {
        /// The endpoint.
        endpoint: Url,
    },
    /// The environment of workload identity is incomplete.
    #[error(
        "workload identity is not set up: {detail}; label the pod azure.workload.identity/use=true and annotate its service account with azure.workload.identity/client-id, or use another --azure-auth"
    )]
    WorkloadIdentity {
        /// What is missing.
        detail: String,
        /// The cause.
        source: Box<azure_core::Error>,
    },
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be made")]
    Transport(#[source] reqwest::Error),
}

/// A client for one managed cluster.
pub struct ArmClient {
    read: Pipeline,
    write: Pipeline,
    options: ArmOptions,
}

impl ArmClient {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The options contradict each other, or the environment lacks what the sign-in needs.
    pub fn new(options: ArmOptions) -> Result<Self, ArmOptionsError> {
        let authorization = authorization(&options)?;
        let transport = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ArmOptionsError::Transport)?;
        let pipeline = |retry: RetryOptions| {
            let client_options = ClientOptions {
                retry,
                transport: Some(Transport::new(Arc::new(transport.clone()))),
                ..ClientOptions::default()
            };
            let (name, version) = (option_env!("CARGO_PKG_NAME"), option_env!("CARGO_PKG_VERSION"));
            Pipeline::new(name, version, client_options, Vec::new(), authorization.clone(), None)
        };
        let reads = ExponentialRetryOptions {
            max_retries: 2,
            max_total_elapsed: azure_core::time::Duration::seconds(5),
            ..ExponentialRetryOptions::default()
        };
        Ok(Self { read: pipeline(RetryOptions::exponential(reads)), write: pipeline(RetryOptions::none()), options })
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

    /// Writes a pool, once. Only an approved step can be written.
    ///
    /// # Errors
    /// An error, or no answer; [`ArmError::outcome_unknown`] tells whether it may have had an effect all the same.
    pub async fn put_pool(&self, approved: &Approved<Step>, write: &PoolWrite) -> Result<(), ArmError> {
        let mut request = self.request(&self.pool_path(&approved.get().pool), Method::Put);
        request.insert_header("content-type", "application/json");
        if let Some(tag) = &write.if_match {
            request.insert_header("if-match", tag.clone());
        }
        request.set_body(write.body.to_string().into_bytes());
        self.send(&self.write, request, WRITE_TIMEOUT).await.map(|_| ())
    }

    fn pool_path(&self, name: &str) -> String {
        format!("{}/agentPools/{name}", self.options.cluster)
    }

    fn request(&self, path: &str, method: Method) -> Request {
        let mut url = self.options.endpoint.clone();
        url.set_path(path);
        url.query_pairs_mut().clear().append_pair("api-version", &self.options.api_version);
        let mut request = Request::new(url, method);
        request.insert_header("accept", "application/json");
        request
    }

    async fn get(&self, what: &str, path: &str) -> Result<Value, ArmError> {
        let body = self.send(&self.read, self.request(path, Method::Get), READ_TIMEOUT).await?;
        serde_json::from_slice(&body).map_err(|error| self.malformed(what, format!("it is not JSON ({error})")))
    }

    async fn send(&self, pipeline: &Pipeline, mut request: Request, limit: Duration) -> Result<Vec<u8>, ArmError> {
        let endpoint = self.options.endpoint.as_str();
        let context = Context::new();
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let sent = tokio::time::timeout(limit, pipeline.send(&context, &mut request, Some(options))).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(ArmError::unanswered(endpoint, error)),
            Err(_) => {
                let detail = format!("nothing came within {} s", limit.as_secs());
                return Err(ArmError::Lost { endpoint: endpoint.to_owned(), detail });
            }
        };
        let status = u16::from(response.status());
        if (200..300).contains(&status) {
            return Ok(response.body().as_ref().to_vec());
        }
        let seconds = |name: &HeaderName| response.headers().get_optional_str(name)?.parse::<u64>().ok();
        let retry_after = seconds(&RETRY_AFTER).map(Duration::from_secs);
        let correlation = response.headers().get_optional_str(&CORRELATION).map(str::to_owned);
        Err(ArmError::answered(status, response.body().as_ref(), retry_after).correlated(correlation))
    }

    fn malformed(&self, what: &str, detail: String) -> ArmError {
        ArmError::Malformed { what: what.to_owned(), endpoint: self.options.endpoint.to_string(), detail }
    }
}

/// The policies that sign requests.
fn authorization(options: &ArmOptions) -> Result<Vec<Arc<dyn Policy>>, ArmOptionsError> {
    let endpoint = options.endpoint.clone();
    match options.authentication {
        Authentication::None if is_loopback(&endpoint) => Ok(Vec::new()),
        Authentication::None => Err(ArmOptionsError::UnauthenticatedRemote { endpoint }),
        Authentication::Workload if endpoint.scheme() != "https" => Err(ArmOptionsError::TokenInTheClear { endpoint }),
        Authentication::Workload => {
            let credential: Arc<dyn TokenCredential> =
                azure_identity::WorkloadIdentityCredential::new(None).map_err(|source| {
                    ArmOptionsError::WorkloadIdentity { detail: source.to_string(), source: Box::new(source) }
                })?;
            let scope = format!("{}/.default", endpoint.as_str().trim_end_matches('/'));
            Ok(vec![Arc::new(BearerTokenAuthorizationPolicy::new(credential, [scope]))])
        }
    }
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

    fn options(endpoint: &str, authentication: Authentication) -> ArmOptions {
        let cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        ArmOptions {
            endpoint: endpoint.parse().unwrap(),
            cluster: cluster.parse().unwrap(),
            api_version: "2025-10-01".into(),
            authentication,
        }
    }

    #[test]
    fn no_sign_in_is_for_this_machine_only_and_tokens_for_tls_only() {
        for endpoint in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(authorization(&options(endpoint, Authentication::None)).is_ok(), "{endpoint}");
        }
        for endpoint in ["https://management.azure.com", "http://10.0.0.1", "http://localhost.example"] {
            let refused = authorization(&options(endpoint, Authentication::None)).err().unwrap();
            assert!(matches!(refused, ArmOptionsError::UnauthenticatedRemote { .. }), "{endpoint}");
        }
        let clear = authorization(&options("http://127.0.0.1:1", Authentication::Workload)).err().unwrap();
        assert!(matches!(clear, ArmOptionsError::TokenInTheClear { .. }));
    }
}
