//! Clusters of a size, for measuring. Never asserts anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodepool_kernel::{
    AgentPool, Budget, Cluster, Enforcement, Intent, Known, Mode, Node, Os, Owner, Phase, Pod, PoolKind, Power,
    ProvisioningState, Readiness, Settings, Snapshot, Span, SystemPods, Taint, TaintEffect, Time, Toleration,
    TolerationOperator, Workload,
};

/// Pools of a cluster, and its policies.
pub const POOLS: usize = 100;
/// Protected pods on each node; half of them are of DaemonSets.
pub const PODS: usize = 8;
/// How many of the pools are system pools.
const SYSTEM_POOLS: usize = 2;

/// The time of all snapshots.
pub const NOW: Time = Time::from_millis(1_800_000_000_000);

/// What the policies ask for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// What is there.
    Nothing,
    /// A new label on every pool, which is safe.
    Label,
    /// One demotion, which is refused because of the pods on the pool.
    Demotion,
    /// A `NoExecute` taint on every user pool, each of which is refused because of the pods on it.
    Eviction,
}

/// A snapshot of a cluster with so many nodes in [`POOLS`] pools, [`PODS`] protected pods on each node, and a policy
/// for each pool.
pub fn snapshot(nodes: usize, asked: Asked) -> Snapshot {
    let each = nodes / POOLS;
    let pools: Vec<AgentPool> = (0..POOLS).map(|number| pool(number, each)).collect();
    let nodes: Vec<Node> = (0..POOLS).flat_map(|pool| (0..each).map(move |index| node(pool, index))).collect();
    let alike: Vec<Pod> = (0..PODS).map(pod).collect();
    let pods: Vec<Pod> = nodes.iter().flat_map(|node| pods_on(node, &alike)).collect();
    let cluster = Cluster {
        id: "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c".into(),
        subscription: "sub".into(),
        node_resource_group: Some("MC_rg".into()),
        load_balancer_sku: None,
        issuer_url: Some("https://issuer.example/".into()),
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        version: nodepool_kernel::Version::parse("1.34.2"),
        pools,
    };
    Snapshot {
        now: NOW,
        paused: Known::seen(NOW, false),
        bulk: Known::seen(NOW, vec![]),
        intents: Known::seen(NOW, (0..POOLS).map(|number| intent(number, each, asked)).collect()),
        cluster: Known::seen(NOW, cluster),
        issuer: Known::seen(NOW, "https://issuer.example/".into()),
        nodes: Known::seen(NOW, nodes.into()),
        pods: Known::seen(NOW, pods.into()),
        budgets: Known::seen(NOW, Vec::<Budget>::new()),
        workloads: Known::seen(NOW, vec![coredns()]),
        places: Known::unknown("it has not been read yet"),
        in_flight: Vec::new(),
        dependents: [].into(),
        occupancy: [].into(),
        upgradable: [].into(),
    }
}

/// An add-on that runs as wished.
fn coredns() -> Workload {
    let (namespace, name) = ("kube-system".to_owned(), "coredns".to_owned());
    Workload { namespace, name, wished: 2, ready: 2, updated: 2, well_since: Some(Time::default()) }
}

/// The operator's defaults.
pub fn settings() -> Settings {
    Settings { ready_for: Span::from_secs(60), ..Settings::default() }
}

fn mode(pool: usize) -> Mode {
    if pool < SYSTEM_POOLS { Mode::System } else { Mode::User }
}

fn name(pool: usize) -> String {
    format!("pool{pool:03}")
}

fn labels() -> BTreeMap<String, String> {
    ["team", "tier", "cost-centre"].map(|key| (key.to_owned(), "some-value".to_owned())).into()
}

fn pool(number: usize, count: usize) -> AgentPool {
    AgentPool {
        name: name(number),
        mode: mode(number),
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: Power::Running,
        state: ProvisioningState::Succeeded,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        autoscaling: None,
        taints: Vec::new(),
        labels: labels(),
        tags: labels(),
        requested_version: Some("1.33".into()),
        current_version: Some("1.33.5".into()),
        node_image: None,
        max_surge: None,
        max_unavailable: Some("0".into()),
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure: None,
        settings: Arc::default(),
    }
}

