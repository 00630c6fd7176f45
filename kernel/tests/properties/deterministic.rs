//! The order in which facts come decides nothing, and no facts make the kernel panic.

use nodepool_kernel::{Known, Rows, Settings, Snapshot, Span, Time, decide, plan};
use proptest::prelude::*;

use crate::cases;
use crate::clusters::{NOW, cluster};
use crate::places::with_places;

/// The snapshot with everything in an order that `seed` decides.
fn shuffled(snapshot: &Snapshot, seed: u64) -> Snapshot {
    fn shuffle<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
        let mut items = items.to_vec();
        let mut state = seed | 1;
        for index in (1..items.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            items.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        items
    }
    fn rows<T: Clone>(known: &Known<Rows<T>>) -> Vec<T> {
        known.value().unwrap().iter().cloned().collect()
    }
    let mut cluster = snapshot.cluster.value().unwrap().clone();
    cluster.pools = shuffle(&cluster.pools, seed);
    Snapshot {
        intents: Known::seen(NOW, shuffle(snapshot.intents.value().unwrap(), seed)),
        cluster: Known::seen(NOW, cluster),
        nodes: Known::seen(NOW, shuffle(&rows(&snapshot.nodes), seed).into()),
        pods: Known::seen(NOW, shuffle(&rows(&snapshot.pods), seed).into()),
        budgets: Known::seen(NOW, shuffle(snapshot.budgets.value().unwrap(), seed)),
        in_flight: shuffle(&snapshot.in_flight, seed),
        dependents: snapshot.dependents.clone(),
        ..snapshot.clone()
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn plan_and_verdicts_do_not_depend_on_order(snapshot in cluster(), seed in any::<u64>()) {
        let other = shuffled(&snapshot, seed);
        let settings = Settings::default();
        let (planned, replanned) = (plan(&snapshot, &settings), plan(&other, &settings));
        prop_assert_eq!(&planned, &replanned);
        prop_assert_eq!(decide(&planned, &snapshot, &settings), decide(&replanned, &other, &settings));
        let (snapshot, other) = (with_places(&snapshot, seed), with_places(&other, seed));
        prop_assert_eq!(decide(&planned, &snapshot, &settings), decide(&replanned, &other, &settings));
    }

    #[test]
    fn every_planned_step_gets_one_verdict(snapshot in cluster(), limit in 0..4_usize) {
        let planned = plan(&snapshot, &Settings::default());
        let settings = Settings { steps_in_parallel: limit, ..Settings::default() };
        let own = planned.policies.iter().flat_map(|policy| &policy.steps);
        let mut steps: Vec<String> = own.chain(&planned.left_behind).map(ToString::to_string).collect();
        let mut judged: Vec<String> = decide(&planned, &snapshot, &settings).iter().map(|verdict| verdict.step().to_string()).collect();
        steps.sort();
        judged.sort();
        prop_assert_eq!(steps, judged);
    }

    #[test]
    fn extreme_numbers_do_not_panic(
        snapshot in cluster(),
        counts in any::<[u32; 4]>(),
        times in any::<[i64; 4]>(),
        spans in any::<[u64; 2]>(),
    ) {
        let mut extreme = snapshot;
        let [now, seen, since, joined] = times.map(Time::from_millis);
        let mut cluster = extreme.cluster.value().unwrap().clone();
        for (pool, count) in cluster.pools.iter_mut().zip(counts) {
            (pool.count, pool.max_unavailable) = (count, Some(format!("{count}%")));
        }
        let mut nodes = extreme.nodes.value().unwrap().clone();
        for node in &mut nodes {
            (node.readiness, node.joined) = (nodepool_kernel::Readiness::Ready { since }, joined);
        }
        (extreme.now, extreme.cluster, extreme.nodes) = (now, Known::seen(now, cluster), Known::seen(seen, nodes));
        let [ready_for, stale_after] = spans.map(Span::from_millis);
        let settings = Settings {
            min_ready_system_nodes: u32::MAX, ready_for, stale_after, steps_in_parallel: usize::MAX, repairs: u32::MAX,
            priority_after: stale_after, add_ons_stable_for: ready_for, ..Settings::default()
        };
        let _ = decide(&plan(&extreme, &settings), &extreme, &settings);
    }
}
