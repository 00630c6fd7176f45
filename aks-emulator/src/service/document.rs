//! Documents of clusters and pools as a GET shows them, and the defaults that the service fills in. Never judges.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::operation::Kind;
use super::state::{Cluster, Pool};
use super::{merge, syntax, validate};
use crate::nodes::names;
use crate::{ClusterSpec, Error, NodePool, PoolSpec};

/// Node image of every pool, as in the newest recording.
pub(crate) const NODE_IMAGE: &str = "AKSUbuntu-2204gen2containerd-202601.07.0";
const POOL_TYPE: &str = "Microsoft.ContainerService/managedClusters/agentPools";

/// A stored cluster from a person's description.
pub(crate) fn cluster_from(spec: &ClusterSpec) -> Result<Cluster, Error> {
    let mut cluster = Cluster {
        id: spec.id(),
        subscription: spec.subscription.clone(),
        resource_group: spec.resource_group.clone(),
        name: spec.name.clone(),
        location: spec.location.clone(),
        properties: cluster_properties(spec),
        pools: Vec::new(),
    };
    for pool in &spec.pools {
        let stored = pool_from(&cluster, pool);
        validate::pool(&cluster, &stored.name, &stored.properties, "").map_err(|refusal| {
            let field = format!("pools.{}", pool.name);
            Error::setting(&field, "not as the service accepts it", refusal.message())
        })?;
        cluster.pools.push(stored);
    }
    Ok(cluster)
}

fn cluster_properties(spec: &ClusterSpec) -> Map<String, Value> {
    let id = spec.id().to_ascii_lowercase();
    let prefix = format!("{}-{:08x}", spec.name, names::digest(&id) & u64::from(u32::MAX));
    let uid = spec.resource_uid.clone().unwrap_or_else(|| format!("{:024x}", names::digest(&id)));
    let issuer = match &spec.issuer_url {
        Some(url) => json!({"enabled": true, "issuerURL": url}),
        None => json!({"enabled": false}),
    };
    map(json!({
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "kubernetesVersion": spec.requested_version(),
        "currentKubernetesVersion": spec.kubernetes_version,
        "dnsPrefix": spec.name,
        "fqdn": format!("{prefix}.hcp.{}.azmk8s.io", spec.location),
        "azurePortalFQDN": format!("{prefix}.portal.hcp.{}.azmk8s.io", spec.location),
        "nodeResourceGroup": spec.node_resource_group(),
        "enableRBAC": true,
        "supportPlan": "KubernetesOfficial",
        "networkProfile": {
            "networkPlugin": "azure",
            "networkPluginMode": "overlay",
            "networkDataplane": "azure",
            "loadBalancerSku": "standard",
            "podCidr": "10.244.0.0/16",
            "serviceCidr": "10.0.0.0/16",
            "dnsServiceIP": "10.0.0.10",
            "outboundType": "loadBalancer",
            "podCidrs": ["10.244.0.0/16"],
            "serviceCidrs": ["10.0.0.0/16"],
            "ipFamilies": ["IPv4"],
        },
        "maxAgentPools": 100,
        "disableLocalAccounts": false,
        "securityProfile": {"workloadIdentity": {"enabled": spec.issuer_url.is_some()}},
        "storageProfile": {
            "diskCSIDriver": {"enabled": true},
            "fileCSIDriver": {"enabled": true},
            "snapshotController": {"enabled": true},
        },
        "oidcIssuerProfile": issuer,
        "workloadAutoScalerProfile": {},
        "resourceUID": uid,
    }))
}

fn pool_from(cluster: &Cluster, spec: &PoolSpec) -> Pool {
    let mut sent = map(json!({
        "count": spec.count,
        "mode": spec.mode,
        "vmSize": spec.vm_size,
        "osType": spec.os_type,
        "type": spec.kind,
        "maxPods": spec.max_pods,
        "nodeLabels": spec.labels,
        "nodeTaints": spec.taints,
        "availabilityZones": spec.zones,
        "orchestratorVersion": spec.orchestrator_version,
    }));
    if let Some((min, max)) = spec.autoscaling {
        sent.insert("enableAutoScaling".to_owned(), json!(true));
        sent.insert("minCount".to_owned(), json!(min));
        sent.insert("maxCount".to_owned(), json!(max));
    }
    let mut properties = create(cluster, &sent);
    if let Some(current) = &spec.current_version {
        properties.insert("currentOrchestratorVersion".to_owned(), json!(current));
    }
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    Pool {
        name: spec.name.clone(),
        applied: merge::applied(&properties),
        properties,
        count_when_started: None,
        next_instance: 0,
        deallocated: 0,
        deletion_started: None,
    }
}

