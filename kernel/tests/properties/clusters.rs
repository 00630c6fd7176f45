//! Arbitrary clusters, mostly healthy ones, so that the guard has to think. Never one that Kubernetes or ARM could not
//! show: names are unique.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nodepool_kernel::placement::{Selector, Test};
use nodepool_kernel::{
    AgentPool, Attempt, Autoscaling, Budget, BudgetStatus, Cause, Change, Cluster, Controller, Deletion, Dependent,
    DrainMark, Enforcement, FieldValue, InFlight, Intent, Known, Mode, Node, Os, Owner, Phase, Pod, PoolFailure,
    PoolKind, Power, PowerWish, ProvisioningState, Readiness, Snapshot, Step, SystemPods, Taint, Template, Tie, Time,
    Toleration, TolerationOperator, UnhealthyPods, Version, Workload,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::drained::occupancy;
use crate::upgrades::{image_request, upgradable, upgrade, wanted_version};

pub const NOW: Time = Time::from_millis(1_800_000_000_000);
const POOLS: [&str; 5] = ["sys", "two", "apps", "spare", "last"];
const TAINTS: [&str; 7] = [
    "CriticalAddonsOnly=true:NoSchedule",
    "CriticalAddonsOnly=true:NoExecute",
    "team=a:NoSchedule",
    "team=a:NoExecute",
    "team=a:PreferNoSchedule",
    "gpu=x:NoExecute",
    "kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
];
const LABELS: [&str; 3] = ["tier", "team", "kubernetes.azure.com/mode"];

pub fn ago(seconds: i64) -> Time {
    Time::from_millis(NOW.as_millis() - seconds * 1000)
}

/// Nearly always `usual`.
fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, others: Vec<T>) -> impl Strategy<Value = T> {
    prop_oneof![30 => Just(usual), 1 => select(others)]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![10 => Just(Mode::System), 6 => Just(Mode::User), 1 => Just(Mode::Other("Gateway".into()))]
}

fn taints(most: usize) -> impl Strategy<Value = Vec<Taint>> {
    let parse = |texts: Vec<&str>| texts.into_iter().map(|text| text.parse().unwrap()).collect();
    subsequence(TAINTS.to_vec(), 0..=most).prop_map(parse)
}

fn few_taints() -> impl Strategy<Value = Vec<Taint>> {
    prop_oneof![20 => Just(vec![]), 1 => taints(2)]
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let of = |keys: Vec<&str>| keys.into_iter().map(|key| (key.to_owned(), "x".to_owned())).collect();
    subsequence(LABELS.to_vec(), 0..=2).prop_map(of)
}

