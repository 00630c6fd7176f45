use super::*;
use crate::testing::{NOW, ago, edit, governed, in_flight, intent, pool, pool_mut};
use crate::{Change, Known, Mode, Plan, PoolKind, Power, Problem, plan};

/// A policy that is being deleted with its pool `apps`.
fn leaving() -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 2)], "apps");
    edit(&mut snapshot.intents).first_mut().unwrap().deletion = Some(Deletion::Delete);
    snapshot
}

fn planned(change: impl Fn(&mut Snapshot)) -> Plan {
    let mut snapshot = leaving();
    change(&mut snapshot);
    plan(&snapshot, &Settings::default())
}

fn release(change: impl Fn(&mut Snapshot)) -> Option<Release> {
    let plan = planned(change).of("p").unwrap().clone();
    assert!(plan.release.is_none() || plan.steps.is_empty());
    plan.release
}

fn policy(snapshot: &mut Snapshot) -> &mut Intent {
    edit(&mut snapshot.intents).first_mut().unwrap()
}

#[test]
fn a_pool_goes_with_its_policy_and_nothing_else_is_asked_for() {
    let plan = planned(|snapshot| policy(snapshot).count = Some(5));
    let plan = plan.of("p").unwrap();
    let changes: Vec<&Change> = plan.steps.iter().map(|step| &step.change).collect();
    assert_eq!((changes, plan.release.clone()), (vec![&Change::Delete], None));
    assert_eq!(plan.drift.first().unwrap().field.to_string(), "deletionPolicy");
}

#[test]
fn a_pool_stays_where_its_policy_alone_does_not_ask_for_more() {
    for (deletion, released) in [(None, None), (Some(Deletion::Orphan), Some(Release::Orphan))] {
        assert_eq!(release(|snapshot| policy(snapshot).deletion = deletion), released);
    }
    for deletion in [None, Some(Deletion::Orphan), Some(Deletion::Delete)] {
        for created in [1, 10_000] {
            let other = Intent { deletion, created: ago(created), ..intent("q", "apps") };
            let named = release(|snapshot| edit(&mut snapshot.intents).push(other.clone()));
            assert_eq!(named, Some(Release::Named { other: "q".into() }), "{deletion:?} {created}");
        }
    }
    assert_eq!(release(|snapshot| edit(&mut snapshot.intents).push(intent("q", "web"))), None);
    assert_eq!(release(|snapshot| policy(snapshot).suspended = true), Some(Release::Suspended));
    let observe = |snapshot: &mut Snapshot| policy(snapshot).enforcement = Enforcement::Observe;
    assert_eq!(release(observe), Some(Release::ObserveOnly));
}

#[test]
fn a_policy_that_leaves_its_pool_governs_it_no_longer() {
    let plan = planned(|snapshot| {
        policy(snapshot).deletion = Some(Deletion::Orphan);
        edit(&mut snapshot.intents).push(Intent { count: Some(3), created: ago(1), ..intent("q", "apps") });
    });
    assert_eq!(plan.of("q").unwrap().steps.len(), 1);
}

#[test]
fn an_object_is_let_go_when_there_is_no_pool_or_no_cluster_to_wait_for() {
    let gone = |snapshot: &mut Snapshot| edit(&mut snapshot.cluster).pools.retain(|pool| pool.name != "apps");
    assert_eq!(release(gone), Some(Release::PoolGone));
    let busy = |operation: &'static str| {
        release(move |snapshot| edit(&mut snapshot.cluster).state = ProvisioningState::Busy(operation.into()))
    };
    assert_eq!((busy("Deleting"), busy("Updating")), (Some(Release::ClusterLeaves), None));
    assert_eq!(release(|snapshot| pool_mut(snapshot, "apps").state = ProvisioningState::Busy("Deleting".into())), None);
}

#[test]
fn what_is_not_known_lets_no_object_go() {
    let unknown = planned(|snapshot| snapshot.cluster = Known::unknown("no answer"));
    let unknown = unknown.of("p").unwrap();
    assert_eq!((unknown.release.clone(), unknown.steps.len()), (None, 0));
    assert!(matches!(unknown.problems.as_slice(), [Problem::NotObserved { .. }]));
    let without = |change: &dyn Fn(&mut Snapshot)| {
        planned(|snapshot| {
            edit(&mut snapshot.cluster).pools.retain(|pool| pool.name != "apps");
            change(snapshot);
        })
    };
    let old = |snapshot: &mut Snapshot| {
        let cluster = edit(&mut snapshot.cluster).clone();
        snapshot.cluster = Known::seen(ago(301), cluster);
    };
    let another = |snapshot: &mut Snapshot| snapshot.issuer = Known::seen(NOW, "https://other.example/".into());
    let no_nodes = |snapshot: &mut Snapshot| snapshot.nodes = Known::unknown("no answer");
    for change in [&old as &dyn Fn(&mut Snapshot), &another, &no_nodes] {
        let plan = without(change);
        let plan = plan.of("p").unwrap();
        assert_eq!((plan.release.clone(), plan.steps.len()), (None, 1), "the guard says why");
    }
}

#[test]
fn a_pool_that_is_on_its_way_out_is_waited_for_and_one_that_is_stopped_may_go() {
    let steps = |change: &dyn Fn(&mut Snapshot)| planned(change).of("p").unwrap().steps.len();
    let state = |state: ProvisioningState| steps(&move |snapshot| pool_mut(snapshot, "apps").state = state.clone());
    assert_eq!(state(ProvisioningState::Busy("deleting".into())), 0);
    assert_eq!(state(ProvisioningState::Busy("Scaling".into())), 1);
    assert_eq!(state(ProvisioningState::Failed), 1);
    assert_eq!(steps(&|snapshot| pool_mut(snapshot, "apps").power = Power::NotRunning("Stopped".into())), 1);
    assert_eq!(steps(&|snapshot| snapshot.in_flight = in_flight([crate::testing::scale("apps", 2, 3)])), 1);
    let odd = planned(|snapshot| pool_mut(snapshot, "apps").kind = PoolKind::Other("VirtualMachines".into()));
    let problem = odd.of("p").unwrap().problems.first().unwrap();
    assert!(problem.is_lasting() && problem.to_string().contains("type VirtualMachines"), "{problem}");
    assert!(problem.to_string().ends_with("or set spec.deletionPolicy to Orphan"), "{problem}");
}
