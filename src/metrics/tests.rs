//! What the figures tell of a small cluster, phase by phase, as it is read by others.

#![expect(clippy::float_cmp, reason = "what is compared is a whole number, which a float has exactly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodepool_kernel::{InFlight, Known, Mode, ProvisioningState, Settings, Snapshot, Time, Verdict, decide, plan};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;

use super::Figures;
use crate::api::{
    Condition, ConditionStatus, NodePoolPolicy, NodePoolPolicyStatus, ObservedPool, Operation, condition,
};
use crate::clock::now;
use crate::observe::{Room, Sight, Store, Tenancies};
use crate::report::tests::{NOW, policy, pool, world};
use crate::report::{Capacity, Survey};

/// The series by name and labels. What hangs on the time at which they are read is left to the tests of ages.
fn read(figures: &Figures) -> BTreeMap<String, f64> {
    let mut registry = Registry::default();
    figures.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// The series of these metrics that are not 0.
fn nonzero(figures: &Figures, metrics: &[&str]) -> Vec<String> {
    let series = read(figures).into_iter().filter(|(_, value)| *value != 0.0);
    let is_of = |series: &str| metrics.contains(&series.split('{').next().unwrap_or_default());
    series.filter(|(series, _)| is_of(series)).map(|(series, value)| format!("{series} {value}")).collect()
}

fn figures(policies: Vec<NodePoolPolicy>) -> Figures {
    Figures::new(Arc::new(Store::of_policies(policies, now())), &Settings::default())
}

fn pass(figures: &Figures, snapshot: &Snapshot) {
    figures.begin();
    let settings = Settings::default();
    figures.observe(snapshot, &decide(&plan(snapshot, &settings), snapshot, &settings));
}

fn with_status(name: &str, conditions: &[(&str, ConditionStatus, &str, Time)]) -> NodePoolPolicy {
    let of = |(type_, status, reason, since): &(&str, ConditionStatus, &str, Time)| Condition {
        type_: (*type_).to_owned(),
        status: *status,
        reason: (*reason).to_owned(),
        message: String::new(),
        last_transition_time: jiff::Timestamp::from_millisecond(since.as_millis()).unwrap().to_string(),
        observed_generation: 4,
    };
    let conditions = conditions.iter().map(of).collect();
    let status = Some(NodePoolPolicyStatus { conditions, ..Default::default() });
    NodePoolPolicy { status, ..policy(name, json!({})) }
}

#[test]
fn a_process_that_stands_by_tells_nothing_of_passes() {
    let idle = read(&figures(vec![]));
    assert!(idle.keys().all(|series| series.starts_with("refusals_total{")), "{idle:?}");
    assert!(idle.values().all(|count| *count == 0.0), "{idle:?}");
}

#[test]
fn policies_are_counted_by_state_and_the_oldest_state_tells_its_age() {
    let (long_ago, lately) = (Time::from_millis(now().as_millis() - 900_000), now());
    let stalled = |name, since| {
        let safe = (condition::SAFE, ConditionStatus::True, "NothingRefused", since);
        with_status(name, &[(condition::STALLED, ConditionStatus::True, "PoolFailed", since), safe])
    };
    let drifted = (condition::IN_SYNC, ConditionStatus::False, "Drifted", lately);
    let ready = with_status("c", &[(condition::READY, ConditionStatus::True, "ObserveOnly", lately), drifted]);
    let figures = figures(vec![stalled("a", lately), stalled("b", long_ago), ready]);
    pass(&figures, &world(&policy("apps", json!({})), |_| {}));
    assert_eq!(
        nonzero(&figures, &["policies", "policies_out_of_sync"]),
        [
            r#"policies_out_of_sync{reason="drifted"} 1"#,
            r#"policies{state="observe_only"} 1"#,
            r#"policies{state="stalled"} 2"#
        ]
    );
    let ages = read(&figures);
    assert!((900.0..960.0).contains(&ages[r#"policy_state_age_seconds{state="stalled"}"#]), "{ages:?}");
    assert_eq!(ages[r#"policy_state_age_seconds{state="refused"}"#], 0.0);
}

#[test]
fn a_policy_is_counted_with_each_rule_that_it_breaks_until_the_step_is_under_way() {
    let figures = figures(vec![]);
    let mut refused = world(&policy("system", json!({"mode": "User"})), |_| {});
    pass(&figures, &refused);
    let found = nonzero(&figures, &["policies_refused"]);
    assert!(
        found.contains(&r#"policies_refused{rule="LastHealthySystemPool",standing="lasting"} 1"#.into()),
        "{found:?}"
    );
    assert!(found.iter().all(|series| series.ends_with(" 1")), "{found:?}");
    let settings = Settings::default();
    let verdicts = decide(&plan(&refused, &settings), &refused, &settings);
    let in_flight = |verdict: &Verdict| InFlight { step: verdict.step().clone(), since: NOW };
    refused.in_flight = verdicts.iter().map(in_flight).collect();
    figures.observe(&refused, &verdicts);
    assert_eq!(nonzero(&figures, &["policies_refused"]), Vec::<String>::new());
}

#[test]
fn operations_are_counted_by_who_began_them() {
    let operation = |kind: &str, pool: &str, by: &str| {
        let operation = Operation { kind: kind.into(), started_by: by.into(), ..Default::default() };
        let pool = ObservedPool { name: pool.into(), ..Default::default() };
        let status = Some(NodePoolPolicyStatus { operation: Some(operation), pool: Some(pool), ..Default::default() });
        NodePoolPolicy { status, ..policy(kind, json!({})) }
    };
    let figures = figures(vec![
        operation("Scaling", "apps", Operation::THIS_POLICY),
        operation("Upgrading", "system", Operation::UNKNOWN),
        operation(Operation::DRAINING, "other", Operation::THIS_POLICY),
    ]);
    let busy = |snapshot: &mut Snapshot| {
        let Known::Seen { value: cluster, .. } = &mut snapshot.cluster else { panic!() };
        cluster.pools.iter_mut().for_each(|pool| pool.state = ProvisioningState::Busy("Scaling".into()));
        cluster.pools.push(pool("other", Mode::User, 1));
    };
    pass(&figures, &world(&policy("apps", json!({})), busy));
    assert_eq!(
        nonzero(&figures, &["operations_running", "drains_running", "pools", "pools_without_policy"]),
        [
            "drains_running 1",
            r#"operations_running{started_by="operator"} 1"#,
            r#"operations_running{started_by="others"} 1"#,
            "pools_without_policy 2",
            r#"pools{mode="system"} 1"#,
            r#"pools{mode="user"} 2"#
        ]
    );
    pass(&figures, &world(&policy("apps", json!({})), |snapshot| snapshot.cluster = Known::unknown("no answer")));
    assert_eq!(nonzero(&figures, &["pools", "operations_running"]), Vec::<String>::new(), "not seen, not told");
}

fn carries(figures: &Figures, snapshot: &Snapshot, sight: &Sight) {
    let settings = Settings::default();
    let image_may_be = nodepool_kernel::Span::from_secs(1);
    figures.can_carry(&Capacity::of(&Survey { snapshot, sight, settings: &settings, image_may_be, generation: 1 }));
}

#[test]
fn what_the_system_pools_carry_is_told_while_it_is_seen() {
    let figures = figures(vec![]);
    let offers = Some(Room { cpu: 1900, memory: 4 << 30, pods: 30 });
    let tenants = Tenancies { offers, tenants: Known::seen(NOW, vec![]) };
    let tenancies = [("system-0".to_owned(), tenants.clone()), ("system-1".to_owned(), tenants)].into();
    let snapshot = world(&policy("apps", json!({})), |_| {});
    pass(&figures, &snapshot);
    carries(&figures, &snapshot, &Sight { tenancies, restarting: vec![] });
    let numbers = read(&figures);
    for (series, value) in [
        ("system_pools_healthy", 1.0),
        ("system_nodes_usable", 2.0),
        ("system_nodes_guaranteed", 2.0),
        ("system_nodes_floor", 2.0),
        ("system_headroom_cpu_cores", 3.8),
        ("system_headroom_memory_bytes", 8.0 * f64::from(1 << 30)),
        ("system_headroom_pods", 60.0),
        ("system_allocatable_cpu_cores", 3.8),
    ] {
        assert!((numbers[series] - value).abs() < 1e-9, "{series}: {numbers:?}");
    }
    carries(&figures, &snapshot, &Sight::default());
    let numbers = read(&figures);
    assert!(numbers.contains_key("system_nodes_usable") && !numbers.contains_key("system_headroom_cpu_cores"));
    let blind = world(&policy("apps", json!({})), |snapshot| snapshot.nodes = Known::unknown("no answer"));
    carries(&figures, &blind, &Sight::default());
    let numbers = read(&figures);
    assert!(!numbers.contains_key("system_nodes_usable") && !numbers.contains_key("system_pools_healthy"));
    assert_eq!(numbers["system_nodes_floor"], 2.0);
}

#[test]
fn a_view_ages_from_when_it_was_seen_or_from_the_first_pass_on() {
    let figures = figures(vec![]);
    let age = |numbers: &BTreeMap<String, f64>, source: &str| {
        numbers[&format!(r#"observation_age_seconds{{source="{source}"}}"#)]
    };
    pass(&figures, &world(&policy("apps", json!({})), |snapshot| snapshot.cluster = Known::unknown("no answer")));
    let numbers = read(&figures);
    assert!(age(&numbers, "arm") < 60.0 && age(&numbers, "nodes") < 60.0, "{numbers:?}");
    assert_eq!(age(&numbers, "policies"), 0.0, "its watch is connected");
    let seen = |snapshot: &mut Snapshot| {
        let Known::Seen { at, .. } = &mut snapshot.cluster else { panic!() };
        *at = Time::from_millis(now().as_millis() - 400_000);
    };
    pass(&figures, &world(&policy("apps", json!({})), seen));
    assert!((400.0..460.0).contains(&age(&read(&figures), "arm")));
    assert_eq!(read(&figures)["observation_age_limit_seconds"], 300.0);
    assert_eq!(read(&figures)["pass_duration_seconds_count"], 2.0);
}

#[test]
fn the_last_pass_ages_while_one_hangs() {
    let figures = figures(vec![]);
    figures.begin();
    let age = || read(&figures)["last_pass_age_seconds"];
    let (before, between) = (age(), Instant::now());
    while between.elapsed() < Duration::from_millis(2) {
        std::thread::yield_now();
    }
    let at_least = between.elapsed().as_secs_f64();
    assert!(age() >= before + at_least, "{before} s, and {at_least} s more");
    assert!(!read(&figures).contains_key("pass_duration_seconds_count"));
}
