//! Whom each change would evict, and what a person is told to do.

use std::sync::Arc;

use super::*;
use crate::testing::{
    autoscale, begin_drain, broken, demote, edit, governed, in_flight, intent, nodes_mut, pool, pool_mut, promote,
    put_label, put_tag, put_taints, rules, run, scale, taint,
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
fn a_demotion_passes_by_itself_while_its_drain_moves_the_pods() {
    use crate::SystemPods::{Protect, Relocate};
    let standing = |system_pods, indices: &[u32], step: &Step| {
        let mut snapshot = cluster();
        edit(&mut snapshot.intents).first_mut().unwrap().system_pods = system_pods;
        begin_drain(&mut snapshot, "sys", indices);
        found(&snapshot, step).map(|found| found.standing)
    };
    assert_eq!(standing(Relocate, &[0], &demote("sys")), Some(Standing::Passing));
    assert_eq!(standing(Relocate, &[], &demote("sys")), Some(Standing::Lasting), "nothing moves them yet");
    assert_eq!(standing(Protect, &[0], &demote("sys")), Some(Standing::Lasting), "they stay");
    assert_eq!(standing(Relocate, &[0], &scale("sys", 3, 2)), Some(Standing::Lasting), "AKS would choose the nodes");
}

#[test]
fn moving_pods_off_an_autoscaled_pool_is_advised_to_the_owner_of_its_autoscaler() {
    let bounds = crate::Autoscaling { min: 2, max: 5 };
    let is_advised = |own, of_another| {
        let mut snapshot = cluster();
        pool_mut(&mut snapshot, "sys").autoscaling = Some(bounds);
        edit(&mut snapshot.intents).first_mut().unwrap().autoscaling = own;
        edit(&mut snapshot.intents).push(crate::Intent { autoscaling: of_another, ..intent("q", "other") });
        found(&snapshot, &demote("sys")).unwrap().remedy.contains("to Relocate in policy p")
    };
    assert!(is_advised(Some(bounds), None));
    assert!(!is_advised(None, None) && !is_advised(None, Some(bounds)));
}

#[test]
fn the_autoscaler_of_a_system_pool_gets_no_node_that_it_could_not_remove_before() {
    let mut snapshot = cluster();
    let refused = found(&snapshot, &autoscale("sys", None, Some((2, 5)))).unwrap();
    assert!(refused.finding.starts_with("the autoscaler could remove any node of pool sys and evict"), "{refused:?}");
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
            assert!(found.is_none_or(|found| found.finding == start && found.remedy.starts_with("finish the upgrade")));
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

#[test]
fn all_taints_and_labels_that_endanger_any_pod_are_named() {
    let mut snapshot = cluster();
    run(&mut snapshot, "metrics-apps", "apps");
    run(&mut snapshot, "agent-apps", "apps");
    for pod in edit(&mut snapshot.pods) {
        let (tolerated, selected) = match &*pod.name {
            "coredns-apps" => (Some("a"), None),
            "metrics-apps" => (Some("c"), None),
            "agent-apps" => (None, Some("team")),
            "proxy-apps" => (None, Some("tier")),
            _ => continue,
        };
        pod.owner = if selected.is_some() { Owner::DaemonSet } else { Owner::Other };
        pod.selects = Arc::new(selected.into_iter().map(str::to_owned).collect());
        let key = tolerated.map(str::to_owned);
        let (operator, value, effect) = (TolerationOperator::Exists, String::new(), None);
        pod.tolerations = vec![Toleration { key, operator, value, effect, limited: false }].into();
    }
    let evicted = found(&snapshot, &put_taints("apps", &["a=b:NoExecute", "c=d:NoExecute"])).unwrap();
    let expected =
        "the taint a=b:NoExecute, c=d:NoExecute would evict kube-system/coredns-apps, kube-system/metrics-apps";
    assert_eq!(evicted.finding, expected);
    let mut step = put_label("apps", "team");
    if let crate::Change::Labels { to, .. } = &mut step.change {
        to.insert("tier".into(), "x".into());
    }
    let moved = found(&snapshot, &step).unwrap();
    assert!(moved.finding.starts_with("the label team, tier decides where these DaemonSet pods run"), "{moved:?}");
}
