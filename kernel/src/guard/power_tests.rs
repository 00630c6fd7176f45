//! Stopping and starting pools before all rules. Never compiled into the product.

use super::{Rule, Standing};
use crate::testing::{
    broken, demote, edit, governed, in_flight, nodes_mut, pool, pool_mut, promote, put_label, rules, run, scale, start,
    stop,
};
use crate::{
    Dependent, Intent, Known, Mode, Owner, Power, PowerWish, ProvisioningState, Settings, Snapshot, Tie, Verdict,
    decide, plan,
};

/// Two system pools and two user pools; `p` governs `apps`, on which nothing depends.
fn cluster() -> Snapshot {
    let system = ["sys", "two"].map(|name| pool(name, Mode::System, 3));
    let user = ["apps", "web"].map(|name| pool(name, Mode::User, 3));
    let mut snapshot = governed(system.into_iter().chain(user).collect(), "apps");
    snapshot.dependents = [("apps".to_owned(), Known::seen(snapshot.now, vec![]))].into();
    snapshot
}

fn stopped(snapshot: &mut Snapshot) {
    let pool = pool_mut(snapshot, "apps");
    (pool.power, pool.count) = (Power::NotRunning("Stopped".into()), 0);
    edit(&mut snapshot.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
}

fn stops(change: impl Fn(&mut Snapshot)) -> Vec<Rule> {
    let mut snapshot = cluster();
    change(&mut snapshot);
    rules(&snapshot, &stop("apps"))
}

fn starts(change: impl Fn(&mut Snapshot)) -> Vec<Rule> {
    let mut snapshot = cluster();
    stopped(&mut snapshot);
    change(&mut snapshot);
    rules(&snapshot, &start("apps"))
}

#[test]
fn a_stop_is_judged_as_the_removal_of_all_nodes() {
    assert_eq!(stops(|_| ()), []);
    assert_eq!(stops(|s| s.dependents.clear()), [Rule::WorkloadsDependOnPool], "it has not been read");
    let dependent = || Dependent { pod: "shop/db".into(), tie: Tie::Alone };
    let depends = |s: &mut Snapshot| s.dependents = [("apps".to_owned(), Known::seen(s.now, vec![dependent()]))].into();
    assert_eq!(stops(depends), [Rule::WorkloadsDependOnPool]);
    let allowed = |s: &mut Snapshot| {
        depends(s);
        edit(&mut s.intents).first_mut().unwrap().may_lose_workloads = true;
    };
    assert_eq!(stops(allowed), []);
    let elsewhere = |s: &mut Snapshot| s.in_flight = in_flight([stop("web")]);
    assert_eq!(stops(elsewhere), [Rule::WorkloadsDependOnPool], "the room of the other pool goes too");
    let hidden = |s: &mut Snapshot| edit(&mut s.nodes).retain(|node| node.pool.as_deref() != Some("apps"));
    assert_eq!(stops(hidden), [Rule::StaleObservation]);
    let busy = |s: &mut Snapshot| pool_mut(s, "apps").state = ProvisioningState::Busy("Updating".into());
    assert_eq!(stops(busy), [Rule::OperationInProgress]);
}

#[test]
fn protected_pods_are_not_stopped_with_their_nodes() {
    let with = |owner: Owner| {
        let mut snapshot = cluster();
        run(&mut snapshot, "coredns-1", "apps");
        edit(&mut snapshot.pods).iter_mut().next().unwrap().owner = owner;
        broken(&snapshot, &stop("apps"), Rule::SystemPodsWouldBeEvicted)
    };
    let found = with(Owner::Other).unwrap();
    assert_eq!(found.finding, "all nodes of pool apps would go and with them kube-system/coredns-1");
    assert_eq!(found.standing, Standing::Lasting);
    assert_eq!(with(Owner::DaemonSet), None);
}

#[test]
fn a_stop_resumes_no_upgrade_and_is_planned_on_what_is_there() {
    let half = |s: &mut Snapshot| pool_mut(s, "apps").requested_version = Some("1.34".into());
    let resumes = stops(|s| {
        half(s);
        run(s, "coredns-1", "apps");
    });
    assert!(resumes.contains(&Rule::SystemPodsWouldBeEvicted) && resumes.contains(&Rule::VersionSkew), "{resumes:?}");
    assert_eq!(stops(stopped), [Rule::StaleObservation], "it is stopped");
    let failed = |s: &mut Snapshot| {
        stopped(s);
        pool_mut(s, "apps").state = ProvisioningState::Failed;
    };
    assert_eq!(stops(failed), [], "a stop that failed is made again");
    assert_eq!(starts(|s| pool_mut(s, "apps").power = Power::Running), [Rule::StaleObservation], "it runs");
}

#[test]
fn a_pool_may_be_started_unless_something_runs() {
    assert_eq!(starts(|_| ()), []);
    assert_eq!(starts(|s| pool_mut(s, "apps").state = ProvisioningState::Failed), []);
    let busy = || ProvisioningState::Busy("Starting".into());
    assert_eq!(starts(|s| pool_mut(s, "apps").state = busy()), [Rule::OperationInProgress]);
    assert_eq!(starts(|s| edit(&mut s.cluster).state = busy()), [Rule::OperationInProgress]);
    assert_eq!(starts(|s| pool_mut(s, "apps").mode = Mode::Other("Gateway".into())), [Rule::StaleObservation]);
    let mut snapshot = cluster();
    stopped(&mut snapshot);
    assert_eq!(rules(&snapshot, &put_label("apps", "a")), [Rule::StaleObservation], "nothing else is written");
    assert_eq!(rules(&snapshot, &scale("apps", 0, 3)), [Rule::StaleObservation]);
}

#[test]
fn a_pool_that_is_being_stopped_or_started_is_worth_nothing() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "apps").mode = Mode::System;
    for index in ["sys", "two"] {
        nodes_mut(&mut snapshot, index).for_each(|node| node.cordoned = index == "two");
    }
    nodes_mut(&mut snapshot, "apps").for_each(|node| node.labelled_system = true);
    assert!(!rules(&snapshot, &demote("sys")).contains(&Rule::LastHealthySystemPool));
    for step in [stop("apps"), promote("apps")] {
        let mut moving = snapshot.clone();
        if step.change.promotes() {
            pool_mut(&mut moving, "apps").power = Power::NotRunning("Stopped".into());
        }
        moving.in_flight = in_flight([if step.change.promotes() { start("apps") } else { step }]);
        assert!(rules(&moving, &demote("sys")).contains(&Rule::LastHealthySystemPool), "{:?}", moving.in_flight);
    }
}

