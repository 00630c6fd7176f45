//! Bodies of errors: always told with a code and a message of one line and limited length, and with what to do.

use nodepool_operator::arm::{ArmError, remedy};
use serde_json::Value;

use super::{is_fit, with_status};

/// The most characters of a message, and of what is said around it.
const LONGEST_MESSAGE: usize = 2000;
const AROUND: usize = 400;

/// Reads two bytes as the status and the rest as the body.
pub fn hold(input: &[u8]) {
    let Some((status, body)) = with_status(input) else { return };
    let error = ArmError::answered(status, body, None);
    assert!(is_fit(&error.to_string(), LONGEST_MESSAGE + AROUND), "{error}");
    assert_eq!(error.outcome_unknown(), status == 408 || status >= 500, "{error}");
    assert_eq!(error.status(), Some(status));
    let ArmError::Answered { code, message, .. } = &error else { unreachable!("{error}") };
    assert!(is_fit(message, LONGEST_MESSAGE) && is_fit(code, 100) && !code.is_empty(), "{code}: {message}");
    if code != ArmError::NO_CODE {
        let document: Value = serde_json::from_slice(body).expect("a code was read");
        assert!(document["code"] == **code || document["error"]["code"] == **code, "{code} of {document}");
    }
    let remedy = remedy(status, code, message);
    assert!(!remedy.is_empty() && is_fit(&remedy, LONGEST_MESSAGE + AROUND), "{remedy}");
}
