//! Long-running operations of ARM as a pure state machine: what an answer about one means. Never sends anything, knows no
//! clock, and never shows the query of an operation's URL, which is its signature.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use url::Url;

/// The longest URL of an operation that is asked. Recorded ones have about 3,000 characters.
const LONGEST_URL: usize = 16_384;

/// How many answers in a row may make no sense before the operation is given up.
const MOST_STRANGE: u8 = 3;

/// The most characters of a status text or an error code that are kept.
const LONGEST_WORD: usize = 128;

/// The most characters of an error's message that are kept.
const LONGEST_MESSAGE: usize = 1024;

/// An operation that ARM runs, known by the URL that tells how it goes.
///
/// The URL is signed and is used as ARM gave it. Neither `Debug` nor `Display` shows its query.
#[derive(Clone, PartialEq, Eq)]
pub struct Operation {
    url: Url,
    /// How many answers in a row made no sense.
    strange: u8,
}

/// Why the URL of an operation is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationUrlError {
    /// It is no URL.
    #[error("the operation's URL can't be read: {0}")]
    Unreadable(#[from] url::ParseError),
    /// It is longer than any that was ever seen.
    #[error("the operation's URL has {length} characters, more than {LONGEST_URL}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It leads to another scheme, host or port: the operator's token would go there.
    #[error("the operation's URL is at {origin}, not at {endpoint}: the operator's token is for the latter only")]
    Elsewhere {
        /// Where it leads to.
        origin: String,
        /// ARM's endpoint.
        endpoint: String,
    },
    /// It names a user, which would be sent in place of the operator's token.
    #[error("the operation's URL names a user")]
    NamesUser,
}

/// What came of asking how an operation goes.
#[derive(Debug, Clone, Copy)]
pub enum Response<'a> {
    /// An answer over HTTP.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: &'a [u8],
        /// How long to wait, when ARM says so.
        retry_after: Option<Duration>,
    },
    /// None: it was not sent, or nothing came back.
    Absent {
        /// What happened.
        why: &'a str,
        /// How long to wait, when that is known.
        retry_after: Option<Duration>,
    },
}

/// How an operation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It has not ended, or nothing tells that it has.
    Running {
        /// What to ask next time.
        operation: Operation,
        /// How long to wait at least, when ARM says so.
        poll_after: Option<Duration>,
        /// What is known of it, in at most some hundred characters: ARM's status text, or why there is none.
        says: String,
    },
    /// It has ended.
    Ended(End),
    /// Its URL tells nothing: from now on only the pool's provisioning state does.
    Untold {
        /// Why.
        why: String,
    },
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It did all that was asked.
    Succeeded,
    /// It failed, perhaps half-way.
    Failed {
        /// ARM's code, `UnknownError` when it gives none.
        code: String,
        /// ARM's message, empty when it gives none.
        message: String,
    },
    /// Somebody stopped it, perhaps half-way.
    Canceled {
        /// ARM's code, `UnknownError` when it gives none.
        code: String,
        /// ARM's message, empty when it gives none.
        message: String,
    },
}

impl Operation {
    /// The operation of an `Azure-AsyncOperation` header in an answer of ARM at `endpoint`.
    ///
    /// # Errors
    /// The URL can't be read, or it must not be asked.
    pub fn at(url: &str, endpoint: &Url) -> Result<Self, OperationUrlError> {
        if url.len() > LONGEST_URL {
            return Err(OperationUrlError::TooLong { length: url.len() });
        }
        let url = Url::parse(url)?;
        if url.origin() != endpoint.origin() {
            let host = url.host_str().map(|host| bounded(host, LONGEST_WORD)).unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let origin = format!("{}://{host}{port}", bounded(url.scheme(), LONGEST_WORD));
            return Err(OperationUrlError::Elsewhere { origin, endpoint: endpoint.origin().ascii_serialization() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OperationUrlError::NamesUser);
        }
        Ok(Self { url, strange: 0 })
    }

    /// The URL to ask, with its signature.
    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    fn running(&self, poll_after: Option<Duration>, says: &str) -> Progress {
        Progress::Running { operation: self.clone(), poll_after, says: bounded(says, LONGEST_MESSAGE) }
    }

    /// After an answer that makes no sense: asked again a few times, then given up.
    fn strange(&self, poll_after: Option<Duration>, why: &str) -> Progress {
        let operation = Self { url: self.url.clone(), strange: self.strange.saturating_add(1) };
        if operation.strange >= MOST_STRANGE {
            let why = format!("{} answers about the operation in a row were not understood: {why}", operation.strange);
            return Progress::Untold { why };
        }
        operation.running(poll_after, why)
    }
}

impl fmt::Display for Operation {
    /// The URL without its query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({self}, strange: {})", self.strange)
    }
}

