//! The journal: every request and its answer, in the order of arrival, as far back as there is room. Never changes
//! what is answered.

mod redact;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
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

/// How many bytes the journal may take; the oldest exchanges are forgotten first.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// What an exchange takes beside its bodies, roughly.
const EACH: usize = 1024;

/// The journal while it is written.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Entry>,
    /// How many came before those that are kept.
    forgotten: u64,
    bytes: usize,
}

/// An exchange whose answer is only parsed when somebody looks.
#[derive(Debug)]
struct Entry {
    exchange: Exchange,
    answer: Bytes,
    bytes: usize,
}

impl Entry {
    fn read(&self) -> Exchange {
        Exchange { response: redact::answer(body_value(&self.answer)), ..self.exchange.clone() }
    }
}

impl Recorder {
    /// Notes a request that has arrived and returns it with its number.
    pub(crate) fn arrived(&self, method: &str, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Exchange {
        let mut exchange = Exchange {
            sequence: 0,
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
        let mut entries = self.entries();
        exchange.sequence = entries.forgotten + u64::try_from(entries.kept.len()).unwrap_or(u64::MAX) + 1;
        let bytes = EACH + body.len();
        entries.kept.push_back(Entry { exchange: exchange.clone(), answer: Bytes::new(), bytes });
        entries.bytes += bytes;
        entries.forget_oldest();
        exchange
    }

    /// Notes the answer to a request, unless it was forgotten meanwhile.
    pub(crate) fn answered(&self, sequence: u64, status: u16, headers: &HeaderMap, body: &Bytes) {
        let mut entries = self.entries();
        let index = entries.index(sequence);
        if let Some(entry) = index.and_then(|index| entries.kept.get_mut(index)) {
            entry.exchange.status = Some(status);
            entry.exchange.response_headers = pick(headers, &RESPONSE_HEADERS);
            entry.answer = body.clone();
            entry.bytes += body.len();
            entries.bytes += body.len();
            entries.forget_oldest();
        }
    }

    /// A copy of what is kept.
    pub(crate) fn journal(&self) -> Journal {
        self.last(0, usize::MAX)
    }

    /// The newest exchanges after the one with this number, so many at most, in the order of arrival.
    pub(crate) fn last(&self, after: u64, most: usize) -> Journal {
        let entries = self.entries();
        let newest = entries.kept.iter().rev().take(most).take_while(|entry| entry.exchange.sequence > after);
        let mut newest: Vec<Exchange> = newest.map(Entry::read).collect();
        newest.reverse();
        Journal(newest)
    }

    /// How many have arrived, those included that are not kept.
    pub(crate) fn count(&self) -> u64 {
        let entries = self.entries();
        entries.forgotten + u64::try_from(entries.kept.len()).unwrap_or(u64::MAX)
    }

    /// The exchange with this number, if it is kept.
    pub(crate) fn exchange(&self, sequence: u64) -> Option<Exchange> {
        let entries = self.entries();
        entries.index(sequence).and_then(|index| entries.kept.get(index)).map(Entry::read)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn index(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.forgotten + 1)?).ok()
    }

    fn forget_oldest(&mut self) {
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.bytes;
            self.forgotten += 1;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_numbers_go_on() {
        let recorder = Recorder::default();
        let body = Bytes::from(vec![b'x'; MOST_BYTES / 4]);
        for expected in 1..=10 {
            let arrived = recorder.arrived("GET", "/", "", &HeaderMap::new(), b"");
            assert_eq!(arrived.sequence, expected);
            recorder.answered(arrived.sequence, 200, &HeaderMap::new(), &body);
        }
        let kept: Vec<u64> = recorder.journal().iter().map(|exchange| exchange.sequence).collect();
        assert_eq!(recorder.count(), 10);
        assert_eq!(kept, [8, 9, 10]);
        assert_eq!(recorder.last(8, 1).iter().map(|exchange| exchange.sequence).collect::<Vec<_>>(), [10]);
        assert_eq!(recorder.exchange(9).unwrap().status, Some(200));
        assert!(recorder.exchange(3).is_none() && recorder.exchange(11).is_none());
        recorder.answered(1, 200, &HeaderMap::new(), &body);
        assert_eq!(recorder.journal().len(), 3);
    }
}
