//! The admin API beside the service's: the journal, and faults on demand. Never part of the journal itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::reply::Reply;
use super::{App, control, node_faults, parameter};
use crate::failures::Cause;
use crate::rules::Stage;
use crate::service::refusal::Refusal;
use crate::{
    Action, Canned, Fault, ForeignRequest, Hold, Matcher, NodeFault, OperationFailure, RequestFailure, StaleClusters,
};

/// Rules that were laid through the API, by number.
#[derive(Debug, Default)]
pub(crate) struct Admin(Mutex<Laid>);

#[derive(Debug, Default)]
struct Laid {
    last: u64,
    rules: BTreeMap<u64, Rule>,
}

#[derive(Debug)]
enum Rule {
    Fault(Fault),
    Hold(Hold),
    Stale(StaleClusters),
    Nodes(NodeFault),
}

impl Rule {
    fn document(&self, id: u64) -> Value {
        match self {
            Self::Fault(fault) => {
                let (happened, left) = fault.tally.counts();
                json!({"id": id, "kind": "fault", "happened": happened, "left": left})
            }
            Self::Hold(hold) => json!({"id": id, "kind": "hold", "arrived": hold.count()}),
            Self::Stale(stale) => json!({"id": id, "kind": "stale", "clusters": stale.count()}),
            Self::Nodes(fault) => json!({"id": id, "kind": "nodeFault", "over": fault.is_over()}),
        }
    }
}

impl Admin {
    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lay(&self, rule: Rule) -> Value {
        let mut laid = self.laid();
        laid.last += 1;
        let id = laid.last;
        let document = rule.document(id);
        laid.rules.insert(id, rule);
        document
    }
}

/// A fault on requests, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FaultRequest {
    method: Option<String>,
    path_contains: Option<String>,
    path_ends_with: Option<String>,
    user_agent: Option<String>,
    times: Option<usize>,
    action: ActionRequest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ActionRequest {
    Answer {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        body: Value,
    },
    Refuse(RequestFailure),
    Delay {
        milliseconds: u64,
    },
    Throttle {
        retry_after_seconds: u64,
    },
    InternalError,
    BadGateway,
    GatewayTimeout,
    DropBefore,
    Reset,
    DropAfter,
    RoleMissing,
    FederationMissing,
    AfterForeign {
        method: String,
        target: String,
        body: Option<Value>,
    },
}

/// A failure of operations, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FailureRequest {
    pool: String,
    /// With `message`, or else `failure`.
    code: Option<String>,
    message: Option<String>,
    failure: Option<OperationFailure>,
    /// How many nodes are created before it; without, it comes after all work on nodes.
    after_nodes: Option<usize>,
    times: Option<usize>,
}

impl FailureRequest {
    fn cause(&self) -> Result<Cause, Refusal> {
        match (self.failure, &self.code, &self.message) {
            (Some(failure), None, None) => Ok(Cause::Known(failure)),
            (None, Some(code), Some(message)) => Ok(Cause::Given { code: code.clone(), message: message.clone() }),
            _ => Err(Refusal::content("give either failure, or code and message")),
        }
    }
}

/// A hold on operations, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HoldRequest {
    pool: String,
    #[serde(default)]
    before_nodes: bool,
}

/// Answers a request under `/admin/`.
pub(super) async fn route(app: &App, parts: &Parts, body: &[u8]) -> Reply {
    let done = match control::route(app, parts, body).await {
        Some(done) => done,
        None => dispatch(app, parts, body),
    };
    done.unwrap_or_else(Reply::from)
}

