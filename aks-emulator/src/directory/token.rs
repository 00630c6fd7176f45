//! Access tokens: what is in them, and whether one is taken. Never says what its bearer may do.

use jsonwebtoken::{Header, Validation, decode, encode, get_current_timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::{ALGORITHM, SigningKey};
use super::{Identity, Refusal};

/// The claims of an application's access token, as far as clients look at them.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    appid: String,
    idtyp: String,
    oid: String,
    sub: String,
    tid: String,
    uti: String,
    ver: String,
}

/// Whose token a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) object_id: String,
    pub(crate) tenant: String,
}

/// Why an access token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unaccepted {
    /// It is no token, or not one of this directory.
    Invalid,
    /// It is no longer valid, since this time in seconds since 1970.
    Expired(u64),
    /// It is for somebody else, who is named.
    Audience(String),
    /// It is of another tenant's issuer, which is named.
    Tenant(String),
}

pub(super) fn issue(
    key: &SigningKey,
    identity: &Identity,
    issuer: &str,
    audience: &str,
    lifetime: u64,
) -> Result<String, Refusal> {
    let pair = key.pair()?;
    let now = get_current_timestamp();
    let claims = Claims {
        aud: audience.to_owned(),
        iss: issuer.to_owned(),
        iat: now,
        nbf: now,
        exp: now + lifetime,
        appid: identity.client_id.clone(),
        idtyp: "app".to_owned(),
        oid: identity.object_id(),
        sub: identity.object_id(),
        tid: identity.tenant.clone().unwrap_or_default(),
        uti: Uuid::new_v4().to_string(),
        ver: "1.0".to_owned(),
    };
    let header = Header { kid: Some(pair.id.clone()), ..Header::new(ALGORITHM) };
    encode(&header, &claims, &pair.private).map_err(|_| Refusal::internal())
}

pub(super) fn verify(
    key: &SigningKey,
    token: &str,
    tenant: &str,
    is_audience: impl Fn(&str) -> bool,
) -> Result<Caller, Unaccepted> {
    let pair = key.pair().map_err(|_| Unaccepted::Invalid)?;
    let mut validation = Validation::new(ALGORITHM);
    // The times below, as they go into the answer; the audience by the caller's rule.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = decode::<Claims>(token, &pair.public, &validation).map_err(|_| Unaccepted::Invalid)?.claims;
    if claims.exp <= get_current_timestamp() {
        return Err(Unaccepted::Expired(claims.exp));
    }
    if !is_audience(&claims.aud) {
        return Err(Unaccepted::Audience(claims.aud));
    }
    if !claims.tid.eq_ignore_ascii_case(tenant) {
        return Err(Unaccepted::Tenant(claims.iss));
    }
    Ok(Caller { client_id: claims.appid, object_id: claims.oid, tenant: claims.tid })
}
