//! However deletions, stops and scale-ins come, in whatever order and with whatever crashes: never more pools within any
//! window than may be, beyond those that a person let pass.

use std::collections::BTreeSet;

use nodepool_kernel::{
    BulkChange, BulkKind, Change, Deletion, Enforcement, InFlight, Intent, Known, Mode, PoolKind, Power, PowerWish,
    ProvisioningState, Rows, Settings, Snapshot, Span, Step, Time, Verdict, decide, plan,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;
use crate::clusters::{NOW, cluster};

/// What happens next.
#[derive(Debug, Clone)]
enum Turn {
    /// The operator makes a pass, and of what it approves so many are carried out before it stops.
    Pass(usize),
    /// Time goes by, in seconds.
    Wait(u64),
    /// A process begins anew: it knows what was recorded, and nothing of what is on its way.
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (0..4_usize).prop_map(Turn::Pass),
        2 => select(vec![1_u64, 30, 59, 60, 61]).prop_map(Turn::Wait),
        1 => Just(Turn::Restart),
    ]
}

/// All policies ask for as much as they can.
fn greedy(snapshot: Snapshot, wishes: &[BulkKind]) -> Snapshot {
    let mut all = snapshot.cluster.value().unwrap().clone();
    let mut intents: Vec<Intent> = snapshot.intents.value().unwrap().iter().take(1).cloned().collect();
    let Some(first) = intents.pop() else { return snapshot };
    let pools = all.pools.iter_mut().zip(wishes.iter().cycle());
    let intents = pools.map(|(pool, wish)| {
        (pool.mode, pool.kind, pool.power) = (Mode::User, PoolKind::ScaleSet, Power::Running);
        (pool.state, pool.failure) = (ProvisioningState::Succeeded, None);
        pool.count = pool.count.max(1);
        Intent {
            policy: pool.name.clone(),
            pool: pool.name.clone(),
            mode: None,
            autoscaling: None,
            count: (*wish == BulkKind::Emptied).then_some(0),
            power: (*wish == BulkKind::Stopped).then_some(PowerWish::Stopped),
            deletion: (*wish == BulkKind::Deleted).then_some(Deletion::Delete),
            may_lose_workloads: true,
            may_exceed_fuse: false,
            break_glass: None,
            attempt: None,
            enforcement: Enforcement::Enforce,
            suspended: false,
            ..first.clone()
        }
    });
    let intents: Vec<Intent> = intents.collect();
    all.state = ProvisioningState::Succeeded;
    let (intents, cluster, pods) =
        (Known::seen(NOW, intents), Known::seen(NOW, all), Known::seen(NOW, Rows::default()));
    Snapshot { intents, cluster, pods, in_flight: vec![], ..snapshot }
}

/// Moves everything that was seen to another time.
fn at(mut snapshot: Snapshot, now: Time) -> Snapshot {
    fn seen<T: Clone>(known: &mut Known<T>, now: Time) {
        if let Some(value) = known.value() {
            *known = Known::seen(now, value.clone());
        }
    }
    snapshot.now = now;
    seen(&mut snapshot.paused, now);
    seen(&mut snapshot.bulk, now);
    seen(&mut snapshot.intents, now);
    seen(&mut snapshot.cluster, now);
    seen(&mut snapshot.issuer, now);
    seen(&mut snapshot.nodes, now);
    seen(&mut snapshot.pods, now);
    seen(&mut snapshot.budgets, now);
    seen(&mut snapshot.workloads, now);
    snapshot.dependents.values_mut().for_each(|known| seen(known, now));
    snapshot
}

fn approved(snapshot: &Snapshot, settings: &Settings) -> Vec<Step> {
    let verdicts = decide(&plan(snapshot, settings), snapshot, settings);
    let steps = verdicts.into_iter().filter_map(|verdict| match verdict {
        Verdict::Approved(step) => Some(step.into_inner()),
        Verdict::Waits { .. } | Verdict::Refused(_) => None,
    });
    steps.filter(|step| BulkKind::of(&step.change).is_some()).collect()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn never_more_pools_go_within_a_window_than_may(
        snapshot in cluster(),
        wishes in prop::collection::vec(select(BulkKind::ALL.to_vec()), 1..5),
        turns in prop::collection::vec(turn(), 1..20),
        most in 1_usize..4,
    ) {
        let window = Span::from_secs(60);
        let settings = Settings { bulk_changes: most, bulk_window: window, ..Settings::default() };
        let mut snapshot = greedy(snapshot, &wishes);
        let mut made: Vec<(String, Time)> = vec![];
        for turn in turns {
            match turn {
                Turn::Wait(seconds) => {
                    let now = snapshot.now.after(Span::from_secs(seconds));
                    snapshot = at(snapshot, now);
                }
                Turn::Restart => {
                    // What was made has ended, and its policy has what it wants, or is gone.
                    snapshot.in_flight.clear();
                    let mut intents = snapshot.intents.value().unwrap().clone();
                    intents.retain(|intent| !made.iter().any(|(pool, _)| *pool == intent.pool));
                    snapshot.intents = Known::seen(snapshot.now, intents);
                }
                Turn::Pass(number) => {
                    for step in approved(&snapshot, &settings).into_iter().take(number) {
                        // It is recorded first, and then made.
                        let kind = BulkKind::of(&step.change).unwrap();
                        let (pool, now) = (step.pool.clone(), snapshot.now);
                        let record = BulkChange { pool: pool.clone(), policy: step.policy.clone(), kind, at: now, told: String::new() };
                        let mut bulk = snapshot.bulk.value().unwrap().clone();
                        bulk.push(record);
                        snapshot.bulk = Known::seen(now, bulk);
                        made.push((pool, now));
                        snapshot.in_flight.push(InFlight { step, since: now });
                    }
                }
            }
        }
        for (_, from) in &made {
            let within = made.iter().filter(|(_, at)| at >= from && at.since(*from) < window);
            let pools: BTreeSet<&str> = within.map(|(pool, _)| pool.as_str()).collect();
            prop_assert!(pools.len() <= most, "{most} may: {made:?}");
        }
    }

    #[test]
    fn what_is_not_known_of_the_window_lets_nothing_go(snapshot in cluster(), wishes in prop::collection::vec(select(BulkKind::ALL.to_vec()), 1..5)) {
        let unread = Snapshot { bulk: Known::unknown("no answer"), ..greedy(snapshot, &wishes) };
        for step in approved(&unread, &Settings::default()) {
            prop_assert!(!matches!(step.change, Change::Delete | Change::Stop), "{step}");
            prop_assert!(BulkKind::of(&step.change).is_none(), "{step}");
        }
    }
}
