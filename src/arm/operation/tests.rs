//! What each answer about an operation means, of recorded answers and of made-up ones on both sides of each rule.

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
    assert_eq!(told(&json!({"status": "Canceled", "error": error})), Progress::Ended(End::Canceled { code, message }));
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
    let strange: [(u16, &[u8]); 6] =
        [(200, b"<html>"), (204, b""), (200, b"{}"), (200, br#"{"status":1}"#), (200, br#"{"status":""}"#), (302, b"")];
    for (status, body) in strange {
        let mut operation = operation();
        for _ in 1..MOST_STRANGE {
            let Progress::Running { operation: then, .. } = after(&operation, status, body) else { panic!() };
            operation = then;
        }
        let Progress::Untold { why } = after(&operation, status, body) else { panic!("{status}") };
        assert!(why.starts_with("3 answers about the operation in a row were not understood: "), "{why}");
        // One that is understood in between makes the count begin anew; one that never came does not.
        let Progress::Running { operation: heard, .. } = after(&operation, 200, br#"{"status":"InProgress"}"#) else {
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
