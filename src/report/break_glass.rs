//! What the status says of a break-glass annotation, from when it is there until it is taken away. Never decides what it lets
//! pass.

use nodepool_kernel::{BreakGlass, Broken, Step, Time};

use super::history::record;
use super::status::{brief, rfc3339, shortened};
use crate::api::{
    BreakGlassUse, HistoryEntry, NodePoolPolicy, NodePoolPolicyStatus, Word, glass, glass_request, glass_word, outcome,
};

/// What the status is to say: nothing without the annotation. `steps` are those that the policy still needs, `None` if that is
/// not known now.
pub(super) fn kept(
    policy: &NodePoolPolicy,
    old: Option<BreakGlassUse>,
    now: Time,
    steps: Option<&[Step]>,
) -> Option<BreakGlassUse> {
    let (request, word) = (glass_request(policy)?, glass_word(policy)?);
    let old = old.filter(|old| old.request == request);
    match (word, old) {
        (Ok(word), Some(old)) if old.state == glass::PASSING => {
            let goes_on = |step: &Step| old.field == Some(step.change.purpose().to_string());
            let is_made = steps.is_some_and(|steps| !steps.iter().any(goes_on));
            let is_over = is_made || !old.is_about(policy);
            Some(if is_over || now >= word.until { used(&word, old) } else { old })
        }
        (_, Some(old)) if old.state == glass::USED => Some(old),
        (Ok(word), _) => Some(unused(request, &word, now)),
        (Err(wrong), _) => Some(new(request, glass::INVALID, &format!("it lets nothing pass: {wrong}"))),
    }
}

fn new(request: String, state: &str, message: &str) -> BreakGlassUse {
    BreakGlassUse { request, state: state.to_owned(), message: shortened(message), field: None, generation: None }
}

fn unused(request: String, word: &Word, now: Time) -> BreakGlassUse {
    let (rule, until) = (word.rule, rfc3339(word.until));
    let (state, message) = if now >= word.until {
        (glass::EXPIRED, format!("it ended at {until}: take the annotation away, or give a later time"))
    } else if !(BreakGlass { rule, until: word.until, field: None }).holds(now) {
        let hours = BreakGlass::LONGEST.as_secs() / 3600;
        (glass::INVALID, format!("it lets nothing pass: until is {until}, and may be {hours} hours from now at most"))
    } else {
        (
            glass::ARMED,
            format!("until {until} rule {rule} lets a change of this policy pass that breaks it and no other"),
        )
    };
    new(request, state, &message)
}

fn used(word: &Word, old: BreakGlassUse) -> BreakGlassUse {
    let field = old.field.as_deref().unwrap_or_default();
    let message = format!("rule {} has let a change of {field} pass; take the annotation away", word.rule);
    BreakGlassUse { state: glass::USED.to_owned(), message, ..old }
}

