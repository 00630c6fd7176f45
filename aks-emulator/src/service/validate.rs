//! The service's rules for what a pool may be and what may change. Never changes anything.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::merge::{labels, strings};
use super::refusal::Refusal;
use super::state::{Cluster, text};
pub(crate) use super::syntax::minor;
use super::{capacity, local_dns, node_config, syntax};
use crate::nodes::machine_size;

/// Properties of the generally available versions; others are refused.
const KNOWN: [&str; 51] = [
    "artifactStreamingProfile",
    "availabilityZones",
    "capacityReservationGroupID",
    "count",
    "creationData",
    "currentOrchestratorVersion",
    "eTag",
    "enableAutoScaling",
    "enableEncryptionAtHost",
    "enableFIPS",
    "enableNodePublicIP",
    "enableUltraSSD",
    "gatewayProfile",
    "gpuInstanceProfile",
    "gpuProfile",
    "hostGroupID",
    "kubeletConfig",
    "kubeletDiskType",
    "linuxOSConfig",
    "localDNSProfile",
    "maxCount",
    "maxPods",
    "messageOfTheDay",
    "minCount",
    "mode",
    "networkProfile",
    "nodeImageVersion",
    "nodeLabels",
    "nodePublicIPPrefixID",
    "nodeTaints",
    "orchestratorVersion",
    "osDiskSizeGB",
    "osDiskType",
    "osSKU",
    "osType",
    "podIPAllocationMode",
    "podSubnetID",
    "powerState",
    "provisioningState",
    "proximityPlacementGroupID",
    "scaleDownMode",
    "scaleSetEvictionPolicy",
    "scaleSetPriority",
    "securityProfile",
    "spotMaxPrice",
    "status",
    "tags",
    "type",
    "upgradeSettings",
    "vmSize",
    "windowsProfile",
];
/// Known too, but of pools of type `VirtualMachines`.
const KNOWN_ELSEWHERE: [&str; 4] =
    ["virtualMachinesProfile", "virtualMachineNodesStatus", "vnetSubnetID", "workloadRuntime"];
/// Properties of previews that recordings use.
const KNOWN_IN_PREVIEWS: [&str; 2] = ["enableCustomCATrust", "nodeInitializationTaints"];
/// What cannot change after the pool was created. `vmSize` has a text of its own.
const IMMUTABLE: [&str; 28] = [
    "availabilityZones",
    "creationData",
    "enableEncryptionAtHost",
    "enableNodePublicIP",
    "enableUltraSSD",
    "gpuInstanceProfile",
    "hostGroupID",
    "kubeletConfig",
    "kubeletDiskType",
    "linuxOSConfig",
    "maxPods",
    "messageOfTheDay",
    "nodePublicIPPrefixID",
    "osDiskSizeGB",
    "osDiskType",
    "osType",
    "podIPAllocationMode",
    "podSubnetID",
    "proximityPlacementGroupID",
    "scaleSetEvictionPolicy",
    "scaleSetPriority",
    "spotMaxPrice",
    "type",
    "vnetSubnetID",
    "capacityReservationGroupID",
    "windowsProfile",
    "workloadRuntime",
    "gatewayProfile",
];

/// Refuses members that the api-version does not have. Versions before 2024-01-01 ignore them.
pub(crate) fn fields(body: &Map<String, Value>, api_version: &str) -> Result<(), Refusal> {
    if api_version < "2024-01-01" {
        return Ok(());
    }
    let envelope = ["id", "name", "type", "properties"];
    if let Some(name) = body.keys().find(|name| !envelope.contains(&name.as_str())) {
        return Err(Refusal::unknown_field(name));
    }
    let preview = api_version.ends_with("-preview");
    let properties = body.get("properties").and_then(Value::as_object);
    for name in properties.into_iter().flat_map(Map::keys) {
        let name = name.as_str();
        let known =
            KNOWN.contains(&name) || KNOWN_ELSEWHERE.contains(&name) || preview && KNOWN_IN_PREVIEWS.contains(&name);
        if !known {
            return Err(Refusal::unknown_field(name));
        }
    }
    Ok(())
}

