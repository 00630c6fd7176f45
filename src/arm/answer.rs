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
/// The longest id that is kept; Azure's have 36 characters.
const LONGEST_ID: usize = 100;

/// What was asked for, and where, as errors name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The request's kind: `the cluster`, `pool apps`, `the write of pool apps`.
    pub(super) what: &'a str,
    /// Where it went.
    pub(super) endpoint: &'a Url,
}

/// An answer of success.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    asked: Asked<'a>,
    response: RawResponse,
}

impl Asked<'_> {
    /// The error of a request that got no answer.
    pub(super) fn unanswered(self, error: azure_core::Error) -> ArmError {
        ArmError::unanswered(self.what, self.endpoint.as_str(), error)
    }

    /// The error of a request that was sent and whose answer did not come, and why.
    pub(super) fn lost(self, detail: String) -> ArmError {
        ArmError::Lost { what: self.what.to_owned(), endpoint: self.endpoint.to_string(), detail, correlation: None }
    }
}

impl<'a> Answer<'a> {
    /// Takes an answer.
    ///
    /// # Errors
    /// Any but one of success: an error of ARM, or a redirect, which is never followed.
    pub(super) fn take(asked: Asked<'a>, response: RawResponse) -> Result<Self, ArmError> {
        let status = u16::from(response.status());
        match status {
            200..300 => Ok(Self { asked, response }),
            300..400 => Err(redirected(asked, status, response.headers())),
            _ => Err(refused(asked, status, &response)),
        }
    }

    /// The headers.
    pub(super) fn headers(&self) -> &Headers {
        self.response.headers()
    }

    /// The body, which must be JSON.
    ///
    /// # Errors
    /// Says what it is instead.
    pub(super) fn document(&self) -> Result<Value, ArmError> {
        let body: &[u8] = self.response.body().as_ref();
        let header = |name: &HeaderName| self.headers().get_optional_str(name).map(|value| shown(value, 100));
        if body.len() > LIMIT {
            return Err(self.malformed(format!("it is larger than {} MiB", LIMIT >> 20)));
        }
        if let Some(encoding) = header(&CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
            return Err(self.malformed(format!("it is encoded as {encoding}, which was not asked for")));
        }
        if body.is_empty() {
            return Err(self.malformed(format!("it is empty (status {})", u16::from(self.response.status()))));
        }
        serde_json::from_slice(body).map_err(|error| {
            let sort = header(&CONTENT_TYPE).unwrap_or_else(|| "no content-type".to_owned());
            self.malformed(format!("it is not JSON ({error}; {sort})"))
        })
    }

    /// The error of an answer that is not what ARM answers.
    pub(super) fn malformed(&self, detail: String) -> ArmError {
        let Asked { what, endpoint } = self.asked;
        ArmError::Malformed {
            what: what.to_owned(),
            endpoint: endpoint.to_string(),
            detail,
            correlation: correlation(self.headers()),
        }
    }
}

/// The id by which Azure's support finds the request.
pub(super) fn correlation(headers: &Headers) -> Option<String> {
    let ids = CORRELATIONS.into_iter().filter_map(|name| headers.get_optional_string(&name));
    ids.map(|id| shown(&id, LONGEST_ID)).find(|id| !id.is_empty())
}

fn redirected(asked: Asked<'_>, status: u16, headers: &Headers) -> ArmError {
    // Of the target no more than the host: the rest may be signed.
    let target = headers.get_optional_str(&LOCATION).and_then(|target| asked.endpoint.join(target).ok());
    let host = target.as_ref().and_then(Url::host_str);
    ArmError::Redirected {
        what: asked.what.to_owned(),
        endpoint: asked.endpoint.to_string(),
        status,
        to: host.map_or_else(|| "no known host".to_owned(), |host| shown(host, 255)),
        correlation: correlation(headers),
    }
}

fn refused(asked: Asked<'_>, status: u16, response: &RawResponse) -> ArmError {
    let headers = response.headers();
    let seconds = headers.get_optional_str(&RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    let mut error = ArmError::answered(status, response.body().as_ref(), seconds.map(Duration::from_secs));
    if let ArmError::Answered { code, message, .. } = &mut error
        && code == ArmError::NO_CODE
    {
        let sort =
            headers.get_optional_str(&CONTENT_TYPE).map_or_else(String::new, |sort| format!("{}: ", shown(sort, 100)));
        *message = format!(
            "what {} answered about {} is no error of Azure Resource Manager, but {sort}{message}",
            asked.endpoint, asked.what
        );
    }
    error.correlated(correlation(headers))
}
