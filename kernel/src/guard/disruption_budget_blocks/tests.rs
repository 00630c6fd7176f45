use std::sync::Arc;

use super::*;
use crate::testing::{
    autoscale, broken, budget, demote, edit, governed, in_flight, node, nodes_mut, pod, pool, pool_mut, put_label,
    put_taints, rules, scale, with_labels,
};
use crate::{Controller, Mode, Owner, Phase, ProvisioningState, Snapshot, UnhealthyPods};

/// A system pool, and the user pools `apps` and `web` of three nodes, all governed by `p`.
fn cluster() -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3), pool("web", Mode::User, 3)];
    governed(pools, "apps")
}

/// A pod of a Deployment, with its name as the label `app`, on a node of `apps`.
fn replica(deployment: &str, number: u32, node_index: u32) -> Pod {
    let pod = with_labels(pod(&format!("{deployment}-{number}"), &node("apps", node_index)), &[("app", deployment)]);
    let controller = Controller { kind: "Deployment".into(), name: deployment.to_owned() };
    Pod { controller: Some(Arc::new(controller)), ..pod }
}

/// The cluster with replicas of `dns` on these nodes of `apps`.
fn dns_on(nodes: &[u32]) -> Snapshot {
    let mut snapshot = cluster();
    let pods = (0..).zip(nodes).map(|(number, node)| replica("dns", number, *node));
    edit(&mut snapshot.pods).extend(pods);
    snapshot
}

fn with_budget(mut snapshot: Snapshot, allowed: i32) -> Snapshot {
    edit(&mut snapshot.budgets).push(budget("dns", "app", "dns", allowed));
    snapshot
}

fn found(snapshot: &Snapshot, step: &Step) -> Option<Broken> {
    broken(snapshot, step, Rule::DisruptionBudgetBlocks)
}

fn refuses(snapshot: &Snapshot, step: &Step) -> bool {
    found(snapshot, step).is_some()
}

fn evict() -> Step {
    put_taints("apps", &["team=a:NoExecute"])
}

#[test]
fn a_budget_is_an_upper_bound_for_pods_that_a_taint_evicts_together() {
    for (nodes, allowed, refused) in [
        (vec![0], 0, true),
        (vec![0], 1, false),
        (vec![0, 1], 1, true),
        (vec![0, 1], 2, false),
        (vec![0, 0, 1], 2, true),
        (vec![], 0, false),
    ] {
        let snapshot = with_budget(dns_on(&nodes), allowed);
        assert_eq!(refuses(&snapshot, &evict()), refused, "{nodes:?} {allowed}");
        assert!(!refuses(&snapshot, &put_taints("apps", &["team=a:NoSchedule"])));
        assert!(!refuses(&snapshot, &put_taints("web", &["team=a:NoExecute"])), "another pool");
        assert!(!refuses(&snapshot, &demote("sys")) && !refuses(&snapshot, &scale("apps", 3, 4)));
    }
}

#[test]
fn without_a_budget_one_pod_of_a_workload_may_go() {
    assert!(!refuses(&dns_on(&[0]), &evict()));
    let two = dns_on(&[0, 1]);
    let found = found(&two, &evict()).unwrap();
    assert_eq!(
        found.finding,
        "the taint team=a:NoExecute would take down more protected pods together than may be missing: Deployment \
         kube-system/dns has no budget, 2 pods would go (kube-system/dns-0, kube-system/dns-1)"
    );
    assert_eq!((found.standing, found.pods.len()), (Standing::Lasting, 2));
    assert!(found.remedy.starts_with("use the effect NoSchedule"));
    let mut others = cluster();
    let named = |name: &str, kind: &str| Some(Arc::new(Controller { kind: kind.into(), name: name.into() }));
    edit(&mut others.pods).extend([
        replica("dns", 0, 0),
        replica("web", 0, 0),
        Pod { controller: named("dns", "StatefulSet"), ..replica("dns", 1, 1) },
        Pod { namespace: "other".into(), ..replica("dns", 2, 1) },
        Pod { controller: None, ..replica("dns", 3, 1) },
        Pod { controller: None, ..replica("dns", 4, 1) },
    ]);
    assert!(!refuses(&others, &evict()), "one each, and two that belong together by nothing");
}