/// Tags in several cases, no two keys of which differ in case only.
fn tags() -> impl Strategy<Value = BTreeMap<String, String>> {
    let tag = |keys: [&'static str; 3]| option::of((select(keys.to_vec()), select(vec!["x", "y"])));
    (tag(["owner", "Owner", "OWNER"]), tag(["cost", "Cost", "cost"])).prop_map(|(owner, cost)| {
        owner.into_iter().chain(cost).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    })
}

fn keys() -> impl Strategy<Value = BTreeSet<String>> {
    labels().prop_map(|labels| labels.into_keys().collect())
}

fn bounds() -> impl Strategy<Value = Autoscaling> {
    (0_u32..4, 3_u32..6).prop_map(|(min, max)| Autoscaling { min, max })
}

fn state() -> impl Strategy<Value = ProvisioningState> {
    let busy = ["Scaling", "Updating", "Upgrading", "Deleting", "Stopping", "Creating", "Frobnicating"];
    let others = busy.iter().map(|name| ProvisioningState::Busy((*name).to_owned()));
    let ended = [ProvisioningState::Failed, ProvisioningState::Canceled];
    mostly(ProvisioningState::Succeeded, others.chain(ended).collect())
}

fn failure() -> impl Strategy<Value = Option<PoolFailure>> {
    let of = |code: &str| Some(PoolFailure { code: code.to_owned(), message: "it failed".into() });
    mostly(None, vec![of("PodDrainFailure"), of("QuotaExceeded"), of("UpgradeFailed"), of("DeleteFailed")])
}

prop_compose! {
    fn pool(name: &'static str)(
        (mode, state, failure) in (mode(), state(), failure()),
        kind in mostly(PoolKind::ScaleSet, vec![PoolKind::Other("VirtualMachines".into()), PoolKind::Unreadable("count".into())]),
        os in mostly(Os::Linux, vec![Os::Other("Windows".into())]),
        power in mostly(Power::Running, vec![Power::NotRunning("Stopped".into())]),
        count in prop_oneof![1 => Just(0_u32), 12 => 1_u32..5],
        autoscaling in option::weighted(0.15, bounds()),
        (taints, labels, tags) in (few_taints(), labels(), tags()),
        requested_version in mostly(Some("1.33"), vec![Some("1.33.5"), Some("1.34"), Some("1.3"), None]),
        current_version in mostly(Some("1.33.5"), vec![None]),
        node_image in mostly(Some("old"), vec![Some("new"), None]),
        max_unavailable in mostly(Some("0"), vec![None, Some("1"), Some("50%"), Some("?")]),
        max_surge in mostly(Some("1"), vec![None, Some("0"), Some("33%"), Some("?")]),
    ) -> AgentPool {
        let text = |text: Option<&str>| text.map(str::to_owned);
        AgentPool {
            name: name.to_owned(), mode, kind, os, power, state, count, autoscaling, taints, labels, tags,
            requested_version: text(requested_version), current_version: text(current_version),
            node_image: text(node_image), max_surge: text(max_surge), max_unavailable: text(max_unavailable), drain_timeout_minutes: 30,
            node_soak_minutes: 0, undrainable_nodes: None, failure,
            settings: Arc::default(),
        }
    }
}

prop_compose! {
    fn node()(
        pool in mostly(true, vec![false]),
        labelled_system in mostly(true, vec![false]),
        quarantined in prop::bool::weighted(0.01),
        (ready, since, age) in (mostly(true, vec![false]), mostly(3600, vec![5, 59, 60, 61]), mostly(7200, vec![30, 100])),
        cordoned in prop::bool::weighted(0.04),
        deleting in prop::bool::weighted(0.02),
        taints in few_taints(),
        extra in mostly(None, vec![Some("node.kubernetes.io/memory-pressure:NoSchedule")]),
        carries_pool_taints in mostly(true, vec![false]),
        provider in mostly(true, vec![false]),
        version in prop::bool::weighted(0.05),
        drain in mostly(None, vec![Some("p0"), Some("p0"), Some("gone")]),
    ) -> (Node, bool) {
        let since = ago(since);
        let node = Node {
            name: String::new(),
            pool: pool.then(String::new),
            labelled_system,
            quarantined,
            readiness: if ready { Readiness::Ready { since } } else { Readiness::NotReady { since } },
            joined: ago(age),
            cordoned: cordoned || drain.is_some(),
            deleting,
            taints: taints.into_iter().chain(extra.map(|text| text.parse().unwrap())).collect(),
            provider_id: provider.then(|| "azure:///subscriptions/sub/resourceGroups/MC_rg/x".to_owned()),
            kubelet_version: if version { "v1.32.0" } else { "v1.33.5" }.to_owned(),
            image_version: None,
            zone: None,
            drain: drain.map(mark).map(Box::new),
        };
        (node, carries_pool_taints)
    }
}

/// The mark of a drain for that policy.
pub fn mark(policy: &str) -> DrainMark {
    DrainMark { policy: policy.to_owned(), plan: "a test".to_owned(), since: ago(600) }
}

/// The nodes of a pool: as many as it counts, give or take a few.
fn nodes(pool: AgentPool) -> impl Strategy<Value = (AgentPool, Vec<Node>)> {
    let usual = usize::try_from(pool.count).unwrap();
    let number = prop_oneof![6 => Just(usual), 1 => 0..=usual + 2];
    number.prop_flat_map(|number| vec(node(), number)).prop_map(move |nodes| {
        let place = |(index, (mut node, carries)): (usize, (Node, bool))| {
            node.name = format!("aks-{}-{index}", pool.name);
            node.pool = node.pool.map(|_| pool.name.clone());
            if carries {
                node.taints.extend(pool.taints.iter().cloned());
            }
            node
        };
        (pool.clone(), nodes.into_iter().enumerate().map(place).collect())
    })
}

prop_compose! {
    fn toleration()(
        key in select(vec![None, Some("team"), Some("gpu"), Some("CriticalAddonsOnly")]),
        exists in any::<bool>(),
        limited in prop::bool::weighted(0.3),
    ) -> Toleration {
        Toleration {
            key: key.map(str::to_owned),
            operator: if exists { TolerationOperator::Exists } else { TolerationOperator::Equal },
            value: if exists { "" } else { "a" }.to_owned(),
            effect: None,
            limited,
        }
    }
}

prop_compose! {
    fn pod(nodes: Vec<String>)(
        node in prop_oneof![8 => select(nodes).prop_map(Some), 1 => Just(Some("lost".to_owned())), 1 => Just(None)],
        owner in select(vec![Owner::DaemonSet, Owner::DaemonSet, Owner::Other]),
        deleting in prop::bool::weighted(0.1),
        tolerations in vec(toleration(), 0..4),
        selects in keys(),
        labels in pod_labels(),
        phase in mostly(Phase::Running, vec![Phase::Pending, Phase::Finished, Phase::Unknown]),
        ready in prop::bool::weighted(0.9),
        controller in option::weighted(0.8, select(vec!["dns", "metrics"])),
    ) -> Pod {
        let controller = controller.map(|name| Arc::new(Controller { kind: "Deployment".into(), name: name.to_owned() }));
        Pod {
            namespace: "kube-system".into(), name: "".into(), node: node.map(Into::into), owner, deleting, tolerations: tolerations.into(), selects: selects.into(),
            labels: Arc::new(labels), phase, ready, controller, created: ago(7200),
        }
    }
}

/// Labels of pods that [`selector`] has something to say about.
fn pod_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let pair = |key: &'static str| (Just(key.to_owned()), select(vec!["a".to_owned(), "b".to_owned()]));
    (option::weighted(0.8, pair("app")), option::weighted(0.3, pair("tier")))
        .prop_map(|(app, tier)| app.into_iter().chain(tier).collect())
}

