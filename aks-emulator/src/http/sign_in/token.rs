//! The token endpoint: a client's secret or foreign token for an access token. Never keeps either.

use std::collections::HashMap;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::super::reply::Reply;
use super::super::respond;
use super::{App, audience};
use crate::directory::{Credential, Refusal};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The fields of a form that are needed here.
struct Form(HashMap<String, String>);

impl Form {
    fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    fn get(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing_parameter(name))
    }
}

/// `POST /TENANT/oauth2/v2.0/token`.
pub(super) async fn exchange(app: &App, parts: &Parts, body: &[u8], tenant: &str, base: &str) -> Reply {
    let correlation = parts.headers.get("client-request-id").and_then(|id| id.to_str().ok());
    if parts.method != Method::POST {
        return refused(&Refusal::post_only(parts.method.as_str()), correlation);
    }
    match access_token(app, parts, &Form::read(body), tenant, base).await {
        Ok((token, lifetime)) => {
            let body = json!({
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            });
            Reply::json(StatusCode::OK, &body).with("cache-control", "no-store, no-cache").with("pragma", "no-cache")
        }
        Err(refusal) => refused(&refusal, correlation),
    }
}

async fn access_token(
    app: &App,
    parts: &Parts,
    form: &Form,
    tenant: &str,
    base: &str,
) -> Result<(String, u64), Refusal> {
    let grant_type = form.need("grant_type")?;
    if grant_type != "client_credentials" {
        return Err(Refusal::grant_type(grant_type));
    }
    let identity = app.directory.identity(tenant, form.need("client_id")?)?;
    let resource = resource(form.need("scope")?)?;
    if !audience::is_arm(app, &parts.headers, resource) {
        return Err(Refusal::resource(resource, tenant));
    }
    let credential = match (form.get("client_secret"), form.get("client_assertion")) {
        (_, Some(assertion)) => {
            let kind = form.need("client_assertion_type")?;
            if kind != ASSERTION_TYPE {
                return Err(Refusal::assertion_type(kind));
            }
            Credential::Assertion(assertion)
        }
        (Some(secret), None) => Credential::Secret(secret),
        (None, None) => return Err(Refusal::missing_credential()),
    };
    app.directory.authenticate(identity, credential).await?;
    app.directory.issue(identity, &format!("{base}/{tenant}/v2.0"), resource)
}

/// The resource of a scope: `https://management.azure.com/` of `https://management.azure.com//.default`.
fn resource(scope: &str) -> Result<&str, Refusal> {
    let mut scopes = scope.split_whitespace();
    scopes.find_map(|scope| scope.strip_suffix("/.default")).ok_or_else(|| Refusal::scope(scope))
}

/// What a refusal looks like; `correlation` is the request's id as the client gave it.
pub(super) fn refused(refusal: &Refusal, correlation: Option<&str>) -> Reply {
    let trace = Uuid::new_v4().to_string();
    let correlation = correlation.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let body = json!({
        "error": refusal.error,
        "error_description": format!(
            "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
            refusal.code, refusal.message
        ),
        "error_codes": [refusal.code],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.com/error?code={}", refusal.code),
    });
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    Reply::json(status, &body).with("cache-control", "no-store, no-cache")
}

/// The answer to a request while federated credentials are not known everywhere.
pub(in super::super) async fn federation_missing(app: &App, parts: &Parts, body: &[u8]) -> Reply {
    let form = Form::read(body);
    match form.get("client_assertion") {
        Some(assertion) if parts.uri.path().ends_with("/oauth2/v2.0/token") => {
            refused(&Refusal::unpropagated(assertion), None)
        }
        _ => respond(app, parts, body).await,
    }
}
