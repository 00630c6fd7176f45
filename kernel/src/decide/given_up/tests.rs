//! When a drain is given up.

use super::*;
use crate::testing::{NOW, ago, begin_drain, edit, governed, in_flight, nodes_mut, occupy, pod, pool, scale};
use crate::{Mode, Occupant, Span, SystemPods, Tenancy, Time, decide, plan};

/// A drain of one node of three that waits for the read of what runs there.
fn cluster() -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 3)], "sys");
    let intent = edit(&mut snapshot.intents).first_mut().unwrap();
    (intent.count, intent.system_pods) = (Some(2), SystemPods::Relocate);
    begin_drain(&mut snapshot, "sys", &[2]);
    snapshot.occupancy.clear();
    snapshot
}

fn found(snapshot: &Snapshot) -> Vec<GivenUp> {
    let settings = Settings::default();
    let plan = plan(snapshot, &settings);
    given_up(&plan, &decide(&plan, snapshot, &settings), snapshot, &settings)
}

fn begun(snapshot: &mut Snapshot, since: Time) {
    nodes_mut(snapshot, "sys").filter_map(|node| node.drain.as_mut()).for_each(|mark| mark.since = since);
}

#[test]
fn a_drain_stands_still_while_all_writes_are_paused_or_nobody_knows() {
    let now = |paused| crate::Known::seen(NOW, paused);
    for (paused, ends) in [(now(false), true), (now(true), false), (crate::Known::unknown("no answer"), false)] {
        let mut snapshot = cluster();
        begun(&mut snapshot, ago(3600));
        snapshot.paused = paused;
        assert_eq!(!found(&snapshot).is_empty(), ends);
    }
}

#[test]
fn a_drain_has_its_time() {
    for (seconds, ends) in [(0, false), (3599, false), (3600, true)] {
        let mut snapshot = cluster();
        begun(&mut snapshot, ago(seconds));
        let codes: Vec<String> = found(&snapshot).into_iter().map(|it| it.code).collect();
        assert_eq!(codes, if ends { vec!["DrainTimedOut"] } else { vec![] }, "{seconds}");
    }
    let mut snapshot = cluster();
    begun(&mut snapshot, ago(3600));
    let given = found(&snapshot).remove(0);
    assert_eq!(given.policy, "p");
    assert!(given.message.starts_with("it has not ended within 60 minutes; to remove node"), "{}", given.message);
    assert!(given.message.contains("what runs on the nodes to be drained is not known"), "{}", given.message);
    snapshot.in_flight = in_flight([scale("sys", 3, 2)]);
    assert_eq!(found(&snapshot), [], "Azure is at it");
}

#[test]
fn a_drain_that_is_refused_for_good_ends_at_once_and_one_that_waits_goes_on() {
    let mut snapshot = cluster();
    occupy(&mut snapshot, "sys");
    let node = crate::testing::node("sys", 2);
    let occupant = Occupant { pod: pod("x", &node), uid: "x".into(), tenancy: Tenancy::Alone, protected: false };
    edit(snapshot.occupancy.get_mut("sys").unwrap()).pods.push(occupant.clone());
    let given = found(&snapshot).remove(0);
    assert_eq!((given.code.as_str(), given.remedy.starts_with("delete these pods")), ("WorkloadsDependOnPool", true));
    let mut waits = snapshot.clone();
    edit(waits.occupancy.get_mut("sys").unwrap()).pods = vec![Occupant { tenancy: Tenancy::Controlled, ..occupant }];
    for workload in edit(&mut waits.workloads) {
        workload.ready = 1;
    }
    assert_eq!(found(&waits), []);
    edit(&mut snapshot.intents).first_mut().unwrap().count = Some(3);
    assert_eq!(found(&snapshot), [], "it is opened as it is");
    nodes_mut(&mut snapshot, "sys").for_each(|node| node.drain = None);
    assert_eq!((found(&snapshot), NOW.since(ago(1))), (vec![], Span::from_secs(1)));
}
