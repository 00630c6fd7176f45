//! `StaleObservation`: facts that contradict each other, or the step, approve nothing. Never resolves the contradiction.
//!
//! Parts that are unknown or too old never get this far: [`Facts`] can't be gathered from them.

use std::collections::BTreeSet;

use super::drain;
use super::rule::{Broken, Rule, Standing};
use super::system_pods_would_be_evicted::threat;
use crate::disruption::Evicting;
use crate::facts::Facts;
use crate::intent::{Deletion, Intent};
use crate::names::{capped_list, counted};
use crate::plan::Problem;
use crate::snapshot::{AgentPool, Mode, Owner, Pod, Power, ProvisioningState};
use crate::step::{Change, Step};
use crate::taint::Taint;

/// Refuses for now a step that was planned on another state of its pool, one on a pool that ARM does not show, and one
/// that may disrupt while Kubernetes does not show the pool's nodes or the nodes of pods that may run on it.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let (finding, pods) = contradiction(facts, step)?;
    Some(Broken {
        rule: Rule::StaleObservation,
        standing: Standing::Passing,
        finding,
        remedy:
            "the operator reads and plans again by itself; if this stays, compare the pool in ARM with its nodes in \
                 Kubernetes"
                .to_owned(),
        pods,
    })
}

/// What does not fit, in words, and the pods concerned.
fn contradiction(facts: &Facts<'_>, step: &Step) -> Option<(String, Vec<String>)> {
    let name = &step.pool;
    let Some(pool) = facts.observed.pool(name) else {
        if step.change.creates() {
            return None;
        }
        return Some((format!("ARM shows no pool {name}"), Vec::new()));
    };
    if let Some(problem) = Problem::of_change(&step.change, pool) {
        return Some((format!("pool {name}: {problem}"), Vec::new()));
    }
    let asks = |intent: &Intent| intent.policy == step.policy && intent.deletion == Some(Deletion::Delete);
    if step.change.leads_to_deletion() && !facts.intents.iter().any(asks) {
        return Some((format!("policy {} does not ask for the deletion of pool {name}", step.policy), Vec::new()));
    }
    if let Some(found) = outdated(&step.change, pool) {
        return Some((format!("the step was planned on another state of pool {name}: {found}"), Vec::new()));
    }
    if let Some(found) = drain::contradiction(facts, step, pool) {
        return Some(found);
    }
    // The count of a pool whose last operation failed is what was asked for, not what is there.
    let should_have_nodes = pool.count > 0 && pool.power == Power::Running && pool.state != ProvisioningState::Failed;
    if should_have_nodes && facts.nodes_of(name).is_empty() && may_disrupt(facts, step, pool) {
        let nodes = counted(usize::try_from(pool.count).unwrap_or(usize::MAX), "node");
        return Some((format!("ARM says that pool {name} has {nodes}, Kubernetes shows none"), Vec::new()));
    }
    let worst = facts.pool(step)?;
    let may_be_drained = |pod: &Pod| step.change.aim().is_some() && pod.owner != Owner::DaemonSet;
    let mut evicting = Evicting::of(step.change.taints_after(worst));
    let mut endangered = facts.adrift.clone();
    endangered.retain(|pod| may_be_drained(pod) || threat(facts, step, worst, pod, evicting.first(pod, &[])).is_some());
    let adrift: BTreeSet<String> = endangered
        .iter()
        .map(|pod| format!("{} on {}", pod.full_name(), pod.node.as_deref().unwrap_or_default()))
        .collect();
    if adrift.is_empty() {
        return None;
    }
    let finding =
        format!("Kubernetes does not show which pool the nodes of these pods belong to: {}", capped_list(&adrift));
    let pods: BTreeSet<String> = endangered.iter().map(|pod| pod.full_name()).collect();
    Some((finding, pods.into_iter().collect()))
}

/// What is no longer as it was when the step was planned.
fn outdated(change: &Change, pool: &AgentPool) -> Option<String> {
    let set = |taints: &[Taint]| taints.iter().cloned().collect::<BTreeSet<_>>();
    match change {
        Change::Mode { from, .. } if *from != pool.mode => Some(format!("its mode is {}, not {from}", pool.mode)),
        Change::Create(_) => Some("it exists".to_owned()),
        Change::Count { from, .. } if *from != pool.count => Some(format!("its count is {}, not {from}", pool.count)),
        Change::Count { .. } if pool.autoscaling.is_some() => Some("it is autoscaled".to_owned()),
        Change::Taints { from, .. } if set(from) != set(&pool.taints) => Some("its taints have changed".to_owned()),
        Change::Labels { from, .. } if *from != pool.labels => Some("its labels have changed".to_owned()),
        Change::Autoscaling { from, .. } if *from != pool.autoscaling => Some("its autoscaler has changed".to_owned()),
        Change::Tags { from, .. } if *from != pool.tags => Some("its tags have changed".to_owned()),
        Change::Version { from, .. } if *from != pool.version() => Some("its version has changed".to_owned()),
        Change::NodeImage { from } if Some(from) != pool.node_image.as_ref() => {
            Some("its node image has changed".to_owned())
        }
        Change::UpgradeSettings { from, to } if to.toward(pool).is_none_or(|(seen, _)| seen != *from) => {
            Some("its upgrade settings have changed".to_owned())
        }
        Change::Repair { .. } if pool.state != ProvisioningState::Failed => {
            Some(format!("it is {}, not Failed", pool.state))
        }
        Change::Start if pool.power == Power::Running => Some("it runs".to_owned()),
        Change::Stop if pool.power != Power::Running && !pool.ended_badly() => Some("it does not run".to_owned()),
        _ => None,
    }
}

