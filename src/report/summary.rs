//! Which conditions hold, by the kstatus rules. Never says Reconciling and Stalled at once.

use nodepool_kernel::{AgentPool, Problem, ProvisioningState, Refusal, Rule, Standing, Verdict};

use super::conditions::{Draft, draft};
use super::status::Circumstances;
use crate::api::{ConditionStatus, condition};

/// How a policy stands, as one of four.
enum Progress {
    /// Nothing is to be done.
    Reached(String),
    /// Nothing is done, by the policy's own will.
    Held(&'static str, String),
    /// Something is being done or waited for.
    Moving(String, String),
    /// Somebody has to do something.
    Stuck(String, String),
}

/// The drafts of all conditions.
pub(super) fn conditions(about: &Circumstances<'_>) -> Vec<Draft> {
    let refusals: Vec<&Refusal> = about.refusals().collect();
    let mut drafts = match standing(about, &refusals) {
        Progress::Reached(message) => {
            vec![
                ready(true, "UpToDate", &message),
                not(condition::RECONCILING, "UpToDate"),
                not(condition::STALLED, "UpToDate"),
            ]
        }
        Progress::Held(reason, message) => {
            vec![ready(true, reason, &message), not(condition::RECONCILING, reason), not(condition::STALLED, reason)]
        }
        Progress::Moving(reason, message) => vec![
            ready(false, &reason, &message),
            draft(condition::RECONCILING, true, &reason, message),
            not(condition::STALLED, "Progressing"),
        ],
        Progress::Stuck(reason, message) => vec![
            ready(false, &reason, &message),
            not(condition::RECONCILING, &reason),
            draft(condition::STALLED, true, &reason, message),
        ],
    };
    drafts.push(in_sync(about));
    drafts.push(safe(&refusals));
    drafts
}

fn ready(holds: bool, reason: &str, message: &str) -> Draft {
    draft(condition::READY, holds, reason, message)
}

fn not(type_: &'static str, reason: &str) -> Draft {
    draft(type_, false, reason, "")
}

fn in_sync(about: &Circumstances<'_>) -> Draft {
    let unplanned = |problem: &Problem| !matches!(problem, Problem::Autoscaled | Problem::BackingOff(_));
    if about.pool.is_none() || about.plan.problems.iter().any(unplanned) {
        let message = "the pool has not been compared";
        return Draft { status: ConditionStatus::Unknown, ..draft(condition::IN_SYNC, false, "NotCompared", message) };
    }
    let differences: Vec<&str> = about.plan.drift.iter().map(|drift| drift.text.as_str()).collect();
    let message =
        if differences.is_empty() { String::new() } else { format!("to be done: {}", differences.join("; ")) };
    draft(
        condition::IN_SYNC,
        differences.is_empty(),
        if differences.is_empty() { "UpToDate" } else { "Drifted" },
        message,
    )
}

/// `Safe` is about what would endanger the cluster: a step that merely waits, or is held by the policy, is not unsafe.
fn safe(refusals: &[&Refusal]) -> Draft {
    let unsafe_step = refusals.iter().find_map(|refusal| {
        let broken = refusal.broken.iter().find(|broken| broken.standing == Standing::Lasting)?;
        Some((refusal, broken))
    });
    match unsafe_step {
        None => draft(condition::SAFE, true, "NothingRefused", ""),
        Some((refusal, broken)) => draft(
            condition::SAFE,
            false,
            broken.rule.name(),
            format!("refused to {}: {}", refusal.step.change, broken.finding),
        ),
    }
}

fn standing(about: &Circumstances<'_>, refusals: &[&Refusal]) -> Progress {
    let problem = about.plan.problems.iter().find(|problem| problem.is_lasting());
    if let Some(moving) = running(about) {
        return moving;
    }
    if let Some(problem) = problem {
        return Progress::Stuck(problem.reason().to_owned(), problem.to_string());
    }
    if let Some(Problem::NotObserved { .. }) = about.plan.problems.first() {
        let problem = about.plan.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return waiting(about, "ClusterNotObserved", problem);
    }
    if let Some(refusal) = refusals.iter().find(|refusal| is_stuck(refusal)) {
        return refused(about, refusal);
    }
    if let Some(verdict) = about.verdicts.iter().find(|verdict| !is_held(verdict)) {
        return next_step(about, verdict);
    }
    if let Some(refusal) = refusals.first() {
        let reason = refusal.leading().map_or(Rule::Suspended, |broken| broken.rule).name();
        let drift = about.plan.drift.iter().map(|drift| drift.text.as_str()).collect::<Vec<_>>().join("; ");
        let finding = refusal.leading().map(|broken| broken.finding.as_str()).unwrap_or_default();
        return Progress::Held(reason, format!("{finding}; left undone: {drift}"));
    }
    settled(about)
}

/// Whether a refusal needs somebody, so that no pass by itself will change it.
fn is_stuck(refusal: &Refusal) -> bool {
    refusal.is_lasting() && !refusal.broken.iter().any(|broken| broken.standing == Standing::Held)
}

fn is_held(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Refused(refusal) => refusal.broken.iter().any(|broken| broken.standing == Standing::Held),
        Verdict::Waits { .. } | Verdict::Approved(_) => false,
    }
}

