//! What is still to be done, as people read it: each step with its risk and the time that it usually takes. Never plans.

use nodepool_kernel::{AgentPool, Risk, Span, Step, usual_time};
use sha2::{Digest, Sha256};

use crate::api::{PlannedStep, PlannedSteps};

/// The steps of a policy on its pool, if there are any.
pub(super) fn planned(policy: &str, steps: &[Step], pool: Option<&AgentPool>) -> Option<PlannedSteps> {
    let told = |step: &Step| PlannedStep {
        step: step.change.to_string(),
        field: step.change.purpose().to_string(),
        risk: Risk::of(&step.change).name().to_owned(),
        usually_takes: usual_time(&step.change, pool).map(in_words),
    };
    (!steps.is_empty()).then(|| PlannedSteps { hash: hash(policy, steps), steps: steps.iter().map(told).collect() })
}

/// The same for the same steps of the same policy on the same pool, and another for any others.
fn hash(policy: &str, steps: &[Step]) -> String {
    let mut hasher = Sha256::new();
    for part in [policy.to_owned()].into_iter().chain(steps.iter().map(ToString::to_string)) {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let begins = hasher.finalize().first_chunk().copied().map_or(0, u64::from_be_bytes);
    format!("{begins:016x}")
}

fn in_words(span: Span) -> String {
    match span.as_secs().div_ceil(60) {
        0 | 1 => "less than a minute".to_owned(),
        minutes @ 2..=120 => format!("about {minutes} minutes"),
        minutes => format!("about {} hours", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{Change, Mode};

    use super::*;

    fn step(change: Change) -> Step {
        Step { policy: "p".into(), pool: "apps".into(), change }
    }

    #[test]
    fn steps_are_told_with_what_they_may_do() {
        let steps = [step(Change::Count { from: 1, to: 3 }), step(Change::Delete)];
        let told = planned("p", &steps, None).unwrap();
        let words = |step: &PlannedStep| {
            format!("{}|{}|{}|{}", step.step, step.field, step.risk, step.usually_takes.as_deref().unwrap_or_default())
        };
        assert_eq!(
            told.steps.iter().map(words).collect::<Vec<_>>(),
            [
                "scale from 1 to 3 nodes|count|None|about 4 minutes",
                "delete the pool|deletionPolicy|Disruptive|less than a minute"
            ]
        );
        assert_eq!(planned("p", &[], None), None);
    }

    #[test]
    fn another_plan_has_another_hash() {
        let demote = || step(Change::Mode { from: Mode::System, to: Mode::User });
        let one = hash("p", &[demote(), step(Change::Delete)]);
        assert_eq!((one.len(), &one), (16, &hash("p", &[demote(), step(Change::Delete)])));
        for other in [hash("q", &[demote(), step(Change::Delete)]), hash("p", &[step(Change::Delete), demote()])] {
            assert_ne!(one, other);
        }
        assert_ne!(one, hash("p", &[Step { pool: "web".into(), ..demote() }, step(Change::Delete)]));
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        for (seconds, words) in [
            (10, "less than a minute"),
            (60, "less than a minute"),
            (61, "about 2 minutes"),
            (7200, "about 120 minutes"),
            (7201, "about 3 hours"),
        ] {
            assert_eq!(in_words(Span::from_secs(seconds)), words);
        }
    }
}
