//! What was done: the operation that runs, the steps that ended, the write that Azure refused. Never longer than bounded.

use nodepool_kernel::{AgentPool, ProvisioningState, Step, Time};

use super::status::{Circumstances, rfc3339, shortened};
use crate::act::Outcome;
use crate::api::{Attempt, HistoryEntry, NodePoolPolicyStatus, Operation};

const LIMIT: usize = 10;

/// Takes the outcome of a step into the status: history, and the failed attempt.
pub fn take_outcome(
    status: &mut NodePoolPolicyStatus,
    generation: i64,
    step: &Step,
    outcome: &Outcome,
    retry_after: impl Fn(u32) -> Time,
) {
    let (at, word, detail) = match outcome {
        Outcome::Accepted { at, .. } => {
            status.attempt = None;
            (at, "Started", None)
        }
        Outcome::Unknown { at, error } => (at, "Unknown", Some(error.clone())),
        Outcome::Rejected { at, code, message, remedy, correlation } => {
            let before = status.attempt.as_ref().filter(|attempt| attempt.generation == generation);
            let failures = before.map_or(0, |attempt| attempt.failures).saturating_add(1);
            status.attempt = Some(Attempt {
                failures,
                generation,
                next: rfc3339(retry_after(u32::try_from(failures).unwrap_or(1))),
                code: code.clone(),
                message: shortened(message),
                remedy: Some(shortened(remedy)),
                correlation_id: correlation.clone(),
            });
            let id = correlation.as_ref().map_or_else(String::new, |id| format!(" (correlation id {id})"));
            (at, "RefusedByAzure", Some(format!("{code}: {message}{id}")))
        }
        Outcome::Superseded | Outcome::Refused(_) | Outcome::Postponed { .. } | Outcome::NotSent { .. } => return,
    };
    record(
        &mut status.history,
        HistoryEntry {
            time: rfc3339(*at),
            field: step.change.purpose().to_string(),
            step: shortened(&step.change.to_string()),
            outcome: word.to_owned(),
            detail: detail.map(|detail| shortened(&detail)),
        },
    );
}

/// The operation that runs on the pool, with what is known of it from before. While ARM has not been read, what was
/// known stays: its end is still to be recorded.
pub(super) fn operation(before: Option<&Operation>, about: &Circumstances<'_>, now: &str) -> Option<Operation> {
    let kind = match (about.pool.and_then(|pool| pool.state.operation()), about.in_flight) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "Accepted",
        (None, None) if about.is_unobserved() => return before.cloned(),
        (None, None) => return None,
    };
    let step = about.in_flight.map(|step| step.change.to_string());
    let field = about.in_flight.map(|step| step.change.purpose().to_string());
    // Another step than before is another operation.
    let before = before.filter(|before| step.is_none() || step == before.step);
    Some(Operation {
        kind: kind.to_owned(),
        since: before.map_or_else(|| now.to_owned(), |operation| operation.since.clone()),
        step: step.or_else(|| before.and_then(|before| before.step.clone())),
        field: field.or_else(|| before.and_then(|before| before.field.clone())),
    })
}

/// Records the end of the operation that the status knows of, once the pool is at rest. Called before another step of
/// the pool begins, which would otherwise take its place. `planned` are the steps that are still to be made: a write
/// whose answer was lost, and that is to be made again as it was, has not been made.
pub fn take_end(status: &mut NodePoolPolicyStatus, pool: &AgentPool, planned: &[Step], now: Time) {
    if pool.state.operation().is_some() {
        return;
    }
    let Some(ended) = status.operation.take() else { return };
    // The operation of another hand is nobody's step.
    let Some(step) = &ended.step else { return };
    let outcome = match pool.state {
        ProvisioningState::Failed => "Failed",
        ProvisioningState::Canceled => "Canceled",
        _ if planned.iter().any(|again| again.change.to_string() == *step) => "NotDone",
        ProvisioningState::Succeeded | ProvisioningState::Busy(_) => "Succeeded",
    };
    let failure = pool.failure.as_ref().filter(|_| outcome == "Failed");
    record(
        &mut status.history,
        HistoryEntry {
            time: rfc3339(now),
            field: ended.field.clone().unwrap_or_default(),
            step: shortened(step),
            outcome: outcome.to_owned(),
            detail: failure.map(|failure| shortened(&format!("{}: {}", failure.code, failure.message))),
        },
    );
}

fn record(history: &mut Vec<HistoryEntry>, entry: HistoryEntry) {
    history.push(entry);
    let surplus = history.len().saturating_sub(LIMIT);
    history.drain(..surplus);
}
