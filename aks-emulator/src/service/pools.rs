//! What a PUT or DELETE of a pool does to the state, at once. Never runs the operation that follows.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::operation::{Kind, Operation, OperationError};
use super::preconditions::Preconditions;
use super::refusal::Refusal;
use super::state::{Cluster, Pool, State, is_terminal, text};
use super::{document, merge, rolling, validate};
use crate::{Applied, Settings};

/// Where a pool is, from the path of a request.
#[derive(Clone, Debug)]
pub(crate) struct PoolRef {
    /// Key of the cluster in the state.
    pub(crate) cluster: String,
    pub(crate) pool: String,
}

/// A PUT of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) at: PoolRef,
    pub(crate) api_version: String,
    pub(crate) preconditions: Preconditions,
    pub(crate) body: Map<String, Value>,
}

/// A DELETE of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Delete {
    pub(crate) at: PoolRef,
    pub(crate) preconditions: Preconditions,
    pub(crate) ignore_budgets: bool,
}

/// What was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) created: bool,
    /// The pool as the answer shows it.
    pub(crate) document: Value,
    pub(crate) operation: Operation,
    /// The operation that this one ended, if any.
    pub(crate) preempted: Option<String>,
}

/// Accepts or refuses a PUT.
pub(crate) fn put(state: &mut State, settings: &Settings, put: &Put) -> Result<Accepted, Refusal> {
    put.preconditions.check()?;
    validate::fields(&put.body, &put.api_version)?;
    let sent = match put.body.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(other) => {
            return Err(Refusal::content(&format!("properties is {other}, not an object")));
        }
    };
    let Some(cluster) = state.clusters.get_mut(&put.at.cluster) else {
        return Err(Refusal::parent("write", &put.at.cluster));
    };
    let pool = cluster.pool(&put.at.pool);
    put.preconditions.check_put(pool)?;
    // Before the pool's own state, which the cluster's operation may have changed too.
    cluster_idle(cluster)?;
    let created = pool.is_none();
    let planned = match pool {
        None => plan_create(cluster, put, &sent)?,
        Some(pool) => plan_update(cluster, pool, settings, put, &sent, state.time)?,
    };
    let recorded = match planned.pool.time_by_deallocation(planned.kind, planned.from, planned.to) {
        Some(recorded) => recorded,
        None => planned.recorded_duration(),
    };
    let operation = new_operation(cluster, &put.at, planned.kind, settings.scaled(recorded), state.time);
    let name = planned.pool.name.clone();
    match cluster.pool_mut(&name) {
        Some(stored) => *stored = planned.pool,
        None => cluster.pools.push(planned.pool),
    }
    let etags = settings.shows_etags(&put.api_version);
    let document = cluster.pool(&name).map_or(Value::Null, |pool| document::pool(cluster, pool, etags));
    state.operations.insert(operation.id.clone(), operation.clone());
    Ok(Accepted { created, document, operation, preempted: None })
}

/// Accepts or refuses a DELETE; `None` if there is nothing to delete.
pub(crate) fn delete(state: &mut State, settings: &Settings, delete: &Delete) -> Result<Option<Accepted>, Refusal> {
    delete.preconditions.check()?;
    let running = running_on(state, &delete.at);
    let Some(cluster) = state.clusters.get_mut(&delete.at.cluster) else {
        return Err(Refusal::parent("delete", &delete.at.cluster));
    };
    let Some(pool) = cluster.pool(&delete.at.pool) else {
        return Ok(None);
    };
    delete.preconditions.check_present(pool)?;
    cluster_idle(cluster)?;
    keep_one(cluster, pool)?;
    // A second DELETE joins the first; whether the service starts another is not recorded.
    if let Some(operation) = &running
        && matches!(operation.kind, Kind::Delete { .. })
    {
        return Ok(Some(Accepted {
            created: false,
            document: Value::Null,
            operation: operation.clone(),
            preempted: None,
        }));
    }
    let kind = Kind::Delete { ignore_budgets: delete.ignore_budgets };
    let duration = settings.scaled(kind.recorded_duration(0, 0));
    let operation = new_operation(cluster, &delete.at, kind, duration, state.time);
    if let Some(pool) = cluster.pool_mut(&delete.at.pool) {
        pool.set("provisioningState", kind.provisioning_state());
        pool.set("eTag", Uuid::new_v4().to_string());
        pool.deletion_started = Some(operation.started);
    }
    let preempted = running.map(|old| old.id);
    if let Some(old) = preempted.as_ref().and_then(|id| state.operations.get_mut(id)) {
        let message = format!(
            "This operation has been preempted by another operation with ID {}: preempted by Deleting operation.",
            operation.id
        );
        old.end(state.time, Some(OperationError::new("AKSOperationPreemptedByDelete", message)));
    }
    state.operations.insert(operation.id.clone(), operation.clone());
    Ok(Some(Accepted { created: false, document: Value::Null, operation, preempted }))
}

