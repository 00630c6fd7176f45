//! What is still to be done, as people read it: each step with its risk and the time that it usually takes. Never plans.

use nodepool_kernel::{AgentPool, Change, Risk, Span, Step, usual_time};
use sha2::{Digest, Sha256};

use crate::api::{PlannedStep, PlannedSteps};

/// The steps of a policy on its pool, if there are any. A drain is told as what it is for: where it has got to is an
/// operation's matter, and the plan stays the same on the way.
pub(super) fn planned(policy: &str, steps: &[Step], pool: Option<&AgentPool>) -> Option<PlannedSteps> {
    let told = |step: &Step| {
        let (change, risk) = match step.change.aim() {
            Some(aim) => (Change::for_aim(aim), Risk::Disruptive),
            None => (step.change.clone(), Risk::of(&step.change)),
        };
        PlannedStep {
            step: change.to_string(),
            field: change.purpose().to_string(),
            risk: risk.name().to_owned(),
            usually_takes: usual_time(&change, pool).map(in_words),
        }
    };
    let told: Vec<PlannedStep> = steps.iter().map(told).collect();
    (!told.is_empty()).then(|| PlannedSteps { hash: hash(policy, steps, &told), steps: told })
}

/// The same for the same steps of the same policy on the same pool, and another for any others.
fn hash(policy: &str, steps: &[Step], told: &[PlannedStep]) -> String {
    let mut hasher = Sha256::new();
    let step = |(step, told): (&'_ Step, &'_ PlannedStep)| format!("{}: {}", step.pool, told.step);
    for part in [policy.to_owned()].into_iter().chain(steps.iter().zip(told).map(step)) {
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
    use nodepool_kernel::{Aim, Drain, Mode};

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
    fn a_drain_is_told_as_what_it_is_for() {
        let aim = Aim::Scale { from: 3, to: 2 };
        let cordon = Change::Drain(Drain::Cordon { nodes: vec!["a".into()], aim });
        let remove = Change::Drain(Drain::RemoveMachines { machines: vec!["a".into()], from: 3 });
        let [plain, first, last] =
            [Change::Count { from: 3, to: 2 }, cordon, remove].map(|it| planned("p", &[step(it)], None));
        assert_eq!((&first, &last), (&plain, &plain), "the plan stays the same on the way");
        for (aim, words) in [
            (Aim::Demotion, "change the mode from System to User"),
            (Aim::Deletion, "delete the pool"),
            (aim, "scale from 3 to 2 nodes"),
        ] {
            let cordon = Change::Drain(Drain::Cordon { nodes: vec!["a".into()], aim });
            let told = planned("p", &[step(cordon)], None).unwrap().steps.remove(0);
            assert_eq!((told.step.as_str(), told.risk.as_str()), (words, "Disruptive"));
        }
    }

    #[test]
    fn another_plan_has_another_hash() {
        let demote = || step(Change::Mode { from: Mode::System, to: Mode::User });
        let hash = |policy: &str, steps: &[Step]| planned(policy, steps, None).unwrap().hash;
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
