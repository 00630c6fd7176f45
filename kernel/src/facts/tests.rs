//! What is missing, what is in flight, and what takes something away.

use super::*;
use crate::snapshot::ProvisioningState;
use crate::testing::{
    ago, autoscale, demote, edit, governed, in_flight, nodes_mut, pool, pool_mut, promote, put_label, put_tag,
    put_taints, rules, scale, taint,
};
use crate::{Verdict, decide, plan};

fn cluster() -> Snapshot {
    governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3)], "apps")
}

fn missing(snapshot: &Snapshot) -> Option<Broken> {
    Facts::gather(snapshot, &Settings::default()).err()
}

/// Each part of a snapshot made unknown, or given another age.
fn spoil(snapshot: &mut Snapshot, part: usize, at: Option<Time>) {
    fn spoil_part<T: Clone>(known: &mut Known<T>, at: Option<Time>) {
        *known = match (at, known.value()) {
            (Some(at), Some(value)) => Known::seen(at, value.clone()),
            _ => Known::unknown("no answer"),
        };
    }
    match part {
        0 => spoil_part(&mut snapshot.intents, at),
        1 => spoil_part(&mut snapshot.cluster, at),
        2 => spoil_part(&mut snapshot.nodes, at),
        3 => spoil_part(&mut snapshot.pods, at),
        _ => spoil_part(&mut snapshot.budgets, at),
    }
}

#[test]
fn every_part_must_be_known_and_fresh() {
    let parts = ["the policies", "the cluster in ARM", "the nodes", "the protected pods", "the disruption budgets"];
    assert_eq!(missing(&cluster()), None);
    for (index, part) in parts.iter().enumerate() {
        for (at, text) in [(None, "no answer"), (Some(ago(301)), "not seen for more than 300 s")] {
            let mut snapshot = cluster();
            spoil(&mut snapshot, index, at);
            let broken = missing(&snapshot).unwrap();
            assert_eq!((broken.rule, broken.standing), (Rule::StaleObservation, Standing::Passing));
            let finding = format!("not everything that safety rests on is known: {part}: {text}");
            assert_eq!(broken.finding, finding);
            assert_eq!(rules(&snapshot, &scale("apps", 3, 4)), [Rule::StaleObservation]);
        }
        let mut snapshot = cluster();
        spoil(&mut snapshot, index, Some(ago(300)));
        assert_eq!(missing(&snapshot), None, "{part}");
    }
}

#[test]
fn all_that_is_missing_is_named_and_long_reasons_are_cut() {
    let mut snapshot = cluster();
    for part in 0..5 {
        spoil(&mut snapshot, part, None);
    }
    assert_eq!(missing(&snapshot).unwrap().finding.matches("no answer").count(), 5);
    snapshot.nodes = Known::unknown("x".repeat(9_000));
    assert!(missing(&snapshot).unwrap().finding.len() < 1_000);
}

#[test]
fn decide_refuses_every_step_of_a_stale_plan() {
    let mut snapshot = cluster();
    edit(&mut snapshot.intents).first_mut().unwrap().count = Some(5);
    edit(&mut snapshot.intents).first_mut().unwrap().mode = Some(Mode::System);
    spoil(&mut snapshot, 3, None);
    let verdicts = decide(&plan(&snapshot, &Settings::default()), &snapshot, &Settings::default());
    assert_eq!(verdicts.len(), 2);
    for verdict in verdicts {
        let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
        assert_eq!(refusal.broken.iter().map(|broken| broken.rule).collect::<Vec<_>>(), [Rule::StaleObservation]);
    }
}

