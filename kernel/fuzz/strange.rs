//! Snapshots that no API server would show and some that it would: numbers at their ends, names that are empty, long or
//! twice there, nodes of no pool, pods on lost nodes, times before the epoch. Never judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use nodepool_kernel::placement::{Requirement, Selector, Test};
use nodepool_kernel::{
    AgentPool, Attempt, Autoscaling, Budget, BudgetStatus, Cause, Change, Cluster, Controller, Deletion, Enforcement,
    InFlight, Intent, Known, Mode, NewPool, Node, Os, Owner, Phase, Pod, PoolFailure, PoolKind, Power, PowerWish,
    ProvisioningState, Readiness, Settings, Snapshot, Span, Step, SystemPods, Taint, TaintEffect, Time, Toleration,
    TolerationOperator, UnhealthyPods, Workload, winner,
};

use crate::drains;
use crate::odd::{bulk, template};
use crate::versions;

/// A provider id that proves that the cluster is the right one.
pub const OURS: &str = "azure:///subscriptions/sub/resourceGroups/MC/vmss";

/// Names of pools, and the beginnings of those of nodes.
pub const NAMES: [&str; 6] = ["sys", "two", "apps", "", "ß-Ω", "node.kubernetes.io/unreachable"];
const KEYS: [&str; 7] = [
    "CriticalAddonsOnly",
    "team",
    "",
    "kubernetes.azure.com/mode",
    "kubernetes.azure.com/scalesetpriority",
    "node.kubernetes.io/memory-pressure",
    "é",
];
const OPERATIONS: [&str; 9] =
    ["Succeeded", "Failed", "Canceled", "Scaling", "Updating", "Upgrading", "deleting", "Stopping", ""];
const VERSIONS: [&str; 8] = ["1.33", "1.33.5", "v1.33.5", "1.34", "", ".", "1..3", "latest"];
const CODES: [&str; 5] = ["PodDrainFailure", "UpgradeFailed", "QuotaExceeded", "", "DeleteFailed"];
pub const AMOUNTS: [&str; 8] = ["0", "1", "50%", "100%", "%", "-1", "99999999999", "4294967295%"];

/// Where everything comes from.
pub type Input<'a, 'b> = &'a mut Unstructured<'b>;

/// One of these texts, or a long one.
pub fn one(input: Input<'_, '_>, of: &[&str]) -> Result<String> {
    if input.ratio(1, 200)? {
        return Ok("x".repeat(5000));
    }
    Ok((*input.choose(of)?).to_owned())
}

pub fn maybe(input: Input<'_, '_>, of: &[&str]) -> Result<Option<String>> {
    Ok(if input.ratio(1, 8)? { None } else { Some(one(input, of)?) })
}

fn several<T>(input: Input<'_, '_>, most: usize, each: fn(Input<'_, '_>) -> Result<T>) -> Result<Vec<T>> {
    let number = input.int_in_range(0..=most)?;
    (0..number).map(|_| each(input)).collect()
}

/// A small number, or any.
pub fn number(input: Input<'_, '_>) -> Result<u32> {
    if input.ratio(1, 60)? { u32::arbitrary(input) } else { input.int_in_range(0..=4) }
}

/// A time that means something, or any.
pub fn time(input: Input<'_, '_>) -> Result<Time> {
    let ends = [i64::MIN, -1, 0, 1_800_000_000_000, 1_799_999_995_000, 1_799_990_000_000, 1_800_000_060_000, i64::MAX];
    Ok(Time::from_millis(if input.ratio(1, 20)? { i64::arbitrary(input)? } else { *input.choose(&ends)? }))
}

/// Mostly what is seen at the time of the pass.
pub fn known<T>(input: Input<'_, '_>, now: Time, value: T) -> Result<Known<T>> {
    Ok(match input.int_in_range(0..=200_u8)? {
        38 => Known::unknown("x".repeat(300)),
        39 => Known::seen(time(input)?, value),
        40 => Known::unknown(""),
        _ => Known::seen(now, value),
    })
}

fn mode(input: Input<'_, '_>) -> Result<Mode> {
    Ok(match input.int_in_range(0..=9_u8)? {
        0..=5 => Mode::System,
        6..=8 => Mode::User,
        _ => Mode::Other(one(input, &NAMES)?),
    })
}

