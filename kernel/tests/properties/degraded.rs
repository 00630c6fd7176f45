//! Less information never approves more.

use nodepool_kernel::{Known, Readiness, Settings, Snapshot, Time, Verdict, decide, given_up, guard, plan};
use proptest::prelude::*;

use crate::cases;
use crate::clusters::{NOW, ago, cluster, cluster_and_step};

/// The part unknown, or seen at another time.
fn spoil<T: Clone>(known: &mut Known<T>, at: Option<Time>) {
    *known = match (at, known.value()) {
        (Some(at), Some(value)) => Known::seen(at, value.clone()),
        _ => Known::unknown("no answer"),
    };
}

fn spoil_part(snapshot: &mut Snapshot, part: usize, at: Option<Time>) {
    match part {
        0 => spoil(&mut snapshot.intents, at),
        1 => spoil(&mut snapshot.cluster, at),
        2 => spoil(&mut snapshot.nodes, at),
        3 => spoil(&mut snapshot.pods, at),
        4 => spoil(&mut snapshot.budgets, at),
        5 => spoil(&mut snapshot.workloads, at),
        6 => spoil(&mut snapshot.paused, at),
        _ => spoil(&mut snapshot.issuer, at),
    }
}

/// The snapshot with its nodes changed.
fn with_nodes(snapshot: &Snapshot, edit: impl Fn(usize, &mut nodepool_kernel::Node)) -> Snapshot {
    let mut nodes = snapshot.nodes.value().unwrap().clone();
    for (index, node) in nodes.iter_mut().enumerate() {
        edit(index, node);
    }
    Snapshot { nodes: Known::seen(NOW, nodes), ..snapshot.clone() }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn nothing_passes_while_a_part_is_unknown_or_too_old((snapshot, step) in cluster_and_step(), part in 0..7_usize, old in any::<bool>()) {
        let mut degraded = snapshot;
        spoil_part(&mut degraded, part, old.then(|| ago(301)));
        prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
    }

    #[test]
    fn an_older_view_never_approves_more((snapshot, step) in cluster_and_step(), part in 0..8_usize, age in 0_i64..400) {
        let mut degraded = snapshot.clone();
        spoil_part(&mut degraded, part, Some(ago(age)));
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
        }
    }

    #[test]
    fn nothing_passes_while_all_writes_are_paused_or_nobody_knows(snapshot in cluster(), known in any::<bool>()) {
        let paused = if known { Known::seen(NOW, true) } else { Known::unknown("no answer") };
        let held = Snapshot { paused, ..snapshot };
        let settings = Settings::default();
        let planned = plan(&held, &settings);
        let verdicts = decide(&planned, &held, &settings);
        prop_assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Approved(_))), "{verdicts:?}");
        prop_assert_eq!(given_up(&planned, &verdicts, &held, &settings), vec![]);
    }

    #[test]
    fn an_unknown_issuer_never_approves_more((snapshot, step) in cluster_and_step()) {
        let mut degraded = snapshot.clone();
        spoil_part(&mut degraded, 7, None);
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
        }
    }

    #[test]
    fn nodes_that_are_worth_less_never_approve_more((snapshot, step) in cluster_and_step(), which in any::<u64>(), how in 0..4_u8, age in select_age()) {
        let degraded = with_nodes(&snapshot, |index, node| {
            if which >> (index % 64) & 1 == 0 {
                return;
            }
            match how {
                0 => node.readiness = Readiness::NotReady { since: ago(age) },
                1 => node.cordoned = true,
                2 => node.labelled_system = false,
                _ => node.deleting = true,
            }
        });
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err(), "{degraded:?}");
        }
    }

    #[test]
    fn add_ons_that_are_worth_less_never_approve_more((snapshot, step) in cluster_and_step(), how in 0..4_u8) {
        let mut workloads = snapshot.workloads.value().unwrap().clone();
        for workload in &mut workloads {
            match how {
                0 => workload.ready = 0,
                1 => workload.updated = 1,
                2 => workload.well_since = None,
                _ => workload.well_since = Some(NOW),
            }
        }
        let degraded = Snapshot { workloads: Known::seen(NOW, workloads), ..snapshot.clone() };
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
        }
    }

    #[test]
    fn pools_that_are_known_less_well_never_approve_more((snapshot, step) in cluster_and_step(), which in 0..5_usize, how in 0..3_u8) {
        let mut cluster = snapshot.cluster.value().unwrap().clone();
        for pool in cluster.pools.iter_mut().skip(which).take(1) {
            match how {
                0 => pool.requested_version = None,
                1 => pool.current_version = None,
                _ => pool.max_unavailable = Some("?".into()),
            }
        }
        let degraded = Snapshot { cluster: Known::seen(NOW, cluster), ..snapshot.clone() };
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
        }
    }
}

fn select_age() -> impl Strategy<Value = i64> {
    proptest::sample::select(vec![1, 30, 900])
}
