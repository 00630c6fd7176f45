//! `ConflictingPolicy`: one policy a pool, the oldest. Never compares what the policies ask for.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::intent::winner;
use crate::step::Step;

/// Refuses a step of a policy that is not the one that governs the pool.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let governs = winner(facts.intents, &step.pool).map(|intent| intent.policy.as_str());
    if governs == Some(step.policy.as_str()) {
        return None;
    }
    let (finding, remedy) = match governs {
        Some(other) => (
            format!("pool {} is governed by the older policy {other}", step.pool),
            format!("merge the two policies, or delete {} or {other}", step.policy),
        ),
        None => (
            format!("policy {} no longer names pool {}", step.policy, step.pool),
            "nothing to do: the step is dropped".to_owned(),
        ),
    };
    Some(Broken { rule: Rule::ConflictingPolicy, standing: Standing::Lasting, finding, remedy, pods: Vec::new() })
}
