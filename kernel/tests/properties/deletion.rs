//! A pool goes only with a policy that asks for it, alone, and takes nothing along that nobody allowed.

use nodepool_kernel::{
    Aim, Change, Deletion, Enforcement, Intent, Known, Mode, Settings, Snapshot, Step, Verdict, decide, guard, plan,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;
use crate::clusters::{NOW, ago, cluster, cluster_and_step};
use crate::drained::cluster_and_drain;

fn intents(snapshot: &Snapshot) -> &[Intent] {
    snapshot.intents.value().unwrap()
}

fn approved(snapshot: &Snapshot) -> Vec<Step> {
    let settings = Settings::default();
    let verdicts = decide(&plan(snapshot, &settings), snapshot, &settings);
    verdicts
        .into_iter()
        .filter_map(|verdict| if let Verdict::Approved(step) = verdict { Some(step.into_inner()) } else { None })
        .collect()
}

/// Whether the step takes all nodes of a user pool away on which something depends, or may, and nobody allowed it.
fn takes_along(snapshot: &Snapshot, step: &Step) -> bool {
    let Some(pool) = snapshot.cluster.value().unwrap().pool(&step.pool) else { return false };
    let goes = matches!(step.change, Change::Delete | Change::Stop | Change::Count { to: 0, .. });
    let empties = (goes || step.change.aim() == Some(Aim::Deletion)) && pool.count > 0;
    let allowed = intents(snapshot).iter().any(|intent| intent.policy == step.policy && intent.may_lose_workloads);
    let nothing = snapshot.dependents.get(&step.pool) == Some(&Known::seen(NOW, vec![]));
    empties && pool.mode != Mode::System && !allowed && !nothing
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn only_a_policy_that_asks_for_it_deletes_its_pool(
        (snapshot, step) in prop_oneof![cluster_and_step().boxed(), cluster_and_drain().boxed()],
        asks in prop::option::of(select(vec![None, Some(Deletion::Orphan)])),
    ) {
        let leads = step.change == Change::Delete || step.change.aim() == Some(Aim::Deletion);
        let mut snapshot = snapshot;
        if let Some(asks) = asks {
            let mut intents = intents(&snapshot).to_vec();
            for intent in &mut intents {
                intent.deletion = asks;
            }
            snapshot.intents = Known::seen(NOW, intents);
        }
        if !leads || guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            return Ok(());
        }
        let named: Vec<&Intent> = intents(&snapshot).iter().filter(|intent| intent.pool == step.pool).collect();
        prop_assert_eq!(named.len(), 1, "{:?}", named);
        prop_assert_eq!(named[0].deletion, Some(Deletion::Delete));
        prop_assert!(!named[0].suspended && named[0].enforcement == Enforcement::Enforce);
    }

    #[test]
    fn nothing_that_depends_on_a_pool_is_taken_along(
        (snapshot, step) in prop_oneof![cluster_and_step().boxed(), cluster_and_drain().boxed()],
        depends in any::<bool>(),
    ) {
        let mut snapshot = snapshot;
        if depends {
            snapshot.dependents.clear();
        }
        if guard(step.clone(), &snapshot, &Settings::default()).is_ok() {
            prop_assert!(!takes_along(&snapshot, &step), "{step}");
        }
        for step in approved(&snapshot) {
            prop_assert!(!takes_along(&snapshot, &step), "{step}");
        }
    }

    #[test]
    fn dependents_that_are_not_known_never_approve_more((snapshot, step) in cluster_and_step(), how in 0..3_u8) {
        let mut degraded = snapshot.clone();
        match how {
            0 => degraded.dependents.clear(),
            1 => degraded.dependents.values_mut().for_each(|known| *known = Known::unknown("no answer")),
            _ => for known in degraded.dependents.values_mut() {
                if let Known::Seen { at, .. } = known {
                    *at = ago(301);
                }
            },
        }
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
        }
    }

    #[test]
    fn no_pass_lets_two_user_pools_rely_on_each_others_room(snapshot in cluster()) {
        let emptied = |step: &&Step| {
            let is_user = snapshot.cluster.value().unwrap().pool(&step.pool).is_some_and(|pool| pool.mode != Mode::System);
            let allowed = intents(&snapshot).iter().any(|it| it.policy == step.policy && it.may_lose_workloads);
            step.change.empties() && is_user && !allowed
        };
        let steps = approved(&snapshot);
        prop_assert!(steps.iter().filter(emptied).count() <= 1, "{steps:?}");
    }

    #[test]
    fn what_is_not_known_lets_no_object_go(snapshot in cluster(), gone in any::<bool>(), old in any::<bool>()) {
        let mut degraded = snapshot;
        if gone {
            let mut cluster = degraded.cluster.value().unwrap().clone();
            cluster.pools.clear();
            degraded.cluster = Known::seen(NOW, cluster);
        }
        let told = degraded.cluster.value().unwrap().clone();
        degraded.cluster = if old { Known::seen(ago(301), told) } else { Known::unknown("no answer") };
        for policy in plan(&degraded, &Settings::default()).policies {
            prop_assert!(policy.release.is_none_or(|release| release.orphans()), "{}", policy.policy);
        }
    }

    #[test]
    fn an_object_that_is_let_go_asks_for_nothing(snapshot in cluster()) {
        for policy in plan(&snapshot, &Settings::default()).policies {
            let intent = intents(&snapshot).iter().find(|intent| intent.policy == policy.policy).unwrap();
            prop_assert!(policy.release.is_none() || (policy.steps.is_empty() && intent.deletion.is_some()));
        }
    }
}
