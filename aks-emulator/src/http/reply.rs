//! Answers: status, headers and body as the service and its gateway send them. Never decides what to answer.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use crate::Canned;
use crate::service::refusal::Refusal;

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// A JSON answer.
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        let mut reply = Self::empty(status);
        reply.body = body.to_string().into();
        reply.set(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        reply
    }

    /// An answer without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        let mut reply = Self { status, headers: HeaderMap::new(), body: Bytes::new() };
        for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
            reply.text(name, &Uuid::new_v4().to_string());
        }
        reply
    }

    /// A test's own answer.
    pub(super) fn canned(canned: &Canned) -> Self {
        let status = StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = Self::empty(status);
        reply.body = canned.body.clone().into();
        reply.text("content-type", "application/json");
        for (name, value) in &canned.headers {
            reply.text(name, value);
        }
        reply
    }

    /// The same with the URL of an operation.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.text(name, value);
        self
    }

    /// The same with what the subscription may still ask of the gateway, as recorded for a client that asks rarely.
    pub(super) fn counted(self, method: &str) -> Self {
        match method {
            "GET" => self.with("x-ms-ratelimit-remaining-subscription-global-reads", "16499"),
            "DELETE" => self.with("x-ms-ratelimit-remaining-subscription-global-deletes", "11999"),
            _ => self.with("x-ms-ratelimit-remaining-subscription-global-writes", "11999"),
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            self.set(name, value);
        }
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reply = Self::json(status, &refusal.body());
        match refusal {
            Refusal::Provider { .. } => reply,
            Refusal::Gateway { .. } => {
                reply.with("content-type", "application/json; charset=utf-8").with("x-ms-failure-cause", "gateway")
            }
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