fn node(pool: usize, index: usize) -> Node {
    let name = name(pool);
    let provider_id = format!(
        "azure:///subscriptions/sub/resourceGroups/MC_rg/providers/Microsoft.Compute/virtualMachineScaleSets/aks-{name}-12345678-vmss/virtualMachines/{index}"
    );
    Node {
        name: format!("aks-{name}-12345678-vmss{index:06}"),
        pool: Some(name),
        labelled_system: mode(pool) == Mode::System,
        quarantined: false,
        readiness: Readiness::Ready { since: Time::from_millis(NOW.as_millis() - 3_600_000) },
        joined: Time::from_millis(NOW.as_millis() - 3_660_000),
        cordoned: false,
        deleting: false,
        taints: Vec::new(),
        provider_id: Some(provider_id),
        kubelet_version: "v1.33.5".into(),
        image_version: Some("AKSUbuntu-2204gen2containerd-202601.07.0".into()),
        zone: None,
        drain: None,
    }
}

/// A pod of each add-on on the node. What pods of one add-on or node have alike they share, as those do that the operator
/// watches.
fn pods_on(node: &Node, alike: &[Pod]) -> Vec<Pod> {
    let name: Arc<str> = node.name.as_str().into();
    let on_node = |like: &Pod| Pod {
        name: format!("{}-{name}", like.name).into(),
        node: Some(Arc::clone(&name)),
        ..like.clone()
    };
    alike.iter().map(on_node).collect()
}

/// What the pods of one add-on have alike.
fn pod(index: usize) -> Pod {
    let tolerates = |key: &str, effect, limited| Toleration {
        key: Some(key.to_owned()),
        operator: TolerationOperator::Exists,
        value: String::new(),
        effect,
        limited,
    };
    let unready = Some(TaintEffect::NoExecute);
    Pod {
        namespace: "kube-system".into(),
        name: format!("add-on-{index}").into(),
        node: None,
        owner: if index.is_multiple_of(2) { Owner::DaemonSet } else { Owner::Other },
        deleting: false,
        tolerations: vec![
            tolerates("CriticalAddonsOnly", None, false),
            tolerates("node.kubernetes.io/not-ready", unready, true),
            tolerates("node.kubernetes.io/unreachable", unready, true),
        ]
        .into(),
        selects: Arc::new(["kubernetes.io/os".to_owned()].into()),
        labels: Arc::new([("k8s-app".to_owned(), format!("add-on-{index}"))].into()),
        phase: Phase::Running,
        ready: true,
        controller: None,
        created: Time::default(),
    }
}

fn intent(pool: usize, count: usize, asked: Asked) -> Intent {
    let mut intent = Intent {
        policy: name(pool),
        generation: 1,
        created: Time::from_millis(NOW.as_millis() - 600_000),
        pool: name(pool),
        enforcement: Enforcement::Enforce,
        suspended: false,
        mode: Some(mode(pool)),
        count: u32::try_from(count).ok(),
        autoscaling: None,
        owns_autoscaler: false,
        taints: Some(Vec::new()),
        labels: Some(labels()),
        owned_labels: labels().into_keys().collect(),
        tags: Some(labels()),
        owned_tags: labels().into_keys().collect(),
        version: None,
        image: None,
        upgrade: nodepool_kernel::UpgradeSettings::default(),
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
        system_pods: SystemPods::Protect,
    };
    match asked {
        Asked::Label => {
            intent.labels.get_or_insert_default().insert("new".into(), "label".into());
        }
        Asked::Demotion if pool == 0 => intent.mode = Some(Mode::User),
        Asked::Eviction if pool >= SYSTEM_POOLS => {
            intent.taints = Some(vec![Taint::new("team", "shop", TaintEffect::NoExecute)]);
        }
        Asked::Nothing | Asked::Demotion | Asked::Eviction => {}
    }
    intent
}