/// How an operation goes, after asking once.
///
/// The body's `status` alone decides: `Succeeded`, `Failed` and `Canceled` end it, any other text is progress. An `error`
/// beside another status is left over from an earlier try (recorded with `InProgress` and with `Succeeded`).
#[must_use]
pub fn next(operation: &Operation, response: &Response<'_>) -> Progress {
    match *response {
        Response::Absent { why, retry_after } => operation.running(retry_after, why),
        Response::Answered { status, body, retry_after } => match status {
            200..=299 => told(operation, body, retry_after),
            401 | 403 => Progress::Untold { why: format!("Azure does not tell how the operation goes ({status})") },
            404 | 410 => Progress::Untold { why: format!("Azure does not know the operation ({status})") },
            408 | 429 | 500..=599 => operation.running(retry_after, &format!("Azure answered {status}")),
            _ => operation.strange(retry_after, &format!("Azure answered {status}")),
        },
    }
}

/// How the operation goes by the body of an answer.
fn told(operation: &Operation, body: &[u8], retry_after: Option<Duration>) -> Progress {
    let document: Value = match serde_json::from_slice(body) {
        Ok(document) => document,
        Err(error) => return operation.strange(retry_after, &format!("the answer is not JSON ({error})")),
    };
    let Some(status) = document.get("status").and_then(Value::as_str).filter(|status| !status.is_empty()) else {
        return operation.strange(retry_after, "the answer has no status");
    };
    let is = |end: &str| status.eq_ignore_ascii_case(end);
    if is("Succeeded") {
        return Progress::Ended(End::Succeeded);
    }
    if !is("Failed") && !is("Canceled") {
        let understood = Operation { url: operation.url.clone(), strange: 0 };
        return understood.running(retry_after, &bounded(status, LONGEST_WORD));
    }
    let error = document.get("error");
    let text = |field: &str| error.and_then(|error| error.get(field)?.as_str()).filter(|text| !text.is_empty());
    let code = bounded(text("code").unwrap_or("UnknownError"), LONGEST_WORD);
    let message = bounded(text("message").unwrap_or_default(), LONGEST_MESSAGE);
    Progress::Ended(if is("Failed") { End::Failed { code, message } } else { End::Canceled { code, message } })
}

