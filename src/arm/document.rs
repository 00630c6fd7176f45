//! Raw ARM documents and a typed view of them. Never loses a property, and never writes one that was not asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodepool_kernel::{
    AgentPool, Autoscaling, Cluster, Mode, Os, PoolFailure, PoolKind, Power, ProvisioningState, Taint, Version,
};
use serde_json::{Map, Value};

use super::error::shown;
use super::resource_id::ClusterId;
use super::settings;

/// How long AKS drains a node where the pool does not say.
const DRAIN_TIMEOUT_MINUTES: u32 = 30;

/// A pool as ARM sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolDocument {
    name: String,
    properties: Map<String, Value>,
}

impl PoolDocument {
    /// The document of a single pool's GET or PUT: `{"name", "properties": {...}}`.
    ///
    /// # Errors
    /// Names the part that is missing.
    pub fn parse(document: Value) -> Result<Self, String> {
        let Value::Object(mut document) = document else { return Err("it is not an object".to_owned()) };
        let Some(Value::Object(properties)) = document.remove("properties") else {
            return Err("properties is missing".to_owned());
        };
        match document.remove("name") {
            Some(Value::String(name)) => Ok(Self { name, properties }),
            _ => Err("name is missing".to_owned()),
        }
    }

    /// The document of the pool of this name.
    ///
    /// # Errors
    /// Names the part that is missing, or the pool that it is about instead.
    pub fn of(name: &str, document: Value) -> Result<Self, String> {
        let document = Self::parse(document)?;
        if document.name.eq_ignore_ascii_case(name) {
            return Ok(document);
        }
        Err(format!("it is about pool {}", shown(&document.name, 100)))
    }

    /// The eTag, if the service gave one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.properties().get("eTag").and_then(Value::as_str).filter(|tag| !tag.is_empty())
    }

    /// The properties as ARM sent them.
    #[must_use]
    pub fn properties(&self) -> &Map<String, Value> {
        &self.properties
    }

    /// The typed view.
    #[must_use]
    pub fn pool(&self) -> AgentPool {
        pool(&self.name, &self.properties)
    }
}

