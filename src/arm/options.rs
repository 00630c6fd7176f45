//! Where ARM is, who the operator is there, and what requests go over. Never sends anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Transport;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use url::Url;

use super::bounded::Bounded;
use super::resource_id::ClusterId;
use super::sign_in::{Authentication, SignIn, SignInError};

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

/// What requests go over. Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`).
pub(super) fn transport(ca_file: Option<&Path>) -> Result<Transport, ArmOptionsError> {
    let mut builder =
        reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).redirect(reqwest::redirect::Policy::none());
    if let Some(path) = ca_file {
        builder = builder.tls_certs_merge(authorities(path)?);
    }
    let client = builder.build().map_err(ArmOptionsError::Transport)?;
    Ok(Transport::new(Arc::new(Bounded(client))))
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
pub(super) fn authorization(
    options: &ArmOptions,
    transport: &Transport,
) -> Result<Vec<Arc<dyn Policy>>, ArmOptionsError> {
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