/// The first characters of a text.
fn bounded(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const QUERY: &str = "api-version=2025-03-01&t=1&c=MII%2Fa&s=secret_-&h=x";
    const PATH: &str = "/subscriptions/s/providers/Microsoft.ContainerService/locations/l/operations/o";

    fn endpoint() -> Url {
        "https://management.azure.com".parse().unwrap()
    }

    fn operation() -> Operation {
        Operation::at(&format!("https://management.azure.com{PATH}?{QUERY}"), &endpoint()).unwrap()
    }

    fn after(operation: &Operation, status: u16, body: &[u8]) -> Progress {
        next(operation, &Response::Answered { status, body, retry_after: None })
    }

    fn told(body: &Value) -> Progress {
        after(&operation(), 200, body.to_string().as_bytes())
    }

    /// What a running operation says.
    fn says(progress: &Progress) -> &str {
        match progress {
            Progress::Running { says, .. } => says,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_status_alone_decides() {
        let leftover = json!({"code": "NotLatestOperation", "message": "of an earlier try"});
        for status in ["InProgress", "Updating", "CreatingAgentPool: 0/1 nodes completed", "succeeded?", "Cancelled"] {
            assert_eq!(says(&told(&json!({"status": status}))), status);
            assert_eq!(says(&told(&json!({"status": status, "error": leftover, "endTime": "t"}))), status);
        }
        for status in ["Succeeded", "succeeded", "SUCCEEDED"] {
            assert_eq!(told(&json!({"status": status})), Progress::Ended(End::Succeeded));
            assert_eq!(told(&json!({"status": status, "error": leftover})), Progress::Ended(End::Succeeded));
        }
        let (code, message) = ("QuotaExceeded".to_owned(), "no cores left".to_owned());
        let error = json!({"code": code, "message": message});
        let failed = End::Failed { code: code.clone(), message: message.clone() };
        assert_eq!(told(&json!({"status": "failed", "error": error})), Progress::Ended(failed));
        assert_eq!(
            told(&json!({"status": "Canceled", "error": error})),
            Progress::Ended(End::Canceled { code, message })
        );
    }

    #[test]
    fn an_end_without_a_usable_error_is_an_end_all_the_same() {
        for error in [json!(null), json!("text"), json!({"code": 7, "message": null}), json!({"code": ""})] {
            let failed = End::Failed { code: "UnknownError".into(), message: String::new() };
            assert_eq!(told(&json!({"status": "Failed", "error": error})), Progress::Ended(failed));
        }
        let long = json!({"status": "Failed", "error": {"code": "ü".repeat(5000), "message": "ö".repeat(50_000)}});
        let Progress::Ended(End::Failed { code, message }) = told(&long) else { panic!() };
        assert_eq!((code.chars().count(), message.chars().count()), (LONGEST_WORD, LONGEST_MESSAGE));
    }

    #[test]
    fn what_tells_nothing_of_the_operation_leaves_it_running() {
        for status in [408, 429, 500, 502, 503, 504] {
            let mut operation = operation();
            for _ in 0..10 {
                let progress = after(&operation, status, br#"{"status":"Failed"}"#);
                assert_eq!(says(&progress), format!("Azure answered {status}"));
                let Progress::Running { operation: then, .. } = progress else { panic!() };
                operation = then;
            }
        }
        let absent = next(&operation(), &Response::Absent { why: "no answer", retry_after: None });
        assert_eq!(absent, Progress::Running { operation: operation(), poll_after: None, says: "no answer".into() });
    }

    #[test]
    fn a_stated_wait_is_kept() {
        let wait = Some(Duration::from_secs(17));
        let body = br#"{"status":"InProgress"}"#;
        for status in [200, 429, 503] {
            let progress = next(&operation(), &Response::Answered { status, body, retry_after: wait });
            assert!(matches!(progress, Progress::Running { poll_after, .. } if poll_after == wait), "{progress:?}");
        }
        let absent = next(&operation(), &Response::Absent { why: "", retry_after: wait });
        assert!(matches!(absent, Progress::Running { poll_after, .. } if poll_after == wait), "{absent:?}");
    }

    #[test]
    fn an_operation_that_may_not_be_seen_or_is_not_there_is_untold() {
        for status in [401, 403, 404, 410] {
            let Progress::Untold { why } = after(&operation(), status, br#"{"status":"Succeeded"}"#) else { panic!() };
            assert!(why.contains(&status.to_string()), "{why}");
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_borne_a_few_times_in_a_row() {
        let strange: [(u16, &[u8]); 6] = [
            (200, b"<html>"),
            (204, b""),
            (200, b"{}"),
            (200, br#"{"status":1}"#),
            (200, br#"{"status":""}"#),
            (302, b""),
        ];
        for (status, body) in strange {
            let mut operation = operation();
            for _ in 1..MOST_STRANGE {
                let Progress::Running { operation: then, .. } = after(&operation, status, body) else { panic!() };
                operation = then;
            }
            let Progress::Untold { why } = after(&operation, status, body) else { panic!("{status}") };
            assert!(why.starts_with("3 answers about the operation in a row were not understood: "), "{why}");
            // One that is understood in between makes the count begin anew; one that never came does not.
            let Progress::Running { operation: heard, .. } = after(&operation, 200, br#"{"status":"InProgress"}"#)
            else {
                panic!()
            };
            assert!(matches!(after(&heard, status, body), Progress::Running { .. }));
            let Progress::Running { operation: throttled, .. } = after(&operation, 429, b"") else { panic!() };
            assert!(matches!(after(&throttled, status, body), Progress::Untold { .. }));
        }
    }

    #[test]
    fn a_url_that_leads_elsewhere_is_refused_and_named_without_its_signature() {
        for (start, named) in [
            ("https://evil.example", "at https://evil.example, not"),
            ("http://management.azure.com", "at http://management.azure.com, not at https://management.azure.com"),
            ("https://management.azure.com:8443", "at https://management.azure.com:8443, not"),
            ("https://management.azure.com.evil.example", "evil.example"),
            ("https://management.azure.com@evil.example", "evil.example"),
            ("https://user@management.azure.com", "names a user"),
            ("https://:word@management.azure.com", "names a user"),
            ("file://", "at file://, not"),
            ("", "can't be read"),
            ("https://[", "can't be read"),
        ] {
            let said = Operation::at(&format!("{start}{PATH}?{QUERY}"), &endpoint()).unwrap_err().to_string();
            assert!(said.contains(named) && !said.contains("secret_-"), "{start}: {said}");
        }
        let long = format!("https://management.azure.com{PATH}?{}", "x".repeat(LONGEST_URL));
        assert!(matches!(Operation::at(&long, &endpoint()), Err(OperationUrlError::TooLong { .. })));
        let same = format!("https://management.azure.com:443{PATH}?{QUERY}");
        assert!(Operation::at(&same, &endpoint()).is_ok(), "the port of https need not be written");
    }

    #[test]
    fn the_url_is_used_as_it_came_and_shown_without_its_signature() {
        let url = format!("https://management.azure.com{PATH}?{QUERY}&c={}", "MII".repeat(1000));
        let operation = Operation::at(&url, &endpoint()).unwrap();
        assert_eq!(operation.url().as_str(), url);
        let progress = Progress::Running { operation: operation.clone(), poll_after: None, says: String::new() };
        for shown in [operation.to_string(), format!("{operation:#?}"), format!("{progress:?}")] {
            assert!(shown.contains("/operations/o") && !shown.contains("secret_-") && !shown.contains('?'), "{shown}");
        }
    }

    #[test]
    fn recorded_answers_end_an_operation_exactly_when_they_say_so() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/aks-traffic");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!("skipped: {} is absent", folder.display());
            return;
        };
        let mut seen = 0;
        for entry in entries.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok()) {
            for exchange in entry.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                let is_status = exchange["url"].as_str().is_some_and(|url| url.contains("/operations/"));
                let (Some(status), true) = (exchange["status"].as_u64(), is_status) else { continue };
                let body = &exchange["response_body"];
                let progress = after(&operation(), u16::try_from(status).unwrap(), body.to_string().as_bytes());
                match (status, body["status"].as_str()) {
                    (200, Some("Succeeded")) => assert_eq!(progress, Progress::Ended(End::Succeeded)),
                    (200, Some("Failed")) => assert!(matches!(progress, Progress::Ended(End::Failed { .. }))),
                    (200, Some("Canceled")) => assert!(matches!(progress, Progress::Ended(End::Canceled { .. }))),
                    (200, Some(text)) => assert_eq!(says(&progress), text),
                    (status, _) => assert_eq!(says(&progress), format!("Azure answered {status}")),
                }
                seen += 1;
            }
        }
        assert!(seen > 150, "only {seen} answers");
    }

    proptest! {
        #[test]
        fn nothing_ends_an_operation_but_a_status_that_says_so(
            http in 100_u16..600,
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..64),
                (any::<String>(), "[SsFC][a-z]{0,9}|Succeeded|failed|Canceled").prop_map(|(text, status)| {
                    json!({"status": status, text.clone(): text, "error": text}).to_string().into_bytes()
                }),
            ],
            strange in 0..MOST_STRANGE,
        ) {
            let progress = after(&Operation { strange, ..operation() }, http, &body);
            let status = serde_json::from_slice::<Value>(&body).ok().and_then(|it| Some(it["status"].as_str()?.to_lowercase()));
            let says_so = ["succeeded", "failed", "canceled"].iter().any(|end| status.as_deref() == Some(end));
            prop_assert_eq!(matches!(progress, Progress::Ended(_)), says_so && (200..300).contains(&http));
        }
    }
}
