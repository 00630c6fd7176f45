//! `SystemPodsWouldBeEvicted`: protected pods stay where they are. Never judges where else they could run.

use std::collections::BTreeSet;

use super::rule::{Broken, Rule, Standing};
use crate::disruption::Takedown;
use crate::facts::Facts;
use crate::names::capped_list;
use crate::snapshot::{AgentPool, Mode, Owner, Pod};
use crate::step::{Change, Step};
use crate::taint::{MODE_LABEL, Taint, TaintEffect};

/// How a step endangers a pod, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Threat<'a> {
    /// The write goes on with an upgrade.
    Upgrade,
    /// A taint that the pod does not tolerate for good.
    Taint(&'a Taint),
    /// AKS chooses which nodes go.
    ScaleDown,
    /// The autoscaler may remove nodes that nothing could remove before.
    Autoscaler,
    /// Nothing marks the node as a system node any more.
    Demotion,
    /// A label that the pod's DaemonSet selects on.
    Label(&'a str),
    /// The pool goes with all of its nodes.
    Deletion,
    /// It would be moved off a node that is to go, or of a pool that is no system pool any more.
    Drain,
}

/// Refuses, on any pool, a step that would evict a protected pod or leave it unprotected: a `NoExecute` taint that it
/// does not tolerate for good, a label that its DaemonSet selects on, a demotion, a scale-down (AKS chooses the node) or
/// a deletion of a pool that it runs on, and any write that would go on with an upgrade or with a removal that has failed.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.pool(step)?;
    let mut threatened: Vec<(Threat<'_>, &Pod)> = facts
        .pods_on(&step.pool)
        .iter()
        .filter_map(|(pod, node)| Some((threat(facts, step, pool, pod, &node.taints)?, *pod)))
        .collect();
    if step.change.aim().is_some() && !facts.may_relocate(step) {
        threatened.extend(Takedown::of(facts, step).singly.into_iter().map(|(pod, _)| (Threat::Drain, pod)));
    }
    let gravest = threatened.iter().map(|(threat, _)| *threat).min()?;
    // There may be thousands of pods: each is named once.
    let mut named: Vec<(String, Threat<'_>)> =
        threatened.iter().map(|(threat, pod)| (pod.full_name(), *threat)).collect();
    named.sort_unstable();
    let shown = || named.iter().filter(|(_, threat)| threat.is_like(&gravest));
    let kinds: BTreeSet<Threat<'_>> = shown().map(|(_, threat)| *threat).collect();
    let causes = capped_list(kinds.iter().filter_map(Threat::cause));
    let pods = capped_list(shown().map(|(name, _)| name));
    let finding = format!("{} {pods}", gravest.finding(&step.pool, &causes));
    let leaving = threatened.iter().all(|(_, pod)| pod.deleting) || is_under_way(facts, step);
    let pods: Vec<String> = named.into_iter().map(|(name, _)| name).collect();
    Some(Broken {
        rule: Rule::SystemPodsWouldBeEvicted,
        // Pods that are on their way out already will not stand in the way for long.
        standing: if leaving { Standing::Passing } else { Standing::Lasting },
        finding,
        remedy: remedy(facts, step, gravest),
        pods,
    })
}

/// How the step would endanger the pod if it ran on a node of the step's `pool` with these taints.
///
/// Every write carries the pool's taints whole, so that a taint which has not reached the node comes with any step.
pub(super) fn threat<'a>(
    facts: &Facts<'_>,
    step: &'a Step,
    pool: &'a AgentPool,
    pod: &Pod,
    on_node: &[Taint],
) -> Option<Threat<'a>> {
    let movable = pod.owner != Owner::DaemonSet;
    let change = &step.change;
    if change.deletes() {
        return movable.then_some(Threat::Deletion);
    }
    let taints = if let Change::Taints { to, .. } = change { to } else { &pool.taints };
    if movable && facts.is_half_upgraded(pool) {
        Some(Threat::Upgrade)
    } else if let Some(taint) = evicting_taint(pod, on_node, taints) {
        Some(Threat::Taint(taint))
    } else if movable && (change.scales_down() || facts.goes_on_removing(pool)) {
        Some(Threat::ScaleDown)
    } else if movable && pool.mode == Mode::System && change.least_left(pool).is_some() && !facts.may_relocate(step) {
        Some(Threat::Autoscaler)
    } else if movable && change.demotes() {
        Some(Threat::Demotion)
    } else if !movable {
        let changed = match change {
            _ if change.changes_mode() => vec![MODE_LABEL],
            _ => change.changed_labels(),
        };
        changed.into_iter().find(|key| pod.selects.contains(*key)).map(Threat::Label)
    } else {
        None
    }
}

