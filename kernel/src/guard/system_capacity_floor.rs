//! `SystemCapacityFloor`: enough usable system nodes must remain. Never counts nodes that may leave.

use super::rule::{Broken, Rule, Standing};
use crate::capacity::{Capacity, Outlook, capacity, explain_others};
use crate::facts::Facts;
use crate::step::Step;

/// Refuses a step that lowers the usable system nodes, or what the system pools' counts guarantee, below the floor.
///
/// In a cluster that is below already, a step passes that lowers neither.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let (before, after) = outcome(facts, step, Outlook::Worst);
    if !breaks(facts, before, after) {
        return None;
    }
    let (hopeful_before, hopeful_after) = outcome(facts, step, Outlook::Hopeful);
    let lasts = breaks(facts, hopeful_before, hopeful_after);
    let floor = facts.settings.min_ready_system_nodes;
    let finding = if after.usable < before.usable && after.usable < floor {
        let others = explain_others(facts, &facts.cluster, &step.pool);
        format!(
            "{} of {} usable system nodes would remain, the floor is {floor}; {others}",
            after.usable, before.usable
        )
    } else {
        format!(
            "the counts of all system pools would guarantee {} nodes instead of {}, the floor is {floor}",
            after.guaranteed, before.guaranteed
        )
    };
    Some(Broken {
        rule: Rule::SystemCapacityFloor,
        standing: if lasts { Standing::Lasting } else { Standing::Passing },
        finding,
        remedy: "add nodes to a system pool first, or repair the system nodes that are not usable".to_owned(),
        pods: Vec::new(),
    })
}

fn outcome(facts: &Facts<'_>, step: &Step, outlook: Outlook) -> (Capacity, Capacity) {
    let rolls = facts.pool(step).is_some_and(|pool| facts.is_half_upgraded(pool));
    (
        capacity(facts, &facts.cluster, &step.pool, false, outlook),
        capacity(facts, &facts.after(step), &step.pool, rolls, outlook),
    )
}

fn breaks(facts: &Facts<'_>, before: Capacity, after: Capacity) -> bool {
    let floor = facts.settings.min_ready_system_nodes;
    let lowers = |before: u32, after: u32| after < before && after < floor;
    lowers(before.usable, after.usable) || lowers(before.guaranteed, after.guaranteed)
}
