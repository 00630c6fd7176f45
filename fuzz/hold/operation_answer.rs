//! Answers about operations: nothing but a status that says so ends one, nothing that makes no sense is asked for ever,
//! and a signature is never shown.

use nodepool_operator::arm::{End, Operation, Progress, Response, next};
use serde_json::Value;
use url::Url;

use super::{is_fit, with_status};

const ENDPOINT: &str = "https://management.azure.com/";
const SIGNATURE: &str = "c2lnbmF0dXJl";
/// How often the same answer is given in a row, which is more than an operation is asked without sense.
const TIMES: usize = 5;
/// The most characters that are kept of an answer, and of what is said around it.
const LONGEST: usize = 1400;

/// Reads the input as a URL, and as two bytes of status and a body.
pub fn hold(input: &[u8]) {
    let endpoint: Url = ENDPOINT.parse().expect("it is a URL");
    if let Ok(operation) = Operation::at(&String::from_utf8_lossy(input), &endpoint) {
        assert!(operation.to_string().starts_with("https://management.azure.com/"), "{operation}");
    }
    let Some((status, body)) = with_status(input) else { return };
    let url = format!("{ENDPOINT}operations/o?s={SIGNATURE}");
    let mut operation = Operation::at(&url, &endpoint).expect("it is at the endpoint");
    let said = serde_json::from_slice::<Value>(body).ok().and_then(|it| it["status"].as_str().map(str::to_owned));
    let is = |end: &str| said.as_deref().is_some_and(|said| said.eq_ignore_ascii_case(end));
    let ended = (200..300).contains(&status) && (is("Succeeded") || is("Failed") || is("Canceled"));
    for _ in 0..TIMES {
        let progress = next(&operation, &Response::Answered { status, body, retry_after: None });
        let shown = format!("{progress:?}");
        assert!(!shown.contains(SIGNATURE) || String::from_utf8_lossy(body).contains(SIGNATURE), "{shown}");
        assert_eq!(matches!(progress, Progress::Ended(_)), ended, "{status}: {shown}");
        match progress {
            Progress::Running { operation: running, says, .. } => {
                assert!(is_fit(&says, LONGEST), "{says:?}");
                operation = running;
            }
            Progress::Untold { why } => {
                assert!(is_fit(&why, LONGEST), "{why:?}");
                return;
            }
            Progress::Ended(End::Failed { code, message } | End::Canceled { code, message }) => {
                assert!(is_fit(&code, LONGEST) && is_fit(&message, LONGEST), "{code:?}: {message:?}");
                return;
            }
            Progress::Ended(End::Succeeded) => return,
        }
    }
    let makes_sense = matches!(status, 408 | 429 | 500..) || said.is_some();
    assert!(makes_sense, "{status} is asked for ever");
}
