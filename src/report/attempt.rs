//! The attempt that came to nothing, as a policy's status keeps it: how often, why, and when the next one is due. Never
//! forgets a failure before something has succeeded or the policy was changed.

use nodepool_kernel::{Problem, ProvisioningState, Purpose, Time};

use super::history::Rest;
use super::status::{Circumstances, rfc3339, shortened};
use crate::api::{Attempt, NodePoolPolicyStatus, outcome};
use crate::arm::{self, End};

/// The status whose remedy fits an operation that failed for a reason that nobody knows: Azure could not do it now.
const FAILED_LATER: u16 = 500;

/// Why an attempt failed.
pub(super) struct Failure<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) remedy: String,
    pub(super) correlation: Option<String>,
}

/// Counts a failed attempt of this generation.
pub(super) fn note(
    status: &mut NodePoolPolicyStatus,
    outcome: &str,
    generation: i64,
    failure: Failure<'_>,
    retry_at: &dyn Fn(u32) -> Time,
) {
    let before = status.attempt.as_ref().filter(|attempt| attempt.generation == generation);
    let failures = before.map_or(0, |attempt| attempt.failures).saturating_add(1);
    status.attempt = Some(Attempt {
        outcome: outcome.to_owned(),
        failures,
        generation,
        next: (outcome != outcome::CANCELED).then(|| rfc3339(retry_at(u32::try_from(failures).unwrap_or(1)))),
        code: failure.code.to_owned(),
        message: shortened(failure.message),
        remedy: Some(shortened(&failure.remedy)).filter(|remedy| !remedy.is_empty()),
        correlation_id: failure.correlation,
    });
}

/// Without the time of another attempt where there is none: the pool is otherwise as asked, and was repaired as often as
/// the settings allow. One that differs is written again, seldom.
pub(super) fn hopeless(attempt: Attempt, about: &Circumstances<'_>) -> Attempt {
    let is_exhausted = attempt.outcome == outcome::FAILED
        && u32::try_from(attempt.failures).is_ok_and(|failures| failures > about.repairs);
    let has_failed = about.pool.is_some_and(|pool| pool.state == ProvisioningState::Failed);
    let is_as_asked = about.plan.drift.is_empty() && about.plan.steps.is_empty();
    let next = attempt.next.clone().filter(|_| !(is_exhausted && has_failed && is_as_asked));
    Attempt { next, ..attempt }
}

fn is_given_up(status: &NodePoolPolicyStatus) -> bool {
    status.attempt.as_ref().is_some_and(|attempt| attempt.outcome == outcome::GIVEN_UP)
}

/// Takes note of how a step of the policy on that field has ended.
pub(super) fn ended(status: &mut NodePoolPolicyStatus, field: &str, end: &str, rest: &Rest<'_>) {
    match end {
        // To turn the autoscaler off for a drain, or on again after one that was given up, is no success of the drain.
        outcome::SUCCEEDED if field == Purpose::Autoscaling.to_string() && is_given_up(status) => {}
        outcome::SUCCEEDED => status.attempt = None,
        outcome::FAILED | outcome::CANCELED => note_pool(status, end, rest),
        _ => {}
    }
}

/// Counts a creation whose operation failed and left no pool.
pub(super) fn failed_and_gone(
    status: &mut NodePoolPolicyStatus,
    generation: i64,
    (code, message): (&str, &str),
    retry_at: &dyn Fn(u32) -> Time,
) {
    let failure = Failure { code, message, remedy: arm::remedy(FAILED_LATER, code, message), correlation: None };
    note(status, outcome::FAILED, generation, failure, retry_at);
}

/// Takes note of a pool that is found failed or canceled, by whoever's hand. A cancellation counts only if it came after
/// the policy was looked at: a policy that is newer wants something all the same.
pub(super) fn found(status: &mut NodePoolPolicyStatus, rest: &Rest<'_>) {
    let governs = !rest.plan.problems.iter().any(|problem| matches!(problem, Problem::ConflictingPolicy { .. }));
    let known = status.attempt.as_ref().filter(|attempt| attempt.generation == rest.generation);
    if !governs {
        return;
    }
    match rest.pool.state {
        ProvisioningState::Failed if known.is_none() => note_pool(status, outcome::FAILED, rest),
        ProvisioningState::Canceled => {
            let was = status.pool.as_ref().map(|pool| pool.provisioning_state.as_str());
            let is_new = was.is_some_and(|was| was != outcome::CANCELED);
            if is_new && status.observed_generation == Some(rest.generation) {
                note_pool(status, outcome::CANCELED, rest);
            }
        }
        _ => {}
    }
}

/// Code and message of what failed: from the operation, else as the pool keeps them.
pub(super) fn failure<'a>(rest: &Rest<'a>) -> Option<(&'a str, &'a str)> {
    match rest.end {
        Some(End::Failed { code, message } | End::Canceled { code, message }) => Some((code, message)),
        _ => rest.pool.failure.as_ref().map(|failure| (failure.code.as_str(), failure.message.as_str())),
    }
}

/// Counts what ARM keeps of the pool's last operation.
fn note_pool(status: &mut NodePoolPolicyStatus, outcome: &str, rest: &Rest<'_>) {
    let (code, message) = failure(rest).unwrap_or(("unknown", "Azure gives no reason"));
    let remedy = if outcome == outcome::CANCELED { String::new() } else { arm::remedy(FAILED_LATER, code, message) };
    note(status, outcome, rest.generation, Failure { code, message, remedy, correlation: None }, rest.retry_at);
}
