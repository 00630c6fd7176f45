//! Long-running operations of ARM as a pure state machine: what an answer about one means. Never sends anything, knows no
//! clock, and never shows the query of an operation's URL, which is its signature.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::error::shown;

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
    /// The pool that it is about, for the log.
    pool: Option<String>,
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
            let host = url.host_str().map(|host| shown(host, LONGEST_WORD)).unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let origin = format!("{}://{host}{port}", shown(url.scheme(), LONGEST_WORD));
            return Err(OperationUrlError::Elsewhere { origin, endpoint: endpoint.origin().ascii_serialization() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OperationUrlError::NamesUser);
        }
        Ok(Self { url, pool: None, strange: 0 })
    }

    /// The same with the pool that it is about.
    pub(super) fn of_pool(self, pool: &str) -> Self {
        Self { pool: Some(pool.to_owned()), ..self }
    }

    /// The pool that it is about, if that is known.
    pub(super) fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// The URL to ask, with its signature.
    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    fn running(&self, poll_after: Option<Duration>, says: &str) -> Progress {
        Progress::Running { operation: self.clone(), poll_after, says: shown(says, LONGEST_MESSAGE) }
    }

    /// After an answer that makes no sense: asked again a few times, then given up.
    fn strange(&self, poll_after: Option<Duration>, why: &str) -> Progress {
        let operation = Self { strange: self.strange.saturating_add(1), ..self.clone() };
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
        let understood = Operation { strange: 0, ..operation.clone() };
        return understood.running(retry_after, &shown(status, LONGEST_WORD));
    }
    let error = document.get("error");
    let text = |field: &str| error.and_then(|error| error.get(field)?.as_str()).filter(|text| !text.is_empty());
    let code = shown(text("code").unwrap_or("UnknownError"), LONGEST_WORD);
    let message = shown(text("message").unwrap_or_default(), LONGEST_MESSAGE);
    Progress::Ended(if is("Failed") { End::Failed { code, message } } else { End::Canceled { code, message } })
}

#[cfg(test)]
mod tests;
