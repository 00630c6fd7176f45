//! What can go wrong with a request to ARM. Never holds a token or a signed URL.

use std::error::Error;
use std::time::Duration;

use azure_core::error::ErrorKind;
use serde_json::Value;

use super::advice::missing_permission;
use super::bounded::BrokenOff;
use super::sign_in::sign_in_remedy;
use crate::causes::{causes, innermost};

/// A request that did not give what it was sent for.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// ARM or the AKS resource provider answered with an error.
    #[error("{}", Self::said(*status, code, message))]
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error's code, for example `OperationNotAllowed`; [`ArmError::NO_CODE`] if the answer has none.
        code: String,
        /// The error's message; without a code, what came instead of an error of ARM.
        message: String,
        /// How long to wait, when ARM says so.
        retry_after: Option<Duration>,
        /// The id by which Azure's support finds the request.
        correlation: Option<String>,
    },
    /// Something on the way points elsewhere. It is never followed.
    #[error(
        "{endpoint} answered {status} about {what}, a redirect to {to}, which is never followed; check --arm-endpoint and the proxies on the way"
    )]
    Redirected {
        /// What was asked for.
        what: String,
        /// Where.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The host that it points to.
        to: String,
        /// The id by which Azure's support finds the request.
        correlation: Option<String>,
    },
    /// The request never reached ARM.
    #[error("can't connect to {endpoint} about {what}: {detail}; check --arm-endpoint and the network")]
    NotSent {
        /// What was asked for.
        what: String,
        /// Where to.
        endpoint: String,
        /// The innermost cause.
        detail: String,
        /// The cause.
        source: Box<azure_core::Error>,
    },
    /// The request was sent and its answer was lost: whether it had an effect is unknown.
    #[error("no answer from {endpoint} about {what}: {detail}")]
    Lost {
        /// What was asked for.
        what: String,
        /// Where to.
        endpoint: String,
        /// The innermost cause.
        detail: String,
        /// The id by which Azure's support finds the request, if the answer broke off after it.
        correlation: Option<String>,
    },
    /// It was not sent, because the operator's share of the published request budgets is used up.
    #[error("the operator's share of Azure's request budget is used up for the next {} s", after.as_secs_f64().ceil())]
    OverBudget {
        /// When there is some of it again.
        after: Duration,
    },
    /// No token could be had.
    #[error("can't sign in to Azure: {detail}. To do: {remedy}")]
    SignIn {
        /// What the identity library says.
        detail: String,
        /// What a person can do about it.
        remedy: &'static str,
        /// The cause.
        source: Box<azure_core::Error>,
    },
    /// The answer is not what ARM answers.
    #[error(
        "what {endpoint} answered about {what} is not understood: {detail}; check that --arm-endpoint names an Azure Resource Manager"
    )]
    Malformed {
        /// What was asked for.
        what: String,
        /// Where.
        endpoint: String,
        /// What is wrong with it.
        detail: String,
        /// The id by which Azure's support finds the request.
        correlation: Option<String>,
    },
}

/// The longest code that is taken for one; Azure's are single words.
const LONGEST_CODE: usize = 100;
/// The most characters of a message; those of Azure have some hundred.
const LONGEST_MESSAGE: usize = 2000;
/// The most characters that are shown of what is no error of ARM.
const LONGEST_EXCERPT: usize = 200;

impl ArmError {
    /// The code of an error answer that is none of ARM: without a code of its own.
    pub const NO_CODE: &'static str = "NotAnArmError";

    /// The error of an answer's body, in either of ARM's two forms: `{"error": {"code", "message"}}` of the gateway,
    /// or `{"code", "message"}` of the AKS resource provider.
    #[must_use]
    pub fn answered(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let error = document.get("error").filter(|error| error.is_object()).unwrap_or(&document);
        let text = |field: &str| error.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (code, message) = match text("code").filter(|code| is_code(code)) {
            Some(code) => (code, shown(text("message").unwrap_or("no message"), LONGEST_MESSAGE)),
            None if body.is_empty() => (Self::NO_CODE, "an empty body".to_owned()),
            None => {
                let start = body.get(..body.len().min(4 * LONGEST_EXCERPT)).unwrap_or_default();
                (Self::NO_CODE, shown(&String::from_utf8_lossy(start), LONGEST_EXCERPT))
            }
        };
        Self::Answered { status, code: code.to_owned(), message, retry_after, correlation: None }
    }

    /// The error where there is little room: of a missing permission which one it is and what to do, in place of Azure's long
    /// text.
    #[must_use]
    pub fn in_short(&self) -> String {
        match (self, self.missing_permission()) {
            (Self::Answered { status, code, .. }, Some(missing)) => {
                format!("Azure answered {status} {code}: {missing}")
            }
            _ => self.to_string(),
        }
    }

    /// What to give to the operator's identity, if Azure names what it lacks.
    #[must_use]
    pub fn missing_permission(&self) -> Option<String> {
        match self {
            Self::Answered { message, .. } => missing_permission(message),
            _ => None,
        }
    }

    /// What an error answer says.
    fn said(status: u16, code: &str, message: &str) -> String {
        if code == Self::NO_CODE {
            format!("HTTP {status}: {message}")
        } else {
            format!("Azure answered {status} {code}: {message}")
        }
    }