#[test]
fn aks_chooses_the_nodes_so_that_those_with_most_pods_go() {
    for (nodes, to, allowed, refused) in [
        (vec![0, 1], 2, 1, false),
        (vec![0, 1], 1, 1, true),
        (vec![0, 0], 2, 1, true),
        (vec![0, 0], 2, 2, false),
        (vec![0, 0, 1], 2, 2, false),
        (vec![0, 0, 1], 1, 2, true),
        (vec![0], 0, 1, false),
    ] {
        let snapshot = with_budget(dns_on(&nodes), allowed);
        assert_eq!(refuses(&snapshot, &scale("apps", 3, to)), refused, "{nodes:?} to {to}, {allowed} allowed");
    }
    assert!(!refuses(&dns_on(&[0, 1]), &scale("apps", 3, 2)) && refuses(&dns_on(&[0, 1]), &scale("apps", 3, 1)));
    let broken = found(&with_budget(dns_on(&[0, 1]), 0), &scale("apps", 3, 2)).unwrap();
    assert_eq!(
        broken.finding,
        "removing 1 node of pool apps would take down more protected pods together than may be missing: budget \
         kube-system/dns allows 0 disruptions, 1 pod would go (kube-system/dns-0, kube-system/dns-1)"
    );
    assert!(broken.remedy.starts_with("move these pods to another pool first"));
}

#[test]
fn daemons_count_only_where_their_node_stays() {
    let mut snapshot = dns_on(&[0, 1]);
    for pod in edit(&mut snapshot.pods) {
        (pod.owner, pod.selects) = (Owner::DaemonSet, Arc::new(["tier".to_owned()].into()));
    }
    assert!(!refuses(&snapshot, &scale("apps", 3, 0)));
    assert!(refuses(&snapshot, &evict()));
    let label = found(&snapshot, &put_label("apps", "tier")).unwrap();
    assert!(label.finding.starts_with("the change of a label that their DaemonSets select on would take down"));
    assert_eq!(label.remedy, "leave that label as it is");
}

#[test]
fn an_upgrade_drains_node_by_node_so_that_each_budget_must_allow_one() {
    let rolling = |mut snapshot: Snapshot, unavailable: &str| {
        let pool = pool_mut(&mut snapshot, "apps");
        (pool.requested_version, pool.max_unavailable) = (Some("1.34".into()), Some(unavailable.into()));
        snapshot
    };
    let label = put_label("apps", "x");
    let none = found(&rolling(with_budget(dns_on(&[0, 1, 2]), 0), "0"), &label).unwrap();
    assert!(
        none.finding.starts_with(
            "any write to pool apps would go on with its unfinished upgrade, which would take down more protected pods \
             together than may be missing: budget kube-system/dns allows 0 disruptions, 1 pod would go"
        ),
        "{}",
        none.finding
    );
    assert!(none.remedy.starts_with("let each of these budgets allow one pod"));
    for unavailable in ["0", "1", "100%"] {
        assert!(!refuses(&rolling(with_budget(dns_on(&[0, 0, 1, 2]), 1), unavailable), &label), "it drains as allowed");
    }
    assert!(!refuses(&rolling(dns_on(&[0, 1, 2]), "0"), &label) && refuses(&rolling(dns_on(&[0, 0]), "0"), &label));
    assert!(refuses(&rolling(dns_on(&[0, 1]), "2"), &label), "two nodes at once, and nobody to ask");
    let removed_too = rolling(with_budget(dns_on(&[0, 1]), 1), "0");
    assert!(refuses(&removed_too, &scale("apps", 3, 2)), "one with its node and one by the upgrade");
    assert!(!refuses(&rolling(with_budget(dns_on(&[0]), 1), "0"), &scale("apps", 3, 2)), "the only one goes once");
    assert!(refuses(&rolling(with_budget(dns_on(&[0, 1, 2]), 2), "0"), &evict()), "a taint does not wait for drains");
}