/// Whether a drain of the policy moves the pods that stand in the way of its demotion.
fn is_under_way(facts: &Facts<'_>, step: &Step) -> bool {
    let mut nodes = facts.nodes_of(&step.pool).iter();
    step.change.demotes() && facts.may_relocate(step) && nodes.any(|node| node.is_drained_for(&step.policy))
}

/// What a person can do. A scale-down that leaves nodes and a demotion may be made by moving the pods.
fn remedy(facts: &Facts<'_>, step: &Step, threat: Threat<'_>) -> String {
    let is_autoscaled = facts.observed.pool(&step.pool).is_none_or(|pool| pool.autoscaling.is_some());
    let by_policy = facts.intents.iter().any(|it| it.policy == step.policy && it.autoscaling.is_some());
    let movable = matches!(threat, Threat::ScaleDown | Threat::Demotion | Threat::Drain)
        && (!is_autoscaled || by_policy)
        && !step.change.empties()
        && (step.change.aim().is_some() || step.change.removes());
    let by_hand = threat.remedy();
    if !movable || facts.may_relocate(step) {
        return by_hand.to_owned();
    }
    format!(
        "set spec.disruption.systemPods to Relocate in policy {}, which moves them one by one; or {by_hand}",
        step.policy
    )
}

/// The first `NoExecute` taint that the node does not carry yet and that would evict the pod, now or later.
pub(crate) fn evicting_taint<'a>(pod: &Pod, on_node: &[Taint], taints: &'a [Taint]) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::NoExecute && !on_node.contains(taint) && !pod.stays_under(taint))
        .min()
}

