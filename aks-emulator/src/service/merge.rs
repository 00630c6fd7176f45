//! What a PUT makes of a pool's properties: omitted or null keeps, collections that are sent replace. Never refuses.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::state::text;
use crate::Applied;

/// Properties that the service sets; sent ones are ignored.
pub(crate) const READ_ONLY: [&str; 6] = [
    "eTag",
    "provisioningState",
    "currentOrchestratorVersion",
    "nodeImageVersion",
    "status",
    "virtualMachineNodesStatus",
];
/// Maps that are replaced as a whole, and the list beside them.
const COLLECTIONS: [&str; 3] = ["nodeLabels", "nodeTaints", "tags"];
/// Known spellings; input in another case is taken for them.
const SPELLINGS: [&str; 24] = [
    "System",
    "User",
    "Gateway",
    "ManagedSystem",
    "Machines",
    "Linux",
    "Windows",
    "Ubuntu",
    "AzureLinux",
    "Delete",
    "Deallocate",
    "VirtualMachineScaleSets",
    "VirtualMachines",
    "AvailabilitySet",
    "Managed",
    "Ephemeral",
    "Temporary",
    "OS",
    "Regular",
    "Spot",
    "Running",
    "Stopped",
    "LocalUser",
    "Disabled",
];
/// Properties whose values are taken in any case. Anywhere else the case is the sender's.
const ENUMS: [&str; 11] = [
    "mode",
    "osType",
    "osSKU",
    "scaleDownMode",
    "type",
    "osDiskType",
    "kubeletDiskType",
    "scaleSetPriority",
    "scaleSetEvictionPolicy",
    "code",
    "sshAccess",
];
const SPOT: &str = "kubernetes.azure.com/scalesetpriority";

/// The properties after a PUT of `sent` on `current`. With `retain` an omitted collection keeps what it had.
pub(crate) fn merge(current: &Map<String, Value>, sent: &Map<String, Value>, retain: bool) -> Map<String, Value> {
    let mut merged = current.clone();
    if !retain {
        for name in COLLECTIONS {
            merged.remove(name);
        }
    }
    for (name, value) in sent {
        if !READ_ONLY.contains(&name.as_str()) {
            merge_one(&mut merged, name, value);
        }
    }
    merged
}

fn merge_one(merged: &mut Map<String, Value>, name: &str, value: &Value) {
    let merged_value = match (merged.get(name), value) {
        (_, Value::Null) => return,
        // Recorded: 0 means the default size.
        (Some(_), value) if name == "osDiskSizeGB" && value.as_u64() == Some(0) => return,
        (Some(Value::Object(old)), Value::Object(new)) if !COLLECTIONS.contains(&name) => {
            let mut inner = old.clone();
            for (name, value) in new {
                merge_one(&mut inner, name, value);
            }
            Value::Object(inner)
        }
        (None, Value::Object(new)) if !COLLECTIONS.contains(&name) => {
            let mut inner = Map::new();
            for (name, value) in new {
                merge_one(&mut inner, name, value);
            }
            Value::Object(inner)
        }
        (_, Value::String(text)) if ENUMS.contains(&name) => json!(spelling(text)),
        (_, value) => value.clone(),
    };
    merged.insert(name.to_owned(), merged_value);
}

fn spelling(text: &str) -> &str {
    SPELLINGS.into_iter().find(|known| known.eq_ignore_ascii_case(text)).unwrap_or(text)
}

/// Brings merged properties into the form in which the service shows them.
pub(crate) fn normalise(properties: &mut Map<String, Value>) {
    if text(properties, "scaleSetPriority") == "Spot" {
        add_spot_marks(properties);
    } else {
        for name in ["scaleSetPriority", "scaleSetEvictionPolicy", "spotMaxPrice"] {
            properties.remove(name);
        }
    }
    // Bounds have no meaning without the autoscaler, and clients must not find old ones.
    if properties.get("enableAutoScaling") != Some(&json!(true)) {
        properties.remove("minCount");
        properties.remove("maxCount");
    }
    properties.retain(|name, value| {
        let collection = COLLECTIONS.contains(&name.as_str())
            || matches!(name.as_str(), "availabilityZones" | "nodeInitializationTaints");
        let empty = match &value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        !(value.is_null() || collection && empty)
    });
}

