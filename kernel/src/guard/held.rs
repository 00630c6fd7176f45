//! `Paused`, `Suspended` and `ObserveOnly`: somebody says not to write, for the whole cluster or in the policy. Never says
//! that anything is wrong.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::intent::Enforcement;
use crate::step::Step;

/// Holds every step while all writes are paused, and every step of a policy that is suspended or only observes.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    check_pause(facts).or_else(|| check_policy(facts, step))
}

/// Holds everything while all writes are paused, also what would only open nodes again: a pause changes nothing.
pub(super) fn check_pause(facts: &Facts<'_>) -> Option<Broken> {
    facts.paused.then(|| Broken {
        rule: Rule::Paused,
        standing: Standing::Held,
        finding: "all writes are paused".to_owned(),
        remedy: "set spec.paused of the NodePoolInventory cluster to false".to_owned(),
        pods: Vec::new(),
    })
}

fn check_policy(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let intent = facts.intents.iter().find(|intent| intent.policy == step.policy)?;
    let (rule, finding, remedy) = if intent.suspended {
        (Rule::Suspended, "the policy is suspended", "set spec.suspend to false")
    } else if intent.enforcement == Enforcement::Observe {
        (Rule::ObserveOnly, "the policy only observes", "set spec.enforcement to Enforce")
    } else {
        return None;
    };
    Some(Broken {
        rule,
        standing: Standing::Held,
        finding: finding.to_owned(),
        remedy: remedy.to_owned(),
        pods: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ago, begin_drain, broken, edit, governed, pool, rules, scale};
    use crate::{Change, Drain, Known, Mode, Settings, Snapshot, Verdict, decide, plan};

    /// A policy that wants three nodes instead of one, and has a node cordoned for a drain that nobody wants.
    fn cluster() -> Snapshot {
        let mut snapshot = governed(vec![pool("apps", Mode::User, 1)], "apps");
        edit(&mut snapshot.intents).first_mut().unwrap().count = Some(3);
        begin_drain(&mut snapshot, "apps", &[0]);
        snapshot
    }

    #[test]
    fn a_pause_holds_every_step_also_one_that_only_opens_nodes() {
        for (paused, rule) in [
            (Known::seen(crate::testing::NOW, false), None),
            (Known::seen(crate::testing::NOW, true), Some(Rule::Paused)),
            (Known::seen(ago(301), false), Some(Rule::StaleObservation)),
            (Known::unknown("no answer"), Some(Rule::StaleObservation)),
        ] {
            let snapshot = Snapshot { paused: paused.clone(), ..cluster() };
            let settings = Settings::default();
            let verdicts = decide(&plan(&snapshot, &settings), &snapshot, &settings);
            let opens = |verdict: &&Verdict| matches!(&verdict.step().change, Change::Drain(Drain::Uncordon { .. }));
            assert!(verdicts.iter().any(|verdict| opens(&verdict)), "{verdicts:?}");
            for verdict in verdicts {
                let found = match &verdict {
                    Verdict::Refused(refusal) => refusal.leading().map(|broken| broken.rule),
                    Verdict::Approved(_) | Verdict::Waits { .. } => None,
                };
                assert!(found == rule || matches!(verdict, Verdict::Waits { .. }), "{paused:?}: {verdict:?}");
            }
        }
        let held = Snapshot { paused: Known::seen(crate::testing::NOW, true), ..cluster() };
        let held = broken(&held, &scale("apps", 1, 3), Rule::Paused).unwrap();
        assert!(held.standing == Standing::Held && held.remedy.contains("spec.paused"));
    }

    #[test]
    fn a_policy_that_is_suspended_or_observes_holds_its_steps_only() {
        for (suspended, enforcement, rule) in [
            (false, Enforcement::Enforce, None),
            (true, Enforcement::Enforce, Some(Rule::Suspended)),
            (false, Enforcement::Observe, Some(Rule::ObserveOnly)),
            (true, Enforcement::Observe, Some(Rule::Suspended)),
        ] {
            let mut snapshot = governed(vec![pool("apps", Mode::User, 1)], "apps");
            let intent = edit(&mut snapshot.intents).first_mut().unwrap();
            (intent.suspended, intent.enforcement) = (suspended, enforcement);
            assert_eq!(rules(&snapshot, &scale("apps", 1, 2)), Vec::from_iter(rule));
            let held = rule.and_then(|rule| crate::testing::broken(&snapshot, &scale("apps", 1, 2), rule));
            assert!(held.is_none_or(|held| held.standing == Standing::Held && held.remedy.starts_with("set spec.")));
        }
    }
}
