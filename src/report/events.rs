//! What people are told once, from the difference of two statuses. Pure: sends nothing, repeats nothing.

use nodepool_kernel::Purpose;

use crate::api::{BreakGlassUse, ConditionStatus, HistoryEntry, NodePoolPolicyStatus, condition, glass, outcome};

/// Something to tell people about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should look.
    pub severity: Severity,
    /// One stable word.
    pub reason: String,
    /// What the operator was doing.
    pub action: &'static str,
    /// What happened and what to do.
    pub note: String,
}

/// Whether somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// All is well.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What is news in `new` to somebody who has seen `old`.
#[must_use]
pub fn notices(old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) -> Vec<Notice> {
    let mut notices: Vec<Notice> = new.history.iter().filter(|entry| !old.history.contains(entry)).map(step).collect();
    let became = |type_: &str, status: ConditionStatus| {
        let now = new.condition(type_).filter(|condition| condition.status == status)?;
        let before = old.condition(type_).filter(|condition| condition.status == status);
        before.is_none_or(|before| before.reason != now.reason).then_some(now)
    };
    if let Some(safe) = became(condition::SAFE, ConditionStatus::False) {
        let remedy = new.refusals.iter().find(|refused| refused.rule == safe.reason).map(|refused| &refused.remedy);
        let note = remedy.map_or_else(|| safe.message.clone(), |remedy| format!("{}. To do: {remedy}", safe.message));
        notices.push(Notice { severity: Severity::Warning, reason: safe.reason.clone(), action: "Guard", note });
    } else if let Some(stalled) = became(condition::STALLED, ConditionStatus::True)
        && new.condition(condition::SAFE).is_none_or(|safe| safe.reason != stalled.reason)
        && !notices.iter().any(|notice| notice.severity == Severity::Warning)
    {
        let (reason, note) = (stalled.reason.clone(), stalled.message.clone());
        notices.push(Notice { severity: Severity::Warning, reason, action: "Reconcile", note });
    }
    if let Some(glass) = glass(old, new) {
        notices.push(glass);
    }
    let was_in_sync =
        old.condition(condition::IN_SYNC).is_some_and(|condition| condition.status == ConditionStatus::True);
    // That somebody asks for another image is no change of the pool.
    let field = Purpose::NodeImage.to_string();
    let is_asked = !new.drift.is_empty() && new.drift.iter().all(|drift| drift.field == field);
    if was_in_sync
        && !is_asked
        && old.observed_generation == new.observed_generation
        && let Some(drifted) = became(condition::IN_SYNC, ConditionStatus::False)
    {
        let note = format!("the pool was changed elsewhere; {}", drifted.message);
        notices.push(Notice { severity: Severity::Normal, reason: "DriftFound".into(), action: "Observe", note });
    }
    notices
}

/// That somebody broke the glass, or meant to. What it lets pass is told as a step is.
fn glass(old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) -> Option<Notice> {
    let now = new.break_glass.as_ref()?;
    let is_same = |before: &BreakGlassUse| (&before.request, &before.state) == (&now.request, &now.state);
    if old.break_glass.as_ref().is_some_and(is_same) || [glass::PASSING, glass::USED].contains(&now.state.as_str()) {
        return None;
    }
    let (reason, note) = (format!("BreakGlass{}", now.state), format!("{}: {}", now.message, now.request));
    Some(Notice { severity: Severity::Warning, reason, action: "Guard", note })
}

fn step(entry: &HistoryEntry) -> Notice {
    let (severity, reason) = match entry.outcome.as_str() {
        outcome::STARTED => (Severity::Normal, "StepStarted"),
        outcome::SUCCEEDED => (Severity::Normal, "StepSucceeded"),
        outcome::REFUSED => (Severity::Warning, "StepRefusedByAzure"),
        outcome::UNKNOWN => (Severity::Warning, "StepOutcomeUnknown"),
        outcome::NOT_DONE => (Severity::Normal, "StepNotDone"),
        outcome::RULE_PASSED => (Severity::Warning, "RulePassed"),
        outcome::GIVEN_UP => (Severity::Warning, "DrainGivenUp"),
        _ => (Severity::Warning, "StepFailed"),
    };
    let note = match &entry.detail {
        Some(detail) => format!("{}: {detail}", entry.step),
        None => entry.step.clone(),
    };
    Notice { severity, reason: reason.to_owned(), action: "Act", note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Condition, DriftedField};

    fn with(type_: &str, status: ConditionStatus, reason: &str) -> NodePoolPolicyStatus {
        let condition = Condition {
            type_: type_.into(),
            status,
            reason: reason.into(),
            message: "m".into(),
            last_transition_time: "t".into(),
            observed_generation: 1,
        };
        NodePoolPolicyStatus { observed_generation: Some(1), conditions: vec![condition], ..Default::default() }
    }

    #[test]
    fn a_refusal_is_told_once() {
        let refused = with(condition::SAFE, ConditionStatus::False, "LastHealthySystemPool");
        let told = notices(&NodePoolPolicyStatus::default(), &refused);
        assert_eq!((told.len(), told[0].reason.as_str()), (1, "LastHealthySystemPool"));
        assert_eq!(notices(&refused, &refused), []);
    }

    #[test]
    fn drift_is_told_when_the_policy_did_not_change() {
        let (good, bad) = (
            with(condition::IN_SYNC, ConditionStatus::True, "UpToDate"),
            with(condition::IN_SYNC, ConditionStatus::False, "Drifted"),
        );
        assert_eq!(notices(&good, &bad)[0].reason, "DriftFound");
        let edited = NodePoolPolicyStatus { observed_generation: Some(2), ..bad };
        assert_eq!(notices(&good, &edited), []);
        let of = |field: &str| DriftedField { field: field.to_owned(), difference: String::new() };
        for (fields, told) in [(vec!["nodeImage"], 0), (vec!["nodeImage", "count"], 1), (vec!["count"], 1)] {
            let drift = fields.iter().map(|field| of(field)).collect();
            let bad = NodePoolPolicyStatus { drift, ..with(condition::IN_SYNC, ConditionStatus::False, "Drifted") };
            assert_eq!(notices(&good, &bad).len(), told, "{fields:?}: somebody asks for another image");
        }
    }
}