#[test]
fn in_flight_is_what_it_takes_away_and_not_what_it_adds() {
    let folded = |name: &str, step: Step| {
        let mut snapshot = cluster();
        snapshot.in_flight = in_flight([step]);
        let settings = Settings::default();
        let facts = Facts::gather(&snapshot, &settings).unwrap();
        (facts.cluster.pool(name).unwrap().clone(), facts.hoped.pool(name).unwrap().clone())
    };
    let modes = |name: &str, step: Step| {
        let (worst, hoped) = folded(name, step);
        (worst.mode, hoped.mode)
    };
    assert_eq!(modes("apps", promote("apps")), (Mode::User, Mode::System));
    assert_eq!(modes("sys", demote("sys")), (Mode::User, Mode::User));
    let counts = |step: Step| {
        let (worst, hoped) = folded("apps", step);
        (worst.count, hoped.count)
    };
    assert_eq!(counts(scale("apps", 3, 5)), (3, 5));
    assert_eq!(counts(scale("apps", 3, 1)), (1, 1));
    let (worst, hoped) = folded("apps", put_taints("apps", &["a=b:NoSchedule"]));
    assert_eq!((worst.taints.len(), hoped.taints.len()), (1, 1));
    let (worst, hoped) = folded("apps", put_label("apps", "a"));
    assert_eq!((worst.labels.len(), hoped.labels.len()), (0, 1));
    let (worst, hoped) = folded("apps", put_tag("apps", "a"));
    assert_eq!((worst.tags.len(), hoped.tags.len()), (0, 1));
    let (untouched, _) = folded("sys", scale("apps", 3, 1));
    assert_eq!(untouched.count, 3);
}

#[test]
fn taints_in_flight_come_and_do_not_go() {
    let mut cluster = edit(&mut cluster().cluster).clone();
    let pool = cluster.pools.first_mut().unwrap();
    pool.taints = vec![taint("old=1:NoSchedule")];
    let swap = Change::Taints { from: pool.taints.clone(), to: vec![taint("new=1:NoSchedule")] };
    let step = Step { change: swap, ..demote("sys") };
    worsen(&mut cluster, &step);
    let pool = cluster.pools.first_mut().unwrap();
    assert_eq!(pool.taints, [taint("old=1:NoSchedule"), taint("new=1:NoSchedule")]);
    worsen(&mut cluster, &step);
    assert_eq!(cluster.pools.first_mut().unwrap().taints.len(), 2);
}

#[test]
fn a_step_reduces_when_it_takes_something_from_a_system_pool() {
    let critical = "CriticalAddonsOnly=true:NoSchedule";
    for (step, reduces) in [
        (demote("sys"), true),
        (scale("sys", 3, 2), true),
        (scale("sys", 5, 4), true),
        (scale("sys", 1, 2), true),
        (scale("sys", 3, 4), false),
        (scale("sys", 3, 3), false),
        (put_taints("sys", &["a=b:NoSchedule"]), true),
        (put_taints("sys", &[critical, "a=b:PreferNoSchedule"]), false),
        (put_label("sys", "a"), false),
        (put_tag("sys", "a"), false),
        (autoscale("sys", None, Some((3, 5))), false),
        (autoscale("sys", None, Some((2, 5))), true),
        (autoscale("sys", None, Some((2, 2))), true),
        (autoscale("apps", None, Some((0, 5))), false),
        (promote("apps"), false),
        (promote("sys"), false),
        (Step { change: Change::Mode { from: Mode::User, to: Mode::User }, ..demote("sys") }, true),
        (scale("apps", 3, 0), false),
        (put_taints("apps", &["a=b:NoExecute"]), false),
        (scale("gone", 3, 0), false),
    ] {
        let snapshot = cluster();
        let settings = Settings::default();
        assert_eq!(Facts::gather(&snapshot, &settings).unwrap().reduces(&step), reduces, "{step}");
    }
}

