//! What people are told once, from the difference of two statuses. Pure: sends nothing, repeats nothing.

use nodepool_kernel::Purpose;

use crate::api::{
    BreakGlassUse, Condition, ConditionStatus, HistoryEntry, NodePoolPolicyStatus, PlannedStep, condition, glass,
    outcome,
};

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
    let mut notices: Vec<Notice> = drift_found(old, new).or_else(|| plan_made(old, new)).into_iter().collect();
    notices.extend(new.history.iter().filter(|entry| !old.history.contains(entry)).map(step));
    if let Some(safe) = refused_anew(old, new) {
        let remedy = new.refusals.iter().find(|refused| refused.rule == safe.reason).map(|refused| &refused.remedy);
        let note = remedy.map_or_else(|| safe.message.clone(), |remedy| format!("{}. To do: {remedy}", safe.message));
        notices.push(Notice { severity: Severity::Warning, reason: safe.reason.clone(), action: "Guard", note });
    } else if let Some(stalled) = became(condition::STALLED, ConditionStatus::True, old, new)
        && new.condition(condition::SAFE).is_none_or(|safe| safe.reason != stalled.reason)
        && !notices.iter().any(|notice| notice.severity == Severity::Warning)
        && !is_told_by_history(stalled)
    {
        let (reason, note) = (stalled.reason.clone(), stalled.message.clone());
        notices.push(Notice { severity: Severity::Warning, reason, action: "Reconcile", note });
    }
    if let Some(glass) = glass(old, new) {
        notices.push(glass);
    }
    notices.extend(drift_repaired(old, new));
    notices
}

/// The condition `Safe` of a policy of which a step is refused for good, if that is news: its reason is the rule.
#[must_use]
pub fn refused_anew<'a>(old: &NodePoolPolicyStatus, new: &'a NodePoolPolicyStatus) -> Option<&'a Condition> {
    became(condition::SAFE, ConditionStatus::False, old, new)
}

/// The condition that has this status now and had not, or for another reason.
fn became<'a>(
    type_: &str,
    status: ConditionStatus,
    old: &NodePoolPolicyStatus,
    new: &'a NodePoolPolicyStatus,
) -> Option<&'a Condition> {
    let now = new.condition(type_).filter(|condition| condition.status == status)?;
    let before = old.condition(type_).filter(|condition| condition.status == status);
    before.is_none_or(|before| before.reason != now.reason).then_some(now)
}

/// Whether history has told the same before: a drain is given up before its nodes are open again.
fn is_told_by_history(stalled: &Condition) -> bool {
    stalled.reason == "DrainGivenUp"
}

/// That somebody else changed the pool, which tells the plan too.
fn drift_found(old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) -> Option<Notice> {
    let is_known = |field: &str| old.drift.iter().any(|before| before.field == field);
    new.drift.iter().find(|drift| drift.changed_elsewhere && !is_known(&drift.field))?;
    let message = &new.condition(condition::IN_SYNC)?.message;
    let note = format!("the pool was changed elsewhere; {message}");
    Some(Notice { severity: Severity::Normal, reason: "DriftFound".into(), action: "Observe", note })
}

/// That what somebody else changed is as the policy asks again.
fn drift_repaired(old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) -> Option<Notice> {
    new.condition(condition::IN_SYNC).filter(|in_sync| in_sync.status == ConditionStatus::True)?;
    let was_changed = old.drift.iter().any(|drift| drift.changed_elsewhere);
    (was_changed && old.observed_generation == new.observed_generation).then(|| Notice {
        severity: Severity::Normal,
        reason: "DriftRepaired".into(),
        action: "Observe",
        note: "the pool is as the policy asks again".into(),
    })
}

