//! Small worlds as the kernel sees them: what ARM and Kubernetes would show. Never judges.

use std::collections::BTreeMap;

use nodepool_kernel::{
    AgentPool, Aim, Autoscaling, Change, Cluster, Deletion, Drain, Enforcement, InFlight, Intent, Known, Mode, Node,
    Occupancy, Os, PoolFailure, PoolKind, Power, ProvisioningState, Readiness, Rows, Snapshot, Step, SystemPods, Taint,
    Time, Upgradable, UpgradeSettings, Version,
};

use crate::world::{Bounds, Own, Pool, State, Taints, World, Write};

const NOW: Time = Time::from_millis(1_800_000_000_000);
const NAMES: [&str; 3] = ["subject", "second", "third"];
/// The version of the pools, and that of the control plane, which AKS offers them.
const RUNS: &str = "1.33.5";
const NEWER: &str = "1.34.2";
const ISSUER: &str = "https://issuer.example/";

fn ago(seconds: i64) -> Time {
    Time::from_millis(NOW.as_millis() - seconds * 1000)
}

fn mode(system: bool) -> Mode {
    if system { Mode::System } else { Mode::User }
}

fn unavailable(nodes: u8) -> UpgradeSettings {
    UpgradeSettings { max_unavailable: Some(nodes.to_string()), ..UpgradeSettings::default() }
}

fn bounds(of: Bounds) -> Autoscaling {
    Autoscaling { min: of.min.into(), max: of.max.into() }
}

fn power(runs: bool) -> Power {
    if runs { Power::Running } else { Power::NotRunning("Stopped".into()) }
}

fn list(taints: Taints) -> Vec<Taint> {
    let text = match taints {
        Taints::None => return vec![],
        Taints::Addons => "CriticalAddonsOnly=true:NoSchedule",
        Taints::NoSchedule => "team=a:NoSchedule",
        Taints::NoExecute => "team=a:NoExecute",
    };
    vec![text.parse().unwrap()]
}

/// The step that makes the write on a pool as it was before.
fn step(pool: &Pool, name: &str, write: Write) -> Step {
    let labels = |value: &str| BTreeMap::from([("tier".to_owned(), value.to_owned())]);
    let change = match write {
        Write::Demote => Change::Mode { from: Mode::System, to: Mode::User },
        Write::Promote => Change::Mode { from: Mode::User, to: Mode::System },
        Write::Scale(to) => Change::Count { from: pool.count.into(), to: to.into() },
        Write::Taints(to) => Change::Taints { from: list(pool.taints), to: list(to) },
        Write::Label => Change::Labels { from: BTreeMap::new(), to: labels("web") },
        Write::Repair => Change::Repair { code: String::new() },
        Write::Upgrade => Change::Version { from: Version::parse(RUNS), to: Version::parse(NEWER).unwrap() },
        Write::Unavailable(to) => Change::UpgradeSettings { from: unavailable(pool.unavailable), to: unavailable(to) },
        Write::Autoscale(to) => Change::Autoscaling { from: pool.bounds.map(bounds), to: to.map(bounds) },
        Write::Delete => Change::Delete,
        Write::Stop => Change::Stop,
        Write::Start => Change::Start,
        Write::Drain(number) => {
            let (from, to) = (pool.count.into(), (pool.count - number).into());
            let nodes = (0..number).map(|index| node_name(name, index)).collect();
            Change::Drain(Drain::Cordon { nodes, aim: Aim::Scale { from, to } })
        }
        Write::Empty => {
            let open = nodes(pool, name).into_iter().filter(|node| !node.cordoned);
            Change::Drain(Drain::Cordon { nodes: open.map(|node| node.name).collect(), aim: Aim::Deletion })
        }
    };
    Step { policy: "p".into(), pool: name.to_owned(), change }
}

/// The step on the subject.
pub fn subject_step(subject: &Pool, write: Write) -> Step {
    step(subject, NAMES[0], write)
}

fn pool(pool: &Pool, name: &str) -> AgentPool {
    let failed = |code: &str| Some(PoolFailure { code: code.to_owned(), message: "it failed".into() });
    let (state, failure) = match pool.state {
        State::Succeeded | State::Stopped => (ProvisioningState::Succeeded, None),
        State::Failed | State::Mixed | State::StopFailed => (ProvisioningState::Failed, None),
        State::RemovalFailed => (ProvisioningState::Failed, failed("PodDrainFailure")),
        State::UpgradeFailed => (ProvisioningState::Failed, failed("UpgradeFailed")),
        State::HalfUpgraded => (ProvisioningState::Canceled, None),
        State::Busy(operation) => (ProvisioningState::Busy(operation.to_owned()), None),
    };
    let mut shown = AgentPool {
        name: name.to_owned(),
        mode: mode(pool.system),
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: power(pool.runs()),
        state,
        count: pool.count.into(),
        autoscaling: pool.bounds.map(bounds),
        taints: list(pool.taints),
        labels: BTreeMap::new(),
        tags: [].into(),
        requested_version: Some(if pool.state == State::HalfUpgraded { "1.34" } else { "1.33" }.into()),
        current_version: Some(RUNS.into()),
        node_image: None,
        max_surge: None,
        max_unavailable: Some(pool.unavailable.to_string()),
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure,
        settings: std::sync::Arc::default(),
    };
    if let Some(Own { write, shown: true }) = pool.own {
        let operation = match write {
            Write::Scale(_) => "Scaling",
            Write::Delete => "Deleting",
            Write::Stop => "Stopping",
            Write::Upgrade => "Upgrading",
            Write::Start => "Starting",
            _ => "Updating",
        };
        (shown.state, shown.failure) = (ProvisioningState::Busy(operation.to_owned()), None);
        match write {
            Write::Demote | Write::Promote => shown.mode = mode(!pool.system),
            Write::Scale(to) => shown.count = to.into(),
            Write::Taints(to) => shown.taints = list(to),
            Write::Autoscale(to) => shown.autoscaling = to.map(bounds),
            Write::Upgrade => shown.requested_version = Some(NEWER.into()),
            Write::Unavailable(to) => shown.max_unavailable = Some(to.to_string()),
            Write::Stop | Write::Start => shown.power = power(write == Write::Start),
            Write::Label | Write::Repair | Write::Delete | Write::Drain(_) | Write::Empty => {}
        }
    }
    shown
}