/// An operation that runs on the pool is progress, whoever started it; a policy that is held has no part in it.
fn running(about: &Circumstances<'_>) -> Option<Progress> {
    let message = match (about.in_flight, about.pool.and_then(|pool| Some((pool, pool.state.operation()?)))) {
        (Some(step), _) => format!("Azure carries out: {}", step.change),
        (None, Some(_)) if about.verdicts.iter().any(|verdict| is_held(verdict)) => return None,
        (None, Some((pool, operation))) => {
            format!("pool {} is {operation}; the operator waits until it has ended", pool.name)
        }
        (None, None) => return None,
    };
    Some(Progress::Moving("OperationInProgress".to_owned(), message))
}

/// The gravest finding with its remedy; the others are counted, and stand in `status.refusals`.
fn refused(about: &Circumstances<'_>, refusal: &Refusal) -> Progress {
    let lasting = || refusal.broken.iter().filter(|broken| broken.standing == Standing::Lasting);
    let Some(first) = lasting().next() else { return settled(about) };
    let more = match lasting().count().saturating_sub(1) {
        0 => String::new(),
        1 => " (1 more rule is broken, see status.refusals)".to_owned(),
        more => format!(" ({more} more rules are broken, see status.refusals)"),
    };
    let reason = first.rule.name().to_owned();
    let message = format!("refused to {}: {}{more}. To do: {}", refusal.step.change, first.finding, first.remedy);
    if about.settled { Progress::Stuck(reason, message) } else { Progress::Moving(reason, message) }
}

/// The state of the first step that is neither held nor refused for good.
fn next_step(about: &Circumstances<'_>, verdict: &Verdict) -> Progress {
    match verdict {
        Verdict::Approved(step) => match about.delayed {
            Some(reason) => waiting(about, "WriteDelayed", format!("next: {}; {reason}", step.get().change)),
            None => Progress::Moving("Progressing".to_owned(), format!("next: {}", step.get().change)),
        },
        Verdict::Waits { step, reason } => {
            waiting(about, "WaitingForStep", format!("to {} waits for {reason}", step.change))
        }
        Verdict::Refused(refusal) => {
            let reason = refusal.leading().map_or("Refused", |broken| broken.rule.name());
            let finding = refusal.leading().map(|broken| broken.finding.as_str()).unwrap_or_default();
            waiting(about, reason, format!("to {} waits: {finding}", refusal.step.change))
        }
    }
}

/// Something that may pass by itself, until it has lasted for too long.
fn waiting(about: &Circumstances<'_>, reason: &str, message: String) -> Progress {
    if about.overdue.as_deref() == Some(reason) {
        return Progress::Stuck(reason.to_owned(), format!("no progress for too long: {message}"));
    }
    Progress::Moving(reason.to_owned(), message)
}

/// No step is planned: the pool is as asked, or its last operation ended badly.
fn settled(about: &Circumstances<'_>) -> Progress {
    let Some(pool) = about.pool else {
        return waiting(about, "ClusterNotObserved", "the cluster has not been read from ARM".to_owned());
    };
    if about.stale {
        let message = "the cluster can't be read from ARM and was last as the policy asks; the log says why";
        return waiting(about, "ClusterNotObserved", message.to_owned());
    }
    match pool.state {
        ProvisioningState::Failed => Progress::Stuck("PoolFailed".to_owned(), failed(pool)),
        ProvisioningState::Canceled => Progress::Stuck(
            "PoolCanceled".to_owned(),
            format!(
                "the last operation on pool {} was canceled: look at the pool in Azure, then change the policy or \
                     repeat the operation",
                pool.name
            ),
        ),
        ProvisioningState::Succeeded | ProvisioningState::Busy(_) => {
            let nodes = if pool.count == 1 { "1 node".to_owned() } else { format!("{} nodes", pool.count) };
            Progress::Reached(format!("{} pool with {nodes}, as the policy asks", pool.mode))
        }
    }
}

fn failed(pool: &AgentPool) -> String {
    let why = pool.failure.as_ref().map_or_else(
        || "Azure gives no reason".to_owned(),
        |failure| format!("{}: {}", failure.code, failure.message.trim_end_matches('.')),
    );
    format!("the last operation on pool {} failed ({why}): repair the pool in Azure", pool.name)
}