#[test]
fn what_is_being_taken_down_elsewhere_counts() {
    let mut snapshot = with_budget(dns_on(&[0]), 1);
    edit(&mut snapshot.pods).push(Pod { node: Some(node("web", 0).name.into()), ..replica("dns", 7, 0) });
    let other = put_taints("web", &["team=a:NoExecute"]);
    assert!(!refuses(&snapshot, &evict()));
    snapshot.in_flight = in_flight([other.clone()]);
    let found = found(&snapshot, &evict()).unwrap();
    assert!(found.finding.contains("allows 1 disruption, 1 pod would go, and 1 elsewhere ("), "{}", found.finding);
    assert_eq!(found.standing, Standing::Passing, "it passes when the other is done");
    edit(&mut snapshot.budgets).clear();
    let unguarded = broken(&snapshot, &evict(), Rule::DisruptionBudgetBlocks).unwrap();
    assert!(unguarded.finding.contains("has no budget, 1 pod would go, and 1 elsewhere ("), "{}", unguarded.finding);
    assert_eq!(unguarded.standing, Standing::Passing);
    snapshot.in_flight = in_flight([put_taints("web", &["team=a:NoSchedule"])]);
    assert!(!refuses(&snapshot, &evict()));
    snapshot.in_flight.clear();
    pool_mut(&mut snapshot, "web").state = ProvisioningState::Busy("Deleting".into());
    assert!(refuses(&snapshot, &evict()), "somebody else's deletion counts too");
}

#[test]
fn the_autoscaler_asks_the_budgets_itself() {
    let mut snapshot = with_budget(dns_on(&[0, 1]), 0);
    edit(&mut snapshot.budgets).push(budget("second", "app", "dns", 0));
    assert!(refuses(&snapshot, &scale("apps", 3, 2)));
    assert!(!refuses(&snapshot, &autoscale("apps", None, Some((0, 5)))), "it leaves a node whose pods they hold");
}

#[test]
fn a_pod_that_goes_elsewhere_is_missed_by_each_of_its_budgets() {
    let mut snapshot = with_budget(dns_on(&[0]), 1);
    let other = Pod { node: Some(node("web", 0).name.into()), ..replica("dns", 7, 0) };
    let other = with_labels(other, &[("app", "dns"), ("tier", "web")]);
    edit(&mut snapshot.pods).push(other);
    edit(&mut snapshot.budgets).push(budget("second", "tier", "web", 0));
    assert!(!refuses(&snapshot, &evict()), "it stays");
    snapshot.in_flight = in_flight([put_taints("web", &["team=a:NoExecute"])]);
    let found = found(&snapshot, &evict()).unwrap();
    assert!(found.finding.contains("allows 1 disruption, 1 pod would go, and 1 elsewhere ("), "{}", found.finding);
    edit(&mut snapshot.budgets)[0].status.allowed = 2;
    assert!(!refuses(&snapshot, &evict()), "both may go");
    edit(&mut snapshot.budgets)[0].status.allowed = 1;
    edit(&mut snapshot.budgets)[0].unhealthy = UnhealthyPods::AlwaysAllow;
    edit(&mut snapshot.pods).iter_mut().next_back().unwrap().ready = false;
    assert!(!refuses(&snapshot, &evict()), "a pod that is not Ready is not missed");
}

#[test]
fn pods_that_nobody_counts_on_are_not_counted() {
    use UnhealthyPods::{AlwaysAllow, IfHealthyBudget};
    let with = |edit_pod: &dyn Fn(&mut Pod), unhealthy: UnhealthyPods| {
        let mut snapshot = with_budget(dns_on(&[0, 1]), 1);
        edit(&mut snapshot.pods).iter_mut().take(1).for_each(edit_pod);
        for budget in edit(&mut snapshot.budgets) {
            budget.unhealthy = unhealthy;
        }
        snapshot
    };
    assert!(!refuses(&with(&|pod| pod.deleting = true, IfHealthyBudget), &evict()));
    assert!(!refuses(&with(&|pod| pod.phase = Phase::Pending, IfHealthyBudget), &evict()));
    assert!(!refuses(&with(&|pod| pod.ready = false, IfHealthyBudget), &evict()), "enough others are healthy");
    let short = |unhealthy| {
        let mut snapshot = with(&|pod| pod.ready = false, unhealthy);
        for budget in edit(&mut snapshot.budgets) {
            budget.status.healthy = budget.status.desired - 1;
        }
        snapshot
    };
    assert!(refuses(&short(IfHealthyBudget), &evict()) && !refuses(&short(AlwaysAllow), &evict()));
}

