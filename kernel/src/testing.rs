//! Small clusters for tests. Never compiled into the product.

use std::sync::Arc;

use crate::placement::{Selector, Test};
use crate::{
    AgentPool, Broken, Budget, BudgetStatus, Change, Cluster, DrainMark, Enforcement, FieldValue, InFlight, Intent,
    Known, Mode, Node, Occupancy, Occupant, Os, Owner, Phase, Pod, PoolKind, Power, ProvisioningState, Readiness, Rows,
    Rule, Settings, Snapshot, Step, Taint, Template, Tenancy, Time, Toleration, TolerationOperator, UnhealthyPods,
    Workload, guard,
};

pub(crate) const NOW: Time = Time::from_millis(1_800_000_000_000);

/// A time `seconds` before [`NOW`].
pub(crate) fn ago(seconds: i64) -> Time {
    Time::from_millis(NOW.as_millis() - seconds * 1000)
}

pub(crate) fn pool(name: &str, mode: Mode, count: u32) -> AgentPool {
    AgentPool {
        name: name.to_owned(),
        mode,
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: Power::Running,
        state: ProvisioningState::Succeeded,
        count,
        autoscaling: None,
        taints: vec![],
        labels: [].into(),
        tags: [].into(),
        requested_version: Some("1.33".into()),
        current_version: Some("1.33.5".into()),
        node_image: Some("AKSUbuntu-2204gen2containerd-202601.07.0".into()),
        max_surge: Some("10%".into()),
        max_unavailable: Some("0".into()),
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure: None,
        settings: Arc::default(),
    }
}

pub(crate) fn node(pool: &str, index: u32) -> Node {
    Node {
        name: format!("aks-{pool}-12345678-vmss{index:06}"),
        pool: Some(pool.to_owned()),
        labelled_system: true,
        quarantined: false,
        readiness: Readiness::Ready { since: ago(3600) },
        joined: ago(7200),
        cordoned: false,
        deleting: false,
        taints: vec![],
        provider_id: Some(format!(
            "azure:///subscriptions/sub/resourceGroups/MC_rg/providers/Microsoft.Compute/virtualMachineScaleSets/aks-{pool}/virtualMachines/{index}"
        )),
        kubelet_version: "v1.33.5".into(),
        image_version: Some("AKSUbuntu-2204gen2containerd-202601.07.0".into()),
        zone: None,
        drain: None,
    }
}

/// An add-on's pod: tolerates `CriticalAddonsOnly` and being on a node that is not ready for five minutes.
pub(crate) fn pod(name: &str, node: &Node) -> Pod {
    let tolerates = |key: &str, limited| Toleration {
        key: Some(key.to_owned()),
        operator: TolerationOperator::Exists,
        value: String::new(),
        effect: None,
        limited,
    };
    Pod {
        namespace: "kube-system".into(),
        name: name.into(),
        node: Some(node.name.as_str().into()),
        owner: Owner::Other,
        deleting: false,
        tolerations: vec![tolerates("CriticalAddonsOnly", false), tolerates("node.kubernetes.io/not-ready", true)]
            .into(),
        selects: Arc::default(),
        labels: Arc::default(),
        phase: Phase::Running,
        ready: true,
        controller: None,
        created: ago(7200),
    }
}

/// The pod with these labels.
pub(crate) fn with_labels(pod: Pod, labels: &[(&str, &str)]) -> Pod {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Pod { labels: Arc::new(labels), ..pod }
}

/// A current budget of kube-system that selects pods by one label, with five healthy pods of which so many may go.
pub(crate) fn budget(name: &str, key: &str, value: &str, allowed: i32) -> Budget {
    let selector = Selector::everything().and(key, Test::In(vec![value.to_owned()]));
    let status =
        BudgetStatus { observed_generation: 3, allowed, healthy: 5, desired: 5 - allowed, expected: 5, unconfirmed: 0 };
    Budget {
        namespace: "kube-system".into(),
        name: name.to_owned(),
        selector: Some(selector),
        unhealthy: UnhealthyPods::IfHealthyBudget,
        generation: 3,
        status,
    }
}

pub(crate) fn intent(policy: &str, pool: &str) -> Intent {
    Intent {
        policy: policy.to_owned(),
        generation: 1,
        created: ago(600),
        pool: pool.to_owned(),
        enforcement: Enforcement::Enforce,
        suspended: false,
        mode: None,
        count: None,
        autoscaling: None,
        owns_autoscaler: false,
        taints: None,
        labels: None,
        owned_labels: [].into(),
        tags: None,
        owned_tags: [].into(),
        version: None,
        image: None,
        upgrade: crate::UpgradeSettings::default(),
        attempt: None,
        stalled: false,
        waits_since: None,
        template: None,
        creating: false,
        power: None,
        deletion: None,
        may_lose_workloads: false,
        may_exceed_fuse: false,
        break_glass: None,
        system_pods: crate::SystemPods::Protect,
    }
}

