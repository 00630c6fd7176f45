//! `SystemPodsWouldBeEvicted`: protected pods stay where they are. Never judges where else they could run.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::capped_list;
use crate::snapshot::{Node, Owner, Pod};
use crate::step::{Change, Step};
use crate::taint::{Taint, TaintEffect};

/// Refuses, on any pool, a step that would evict a protected pod or leave it unprotected: a `NoExecute` taint that it
/// does not tolerate for good, a label that its DaemonSet selects on, a demotion or a scale-down of a pool that it
/// runs on (AKS chooses the node), and any write that would go on with an upgrade.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.pool(step)?;
    let on_pool = facts.pods_on(&step.pool);
    if facts.is_half_upgraded(pool) {
        let movable = select(&on_pool, |pod, _| pod.owner != Owner::DaemonSet);
        if !movable.is_empty() {
            let finding = "any write to the pool would go on with its unfinished upgrade and evict";
            let remedy = "finish the upgrade, or set the pool's version back to the one that runs, before changing \
                          anything else on it";
            return broken(&movable, finding, remedy);
        }
    }
    match &step.change {
        Change::Taints { to, .. } => {
            let pods = select(&on_pool, |pod, node| evicting_taint(pod, node, to).is_some());
            let taints: Vec<String> =
                on_pool.iter().filter_map(|(pod, node)| evicting_taint(pod, node, to).map(Taint::to_string)).collect();
            let finding = format!("the taint {} would evict", capped_list(taints));
            broken(
                &pods,
                &finding,
                "use the effect NoSchedule, which leaves running pods alone, or let all of these pods tolerate the taint",
            )
        }
        Change::Labels { .. } => {
            let changed = step.change.changed_labels();
            let pods = select(&on_pool, |pod, _| {
                pod.owner == Owner::DaemonSet && changed.iter().any(|key| pod.selects.contains(*key))
            });
            let finding = format!(
                "the label {} decides where these DaemonSet pods run; its change could remove",
                capped_list(&changed)
            );
            broken(&pods, &finding, "leave that label as it is")
        }
        Change::Mode { .. } if step.change.demotes() => {
            let pods = select(&on_pool, |pod, _| pod.owner != Owner::DaemonSet);
            let finding = format!("nothing would mark the nodes of pool {} as system nodes any more under", step.pool);
            broken(
                &pods,
                &finding,
                "move these pods to another system pool first: cordon the nodes of this pool and restart the workloads, then uncordon",
            )
        }
        Change::Count { .. } if step.change.scales_down() => {
            let pods = select(&on_pool, |pod, _| pod.owner != Owner::DaemonSet);
            let finding = format!("AKS chooses which nodes of pool {} to remove and could evict", step.pool);
            broken(
                &pods,
                &finding,
                "move these pods to another pool first: cordon the nodes of this pool and restart the workloads, then uncordon",
            )
        }
        Change::Mode { .. } | Change::Count { .. } => None,
    }
}

/// The first `NoExecute` taint that the node does not carry yet and that would evict the pod, now or later.
fn evicting_taint<'a>(pod: &Pod, node: &Node, taints: &'a [Taint]) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::NoExecute && !node.taints.contains(taint))
        .find(|taint| !pod.stays_under(taint))
}

fn select<'a>(on_pool: &[(&'a Pod, &'a Node)], hit: impl Fn(&Pod, &Node) -> bool) -> Vec<&'a Pod> {
    on_pool.iter().filter(|(pod, node)| hit(pod, node)).map(|(pod, _)| *pod).collect()
}

/// The broken rule for these pods; pods that are on their way out already make it a passing one.
fn broken(pods: &[&Pod], finding: &str, remedy: &str) -> Option<Broken> {
    if pods.is_empty() {
        return None;
    }
    let mut names: Vec<String> = pods.iter().map(|pod| pod.full_name()).collect();
    names.sort_unstable();
    Some(Broken {
        rule: Rule::SystemPodsWouldBeEvicted,
        standing: if pods.iter().all(|pod| pod.deleting) { Standing::Passing } else { Standing::Lasting },
        finding: format!("{finding} {}", capped_list(&names)),
        remedy: remedy.to_owned(),
        pods: names,
    })
}