fn taint(input: Input<'_, '_>) -> Result<Taint> {
    let effects = [TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute];
    Ok(Taint::new(one(input, &KEYS)?, one(input, &["", "a"])?, *input.choose(&effects)?))
}

fn few_taints(input: Input<'_, '_>) -> Result<Vec<Taint>> {
    if input.ratio(1, 10)? { several(input, 3, taint) } else { Ok(vec![]) }
}

fn labels(input: Input<'_, '_>) -> Result<BTreeMap<String, String>> {
    Ok(several(input, 2, |input| Ok((one(input, &KEYS)?, one(input, &NAMES)?)))?.into_iter().collect())
}

fn keys(input: Input<'_, '_>) -> Result<BTreeSet<String>> {
    Ok(labels(input)?.into_keys().collect())
}

fn state(input: Input<'_, '_>) -> Result<ProvisioningState> {
    if input.ratio(5, 6)? {
        Ok(ProvisioningState::Succeeded)
    } else {
        Ok(ProvisioningState::parse(&one(input, &OPERATIONS)?))
    }
}

fn pool(input: Input<'_, '_>) -> Result<AgentPool> {
    let rare = input.int_in_range(0..=40_u8)?;
    let failure = PoolFailure { code: one(input, &CODES)?, message: one(input, &CODES)? };
    let bounds = Autoscaling { min: number(input)?, max: number(input)? };
    Ok(AgentPool {
        name: one(input, &NAMES[..5])?,
        mode: mode(input)?,
        kind: match rare {
            0 => PoolKind::Other(String::new()),
            1 => PoolKind::Unreadable("count".into()),
            _ => PoolKind::ScaleSet,
        },
        os: if rare == 2 { Os::Other(String::new()) } else { Os::Linux },
        power: if rare == 3 { Power::NotRunning(String::new()) } else { Power::Running },
        state: state(input)?,
        count: number(input)?,
        autoscaling: input.ratio(1, 8)?.then_some(bounds),
        taints: few_taints(input)?,
        labels: labels(input)?,
        tags: labels(input)?,
        requested_version: if rare > 10 { Some("1.33".into()) } else { maybe(input, &VERSIONS)? },
        current_version: if rare > 10 { Some("1.33.5".into()) } else { maybe(input, &VERSIONS)? },
        node_image: versions::image(input)?,
        max_surge: maybe(input, &AMOUNTS)?,
        max_unavailable: maybe(input, &AMOUNTS)?,
        drain_timeout_minutes: number(input)?,
        node_soak_minutes: number(input)?,
        undrainable_nodes: None,
        failure: input.ratio(1, 3)?.then_some(failure),
        settings: template(input)?,
    })
}

/// Mostly each with a name of its own.
fn pools(input: Input<'_, '_>) -> Result<Vec<AgentPool>> {
    let mut pools = several(input, 4, pool)?;
    for (pool, name) in pools.iter_mut().zip(NAMES) {
        if !input.ratio(1, 20)? {
            name.clone_into(&mut pool.name);
        }
    }
    Ok(pools)
}

fn node(input: Input<'_, '_>) -> Result<Node> {
    let since = if input.ratio(1, 10)? { time(input)? } else { Time::from_millis(1_799_990_000_000) };
    let ready = !input.ratio(1, 8)?;
    let rare = input.int_in_range(0..=100_u8)?;
    let provider = match rare {
        0 => Some("azure:///subscriptions/other/resourceGroups/MC/vmss".to_owned()),
        1 => Some(one(input, &["kind://x", "azure:", "AZURE", ""])?),
        2 => None,
        _ => Some(OURS.to_owned()),
    };
    Ok(Node {
        name: format!("{}{}", one(input, &NAMES)?, input.int_in_range(0..=9_u8)?),
        pool: if input.ratio(1, 10)? { maybe(input, &NAMES[..5])? } else { Some(one(input, &NAMES[..3])?) },
        labelled_system: rare != 3,
        quarantined: rare == 4,
        readiness: if ready { Readiness::Ready { since } } else { Readiness::NotReady { since } },
        joined: if input.ratio(3, 4)? { since } else { time(input)? },
        cordoned: rare == 5,
        deleting: rare == 6,
        taints: few_taints(input)?,
        provider_id: provider,
        kubelet_version: if rare == 7 { one(input, &VERSIONS)? } else { "v1.33.5".into() },
        image_version: if rare == 8 { maybe(input, &VERSIONS)? } else { None },
        zone: None,
        drain: if input.ratio(1, 30)? { Some(Box::new(drains::mark(input)?)) } else { None },
    })
}

