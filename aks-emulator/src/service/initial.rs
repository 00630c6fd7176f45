//! Pools that are there at the start, from a person's description. Never a pool that a request creates.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::state::{Cluster, Pool};
use super::{document, images, merge, validate};
use crate::{Error, PoolSpec};

/// The api-version whose properties a description may have.
const API_VERSION: &str = "2026-08-01";
/// Properties that have a field of their own, and that field.
const FIELDS: [(&str, &str); 14] = [
    ("name", "name"),
    ("count", "count"),
    ("mode", "mode"),
    ("vmSize", "vmSize"),
    ("osType", "osType"),
    ("type", "kind"),
    ("maxPods", "maxPods"),
    ("nodeLabels", "labels"),
    ("nodeTaints", "taints"),
    ("availabilityZones", "zones"),
    ("orchestratorVersion", "orchestratorVersion"),
    ("minCount", "autoscaling"),
    ("maxCount", "autoscaling"),
    ("powerState", "stopped"),
];

/// A stored pool from a person's description, the one with this index.
pub(super) fn pool(cluster: &Cluster, spec: &PoolSpec, index: usize) -> Result<Pool, Error> {
    passed_through(spec, index)?;
    let mut properties = document::create(cluster, &sent(spec));
    if let Some(current) = &spec.current_version {
        properties.insert("currentOrchestratorVersion".to_owned(), json!(current));
    }
    properties.insert("nodeImageVersion".to_owned(), json!(images::initial(&properties)));
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    if spec.stopped {
        properties.insert("count".to_owned(), json!(0));
    }
    validate::pool(cluster, &spec.name, &properties, "").map_err(|refusal| mistake(spec, index, &refusal))?;
    Ok(Pool {
        name: spec.name.clone(),
        applied: merge::applied(&properties),
        properties,
        count_when_started: spec.stopped.then_some(u64::from(spec.count)),
        next_instance: 0,
        deallocated: 0,
        deletion_started: None,
        rolling: None,
        recently_used: Vec::new(),
    })
}

/// The PUT that would create the pool.
fn sent(spec: &PoolSpec) -> Map<String, Value> {
    let named = json!({
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
        "enableAutoScaling": spec.autoscaling.is_some(),
        "minCount": spec.autoscaling.map(|(min, _)| min),
        "maxCount": spec.autoscaling.map(|(_, max)| max),
        "scaleSetPriority": spec.spot.then_some("Spot"),
        "powerState": spec.stopped.then(|| json!({"code": "Stopped"})),
    });
    let mut sent = spec.properties.clone();
    if let Value::Object(named) = named {
        sent.extend(named);
    }
    sent
}

/// Refuses properties that have a field of their own, that the service sets, or that it does not know.
fn passed_through(spec: &PoolSpec, index: usize) -> Result<(), Error> {
    for (name, value) in &spec.properties {
        let at = format!("pools[{index}].properties.{name}");
        let own = match name.as_str() {
            "enableAutoScaling" => Some("autoscaling"),
            "scaleSetPriority" => Some("spot"),
            _ => FIELDS.iter().find(|(property, _)| property == name).map(|(_, field)| *field),
        };
        if let Some(field) = own {
            return Err(Error::setting(&at, value, &format!("give it as {field}, beside properties")));
        }
        if merge::READ_ONLY.contains(&name.as_str()) {
            return Err(Error::setting(&at, value, "leave it out, as the service sets it"));
        }
    }
    let body = Map::from_iter([("properties".to_owned(), Value::Object(spec.properties.clone()))]);
    validate::fields(&body, API_VERSION).map_err(|refusal| {
        let field = format!("pools[{index}].properties");
        Error::setting(&field, Value::Object(spec.properties.clone()), refusal.message())
    })
}

/// A refusal as a mistake in the description: at the field that it names, or else at the pool.
fn mistake(spec: &PoolSpec, index: usize, refusal: &Refusal) -> Error {
    let property = refusal.target().and_then(|target| target.strip_prefix("agentPoolProfile."));
    let field = FIELDS.iter().find(|(name, _)| Some(*name) == property).map(|(_, field)| *field);
    let described = serde_json::to_value(spec).unwrap_or_default();
    match field.and_then(|field| Some((field, described.get(field)?))) {
        Some((field, value)) => {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Error::setting(&format!("pools[{index}].{field}"), value, refusal.message())
        }
        None => Error::setting(&format!("pools[{index}]"), format!("pool {}", spec.name), refusal.message()),
    }
}
