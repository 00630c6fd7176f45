//! `Suspended` and `ObserveOnly`: the policy itself says not to write. Never says that anything is wrong.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::intent::Enforcement;
use crate::step::Step;

/// Holds every step of a policy that is suspended or only observes.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
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
    use crate::Mode;
    use crate::testing::{edit, governed, pool, rules, scale};

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