fn toleration(input: Input<'_, '_>) -> Result<Toleration> {
    let operator = match input.int_in_range(0..=4_u8)? {
        0..=1 => TolerationOperator::Exists,
        2..=3 => TolerationOperator::Equal,
        _ => TolerationOperator::Other(one(input, &NAMES)?),
    };
    let effect = if input.ratio(1, 2)? { Some(taint(input)?.effect) } else { None };
    let (key, value) = (maybe(input, &KEYS)?, one(input, &["", "a"])?);
    Ok(Toleration { key, operator, value, effect, limited: bool::arbitrary(input)? })
}

/// A pod of any form.
pub fn pod(input: Input<'_, '_>) -> Result<Pod> {
    let node = format!("{}{}", one(input, &NAMES)?, input.int_in_range(0..=9_u8)?);
    Ok(Pod {
        namespace: one(input, &NAMES)?.into(),
        name: one(input, &NAMES)?.into(),
        node: (!input.ratio(1, 6)?).then_some(node.into()),
        owner: if input.ratio(1, 2)? { Owner::DaemonSet } else { Owner::Other },
        deleting: input.ratio(1, 6)?,
        tolerations: several(input, 3, toleration)?.into(),
        selects: keys(input)?.into(),
        labels: Arc::new(labels(input)?),
        phase: *input.choose(&[Phase::Running, Phase::Running, Phase::Pending, Phase::Finished, Phase::Unknown])?,
        ready: !input.ratio(1, 4)?,
        controller: if input.ratio(1, 3)? { None } else { Some(Arc::new(controller(input)?)) },
        created: Time::from_millis(1_799_990_000_000),
    })
}

fn controller(input: Input<'_, '_>) -> Result<Controller> {
    Ok(Controller { kind: one(input, &["Deployment", ""])?, name: one(input, &NAMES)? })
}

fn attempt(input: Input<'_, '_>) -> Result<Attempt> {
    let causes = [Cause::Refused, Cause::Failed, Cause::Canceled, Cause::Drain];
    Ok(Attempt {
        cause: *input.choose(&causes)?,
        failures: number(input)?,
        generation: i64::arbitrary(input)? % 2,
        next: if input.ratio(1, 2)? { Some(time(input)?) } else { None },
        code: one(input, &CODES)?,
        message: one(input, &CODES)?,
        remedy: String::new(),
    })
}

fn intent(input: Input<'_, '_>) -> Result<Intent> {
    let asked = u8::arbitrary(input)?;
    let asks = |bit: u8| asked >> bit & 1 == 1;
    Ok(Intent {
        policy: one(input, &["p", "q", "", "r"])?,
        generation: i64::arbitrary(input)? % 2,
        created: time(input)?,
        pool: one(input, &NAMES[2..5])?,
        enforcement: if asks(0) && asks(1) && asks(2) { Enforcement::Observe } else { Enforcement::Enforce },
        suspended: asks(3) && asks(1) && asks(2),
        mode: if asks(4) { Some(mode(input)?) } else { None },
        count: if asks(5) { Some(number(input)?) } else { None },
        autoscaling: if asks(6) { Some(Autoscaling { min: number(input)?, max: number(input)? }) } else { None },
        owns_autoscaler: asks(7),
        taints: if asks(6) { Some(several(input, 2, taint)?) } else { None },
        labels: if asks(7) { Some(labels(input)?) } else { None },
        owned_labels: keys(input)?,
        tags: if asks(2) { Some(labels(input)?) } else { None },
        owned_tags: keys(input)?,
        version: versions::wanted(input)?,
        image: versions::image_request(input)?,
        upgrade: versions::settings(input)?,
        attempt: if input.ratio(1, 4)? { Some(attempt(input)?) } else { None },
        stalled: asks(1),
        waits_since: if asks(2) { Some(time(input)?) } else { None },
        template: if input.ratio(1, 2)? { Some(template(input)?) } else { None },
        creating: input.ratio(1, 5)?,
        power: *input.choose(&[None, None, Some(PowerWish::Running), Some(PowerWish::Stopped)])?,
        deletion: *input.choose(&[None, None, Some(Deletion::Delete), Some(Deletion::Orphan)])?,
        may_lose_workloads: asks(3) && asks(7),
        may_exceed_fuse: asks(0) && asks(6),
        break_glass: None,
        system_pods: if asks(6) { SystemPods::Relocate } else { SystemPods::Protect },
    })
}