/// A template of texts.
pub(crate) fn template(texts: &[(&str, &str)]) -> Arc<Template> {
    let text = |name: &str| texts.iter().find(|(of, _)| *of == name).map(|(_, text)| FieldValue::Text((*text).into()));
    Arc::new(Template::from_fields(|field| text(field.name)))
}

/// A cluster with the given pools, as many nodes as each pool counts, no pods and no policies.
pub(crate) fn snapshot(pools: Vec<AgentPool>) -> Snapshot {
    let nodes = pools.iter().flat_map(|pool| {
        (0..pool.count).map(|index| {
            let mut node = node(&pool.name, index);
            node.labelled_system = pool.mode == Mode::System;
            node.taints.clone_from(&pool.taints);
            node
        })
    });
    let nodes = nodes.collect::<Vec<Node>>();
    let cluster = Cluster {
        id: "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c".into(),
        subscription: "sub".into(),
        node_resource_group: Some("MC_rg".into()),
        load_balancer_sku: None,
        issuer_url: Some("https://issuer.example/".into()),
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        version: crate::Version::parse("1.34.2"),
        pools,
    };
    let vacant = |pool: &AgentPool| {
        let on = nodes.iter().filter(|node| node.pool.as_ref() == Some(&pool.name)).map(|node| node.name.clone());
        let occupancy = Occupancy { nodes: on.collect(), ..Occupancy::default() };
        (pool.name.clone(), Known::seen(NOW, occupancy))
    };
    Snapshot {
        now: NOW,
        occupancy: cluster.pools.iter().map(vacant).collect(),
        paused: Known::seen(NOW, false),
        bulk: Known::seen(NOW, vec![]),
        intents: Known::seen(NOW, vec![]),
        cluster: Known::seen(NOW, cluster),
        issuer: Known::seen(NOW, "https://issuer.example/".into()),
        nodes: Known::seen(NOW, nodes.into()),
        pods: Known::seen(NOW, Rows::default()),
        budgets: Known::seen(NOW, Vec::<Budget>::new()),
        workloads: Known::seen(NOW, vec![workload("coredns")]),
        places: Known::unknown("it has not been read yet"),
        in_flight: vec![],
        dependents: [].into(),
        upgradable: [].into(),
    }
}

/// Tells of the nodes of a pool that the protected pods on them run there, each with its name as its id.
pub(crate) fn occupy(snapshot: &mut Snapshot, pool: &str) {
    let names: std::collections::BTreeSet<String> = nodes_mut(snapshot, pool).map(|node| node.name.clone()).collect();
    let is_here = |pod: &&Pod| pod.node.as_deref().is_some_and(|node| names.contains(node));
    let occupant = |pod: &Pod| Occupant {
        pod: pod.clone(),
        uid: pod.name.to_string(),
        tenancy: if pod.owner == Owner::DaemonSet { Tenancy::OfNode } else { Tenancy::Controlled },
        protected: true,
    };
    let pods = edit(&mut snapshot.pods).iter().filter(is_here).map(occupant).collect();
    let occupancy = Occupancy { nodes: names.clone(), pods, budgets: vec![] };
    snapshot.occupancy.insert(pool.to_owned(), Known::seen(NOW, occupancy));
}

/// Cordons nodes of a pool for policy `p`, ten minutes ago.
pub(crate) fn begin_drain(snapshot: &mut Snapshot, pool: &str, indices: &[u32]) {
    let names: Vec<String> = indices.iter().map(|index| node(pool, *index).name).collect();
    let mark = DrainMark { policy: "p".into(), plan: "a test".into(), since: ago(600) };
    for node in nodes_mut(snapshot, pool).filter(|node| names.contains(&node.name)) {
        (node.cordoned, node.drain) = (true, Some(Box::new(mark.clone())));
    }
}

/// The value of a part, for changing it.
pub(crate) fn edit<T>(known: &mut Known<T>) -> &mut T {
    match known {
        Known::Seen { value, .. } => value,
        Known::Unknown { reason } => panic!("unknown: {reason}"),
    }
}

/// The pool of that name, for changing it.
pub(crate) fn pool_mut<'a>(snapshot: &'a mut Snapshot, name: &str) -> &'a mut AgentPool {
    edit(&mut snapshot.cluster).pools.iter_mut().find(|pool| pool.name == name).unwrap()
}

/// The nodes of a pool, for changing them.
pub(crate) fn nodes_mut<'a>(snapshot: &'a mut Snapshot, pool: &str) -> impl Iterator<Item = &'a mut Node> {
    edit(&mut snapshot.nodes).iter_mut().filter(move |node| node.pool.as_deref() == Some(pool))
}

/// Lets a pod run on the first node of a pool.
pub(crate) fn run(snapshot: &mut Snapshot, name: &str, pool: &str) -> Pod {
    let pod = pod(name, &node(pool, 0));
    edit(&mut snapshot.pods).push(pod.clone());
    pod
}

/// An add-on of two pods that has run as wished for an hour.
pub(crate) fn workload(name: &str) -> Workload {
    let well_since = Some(ago(3600));
    Workload { namespace: "kube-system".into(), name: name.to_owned(), wished: 2, ready: 2, updated: 2, well_since }
}