impl Threat<'_> {
    /// Whether both are of one kind.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The taint or label.
    fn cause(&self) -> Option<String> {
        match self {
            Self::Taint(taint) => Some(taint.to_string()),
            Self::Label(key) => Some((*key).to_owned()),
            Self::Upgrade | Self::ScaleDown | Self::Autoscaler | Self::Demotion | Self::Deletion | Self::Drain => None,
        }
    }

    fn finding(&self, pool: &str, causes: &str) -> String {
        match self {
            Self::Upgrade => {
                format!("any write to pool {pool} would go on with its unfinished upgrade and evict")
            }
            Self::Taint(_) => format!("the taint {causes} would evict"),
            Self::ScaleDown => format!("AKS chooses which nodes of pool {pool} to remove and could evict"),
            Self::Autoscaler => {
                format!("the autoscaler could remove any node of pool {pool} and evict")
            }
            Self::Demotion => {
                format!("nothing would mark the nodes of pool {pool} as system nodes any more under")
            }
            Self::Label(_) => {
                format!("the label {causes} decides where these DaemonSet pods run; its change could remove")
            }
            Self::Deletion => format!("all nodes of pool {pool} would go and with them"),
            Self::Drain => format!("the drain of nodes of pool {pool} would evict"),
        }
    }

    const fn remedy(&self) -> &'static str {
        match self {
            Self::Upgrade => {
                "finish the upgrade, or set the pool's version back to the one that runs, before changing anything \
                 else on it"
            }
            Self::Taint(_) => {
                "use the effect NoSchedule, which leaves running pods alone, or let all of these pods tolerate the \
                 taint for good"
            }
            Self::ScaleDown | Self::Drain => {
                "move these pods to another pool first: cordon the nodes of this pool and restart the workloads, then \
                 uncordon"
            }
            Self::Autoscaler => {
                "set autoscaling.minCount to no less than the nodes that the pool has now, or than its present minimum; or \
                 spec.disruption.systemPods to Relocate, so that the autoscaler may move these pods as their budgets allow"
            }
            Self::Demotion => {
                "move these pods to another system pool first: cordon the nodes of this pool and restart the \
                 workloads, then uncordon"
            }
            Self::Label(_) => "leave that label as it is",
            Self::Deletion => {
                "move these pods to another pool first: cordon the nodes of this pool and restart the workloads"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{
        autoscale, broken, demote, edit, governed, in_flight, nodes_mut, pool, pool_mut, promote, put_label, put_tag,
        put_taints, rules, run, scale, taint,
    };
    use crate::{Mode, ProvisioningState, Snapshot, Toleration, TolerationOperator};

    type Edit<'a> = &'a dyn Fn(&mut Snapshot);

    /// Two system pools and a user pool; coredns and a daemon run on the first node of `sys` and of `apps`.
    fn cluster() -> Snapshot {
        let pools = vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 3)];
        let mut snapshot = governed(pools, "sys");
        for pool in ["sys", "apps"] {
            run(&mut snapshot, &format!("coredns-{pool}"), pool);
            run(&mut snapshot, &format!("proxy-{pool}"), pool);
        }
        for pod in edit(&mut snapshot.pods).iter_mut().filter(|pod| pod.name.starts_with("proxy")) {
            pod.owner = Owner::DaemonSet;
            pod.tolerations = vec![Toleration {
                key: None,
                operator: TolerationOperator::Exists,
                value: String::new(),
                effect: None,
                limited: false,
            }]
            .into();
        }
        snapshot
    }

    fn found(snapshot: &Snapshot, step: &Step) -> Option<Broken> {
        broken(snapshot, step, Rule::SystemPodsWouldBeEvicted)
    }

    fn taints(snapshot: &Snapshot, pool: &str, text: &str) -> Option<Vec<String>> {
        found(snapshot, &put_taints(pool, &[text])).map(|broken| broken.pods)
    }

    fn tolerate(snapshot: &mut Snapshot, key: &str, limited: bool) {
        for pod in edit(&mut snapshot.pods) {
            Arc::make_mut(&mut pod.tolerations).push(Toleration {
                key: Some(key.to_owned()),
                operator: TolerationOperator::Exists,
                value: String::new(),
                effect: None,
                limited,
            });
        }
    }

    #[test]
    fn only_a_no_execute_taint_that_a_pod_does_not_tolerate_evicts() {
        let snapshot = cluster();
        assert_eq!(taints(&snapshot, "sys", "CriticalAddonsOnly=true:NoExecute"), None);
        assert_eq!(taints(&snapshot, "apps", "a=b:NoSchedule"), None);
        assert_eq!(taints(&snapshot, "apps", "a=b:PreferNoSchedule"), None);
        assert_eq!(taints(&snapshot, "two", "a=b:NoExecute"), None);
        assert_eq!(taints(&snapshot, "apps", "a=b:NoExecute").unwrap(), ["kube-system/coredns-apps"]);
        let found = found(&snapshot, &put_taints("apps", &["a=b:NoExecute", "c=d:NoSchedule"])).unwrap();
        assert_eq!(found.finding, "the taint a=b:NoExecute would evict kube-system/coredns-apps");
        assert_eq!(found.standing, Standing::Lasting);
        assert!(found.remedy.contains("NoSchedule"));
    }

    #[test]
    fn a_toleration_must_hold_for_good() {
        let mut snapshot = cluster();
        tolerate(&mut snapshot, "a", false);
        assert_eq!(taints(&snapshot, "apps", "a=b:NoExecute"), None);
        tolerate(&mut snapshot, "a", true);
        assert_eq!(taints(&snapshot, "apps", "a=b:NoExecute"), None, "the taint manager takes the first that matches");
        for pod in edit(&mut snapshot.pods) {
            Arc::make_mut(&mut pod.tolerations).reverse();
        }
        assert!(taints(&snapshot, "apps", "a=b:NoExecute").is_some());
        let mut snapshot = cluster();
        tolerate(&mut snapshot, "a", true);
        assert_eq!(taints(&snapshot, "apps", "a=b:NoExecute").unwrap().len(), 1, "the daemon tolerates all first");
        for pod in edit(&mut snapshot.pods) {
            Arc::make_mut(&mut pod.tolerations).reverse();
        }
        assert_eq!(taints(&snapshot, "apps", "a=b:NoExecute").unwrap().len(), 2, "the daemon goes too");
    }

    #[test]
    fn a_taint_that_is_there_already_evicts_nobody_and_one_that_has_not_arrived_does() {
        let mut snapshot = cluster();
        pool_mut(&mut snapshot, "apps").taints = vec![taint("a=b:NoExecute")];
        let found = found(&snapshot, &put_label("apps", "x")).unwrap();
        assert_eq!(found.finding, "the taint a=b:NoExecute would evict kube-system/coredns-apps");
        nodes_mut(&mut snapshot, "apps").for_each(|node| node.taints.push(taint("a=b:NoExecute")));
        assert_eq!(rules(&snapshot, &put_label("apps", "x")), [Rule::ConflictingPolicy]);
        assert_eq!(taints(&snapshot, "apps", "a=b:NoExecute"), None);
        assert!(taints(&snapshot, "apps", "a=c:NoExecute").is_some());
    }

    #[test]
    fn a_pool_that_protected_pods_run_on_is_neither_demoted_nor_scaled_down() {
        let snapshot = cluster();
        let demoted = found(&snapshot, &demote("sys")).unwrap();
        assert_eq!(
            demoted.finding,
            "nothing would mark the nodes of pool sys as system nodes any more under kube-system/coredns-sys"
        );
        let relocate = "set spec.disruption.systemPods to Relocate in policy p, which moves them one by one; or ";
        let remedy =
            |found: &Broken| found.remedy.strip_prefix(relocate).map(|rest| rest.chars().take(38).collect::<String>());
        assert_eq!(remedy(&demoted).as_deref(), Some("move these pods to another system pool"));
        let scaled = found(&snapshot, &scale("apps", 3, 2)).unwrap();
        assert_eq!(
            scaled.finding,
            "AKS chooses which nodes of pool apps to remove and could evict kube-system/coredns-apps"
        );
        assert_eq!(remedy(&scaled).as_deref(), Some("move these pods to another pool first:"));
        assert_eq!(remedy(&found(&snapshot, &scale("apps", 3, 0)).unwrap()), None, "to no nodes at all is no drain");
        for step in [demote("two"), scale("two", 3, 2), scale("apps", 3, 4), promote("apps"), put_label("sys", "a")] {
            assert_eq!(found(&snapshot, &step), None, "{step}");
        }
        let mut daemons_only = cluster();
        edit(&mut daemons_only.pods).retain(|pod| pod.owner == Owner::DaemonSet);
        assert_eq!(rules(&daemons_only, &demote("sys")), []);
    }

    #[test]
    fn pods_that_are_leaving_already_make_it_pass_by_itself() {
        let mut snapshot = cluster();
        for pod in edit(&mut snapshot.pods) {
            pod.deleting = true;
        }
        assert_eq!(found(&snapshot, &demote("sys")).unwrap().standing, Standing::Passing);
        run(&mut snapshot, "coredns-2", "sys");
        assert_eq!(found(&snapshot, &demote("sys")).unwrap().standing, Standing::Lasting);
    }

    #[test]
    fn the_autoscaler_of_a_system_pool_gets_no_node_that_it_could_not_remove_before() {
        let mut snapshot = cluster();
        let refused = found(&snapshot, &autoscale("sys", None, Some((2, 5)))).unwrap();
        assert!(
            refused.finding.starts_with("the autoscaler could remove any node of pool sys and evict"),
            "{refused:?}"
        );
        assert_eq!(found(&snapshot, &autoscale("sys", None, Some((3, 5)))), None);
        assert_eq!(found(&snapshot, &autoscale("apps", None, Some((0, 5)))), None, "a user pool");
        edit(&mut snapshot.intents).first_mut().unwrap().system_pods = crate::SystemPods::Relocate;
        assert_eq!(found(&snapshot, &autoscale("sys", None, Some((2, 5)))), None, "the autoscaler asks the budgets");
        edit(&mut snapshot.intents).first_mut().unwrap().system_pods = crate::SystemPods::Protect;
        pool_mut(&mut snapshot, "sys").autoscaling = Some(crate::Autoscaling { min: 2, max: 5 });
        for (to, refused) in
            [(Some((2, 9)), false), (Some((3, 5)), false), (Some((1, 5)), true), (Some((2, 2)), true), (None, false)]
        {
            assert_eq!(found(&snapshot, &autoscale("sys", Some((2, 5)), to)).is_some(), refused, "{to:?}");
        }
    }

    #[test]
    fn labels_that_a_daemon_selects_on_stay() {
        let mut snapshot = cluster();
        for pod in edit(&mut snapshot.pods) {
            pod.selects = Arc::new(["tier".to_owned(), MODE_LABEL.to_owned()].into());
        }
        let label = found(&snapshot, &put_label("apps", "tier")).unwrap();
        assert_eq!(
            label.finding,
            "the label tier decides where these DaemonSet pods run; its change could remove kube-system/proxy-apps"
        );
        assert_eq!(found(&snapshot, &put_label("apps", "other")), None);
        assert_eq!(found(&snapshot, &put_tag("apps", "tier")), None, "tags are not on the nodes");
        assert_eq!(found(&snapshot, &put_label("two", "tier")), None);
        let promoted = found(&snapshot, &promote("apps")).unwrap();
        assert_eq!(promoted.pods, ["kube-system/proxy-apps"], "a change of mode changes the label {MODE_LABEL}");
        let demoted = found(&snapshot, &demote("sys")).unwrap();
        assert_eq!(demoted.pods, ["kube-system/coredns-sys", "kube-system/proxy-sys"]);
        assert!(demoted.finding.ends_with("under kube-system/coredns-sys"), "{}", demoted.finding);
    }

    #[test]
    fn any_write_to_a_half_upgraded_pool_evicts() {
        let version = |s: &mut Snapshot| pool_mut(s, "apps").requested_version = Some("1.34".into());
        let quarantined = |s: &mut Snapshot| nodes_mut(s, "apps").take(1).for_each(|node| node.quarantined = true);
        let mixed = |s: &mut Snapshot, state: ProvisioningState| {
            pool_mut(s, "apps").state = state;
            nodes_mut(s, "apps").take(1).for_each(|node| node.image_version = None);
        };
        let cases: [(Edit<'_>, bool); 6] = [
            (&|_| (), false),
            (&version, true),
            (&quarantined, true),
            (&|s| mixed(s, ProvisioningState::Failed), true),
            (&|s| mixed(s, ProvisioningState::Canceled), true),
            (&|s| mixed(s, ProvisioningState::Succeeded), false),
        ];
        for (edit_snapshot, refused) in cases {
            let mut snapshot = cluster();
            edit_snapshot(&mut snapshot);
            for step in
                [put_label("apps", "a"), scale("apps", 3, 4), promote("apps"), put_taints("apps", &["a=b:NoSchedule"])]
            {
                let found = found(&snapshot, &step);
                assert_eq!(found.is_some(), refused, "{step}");
                let start =
                    "any write to pool apps would go on with its unfinished upgrade and evict kube-system/coredns-apps";
                assert!(
                    found.is_none_or(|found| found.finding == start && found.remedy.starts_with("finish the upgrade"))
                );
            }
            edit(&mut snapshot.pods).retain(|pod| pod.owner == Owner::DaemonSet);
            assert_eq!(found(&snapshot, &put_label("apps", "a")), None, "daemons come back with their node");
        }
    }

    #[test]
    fn a_change_in_flight_on_another_pool_threatens_nobody_here() {
        let mut snapshot = cluster();
        snapshot.in_flight = in_flight([put_taints("apps", &["a=b:NoExecute"])]);
        assert_eq!(found(&snapshot, &scale("sys", 3, 4)), None);
    }

    #[test]
    fn a_removal_that_has_failed_goes_on_with_any_write() {
        let failed = |nodes_left: u32, code: &str| {
            let mut snapshot = cluster();
            let pool = pool_mut(&mut snapshot, "apps");
            (pool.state, pool.count) = (ProvisioningState::Failed, nodes_left);
            pool.failure = Some(crate::PoolFailure { code: code.to_owned(), message: String::new() });
            snapshot
        };
        let repair = |snapshot: &Snapshot| found(snapshot, &crate::testing::repair("apps")).map(|broken| broken.pods);
        let coredns = Some(vec!["kube-system/coredns-apps".to_owned()]);
        assert_eq!(repair(&failed(3, "QuotaExceeded")), None);
        assert_eq!(repair(&failed(2, "QuotaExceeded")), coredns);
        assert_eq!(repair(&failed(3, "PodDrainFailure")), coredns);
        let label = found(&failed(2, "QuotaExceeded"), &put_label("apps", "a"));
        assert_eq!(label.map(|broken| broken.pods), coredns);
        let mut calm = failed(2, "QuotaExceeded");
        pool_mut(&mut calm, "apps").state = ProvisioningState::Succeeded;
        assert_eq!(found(&calm, &put_label("apps", "a")), None, "a surplus node of a pool at rest is just late");
    }
}
