//! Which versions are refused, for how long, and what a person is told.

use super::*;
use crate::snapshot::{Mode, ProvisioningState};
use crate::step::NewPool;
use crate::testing::{
    ago, broken, edit, governed, in_flight, let_miss, nodes_mut, offer, pool, pool_mut, put_label, rules, upgrade_to,
};
use crate::{PoolFailure, Snapshot};

/// A system pool and a user pool of 1.33.5 beside a control plane of 1.34.2.
fn cluster() -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 2)], "apps");
    offer(&mut snapshot, "apps", &["1.33.6", "1.34.0", "1.34.2"]);
    snapshot
}

fn found(snapshot: &Snapshot, step: &Step) -> Option<Broken> {
    broken(snapshot, step, Rule::VersionSkew)
}

#[test]
fn the_table_of_skews_is_compared_to_the_patch() {
    for (control_plane, to, standing, says) in [
        ("1.34.2", "1.34.2", None, ""),
        ("1.34.2", "1.33.6", None, ""),
        ("1.34.2", "1.34", None, ""),
        (
            "1.34.2",
            "1.34.3",
            Some(Standing::Passing),
            "pool apps is to run Kubernetes 1.34.3, and no pool may be newer than the control plane, which runs 1.34.2",
        ),
        (
            "1.34.2",
            "1.35",
            Some(Standing::Passing),
            "pool apps is to run Kubernetes 1.35, and no pool may be newer than the control plane, which runs 1.34.2",
        ),
        ("1.34.2", "2.0", Some(Standing::Passing), "pool apps is to run Kubernetes 2.0, and no pool may be newer"),
        (
            "1.37.1",
            "1.33.6",
            Some(Standing::Lasting),
            "pool apps is to run Kubernetes 1.33.6, and AKS takes 1.34 to 1.37.1 beside the control plane's 1.37.1",
        ),
        (
            "1.34.2",
            "1.33.5",
            Some(Standing::Lasting),
            "pool apps runs Kubernetes 1.33.5, and 1.33.5 is not newer: AKS takes no version back",
        ),
        ("1.34.2", "1.32.9", Some(Standing::Lasting), "pool apps runs Kubernetes 1.33.5, and 1.32.9 is not newer"),
        (
            "1.34.2",
            "1.34.1",
            Some(Standing::Lasting),
            "AKS does not offer pool apps an upgrade to Kubernetes 1.34.1; it offers 1.33.6, 1.34.0, 1.34.2",
        ),
    ] {
        let mut snapshot = cluster();
        edit(&mut snapshot.cluster).version = Version::parse(control_plane);
        let found = found(&snapshot, &upgrade_to("apps", to));
        assert_eq!(found.as_ref().map(|found| found.standing), standing, "{to} beside {control_plane}");
        let finding = found.map(|found| found.finding).unwrap_or_default();
        assert!(finding.starts_with(says), "{finding}");
    }
}

#[test]
fn what_is_not_known_is_refused_for_now() {
    let passing = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = cluster();
        change(&mut snapshot);
        let broken = found(&snapshot, &upgrade_to("apps", "1.34.2"))?;
        assert_eq!(broken.standing, Standing::Passing);
        Some(broken.finding)
    };
    assert_eq!(passing(&|_| ()), None);
    let unknown = "it is not known which versions AKS offers pool apps: ";
    assert_eq!(
        passing(&|it| it.upgradable.clear()),
        Some(format!("{unknown}it is read when nothing else stands against the upgrade"))
    );
    let failed = |it: &mut Snapshot| drop(it.upgradable.insert("apps".into(), crate::Known::unknown("no answer")));
    assert_eq!(passing(&failed), Some(format!("{unknown}no answer")));
    let old = |it: &mut Snapshot| {
        let read = it.upgradable["apps"].value().unwrap().clone();
        drop(it.upgradable.insert("apps".into(), crate::Known::seen(ago(301), read)));
    };
    assert_eq!(passing(&old), Some(format!("{unknown}not seen for more than 300 s")));
    let no_version = passing(&|it| edit(&mut it.cluster).version = None);
    assert!(
        no_version.is_some_and(|says| says.starts_with("ARM does not tell which Kubernetes version the control plane"))
    );
    let mut unread = upgrade_to("apps", "1.34.2");
    if let Change::Version { from, .. } = &mut unread.change {
        *from = None;
    }
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "apps").current_version = None;
    let says = found(&snapshot, &unread).unwrap().finding;
    assert_eq!(says, "ARM does not tell which Kubernetes version pool apps runs");
}