fn dispatch(app: &App, parts: &Parts, body: &[u8]) -> Result<Reply, Refusal> {
    let path = parts.uri.path();
    let rules = &app.service.rules;
    let rule = match (parts.method.as_str(), path.trim_start_matches("/admin/")) {
        ("GET", "journal") => return journal(app, parts.uri.query().unwrap_or_default()),
        ("GET", "rules") => return Ok(list(&app.admin)),
        ("DELETE", rest) if rest.starts_with("rules/") => return remove(&app.admin, path),
        ("POST", "faults") => {
            let request: FaultRequest = read(body)?;
            Rule::Fault(rules.fault(matcher(&request), action(request.action)?, request.times))
        }
        ("POST", "operation-failures") => {
            let request: FailureRequest = read(body)?;
            let cause = request.cause()?;
            Rule::Fault(match request.after_nodes {
                Some(after_nodes) => rules.fall_short(&request.pool, cause, after_nodes, request.times),
                None => rules.fail_operations(&request.pool, cause, request.times),
            })
        }
        ("POST", "operation-holds") => {
            let request: HoldRequest = read(body)?;
            let stage = if request.before_nodes { Stage::BeforeNodes } else { Stage::BeforeEnd };
            Rule::Hold(rules.hold_operation(&request.pool, stage))
        }
        ("POST", "node-faults") => Rule::Nodes(node_faults::lay(app, &read(body)?)?),
        ("POST", "stale-clusters") => {
            Rule::Stale(app.service.stale.freeze(app.service.read(|state| state.clusters.clone())))
        }
        _ => return Err(Refusal::unknown_path(path)),
    };
    Ok(Reply::json(StatusCode::CREATED, &app.admin.lay(rule)))
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::content(&error.to_string()))
}

fn matcher(request: &FaultRequest) -> Matcher {
    let mut matcher = request.method.as_deref().map_or_else(Matcher::any, Matcher::method);
    if let Some(part) = &request.path_contains {
        matcher = matcher.path_contains(part);
    }
    if let Some(end) = &request.path_ends_with {
        matcher = matcher.path_ends_with(end);
    }
    if let Some(part) = &request.user_agent {
        matcher = matcher.user_agent(part);
    }
    matcher
}

fn action(request: ActionRequest) -> Result<Action, Refusal> {
    Ok(match request {
        ActionRequest::Answer { status, headers, body } => {
            if StatusCode::from_u16(status).is_err() {
                return Err(Refusal::content(&format!("action.answer.status is {status}, not from 100 to 999")));
            }
            let mut canned = Canned::json(status, &body);
            canned.headers.extend(headers);
            Action::Answer(canned)
        }
        ActionRequest::Refuse(failure) => Action::Refuse(failure),
        ActionRequest::Delay { milliseconds } => Action::Delay(Duration::from_millis(milliseconds)),
        ActionRequest::Throttle { retry_after_seconds } => Action::Answer(Canned::throttled(retry_after_seconds)),
        ActionRequest::InternalError => Action::Answer(Canned::internal_error()),
        ActionRequest::BadGateway => Action::Answer(Canned::bad_gateway()),
        ActionRequest::GatewayTimeout => Action::Answer(Canned::gateway_timeout()),
        ActionRequest::DropBefore => Action::DropBefore,
        ActionRequest::Reset => Action::Reset,
        ActionRequest::DropAfter => Action::DropAfter,
        ActionRequest::RoleMissing => Action::RoleMissing,
        ActionRequest::FederationMissing => Action::FederationMissing,
        ActionRequest::AfterForeign { method, target, body } => {
            Action::AfterForeign(ForeignRequest::new(&method, &target, body))
        }
    })
}

fn journal(app: &App, query: &str) -> Result<Reply, Refusal> {
    let after = number(query, "after")?.unwrap_or_default();
    let most = number(query, "last")?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let journal = app.recorder.last(after, most);
    Ok(Reply::json(StatusCode::OK, &json!({"value": journal})))
}

fn number(query: &str, name: &str) -> Result<Option<u64>, Refusal> {
    let text = parameter(query, name);
    let wrong = |text: &str| Refusal::content(&format!("{name} is '{text}', not a number"));
    text.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
}

fn list(admin: &Admin) -> Reply {
    let rules: Vec<Value> = admin.laid().rules.iter().map(|(id, rule)| rule.document(*id)).collect();
    Reply::json(StatusCode::OK, &json!({"value": rules}))
}

/// Ends a rule: what it held goes on.
fn remove(admin: &Admin, path: &str) -> Result<Reply, Refusal> {
    let id = path.rsplit('/').next().and_then(|id| id.parse().ok());
    match id.and_then(|id: u64| admin.laid().rules.remove(&id)) {
        Some(_) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        None => Err(Refusal::unknown_path(path)),
    }
}