/// Refuses a pool that the service would not have.
pub(crate) fn pool(
    cluster: &Cluster,
    name: &str,
    properties: &Map<String, Value>,
    api_version: &str,
) -> Result<(), Refusal> {
    if !syntax::is_pool_name(name) {
        return Err(Refusal::invalid("agentPoolProfile.name", None));
    }
    if text(properties, "osType") == "Windows" && name.len() > 6 {
        return Err(Refusal::windows_name(name));
    }
    mode(name, properties)?;
    counts(properties)?;
    taints(properties)?;
    check_labels(properties)?;
    surge(properties)?;
    local_dns::check(properties)?;
    node_config::check(properties)?;
    capacity::check(cluster, name, properties)?;
    version(cluster, properties, api_version)
}

fn mode(name: &str, properties: &Map<String, Value>) -> Result<(), Refusal> {
    let mode = text(properties, "mode");
    if !matches!(mode, "System" | "User" | "Gateway" | "ManagedSystem" | "Machines") {
        return Err(Refusal::invalid("agentPoolProfile.mode", None));
    }
    if mode != "System" {
        return Ok(());
    }
    if text(properties, "osType") == "Windows" {
        return Err(Refusal::not_as_system("Windows"));
    }
    if text(properties, "scaleSetPriority") == "Spot" {
        return Err(Refusal::not_as_system("Spot"));
    }
    // The documents say that only User pools can be stopped; the refusal's text is not recorded.
    if power(properties) == "Stopped" {
        return Err(Refusal::invalid("agentPoolProfile.powerState", Some("You can't stop system pools.")));
    }
    match machine_size(text(properties, "vmSize")) {
        Some((cpus, gibibytes)) if cpus < 2 || gibibytes < 4 => Err(Refusal::small_machine(name)),
        _ => Ok(()),
    }
}

fn counts(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let least = i64::from(text(properties, "mode") == "System");
    let autoscaled = properties.get("enableAutoScaling") == Some(&Value::Bool(true));
    let stopped = power(properties) == "Stopped";
    if autoscaled {
        let min = required_number(properties, "minCount")?;
        let max = required_number(properties, "maxCount")?;
        for (name, value) in [("minCount", min), ("maxCount", max)] {
            if !(least..=1000).contains(&value) {
                return Err(Refusal::count(&format!("agentPoolProfile.{name}"), value, least));
            }
        }
        if min > max {
            return Err(Refusal::invalid(
                "agentPoolProfile.minCount",
                Some("minCount must not be greater than maxCount."),
            ));
        }
        return Ok(());
    }
    if stopped || text(properties, "type") == "VirtualMachines" {
        return Ok(());
    }
    let count = required_number(properties, "count")?;
    if (least..=1000).contains(&count) {
        return Ok(());
    }
    Err(Refusal::count("agentPoolProfile.count", count, least))
}

fn required_number(properties: &Map<String, Value>, name: &str) -> Result<i64, Refusal> {
    match properties.get(name) {
        None | Some(Value::Null) => Err(Refusal::required(&format!("properties.{name}"))),
        Some(value) => {
            value.as_i64().ok_or_else(|| Refusal::content(&format!("properties.{name} is {value}, not a whole number")))
        }
    }
}

