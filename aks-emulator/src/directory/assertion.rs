//! Foreign tokens that an identity signs in with: whether one matches a federated credential and its issuer's real
//! keys. Never takes one that it could not verify.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{FederatedCredential, Identity, Refusal};
use crate::NodeSide;

/// How long an issuer may take to answer, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a federated credential is compared with.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    pub(super) iss: String,
    #[serde(default)]
    pub(super) sub: String,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    nbf: u64,
    exp: u64,
}

impl Claims {
    /// The audiences: one, or a list.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match &self.aud {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// What a token says, whoever signed it.
pub(super) fn read(assertion: &str) -> Result<Claims, Refusal> {
    let token = jsonwebtoken::dangerous::insecure_decode::<Claims>(assertion);
    token.map(|token| token.claims).map_err(|_| Refusal::malformed_assertion())
}

/// Checks a token against the identity's credentials, its times, and the keys of its issuer, in this order. The order
/// is not known of Entra.
pub(super) async fn verify(identity: &Identity, assertion: &str, issuer: &dyn NodeSide) -> Result<(), Refusal> {
    let claims = read(assertion)?;
    credential(identity, &claims)?;
    let now = get_current_timestamp();
    if claims.exp <= now || claims.nbf > now {
        return Err(Refusal::assertion_times(claims.nbf, claims.exp));
    }
    let keys = published(&claims.iss, issuer).await?;
    signature(assertion, &claims.iss, &keys)
}

/// The federated credential that describes a token.
fn credential<'a>(identity: &'a Identity, claims: &Claims) -> Result<&'a FederatedCredential, Refusal> {
    if identity.federated.is_empty() {
        return Err(Refusal::no_credential(&identity.client_id, &identity.name));
    }
    let mut credentials: Vec<&FederatedCredential> = identity.federated.iter().collect();
    credentials.retain(|credential| credential.issuer.as_deref() == Some(&claims.iss));
    if credentials.is_empty() {
        return Err(Refusal::assertion_issuer(&claims.iss));
    }
    credentials.retain(|credential| credential.subject == claims.sub);
    if credentials.is_empty() {
        return Err(Refusal::assertion_subject(&claims.sub));
    }
    let audiences = claims.audiences();
    let found = credentials.into_iter().find(|credential| audiences.contains(&credential.audience.as_str()));
    found.ok_or_else(|| Refusal::assertion_audience(&audiences.join(" ")))
}

/// The keys that an issuer publishes. Only the API server's issuer can be asked.
async fn published(issuer: &str, side: &dyn NodeSide) -> Result<JwkSet, Refusal> {
    let answer = tokio::time::timeout(PATIENCE, side.issuer_keys()).await;
    let published = match answer {
        Ok(Ok(Some(published))) if published.issuer == issuer => published,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the issuer's keys cannot be read");
            return Err(Refusal::issuer_unreachable());
        }
        _ => return Err(Refusal::issuer_unreachable()),
    };
    serde_json::from_value(published.keys).map_err(|_| Refusal::issuer_unreachable())
}

fn signature(assertion: &str, issuer: &str, keys: &JwkSet) -> Result<(), Refusal> {
    let id = decode_header(assertion).map_err(|_| Refusal::malformed_assertion())?.kid.unwrap_or_default();
    let key = keys.find(&id).ok_or_else(|| Refusal::unknown_key(&id, issuer))?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Refusal::unknown_key(&id, issuer))?;
    // RS256 is all that Entra takes. Times and audience were compared above.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode::<Value>(assertion, &key, &validation).map(|_| ()).map_err(|error| match error.kind() {
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) => Refusal::malformed_assertion(),
        _ => Refusal::assertion_signature(),
    })
}
