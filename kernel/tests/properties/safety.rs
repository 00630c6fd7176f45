//! What is approved is safe.

use nodepool_kernel::{Settings, Snapshot, Step, Verdict, decide, guard, plan};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::cases;
use crate::clusters::{cluster, cluster_and_step};
use crate::drained::cluster_and_drain;
use crate::oracle::{Oracle, Strength};
use crate::places::with_places;

fn approved(snapshot: &Snapshot, settings: &Settings) -> Vec<Step> {
    let verdicts = decide(&plan(snapshot, settings), snapshot, settings);
    verdicts
        .into_iter()
        .filter_map(|verdict| if let Verdict::Approved(step) = verdict { Some(step.into_inner()) } else { None })
        .collect()
}

/// Whether what must remain does: nothing was lost, or enough is left.
fn is_kept(before: Strength, after: Strength, floor: i64) -> bool {
    let lost_nothing = after.usable >= before.usable && after.healthy >= before.healthy;
    lost_nothing || (after.healthy >= 1 && after.usable >= floor)
}

proptest! {
    #![proptest_config(cases(1200))]

    #[test]
    fn a_pass_leaves_a_healthy_system_pool_and_the_floor(snapshot in cluster(), floor in 0_u32..4) {
        let settings = Settings { min_ready_system_nodes: floor, ..Settings::default() };
        let steps = approved(&snapshot, &settings);
        let oracle = Oracle::new(&snapshot);
        let mut made: Vec<&Step> = vec![];
        for step in &steps {
            let before = oracle.strength(&step.pool, &made);
            made.push(step);
            let after = oracle.strength(&step.pool, &made);
            prop_assert!(is_kept(before, after, floor.into()), "{step}: {before:?} to {after:?}");
        }
    }

    #[test]
    fn a_pass_evicts_no_protected_pod(snapshot in cluster()) {
        let oracle = Oracle::new(&snapshot);
        for step in approved(&snapshot, &Settings::default()) {
            let victims = oracle.victims(&step);
            prop_assert!(victims.is_empty(), "{step}: {victims:?}");
        }
    }

    #[test]
    fn no_system_pool_loses_anything_while_names_are_not_resolved(snapshot in cluster()) {
        let oracle = Oracle::new(&snapshot);
        let coredns = &snapshot.workloads.value().unwrap()[0];
        let stable = coredns.well_since.is_some_and(|since| snapshot.now.since(since).as_secs() >= 30);
        let well = coredns.ready >= 2 && coredns.updated >= 2 && stable;
        let mut made: Vec<&Step> = vec![];
        let steps = approved(&snapshot, &Settings::default());
        for step in &steps {
            let before = oracle.strength(&step.pool, &made);
            made.push(step);
            let after = oracle.strength(&step.pool, &made);
            prop_assert!(well || after.usable >= before.usable, "{step}: {before:?} to {after:?}");
        }
    }

    #[test]
    fn a_single_step_is_judged_as_strictly((snapshot, step) in cluster_and_step(), floor in 0_u32..4) {
        let settings = Settings { min_ready_system_nodes: floor, ..Settings::default() };
        if guard(step.clone(), &snapshot, &settings).is_ok() {
            let oracle = Oracle::new(&snapshot);
            let (before, after) = (oracle.strength(&step.pool, &[]), oracle.strength(&step.pool, &[&step]));
            prop_assert!(is_kept(before, after, floor.into()), "{before:?} to {after:?}");
            prop_assert!(oracle.victims(&step).is_empty());
        }
    }

    #[test]
    fn a_drain_is_judged_as_strictly((snapshot, step) in cluster_and_drain(), floor in 0_u32..4) {
        let settings = Settings { min_ready_system_nodes: floor, ..Settings::default() };
        let snapshot = with_places(&snapshot, floor.into());
        if guard(step.clone(), &snapshot, &settings).is_ok() {
            let oracle = Oracle::new(&snapshot);
            let (before, after) = (oracle.strength(&step.pool, &[]), oracle.strength(&step.pool, &[&step]));
            prop_assert!(is_kept(before, after, floor.into()), "{step}: {before:?} to {after:?}");
            prop_assert!(oracle.victims(&step).is_empty(), "{step}");
        }
    }

    #[test]
    fn a_pool_gets_one_write_a_pass_and_none_while_one_is_in_flight(snapshot in cluster()) {
        let steps = approved(&snapshot, &Settings::default());
        let mut busy: Vec<&str> = snapshot.in_flight.iter().map(|write| write.step.pool.as_str()).collect();
        // To open nodes is no write to ARM.
        for step in steps.iter().filter(|step| !step.change.ends_drain()) {
            prop_assert!(!busy.contains(&step.pool.as_str()), "{step}");
            busy.push(&step.pool);
        }
    }
}

/// The properties above mean something only if the clusters are such that steps of all kinds pass and are refused.
#[test]
fn the_clusters_are_worth_judging() {
    let mut runner = TestRunner::new_with_rng(cases(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut reducing, mut other, mut refused) = (0, 0, 0);
    for _ in 0..3000 {
        let (snapshot, step) = cluster_and_step().new_tree(&mut runner).unwrap().current();
        let oracle = Oracle::new(&snapshot);
        let reduces = oracle.strength(&step.pool, &[&step]).usable < oracle.strength(&step.pool, &[]).usable;
        match guard(step, &snapshot, &Settings::default()) {
            Ok(_) if reduces => reducing += 1,
            Ok(_) => other += 1,
            Err(_) => refused += 1,
        }
    }
    let mut drains = std::collections::BTreeMap::new();
    for seed in 0..5000 {
        let (snapshot, step) = cluster_and_drain().new_tree(&mut runner).unwrap().current();
        let snapshot = with_places(&snapshot, seed);
        let kind = step.change.to_string().split(' ').next().unwrap_or_default().to_owned();
        let passes = guard(step, &snapshot, &Settings::default()).is_ok();
        *drains.entry((kind, passes)).or_insert(0_u32) += 1;
    }
    let least = drains.values().min().copied().unwrap_or_default();
    assert!(drains.len() == 6 && least > 5, "{drains:?}");
    assert!(reducing > 20 && other > 300 && refused > 1000, "{reducing} reducing, {other} other, {refused} refused");
}