/// Whether the step can evict pods or remove nodes.
fn may_disrupt(facts: &Facts<'_>, step: &Step, pool: &AgentPool) -> bool {
    let by_kind = match &step.change {
        Change::Mode { from, .. } => *from == Mode::System,
        Change::Count { .. } => step.change.scales_down(),
        Change::Autoscaling { .. } => step.change.least_left(pool).is_some(),
        // To end a drain is judged before all this.
        Change::Taints { .. }
        | Change::Labels { .. }
        | Change::Version { .. }
        | Change::NodeImage { .. }
        | Change::Delete
        | Change::Stop
        | Change::Drain(_) => true,
        Change::Tags { .. }
        | Change::UpgradeSettings { .. }
        | Change::Repair { .. }
        | Change::Create(_)
        | Change::Start => false,
    };
    by_kind || facts.is_half_upgraded(pool) || facts.goes_on_removing(pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        autoscale, broken, demote, edit, governed, let_miss, pool, pool_mut, promote, put_label, put_tag, put_taints,
        repair, rules, run, scale, taint, upgrade_to,
    };
    use crate::{Autoscaling, Owner, PoolKind, Power, Snapshot};

    fn cluster() -> Snapshot {
        let pools = vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 3)];
        governed(pools, "sys")
    }

    /// Lets all pods run on the node of that name.
    fn set_node(snapshot: &mut Snapshot, node: Option<&str>) {
        for pod in edit(&mut snapshot.pods) {
            pod.node = node.map(Into::into);
        }
    }

    fn finding(snapshot: &Snapshot, step: &Step) -> Option<String> {
        let broken = broken(snapshot, step, Rule::StaleObservation)?;
        assert_eq!(broken.standing, Standing::Passing);
        Some(broken.finding)
    }

    #[test]
    fn a_pool_that_arm_does_not_show_is_not_judged() {
        assert_eq!(finding(&cluster(), &scale("gone", 1, 2)).unwrap(), "ARM shows no pool gone");
        assert_eq!(rules(&cluster(), &scale("sys", 3, 4)), []);
    }

    #[test]
    fn a_step_must_have_been_planned_on_the_state_that_holds_now() {
        let labels = put_label("sys", "a");
        for (edit_pool, step, stale) in [
            ((|_| ()) as fn(&mut AgentPool), scale("sys", 3, 4), false),
            (|p| p.count = 8, scale("sys", 3, 5), true),
            (|p| p.mode = Mode::User, demote("sys"), true),
            (|_| (), promote("sys"), true),
            (|p| p.taints = vec![taint("CriticalAddonsOnly=true:NoSchedule")], put_taints("sys", &[]), true),
            (|_| (), put_taints("sys", &["a=b:PreferNoSchedule"]), false),
            (|p| p.labels = [("foreign".to_owned(), "1".to_owned())].into(), labels.clone(), true),
            (|_| (), labels, false),
            (|p| p.tags = [("foreign".to_owned(), "1".to_owned())].into(), put_tag("sys", "a"), true),
            (|_| (), put_tag("sys", "a"), false),
            (|_| (), autoscale("sys", None, Some((1, 5))), false),
            (|_| (), autoscale("sys", Some((1, 5)), None), true),
            (|p| p.autoscaling = Some(Autoscaling { min: 1, max: 9 }), autoscale("sys", None, Some((1, 5))), true),
            (|p| p.autoscaling = Some(Autoscaling { min: 1, max: 9 }), scale("sys", 3, 4), true),
            (|_| (), upgrade_to("sys", "1.34.2"), false),
            (|p| p.current_version = Some("1.33.9".into()), upgrade_to("sys", "1.34.2"), true),
            (|_| (), let_miss("sys", "1"), false),
            (|p| p.max_unavailable = Some("2".into()), let_miss("sys", "1"), true),
            (|_| (), repair("sys"), true),
            (|p| p.state = ProvisioningState::Failed, repair("sys"), false),
        ] {
            let mut snapshot = cluster();
            edit_pool(pool_mut(&mut snapshot, "sys"));
            let found = finding(&snapshot, &step);
            assert_eq!(found.is_some(), stale, "{step}: {found:?}");
            assert!(found.is_none_or(|found| found.starts_with("the step was planned on another state of pool sys: ")));
        }
        let mut snapshot = cluster();
        pool_mut(&mut snapshot, "sys").count = 8;
        assert!(finding(&snapshot, &scale("sys", 3, 5)).unwrap().ends_with("its count is 8, not 3"));
    }

    #[test]
    fn the_order_of_taints_is_no_change() {
        let mut snapshot = cluster();
        let (a, b) = (taint("a=1:PreferNoSchedule"), taint("b=1:PreferNoSchedule"));
        pool_mut(&mut snapshot, "sys").taints = vec![a.clone(), b.clone()];
        let step = Step { change: Change::Taints { from: vec![b, a], to: vec![] }, ..demote("sys") };
        assert_eq!(finding(&snapshot, &step), None);
    }

    #[test]
    fn a_pool_that_can_not_be_managed_is_left_alone() {
        for (edit_pool, word) in [
            ((|p| p.kind = PoolKind::Other("VirtualMachines".into())) as fn(&mut AgentPool), "VirtualMachines"),
            (|p| p.kind = PoolKind::Unreadable("count".into()), "count"),
            (|p| p.mode = Mode::Other("Gateway".into()), "Gateway"),
            (|p| p.power = Power::NotRunning("Stopped".into()), "Stopped"),
        ] {
            let mut snapshot = cluster();
            edit_pool(pool_mut(&mut snapshot, "apps"));
            assert!(finding(&snapshot, &scale("apps", 3, 4)).unwrap().contains(word));
        }
    }

    #[test]
    fn nothing_disrupts_a_pool_whose_nodes_are_not_shown() {
        let mut snapshot = cluster();
        edit(&mut snapshot.nodes).retain(|node| node.pool.as_deref() == Some("two"));
        let shown = "ARM says that pool sys has 3 nodes, Kubernetes shows none";
        for step in
            [demote("sys"), scale("sys", 3, 2), put_label("sys", "a"), put_taints("sys", &["a=b:PreferNoSchedule"])]
        {
            assert_eq!(finding(&snapshot, &step).as_deref(), Some(shown), "{step}");
        }
        let harmless = [scale("sys", 3, 4), put_tag("sys", "a"), promote("apps")];
        assert_eq!(harmless.each_ref().map(|step| finding(&snapshot, step)), [None, None, None]);
        pool_mut(&mut snapshot, "sys").requested_version = Some("1.34".into());
        for step in &harmless[..2] {
            assert_eq!(finding(&snapshot, step).as_deref(), Some(shown), "{step}");
        }
        pool_mut(&mut snapshot, "sys").count = 0;
        assert_eq!(finding(&snapshot, &demote("sys")), None);
    }

    #[test]
    fn a_pool_whose_last_operation_failed_may_have_no_nodes() {
        let mut snapshot = cluster();
        edit(&mut snapshot.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
        let steps = || [scale("apps", 3, 2), put_taints("apps", &["a=b:NoExecute"])];
        for step in steps() {
            assert!(finding(&snapshot, &step).is_some(), "{step}");
        }
        pool_mut(&mut snapshot, "apps").state = ProvisioningState::Failed;
        for step in steps() {
            assert_eq!(finding(&snapshot, &step), None, "{step}");
        }
    }

    #[test]
    fn pods_on_nodes_that_are_not_shown_may_be_anywhere() {
        let mut snapshot = cluster();
        run(&mut snapshot, "coredns-1", "sys");
        set_node(&mut snapshot, Some("lost"));
        let found = broken(&snapshot, &demote("sys"), Rule::StaleObservation).unwrap();
        assert_eq!(
            found.finding,
            "Kubernetes does not show which pool the nodes of these pods belong to: kube-system/coredns-1 on lost"
        );
        assert_eq!(found.pods, ["kube-system/coredns-1"]);
        assert_eq!(finding(&snapshot, &put_label("sys", "a")), None, "a label evicts no coredns");
        for pod in edit(&mut snapshot.pods) {
            pod.owner = Owner::DaemonSet;
        }
        assert_eq!(finding(&snapshot, &demote("sys")), None, "a daemon goes with its node");
        set_node(&mut snapshot, None);
        assert_eq!(finding(&snapshot, &demote("sys")), None);
    }

    #[test]
    fn a_node_without_a_pool_may_be_of_any_pool_unless_it_is_foreign() {
        for (provider_id, stale) in
            [(None, true), (Some(""), true), (Some("azure:///x"), true), (Some("kwok://n"), false)]
        {
            let mut snapshot = cluster();
            run(&mut snapshot, "coredns-1", "sys");
            for node in edit(&mut snapshot.nodes).iter_mut().take(1) {
                node.pool = None;
                node.provider_id = provider_id.map(str::to_owned);
            }
            assert_eq!(finding(&snapshot, &demote("sys")).is_some(), stale, "{provider_id:?}");
        }
    }
}
