//! Documents of clusters and pools as a GET shows them, and the defaults that the service fills in. Never judges.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::capacity::Limits;
use super::operation::Kind;
use super::state::{Cluster, Pool};
use super::{images, initial, merge, rolling, syntax, versions};
use crate::nodes::names;
use crate::{ClusterSpec, Error, NodePool};

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
        members: cluster_members(&spec.tenant),
        limits: Limits { vcpu_quota: spec.vcpu_quota, vm_sizes: spec.vm_sizes.clone() },
        latest_node_image: spec.latest_node_image.clone(),
        pools: Vec::new(),
        stopped_pools: Vec::new(),
    };
    for (index, pool) in spec.pools.iter().enumerate() {
        let stored = initial::pool(&cluster, pool, index)?;
        cluster.pools.push(stored);
    }
    Ok(cluster)
}

/// Who the cluster is towards Azure, and its price.
fn cluster_members(tenant: &str) -> Map<String, Value> {
    map(json!({
        "identity": {
            "type": "SystemAssigned",
            "principalId": "00000000-0000-0000-0000-000000000002",
            "tenantId": tenant,
        },
        "sku": {"name": "Base", "tier": "Free"},
    }))
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

/// Size of machines where none is asked for. The service chooses by region and quota, which is not known.
const DEFAULT_SIZE: &str = "Standard_D4ds_v5";

/// Properties of a new pool: what was sent over the server's defaults.
pub(crate) fn create(cluster: &Cluster, sent: &Map<String, Value>) -> Map<String, Value> {
    let mut sent = sent.clone();
    // The Azure CLI leaves the choice to the service with an empty size.
    sent.retain(|name, value| name != "vmSize" || value != "");
    let mut properties = merge::merge(&pool_defaults(cluster, &sent), &sent, true);
    merge::normalise(&mut properties);
    let (requested, current) =
        (super::state::text(&properties, "orchestratorVersion"), cluster.text("currentKubernetesVersion"));
    let version = versions::resolve(requested, current).unwrap_or_else(|| syntax::resolve_version(requested, current));
    properties.insert("currentOrchestratorVersion".to_owned(), json!(version));
    properties.insert("nodeImageVersion".to_owned(), json!(images::latest(cluster, &properties)));
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
        "vmSize": DEFAULT_SIZE,
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
    format!("{}/agentPools/{}", cluster_id(cluster), pool.name)
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
    let mut document = cluster.members.clone();
    document.extend(map(json!({
        "id": cluster_id(cluster),
        "location": cluster.location,
        "name": cluster.name,
        "type": "Microsoft.ContainerService/ManagedClusters",
        "properties": properties,
    })));
    Value::Object(document)
}

/// The id of a cluster as the service writes it, with `resourcegroups` in lower case.
pub(crate) fn cluster_id(cluster: &Cluster) -> String {
    format!(
        "/subscriptions/{}/resourcegroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
        cluster.subscription, cluster.resource_group, cluster.name
    )
}

/// What the nodes of a pool should look like.
pub(crate) fn node_pool(cluster: &Cluster, pool: &Pool) -> NodePool {
    let strings = |property: &str| merge::strings(pool.get(property));
    let target = rolling::target(pool);
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
        node_image_version: target.image,
        kubernetes_version: target.version,
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
