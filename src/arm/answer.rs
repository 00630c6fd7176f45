//! What came back, held against what ARM sends. Never guesses what an answer leaves out.

use std::time::Duration;

use azure_core::http::RawResponse;
use azure_core::http::headers::{CONTENT_TYPE, HeaderName, Headers, RETRY_AFTER};
use serde_json::Value;
use url::Url;

use super::bounded::LIMIT;
use super::error::{ArmError, shown};

/// The ids by which Azure's support finds a request; the second is the resource provider's own.
const CORRELATIONS: [HeaderName; 2] =
    [HeaderName::from_static("x-ms-correlation-request-id"), HeaderName::from_static("x-ms-request-id")];
const LOCATION: HeaderName = HeaderName::from_static("location");
const CONTENT_ENCODING: HeaderName = HeaderName::from_static("content-encoding");
/// Where an answer names the operation that carries out a write.
const OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");
/// The longest wait that is taken from an answer.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// The longest id that is kept; Azure's have 36 characters.
const LONGEST_ID: usize = 100;

/// What was asked for, and where, as errors name it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The request's kind: `the cluster`, `pool apps`, `the write of pool apps`.
    pub(super) what: String,
    /// Where it went.
    pub(super) endpoint: Url,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    asked: Asked,
    response: RawResponse,
}

impl Asked {
    /// The error of a request that got no answer.
    pub(super) fn unanswered(self, error: azure_core::Error) -> ArmError {
        ArmError::unanswered(&self.what, self.endpoint.as_str(), error)
    }

    /// The error of a request that was sent and whose answer did not come, and why.
    pub(super) fn lost(self, detail: String) -> ArmError {
        ArmError::Lost { what: self.what, endpoint: self.endpoint.to_string(), detail, correlation: None }
    }
}

impl Answer {
    /// Whatever was answered.
    pub(super) const fn of(asked: Asked, response: RawResponse) -> Self {
        Self { asked, response }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.response.status().into()
    }

    /// The body; of one that is too large, the beginning.
    pub(super) fn body(&self) -> &[u8] {
        self.response.body().as_ref()
    }

    /// How long to wait, when ARM says so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header(&RETRY_AFTER)?.parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
    }

    /// The URL of the operation that carries out a write.
    pub(super) fn operation(&self) -> Option<&str> {
        self.header(&OPERATION)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get_optional_str(name)
    }

    /// The id by which Azure's support finds the request.
    pub(super) fn correlation(&self) -> Option<String> {
        correlation(self.response.headers())
    }

    /// The error that it is, if it is one: an error of ARM, or a redirect, which is never followed.
    pub(super) fn error(&self) -> Option<ArmError> {
        match self.status() {
            200..300 => None,
            300..400 => Some(self.redirected()),
            _ => Some(self.refused()),
        }
    }

    /// The answer if it is no error.
    pub(super) fn accepted(self) -> Result<Self, ArmError> {
        self.error().map_or(Ok(self), Err)
    }

    /// The body, which must be JSON.
    ///
    /// # Errors
    /// Says what it is instead.
    pub(super) fn document(&self) -> Result<Value, ArmError> {
        let (body, told) = (self.body(), |name: &HeaderName| self.header(name).map(|value| shown(value, LONGEST_ID)));
        if body.len() > LIMIT {
            return Err(self.malformed(format!("it is larger than {} MiB", LIMIT >> 20)));
        }
        if let Some(encoding) = told(&CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
            return Err(self.malformed(format!("it is encoded as {encoding}, which was not asked for")));
        }
        if body.is_empty() {
            return Err(self.malformed(format!("it is empty (status {})", self.status())));
        }
        serde_json::from_slice(body).map_err(|error| {
            let sort = told(&CONTENT_TYPE).unwrap_or_else(|| "no content-type".to_owned());
            self.malformed(format!("it is not JSON ({error}; {sort})"))
        })
    }

    /// The error of an answer that is not what ARM answers.
    pub(super) fn malformed(&self, detail: String) -> ArmError {
        ArmError::Malformed {
            what: self.asked.what.clone(),
            endpoint: self.asked.endpoint.to_string(),
            detail,
            correlation: self.correlation(),
        }
    }

    fn redirected(&self) -> ArmError {
        // Of the target no more than the host: the rest may be signed.
        let target = self.header(&LOCATION).and_then(|target| self.asked.endpoint.join(target).ok());
        let host = target.as_ref().and_then(Url::host_str);
        ArmError::Redirected {
            what: self.asked.what.clone(),
            endpoint: self.asked.endpoint.to_string(),
            status: self.status(),
            to: host.map_or_else(|| "no known host".to_owned(), |host| shown(host, 255)),
            correlation: self.correlation(),
        }
    }

    fn refused(&self) -> ArmError {
        let mut error = ArmError::answered(self.status(), self.body(), self.retry_after());
        if let ArmError::Answered { code, message, .. } = &mut error
            && code == ArmError::NO_CODE
        {
            let sort =
                self.header(&CONTENT_TYPE).map_or_else(String::new, |sort| format!("{}: ", shown(sort, LONGEST_ID)));
            let Asked { what, endpoint } = &self.asked;
            *message = format!(
                "what {endpoint} answered about {what} is no error of Azure Resource Manager, but {sort}{message}"
            );
        }
        error.correlated(self.correlation())
    }
}

/// The id by which Azure's support finds the request.
pub(super) fn correlation(headers: &Headers) -> Option<String> {
    let ids = CORRELATIONS.into_iter().filter_map(|name| headers.get_optional_string(&name));
    ids.map(|id| shown(&id, LONGEST_ID)).find(|id| !id.is_empty())
}
