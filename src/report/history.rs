//! What was done: the steps that were begun and how they ended. Never longer than bounded.

use nodepool_kernel::{AgentPool, Change, GivenUp, PolicyPlan, ProvisioningState, Purpose, Step, Time};

use super::attempt;
use super::status::{brief, rfc3339};
use crate::act::Outcome;
use crate::api::{HistoryEntry, NodePoolPolicyStatus, Operation, outcome};
use crate::arm::End;

const LIMIT: usize = 10;

/// Takes the outcome of a step into the status: history, and the failed attempt.
pub fn take_outcome(
    status: &mut NodePoolPolicyStatus,
    generation: i64,
    step: &Step,
    outcome: &Outcome,
    retry_after: impl Fn(u32) -> Time,
) {
    if let (Outcome::Accepted { .. }, Change::NodeImage { .. }) = (outcome, &step.change) {
        status.node_image_upgrade.iter_mut().for_each(|begun| begun.taken = true);
    }
    let (at, word, code, detail) = match outcome {
        Outcome::Accepted { at, .. } => (at, outcome::STARTED, None, None),
        Outcome::Made { at } => (at, outcome::SUCCEEDED, None, None),
        Outcome::Unknown { at, error } => (at, outcome::UNKNOWN, None, Some(error)),
        Outcome::Rejected { at, code, message, remedy, correlation } => {
            let failure = attempt::Failure { code, message, remedy: remedy.clone(), correlation: correlation.clone() };
            attempt::note(status, outcome::REFUSED, generation, failure, &retry_after);
            (at, outcome::REFUSED, Some(code), Some(message))
        }
        Outcome::Superseded | Outcome::Refused(_) | Outcome::Postponed { .. } | Outcome::NotSent { .. } => return,
    };
    let entry = HistoryEntry {
        time: rfc3339(*at),
        field: step.change.purpose().to_string(),
        step: brief(&step.change.to_string()),
        outcome: word.to_owned(),
        code: code.cloned(),
        detail: detail.map(|detail| brief(detail)),
        correlation_id: outcome.correlation().map(str::to_owned),
    };
    record(&mut status.history, entry);
}

/// Takes a drain that is given up into the status: the failed attempt, with the time of the next one, and history.
pub fn take_given_up(
    status: &mut NodePoolPolicyStatus,
    (now, generation): (Time, i64),
    what: &str,
    given: &GivenUp,
    retry_at: impl Fn(u32) -> Time,
) {
    let GivenUp { code, message, remedy, .. } = given;
    let failure = attempt::Failure { code, message, remedy: remedy.clone(), correlation: None };
    attempt::note(status, outcome::GIVEN_UP, generation, failure, &retry_at);
    let entry = HistoryEntry {
        time: rfc3339(now),
        field: "disruption".to_owned(),
        step: brief(what),
        outcome: outcome::GIVEN_UP.to_owned(),
        code: Some(code.clone()),
        detail: Some(brief(message)),
        correlation_id: None,
    };
    record(&mut status.history, entry);
}

/// How a pool came to rest.
pub struct Rest<'a> {
    /// The time.
    pub now: Time,
    /// The pool, which no operation is known to run on.
    pub pool: &'a AgentPool,
    /// How the operation of the policy's step ended, if ARM told.
    pub end: Option<&'a End>,
    /// What is still to be done by the policy.
    pub plan: &'a PolicyPlan,
    /// The policy's generation.
    pub generation: i64,
    /// When the next attempt is due after so many failures in a row.
    pub retry_at: &'a dyn Fn(u32) -> Time,
}

/// Records how the operation that the status knows of has ended, and what that means for the next attempt, once the pool
/// is at rest. A write whose answer was lost, and that is to be made again as it was, has not been made.
pub fn take_rest(status: &mut NodePoolPolicyStatus, rest: &Rest<'_>) {
    if rest.pool.state.operation().is_some() {
        return;
    }
    match status.operation.take_if(|operation| !operation.is_drain()) {
        Some(Operation { step: Some(step), field, correlation_id, .. }) => {
            let end = end_of(&step, rest);
            if end != outcome::SUCCEEDED && field.as_deref() == Some(&Purpose::NodeImage.to_string()) {
                status.node_image_upgrade.iter_mut().for_each(|begun| begun.taken = false);
            }
            let failure = attempt::failure(rest).filter(|_| end == outcome::FAILED);
            let field = field.unwrap_or_default();
            let entry = HistoryEntry { field: field.clone(), correlation_id, ..ended(rest.now, &step, end, failure) };
            record(&mut status.history, entry);
            attempt::ended(status, &field, end, rest);
        }
        // The operation of another hand is nobody's step.
        Some(_) | None => attempt::found(status, rest),
    }
}

/// Records that a creation has come to nothing: nothing is under way, and ARM shows no such pool.
pub fn take_absence(
    status: &mut NodePoolPolicyStatus,
    now: Time,
    end: Option<&End>,
    generation: i64,
    retry_at: impl Fn(u32) -> Time,
) {
    let Some(Operation { step: Some(step), field, correlation_id, .. }) =
        status.operation.take_if(|operation| operation.creates())
    else {
        return;
    };
    let (word, failure) = match end {
        Some(End::Failed { code, message }) => (outcome::FAILED, Some((code.as_str(), message.as_str()))),
        Some(End::Canceled { .. }) => (outcome::CANCELED, None),
        Some(End::Succeeded) | None => (outcome::NOT_DONE, None),
    };
    let field = field.unwrap_or_default();
    record(&mut status.history, HistoryEntry { field, correlation_id, ..ended(now, &step, word, failure) });
    if let Some((code, message)) = failure {
        attempt::failed_and_gone(status, generation, (code, message), &retry_at);
    }
}

/// The entry of a step that has ended.
fn ended(now: Time, step: &str, outcome: &str, failure: Option<(&str, &str)>) -> HistoryEntry {
    HistoryEntry {
        time: rfc3339(now),
        step: brief(step),
        outcome: outcome.to_owned(),
        code: failure.map(|(code, _)| code.to_owned()),
        detail: failure.map(|(_, message)| brief(message)),
        ..HistoryEntry::default()
    }
}

/// What became of a step on a pool that is at rest: what the operation said, else what the pool shows.
fn end_of(step: &str, rest: &Rest<'_>) -> &'static str {
    match rest.end {
        Some(End::Succeeded) => return outcome::SUCCEEDED,
        Some(End::Failed { .. }) => return outcome::FAILED,
        Some(End::Canceled { .. }) => return outcome::CANCELED,
        None => {}
    }
    match rest.pool.state {
        ProvisioningState::Failed => outcome::FAILED,
        ProvisioningState::Canceled => outcome::CANCELED,
        _ if rest.plan.steps.iter().any(|again| step.ends_with(&aim_of(again))) => outcome::NOT_DONE,
        ProvisioningState::Succeeded | ProvisioningState::Busy(_) => outcome::SUCCEEDED,
    }
}

/// What a step comes to, in the words that end its own: a removal of machines is not done as long as its scale-down is planned
/// in any form, also while the nodes are not seen.
fn aim_of(step: &Step) -> String {
    step.change.aim().map_or_else(|| step.change.to_string(), |aim| aim.to_string())
}

pub(super) fn record(history: &mut Vec<HistoryEntry>, entry: HistoryEntry) {
    history.push(entry);
    *history = newest(std::mem::take(history));
}

/// As much of a history as a status holds.
pub(super) fn newest(mut history: Vec<HistoryEntry>) -> Vec<HistoryEntry> {
    let surplus = history.len().saturating_sub(LIMIT);
    history.drain(..surplus);
    history
}
