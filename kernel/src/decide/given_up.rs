//! Drains that can't go on: refused for good, or begun too long ago. Never opens a node itself: that is planned once it has been
//! recorded that the drain was given up, so that a crash in between loses nothing.

use super::Verdict;
use crate::names::counted;
use crate::plan::{Plan, PolicyPlan, Problem};
use crate::settings::Settings;
use crate::snapshot::{Node, Snapshot};

/// A drain that is given up for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The policy.
    pub policy: String,
    /// The rule that refuses it, or `DrainTimedOut`.
    pub code: String,
    /// What was found.
    pub message: String,
    /// What a person can do.
    pub remedy: String,
}

/// The drains to give up, with cordoned nodes: those of which a step is refused for good, and those that have taken too long.
/// None while all writes are paused, or nobody knows: a drain stands still then, and its nodes stay as they are.
#[must_use]
pub fn given_up(plan: &Plan, verdicts: &[Verdict], snapshot: &Snapshot, settings: &Settings) -> Vec<GivenUp> {
    if snapshot.paused.value() != Some(&false) {
        return Vec::new();
    }
    let nodes: Vec<&Node> = snapshot.nodes.value().into_iter().flatten().filter(|it| it.drained().is_some()).collect();
    let of = |policy: &PolicyPlan| {
        let is_own = |node: &&Node| node.pool.as_deref() == Some(&policy.pool) && node.is_drained_for(&policy.policy);
        let since = nodes.iter().copied().filter(is_own).filter_map(|node| Some(node.drained()?.since)).min()?;
        // What is opened already, or removed, is not given up any more.
        let ends = policy.steps.is_empty() || policy.steps.iter().any(|step| step.change.ends_drain());
        let in_flight = snapshot.in_flight.iter().any(|flight| flight.step.pool == policy.pool);
        if ends || in_flight || policy.problems.iter().any(Problem::holds) {
            return None;
        }
        let own = || verdicts.iter().filter(|verdict| verdict.step().policy == policy.policy);
        let takes = |verdict: &&Verdict| verdict.step().change.removes();
        let lasting = own().filter(takes).find_map(|verdict| match verdict {
            Verdict::Refused(refusal) if refusal.is_lasting() => refusal.leading(),
            _ => None,
        });
        if let Some(broken) = lasting {
            let (finding, remedy) = (broken.finding.clone(), broken.remedy.clone());
            return Some(given(policy, broken.rule.name(), finding, remedy));
        }
        let limit = settings.drain_deadline;
        (snapshot.now.since(since) >= limit).then(|| {
            let (found, remedy) = own().filter(takes).find_map(reason).unwrap_or_default();
            let minutes = counted(usize::try_from(limit.as_millis().div_ceil(60_000)).unwrap_or(usize::MAX), "minute");
            given(policy, "DrainTimedOut", format!("it has not ended within {minutes}{found}"), remedy)
        })
    };
    plan.policies.iter().filter_map(of).collect()
}

fn given(policy: &PolicyPlan, code: &str, message: String, remedy: String) -> GivenUp {
    GivenUp { policy: policy.policy.clone(), code: code.to_owned(), message, remedy }
}

/// What a step waits for, and what would help.
fn reason(verdict: &Verdict) -> Option<(String, String)> {
    match verdict {
        Verdict::Approved(_) => None,
        Verdict::Waits { step, reason } => Some((format!("; to {} waits for {reason}", step.change), String::new())),
        Verdict::Refused(refusal) => {
            let broken = refusal.leading()?;
            Some((format!("; to {} waits: {}", refusal.step.change, broken.finding), broken.remedy.clone()))
        }
    }
}

#[cfg(test)]
mod tests;