/// That there is something to do which a person has asked for. What is left of a plan when a step of it is made is no news.
fn plan_made(old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) -> Option<Notice> {
    let plan = new.plan.as_ref()?;
    let is_news = match &old.plan {
        Some(before) => old.observed_generation != new.observed_generation && before.hash != plan.hash,
        // That a failed operation is tried again is told by its end and the next beginning.
        None => plan.steps.iter().any(|step| step.field != Purpose::Repair.to_string()),
    };
    let told = |step: &PlannedStep| {
        let time = step.usually_takes.as_ref().map_or_else(String::new, |time| format!(", {time}"));
        format!("{} (risk {}{time})", step.step, step.risk)
    };
    let steps: Vec<String> = plan.steps.iter().map(told).collect();
    let note = format!("plan {}: {}", plan.hash, steps.join("; "));
    is_news.then(|| Notice { severity: Severity::Normal, reason: "PlanMade".into(), action: "Plan", note })
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
    let aborted = (entry.outcome == outcome::CANCELED).then_some("it was aborted");
    let parts = [Some(&*entry.step), aborted, entry.code.as_deref(), entry.detail.as_deref()];
    let mut note = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    if let Some(id) = entry.correlation_id.as_ref().filter(|_| severity == Severity::Warning) {
        note = format!("{note} (correlation id {id})");
    }
    Notice { severity, reason: reason.to_owned(), action: "Act", note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{DriftedField, PlannedSteps};

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

    /// A status that differs in these fields, of which some were changed elsewhere.
    fn drifted(fields: &[(&str, bool)]) -> NodePoolPolicyStatus {
        let of = |(field, changed_elsewhere): &(&str, bool)| DriftedField {
            field: (*field).to_owned(),
            changed_elsewhere: *changed_elsewhere,
            ..DriftedField::default()
        };
        let drift = fields.iter().map(of).collect();
        NodePoolPolicyStatus { drift, ..with(condition::IN_SYNC, ConditionStatus::False, "Drifted") }
    }

    fn reasons(old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) -> Vec<String> {
        notices(old, new).into_iter().map(|notice| notice.reason).collect()
    }

    #[test]
    fn drift_is_told_when_it_is_found_and_when_it_is_gone() {
        let good = with(condition::IN_SYNC, ConditionStatus::True, "UpToDate");
        let bad = drifted(&[("count", true), ("labels", false)]);
        assert_eq!(reasons(&good, &bad), ["DriftFound"]);
        assert_eq!(reasons(&bad, &bad), [] as [&str; 0]);
        assert_eq!(reasons(&bad, &good), ["DriftRepaired"]);
        assert_eq!(notices(&bad, &good)[0].note, "the pool is as the policy asks again");
        let asked = drifted(&[("count", false)]);
        assert_eq!((reasons(&good, &asked), reasons(&asked, &good)), (vec![], vec![]), "the policy was changed");
        let edited = NodePoolPolicyStatus { observed_generation: Some(2), ..good };
        assert_eq!(reasons(&bad, &edited), [] as [&str; 0], "the policy asks for what is there");
    }

    #[test]
    fn a_plan_is_told_when_it_is_made_and_not_when_a_step_of_it_is() {
        let planned = |generation: i64, steps: &[&str]| {
            let of = |step: &&str| PlannedStep {
                step: (*step).to_owned(),
                risk: "None".to_owned(),
                usually_takes: Some("about 4 minutes".to_owned()),
                ..PlannedStep::default()
            };
            let steps: Vec<_> = steps.iter().map(of).collect();
            let hash = steps.len().to_string();
            let plan = (!steps.is_empty()).then_some(PlannedSteps { hash, steps });
            NodePoolPolicyStatus { observed_generation: Some(generation), plan, ..Default::default() }
        };
        let [none, both, rest] = [&[][..], &["a", "b"], &["b"]].map(|steps| planned(1, steps));
        assert_eq!(reasons(&none, &both), ["PlanMade"]);
        let words = "plan 2: a (risk None, about 4 minutes); b (risk None, about 4 minutes)";
        assert_eq!(notices(&none, &both)[0].note, words);
        for (old, new) in [(&both, &both), (&both, &rest), (&rest, &none), (&both, &planned(2, &["a", "b"]))] {
            assert_eq!(notices(old, new), []);
        }
        assert_eq!(reasons(&both, &planned(2, &["c"])), ["PlanMade"]);
        let mut again = planned(1, &["try again what has failed"]);
        again.plan.iter_mut().flat_map(|plan| &mut plan.steps).for_each(|step| step.field = "repair".to_owned());
        assert_eq!(notices(&none, &again), [], "its end and its next beginning are told");
    }
}
