//! The crate's client for the endpoint under test, with a real sign-in where there is a secret. Never makes a request.

use std::env;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::TransportOptions;
use azure_core::auth::{AccessToken, TokenCredential, TokenResponse};
use azure_identity::{ClientSecretCredential, TokenCredentialOptions};
use azure_mgmt_containerservice::package_preview_2023_01::Client;
use time::{Duration, OffsetDateTime};

use crate::Problem;

pub const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
pub const GROUP: &str = "interop";
pub const CLUSTER: &str = "interop";

/// A token that no authority issued, for an emulator that asks for none.
struct StaticToken;

#[async_trait]
impl TokenCredential for StaticToken {
    async fn get_token(&self, _resource: &str) -> azure_core::Result<TokenResponse> {
        Ok(TokenResponse::new(AccessToken::new("interop"), OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

/// Where the service is: `ENDPOINT`, without a slash at the end.
pub fn endpoint() -> Result<String, Problem> {
    let endpoint = env::var("ENDPOINT").map_err(|_| "ENDPOINT is not set")?;
    Ok(endpoint.trim_end_matches('/').to_owned())
}

/// An HTTP client that trusts the authority in the file `CA` beside the usual ones.
pub fn transport() -> Result<reqwest::Client, Problem> {
    let mut builder = reqwest::Client::builder();
    if let Ok(file) = env::var("CA") {
        builder = builder.add_root_certificate(reqwest::Certificate::from_pem(&std::fs::read(file)?)?);
    }
    Ok(builder.build()?)
}

/// Who asks: with `CLIENT_SECRET` a real sign-in at `AUTHORITY` (by default the endpoint) as `CLIENT_ID` of `TENANT`.
pub fn credential() -> Result<Arc<dyn TokenCredential>, Problem> {
    let Ok(secret) = env::var("CLIENT_SECRET") else {
        return Ok(Arc::new(StaticToken));
    };
    let authority = env::var("AUTHORITY").or_else(|_| endpoint())?;
    let options = TokenCredentialOptions::new(authority.trim_end_matches('/').parse()?);
    let (tenant, id) = (env::var("TENANT")?, env::var("CLIENT_ID")?);
    Ok(Arc::new(ClientSecretCredential::new(Arc::new(transport()?), tenant, id, secret, options)))
}

/// The crate's client.
pub fn connect() -> Result<Client, Problem> {
    let endpoint = endpoint()?;
    let client = Client::builder(credential()?).endpoint(&endpoint).scopes(&[&endpoint]);
    Ok(client.transport(TransportOptions::new(Arc::new(transport()?))).build())
}