fn taints(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let spot = text(properties, "scaleSetPriority") == "Spot";
    let system = text(properties, "mode") == "System";
    let mut seen = BTreeSet::new();
    let own = strings(properties.get("nodeTaints"));
    for taint in &own {
        let Some((key, _, effect)) = syntax::taint(taint) else {
            return Err(Refusal::invalid(
                "agentPoolProfile.nodeTaints",
                Some(&format!("taint '{taint}' is not key=value:Effect.")),
            ));
        };
        let spots_own = spot && key == "kubernetes.azure.com/scalesetpriority";
        if key.starts_with("kubernetes.azure.com/") && !spots_own {
            return Err(Refusal::invalid(
                "agentPoolProfile.nodeTaints",
                Some(&format!("taint key '{key}' is reserved.")),
            ));
        }
        if !seen.insert((key, effect)) {
            return Err(Refusal::invalid(
                "agentPoolProfile.nodeTaints",
                Some(&format!("taint '{key}:{effect}' is given twice.")),
            ));
        }
    }
    let initial = strings(properties.get("nodeInitializationTaints"));
    let restricted = own.iter().chain(&initial).any(|taint| {
        syntax::taint(taint).is_some_and(|(key, _, effect)| key != "CriticalAddonsOnly" && effect != "PreferNoSchedule")
    });
    if system && restricted {
        return Err(Refusal::restricted_taint());
    }
    Ok(())
}

fn check_labels(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let spot = text(properties, "scaleSetPriority") == "Spot";
    for (key, value) in labels(properties) {
        let prefix = syntax::prefix(&key).unwrap_or_default();
        let within =
            |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        let spots_own = spot && key == "kubernetes.azure.com/scalesetpriority";
        if within("kubernetes.azure.com") && !spots_own {
            return Err(Refusal::reserved_label(&key));
        }
        let allowed = within("kubelet.kubernetes.io") || within("node.kubernetes.io");
        if (within("kubernetes.io") || within("k8s.io")) && !allowed {
            return Err(Refusal::kubernetes_label(&key));
        }
        if !syntax::is_label_key(&key) || !syntax::is_label_value(&value) {
            return Err(Refusal::invalid(
                "agentPoolProfile.nodeLabels",
                Some(&format!("label '{key}: {value}' is malformed.")),
            ));
        }
    }
    Ok(())
}

/// Spot machines are not kept for an upgrade.
fn surge(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let surge = properties.get("upgradeSettings").and_then(|settings| settings.get("maxSurge"));
    if text(properties, "scaleSetPriority") == "Spot" && surge.is_some_and(|surge| !is_blank(surge)) {
        return Err(Refusal::invalid("agentPoolProfile.upgrade.maxSurge", Some("Spot pools can't set max surge.")));
    }
    Ok(())
}

/// The rule of N-3. Initial pools (no api-version) may have any version, to start from odd states.
fn version(cluster: &Cluster, properties: &Map<String, Value>, api_version: &str) -> Result<(), Refusal> {
    let requested = text(properties, "orchestratorVersion");
    let current = cluster.text("currentKubernetesVersion");
    let Some(wanted) = minor(requested) else {
        return Err(Refusal::invalid("agentPoolProfile.orchestratorVersion", None));
    };
    let Some(control_plane) = minor(current) else {
        return Ok(());
    };
    if api_version.is_empty() {
        return Ok(());
    }
    if wanted > control_plane {
        return Err(Refusal::version_above(requested, current));
    }
    if wanted.0 != control_plane.0 || wanted.1 + 3 < control_plane.1 {
        return Err(Refusal::version_below(requested, current));
    }
    Ok(())
}

/// Refuses changes that the service answers with `PropertyChangeNotAllowed`.
pub(crate) fn change(from: &Map<String, Value>, to: &Map<String, Value>) -> Result<(), Refusal> {
    let same = |name: &str| {
        let value = |map: &Map<String, Value>| map.get(name).filter(|v| !is_blank(v)).cloned();
        match (value(from), value(to)) {
            (Some(Value::String(a)), Some(Value::String(b))) => a.eq_ignore_ascii_case(&b),
            (a, b) => a == b,
        }
    };
    if !same("vmSize") {
        return Err(Refusal::machine_size());
    }
    match IMMUTABLE.into_iter().find(|name| !same(name)) {
        Some(name) => Err(Refusal::immutable(name)),
        None => Ok(()),
    }
}

/// Whether a value is what an absent one means.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// `powerState.code`.
pub(crate) fn power(properties: &Map<String, Value>) -> &str {
    properties.get("powerState").and_then(|state| state.get("code")).and_then(Value::as_str).unwrap_or("Running")
}