/// Spot pools carry a label and a taint of the service's own.
fn add_spot_marks(properties: &mut Map<String, Value>) {
    let labels = properties.entry("nodeLabels").or_insert_with(|| json!({})).as_object_mut();
    if let Some(labels) = labels {
        labels.insert(SPOT.to_owned(), json!("spot"));
    }
    let taint = json!(format!("{SPOT}=spot:NoSchedule"));
    let taints = properties.entry("nodeTaints").or_insert_with(|| json!([])).as_array_mut();
    if let Some(taints) = taints
        && !taints.contains(&taint)
    {
        taints.push(taint);
    }
}

/// The strings of a list.
pub(crate) fn strings(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The labels of a pool.
pub(crate) fn labels(properties: &Map<String, Value>) -> BTreeMap<String, String> {
    properties
        .get("nodeLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// What nodes carry once these properties are written onto them.
pub(crate) fn applied(properties: &Map<String, Value>) -> Applied {
    Applied {
        labels: labels(properties).into_keys().collect(),
        taints: strings(properties.get("nodeTaints")).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn omitted_and_null_keep_and_collections_replace() {
        let current = map(&json!({
            "count": 3, "mode": "User", "nodeTaints": ["a=b:NoSchedule"], "nodeLabels": {"x": "1", "y": "2"},
            "upgradeSettings": {"maxSurge": "33%", "drainTimeoutInMinutes": 30}, "provisioningState": "Succeeded",
        }));
        for (sent, changed) in [
            (json!({}), json!({})),
            (json!({"count": null, "nodeTaints": null}), json!({})),
            (json!({"count": 5}), json!({"count": 5})),
            (json!({"nodeLabels": {"x": "9"}}), json!({"nodeLabels": {"x": "9"}})),
            (json!({"nodeTaints": []}), json!({"nodeTaints": []})),
            (json!({"mode": "system"}), json!({"mode": "System"})),
            (
                json!({"upgradeSettings": {"maxSurge": "1"}}),
                json!({"upgradeSettings": {"maxSurge": "1", "drainTimeoutInMinutes": 30}}),
            ),
            (json!({"provisioningState": "Failed"}), json!({})),
        ] {
            let mut expected = current.clone();
            expected.extend(map(&changed));
            assert_eq!(merge(&current, &map(&sent), true), expected, "{sent}");
        }
    }

    #[test]
    fn what_was_cleared_or_is_a_default_of_regular_pools_is_not_shown() {
        let mut properties = map(&json!({
            "nodeTaints": [], "nodeLabels": {}, "tags": {}, "availabilityZones": [], "upgradeSettings": {},
            "scaleSetPriority": "Regular", "spotMaxPrice": -1.0, "scaleSetEvictionPolicy": "Delete",
            "enableAutoScaling": false, "minCount": 1, "maxCount": 3,
        }));
        normalise(&mut properties);
        assert_eq!(Value::Object(properties), json!({"upgradeSettings": {}, "enableAutoScaling": false}));
    }

    #[test]
    fn spot_pools_carry_their_own_label_and_taint() {
        let mut properties = map(&json!({"scaleSetPriority": "Spot"}));
        normalise(&mut properties);
        normalise(&mut properties);
        assert_eq!(properties["nodeLabels"], json!({SPOT: "spot"}));
        assert_eq!(properties["nodeTaints"], json!([format!("{SPOT}=spot:NoSchedule")]));
    }

    #[test]
    fn collections_go_when_the_switch_says_that_omission_clears() {
        let current = map(&json!({"count": 1, "nodeTaints": ["a=b:NoSchedule"]}));
        assert_eq!(merge(&current, &Map::new(), false), map(&json!({"count": 1})));
    }
}