#[test]
fn a_new_pool_may_not_be_newer_than_its_control_plane_and_needs_no_list() {
    let creation = |version: &str| {
        let new =
            NewPool { version: Version::parse(version), ..NewPool::new(Mode::User, 1, std::sync::Arc::default()) };
        Step { policy: "p".into(), pool: "new".into(), change: Change::Create(Box::new(new)) }
    };
    let snapshot = governed(vec![pool("sys", Mode::System, 3)], "new");
    let standing = |version: &str| found(&snapshot, &creation(version)).map(|found| found.standing);
    assert_eq!(standing("1.34.2"), None);
    assert_eq!(standing("1.31.0"), None);
    assert_eq!(standing("1.35"), Some(Standing::Passing));
    assert_eq!(standing("1.30"), Some(Standing::Lasting));
    assert_eq!(standing("newest"), None, "the control plane's");
}

#[test]
fn no_other_write_goes_on_with_an_upgrade_that_stopped_half_way() {
    let half = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = cluster();
        change(&mut snapshot);
        found(&snapshot, &put_label("apps", "a")).map(|found| found.standing)
    };
    let requested = |it: &mut Snapshot| pool_mut(it, "apps").requested_version = Some("1.34.2".into());
    assert_eq!(half(&|_| ()), None);
    assert_eq!(half(&requested), Some(Standing::Lasting));
    let failed = |it: &mut Snapshot| {
        let pool = pool_mut(it, "apps");
        (pool.state, pool.failure) =
            (ProvisioningState::Failed, Some(PoolFailure { code: "UpgradeFailed".into(), message: "m".into() }));
    };
    assert_eq!(half(&failed), Some(Standing::Lasting));
    let running = |it: &mut Snapshot| {
        requested(it);
        pool_mut(it, "apps").state = ProvisioningState::Busy("Upgrading".into());
    };
    assert_eq!(half(&running), Some(Standing::Passing), "what runs may end as it should");
    let sent = |it: &mut Snapshot| {
        requested(it);
        it.in_flight = in_flight([upgrade_to("apps", "1.34.2")]);
    };
    assert_eq!(half(&sent), Some(Standing::Passing));

    let mut left = cluster();
    nodes_mut(&mut left, "apps").take(1).for_each(|node| node.quarantined = true);
    let says = found(&left, &put_label("apps", "a")).unwrap().finding;
    assert!(says.ends_with("was asked for 1.33; aks-apps-12345678-vmss000000 is quarantined)"), "{says}");

    let mut snapshot = cluster();
    requested(&mut snapshot);
    assert_eq!(rules(&snapshot, &let_miss("apps", "1")), [Rule::VersionSkew]);
    assert_eq!(found(&snapshot, &upgrade_to("apps", "1.34.2")), None, "the upgrade itself may go on");
    let says = found(&snapshot, &put_label("apps", "a")).unwrap().finding;
    assert_eq!(
        says,
        "any write to pool apps would go on with its unfinished upgrade (it is Succeeded, runs Kubernetes 1.33.5, and was \
         asked for 1.34.2)"
    );
}

#[test]
fn the_nodes_that_an_upgrade_adds_have_room_in_the_pool() {
    let with = |count: u32, surge: &str| {
        let mut snapshot = cluster();
        let apps = pool_mut(&mut snapshot, "apps");
        (apps.count, apps.max_surge) = (count, Some(surge.to_owned()));
        snapshot
    };
    for (count, surge, says) in [
        (990, "10", None),
        (990, "11", Some("set spec.upgrade.maxSurge to 10 or less")),
        (800, "25%", None),
        (800, "26%", Some("set spec.upgrade.maxSurge to 200 or less")),
        (1000, "0", None),
        (1000, "1", Some("let the pool have a node fewer, and set spec.upgrade.maxSurge to 1")),
    ] {
        let snapshot = with(count, surge);
        let found = found(&snapshot, &upgrade_to("apps", "1.34.2"));
        assert_eq!(found.as_ref().map(|broken| broken.standing), says.map(|_| Standing::Lasting), "{count} {surge}");
        let remedy = found.map(|broken| broken.remedy).unwrap_or_default();
        assert!(remedy.contains(says.unwrap_or_default()), "{count} {surge}: {remedy}");
    }
    let image = self::found(&with(990, "50"), &crate::testing::upgrade_image("apps")).unwrap();
    assert_eq!(image.finding, "the upgrade of pool apps of 990 nodes would add 50, and a pool may have 1000");
}
