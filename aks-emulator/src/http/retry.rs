//! `Retry-After` on answers about operations, where the settings have one. Never on an answer that has its own.

use axum::http::header;
use serde_json::Value;

use super::reply::Reply;
use crate::Settings;

/// The same answer; with the header if it accepts an operation or is the status of one that runs.
pub(super) fn hint(settings: &Settings, reply: Reply) -> Reply {
    let Some(seconds) = settings.retry_after else {
        return reply;
    };
    let is_accepted = ["azure-asyncoperation", "location"].iter().any(|name| reply.headers.contains_key(*name));
    if reply.headers.contains_key(header::RETRY_AFTER) || !(is_accepted || is_running(&reply)) {
        return reply;
    }
    reply.with("retry-after", &seconds.to_string())
}

/// Whether an answer is the status of an operation that has not ended: of all documents, only those have one at the top.
fn is_running(reply: &Reply) -> bool {
    let document: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let status = document.as_ref().and_then(|document| document.get("status")).and_then(Value::as_str);
    status.is_some_and(|status| !matches!(status, "Succeeded" | "Failed" | "Canceled"))
}
