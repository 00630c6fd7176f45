//! What can go wrong with a request to ARM. Never holds a token or a signed URL.

use std::time::Duration;

use serde_json::Value;

use super::sign_in::sign_in_remedy;

/// A request that did not give what it was sent for.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// ARM or the AKS resource provider answered with an error.
    #[error("Azure answered {status} {code}: {message}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error's code, for example `OperationNotAllowed`.
        code: String,
        /// The error's message.
        message: String,
        /// How long to wait, when ARM says so.
        retry_after: Option<Duration>,
        /// The id by which Azure's support finds the request.
        correlation: Option<String>,
    },
    /// The request never reached ARM.
    #[error("can't connect to {endpoint}: {detail}; check --arm-endpoint and the network")]
    NotSent {
        /// Where to.
        endpoint: String,
        /// The innermost cause.
        detail: String,
        /// The cause.
        source: Box<azure_core::Error>,
    },
    /// The request was sent and its answer was lost: whether it had an effect is unknown.
    #[error("no answer from {endpoint}: {detail}")]
    Lost {
        /// Where to.
        endpoint: String,
        /// The innermost cause.
        detail: String,
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
        "{what} from {endpoint} is not understood: {detail}; check that --arm-endpoint names an Azure Resource Manager"
    )]
    Malformed {
        /// What was asked for.
        what: String,
        /// Where.
        endpoint: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl ArmError {
    /// The error of an answer's body, in either of ARM's two forms: `{"error": {"code", "message"}}` of the gateway,
    /// or `{"code", "message"}` of the AKS resource provider.
    #[must_use]
    pub fn answered(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let error = document.get("error").filter(|error| error.is_object()).unwrap_or(&document);
        let text = |field: &str| error.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let shown = || String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()).trim().to_owned();
        Self::Answered {
            status,
            code: text("code").unwrap_or("UnknownError").to_owned(),
            message: text("message").map_or_else(shown, str::to_owned),
            retry_after,
            correlation: None,
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
    pub fn unanswered(endpoint: &str, error: azure_core::Error) -> Self {
        let (endpoint, detail) = (endpoint.to_owned(), innermost(&error));
        match error.kind() {
            azure_core::error::ErrorKind::Connection => Self::NotSent { endpoint, detail, source: Box::new(error) },
            azure_core::error::ErrorKind::Credential => {
                Self::SignIn { remedy: sign_in_remedy(&detail), detail, source: Box::new(error) }
            }
            _ => Self::Lost { endpoint, detail },
        }
    }

    /// Whether the request may have had an effect although no answer says so.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Malformed { .. } => true,
            Self::Answered { status, .. } => *status >= 500,
            Self::NotSent { .. } | Self::SignIn { .. } | Self::OverBudget { .. } => false,
        }
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
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    match innermost.downcast_ref::<reqwest::Error>().and_then(reqwest::Error::url) {
        Some(url) => text.replace(url.as_str(), url.as_str().split('?').next().unwrap_or_default()),
        None => text,
    }
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
        let said = innermost(&error);
        assert!(said.contains("https://host/path") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn an_answer_that_is_not_json_is_shown_shortened() {
        let page = format!("<html>{}</html>", "x".repeat(5000));
        let error = ArmError::answered(502, page.as_bytes(), None);
        let (status, code, message) = parts(&error);
        assert_eq!((status, code, message.len()), (502, "UnknownError", 200));
        assert!(error.outcome_unknown());
    }
}