/// Takes note that a step is about to be made although it breaks the rule, in history too. The steps of one change are noted
/// once. Tells whether the annotation is there.
pub fn take_passed(
    status: &mut NodePoolPolicyStatus,
    policy: &NodePoolPolicy,
    now: Time,
    (step, passed): (&Step, &Broken),
) -> bool {
    let (Some(request), Some(Ok(word))) = (glass_request(policy), glass_word(policy)) else { return false };
    let field = step.change.purpose().to_string();
    let is_noted = |used: &BreakGlassUse| used.request == request && used.state == glass::PASSING;
    if status.break_glass.as_ref().is_some_and(is_noted) {
        return true;
    }
    let message = format!("rule {} lets the change of {field} pass until it is made", passed.rule);
    status.break_glass = Some(BreakGlassUse {
        field: Some(field.clone()),
        generation: policy.metadata.generation,
        ..new(request, glass::PASSING, &message)
    });
    let detail = format!("break-glass for {} ({}): {}", passed.rule, word.reason, passed.finding);
    let (time, outcome) = (rfc3339(now), outcome::RULE_PASSED.to_owned());
    let (step, detail) = (brief(&step.change.to_string()), Some(brief(&detail)));
    record(&mut status.history, HistoryEntry { time, field, step, outcome, detail, ..HistoryEntry::default() });
    true
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{Change, Rule, Span, Standing};

    use super::*;
    use crate::api::{BREAK_GLASS, NodePoolPolicySpec};

    const NOW: Time = Time::from_millis(1_769_860_800_000);

    fn asking(value: &str) -> NodePoolPolicy {
        let mut policy = NodePoolPolicy::new("apps", NodePoolPolicySpec::default());
        policy.metadata.generation = Some(4);
        policy.metadata.annotations = Some([(BREAK_GLASS.to_owned(), value.to_owned())].into());
        policy
    }

    fn good() -> NodePoolPolicy {
        asking("rule=SystemCapacityFloor pool=apps until=2026-01-31T18:00:00Z reason=INC-7")
    }

    fn step(change: Change) -> Step {
        Step { policy: "apps".into(), pool: "apps".into(), change }
    }

    fn scale() -> Step {
        step(Change::Count { from: 3, to: 1 })
    }

    fn floor() -> Broken {
        let finding = "only one node would remain".to_owned();
        Broken {
            rule: Rule::SystemCapacityFloor,
            standing: Standing::Lasting,
            finding,
            remedy: String::new(),
            pods: vec![],
        }
    }

    fn state(glass: Option<&BreakGlassUse>) -> &str {
        glass.map_or("", |glass| glass.state.as_str())
    }

    #[test]
    fn a_word_is_armed_until_it_ends_and_one_that_is_none_says_why() {
        let at = |hours: i64| Time::from_millis(NOW.as_millis() + hours * 3_600_000);
        for (now, expected) in [(at(0), "Armed"), (at(-30), "Invalid"), (at(5), "Armed"), (at(6), "Expired")] {
            assert_eq!(state(kept(&good(), None, now, Some(&[])).as_ref()), expected, "{now:?}");
        }
        let wrong =
            kept(&asking("rule=Floor pool=apps until=2026-01-31T18:00:00Z reason=x"), None, NOW, Some(&[])).unwrap();
        assert_eq!(wrong.state, "Invalid");
        assert!(wrong.message.starts_with(r#"it lets nothing pass: rule is "Floor", which is no rule"#), "{wrong:?}");
        let mut without = good();
        without.metadata.annotations = None;
        assert_eq!(kept(&without, kept(&good(), None, NOW, Some(&[])), NOW, Some(&[])), None);
    }

    #[test]
    fn one_change_makes_use_of_it_and_is_noted_once() {
        let policy = good();
        let mut status = NodePoolPolicyStatus::default();
        assert!(take_passed(&mut status, &policy, NOW, (&scale(), &floor())));
        let noted = status.clone();
        assert!(take_passed(&mut status, &policy, NOW.after(Span::from_secs(5)), (&scale(), &floor())));
        assert_eq!(status, noted, "it is tried again");
        let [entry] = &status.history[..] else { panic!("{:?}", status.history) };
        assert_eq!((entry.outcome.as_str(), entry.field.as_str()), ("RulePassed", "count"));
        let detail = "break-glass for SystemCapacityFloor (INC-7): only one node would remain";
        assert_eq!(entry.detail.as_deref(), Some(detail));

        let glass = || status.break_glass.clone();
        let kept = |policy: &NodePoolPolicy, now, steps: &[Step]| kept(policy, glass(), now, Some(steps));
        assert_eq!(kept(&policy, NOW, &[scale()]), glass(), "the change goes on");
        assert_eq!(super::kept(&policy, glass(), NOW, None), glass(), "Azure can't be read");
        for (policy, now, steps) in [
            (policy.clone(), NOW, vec![]),
            (policy.clone(), NOW, vec![step(Change::Stop)]),
            (policy.clone(), NOW.after(Span::from_secs(24 * 3600)), vec![scale()]),
            (
                {
                    let mut changed = policy.clone();
                    changed.metadata.generation = Some(5);
                    changed
                },
                NOW,
                vec![scale()],
            ),
        ] {
            let over = kept(&policy, now, &steps);
            assert_eq!(state(over.as_ref()), "Used", "{steps:?}");
            assert_eq!(super::kept(&policy, over.clone(), now, Some(&[scale()])), over, "it stays so");
        }
        let another = asking("rule=SystemCapacityFloor pool=apps until=2026-01-31T17:00:00Z reason=INC-8");
        assert_eq!(state(kept(&another, NOW, &[scale()]).as_ref()), "Armed", "somebody gives another word");
        assert!(!take_passed(&mut status, &asking("please"), NOW, (&scale(), &floor())));
    }
}
