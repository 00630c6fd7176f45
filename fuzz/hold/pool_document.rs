//! Documents of pools and clusters: always viewed or refused, and a write made from one changes what it is about and
//! nothing else.

use nodepool_kernel::{Change, Mode};
use nodepool_operator::arm::{ClusterId, PoolDocument, PoolWrite, cluster};
use serde_json::{Value, json};

/// What a write never has, whatever was read.
const NEVER_SENT: [&str; 6] = [
    "currentOrchestratorVersion",
    "eTag",
    "nodeImageVersion",
    "provisioningState",
    "status",
    "virtualMachineNodesStatus",
];
const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";

/// Reads the input as JSON.
pub fn hold(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let id: ClusterId = CLUSTER.parse().expect("it is the id of a cluster");
    if let Ok(seen) = cluster(&id, &value) {
        let profiles = value["properties"]["agentPoolProfiles"].as_array().map_or(0, Vec::len);
        assert_eq!(seen.pools.len(), profiles, "every pool is seen");
    }
    let Ok(document) = PoolDocument::parse(value.clone()) else { return };
    let pool = document.pool();
    let added = || [("added".to_owned(), "here".to_owned())].into();
    let taint = "added=here:NoSchedule".parse().expect("it is a taint");
    for (change, about, wanted) in [
        (Change::Count { from: pool.count, to: 7 }, "count", json!(7)),
        (Change::Mode { from: pool.mode.clone(), to: Mode::User }, "mode", json!("User")),
        (Change::Labels { from: pool.labels.clone(), to: added() }, "nodeLabels", json!({"added": "here"})),
        (Change::Tags { from: pool.tags.clone(), to: added() }, "tags", json!({"added": "here"})),
        (Change::Taints { from: pool.taints.clone(), to: vec![taint] }, "nodeTaints", json!(["added=here:NoSchedule"])),
        (Change::Taints { from: pool.taints.clone(), to: vec![] }, "nodeTaints", json!([])),
    ] {
        changes_only(&document, &change, about, &wanted);
    }
}

fn changes_only(document: &PoolDocument, change: &Change, about: &str, wanted: &Value) {
    let PoolWrite { body, if_match, if_none_match } = PoolWrite::new(document, change);
    assert!(!if_none_match, "the pool exists");
    let read = document.properties();
    let written = body["properties"].as_object().expect("properties are written");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    assert_eq!(written.get(about), Some(wanted));
    let tag = read.get("eTag").and_then(Value::as_str).filter(|tag| !tag.is_empty());
    assert_eq!(if_match.as_deref(), tag);
    assert!(tag.is_some() || written.len() <= 4, "without an eTag: {body}");
    for (name, value) in written.iter().filter(|(name, _)| *name != about) {
        assert!(!NEVER_SENT.contains(&name.as_str()), "{name} is sent");
        let absent = read.get(name).is_none_or(Value::is_null);
        let empty = *value == json!([]) || *value == json!({});
        assert!(read.get(name) == Some(value) || absent && empty, "{name} becomes {value}");
    }
}