/// What a PUT comes to before it is stored.
struct Planned {
    pool: Pool,
    kind: Kind,
    from: u64,
    to: u64,
}

impl Planned {
    /// Whatever else the operation does, it goes on with a change that has not reached all nodes.
    fn recorded_duration(&self) -> Duration {
        let own = self.kind.recorded_duration(self.from, self.to);
        let goes_on = self.pool.rolling.as_ref().is_some_and(rolling::Rolling::is_pending);
        if goes_on { own.max(Kind::Upgrade.recorded_duration(self.from, self.to)) } else { own }
    }
}

fn plan_create(cluster: &Cluster, put: &Put, sent: &Map<String, Value>) -> Result<Planned, Refusal> {
    let properties = document::create(cluster, sent);
    validate::pool(cluster, &put.at.pool, &properties, &put.api_version)?;
    rolling::check_new(cluster, &properties)?;
    // Recorded as required on a create even where the autoscaler owns it.
    if sent.get("count").is_none_or(Value::is_null) && text(&properties, "type") != "VirtualMachines" {
        return Err(Refusal::required("properties.count"));
    }
    let to = number(&properties, "count");
    let pool = Pool {
        name: put.at.pool.clone(),
        applied: merge::applied(&properties),
        properties,
        count_when_started: None,
        next_instance: 0,
        deallocated: 0,
        deletion_started: None,
        rolling: None,
        recently_used: Vec::new(),
    };
    Ok(Planned { pool, kind: Kind::Create, from: 0, to })
}

fn plan_update(
    cluster: &Cluster,
    pool: &Pool,
    settings: &Settings,
    put: &Put,
    sent: &Map<String, Value>,
    now: Timestamp,
) -> Result<Planned, Refusal> {
    let current = &pool.properties;
    let retain = settings.switches.omission_retains_collections;
    let mut properties = merge::merge(current, sent, retain);
    let autoscaled = properties.get("enableAutoScaling") == Some(&json!(true));
    if autoscaled && !settings.switches.count_applies_when_autoscaled {
        copy(current, &mut properties, "count");
    }
    merge::normalise(&mut properties);
    let count_when_started = apply_power(pool, &mut properties);
    let request =
        rolling::Request { cluster, pool, settings, api_version: &put.api_version, sent, properties: &properties, now };
    let asked = rolling::asked(&request);
    let kind = kind_of(current, &properties, asked.as_ref());
    pool_idle(pool, kind, now)?;
    validate::change(current, &properties)?;
    validate::pool(cluster, &pool.name, &properties, &put.api_version)?;
    keep_one_system(cluster, pool, &properties)?;
    rolling::check(&request, asked.as_ref())?;
    let begun = asked.map(|asked| rolling::Rolling::begin(pool, &asked));
    if let Some(begun) = &begun {
        begun.write(&mut properties, settings);
    }
    properties.insert("provisioningState".to_owned(), json!(kind.provisioning_state()));
    properties.insert("eTag".to_owned(), json!(Uuid::new_v4().to_string()));
    let (from, to) = (number(current, "count"), number(&properties, "count"));
    let updated = Pool {
        applied: union(&pool.applied, &merge::applied(&properties)),
        properties,
        count_when_started,
        rolling: begun.or_else(|| pool.rolling.clone()),
        ..pool.clone()
    };
    Ok(Planned { pool: updated, kind, from, to })
}

