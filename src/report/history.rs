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
        Outcome::Accepted { at } => {
            status.attempt = None;
            (at, "Started", None)
        }
        Outcome::Unknown { at, error } => (at, "Unknown", Some(error.clone())),
        Outcome::Rejected { at, code, message } => {
            let before = status.attempt.as_ref().filter(|attempt| attempt.generation == generation);
            let failures = before.map_or(0, |attempt| attempt.failures).saturating_add(1);
            status.attempt = Some(Attempt {
                failures,
                generation,
                next: rfc3339(retry_after(u32::try_from(failures).unwrap_or(1))),
                code: code.clone(),
                message: shortened(message),
            });
            (at, "RefusedByAzure", Some(format!("{code}: {message}")))
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

/// The operation that runs on the pool, with what is known of it from before.
pub(super) fn operation(before: Option<&Operation>, about: &Circumstances<'_>, now: &str) -> Option<Operation> {
    let kind = match (about.pool.and_then(|pool| pool.state.operation()), about.in_flight) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "Accepted",
        (None, None) => return None,
    };
    let (step, field) = match (about.in_flight, before) {
        (Some(step), _) => (Some(step.change.to_string()), Some(step.change.purpose().to_string())),
        (None, Some(before)) => (before.step.clone(), before.field.clone()),
        (None, None) => (None, None),
    };
    Some(Operation {
        kind: kind.to_owned(),
        since: before.map_or_else(|| now.to_owned(), |operation| operation.since.clone()),
        step,
        field,
    })
}

/// Takes the end of a step's operation into the history; those of other hands are not recorded.
pub(super) fn take_end(history: &mut Vec<HistoryEntry>, ended: &Operation, pool: &AgentPool, now: &str) {
    let Some(step) = &ended.step else { return };
    let outcome = match pool.state {
        ProvisioningState::Failed => "Failed",
        ProvisioningState::Canceled => "Canceled",
        ProvisioningState::Succeeded | ProvisioningState::Busy(_) => "Succeeded",
    };
    let failure = pool.failure.as_ref().filter(|_| outcome == "Failed");
    record(
        history,
        HistoryEntry {
            time: now.to_owned(),
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