#[test]
fn a_write_that_rolls_nodes_without_surge_reduces() {
    for (unavailable, version, reduces) in [("1", "1.34", true), ("0", "1.34", false), ("1", "1.33", false)] {
        let mut snapshot = cluster();
        pool_mut(&mut snapshot, "sys").max_unavailable = Some(unavailable.into());
        pool_mut(&mut snapshot, "sys").requested_version = Some(version.into());
        let settings = Settings::default();
        let facts = Facts::gather(&snapshot, &settings).unwrap();
        for step in [put_label("sys", "a"), put_tag("sys", "a")] {
            assert_eq!(facts.reduces(&step), reduces, "{step} {unavailable} {version}");
        }
    }
}

#[test]
fn a_taint_that_the_pool_has_already_takes_nothing_away() {
    let mut snapshot = cluster();
    pool_mut(&mut snapshot, "sys").taints = vec![taint("a=b:NoSchedule")];
    let settings = Settings::default();
    let facts = Facts::gather(&snapshot, &settings).unwrap();
    assert!(!facts.reduces(&put_taints("sys", &["a=b:NoSchedule"])));
    assert!(facts.reduces(&put_taints("sys", &["a=c:NoSchedule"])));
}

#[test]
fn a_pool_with_several_versions_or_images_is_half_upgraded_only_after_a_failure() {
    type Edit = fn(&mut Node);
    let newer: Edit = |node| node.kubelet_version = "v1.33.6".into();
    let reimaged: Edit = |node| node.image_version = None;
    for (edit_node, state, half) in [
        (newer, ProvisioningState::Failed, true),
        (reimaged, ProvisioningState::Canceled, true),
        (newer, ProvisioningState::Succeeded, false),
        ((|_| ()) as Edit, ProvisioningState::Failed, false),
    ] {
        let mut snapshot = cluster();
        nodes_mut(&mut snapshot, "sys").skip(1).take(1).for_each(edit_node);
        pool_mut(&mut snapshot, "sys").state = state;
        let settings = Settings::default();
        let facts = Facts::gather(&snapshot, &settings).unwrap();
        assert_eq!(facts.is_half_upgraded(facts.observed.pool("sys").unwrap()), half);
        assert!(!facts.is_half_upgraded(facts.observed.pool("apps").unwrap()));
    }
}

#[test]
fn the_autoscaler_is_at_its_worst_what_it_was_or_will_be() {
    let bounds = |min, max| Some(crate::Autoscaling { min, max });
    for (present, to, count, guaranteed) in [
        (None, Some((2, 5)), 2, 2),
        (None, Some((3, 5)), 3, 3),
        (Some((1, 5)), Some((3, 5)), 3, 1),
        (Some((2, 5)), Some((1, 5)), 1, 1),
        (Some((2, 5)), None, 3, 2),
        (Some((2, 5)), Some((2, 2)), 2, 2),
    ] {
        let mut cluster = edit(&mut cluster().cluster).clone();
        cluster.pools[0].autoscaling = present.and_then(|(min, max)| bounds(min, max));
        worsen(&mut cluster, &autoscale("sys", present, to));
        let pool = &cluster.pools[0];
        assert_eq!((pool.count, pool.guaranteed_count()), (count, guaranteed), "{present:?} {to:?}");
    }
}

#[test]
fn of_several_writes_in_flight_on_a_pool_the_gravest_is_what_it_is_in_the_middle_of() {
    let version = Change::Version { from: None, to: crate::version::Version { major: 1, minor: 34, patch: None } };
    let step = |change: Change| Step { policy: "p".into(), pool: "apps".into(), change };
    let mut steps = vec![step(Change::Delete), step(Change::Stop), step(version), step(Change::Start)];
    for state in ["Deleting", "Stopping", "Upgrading"] {
        for _ in 0..2 {
            steps.reverse();
            let mut snapshot = cluster();
            snapshot.in_flight = in_flight(steps.clone());
            let settings = Settings::default();
            let facts = Facts::gather(&snapshot, &settings).ok().unwrap();
            assert_eq!(facts.cluster.pool("apps").unwrap().state, ProvisioningState::Busy(state.to_owned()));
        }
        steps.remove(0);
    }
}