/// A stopped pool shows count 0 and returns to its old count when started, whatever the PUT says (recording 05).
fn apply_power(pool: &Pool, properties: &mut Map<String, Value>) -> Option<u64> {
    let before = validate::power(&pool.properties) == "Stopped";
    let after = validate::power(properties) == "Stopped";
    match (before, after) {
        (false, true) => {
            properties.insert("count".to_owned(), json!(0));
            Some(number(&pool.properties, "count"))
        }
        (true, false) => {
            let count = pool.count_when_started.unwrap_or_default();
            properties.insert("count".to_owned(), json!(count));
            None
        }
        (true, true) => {
            properties.insert("count".to_owned(), json!(0));
            pool.count_when_started
        }
        (false, false) => None,
    }
}

fn kind_of(from: &Map<String, Value>, to: &Map<String, Value>, asked: Option<&rolling::Asked>) -> Kind {
    match (validate::power(from) == "Stopped", validate::power(to) == "Stopped") {
        (false, true) => return Kind::Stop,
        (true, false) => return Kind::Start,
        _ => {}
    }
    match asked {
        Some(asked) if asked.upgrade => Kind::Upgrade,
        _ if number(from, "count") != number(to, "count") => Kind::Scale,
        Some(_) => Kind::Reimage,
        None => Kind::Update,
    }
}

/// Refuses while something runs on the whole cluster, or when it is stopped.
pub(super) fn cluster_idle(cluster: &Cluster) -> Result<(), Refusal> {
    let state = cluster.text("provisioningState");
    if !is_terminal(state) {
        return Err(Refusal::cluster_busy(state));
    }
    if validate::power(&cluster.properties) == "Stopped" {
        return Err(Refusal::cluster_stopped());
    }
    Ok(())
}

pub(super) fn pool_idle(pool: &Pool, wanted: Kind, now: Timestamp) -> Result<(), Refusal> {
    let state = pool.text("provisioningState");
    if let Some(since) = pool.deletion_started {
        return Err(Refusal::being_deleted(wanted.provisioning_state(), &pool.name, since, now));
    }
    if is_terminal(state) {
        return Ok(());
    }
    Err(Refusal::pool_busy(&pool.name, state))
}

/// Whether another pool of mode System stays. One that is being deleted does not.
fn other_system_pool(cluster: &Cluster, pool: &Pool) -> bool {
    cluster.pools.iter().any(|other| other.name != pool.name && other.is_system() && other.deletion_started.is_none())
}

fn keep_one(cluster: &Cluster, pool: &Pool) -> Result<(), Refusal> {
    if cluster.pools.len() == 1 {
        return Err(Refusal::last_pool());
    }
    if pool.is_system() && !other_system_pool(cluster, pool) {
        return Err(Refusal::last_system_pool());
    }
    Ok(())
}

fn keep_one_system(cluster: &Cluster, pool: &Pool, after: &Map<String, Value>) -> Result<(), Refusal> {
    let demoted = pool.is_system() && text(after, "mode") != "System";
    if demoted && !other_system_pool(cluster, pool) {
        return Err(Refusal::no_system_pool());
    }
    Ok(())
}

pub(super) fn running_on(state: &State, at: &PoolRef) -> Option<Operation> {
    state.running().find(|operation| operation.cluster == at.cluster && operation.is_on(&at.pool)).cloned()
}

pub(super) fn new_operation(
    cluster: &Cluster,
    at: &PoolRef,
    kind: Kind,
    duration: Duration,
    now: Timestamp,
) -> Operation {
    let status = match kind {
        Kind::Create => "CreatingAgentPool",
        _ => "InProgress",
    };
    Operation {
        id: Operation::new_id(),
        cluster: at.cluster.clone(),
        location: cluster.location.clone(),
        subscription: cluster.subscription.clone(),
        pool: Some(at.pool.clone()),
        kind,
        started: now,
        ended: None,
        status: status.to_owned(),
        error: None,
        duration,
        machines: Vec::new(),
    }
}

fn union(a: &Applied, b: &Applied) -> Applied {
    Applied {
        labels: a.labels.union(&b.labels).cloned().collect(),
        taints: a.taints.union(&b.taints).cloned().collect(),
    }
}

fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, name: &str) {
    match from.get(name) {
        Some(value) => to.insert(name.to_owned(), value.clone()),
        None => to.remove(name),
    };
}

fn number(properties: &Map<String, Value>, name: &str) -> u64 {
    properties.get(name).and_then(Value::as_u64).unwrap_or_default()
}
