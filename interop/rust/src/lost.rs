//! What becomes of a pool that is read into the crate's model, changed and written back. Says what went over the wire
//! and what the emulator made of it; what the service would do beyond that is not judged.

use std::collections::{BTreeMap, BTreeSet};

use azure_core::StatusCode;
use azure_core::error::ErrorKind;
use azure_mgmt_containerservice::package_preview_2023_01::models::{
    ManagedClusterAgentPoolProfileProperties as Properties, SubResource,
};
use serde_json::{Value, json};

use crate::crate_pools::Pools;
use crate::wire::Wire;
use crate::{Outcome, same};

/// A pool with settings that came after the crate's model.
fn settings() -> Value {
    json!({
        "count": 2,
        "mode": "User",
        "vmSize": "Standard_D4s_v5",
        "availabilityZones": ["1", "2"],
        "nodeLabels": {"tier": "web"},
        "nodeTaints": ["team=web:NoSchedule"],
        "tags": {"owner": "web"},
        "upgradeSettings": {
            "maxSurge": "33%",
            "maxUnavailable": "0",
            "drainTimeoutInMinutes": 45,
            "nodeSoakDurationInMinutes": 5,
            "undrainableNodeBehavior": "Cordon",
        },
        "securityProfile": {"sshAccess": "Disabled", "enableVTPM": true, "enableSecureBoot": true},
        "localDNSProfile": {"mode": "Preferred"},
        "gpuProfile": {"driver": "None"},
        "artifactStreamingProfile": {"enabled": true},
        "podIPAllocationMode": "StaticBlock",
    })
}

/// The same for each of these: sent by nobody who reads the pool into the model.
const NOT_IN_THE_MODEL: [&str; 11] = [
    "artifactStreamingProfile.enabled",
    "gpuProfile.driver",
    "localDNSProfile.mode",
    "podIPAllocationMode",
    "securityProfile.enableSecureBoot",
    "securityProfile.enableVTPM",
    "securityProfile.sshAccess",
    "upgradeSettings.drainTimeoutInMinutes",
    "upgradeSettings.maxUnavailable",
    "upgradeSettings.nodeSoakDurationInMinutes",
    "upgradeSettings.undrainableNodeBehavior",
];

pub async fn write_back(pools: &Pools, wire: &Wire) -> Outcome {
    let before = leaves(&wire.put("web", settings()).await?);
    let mut pool = pools.get("web").await?;
    if let Some(properties) = &mut pool.properties {
        properties.node_labels = Some(json!({"tier": "front"}));
    }
    pools.put("web", pool).await?;
    pools.until("web", "Succeeded").await?;
    let sent = leaves(&wire.last_put("web").await?);
    let lacking: Vec<&str> = before.keys().filter(|name| !sent.contains_key(*name)).map(String::as_str).collect();
    same("what the write lacks", &NOT_IN_THE_MODEL[..], &lacking)?;
    // The service sets these; since 2026-04-01 the image is an order to roll back to it.
    for name in ["currentOrchestratorVersion", "nodeImageVersion", "powerState.code", "provisioningState"] {
        same(name, &before.get(name), &sent.get(name))?;
    }
    // What a write omits stays, as recorded, so only the label is another.
    let after = leaves(&wire.pool("web").await?);
    same("what changed", &vec!["nodeLabels.tier"], &differences(&before, &after))
}

pub async fn taints_stay(pools: &Pools, wire: &Wire) -> Outcome {
    let mut pool = pools.get("web").await?;
    if let Some(properties) = &mut pool.properties {
        properties.node_taints = Vec::new();
    }
    pools.put("web", pool).await?;
    pools.until("web", "Succeeded").await?;
    let sent = wire.last_put("web").await?;
    same("taints that were sent", &None, &sent.get("nodeTaints"))?;
    same("taints afterwards", &json!(["team=web:NoSchedule"]), &wire.pool("web").await?["nodeTaints"])?;
    // An empty list, which the crate does not send, clears them.
    let cleared = wire.put("web", json!({"nodeTaints": []})).await?;
    same("taints after an empty list", &None, &cleared.get("nodeTaints"))
}

pub async fn overwrites(pools: &Pools, wire: &Wire) -> Outcome {
    let mut pool = pools.get("web").await?;
    let theirs = json!({"count": 5, "upgradeSettings": {"maxSurge": "50%"}, "nodeTaints": ["team=web:NoSchedule"]});
    wire.put("web", theirs).await?;
    if let Some(properties) = &mut pool.properties {
        properties.node_labels = Some(json!({"tier": "back"}));
    }
    pools.put("web", pool).await?;
    pools.until("web", "Succeeded").await?;
    let after = wire.pool("web").await?;
    same("count", &json!(2), &after["count"])?;
    same("maxSurge", &json!("33%"), &after["upgradeSettings"]["maxSurge"])
}

pub async fn sent_twice(pools: &Pools, wire: &Wire) -> Outcome {
    let before = wire.puts("web").await?.len();
    let fault = json!({"method": "PUT", "pathEndsWith": "/agentPools/web", "times": 1, "action": "dropAfter"});
    let rule = wire.lay("faults", fault).await?;
    // Where the first is still running, the second is told that the pool is busy.
    let told = pools.begin("web", Properties { tags: Some(json!({"owner": "front"})), ..Properties::default() }).await;
    wire.end(rule).await?;
    if let Err(error) = told {
        let busy = ErrorKind::http_response(StatusCode::Conflict, Some("OperationNotAllowed".to_owned()));
        same("the second answer", &busy, error.kind())?;
    }
    same("writes", &2, &(wire.puts("web").await?.len() - before))?;
    pools.until("web", "Succeeded").await.map(drop)
}

pub async fn copy(pools: &Pools, wire: &Wire) -> Outcome {
    let original = leaves(&wire.pool("web").await?);
    let mut pool = pools.get("web").await?;
    pool.sub_resource = SubResource::default();
    pools.put("web2", pool).await?;
    pools.until("web2", "Succeeded").await?;
    let made = leaves(&wire.pool("web2").await?);
    // The one whose value is the service's default comes back by itself.
    let expected = NOT_IN_THE_MODEL.into_iter().filter(|name| *name != "upgradeSettings.maxUnavailable");
    same("what is not the same", &expected.collect::<Vec<_>>(), &differences(&original, &made))?;
    pools.delete("web2").await
}

/// Where two pools differ, without what the service counts by itself.
fn differences<'a>(a: &'a BTreeMap<String, Value>, b: &'a BTreeMap<String, Value>) -> Vec<&'a str> {
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| *name != "eTag" && a.get(*name) != b.get(*name)).map(String::as_str).collect()
}

/// Each value that is no object, by the names on the way to it.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(value, String::new(), &mut found);
    found
}

fn collect(value: &Value, at: String, found: &mut BTreeMap<String, Value>) {
    let Value::Object(members) = value else {
        found.insert(at, value.clone());
        return;
    };
    for (name, member) in members {
        collect(member, if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, found);
    }
}