/// Properties of a new pool: what was sent over the server's defaults.
pub(crate) fn create(cluster: &Cluster, sent: &Map<String, Value>) -> Map<String, Value> {
    let mut properties = merge::merge(&pool_defaults(cluster, sent), sent, true);
    merge::normalise(&mut properties);
    let version = syntax::resolve_version(
        super::state::text(&properties, "orchestratorVersion"),
        cluster.text("currentKubernetesVersion"),
    );
    properties.insert("currentOrchestratorVersion".to_owned(), json!(version));
    properties.insert("eTag".to_owned(), json!(Uuid::new_v4().to_string()));
    let state = Kind::Create.provisioning_state();
    properties.insert("provisioningState".to_owned(), json!(state));
    properties
}

/// What the service fills in, as recorded in 2026 (09, exchange 42) and for User pools in 2025 (04, exchange 28).
fn pool_defaults(cluster: &Cluster, sent: &Map<String, Value>) -> Map<String, Value> {
    let system = sent.get("mode").and_then(Value::as_str).is_some_and(|mode| mode.eq_ignore_ascii_case("System"));
    let upgrade =
        if system { json!({"maxSurge": "10%", "maxUnavailable": "0"}) } else { json!({"maxUnavailable": "0"}) };
    map(json!({
        "vmSize": "Standard_D4ds_v5",
        "osDiskSizeGB": 128,
        "osDiskType": "Managed",
        "kubeletDiskType": "OS",
        "maxPods": 250,
        "type": "VirtualMachineScaleSets",
        "enableAutoScaling": false,
        "scaleDownMode": "Delete",
        "powerState": {"code": "Running"},
        "orchestratorVersion": cluster.text("kubernetesVersion"),
        "enableNodePublicIP": false,
        "mode": "User",
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "nodeImageVersion": NODE_IMAGE,
        "upgradeSettings": upgrade,
        "enableFIPS": false,
        "securityProfile": {"sshAccess": "LocalUser", "enableVTPM": false, "enableSecureBoot": false},
    }))
}

/// Properties of a pool as a GET shows them.
pub(crate) fn pool_properties(pool: &Pool, etags: bool) -> Map<String, Value> {
    let mut properties = pool.properties.clone();
    if !etags {
        properties.remove("eTag");
    }
    // Recorded for pools of type VirtualMachines, whose profile says both for each size.
    if pool.text("type") == "VirtualMachines" {
        properties.remove("count");
        properties.remove("vmSize");
    }
    properties
}

/// A pool as a GET of it shows it.
pub(crate) fn pool(cluster: &Cluster, pool: &Pool, etags: bool) -> Value {
    json!({
        "id": pool_id(cluster, pool),
        "name": pool.name,
        "type": POOL_TYPE,
        "properties": pool_properties(pool, etags),
    })
}

/// The id of a pool as the service writes it.
pub(crate) fn pool_id(cluster: &Cluster, pool: &Pool) -> String {
    format!("{}/agentPools/{}", shown_id(cluster), pool.name)
}

/// The managed cluster as a GET of it shows it.
pub(crate) fn cluster(cluster: &Cluster, etags: bool) -> Value {
    let profiles: Vec<Value> = cluster
        .pools
        .iter()
        .map(|pool| {
            let mut profile = pool_properties(pool, etags);
            profile.insert("name".to_owned(), json!(pool.name));
            Value::Object(profile)
        })
        .collect();
    let mut properties = cluster.properties.clone();
    properties.insert("agentPoolProfiles".to_owned(), Value::Array(profiles));
    json!({
        "id": shown_id(cluster),
        "location": cluster.location,
        "name": cluster.name,
        "type": "Microsoft.ContainerService/ManagedClusters",
        "properties": properties,
        "identity": {"type": "SystemAssigned"},
        "sku": {"name": "Base", "tier": "Free"},
    })
}

/// The id as the service writes it, with `resourcegroups` in lower case.
fn shown_id(cluster: &Cluster) -> String {
    format!(
        "/subscriptions/{}/resourcegroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
        cluster.subscription, cluster.resource_group, cluster.name
    )
}

/// What the nodes of a pool should look like.
pub(crate) fn node_pool(cluster: &Cluster, pool: &Pool) -> NodePool {
    let strings = |property: &str| merge::strings(pool.get(property));
    NodePool {
        subscription: cluster.subscription.clone(),
        node_resource_group: cluster.text("nodeResourceGroup").to_owned(),
        location: cluster.location.clone(),
        name: pool.name.clone(),
        scale_set: names::scale_set(&cluster.id, &pool.name),
        mode: pool.text("mode").to_owned(),
        vm_size: pool.text("vmSize").to_owned(),
        os_type: pool.text("osType").to_owned(),
        os_sku: pool.text("osSKU").to_owned(),
        node_image_version: pool.text("nodeImageVersion").to_owned(),
        kubernetes_version: pool.text("currentOrchestratorVersion").to_owned(),
        max_pods: pool.get("maxPods").and_then(Value::as_u64).unwrap_or(250),
        labels: merge::labels(&pool.properties),
        taints: strings("nodeTaints"),
        initialization_taints: strings("nodeInitializationTaints"),
        zones: strings("availabilityZones"),
        spot: pool.text("scaleSetPriority") == "Spot",
    }
}

/// A literal object as a map.
fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
