//! The upgrade of a node image is judged as that of a version: the same rules, and what is the latest must be known.

use super::*;
use crate::intent::SystemPods;
use crate::snapshot::{Mode, ProvisioningState};
use crate::testing::{
    LATEST_IMAGE, ago, broken, budget, edit, governed, in_flight, offer, pool, pool_mut, put_label, rules, run,
    upgrade_image, upgrade_to, with_labels,
};
use crate::{Known, PoolFailure, Refusal, Settings, Snapshot, guard};

/// Two system pools and a user pool, to which AKS offers a version and an image, and a policy of one of them.
fn cluster(governed_pool: &str, system_pods: SystemPods) -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 2)];
    let mut snapshot = governed(pools, governed_pool);
    for intent in edit(&mut snapshot.intents) {
        intent.system_pods = system_pods;
    }
    for pool in ["sys", "two", "apps"] {
        offer(&mut snapshot, pool, &["1.34.2"]);
    }
    snapshot
}

#[test]
fn it_breaks_the_rules_that_the_upgrade_of_a_version_breaks() {
    type Edit = fn(&mut Snapshot);
    let rows: [(&str, SystemPods, Edit, &[Rule]); 10] = [
        ("sys", SystemPods::Relocate, |_| (), &[]),
        ("apps", SystemPods::Protect, |_| (), &[]),
        ("sys", SystemPods::Protect, |_| (), &[Rule::SystemPodsWouldBeEvicted]),
        ("apps", SystemPods::Protect, |it| drop(run(it, "coredns", "apps")), &[Rule::SystemPodsWouldBeEvicted]),
        (
            "sys",
            SystemPods::Relocate,
            |it| pool_mut(it, "sys").max_surge = Some("0".into()),
            &[Rule::SystemPodsWouldBeEvicted],
        ),
        (
            "sys",
            SystemPods::Relocate,
            |it| pool_mut(it, "two").state = ProvisioningState::Busy("Upgrading".into()),
            &[Rule::OperationInProgress],
        ),
        (
            "sys",
            SystemPods::Relocate,
            |it| it.in_flight = in_flight([upgrade_image("two")]),
            &[Rule::OperationInProgress],
        ),
        ("sys", SystemPods::Relocate, |it| edit(&mut it.workloads)[0].ready = 0, &[Rule::KubeSystemUnhealthy]),
        (
            "sys",
            SystemPods::Relocate,
            |it| {
                run(it, "coredns", "sys");
                edit(&mut it.budgets).push(budget("all", "app", "coredns", 0));
                let pod = edit(&mut it.pods).iter_mut().next().unwrap();
                *pod = with_labels(pod.clone(), &[("app", "coredns")]);
            },
            &[Rule::DisruptionBudgetBlocks],
        ),
        (
            "sys",
            SystemPods::Protect,
            |it| {
                edit(&mut it.cluster).pools.retain(|pool| pool.name != "two");
                pool_mut(it, "sys").max_unavailable = Some("100%".into());
            },
            &[Rule::SystemPodsWouldBeEvicted, Rule::LastHealthySystemPool, Rule::SystemCapacityFloor],
        ),
    ];
    for (number, (pool, system_pods, change, broken)) in rows.into_iter().enumerate() {
        let mut snapshot = cluster(pool, system_pods);
        change(&mut snapshot);
        let found = rules(&snapshot, &upgrade_image(pool));
        assert_eq!(found, rules(&snapshot, &upgrade_to(pool, "1.34.2")), "row {number}: as the upgrade of a version");
        for rule in broken {
            assert!(found.contains(rule), "row {number}: {found:?} lacks {rule}");
        }
        assert_eq!(found.is_empty(), broken.is_empty(), "row {number}: {found:?}");
    }
}

#[test]
fn which_image_is_the_latest_must_be_known_and_is_asked_when_nothing_else_stands_against_it() {
    let refused = |change: &dyn Fn(&mut Snapshot)| -> Option<(String, bool)> {
        let mut snapshot = cluster("apps", SystemPods::Protect);
        change(&mut snapshot);
        let refusal: Box<Refusal> = guard(upgrade_image("apps"), &snapshot, &Settings::default()).err()?;
        let asks = refusal.asks_for_upgrades(&snapshot);
        let of_image = refusal.broken.into_iter().find(|broken| broken.rule == Rule::VersionSkew)?;
        assert_eq!(of_image.standing, Standing::Passing);
        Some((of_image.finding, asks))
    };
    let unknown = |why: &str| format!("it is not known which node image is the latest for pool apps: {why}");
    assert_eq!(refused(&|_| ()), None);
    let unread = unknown("it is read when nothing else stands against the upgrade");
    assert_eq!(refused(&|it| it.upgradable.clear()), Some((unread.clone(), true)));
    let busy = |it: &mut Snapshot| {
        it.upgradable.clear();
        pool_mut(it, "apps").state = ProvisioningState::Busy("Scaling".into());
    };
    assert_eq!(refused(&busy), Some((unread, false)));
    let untold = |it: &mut Snapshot| {
        let mut read = it.upgradable["apps"].value().unwrap().clone();
        read.latest_image = None;
        it.upgradable.insert("apps".into(), Known::seen(crate::testing::NOW, read));
    };
    assert_eq!(refused(&untold), Some((unknown("AKS does not tell"), true)));
    let old = |it: &mut Snapshot| {
        let read = it.upgradable["apps"].value().unwrap().clone();
        it.upgradable.insert("apps".into(), Known::seen(ago(301), read));
    };
    assert_eq!(refused(&old), Some((unknown("not seen for more than 300 s"), true)));
}

#[test]
fn it_is_planned_on_the_image_that_the_pool_has() {
    let mut snapshot = cluster("apps", SystemPods::Protect);
    assert_eq!(broken(&snapshot, &upgrade_image("apps"), Rule::StaleObservation), None);
    pool_mut(&mut snapshot, "apps").node_image = Some(LATEST_IMAGE.into());
    let found = broken(&snapshot, &upgrade_image("apps"), Rule::StaleObservation).unwrap();
    assert!(found.finding.ends_with("its node image has changed"), "{}", found.finding);
}

#[test]
fn it_goes_on_with_an_upgrade_of_images_that_stopped_and_never_with_one_of_the_version() {
    let found = |change: &dyn Fn(&mut Snapshot), step: &Step| {
        let mut snapshot = cluster("apps", SystemPods::Protect);
        change(&mut snapshot);
        broken(&snapshot, step, Rule::VersionSkew).map(|found| found.standing)
    };
    let of_version = |it: &mut Snapshot| pool_mut(it, "apps").requested_version = Some("1.34.2".into());
    assert_eq!(found(&of_version, &upgrade_image("apps")), Some(Standing::Lasting));
    let of_image = |it: &mut Snapshot| {
        let failure = PoolFailure { code: "UpgradeFailed".into(), message: "m".into() };
        let pool = pool_mut(it, "apps");
        (pool.state, pool.failure) = (ProvisioningState::Failed, Some(failure));
    };
    assert_eq!(found(&of_image, &upgrade_image("apps")), None);
    assert_eq!(
        found(&of_image, &put_label("apps", "a")),
        Some(Standing::Lasting),
        "any other write would go on with it"
    );
}
