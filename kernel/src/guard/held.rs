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
