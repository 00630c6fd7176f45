//! Which conditions hold, by the kstatus rules. Never says Reconciling and Stalled at once.

use nodepool_kernel::{AgentPool, Ahead, Problem, ProvisioningState, Refusal, Release, Standing, Verdict, deadline};

use super::conditions::{Draft, draft};
use super::status::{Circumstances, Hold};
use crate::api::{ConditionStatus, Operation, condition, time};

/// How a policy stands, as one of four.
enum Progress {
    /// The pool is as asked.
    Reached(String),
    /// The policy itself says to do nothing; whether the pool is well is told all the same.
    Held { well: bool, reason: String, message: String },
    /// Something is being done or waited for.
    Moving(String, String),
    /// Somebody has to do something.
    Stuck(String, String),
}

/// The drafts of all conditions. `operation` is the one that runs on the pool.
pub(super) fn conditions(about: &Circumstances<'_>, operation: Option<&Operation>) -> Vec<Draft> {
    let refusals: Vec<&Refusal> = about.refusals().collect();
    let mut drafts = match standing(about, operation, &refusals) {
        Progress::Reached(message) => vec![
            ready(true, "UpToDate", &message),
            not(condition::RECONCILING, "UpToDate"),
            not(condition::STALLED, "UpToDate"),
        ],
        Progress::Held { well, reason, message } => {
            vec![ready(well, &reason, &message), not(condition::RECONCILING, &reason), not(condition::STALLED, &reason)]
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
    let is_compared = |problem: &Problem| matches!(problem, Problem::Autoscaled | Problem::TooFewNodes { .. });
    let unplanned = |problem: &Problem| !problem.holds() && !is_compared(problem);
    let is_unseen = about.pool.is_none() && about.plan.steps.is_empty();
    if is_unseen || about.plan.problems.iter().any(unplanned) {
        let message = "the pool has not been compared";
        return Draft { status: ConditionStatus::Unknown, ..draft(condition::IN_SYNC, false, "NotCompared", message) };
    }
    if let Some(kept_back) = kept_back(about).filter(|_| about.plan.steps.is_empty()) {
        let message = format!("to be done when the pool runs: {kept_back}");
        return draft(condition::IN_SYNC, false, "KeptBack", message);
    }
    if let Some(ahead) = about.plan.ahead {
        return in_sync_ahead(about, &ahead);
    }
    match (differences(about), template_differences(about)) {
        (None, None) => draft(condition::IN_SYNC, true, "UpToDate", ""),
        (Some(differences), None) => draft(condition::IN_SYNC, false, "Drifted", format!("to be done: {differences}")),
        (None, Some(kept)) => draft(
            condition::IN_SYNC,
            false,
            "TemplateDiffers",
            format!(
                "{kept}: a pool that exists is never changed for its template; correct spec.template, or replace the pool \
                 by one of another name"
            ),
        ),
        (Some(differences), Some(kept)) => {
            draft(condition::IN_SYNC, false, "Drifted", format!("to be done: {differences}; left as it is: {kept}"))
        }
    }
}

/// A version that is newer than the policy's is told first: nothing will be done about it.
fn in_sync_ahead(about: &Circumstances<'_>, ahead: &Ahead) -> Draft {
    let to_do = differences(about).map_or_else(String::new, |differences| format!("; to be done: {differences}"));
    let kept = template_differences(about).map_or_else(String::new, |kept| format!("; left as it is: {kept}"));
    let message = format!(
        "{ahead}: AKS takes no version back, and the pool is left as it is; set spec.kubernetesVersion to {} or ControlPlane\
         {to_do}{kept}",
        ahead.runs
    );
    draft(condition::IN_SYNC, false, "AheadOfSpec", message)
}

/// In what the pool is another than the policy's template, in words, if in anything.
fn template_differences(about: &Circumstances<'_>) -> Option<String> {
    let texts: Vec<String> = about.plan.template_drift.iter().map(|drift| format!("template.{drift}")).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// What differs and waits until the pool runs, in words, if anything does.
fn kept_back(about: &Circumstances<'_>) -> Option<String> {
    let texts: Vec<&str> = about.plan.kept_back.iter().map(|drift| drift.text.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Everything that differs, in words, if anything does.
fn differences(about: &Circumstances<'_>) -> Option<String> {
    let texts: Vec<&str> = about.plan.drift.iter().map(|drift| drift.text.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
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

fn standing(about: &Circumstances<'_>, operation: Option<&Operation>, refusals: &[&Refusal]) -> Progress {
    if let Some(release) = &about.plan.release {
        return leaving(about, release);
    }
    match about.hold {
        Some(Hold::Paused) => return held(about, "Paused", "all writes are paused"),
        Some(Hold::Suspended) => return held(about, "Suspended", "the policy is suspended"),
        Some(Hold::ObserveOnly) | None => {}
    }
    if let Some(running) = running(about, operation) {
        return running;
    }
    // The autoscaler stops only the count; the other steps go on first.
    if about.plan.problems == [Problem::Autoscaled]
        && about.hold.is_none()
        && let Some(verdict) = about.verdicts.iter().find(|verdict| goes_on(verdict))
    {
        return next_step(about, verdict);
    }
    if let Some(problem) = about.plan.problems.iter().find(|problem| problem.is_lasting()) {
        return Progress::Stuck(problem.reason().to_owned(), problem.to_string());
    }
    if let Some(problem) = about.plan.problems.first() {
        return waiting(about, problem.reason(), problem.to_string());
    }
    if about.hold == Some(Hold::ObserveOnly) && !about.plan.steps.is_empty() {
        return observing(about);
    }
    if let Some(refusal) = refusals.iter().find(|refusal| refusal.is_lasting()) {
        return refused(about, refusal);
    }
    match about.verdicts.first() {
        Some(verdict) => next_step(about, verdict),
        None => settled(about),
    }
}

/// The object is being deleted, and the operator keeps it no longer.
fn leaving(about: &Circumstances<'_>, release: &Release) -> Progress {
    let stays = if release.orphans() { format!("; pool {} stays as it is", about.plan.pool) } else { String::new() };
    let message = format!("the policy is being deleted{stays}: {release}");
    Progress::Held { well: true, reason: "BeingDeleted".to_owned(), message }
}

/// Whether a step is made now or may be later, with nobody's doing.
fn goes_on(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Refused(refusal) => !refusal.is_lasting(),
        Verdict::Approved(_) | Verdict::Waits { .. } => true,
    }
}

/// A policy that is suspended, or paused with all others, is neither at work nor stuck: it tells how the live pool is.
fn held(about: &Circumstances<'_>, by: &str, why: &str) -> Progress {
    let held = |well: bool, reason: &str, message: String| Progress::Held {
        well,
        reason: reason.to_owned(),
        message: format!("{why}; {message}"),
    };
    if let Some(problem) = about.plan.problems.first() {
        return held(false, problem.reason(), problem.to_string());
    }
    match (settled(about), undone(about)) {
        (Progress::Reached(_), Some(undone)) => held(true, by, undone),
        (Progress::Reached(message), None) => held(true, by, message),
        (
            Progress::Held { reason, message, .. }
            | Progress::Moving(reason, message)
            | Progress::Stuck(reason, message),
            _,
        ) => held(false, &reason, message),
    }
}

/// A policy that only observes reports what it would do; drift does not make it fail.
fn observing(about: &Circumstances<'_>) -> Progress {
    match settled(about) {
        Progress::Reached(_) => only_observes(about, true),
        Progress::Held { .. } => only_observes(about, false),
        other => other,
    }
}

fn only_observes(about: &Circumstances<'_>, well: bool) -> Progress {
    let message = format!("the policy only observes; {}", undone(about).unwrap_or_default());
    Progress::Held { well, reason: "ObserveOnly".to_owned(), message }
}

/// What a policy that is held would do.
fn undone(about: &Circumstances<'_>) -> Option<String> {
    differences(about).map(|differences| format!("left undone: {differences}"))
}

/// An operation that runs on the pool is progress, whoever started it, as long as it takes no longer than its kind may; a
/// policy that is held has no part in it.
fn running(about: &Circumstances<'_>, operation: Option<&Operation>) -> Option<Progress> {
    let (what, wait) = match (about.in_flight, about.pool.and_then(|pool| Some((pool, pool.state.operation()?)))) {
        (Some(step), _) => (format!("Azure carries out: {}", step.change), String::new()),
        (None, Some(_)) if about.hold.is_some() => return None,
        (None, Some((pool, state))) => {
            let since = operation.map_or_else(String::new, |operation| format!(" since {}", operation.since));
            (format!("pool {} is {state}", pool.name), format!("{since}; the operator waits until it has ended"))
        }
        (None, None) => {
            let lacking = about.joining.as_deref().filter(|_| about.hold.is_none())?;
            (format!("pool {} {lacking}", about.plan.pool), String::new())
        }
    };
    if let Some(operation) = operation
        && let Some(minutes) = overdue(about, operation)
    {
        let message = format!(
            "{what}, which began at {} and should have ended within {}: look at the pool in Azure (az \
             aks nodepool show); az aks nodepool operation-abort ends the operation",
            operation.since,
            if minutes == 1 { "a minute".to_owned() } else { format!("{minutes} minutes") }
        );
        return Some(Progress::Stuck("OperationOverdue".to_owned(), message));
    }
    Some(Progress::Moving("OperationInProgress".to_owned(), what + &wait))
}

/// The minutes that the operation was given, if it has taken longer.
fn overdue(about: &Circumstances<'_>, operation: &Operation) -> Option<u64> {
    let given = deadline(&operation.kind, about.pool?).times(about.patience);
    let taken = about.now.since(time(&operation.since)?);
    (taken > given).then(|| given.as_millis().div_ceil(60_000))
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
        if about.plan.steps.iter().any(|step| step.change.creates()) {
            let (reason, message) = ("PoolNotFound".to_owned(), "the pool does not exist".to_owned());
            return Progress::Held { well: false, reason, message };
        }
        return waiting(about, "ClusterNotObserved", "the cluster has not been read from ARM".to_owned());
    };
    if let Some(why) = &about.stale {
        let message = format!("the cluster can't be read from ARM and was last as the policy asks: {why}");
        return waiting(about, "ClusterNotObserved", message);
    }
    match pool.state {
        ProvisioningState::Failed => Progress::Stuck("PoolFailed".to_owned(), failed(pool, about.failures)),
        ProvisioningState::Canceled => Progress::Stuck("PoolCanceled".to_owned(), Problem::Canceled.to_string()),
        ProvisioningState::Succeeded | ProvisioningState::Busy(_) if pool.power.is_stopped() => {
            let rest = kept_back(about).map(|rest| format!("; kept back until it runs: {rest}")).unwrap_or_default();
            Progress::Reached(format!("{} pool, stopped, as the policy asks{rest}", pool.mode))
        }
        ProvisioningState::Succeeded | ProvisioningState::Busy(_) => Progress::Reached(as_asked(about, pool)),
    }
}

/// A pool that is as its policy asks, in words, with what is worth knowing besides.
fn as_asked(about: &Circumstances<'_>, pool: &AgentPool) -> String {
    let nodes = if pool.count == 1 { "1 node".to_owned() } else { format!("{} nodes", pool.count) };
    let fields: Vec<&str> = about.plan.template_drift.iter().map(|drift| drift.field).collect();
    let but = if fields.is_empty() { String::new() } else { format!(", but for the template's {}", fields.join(", ")) };
    let bounds = pool.autoscaling.map(|bounds| format!(", autoscaled within {bounds}")).unwrap_or_default();
    let ahead = about.plan.ahead.map(|ahead| format!("; {ahead}")).unwrap_or_default();
    let machines = pool.ill_suited_to_add_ons().map(|why| format!("; its machines {why}")).unwrap_or_default();
    format!("{} pool with {nodes}{bounds}, as the policy asks{but}{ahead}{machines}", pool.mode)
}

/// A pool that is left failed: it has been tried again often enough, or another try would go on with an upgrade.
fn failed(pool: &AgentPool, failures: i32) -> String {
    let why = pool.failure.as_ref().map_or_else(
        || "Azure gives no reason".to_owned(),
        |failure| format!("{}: {}", failure.code, failure.message.trim_end_matches('.')),
    );
    let (name, mut tried) = (&pool.name, String::new());
    if failures > 1 {
        tried = format!(", {failures} times in a row");
    }
    let remedy = if pool.version_differs() || pool.upgrade_failed() {
        "its upgrade is unfinished and any write would go on with it: remove the cause and finish the upgrade with az \
         aks nodepool upgrade"
    } else {
        "remove the cause and repeat the operation in Azure, for example with az aks nodepool update"
    };
    format!("the last operation on pool {name} failed{tried} ({why}): {remedy}")
}
