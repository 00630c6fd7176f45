//! Small clusters for tests. Never compiled into the product.

use crate::{
    AgentPool, Budget, Cluster, Enforcement, Intent, Known, Mode, Node, Os, Owner, Pod, PoolKind, Power,
    ProvisioningState, Readiness, Snapshot, Time, Toleration, TolerationOperator,
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
        requested_version: Some("1.33".into()),
        current_version: Some("1.33.5".into()),
        max_unavailable: Some("0".into()),
        failure: None,
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
        name: name.to_owned(),
        node: Some(node.name.clone()),
        owner: Owner::Other,
        deleting: false,
        tolerations: vec![tolerates("CriticalAddonsOnly", false), tolerates("node.kubernetes.io/not-ready", true)],
        selects: [].into(),
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
        taints: None,
        labels: None,
        owned_labels: [].into(),
        attempt: None,
        stalled: false,
    }
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
    let nodes = nodes.collect();
    let cluster = Cluster {
        id: "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c".into(),
        subscription: "sub".into(),
        node_resource_group: Some("MC_rg".into()),
        issuer_url: Some("https://issuer.example/".into()),
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        pools,
    };
    Snapshot {
        now: NOW,
        intents: Known::seen(NOW, vec![]),
        cluster: Known::seen(NOW, cluster),
        issuer: Known::seen(NOW, "https://issuer.example/".into()),
        nodes: Known::seen(NOW, nodes),
        pods: Known::seen(NOW, vec![]),
        budgets: Known::seen(NOW, Vec::<Budget>::new()),
        in_flight: vec![],
    }
}

/// The value of a part, for changing it.
pub(crate) fn edit<T>(known: &mut Known<T>) -> &mut T {
    match known {
        Known::Seen { value, .. } => value,
        Known::Unknown { reason } => panic!("unknown: {reason}"),
    }
}