/// Mostly one for each pool.
fn intents(input: Input<'_, '_>) -> Result<Vec<Intent>> {
    let mut intents = several(input, 3, intent)?;
    for name in NAMES.iter().take(4) {
        let intent = Intent { policy: format!("policy-{name}"), pool: (*name).to_owned(), ..intent(input)? };
        intents.extend((!input.ratio(1, 10)?).then_some(intent));
    }
    Ok(intents)
}

/// A step, planned on one of the pools or on any state.
pub fn step(input: Input<'_, '_>, seen: &Snapshot) -> Result<Step> {
    let pools = seen.cluster.value().map_or(&[][..], |cluster| &cluster.pools);
    let intents = seen.intents.value().map_or(&[][..], Vec::as_slice);
    let kind = input.int_in_range(0..=16_u8)?;
    let pool = match drains::of_drain(seen, pools).filter(|_| (9..=14).contains(&kind)) {
        _ if pools.is_empty() || input.ratio(1, 10)? => pool(input)?,
        Some(pool) => pool.clone(),
        None => input.choose(pools)?.clone(),
    };
    let policy = match winner(intents, &pool.name) {
        Some(winner) if !input.ratio(1, 10)? => winner.policy.clone(),
        _ => one(input, &["p", "q", "", "r"])?,
    };
    let change = match kind {
        0 => Change::Mode { from: pool.mode, to: mode(input)? },
        1 => Change::Count { from: pool.count, to: number(input)? },
        2 => Change::Taints { from: pool.taints, to: several(input, 2, taint)? },
        3 => Change::Labels { from: pool.labels, to: labels(input)? },
        4 => Change::Repair { code: one(input, &CODES)? },
        5 => input.choose(&[Change::Delete, Change::Stop, Change::Start])?.clone(),
        6 => Change::Tags { from: pool.tags, to: labels(input)? },
        7 => Change::Autoscaling {
            from: pool.autoscaling,
            to: if input.ratio(1, 4)? { None } else { Some(Autoscaling { min: number(input)?, max: number(input)? }) },
        },
        15.. => versions::change(input, &pool, kind)?,
        9.. => Change::Drain(drains::change(input, pool.count, seen, &pool.name)?),
        _ => Change::Create(Box::new(NewPool {
            mode: mode(input)?,
            count: number(input)?,
            autoscaling: None,
            taints: if input.ratio(1, 2)? { Some(several(input, 2, taint)?) } else { None },
            labels: if input.ratio(1, 2)? { Some(labels(input)?) } else { None },
            tags: if input.ratio(1, 2)? { Some(labels(input)?) } else { None },
            version: None,
            upgrade: versions::settings(input)?,
            template: template(input)?,
        })),
    };
    Ok(Step { policy, pool: pool.name, change })
}

/// A write on its way, mostly of one of the pools.
fn in_flight(input: Input<'_, '_>, seen: &Snapshot) -> Result<InFlight> {
    Ok(InFlight { step: step(input, seen)?, since: time(input)? })
}

/// A few budgets.
pub fn few(input: Input<'_, '_>) -> Result<Vec<Budget>> {
    several(input, 2, budget)
}

fn selector(input: Input<'_, '_>) -> Result<Option<Selector>> {
    let required = |input: Input<'_, '_>| {
        let test = match input.int_in_range(0..=3_u8)? {
            0 => Test::In(vec![one(input, &NAMES)?]),
            1 => Test::NotIn(vec![one(input, &NAMES)?]),
            2 => Test::Exists,
            _ => Test::DoesNotExist,
        };
        Ok(Requirement { key: one(input, &KEYS)?, test })
    };
    Ok(match input.int_in_range(0..=9_u8)? {
        0 => None,
        1 => Some(Selector::Nothing),
        _ => Some(Selector::All(several(input, 2, required)?)),
    })
}

