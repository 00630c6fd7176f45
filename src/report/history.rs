//! What was done: the operation that runs and the steps that ended. Never longer than bounded.

use nodepool_kernel::{AgentPool, Change, GivenUp, PolicyPlan, ProvisioningState, Purpose, Step, Time, Verdict};

use super::attempt;
use super::status::{Circumstances, rfc3339, shortened};
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
    let (at, word, detail) = match outcome {
        Outcome::Accepted { at, .. } => (at, outcome::STARTED, None),
        Outcome::Made { at } => (at, outcome::SUCCEEDED, None),
        Outcome::Unknown { at, error } => (at, outcome::UNKNOWN, Some(error.clone())),
        Outcome::Rejected { at, code, message, remedy, correlation } => {
            let failure = attempt::Failure { code, message, remedy: remedy.clone(), correlation: correlation.clone() };
            attempt::note(status, outcome::REFUSED, generation, failure, &retry_after);
            let id = correlation.as_ref().map_or_else(String::new, |id| format!(" (correlation id {id})"));
            (at, outcome::REFUSED, Some(format!("{code}: {message}{id}")))
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
        step: shortened(what),
        outcome: outcome::GIVEN_UP.to_owned(),
        detail: Some(shortened(&format!("{code}: {message}"))),
    };
    record(&mut status.history, entry);
}

/// The drain of the policy's nodes, if one is under way: since when, what is next, and what that waits for.
fn drain(about: &Circumstances<'_>) -> Option<Operation> {
    let nodes = about.nodes.value()?.iter();
    let own =
        nodes.filter(|node| node.pool.as_deref() == Some(&about.plan.pool) && node.is_drained_for(&about.plan.policy));
    let since = own.filter_map(|node| Some(node.drained()?.since)).min()?;
    let step_that = |is_next: fn(&Change) -> bool| about.verdicts.iter().find(|it| is_next(&it.step().change));
    let next = step_that(Change::ends_drain).or_else(|| step_that(Change::removes))?;
    let step = &next.step().change;
    let says = match next {
        Verdict::Approved(_) => step.to_string(),
        Verdict::Waits { reason, .. } => format!("{step}; waits for {reason}"),
        Verdict::Refused(refusal) => {
            let finding = refusal.leading().map(|broken| broken.finding.as_str()).unwrap_or_default();
            format!("{step}; waits: {finding}")
        }
    };
    Some(Operation {
        kind: Operation::DRAINING.to_owned(),
        since: rfc3339(since),
        step: Some(shortened(&says)),
        field: Some(step.purpose().to_string()),
    })
}

/// The operation that runs on the pool, with what is known of it from before. While ARM has not been read, what was
/// known stays: its end is still to be recorded.
pub(super) fn operation(before: Option<&Operation>, about: &Circumstances<'_>, now: &str) -> Option<Operation> {
    let kind = match (about.pool.and_then(|pool| pool.state.operation()), about.in_flight) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "Accepted",
        (None, None) if about.is_unobserved() || about.joining.is_some() => {
            return before.filter(|before| !before.is_drain()).cloned();
        }
        (None, None) => return drain(about),
    };
    let step = about.in_flight.map(|step| step.change.to_string());
    let field = about.in_flight.map(|step| step.change.purpose().to_string());
    // Another step than before is another operation.
    let before = before.filter(|before| !before.is_drain() && (step.is_none() || step == before.step));
    Some(Operation {
        kind: kind.to_owned(),
        since: before.map_or_else(|| now.to_owned(), |operation| operation.since.clone()),
        step: step.or_else(|| before.and_then(|before| before.step.clone())),
        field: field.or_else(|| before.and_then(|before| before.field.clone())),
    })
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
        Some(Operation { step: Some(step), field, .. }) => {
            let end = end_of(&step, rest);
            if end != outcome::SUCCEEDED && field.as_deref() == Some(&Purpose::NodeImage.to_string()) {
                status.node_image_upgrade.iter_mut().for_each(|begun| begun.taken = false);
            }
            let failure = attempt::failure(rest).filter(|_| end == outcome::FAILED);
            let detail = failure.map(|(code, message)| shortened(&format!("{code}: {message}")));
            let (time, outcome) = (rfc3339(rest.now), end.to_owned());
            let (field, step) = (field.unwrap_or_default(), shortened(&step));
            record(&mut status.history, HistoryEntry { time, field: field.clone(), step, outcome, detail });
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
    let Some(Operation { step: Some(step), field, .. }) = status.operation.take_if(|operation| operation.creates())
    else {
        return;
    };
    let (word, failure) = match end {
        Some(End::Failed { code, message }) => (outcome::FAILED, Some((code, message))),
        Some(End::Canceled { .. }) => (outcome::CANCELED, None),
        Some(End::Succeeded) | None => (outcome::NOT_DONE, None),
    };
    let detail = failure.map(|(code, message)| shortened(&format!("{code}: {message}")));
    let (field, step) = (field.unwrap_or_default(), shortened(&step));
    record(&mut status.history, HistoryEntry { time: rfc3339(now), field, step, outcome: word.to_owned(), detail });
    if let Some((code, message)) = failure {
        attempt::failed_and_gone(status, generation, (code, message), &retry_at);
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
