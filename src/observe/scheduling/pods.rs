//! Pods as placement reads them: as they run, and as their workload would start them again. Never drops a field that
//! could keep a pod from a node.

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::placement::{HostPort, Obstacle, Pod};
use nodepool_kernel::{Taint, TaintEffect, Toleration, TolerationOperator};

use super::super::rows;
use super::affinity::{LabelKeys, pod_affinity};
use super::non_empty;
use super::requests::requests;
use super::selectors::node_terms;
use super::spread::spread;
use super::storage::{Storage, Use};

/// A pod and the node that it runs on (`None` while it is pending). `None` when it is finished and uses nothing.
///
/// The same value serves to ask where this very pod could run: the node that it was given does not tie it.
#[must_use]
pub fn resident(pod: &core::Pod, storage: &Storage) -> Option<(Option<String>, Pod)> {
    let status = pod.status.clone().unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let metadata = &pod.metadata;
    let identity = Pod {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        ..Pod::default()
    };
    let Some(spec) = &pod.spec else {
        return Some((
            None,
            Pod { obstacles: vec![Obstacle::Unknown("it has no specification".to_owned())], ..identity },
        ));
    };
    let node = non_empty(spec.node_name.as_ref()).cloned();
    let requests = requests(spec, Some(&status));
    Some((node, with_spec(Pod { requests, ..identity }, spec, storage, LabelKeys::Merged)))
}

/// The pod that a controller starts from its template in place of `old`, under the same name.
///
/// For templates of `ReplicaSet`s, whose pods differ by nothing but the name. What the API server adds to pods is added:
/// requests from limits, host ports of pods on the host's network, tolerations of nodes that fail, label keys. It asks for
/// no less than `old`, in which limit ranges and admission webhooks show.
#[must_use]
pub fn respawned(old: &core::Pod, template: &core::PodTemplateSpec, storage: &Storage) -> Pod {
    let metadata = template.metadata.as_ref();
    let identity = Pod {
        namespace: old.metadata.namespace.clone().unwrap_or_default(),
        name: old.metadata.name.clone().unwrap_or_default(),
        labels: metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default(),
        ..Pod::default()
    };
    let Some(spec) = &template.spec else {
        return Pod { obstacles: vec![Obstacle::Unknown("its template is empty".to_owned())], ..identity };
    };
    let mut requests = self::requests(spec, None);
    if let Some(spec) = &old.spec {
        requests.raise(&self::requests(spec, Some(&old.status.clone().unwrap_or_default())));
    }
    let mut pod = with_spec(Pod { requests, ..identity }, spec, storage, LabelKeys::Pending);
    pod.node_name = non_empty(spec.node_name.as_ref()).cloned();
    if let Some(class) = non_empty(spec.runtime_class_name.as_ref()) {
        pod.obstacles.push(Obstacle::NotModelled(format!("what its runtime class {class} adds")));
    }
    tolerate_failing_nodes(&mut pod.tolerations);
    pod
}

/// Upstream admission plugin `DefaultTolerationSeconds`.
fn tolerate_failing_nodes(tolerations: &mut Vec<Toleration>) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let taint = Taint::new(key, "", TaintEffect::NoExecute);
        if !tolerations.iter().any(|toleration| toleration.matches(&taint)) {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: TolerationOperator::Exists,
                value: String::new(),
                effect: Some(TaintEffect::NoExecute),
                limited: true,
            });
        }
    }
}

fn with_spec(pod: Pod, spec: &core::PodSpec, storage: &Storage, keys: LabelKeys) -> Pod {
    let affinity = pod_affinity(spec.affinity.as_ref(), &pod.namespace, &pod.labels, keys);
    let (spread, odd_spread) = spread(spec.topology_spread_constraints.as_ref());
    let node_affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let mut obstacles = obstacles(spec);
    obstacles.extend(affinity.obstacles);
    obstacles.extend(odd_spread);
    let existing = (keys == LabelKeys::Merged).then_some(pod.name.as_str());
    let (mut claims, mut untraced_volumes) = (Vec::new(), 0_u32);
    for volume in spec.volumes.iter().flatten() {
        match storage.usage(&pod.namespace, existing, volume) {
            Use::Free => {}
            Use::Claimed(claim) => claims.push(claim),
            Use::Untraced(obstacle) => {
                untraced_volumes = untraced_volumes.saturating_add(1);
                obstacles.push(obstacle);
            }
        }
    }
    Pod {
        tolerations: spec.tolerations.iter().flatten().map(rows::toleration).collect(),
        node_selector: spec.node_selector.clone().unwrap_or_default(),
        node_affinity: node_affinity.map(|required| node_terms(&required.node_selector_terms)),
        affinity: affinity.affinity,
        anti_affinity: affinity.anti_affinity,
        spread,
        ports: ports(spec),
        claims,
        untraced_volumes,
        obstacles,
        ..pod
    }
}

/// What keeps a pod from being placed whatever the nodes are.
fn obstacles(spec: &core::PodSpec) -> Vec<Obstacle> {
    let gates = spec.scheduling_gates.iter().flatten().map(|gate| Obstacle::Gate(gate.name.clone()));
    let claims = spec.resource_claims.iter().flatten().map(|claim| Obstacle::ResourceClaim(claim.name.clone()));
    let scheduler = non_empty(spec.scheduler_name.as_ref()).filter(|name| *name != "default-scheduler");
    let scheduler = scheduler.map(|name| Obstacle::Scheduler(name.clone()));
    // Where taints decide which nodes count for spreading, to tolerate less is not to fit less.
    let odd = spec
        .tolerations
        .iter()
        .flatten()
        .filter(|toleration| matches!(rows::toleration(toleration).operator, TolerationOperator::Other(_)));
    let odd = odd.map(|toleration| {
        let operator = toleration.operator.as_deref().unwrap_or_default();
        Obstacle::NotModelled(format!("its toleration with the operator {operator}"))
    });
    gates.chain(claims).chain(scheduler).chain(odd).collect()
}

/// Ports of the host (upstream `util.GetHostPorts`): of containers and sidecars. On the host's network every port is one.
fn ports(spec: &core::PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let on_host = spec.host_network == Some(true);
    let read = |port: &core::ContainerPort| {
        let number = port.host_port.filter(|number| *number > 0).or(on_host.then_some(port.container_port))?;
        let protocol = port.protocol.clone().filter(|protocol| !protocol.is_empty());
        (number > 0).then(|| HostPort {
            ip: port.host_ip.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_else(|| "TCP".to_owned()),
            port: number,
        })
    };
    ports.filter_map(read).collect()
}