#[test]
fn a_pool_is_started_first_and_another_stopped_when_it_is_there() {
    let mut snapshot = cluster();
    stopped(&mut snapshot);
    snapshot.dependents = [("web".to_owned(), Known::seen(snapshot.now, vec![]))].into();
    let wish = |power| Some(power);
    edit(&mut snapshot.intents).first_mut().unwrap().power = wish(PowerWish::Running);
    let web = Intent { power: wish(PowerWish::Stopped), ..crate::testing::intent("a", "web") };
    edit(&mut snapshot.intents).push(web);
    let decided = |snapshot: &Snapshot| {
        let verdicts = decide(&plan(snapshot, &Settings::default()), snapshot, &Settings::default());
        let in_short = |verdict: &Verdict| match verdict {
            Verdict::Approved(step) => format!("approved: {}", step.get()),
            Verdict::Waits { step, reason } => format!("waits: {step}: {reason}"),
            Verdict::Refused(refusal) => format!("refused: {:?}", refusal.broken),
        };
        verdicts.iter().map(in_short).collect::<Vec<_>>()
    };
    let waits = "waits: pool web: stop the pool: the step before it, pool apps: start the pool";
    assert_eq!(decided(&snapshot), ["approved: pool apps: start the pool", waits]);
    pool_mut(&mut snapshot, "apps").power = Power::Running;
    pool_mut(&mut snapshot, "apps").count = 3;
    edit(&mut snapshot.intents).first_mut().unwrap().creating = true;
    let joining = "waits: pool web: stop the pool: the nodes of pool apps, which have not all joined";
    assert_eq!(decided(&snapshot), [joining]);
    edit(&mut snapshot.intents).first_mut().unwrap().creating = false;
    assert_eq!(decided(&snapshot), ["approved: pool web: stop the pool"]);
}