fn budget(input: Input<'_, '_>) -> Result<Budget> {
    let counted = |input: Input<'_, '_>| {
        if input.ratio(1, 30)? { i32::arbitrary(input) } else { input.int_in_range(0..=3) }
    };
    Ok(Budget {
        namespace: one(input, &NAMES)?,
        name: one(input, &NAMES)?,
        selector: selector(input)?,
        unhealthy: *input.choose(&[UnhealthyPods::IfHealthyBudget, UnhealthyPods::AlwaysAllow])?,
        generation: i64::arbitrary(input)? % 2,
        status: BudgetStatus {
            observed_generation: 1,
            allowed: counted(input)?,
            healthy: counted(input)?,
            desired: counted(input)?,
            expected: counted(input)?,
            unconfirmed: usize::from(input.ratio(1, 10)?),
        },
    })
}

/// Mostly an add-on that is required and well.
fn workload(input: Input<'_, '_>) -> Result<Workload> {
    let well_since = if input.ratio(1, 10)? { time(input)? } else { Time::from_millis(1_799_990_000_000) };
    let wished = number(input)?;
    let well = !input.ratio(1, 10)?;
    Ok(Workload {
        namespace: "kube-system".into(),
        name: if input.ratio(1, 10)? { one(input, &NAMES)? } else { one(input, &["coredns", "metrics-server"])? },
        wished,
        ready: if well { wished } else { number(input)? },
        updated: if well { wished } else { number(input)? },
        well_since: if input.ratio(1, 20)? { None } else { Some(well_since) },
    })
}

/// Settings as an administrator could have them.
pub fn settings(input: Input<'_, '_>) -> Result<Settings> {
    Ok(Settings {
        min_ready_system_nodes: number(input)?,
        ready_for: Span::from_secs(number(input)?.into()),
        steps_in_parallel: usize::try_from(number(input)?).unwrap_or(usize::MAX),
        repairs: number(input)?,
        required_add_ons: if input.ratio(1, 2)? { vec![] } else { Settings::default().required_add_ons },
        ..Settings::default()
    })
}

/// A snapshot of any form.
pub fn snapshot(input: Input<'_, '_>) -> Result<Snapshot> {
    let now = if input.ratio(1, 30)? { time(input)? } else { Time::from_millis(1_800_000_000_000) };
    let rare = input.int_in_range(0..=40_u8)?;
    let mut cluster = Cluster {
        id: one(input, &NAMES)?,
        subscription: "sub".into(),
        node_resource_group: (rare != 0).then(|| "MC".into()),
        load_balancer_sku: None,
        issuer_url: (rare > 20).then(|| "https://issuer.example/".into()),
        state: if rare < 4 { state(input)? } else { ProvisioningState::Succeeded },
        power: if rare == 5 { Power::NotRunning(String::new()) } else { Power::Running },
        version: versions::control_plane(input)?,
        pools: pools(input)?,
    };
    let (mut intents, mut nodes, pods) = (intents(input)?, several(input, 9, node)?, several(input, 3, pod)?);
    let (budgets, workloads, paused) = (few(input)?, several(input, 3, workload)?, input.ratio(1, 30)?);
    if input.ratio(1, 3)? {
        drains::begin(input, &mut cluster.pools, &mut intents, &mut nodes)?;
    }
    let mut snapshot = Snapshot {
        now,
        paused: known(input, now, paused)?,
        bulk: bulk(input, now)?,
        intents: known(input, now, intents)?,
        cluster: known(input, now, cluster)?,
        issuer: known(input, now, "https://issuer.example".to_owned())?,
        nodes: known(input, now, nodes.into())?,
        pods: known(input, now, pods.into())?,
        budgets: known(input, now, budgets)?,
        workloads: known(input, now, workloads)?,
        places: Known::unknown("it has not been read yet"),
        in_flight: vec![],
        dependents: drains::dependents(input, now)?,
        occupancy: BTreeMap::new(),
        upgradable: BTreeMap::new(),
    };
    snapshot.occupancy = drains::occupancy(input, &snapshot)?;
    snapshot.upgradable = versions::upgradable(input, &snapshot)?;
    if rare % 4 == 0 {
        for _ in 0..input.int_in_range(0..=2_u8)? {
            let flight = in_flight(input, &snapshot)?;
            snapshot.in_flight.push(flight);
        }
    }
    Ok(snapshot)
}
