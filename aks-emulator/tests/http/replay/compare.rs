//! Compares an answer with the recorded one, ids, times and signatures aside.

use serde_json::Value;

use super::recording::Exchange;
use crate::support::Answer;

/// Headers that clients read. Others differ in every recording, such as dates, or say nothing to a client.
const HEADERS: [&str; 8] = [
    "azure-asyncoperation",
    "content-type",
    "location",
    "retry-after",
    "x-ms-failure-cause",
    "x-ms-ratelimit-remaining-subscription-global-deletes",
    "x-ms-ratelimit-remaining-subscription-global-reads",
    "x-ms-ratelimit-remaining-subscription-global-writes",
];
/// Headers that were stripped from most recordings, so that their absence says nothing.
const STRIPPED: [&str; 4] = [
    "retry-after",
    "x-ms-ratelimit-remaining-subscription-global-deletes",
    "x-ms-ratelimit-remaining-subscription-global-reads",
    "x-ms-ratelimit-remaining-subscription-global-writes",
];
/// Members whose values are never the same twice.
const UNIQUE: [&str; 4] = ["eTag", "endTime", "nextLink", "startTime"];

/// One difference between an answer and the recorded one.
#[derive(Clone, Debug)]
pub struct Difference {
    pub index: u64,
    /// `status`, `header NAME`, or the JSON pointer of a value in the body.
    pub at: String,
    pub recorded: Value,
    pub got: Value,
}

/// All differences. `genuine` says that no header was stripped from the recording.
pub fn compare(exchange: &Exchange, answer: &Answer, genuine: bool) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut note = |at: String, recorded: Value, got: Value| {
        if recorded != got {
            differences.push(Difference { index: exchange.index, at, recorded, got });
        }
    };
    note("status".to_owned(), exchange.status.into(), answer.status.into());
    for name in HEADERS {
        let recorded = exchange.response_headers.get(name).and_then(Value::as_str);
        if recorded.is_none() && !genuine && STRIPPED.contains(&name) {
            continue;
        }
        note(format!("header {name}"), header(name, recorded), header(name, answer.header(name)));
    }
    let got = if answer.body == "" { &Value::Null } else { &answer.body };
    // What an operation is called differs even from its URL in older recordings.
    let operation = exchange.operation().is_some();
    body(&exchange.response_body, got, operation, &mut String::new(), &mut note);
    differences
}

/// A header's value as far as it is compared: of URLs the path, of numbers that there is one.
fn header(name: &str, value: Option<&str>) -> Value {
    let Some(value) = value else {
        return Value::Null;
    };
    match name {
        "content-type" | "x-ms-failure-cause" => value.into(),
        "azure-asyncoperation" | "location" => path_of_operation(value).into(),
        _ => "present".into(),
    }
}

fn path_of_operation(url: &str) -> String {
    let path = url.split('?').next().unwrap_or_default();
    let path = path.splitn(4, '/').nth(3).unwrap_or_default();
    path.rsplit_once('/').map_or_else(String::new, |(path, _id)| path.to_owned())
}

fn body(recorded: &Value, got: &Value, operation: bool, at: &mut String, note: &mut impl FnMut(String, Value, Value)) {
    let length = at.len();
    let mut inner = |name: &str, recorded: Option<&Value>, got: Option<&Value>| {
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        match (recorded, got) {
            (Some(Value::String(_)), Some(Value::String(_)))
                if UNIQUE.contains(&name) || operation && name == "name" => {}
            (Some(recorded), Some(got)) => body(recorded, got, operation, at, note),
            // A member that is null and one that is absent are told apart.
            (recorded, got) => note(at.clone(), shown(recorded), shown(got)),
        }
        at.truncate(length);
    };
    match (recorded, got) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                inner(name, a.get(name), b.get(name));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                inner(&index.to_string(), a.get(index), b.get(index));
            }
        }
        (a, b) => note(at.clone(), a.clone(), b.clone()),
    }
}

fn shown(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or_else(|| "(absent)".into())
}