pub(crate) fn taint(text: &str) -> Taint {
    text.parse().unwrap()
}

fn step(pool: &str, change: Change) -> Step {
    Step { policy: "p".into(), pool: pool.to_owned(), change }
}

pub(crate) fn demote(pool: &str) -> Step {
    step(pool, Change::Mode { from: Mode::System, to: Mode::User })
}

pub(crate) fn promote(pool: &str) -> Step {
    step(pool, Change::Mode { from: Mode::User, to: Mode::System })
}

pub(crate) fn scale(pool: &str, from: u32, to: u32) -> Step {
    step(pool, Change::Count { from, to })
}

/// Another try of what has failed.
pub(crate) fn repair(pool: &str) -> Step {
    step(pool, Change::Repair { code: "QuotaExceeded".into() })
}

/// Gives a pool that has no taints these.
pub(crate) fn put_taints(pool: &str, taints: &[&str]) -> Step {
    step(pool, Change::Taints { from: vec![], to: taints.iter().map(|text| taint(text)).collect() })
}

/// Gives a pool that has no labels this one.
pub(crate) fn put_label(pool: &str, key: &str) -> Step {
    step(pool, Change::Labels { from: [].into(), to: [(key.to_owned(), "x".to_owned())].into() })
}

/// Gives a pool that has no tags this one.
pub(crate) fn put_tag(pool: &str, key: &str) -> Step {
    step(pool, Change::Tags { from: [].into(), to: [(key.to_owned(), "x".to_owned())].into() })
}

/// Gives a pool whose autoscaler has these bounds others; `None` is off.
pub(crate) fn autoscale(pool: &str, from: Option<(u32, u32)>, to: Option<(u32, u32)>) -> Step {
    let bounds = |bounds: Option<(u32, u32)>| bounds.map(|(min, max)| crate::Autoscaling { min, max });
    step(pool, Change::Autoscaling { from: bounds(from), to: bounds(to) })
}

/// Upgrades a pool that runs 1.33.5.
pub(crate) fn upgrade_to(pool: &str, version: &str) -> Step {
    step(pool, Change::Version { from: crate::Version::parse("1.33.5"), to: crate::Version::parse(version).unwrap() })
}

/// A change of how upgrades go through a pool that has AKS's own settings.
pub(crate) fn let_miss(pool: &str, nodes: &str) -> Step {
    let settings =
        |text: &str| crate::UpgradeSettings { max_unavailable: Some(text.into()), ..crate::UpgradeSettings::default() };
    step(pool, Change::UpgradeSettings { from: settings("0"), to: settings(nodes) })
}

/// A newer node image than that of [`pool`].
pub(crate) const LATEST_IMAGE: &str = "AKSUbuntu-2204gen2containerd-202602.10.0";

/// Brings the nodes of a pool, made by [`pool`], to the latest image.
pub(crate) fn upgrade_image(name: &str) -> Step {
    step(name, Change::NodeImage { from: pool(name, Mode::User, 1).node_image.unwrap() })
}

/// Tells of a pool that AKS offers it these versions and nothing runs on it.
pub(crate) fn offer(snapshot: &mut Snapshot, pool: &str, versions: &[&str]) {
    let nodes = nodes_mut(snapshot, pool).map(|node| node.name.clone()).collect();
    let offered = versions.iter().map(|text| crate::Version::parse(text).unwrap()).collect();
    let occupancy = Occupancy { nodes, ..Occupancy::default() };
    snapshot.upgradable.insert(
        pool.to_owned(),
        Known::seen(NOW, crate::Upgradable { offered, latest_image: Some(LATEST_IMAGE.into()), occupancy }),
    );
}

/// The steps as writes that ARM accepted.
pub(crate) fn in_flight(steps: impl IntoIterator<Item = Step>) -> Vec<InFlight> {
    steps.into_iter().map(|step| InFlight { step, since: ago(5) }).collect()
}

/// What the guard says of the step under one rule.
pub(crate) fn broken(snapshot: &Snapshot, step: &Step, rule: Rule) -> Option<Broken> {
    let refusal = guard(step.clone(), snapshot, &Settings::default()).err()?;
    refusal.broken.into_iter().find(|broken| broken.rule == rule)
}

/// All rules that the guard says the step breaks.
pub(crate) fn rules(snapshot: &Snapshot, step: &Step) -> Vec<Rule> {
    let refusal = guard(step.clone(), snapshot, &Settings::default()).err();
    refusal.map(|refusal| refusal.broken.iter().map(|broken| broken.rule).collect()).unwrap_or_default()
}

/// A snapshot in which policy `p` names the pool.
pub(crate) fn governed(pools: Vec<AgentPool>, pool: &str) -> Snapshot {
    let mut snapshot = snapshot(pools);
    edit(&mut snapshot.intents).push(intent("p", pool));
    snapshot
}

pub(crate) fn stop(pool: &str) -> Step {
    step(pool, Change::Stop)
}

pub(crate) fn start(pool: &str) -> Step {
    step(pool, Change::Start)
}