fn node_name(pool: &str, index: u8) -> String {
    format!("aks-{pool}-{index}")
}

/// What runs on the nodes of a pool: nothing.
fn vacant(pool: &Pool, name: &str) -> (String, Known<Occupancy>) {
    let nodes = (0..pool.nodes.number()).map(|index| node_name(name, index)).collect();
    (name.to_owned(), Known::seen(NOW, Occupancy { nodes, ..Occupancy::default() }))
}

/// What AKS offers the subject, on which nothing runs.
fn upgradable(subject: &Pool) -> Upgradable {
    let nodes = (0..subject.nodes.number()).map(|index| node_name(NAMES[0], index)).collect();
    let occupancy = Occupancy { nodes, ..Occupancy::default() };
    Upgradable { offered: Version::parse(NEWER).into_iter().collect(), latest_image: None, occupancy }
}

fn nodes(pool: &Pool, name: &str) -> Vec<Node> {
    let of = pool.nodes;
    let node = |index: u8| {
        let (not_ready, cordoned) = (of.usable..of.usable + of.not_ready, of.number() - of.tainted);
        let mut taints = list(pool.taints);
        let is_not_ready = not_ready.contains(&index);
        let is_tainted = index >= cordoned;
        taints.extend(is_tainted.then(|| "local=x:NoSchedule".parse().unwrap()));
        let since = ago(3600);
        let old = pool.state == State::Mixed && index == 0;
        Node {
            name: node_name(name, index),
            pool: Some(name.to_owned()),
            labelled_system: pool.system,
            quarantined: false,
            readiness: if is_not_ready { Readiness::NotReady { since } } else { Readiness::Ready { since } },
            joined: ago(7200),
            cordoned: (not_ready.end..cordoned).contains(&index),
            deleting: false,
            taints,
            provider_id: None,
            kubelet_version: if old { "v1.32.9" } else { "v1.33.5" }.into(),
            image_version: None,
            zone: None,
            drain: None,
        }
    };
    (0..of.number()).map(node).collect()
}

/// A node that belongs to no pool and proves that the cluster is the right one.
fn witness() -> Node {
    Node {
        name: "witness".into(),
        pool: None,
        labelled_system: false,
        quarantined: false,
        readiness: Readiness::Ready { since: ago(3600) },
        joined: ago(7200),
        cordoned: false,
        deleting: false,
        taints: vec![],
        provider_id: Some("azure:///subscriptions/sub/resourceGroups/MC_rg/x".into()),
        kubelet_version: String::new(),
        image_version: None,
        zone: None,
        drain: None,
    }
}

fn intent() -> Intent {
    Intent {
        policy: "p".into(),
        generation: 1,
        created: ago(600),
        pool: NAMES[0].to_owned(),
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
        upgrade: UpgradeSettings::default(),
        attempt: None,
        stalled: false,
        waits_since: None,
        template: None,
        creating: false,
        power: None,
        deletion: Some(Deletion::Delete),
        may_lose_workloads: false,
        may_exceed_fuse: false,
        break_glass: None,
        system_pods: SystemPods::Relocate,
    }
}

impl World {
    /// What ARM and Kubernetes show of it, with the operator's writes that it does not know the end of.
    pub fn snapshot(&self) -> Snapshot {
        let pools = || std::iter::once(&self.subject).chain(&self.others).zip(NAMES);
        let cluster = Cluster {
            id: "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c".into(),
            subscription: "sub".into(),
            node_resource_group: Some("MC_rg".into()),
            load_balancer_sku: None,
            issuer_url: Some(ISSUER.into()),
            state: ProvisioningState::Succeeded,
            power: Power::Running,
            version: Version::parse(NEWER),
            pools: pools().map(|(each, name)| pool(each, name)).collect(),
        };
        let nodes = pools().flat_map(|(each, name)| nodes(each, name)).chain([witness()]);
        let sent = pools().filter_map(|(each, name)| Some(step(each, name, each.own?.write)));
        Snapshot {
            now: NOW,
            paused: Known::seen(NOW, false),
            bulk: Known::seen(NOW, vec![]),
            intents: Known::seen(NOW, vec![intent()]),
            cluster: Known::seen(NOW, cluster),
            issuer: Known::seen(NOW, ISSUER.into()),
            nodes: Known::seen(NOW, nodes.collect()),
            pods: Known::seen(NOW, Rows::default()),
            budgets: Known::seen(NOW, vec![]),
            workloads: Known::seen(NOW, vec![]),
            places: Known::unknown("it has not been read yet"),
            in_flight: sent.map(|step| InFlight { step, since: ago(5) }).collect(),
            dependents: pools().map(|(_, name)| (name.to_owned(), Known::seen(NOW, vec![]))).collect(),
            occupancy: pools().map(|(each, name)| vacant(each, name)).collect(),
            upgradable: [(NAMES[0].to_owned(), Known::seen(NOW, upgradable(&self.subject)))].into(),
        }
    }
}
