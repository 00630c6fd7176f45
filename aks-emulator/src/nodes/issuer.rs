//! What the API server publishes about the service account tokens that it signs. Never looks at a token.

use axum::http::Request;
use kube::Client;
use serde_json::Value;

use super::NodeError;
use super::drain::error;

/// Where the issuer's keys are on every API server, whatever `jwks_uri` says to the outside.
const KEYS: &str = "/openid/v1/jwks";
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The issuer of service account tokens and its public keys.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerKeys {
    /// The issuer, as tokens name it.
    pub issuer: String,
    /// Its key set, as RFC 7517 has it.
    pub keys: Value,
}

pub(super) async fn read(client: &Client) -> Result<IssuerKeys, NodeError> {
    let discovery = get(client, DISCOVERY).await?;
    let issuer = discovery.get("issuer").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(IssuerKeys { issuer, keys: get(client, KEYS).await? })
}

async fn get(client: &Client, path: &str) -> Result<Value, NodeError> {
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
    let answer = match request {
        Ok(request) => client.request(request).await,
        Err(source) => Err(source),
    };
    answer.map_err(|source| error("read", path, source))
}