fn selector() -> impl Strategy<Value = Option<Selector>> {
    let values = || vec!["a".to_owned()];
    let test = select(vec![Test::In(values()), Test::NotIn(values()), Test::Exists, Test::DoesNotExist]);
    let one = (select(vec!["app", "app", "tier"]), test).prop_map(|(key, test)| Selector::everything().and(key, test));
    prop_oneof![12 => one.prop_map(Some), 1 => Just(Some(Selector::everything())), 1 => Just(Some(Selector::Nothing)), 1 => Just(None)]
}

prop_compose! {
    fn budget()(
        namespace in mostly("kube-system", vec!["other"]),
        selector in selector(),
        always in prop::bool::weighted(0.2),
        generation in mostly(1, vec![2]),
        (allowed, healthy, desired, expected) in (0..4, 0..4, 0..4, 0..6),
        odd in mostly(None, vec![Some((-1, 0)), Some((1, 2001))]),
    ) -> Budget {
        let (allowed, unconfirmed) = odd.unwrap_or((allowed, 0));
        Budget {
            namespace: namespace.to_owned(), name: String::new(), selector,
            unhealthy: if always { UnhealthyPods::AlwaysAllow } else { UnhealthyPods::IfHealthyBudget },
            generation,
            status: BudgetStatus { observed_generation: 1, allowed, healthy, desired, expected, unconfirmed },
        }
    }
}

prop_compose! {
    fn attempt()(
        cause in select(vec![Cause::Refused, Cause::Failed, Cause::Failed, Cause::Canceled]),
        failures in 1_u32..6,
        next in select(vec![Some(ago(-9)), Some(ago(9)), None]),
    ) -> Attempt {
        let (code, message, remedy) = ("BadRequest".to_owned(), "no".to_owned(), String::new());
        Attempt { cause, failures, generation: 1, next, code, message, remedy }
    }
}

prop_compose! {
    fn intent()(
        pool in select(POOLS.to_vec()),
        created in select(vec![10, 600, 6000]),
        mode in option::of(select(vec![Mode::System, Mode::User, Mode::User])),
        (count, autoscaling, owns_autoscaler) in
            (option::of(0_u32..6), option::weighted(0.2, bounds()), any::<bool>()),
        taints in option::of(taints(2)),
        (labels, owned_labels) in (option::of(labels()), keys()),
        (tags, owned_tags) in (option::of(tags()), tags().prop_map(|tags| tags.into_keys().collect())),
        enforcement in mostly(Enforcement::Enforce, vec![Enforcement::Observe]),
        (suspended, stalled) in (prop::bool::weighted(0.05), prop::bool::weighted(0.3)),
        attempt in prop::option::weighted(0.1, attempt()),
        waits_since in prop::option::weighted(0.2, select(vec![ago(10), ago(1000)])),
        (template, creating) in (option::of(Just(template())), prop::bool::weighted(0.05)),
        (deletion, may_lose_workloads) in (
            mostly(None, vec![Some(Deletion::Delete), Some(Deletion::Delete), Some(Deletion::Orphan)]),
            prop::bool::weighted(0.2),
        ),
        (system_pods, power, version, image, upgrade) in (
            select(vec![SystemPods::Protect, SystemPods::Relocate]),
            mostly(None, vec![Some(PowerWish::Running), Some(PowerWish::Stopped), Some(PowerWish::Stopped)]),
            wanted_version(),
            image_request(),
            upgrade(),
        ),
    ) -> Intent {
        Intent {
            policy: String::new(), generation: 1, created: ago(created), pool: pool.to_owned(), enforcement, suspended,
            mode, count, autoscaling, owns_autoscaler, taints, labels, owned_labels, tags, owned_tags, attempt,
            stalled, waits_since, template, creating, deletion, may_lose_workloads, may_exceed_fuse: false, break_glass: None, system_pods,
            power, version, image, upgrade,
        }
    }
}

