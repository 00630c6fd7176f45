//! When an upgrade may begin: on system pools, with protected pods, and with the budgets of applications.

use super::*;
use crate::dependents::Tenancy;
use crate::intent::SystemPods;
use crate::snapshot::ProvisioningState;
use crate::testing::{
    NOW, begin_drain, broken, budget, edit, governed, in_flight, let_miss, nodes_mut, offer, pool, pool_mut, rules,
    run, upgrade_to, with_labels,
};
use crate::{Known, Settings, Snapshot, Verdict, decide, plan};

/// Two system pools and a user pool, of which nothing is known to stand against an upgrade but protected pods.
fn cluster(system_pods: SystemPods) -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 2)];
    let mut snapshot = governed(pools, "sys");
    for intent in edit(&mut snapshot.intents) {
        intent.system_pods = system_pods;
    }
    for pool in ["sys", "two", "apps"] {
        offer(&mut snapshot, pool, &["1.34.2"]);
    }
    snapshot
}

fn found(snapshot: &Snapshot, pool: &str, rule: Rule) -> Option<Broken> {
    broken(snapshot, &upgrade_to(pool, "1.34.2"), rule)
}

fn evicts(snapshot: &Snapshot, pool: &str) -> Option<Broken> {
    found(snapshot, pool, Rule::SystemPodsWouldBeEvicted)
}

#[test]
fn a_system_pool_is_upgraded_only_where_its_pods_may_be_moved_also_while_there_are_none() {
    let protected = cluster(SystemPods::Protect);
    let says = evicts(&protected, "sys").unwrap();
    assert_eq!(says.standing, Standing::Lasting);
    assert!(says.finding.starts_with("the upgrade replaces every node of system pool sys"), "{}", says.finding);
    assert_eq!(
        says.remedy,
        "set spec.disruption.systemPods to Relocate in policy p, which lets AKS move them node by node as their budgets allow"
    );
    assert_eq!(evicts(&protected, "apps"), None, "a user pool without protected pods");
    assert_eq!(rules(&protected, &let_miss("sys", "0")), [Rule::StaleObservation], "no settings change");
    assert_eq!(rules(&cluster(SystemPods::Relocate), &upgrade_to("sys", "1.34.2")), []);
}

#[test]
fn protected_pods_are_moved_only_with_a_node_more_and_none_missing() {
    for (pool, surge, unavailable, refused) in [
        ("sys", "1", "0", None),
        ("sys", "33%", "0%", None),
        ("sys", "0", "0", Some("set spec.upgrade of policy p to maxUnavailable \"0\"")),
        ("sys", "1", "1", Some("set spec.upgrade of policy p to maxUnavailable \"0\"")),
        ("apps", "1", "0", None),
        ("apps", "?", "0", Some("set spec.upgrade of policy p to maxUnavailable \"0\"")),
    ] {
        let mut snapshot = cluster(SystemPods::Relocate);
        run(&mut snapshot, "coredns", pool);
        let it = pool_mut(&mut snapshot, pool);
        (it.max_surge, it.max_unavailable) = (Some(surge.into()), Some(unavailable.into()));
        let found = evicts(&snapshot, pool);
        assert_eq!(found.is_some(), refused.is_some(), "{pool} {surge} {unavailable}: {found:?}");
        assert!(found.is_none_or(|found| found.remedy.starts_with(refused.unwrap())));
    }
    let mut protected = cluster(SystemPods::Protect);
    run(&mut protected, "coredns", "apps");
    let says = evicts(&protected, "apps").unwrap();
    assert_eq!(says.finding, "the upgrade of pool apps replaces all of its nodes and would evict kube-system/coredns");
    assert_eq!(says.pods, ["kube-system/coredns"]);
}

#[test]
fn a_half_upgraded_pool_is_upgraded_under_the_same_conditions() {
    let mut snapshot = cluster(SystemPods::Relocate);
    run(&mut snapshot, "coredns", "sys");
    pool_mut(&mut snapshot, "sys").requested_version = Some("1.34.2".into());
    assert_eq!(evicts(&snapshot, "sys"), None);
    edit(&mut snapshot.intents)[0].system_pods = SystemPods::Protect;
    assert!(evicts(&snapshot, "sys").is_some());
}