#[test]
fn a_budget_without_a_current_status_or_beside_another_lets_nothing_go() {
    let mut outdated = with_budget(dns_on(&[0]), 1);
    for budget in edit(&mut outdated.budgets) {
        budget.generation += 1;
    }
    let broken = found(&outdated, &evict()).unwrap();
    assert!(
        broken.finding.contains("budget kube-system/dns has no status yet, or one of an older version of it ("),
        "{}",
        broken.finding
    );
    assert_eq!(broken.standing, Standing::Passing);
    assert!(broken.remedy.starts_with("wait until the disruption controller has counted"));
    let mut two = with_budget(dns_on(&[0, 1]), 5);
    edit(&mut two.budgets).push(budget("all", "app", "dns", 5));
    let broken = found(&two, &evict()).unwrap();
    let says = "budgets kube-system/all, kube-system/dns are 2 on one pod, which no eviction gets past";
    assert!(broken.finding.ends_with(&format!("{says} (kube-system/dns-0, kube-system/dns-1)")), "{}", broken.finding);
    assert_eq!(broken.standing, Standing::Lasting);
    let mut strange = with_budget(dns_on(&[0]), 5);
    for budget in edit(&mut strange.budgets) {
        budget.selector = None;
    }
    assert_eq!(found(&strange, &evict()).unwrap().standing, Standing::Lasting);
    for budget in edit(&mut strange.budgets) {
        budget.namespace = "other".into();
    }
    assert!(!refuses(&strange, &evict()));
    let mut waiting = with_budget(dns_on(&[0]), 1);
    for budget in edit(&mut waiting.budgets) {
        budget.status.unconfirmed = 2001;
    }
    assert_eq!(found(&waiting, &evict()).unwrap().standing, Standing::Passing);
}

#[test]
fn it_passes_by_itself_if_the_budget_would_allow_as_many_with_all_its_pods_healthy() {
    let with = |nodes: &[u32], expected: i32, allowed: i32| {
        let mut snapshot = with_budget(dns_on(nodes), allowed);
        for budget in edit(&mut snapshot.budgets) {
            (budget.status.expected, budget.status.desired) = (expected, 4);
        }
        found(&snapshot, &evict()).map(|broken| broken.standing)
    };
    assert_eq!(with(&[0], 5, 1), None);
    assert_eq!(with(&[0], 5, 0), Some(Standing::Passing));
    assert_eq!(with(&[0], 4, 0), Some(Standing::Lasting));
    assert_eq!(with(&[0], 3, 0), Some(Standing::Lasting));
    assert_eq!(with(&[0, 1], 5, 1), Some(Standing::Lasting));
    assert_eq!(with(&[0, 1], 6, 1), Some(Standing::Passing));
}

#[test]
fn all_that_is_too_much_is_named_the_gravest_cause_first() {
    let mut snapshot = dns_on(&[0, 1]);
    edit(&mut snapshot.pods).extend([replica("web", 0, 0), replica("web", 1, 1), replica("one", 0, 0)]);
    edit(&mut snapshot.budgets).push(budget("web", "app", "web", 0));
    let step = scale("apps", 3, 1);
    let removed = found(&snapshot, &step).unwrap();
    let groups = "Deployment kube-system/dns has no budget, 2 pods would go; budget kube-system/web allows 0 disruptions, \
                  2 pods would go";
    assert!(removed.finding.contains(groups), "{}", removed.finding);
    assert_eq!(removed.pods, ["dns-0", "dns-1", "web-0", "web-1"].map(|name| format!("kube-system/{name}")));
    pool_mut(&mut snapshot, "apps").taints = vec!["team=a:NoExecute".parse().unwrap()];
    nodes_mut(&mut snapshot, "apps").take(1).for_each(|node| node.taints.push("team=a:NoExecute".parse().unwrap()));
    let both = found(&snapshot, &step).unwrap();
    assert!(both.finding.starts_with("the taint team=a:NoExecute would take down"), "{}", both.finding);
    let others = [Rule::SystemPodsWouldBeEvicted, Rule::SystemPodsUnplaceable, Rule::DisruptionBudgetBlocks];
    assert!(rules(&snapshot, &step).ends_with(&others));
}

#[test]
fn a_mix_of_doubt_and_excess_says_what_to_do_about_the_excess() {
    let mut snapshot = with_budget(dns_on(&[0, 1]), 1);
    for budget in edit(&mut snapshot.budgets) {
        budget.generation += 1;
    }
    edit(&mut snapshot.pods).extend([replica("web", 0, 0), replica("web", 1, 1)]);
    let broken = found(&snapshot, &evict()).unwrap();
    assert_eq!(broken.standing, Standing::Lasting);
    assert!(broken.remedy.starts_with("use the effect NoSchedule"));
}
