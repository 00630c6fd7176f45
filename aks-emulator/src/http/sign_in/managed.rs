//! The instance metadata service, as far as a managed identity asks it for a token. Never says who it is for: every
//! caller counts as the machine that has the identities.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use jsonwebtoken::get_current_timestamp;
use serde_json::json;

use super::super::parameter;
use super::super::reply::Reply;
use super::{App, audience, token};
use crate::directory::Identity;

/// `GET /metadata/identity/oauth2/token`.
pub(super) fn token(app: &App, parts: &Parts, base: &str) -> Reply {
    let query = parts.uri.query().unwrap_or_default();
    let has_header = parts.headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if parts.method != Method::GET {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "Only GET is supported");
    }
    if !has_header {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "Required metadata header not specified");
    }
    let Some(resource) = parameter(query, "resource") else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "Required query variable 'resource' is missing");
    };
    let Some(identity) = identity(app, query) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "Identity not found");
    };
    if !audience::is_arm(app, &parts.headers, &resource) {
        return refused(StatusCode::BAD_REQUEST, "invalid_resource", "The resource principal was not found");
    }
    let issuer = format!("{base}/{}/v2.0", identity.tenant.as_deref().unwrap_or_default());
    match app.directory.issue(identity, &issuer, &resource) {
        Ok((token, lifetime)) => {
            let now = get_current_timestamp();
            let body = json!({
                "access_token": token,
                "client_id": identity.client_id,
                "expires_in": lifetime.to_string(),
                "ext_expires_in": lifetime.to_string(),
                "expires_on": (now + lifetime).to_string(),
                "not_before": now.to_string(),
                "resource": resource,
                "token_type": "Bearer",
            });
            Reply::json(StatusCode::OK, &body)
        }
        Err(refusal) => token::refused(&refusal, None),
    }
}

fn identity<'a>(app: &'a App, query: &str) -> Option<&'a Identity> {
    // A resource id names none of the identities, which have no resource here.
    if parameter(query, "msi_res_id").or_else(|| parameter(query, "mi_res_id")).is_some() {
        return None;
    }
    app.directory.managed_identity(parameter(query, "client_id").as_deref(), parameter(query, "object_id").as_deref())
}

fn refused(status: StatusCode, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"error": error, "error_description": description}))
}
