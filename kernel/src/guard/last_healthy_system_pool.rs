//! `LastHealthySystemPool`: a healthy system pool must remain. Never counts a pool that is not proven healthy.

use super::rule::{Broken, Rule, Standing};
use crate::capacity::{Capacity, Outlook, capacity, explain_others};
use crate::facts::Facts;
use crate::step::Step;

/// Refuses a step that reduces system capacity and after or during which no healthy system pool would remain.
///
/// In a cluster that has none already, a step passes that lowers neither the healthy pools nor the usable nodes.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    if !breaks(facts, step, Outlook::Worst) {
        return None;
    }
    let standing = if breaks(facts, step, Outlook::Hopeful) { Standing::Lasting } else { Standing::Passing };
    let others = explain_others(facts, &facts.cluster, &step.pool);
    Some(Broken {
        rule: Rule::LastHealthySystemPool,
        standing,
        finding: format!("no healthy system pool would remain: {others}"),
        remedy: "bring another system pool to at least one node that is Ready, not cordoned and free of taints other \
                 than CriticalAddonsOnly, or promote another pool first"
            .to_owned(),
        pods: Vec::new(),
    })
}

fn breaks(facts: &Facts<'_>, step: &Step, outlook: Outlook) -> bool {
    let rolls = facts.pool(step).is_some_and(|pool| facts.is_half_upgraded(pool));
    let before: Capacity = capacity(facts, &facts.cluster, &step.pool, false, outlook);
    let after: Capacity = capacity(facts, &facts.after(step), &step.pool, rolls, outlook);
    let reduces = after.usable < before.usable || after.healthy_pools < before.healthy_pools;
    reduces && after.healthy_pools == 0
}