/// A template that AKS would take.
fn template() -> Arc<Template> {
    let size = || FieldValue::Text("Standard_D4ds_v5".into());
    Arc::new(Template::from_fields(|field| (field.name == "vmSize").then(size)))
}

prop_compose! {
    fn workload()(
        ready in mostly(2_u32, vec![0, 1]),
        updated in mostly(2_u32, vec![0, 1]),
        well_since in mostly(Some(ago(3600)), vec![None, Some(ago(5))]),
    ) -> Workload {
        Workload { namespace: "kube-system".into(), name: "coredns".into(), wished: 2, ready, updated, well_since }
    }
}

/// What depends on a pool, mostly nothing; `None` if that has not been read.
fn dependents() -> impl Strategy<Value = Option<Known<Vec<Dependent>>>> {
    let tie = select(vec![Tie::Alone, Tie::Data("disk".into()), Tie::Nowhere("there is no node".into())]);
    let some = tie.prop_map(|tie| vec![Dependent { pod: "shop/web".into(), tie }]);
    prop_oneof![
        8 => Just(Some(Known::seen(NOW, vec![]))),
        2 => some.prop_map(|dependents| Some(Known::seen(NOW, dependents))),
        1 => Just(Some(Known::unknown("no answer"))),
        1 => Just(Some(Known::seen(ago(301), vec![]))),
        1 => Just(None),
    ]
}

/// A step on some pool, planned on what the pool is like.
fn step_on(pools: Vec<AgentPool>) -> impl Strategy<Value = Step> {
    let scale = (0_u32..6, option::weighted(0.8, bounds()));
    let wish = (0..15_u8, select(vec![Mode::System, Mode::User]), scale, taints(2), labels(), upgrade());
    (select(pools), wish).prop_map(|(pool, (kind, mode, (count, autoscaling), taints, labels, upgrade))| {
        let settings = upgrade.toward(&pool).filter(|_| kind == 13);
        let change = match kind {
            10..=11 => Change::Version { from: pool.version(), to: Version { major: 1, minor: 34, patch: Some(2) } },
            12 => Change::Version { from: pool.version(), to: Version { major: 1, minor: 33, patch: None } },
            _ if settings.is_some() => settings.map(|(from, to)| Change::UpgradeSettings { from, to }).unwrap(),
            14 => Change::NodeImage { from: pool.node_image.unwrap_or_default() },
            0 => Change::Mode { from: pool.mode, to: mode },
            1 => Change::Count { from: pool.count, to: count },
            2 => Change::Taints { from: pool.taints, to: taints },
            3 => Change::Labels { from: pool.labels, to: labels },
            4 => Change::Delete,
            6 => Change::Autoscaling { from: pool.autoscaling, to: autoscaling },
            5 => Change::Tags { from: pool.tags, to: labels },
            8 => Change::Stop,
            9 => Change::Start,
            _ => Change::Repair { code: "QuotaExceeded".into() },
        };
        Step { policy: "p0".into(), pool: pool.name, change }
    })
}

