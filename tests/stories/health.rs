//! What Argo CD and Flux make of a policy at any moment: Argo CD by the health check that we ship, run in Lua. What was seen
//! is written down for the library that Flux uses (`NODEPOOL_SEEN` names the file, see `interop/kstatus`).

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::ensure;
use kube::ResourceExt as _;
use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaSerdeExt as _, Table};
use nodepool_operator::api::{ConditionStatus, NodePoolInventory, NodePoolPolicy, condition};
use nodepool_operator::report::FIELD_MANAGER;
use serde::Serialize;
use serde_json::{Value, json};

use super::support::holds;

/// Argo CD's health check, as it is shipped.
const SCRIPT: &str = include_str!("../../deploy/argocd/health.lua");
/// Names the file to which policies are appended as they were seen.
const SEEN: &str = "NODEPOOL_SEEN";

/// Policies that have been judged, by uid, resource version and generation.
static JUDGED: LazyLock<Mutex<HashSet<(String, String)>>> = LazyLock::new(Mutex::default);

/// What Argo CD makes of a policy that has failed.
pub const FAILED: &str = "Degraded";

/// Sees that Argo CD makes of the policy what its conditions say, and tells it.
pub fn judge(policy: &NodePoolPolicy) -> anyhow::Result<String> {
    let id = |text: &Option<String>| text.clone().unwrap_or_default();
    let key = (id(&policy.metadata.uid), id(&policy.metadata.resource_version));
    let wanted = wanted(policy);
    if !JUDGED.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
        return Ok(wanted.to_owned());
    }
    let (health, message) = health(policy)?;
    ensure!(health == wanted, "Argo CD makes {health} ({message}) of {policy:?}, not {wanted}");
    if is_the_operators(policy) {
        write_down(&health, &json!(policy))?;
    }
    Ok(health)
}

/// Whether nobody else has written to the status: without conditions Flux takes an object for Current, our check does not.
fn is_the_operators(policy: &NodePoolPolicy) -> bool {
    let mut writers = policy.managed_fields().iter().filter(|fields| fields.subresource.as_deref() == Some("status"));
    writers.all(|fields| fields.manager.as_deref() == Some(FIELD_MANAGER))
}

fn write_down(health: &str, object: &Value) -> anyhow::Result<()> {
    if let Ok(file) = std::env::var(SEEN) {
        let line = json!({"health": health, "policy": object});
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
        file.write_all(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

/// Sees that Argo CD makes of the inventory what its conditions say, by the same health check.
pub fn judge_inventory(inventory: &NodePoolInventory) -> anyhow::Result<()> {
    let status = inventory.status.as_ref().filter(|it| it.observed_generation == inventory.metadata.generation);
    let holds = |type_: &str| {
        let condition = status.and_then(|status| status.condition(type_));
        condition.is_some_and(|condition| condition.status == ConditionStatus::True)
    };
    let wanted = match (holds(condition::STALLED), holds(condition::READY)) {
        (true, _) => FAILED,
        (false, true) => "Healthy",
        (false, false) => "Progressing",
    };
    let (health, message) = health(inventory)?;
    ensure!(health == wanted, "Argo CD makes {health} ({message}) of {inventory:?}, not {wanted}");
    write_down(&health, &json!(inventory))
}

/// What a person would say of the policy.
fn wanted(policy: &NodePoolPolicy) -> &'static str {
    let Some(status) = &policy.status else { return "Progressing" };
    let is_current = status.observed_generation == policy.metadata.generation;
    match (holds(status, condition::STALLED), holds(status, condition::READY)) {
        (true, _) if is_current => FAILED,
        (false, true) if is_current => "Healthy",
        _ => "Progressing",
    }
}

/// What the health check says, and why.
fn health(object: &impl Serialize) -> anyhow::Result<(String, String)> {
    let lua = Lua::new();
    let options = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
    lua.globals().set("obj", lua.to_value_with(object, options)?)?;
    let answer: Table = lua.load(SCRIPT).eval()?;
    Ok((answer.get("status")?, answer.get("message")?))
}
