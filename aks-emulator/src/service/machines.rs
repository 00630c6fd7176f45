//! Single machines of a pool: their documents, and taking some of them away by name. Never cordons or drains one.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::operation::{Kind, Operation};
use super::pools::{PoolRef, cluster_idle, new_operation, pool_idle};
use super::refusal::Refusal;
use super::state::{Cluster, Pool, State};
use super::{Service, document};
use crate::nodes::names;
use crate::{Instance, Settings};

/// The instances of a pool, lowest number first, as its node side has them now.
pub(crate) async fn instances(service: &Service, at: &PoolRef) -> Result<Vec<Instance>, Refusal> {
    let wanted = service.read(|state| {
        let cluster = state.clusters.get(&at.cluster)?;
        Some(document::node_pool(cluster, cluster.pool(&at.pool)?))
    });
    let Some(pool) = wanted else {
        return Ok(Vec::new());
    };
    let mut instances = service.nodes.list(&pool).await.map_err(|error| {
        tracing::error!(%error, "the machines of a pool are not known");
        Refusal::internal()
    })?;
    instances.sort_by_key(|instance| instance.number);
    Ok(instances)
}

/// Refuses to take machines of a system pool away that disruption budgets of add-ons keep, if the switch says so.
pub(crate) async fn budgets_allow(
    service: &Service,
    at: &PoolRef,
    wanted: &[String],
    present: &[Instance],
) -> Result<(), Refusal> {
    let system = service.read(|state| {
        let pool = state.clusters.get(&at.cluster).and_then(|cluster| cluster.pool(&at.pool));
        pool.is_some_and(Pool::is_system)
    });
    if !system || !service.settings.switches.delete_machines_asks_budgets {
        return Ok(());
    }
    let names = named(wanted, present)?;
    let against = service.nodes.budgets_against(&names).await.map_err(|error| {
        tracing::error!(%error, "the disruption budgets of add-ons are not known");
        Refusal::internal()
    })?;
    if against.is_empty() { Ok(()) } else { Err(Refusal::budgets_disagree(&against)) }
}

/// A machine as a GET of it shows it (the model of the official SDKs).
pub(crate) fn machine(cluster: &Cluster, pool: &Pool, instance: &Instance) -> Value {
    let node_pool = document::node_pool(cluster, pool);
    let mut properties = Map::new();
    if !instance.addresses.is_empty() {
        let addresses: Vec<Value> = instance
            .addresses
            .iter()
            .map(|ip| json!({"family": if ip.contains(':') { "IPv6" } else { "IPv4" }, "ip": ip}))
            .collect();
        properties.insert("network".to_owned(), json!({"ipAddresses": addresses}));
    }
    let provider_id = names::provider_id(&node_pool, instance.number);
    let resource_id = provider_id.strip_prefix("azure://").unwrap_or(&provider_id);
    properties.insert("resourceId".to_owned(), json!(resource_id));
    let mut machine = Map::new();
    machine.insert("id".to_owned(), json!(format!("{}/machines/{}", document::pool_id(cluster, pool), instance.name)));
    machine.insert("name".to_owned(), json!(instance.name));
    machine.insert("type".to_owned(), json!("Microsoft.ContainerService/managedClusters/agentPools/machines"));
    if let Some(zone) = &instance.zone {
        machine.insert("zones".to_owned(), json!([zone]));
    }
    machine.insert("properties".to_owned(), Value::Object(properties));
    Value::Object(machine)
}

/// Accepts or refuses to take machines away; `present` are the instances of the pool. Names are in any case.
pub(crate) fn delete(
    state: &mut State,
    settings: &Settings,
    at: &PoolRef,
    wanted: &[String],
    present: &[Instance],
) -> Result<Operation, Refusal> {
    let Some(cluster) = state.clusters.get_mut(&at.cluster) else {
        return Err(Refusal::parent("action", &at.cluster));
    };
    cluster_idle(cluster)?;
    let Some(pool) = cluster.pool(&at.pool) else {
        return Err(Refusal::pool(&cluster.subscription, &cluster.resource_group, &cluster.name, &at.pool));
    };
    pool_idle(pool, Kind::DeleteMachines, state.time)?;
    let machines = named(wanted, present)?;
    let count = pool.get("count").and_then(Value::as_u64).unwrap_or_default();
    let left = count.saturating_sub(u64::try_from(machines.len()).unwrap_or(u64::MAX));
    if pool.is_system() && left == 0 {
        return Err(Refusal::count("agentPoolProfile.count", 0, 1));
    }
    let duration = settings.scaled(Kind::DeleteMachines.recorded_duration(count, left));
    let mut operation = new_operation(cluster, at, Kind::DeleteMachines, duration, state.time);
    operation.machines = machines;
    if let Some(pool) = cluster.pool_mut(&at.pool) {
        pool.set("count", left);
        pool.set("provisioningState", Kind::DeleteMachines.provisioning_state());
        pool.set("eTag", Uuid::new_v4().to_string());
    }
    state.operations.insert(operation.id.clone(), operation.clone());
    Ok(operation)
}

/// The names of the instances that are asked for, each once.
fn named(wanted: &[String], present: &[Instance]) -> Result<Vec<String>, Refusal> {
    if wanted.is_empty() {
        return Err(Refusal::required("machineNames"));
    }
    let mut names = BTreeSet::new();
    for name in wanted {
        match present.iter().find(|instance| instance.name.eq_ignore_ascii_case(name)) {
            Some(instance) => names.insert(instance.name.clone()),
            None => return Err(Refusal::unknown_machine(name)),
        };
    }
    Ok(names.into_iter().collect())
}
