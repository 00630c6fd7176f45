//! `ConflictingPolicy`: one policy a pool, the oldest. Never compares what the policies ask for.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::intent::winner;
use crate::step::Step;

/// Refuses a step of a policy that is not the one that governs the pool, and a deletion while another names the pool.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let governs = winner(facts.intents, &step.pool).map(|intent| intent.policy.as_str());
    let others = facts.intents.iter().filter(|other| other.pool == step.pool && other.policy != step.policy);
    let named_by = others.map(|other| other.policy.as_str()).min().filter(|_| step.change.leads_to_deletion());
    if governs == Some(step.policy.as_str()) && named_by.is_none() {
        return None;
    }
    let (finding, remedy) = match governs {
        Some(governs) if governs == step.policy => (
            format!("policy {} names pool {} too", named_by.unwrap_or_default(), step.pool),
            "nothing to do: the step is dropped and the pool stays".to_owned(),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::step::Change;
    use crate::testing::{ago, broken, edit, intent, pool, scale, snapshot};

    fn found(intents: Vec<crate::Intent>) -> Option<Broken> {
        let mut snapshot = snapshot(vec![pool("apps", Mode::User, 1)]);
        *edit(&mut snapshot.intents) = intents;
        broken(&snapshot, &scale("apps", 1, 2), Rule::ConflictingPolicy)
    }

    #[test]
    fn the_oldest_policy_governs_and_ties_go_by_name() {
        let mut older = intent("z", "apps");
        older.created = ago(601);
        for (others, passes) in [
            (vec![], true),
            (vec![intent("q", "apps")], true),
            (vec![intent("o", "apps")], false),
            (vec![older.clone()], false),
            (vec![intent("o", "other")], true),
        ] {
            let all = [vec![intent("p", "apps")], others].concat();
            let reversed = all.iter().rev().cloned().collect();
            assert_eq!(found(all.clone()).is_none(), passes, "{all:?}");
            assert_eq!(found(all), found(reversed));
        }
        let lost = found(vec![intent("p", "apps"), older]).unwrap();
        assert_eq!(lost.standing, Standing::Lasting);
        assert_eq!(lost.finding, "pool apps is governed by the older policy z");
        assert!(lost.remedy.contains("delete p or z"), "{}", lost.remedy);
    }

    #[test]
    fn a_pool_that_another_policy_names_is_not_deleted() {
        let mut snapshot = snapshot(vec![pool("apps", Mode::User, 1)]);
        *edit(&mut snapshot.intents) = vec![intent("p", "apps"), intent("q", "apps")];
        let deletion = Step { change: Change::Delete, ..scale("apps", 1, 2) };
        let lost = broken(&snapshot, &deletion, Rule::ConflictingPolicy).unwrap();
        assert_eq!(lost.finding, "policy q names pool apps too");
        assert_eq!(lost.remedy, "nothing to do: the step is dropped and the pool stays");
        assert_eq!(broken(&snapshot, &scale("apps", 1, 2), Rule::ConflictingPolicy), None);
    }

    #[test]
    fn a_step_of_a_policy_that_is_gone_is_refused() {
        let gone = found(vec![]).unwrap();
        assert_eq!(gone.finding, "policy p no longer names pool apps");
        assert!(found(vec![intent("p", "other")]).is_some());
    }
}
