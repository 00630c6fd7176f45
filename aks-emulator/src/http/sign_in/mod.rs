//! Signing in: cloud metadata, the token endpoint and what it publishes, managed identity, and whether a request to ARM
//! may pass. Never handles what is in a cluster.

mod access;
mod action;
mod audience;
mod documents;
mod managed;
mod scopes;
mod token;

use axum::http::request::Parts;

use super::reply::Reply;
use super::{App, base};
pub(super) use access::role_missing;
pub(super) use token::federation_missing;

/// Answers a request that is about signing in, one that may not pass, and one for a subscription, tenant or resource
/// group; `None` for any other.
pub(super) async fn route(app: &App, parts: &Parts, body: &[u8]) -> Option<Reply> {
    // The Azure CLI asks for `//metadata/endpoints` of a cloud whose endpoint ends with a slash.
    let segments: Vec<&str> = parts.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let base = || base(app, &parts.headers);
    let reply = match segments.as_slice() {
        ["metadata", "endpoints"] => documents::cloud(&parts.method, parts.uri.query().unwrap_or_default(), &base()),
        ["metadata", "identity", "oauth2", "token"] => managed::token(app, parts, &base()),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => documents::openid(app, tenant, &base()),
        [_, "discovery", "v2.0", "keys"] => documents::keys(app),
        [tenant, "oauth2", "v2.0", "token"] => token::exchange(app, parts, body, tenant, &base()).await,
        _ => {
            return match access::check(app, parts) {
                Err(refused) => Some(*refused),
                Ok(()) => scopes::route(app, parts, &segments),
            };
        }
    };
    Some(reply)
}