/// A cluster of these parts, all of them seen just now, without writes in flight.
pub fn assemble(
    pools: Vec<(AgentPool, Vec<Node>)>,
    mut pods: Vec<Pod>,
    mut budgets: Vec<Budget>,
    mut intents: Vec<Intent>,
    state: ProvisioningState,
    coredns: Workload,
) -> Snapshot {
    for (index, budget) in budgets.iter_mut().enumerate() {
        budget.name = format!("budget-{index}");
    }
    for (index, pod) in pods.iter_mut().enumerate() {
        pod.name = format!("pod-{index}").into();
    }
    for (index, intent) in intents.iter_mut().enumerate() {
        intent.policy = format!("p{index}");
    }
    let (pools, nodes): (Vec<AgentPool>, Vec<Vec<Node>>) = pools.into_iter().unzip();
    let issuer = "https://issuer.example/".to_owned();
    let cluster = Cluster {
        id: "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c".into(),
        subscription: "sub".into(),
        node_resource_group: Some("MC_rg".into()),
        load_balancer_sku: None,
        issuer_url: Some(issuer.clone()),
        state,
        power: Power::Running,
        version: Version::parse("1.34.2"),
        pools,
    };
    Snapshot {
        now: NOW,
        paused: Known::seen(NOW, false),
        bulk: Known::seen(NOW, vec![]),
        intents: Known::seen(NOW, intents),
        cluster: Known::seen(NOW, cluster),
        issuer: Known::seen(NOW, issuer),
        nodes: Known::seen(NOW, nodes.into_iter().flatten().collect()),
        pods: Known::seen(NOW, pods.into()),
        budgets: Known::seen(NOW, budgets),
        workloads: Known::seen(NOW, vec![coredns]),
        places: Known::unknown("it has not been read yet"),
        in_flight: vec![],
        dependents: [].into(),
        occupancy: [].into(),
        upgradable: [].into(),
    }
}

/// A cluster of up to five pools with policies, pods and writes in flight, and a step to judge on one of the pools.
pub fn cluster_and_step() -> impl Strategy<Value = (Snapshot, Step)> {
    let pools = subsequence(POOLS.to_vec(), 1..=5)
        .prop_flat_map(|names| names.into_iter().map(|name| pool(name).prop_flat_map(nodes)).collect::<Vec<_>>());
    let busy = ProvisioningState::Busy("Updating".into());
    let state = prop_oneof![20 => Just(ProvisioningState::Succeeded), 1 => Just(busy)].boxed();
    pools.prop_flat_map(move |pools| {
        let names: Vec<String> = pools.iter().flat_map(|(_, nodes)| nodes).map(|node| node.name.clone()).collect();
        let names = if names.is_empty() { vec!["lost".to_owned()] } else { names };
        let bare: Vec<AgentPool> = pools.iter().map(|(pool, _)| pool.clone()).collect();
        let in_flight = prop_oneof![3 => Just(vec![]), 1 => vec(step_on(bare.clone()), 1..3)];
        let parts = (
            prop_oneof![1 => Just(vec![]), 2 => vec(pod(names), 0..6)],
            vec(budget(), 0..3),
            vec(intent(), 1..6),
            state.clone(),
            workload(),
            in_flight,
            step_on(bare),
            (vec(dependents(), POOLS.len()), vec(0..12_u8, POOLS.len())),
        );
        parts.prop_map(move |(pods, budgets, mut intents, state, coredns, in_flight, mut step, (dependents, read))| {
            if let Some(first) = intents.first_mut() {
                first.deletion = first.deletion.or(step.change.deletes().then_some(Deletion::Delete));
                first.pool.clone_from(&step.pool);
            }
            let mut snapshot = assemble(pools.clone(), pods, budgets, intents, state, coredns);
            let known = POOLS.iter().zip(dependents).filter_map(|(pool, known)| Some(((*pool).to_owned(), known?)));
            snapshot.dependents = known.collect();
            let (nodes, pods) = (snapshot.nodes.value().unwrap(), snapshot.pods.value().unwrap());
            let told = POOLS
                .iter()
                .zip(&read)
                .filter_map(|(pool, told)| Some(((*pool).to_owned(), upgradable(pool, nodes, *told)?)));
            let told = told.collect();
            let known = POOLS
                .iter()
                .zip(read)
                .filter_map(|(pool, known)| Some(((*pool).to_owned(), occupancy(pool, nodes, pods, known)?)));
            snapshot.occupancy = known.collect();
            snapshot.upgradable = told;
            snapshot.in_flight = in_flight.into_iter().map(|step| InFlight { step, since: ago(5) }).collect();
            let intents = snapshot.intents.value().unwrap();
            if let Some(governs) = nodepool_kernel::winner(intents, &step.pool) {
                step.policy.clone_from(&governs.policy);
            }
            (snapshot, step)
        })
    })
}

pub fn cluster() -> impl Strategy<Value = Snapshot> {
    cluster_and_step().prop_map(|(snapshot, _)| snapshot)
}
