//! The journal: every request and its answer, in the order of arrival. Never changes what is answered.

mod redact;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Request headers that are kept; credentials never are.
const REQUEST_HEADERS: [&str; 6] =
    ["user-agent", "if-match", "if-none-match", "content-type", "x-ms-client-request-id", "host"];
/// Answer headers that are kept.
const RESPONSE_HEADERS: [&str; 4] = ["azure-asyncoperation", "location", "retry-after", "x-ms-failure-cause"];

/// One request and, once it was given, its answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Number of the request since the start, from 1.
    pub sequence: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// Method, in capitals.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent, without the `?`; empty if there was none.
    pub query: String,
    /// Request headers of interest, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON as sent, a string for anything else, `None` if it was empty.
    pub request: Option<Value>,
    /// Status of the answer; `None` while there is none.
    pub status: Option<u16>,
    /// Answer headers of interest, names in lower case.
    pub response_headers: BTreeMap<String, String>,
    /// Body of the answer.
    pub response: Option<Value>,
}

impl Exchange {
    /// Whether the request could change something: a PUT, POST, PATCH or DELETE.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.method.as_str(), "PUT" | "POST" | "PATCH" | "DELETE")
    }

    /// The `User-Agent` it was sent with, or an empty string.
    #[must_use]
    pub fn user_agent(&self) -> &str {
        self.headers.get("user-agent").map_or("", String::as_str)
    }

    /// The last segment of the path: the pool's name for a request on a pool.
    #[must_use]
    pub fn resource_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A copy of the journal at one moment, or a part of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Journal(Vec<Exchange>);

impl Journal {
    /// Only the requests that could change something.
    #[must_use]
    pub fn writes(&self) -> Self {
        self.only(Exchange::is_write)
    }

    /// Only the requests whose `User-Agent` contains this.
    #[must_use]
    pub fn by_user_agent(&self, part: &str) -> Self {
        self.only(|exchange| exchange.user_agent().contains(part))
    }

    /// Only the requests that came after the one with this number.
    #[must_use]
    pub fn after(&self, sequence: u64) -> Self {
        self.only(|exchange| exchange.sequence > sequence)
    }

    /// Only the requests that hold for the test.
    #[must_use]
    pub fn only(&self, test: impl Fn(&Exchange) -> bool) -> Self {
        Self(self.0.iter().filter(|e| test(e)).cloned().collect())
    }
}

impl Deref for Journal {
    type Target = [Exchange];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl IntoIterator for Journal {
    type Item = Exchange;
    type IntoIter = std::vec::IntoIter<Exchange>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The journal while it is written.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Exchange>>);

impl Recorder {
    /// Notes a request that has arrived and returns it with its number.
    pub(crate) fn arrived(&self, method: &str, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Exchange {
        let mut entries = self.entries();
        let exchange = Exchange {
            sequence: u64::try_from(entries.len()).unwrap_or(u64::MAX) + 1,
            at: Timestamp::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: pick(headers, &REQUEST_HEADERS),
            request: redact::request(path, headers, body_value(body)),
            status: None,
            response_headers: BTreeMap::new(),
            response: None,
        };
        entries.push(exchange.clone());
        exchange
    }

    /// Notes the answer to a request.
    pub(crate) fn answered(&self, sequence: u64, status: u16, headers: &HeaderMap, body: &[u8]) {
        let mut entries = self.entries();
        let index = usize::try_from(sequence.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(exchange) = entries.get_mut(index) {
            exchange.status = Some(status);
            exchange.response_headers = pick(headers, &RESPONSE_HEADERS);
            exchange.response = redact::answer(body_value(body));
        }
    }

    /// A copy of what was noted so far.
    pub(crate) fn journal(&self) -> Journal {
        Journal(self.entries().clone())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pick(headers: &HeaderMap, wanted: &[&str]) -> BTreeMap<String, String> {
    wanted
        .iter()
        .filter_map(|name| {
            let value = headers.get(*name)?;
            Some(((*name).to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        })
        .collect()
}

fn body_value(body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        return None;
    }
    Some(serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned())))
}