/// The typed view of a managed cluster's document. Pools that can't be understood are kept, marked unreadable.
///
/// # Errors
/// Names the part that is missing: without `properties` nothing can be said about the cluster.
pub fn cluster(id: &ClusterId, document: &Value) -> Result<Cluster, String> {
    let Some(properties) = document.get("properties").and_then(Value::as_object) else {
        return Err("properties is missing".to_owned());
    };
    let of = document.get("id").and_then(Value::as_str);
    if let Some(other) = of.filter(|of| !of.eq_ignore_ascii_case(&id.to_string())) {
        return Err(format!("it is about {}", shown(other, 300)));
    }
    let profiles = match properties.get("agentPoolProfiles") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(profiles)) => profiles,
        Some(_) => return Err("properties.agentPoolProfiles is not a list".to_owned()),
    };
    let named = |profile: &Value| {
        let profile = profile.as_object()?;
        Some(pool(text(profile, "name")?, profile))
    };
    let pools: Option<Vec<AgentPool>> = profiles.iter().map(named).collect();
    Ok(Cluster {
        id: id.to_string(),
        subscription: id.subscription.clone(),
        node_resource_group: text(properties, "nodeResourceGroup").map(str::to_owned),
        issuer_url: properties
            .get("oidcIssuerProfile")
            .and_then(|profile| profile.get("issuerURL"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        load_balancer_sku: properties
            .get("networkProfile")
            .and_then(|profile| profile.get("loadBalancerSku"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        state: state(properties),
        power: power(properties),
        version: ["currentKubernetesVersion", "kubernetesVersion"]
            .into_iter()
            .find_map(|field| text(properties, field))
            .and_then(Version::parse),
        pools: pools.ok_or("an entry of properties.agentPoolProfiles has no name")?,
    })
}

/// What a value must be, where there is one.
type Sort = fn(&Value) -> bool;

/// The properties that decisions rest on. One of another sort can't be taken for absent.
const SORTS: [(&str, Sort); 9] = [
    ("currentOrchestratorVersion", Value::is_string),
    ("enableAutoScaling", Value::is_boolean),
    ("mode", Value::is_string),
    ("orchestratorVersion", Value::is_string),
    ("osType", Value::is_string),
    ("powerState", Value::is_object),
    ("provisioningState", Value::is_string),
    ("type", Value::is_string),
    ("upgradeSettings", is_upgrade_settings),
];

fn is_upgrade_settings(value: &Value) -> bool {
    let is_text = |field| value.get(field).is_none_or(|value| value.is_null() || value.is_string());
    value.is_object() && ["maxSurge", "maxUnavailable", "undrainableNodeBehavior"].into_iter().all(is_text)
}

fn pool(name: &str, properties: &Map<String, Value>) -> AgentPool {
    let is_odd = |(property, sort): &&(&str, Sort)| {
        properties.get(*property).is_some_and(|value| !value.is_null() && !sort(value))
    };
    let mut unreadable: Vec<&str> = SORTS.iter().filter(is_odd).map(|(property, _)| *property).collect();
    let kind = match text(properties, "type") {
        Some(kind) if kind.eq_ignore_ascii_case("VirtualMachineScaleSets") => PoolKind::ScaleSet,
        Some(kind) => PoolKind::Other(kind.to_owned()),
        None => PoolKind::Unreadable("a pool without a type".to_owned()),
    };
    if kind == PoolKind::ScaleSet && number(properties, "count").is_none() {
        unreadable.push("count");
    }
    let autoscaled = properties.get("enableAutoScaling").and_then(Value::as_bool).unwrap_or(false);
    let bounds = (number(properties, "minCount"), number(properties, "maxCount"));
    let autoscaling = match (autoscaled, bounds) {
        (false, _) => None,
        (true, (Some(min), Some(max))) => Some(Autoscaling { min, max }),
        (true, _) => {
            unreadable.push("minCount and maxCount");
            None
        }
    };
    let taints: Option<Vec<Taint>> = match properties.get("nodeTaints") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => {
            value.as_array().and_then(|taints| taints.iter().map(|taint| taint.as_str()?.parse().ok()).collect())
        }
    };
    let (labels, tags) = (texts(properties, "nodeLabels"), texts(properties, "tags"));
    if taints.is_none() {
        unreadable.push("nodeTaints");
    }
    if labels.is_none() {
        unreadable.push("nodeLabels");
    }
    if tags.is_none() {
        unreadable.push("tags");
    }
    let upgrade = properties.get("upgradeSettings").and_then(Value::as_object);
    let minutes = |field: &str| upgrade.and_then(|settings| number(settings, field));
    let unreadable = (!unreadable.is_empty())
        .then(|| PoolKind::Unreadable(format!("a pool whose {} can't be understood", unreadable.join(" and "))));
    AgentPool {
        name: name.to_owned(),
        mode: text(properties, "mode").map_or_else(|| Mode::Other("unset".to_owned()), Mode::parse),
        kind: unreadable.unwrap_or(kind),
        os: match text(properties, "osType") {
            Some(os) if os.eq_ignore_ascii_case("Linux") => Os::Linux,
            os => Os::Other(os.unwrap_or("unknown").to_owned()),
        },
        power: power(properties),
        state: state(properties),
        count: number(properties, "count").unwrap_or(0),
        autoscaling,
        taints: taints.unwrap_or_default(),
        labels: labels.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
        requested_version: text(properties, "orchestratorVersion").map(str::to_owned),
        current_version: text(properties, "currentOrchestratorVersion").map(str::to_owned),
        node_image: text(properties, "nodeImageVersion").map(str::to_owned),
        max_surge: upgrade.and_then(|settings| text(settings, "maxSurge")).map(str::to_owned),
        max_unavailable: upgrade.and_then(|settings| text(settings, "maxUnavailable")).map(str::to_owned),
        drain_timeout_minutes: minutes("drainTimeoutInMinutes").unwrap_or(DRAIN_TIMEOUT_MINUTES),
        node_soak_minutes: minutes("nodeSoakDurationInMinutes").unwrap_or(0),
        undrainable_nodes: upgrade.and_then(|settings| text(settings, "undrainableNodeBehavior")).map(str::to_owned),
        failure: failure(properties),
        settings: Arc::new(settings::read(properties)),
    }
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A collection of texts by their keys; `None` if it is something else.
fn texts(object: &Map<String, Value>, field: &str) -> Option<BTreeMap<String, String>> {
    match object.get(field) {
        None | Some(Value::Null) => Some(BTreeMap::new()),
        Some(value) => serde_json::from_value(value.clone()).ok(),
    }
}

fn number(object: &Map<String, Value>, field: &str) -> Option<u32> {
    object.get(field).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

fn state(properties: &Map<String, Value>) -> ProvisioningState {
    ProvisioningState::parse(text(properties, "provisioningState").unwrap_or("in an unknown state"))
}

fn power(properties: &Map<String, Value>) -> Power {
    match properties.get("powerState").and_then(|state| state.get("code")).and_then(Value::as_str) {
        Some(code) if code.eq_ignore_ascii_case("Running") => Power::Running,
        code => Power::NotRunning(code.unwrap_or("in an unknown power state").to_owned()),
    }
}

fn failure(properties: &Map<String, Value>) -> Option<PoolFailure> {
    let error = properties.get("status")?.get("provisioningError")?.as_object()?;
    let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(PoolFailure { code: field("code"), message: field("message") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(properties: &Value) -> PoolDocument {
        PoolDocument::parse(json!({"name": "apps", "properties": properties})).unwrap()
    }

    fn recorded() -> Value {
        json!({
            "count": 1, "vmSize": "Standard_DS2_v2", "type": "VirtualMachineScaleSets", "enableAutoScaling": false,
            "provisioningState": "Updating", "powerState": {"code": "Running"}, "orchestratorVersion": "1.33",
            "currentOrchestratorVersion": "1.33.5", "nodeLabels": {"mylabel": "label"}, "mode": "System",
            "tags": {"Owner": "shop"},
            "osType": "Linux", "upgradeSettings": {"maxSurge": "10%", "maxUnavailable": "0"}
        })
    }

    #[test]
    fn a_pool_is_viewed_as_recorded() {
        let pool = document(&recorded()).pool();
        assert_eq!((pool.count, &pool.kind, &pool.os), (1, &PoolKind::ScaleSet, &Os::Linux));
        assert_eq!((pool.state.operation(), pool.version_differs()), (Some("Updating"), false));
        assert_eq!((pool.labels["mylabel"].as_str(), pool.tags["Owner"].as_str()), ("label", "shop"));
        assert_eq!((pool.drain_timeout_minutes, pool.node_soak_minutes), (30, 0));
        let mut slow = recorded();
        slow["upgradeSettings"] = json!({"drainTimeoutInMinutes": 45, "nodeSoakDurationInMinutes": 5});
        let pool = document(&slow).pool();
        assert_eq!((pool.drain_timeout_minutes, pool.node_soak_minutes), (45, 5));
    }

    #[test]
    fn what_is_not_understood_makes_the_pool_unreadable_and_is_named() {
        for (field, value, named) in [
            ("count", json!("three"), "count"),
            ("nodeTaints", json!(["nonsense"]), "nodeTaints"),
            ("nodeLabels", json!({"a": 1}), "nodeLabels"),
            ("tags", json!({"a": 1}), "tags"),
            ("count", json!("3"), "count"),
            ("enableAutoScaling", json!(true), "minCount"),
            ("enableAutoScaling", json!("true"), "enableAutoScaling"),
            ("mode", json!(1), "mode"),
            ("orchestratorVersion", json!(1.33), "orchestratorVersion"),
            ("upgradeSettings", json!({"maxUnavailable": 1}), "upgradeSettings"),
            ("powerState", json!("Running"), "powerState"),
        ] {
            let mut properties = recorded();
            properties[field] = value;
            let PoolKind::Unreadable(why) = document(&properties).pool().kind else { panic!("{field}") };
            assert!(why.contains(named), "{why}");
        }
    }

    #[test]
    fn a_document_about_something_else_is_an_error_that_names_it() {
        assert!(PoolDocument::of("APPS", json!({"name": "apps", "properties": {}})).is_ok());
        let other = PoolDocument::of("apps", json!({"name": "batch", "properties": {}})).unwrap_err();
        assert_eq!(other, "it is about pool batch");
        let text = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        let id: ClusterId = text.parse().unwrap();
        let document = |id: &str| json!({"id": id, "properties": {}});
        assert!(cluster(&id, &document(&text.to_lowercase())).is_ok());
        assert_eq!(cluster(&id, &document("/other")).unwrap_err(), "it is about /other");
    }

    #[test]
    fn a_null_instead_of_an_error_is_no_failure() {
        let mut properties = recorded();
        properties["status"] = json!({"provisioningError": null});
        assert_eq!(document(&properties).pool().failure, None);
    }

    #[test]
    fn a_cluster_without_properties_is_an_error_and_one_odd_pool_is_not() {
        let id: ClusterId =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c".parse().unwrap();
        assert!(cluster(&id, &json!({})).is_err());
        let seen = cluster(&id, &json!({"properties": {"agentPoolProfiles": [{"name": "odd"}]}})).unwrap();
        assert!(matches!(seen.pools[0].kind, PoolKind::Unreadable(_)));
        assert!(seen.state.operation().is_some(), "a state that is not reported counts as busy");
    }
}