    /// The same with the id by which Azure's support finds the request.
    #[must_use]
    pub fn correlated(mut self, id: Option<String>) -> Self {
        if let Self::Answered { correlation, .. } = &mut self {
            *correlation = id;
        }
        self
    }

    /// The error of a request that got no answer.
    #[must_use]
    pub fn unanswered(what: &str, endpoint: &str, error: azure_core::Error) -> Self {
        let (what, endpoint) = (what.to_owned(), endpoint.to_owned());
        let detail = shown(&message(&error), LONGEST_MESSAGE);
        match error.kind() {
            ErrorKind::Connection => Self::NotSent { what, endpoint, detail, source: Box::new(error) },
            ErrorKind::Credential => Self::SignIn { remedy: sign_in_remedy(&detail), detail, source: Box::new(error) },
            _ => match causes(&error).find_map(|cause| cause.downcast_ref::<BrokenOff>()) {
                Some(broken) => {
                    let (detail, correlation) = (format!("{broken} ({detail})"), broken.correlation.clone());
                    Self::Lost { what, endpoint, detail, correlation }
                }
                None => Self::Lost { what, endpoint, detail, correlation: None },
            },
        }
    }

    /// Whether a write may have had an effect although no answer says so.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Malformed { .. } => true,
            // The gateway gave up waiting for the resource provider.
            Self::Answered { status, .. } => *status == 408 || *status >= 500,
            // Of all redirects, only 303 may follow on what was asked for.
            Self::Redirected { status, .. } => !matches!(status, 301 | 302 | 307 | 308),
            Self::NotSent { .. } | Self::SignIn { .. } | Self::OverBudget { .. } => false,
        }
    }

    /// The id by which Azure's support finds the request. It is not part of the text, which is the same as long as the
    /// trouble is.
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        match self {
            Self::Answered { correlation, .. }
            | Self::Redirected { correlation, .. }
            | Self::Lost { correlation, .. }
            | Self::Malformed { correlation, .. } => correlation.as_deref(),
            Self::NotSent { .. } | Self::SignIn { .. } | Self::OverBudget { .. } => None,
        }
    }

    /// Whether Azure says that what was asked for does not exist. A 404 of something in between does not say so.
    #[must_use]
    pub fn says_absent(&self) -> bool {
        matches!(self, Self::Answered { status: 404, code, .. } if code != Self::NO_CODE)
    }

    /// The HTTP status of the answer, if there was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The message of the innermost cause: outer ones only say that a request failed. A URL in it loses its query, which may
/// be a signature.
fn message(error: &(dyn Error + 'static)) -> String {
    let innermost = innermost(error);
    let text = innermost.to_string();
    match innermost.downcast_ref::<reqwest::Error>().and_then(reqwest::Error::url) {
        Some(url) => text.replace(url.as_str(), url.as_str().split('?').next().unwrap_or_default()),
        None => text,
    }
}

/// Whether a text can be the code of an error: a word, perhaps with dots, dashes and underscores.
fn is_code(text: &str) -> bool {
    text.len() <= LONGEST_CODE && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A text of somebody else, fit for a log and a status: one line of at most `limit` characters.
pub(super) fn shown(text: &str, limit: usize) -> String {
    let mut characters = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = characters.by_ref().take(limit).collect();
    if characters.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(error: &ArmError) -> (u16, &str, &str) {
        match error {
            ArmError::Answered { status, code, message, .. } => (*status, code, message),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn both_forms_of_errors_are_understood() {
        let provider = br#"{"code":"OperationNotAllowed","details":null,"message":"busy","subcode":""}"#;
        assert_eq!(parts(&ArmError::answered(409, provider, None)), (409, "OperationNotAllowed", "busy"));
        let gateway = br#"{"error":{"code":"ResourceNotFound","message":"gone"}}"#;
        assert_eq!(parts(&ArmError::answered(404, gateway, None)), (404, "ResourceNotFound", "gone"));
    }

    #[test]
    fn a_signature_is_not_in_the_cause() {
        let answer = http::Response::builder().status(500).body("").unwrap();
        let url = "https://host/path?s=secret".parse().unwrap();
        let error = reqwest::Response::from(answer).error_for_status().unwrap_err().with_url(url);
        assert!(error.to_string().contains("secret"), "{error}");
        let said = message(&error);
        assert!(said.contains("https://host/path") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn only_an_error_of_azure_says_that_something_is_absent() {
        assert!(ArmError::answered(404, br#"{"code":"NotFound","message":"gone"}"#, None).says_absent());
        assert!(!ArmError::answered(404, b"<html>", None).says_absent());
        assert!(!ArmError::answered(403, br#"{"code":"NotFound","message":"gone"}"#, None).says_absent());
    }

    #[test]
    fn an_answer_that_is_not_json_is_shown_shortened() {
        let page = format!("<html>{}</html>", "x".repeat(5000));
        let error = ArmError::answered(502, page.as_bytes(), None);
        let (status, code, message) = parts(&error);
        assert_eq!((status, code, message.chars().count()), (502, ArmError::NO_CODE, LONGEST_EXCERPT));
        assert!(error.outcome_unknown());
    }
}