#[test]
fn system_pools_are_upgraded_one_at_a_time_by_whoevers_hand() {
    let waits = |pool: &str, change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = cluster(SystemPods::Relocate);
        change(&mut snapshot);
        let found = found(&snapshot, pool, Rule::OperationInProgress)?;
        assert_eq!(found.standing, Standing::Passing);
        Some(found.finding)
    };
    let runs = |of: &'static str, what: &'static str| {
        move |it: &mut Snapshot| pool_mut(it, of).state = ProvisioningState::Busy(what.into())
    };
    let one = Some("system pool two is being upgraded, and system pools are upgraded one at a time".to_owned());
    assert_eq!(waits("sys", &|_| ()), None);
    assert_eq!(waits("sys", &runs("two", "Upgrading")), one);
    assert_eq!(waits("sys", &runs("two", "UpgradingNodeImageVersion")), one);
    assert_eq!(waits("sys", &|it| it.in_flight = in_flight([upgrade_to("two", "1.34.2")])), one, "not seen yet");
    assert_eq!(waits("sys", &runs("two", "Updating")), None);
    assert_eq!(waits("sys", &runs("apps", "Upgrading")), None);
    assert_eq!(waits("apps", &runs("two", "Upgrading")), None);
}

/// A pod of an application on the first node of pool `apps`, with what its budget allows of how many.
fn application(snapshot: &mut Snapshot, allowed: i32, expected: i32) {
    let node = nodes_mut(snapshot, "apps").next().unwrap().clone();
    let pod = with_labels(crate::testing::pod("web", &node), &[("app", "web")]);
    let pod = crate::Pod { namespace: "shop".into(), ..pod };
    let mut of_web = crate::Budget { namespace: "shop".into(), ..budget("web", "app", "web", allowed) };
    (of_web.status.expected, of_web.status.desired) = (expected, 5);
    let Some(Known::Seen { value, .. }) = snapshot.upgradable.get_mut("apps") else { panic!() };
    let occupant = Occupant { uid: "u".into(), tenancy: Tenancy::Controlled, protected: false, pod };
    value.occupancy.pods.push(occupant);
    value.occupancy.budgets.push(of_web);
}

#[test]
fn budgets_of_applications_that_allow_none_refuse_before_and_not_on_the_way() {
    let found = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = cluster(SystemPods::Protect);
        change(&mut snapshot);
        found(&snapshot, "apps", Rule::DisruptionBudgetBlocks)
    };
    assert_eq!(found(&|it| application(it, 1, 6)), None);
    let never = found(&|it| application(it, 0, 5)).unwrap();
    assert_eq!(never.standing, Standing::Lasting);
    assert_eq!(
        never.finding,
        "the upgrade of pool apps would wait for 1 pod that may not be evicted, and fail: budget shop/web allows no \
         disruption: 5 healthy pods, 5 are needed (shop/web)"
    );
    let closed = found(&|it| application(it, 0, 6)).unwrap();
    assert_eq!(closed.standing, Standing::Passing, "it may open again");
    let outdated = found(&|it| {
        application(it, 1, 6);
        let Some(Known::Seen { value, .. }) = it.upgradable.get_mut("apps") else { panic!() };
        value.occupancy.budgets[0].generation = 9;
    });
    assert!(outdated.unwrap().finding.contains("has no status yet"));
    for harmless in [
        (|it: &mut Occupant| it.protected = true) as fn(&mut Occupant),
        |it| it.tenancy = Tenancy::OfNode,
        |it| it.pod.deleting = true,
    ] {
        let found = found(&|it| {
            application(it, 0, 5);
            let Some(Known::Seen { value, .. }) = it.upgradable.get_mut("apps") else { panic!() };
            harmless(&mut value.occupancy.pods[0]);
        });
        assert_eq!(found, None);
    }
}

