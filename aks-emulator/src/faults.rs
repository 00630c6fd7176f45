//! Faults that are laid over requests and operations: answers given instead, lost connections, delays, somebody
//! else's request first, failing operations. Never decides which request is handled how without a rule.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Request, header};
use serde_json::Value;

use crate::failures::Cause;
use crate::{Exchange, Matcher, RequestFailure};

/// An answer to give instead of handling a request.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Status.
    pub status: u16,
    /// Headers; `Content-Type` is `application/json` unless given.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Canned {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    /// An error as the resource provider shapes it.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"code": code, "details": null, "message": message, "subcode": ""}))
    }

    /// 429 `Throttled` with a `Retry-After` of this many seconds.
    #[must_use]
    pub fn throttled(seconds: u64) -> Self {
        let message = format!(
            "The request limit has been exceeded, please retry again in {seconds} seconds. For more information, \
             please visit aka.ms/aks/throttling"
        );
        Self::error(429, "Throttled", &message).header("retry-after", &seconds.to_string())
    }

    /// 500 by the resource provider; its form is recorded, with another code.
    #[must_use]
    pub fn internal_error() -> Self {
        Self::error(500, "InternalOperationError", "Internal server error").header("x-ms-failure-cause", "service")
    }

    /// 502 by the gateway, as recorded.
    #[must_use]
    pub fn bad_gateway() -> Self {
        let message = "The network connectivity issue encountered for 'Microsoft.ContainerService'; cannot fulfill the \
                       request.";
        Self::by_gateway(502, "BadGatewayConnection", message)
    }

    /// 504 by the gateway, as recorded.
    #[must_use]
    pub fn gateway_timeout() -> Self {
        let message = "The gateway did not receive a response from 'Microsoft.ContainerService' within the specified \
                       time period.";
        Self::by_gateway(504, "GatewayTimeout", message)
    }

    fn by_gateway(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"error": {"code": code, "message": message}}))
            .header("content-type", "application/json; charset=utf-8")
            .header("x-ms-failure-cause", "service")
    }

    /// An answer with another content type, such as a proxy's page.
    #[must_use]
    pub fn text(status: u16, content_type: &str, body: &str) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.to_owned() }
    }

    /// The same with a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A request that somebody else makes.
#[derive(Clone, Debug)]
pub struct ForeignRequest {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Body, if any.
    pub body: Option<Value>,
    /// `User-Agent` that the journal shows.
    pub user_agent: String,
}

impl ForeignRequest {
    /// A request by `someone-else`.
    #[must_use]
    pub fn new(method: &str, target: &str, body: Option<Value>) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), body, user_agent: "someone-else".to_owned() }
    }

    /// The request without its body; `None` if a part is malformed.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let built = Request::builder()
            .method(self.method.as_str())
            .uri(&self.target)
            .header(header::USER_AGENT, &self.user_agent)
            .body(());
        built.ok().map(|request| request.into_parts().0)
    }
}

/// What happens to a request that a fault matches.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is not handled; this is the answer.
    Answer(Canned),
    /// It is not handled; the service's own answer for this failure is given.
    Refuse(RequestFailure),
    /// It is handled after this long, in real time.
    Delay(Duration),
    /// It is not handled, and its connection is closed without an answer.
    DropBefore,
    /// It is not handled, and its connection is reset, as by a firewall or a load balancer that lost it.
    Reset,
    /// It is handled, and its connection is closed without an answer.
    DropAfter,
    /// It is not handled, and refused with 403 `AuthorizationFailed`, as before a new role is known everywhere.
    RoleMissing,
    /// An exchange of a federated token is refused with `AADSTS70021`, as before a new federated credential is known
    /// everywhere; anything else is handled.
    FederationMissing,
    /// Somebody else's request is handled first, to its answer, and then it.
    AfterForeign(ForeignRequest),
}

/// A fault in force, until it is dropped or has happened as often as asked.
#[derive(Debug)]
#[must_use = "the fault ends as soon as this is dropped"]
pub struct Fault {
    pub(crate) tally: Arc<Tally>,
}

impl Fault {
    /// How often it has happened.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tally.state().happened
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.tally.end();
    }
}

/// How often something may still happen, and did.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<TallyState>);

#[derive(Debug)]
struct TallyState {
    left: Option<usize>,
    happened: usize,
}

impl Tally {
    pub(crate) fn new(times: Option<usize>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(TallyState { left: times, happened: 0 })))
    }

    /// Counts one more time; `false` if there are none left.
    pub(crate) fn take(&self) -> bool {
        let mut state = self.state();
        match &mut state.left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        state.happened += 1;
        true
    }

    pub(crate) fn end(&self) {
        self.state().left = Some(0);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().left == Some(0)
    }

    pub(crate) fn counts(&self) -> (usize, Option<usize>) {
        let state = self.state();
        (state.happened, state.left)
    }

    fn state(&self) -> MutexGuard<'_, TallyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault on requests.
#[derive(Debug)]
pub(crate) struct RequestFault {
    pub(crate) matcher: Matcher,
    pub(crate) action: Action,
    pub(crate) tally: Arc<Tally>,
}

impl RequestFault {
    pub(crate) fn take(&self, request: &Exchange) -> Option<Action> {
        (self.matcher.matches(request) && self.tally.take()).then(|| self.action.clone())
    }
}

/// A failure of operations on a pool, after their work on nodes and before their end.
#[derive(Debug)]
pub(crate) struct OperationFault {
    pub(crate) pool: String,
    pub(crate) cause: Cause,
    pub(crate) tally: Arc<Tally>,
}

/// Machines that run out for a pool: some nodes come, then the operation fails.
#[derive(Clone, Debug)]
pub(crate) struct Shortage {
    pub(crate) pool: String,
    pub(crate) cause: Cause,
    /// How many nodes are created before it.
    pub(crate) after_nodes: usize,
    pub(crate) tally: Arc<Tally>,
}