#[test]
fn what_runs_on_the_pool_must_be_known_of_every_node() {
    let says = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = cluster(SystemPods::Protect);
        change(&mut snapshot);
        let found = found(&snapshot, "apps", Rule::DisruptionBudgetBlocks)?;
        assert_eq!(found.standing, Standing::Passing);
        Some(found.finding)
    };
    assert_eq!(says(&|_| ()), None);
    let joined = |it: &mut Snapshot| {
        let node = nodes_mut(it, "apps").next().unwrap().clone();
        edit(&mut it.nodes).push(crate::Node { name: "new".into(), ..node });
    };
    let why =
        "it is not known which pods run on pool apps and whether they may be evicted: node new has not been read yet";
    assert_eq!(says(&joined).as_deref(), Some(why));
    let unread = |it: &mut Snapshot| it.upgradable.clear();
    assert_eq!(says(&unread), None, "the version is refused, and nothing more is asked");
    let mut snapshot = cluster(SystemPods::Protect);
    unread(&mut snapshot);
    assert!(found(&snapshot, "apps", Rule::VersionSkew).is_some());
}

#[test]
fn an_upgrade_waits_for_a_drain_and_is_read_for_only_when_nothing_else_stands_against_it() {
    let mut snapshot = cluster(SystemPods::Relocate);
    let wanted = crate::Version::parse("1.34").map(crate::WantedVersion::Exactly);
    edit(&mut snapshot.intents)[0].version = wanted;
    let verdicts = |snapshot: &Snapshot| decide(&plan(snapshot, &Settings::default()), snapshot, &Settings::default());
    assert!(matches!(&verdicts(&snapshot)[..], [Verdict::Approved(_)]), "{:?}", verdicts(&snapshot));
    let asks = |snapshot: &Snapshot| match &verdicts(snapshot)[..] {
        [Verdict::Refused(refusal)] => refusal.asks_for_upgrades(snapshot),
        other => panic!("{other:?}"),
    };
    snapshot.upgradable.clear();
    assert!(asks(&snapshot));
    let mut protect = snapshot.clone();
    edit(&mut protect.intents)[0].system_pods = SystemPods::Protect;
    assert!(!asks(&protect));
    let mut newer = snapshot.clone();
    edit(&mut newer.intents)[0].version = crate::Version::parse("1.35").map(crate::WantedVersion::Exactly);
    assert!(!asks(&newer), "it waits for the control plane, maybe for days");

    offer(&mut snapshot, "sys", &["1.34.2"]);
    begin_drain(&mut snapshot, "sys", &[0]);
    edit(&mut snapshot.intents)[0].count = Some(2);
    let found = verdicts(&snapshot);
    let upgrade = found.iter().find(|verdict| verdict.step().change.upgrades()).unwrap();
    let Verdict::Waits { reason, .. } = upgrade else { panic!("{upgrade:?}") };
    assert_eq!(reason, "the drain of nodes of its pool, which has begun");
    assert_eq!(snapshot.now, NOW);
}

#[test]
fn what_is_unfinished_is_finished_before_anything_else_is_written() {
    let mut snapshot = cluster(SystemPods::Protect);
    let intent = &mut edit(&mut snapshot.intents)[0];
    intent.pool = "apps".into();
    intent.version = crate::Version::parse("1.34").map(crate::WantedVersion::Exactly);
    intent.labels = Some([("tier".to_owned(), "web".to_owned())].into());
    let order = |snapshot: &Snapshot| -> Vec<(String, bool)> {
        let verdicts = decide(&plan(snapshot, &Settings::default()), snapshot, &Settings::default());
        let shown = |it: &Verdict| (it.step().change.purpose().to_string(), matches!(it, Verdict::Approved(_)));
        verdicts.iter().map(shown).collect()
    };
    let row = |field: &str, approved| (field.to_owned(), approved);
    assert_eq!(order(&snapshot), [row("labels", true), row("kubernetesVersion", false)], "cheaper changes come first");
    pool_mut(&mut snapshot, "apps").requested_version = Some("1.34.2".into());
    assert_eq!(order(&snapshot), [row("labels", false), row("kubernetesVersion", true)]);
}
