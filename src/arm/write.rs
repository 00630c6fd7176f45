//! What a write of a pool carries, and under which condition. Never sends it, and never asks for more than one change.

use nodepool_kernel::{Change, NewPool};
use serde_json::{Map, Value, json};

use super::document::PoolDocument;
use super::settings;

/// Properties that the service sets. Sending them back asks for something or is refused: since api-version 2026-04-01
/// a `nodeImageVersion` starts a rollback.
const NEVER_SENT: [&str; 6] = [
    "currentOrchestratorVersion",
    "eTag",
    "nodeImageVersion",
    "provisioningState",
    "status",
    "virtualMachineNodesStatus",
];

/// Collections that always go, explicitly empty where there are none: whether ARM keeps non-empty ones that are left
/// out is not documented.
const COLLECTIONS: [&str; 3] = ["nodeLabels", "nodeTaints", "tags"];

/// A PUT of one pool, made from its document as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolWrite {
    /// The body.
    pub body: Value,
    /// The eTag of the document that it was made from: the write counts only if nobody wrote the pool since. `None`
    /// where the service gave none.
    pub if_match: Option<String>,
    /// Whether the write counts only if there is no such pool.
    pub if_none_match: bool,
}

impl PoolWrite {
    /// What makes `change` on the pool and leaves all else as it was read.
    ///
    /// With an eTag the whole writable document goes back, which is safe because the write is refused if anybody wrote
    /// in between. Without one only the changed property and the collections go, since anything more would take back
    /// what somebody else just changed; ARM keeps what is left out.
    #[must_use]
    pub fn new(document: &PoolDocument, change: &Change) -> Self {
        let read = document.properties();
        let if_match = document.tag().map(str::to_owned);
        let autoscaled = read.get("enableAutoScaling") == Some(&Value::Bool(true));
        let goes_back = |property: &str, value: &Value| {
            let owned_by_autoscaler = autoscaled && property == "count";
            !NEVER_SENT.contains(&property) && !owned_by_autoscaler && !value.is_null()
        };
        let mut properties = Map::new();
        if if_match.is_some() {
            let kept = read.iter().filter(|(property, value)| goes_back(property, value));
            properties.extend(kept.map(|(property, value)| (property.clone(), value.clone())));
        }
        for collection in COLLECTIONS {
            let empty = if collection == "nodeTaints" { json!([]) } else { json!({}) };
            let value = read.get(collection).filter(|value| !value.is_null()).cloned().unwrap_or(empty);
            properties.insert(collection.into(), value);
        }
        if let Some((name, value)) = changed(change) {
            properties.insert(name.into(), value);
        }
        Self { body: json!({ "properties": properties }), if_match, if_none_match: false }
    }

    /// What creates a pool, if there is none of its name.
    #[must_use]
    pub fn creation(new: &NewPool) -> Self {
        Self { body: json!({ "properties": settings::of_new(new) }), if_match: None, if_none_match: true }
    }
}

/// The property that the change is about, and its new value; a repair changes none, and neither a deletion nor a drain is a PUT.
fn changed(change: &Change) -> Option<(&'static str, Value)> {
    Some(match change {
        Change::Mode { to, .. } => ("mode", json!(to.to_string())),
        Change::Count { to, .. } => ("count", json!(to)),
        Change::Taints { to, .. } => ("nodeTaints", to.iter().map(ToString::to_string).collect()),
        Change::Labels { to, .. } => ("nodeLabels", json!(to)),
        Change::Tags { to, .. } => ("tags", json!(to)),
        Change::Repair { .. } | Change::Create(_) | Change::Delete | Change::Drain(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::Mode;

    use super::*;

    fn document(properties: &Value) -> PoolDocument {
        PoolDocument::parse(json!({"name": "apps", "properties": properties})).unwrap()
    }

    fn read() -> Value {
        json!({
            "count": 3, "mode": "User", "enableAutoScaling": false, "provisioningState": "Succeeded",
            "currentOrchestratorVersion": "1.33.5", "orchestratorVersion": "1.33", "nodeImageVersion": "image",
            "nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "osDiskSizeGB": 128, "podSubnetID": null,
            "status": {"provisioningError": {"code": "C"}}, "upgradeSettings": {"drainTimeoutInMinutes": 45},
        })
    }

    #[test]
    fn without_an_etag_only_the_change_and_the_collections_go() {
        let write = PoolWrite::new(&document(&read()), &Change::Count { from: 3, to: 5 });
        assert_eq!(write.if_match, None);
        assert_eq!(
            write.body,
            json!({"properties": {
                "count": 5, "nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "tags": {}
            }})
        );
        let repair = PoolWrite::new(&document(&read()), &Change::Repair { code: String::new() });
        assert_eq!(
            repair.body,
            json!({"properties": {"nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "tags": {}}})
        );
        let cleared = PoolWrite::new(&document(&read()), &Change::Taints { from: vec![], to: vec![] });
        assert_eq!(cleared.body["properties"]["nodeTaints"], json!([]));
        let tagged = Change::Tags { from: [].into(), to: [("owner".to_owned(), "shop".to_owned())].into() };
        assert_eq!(
            PoolWrite::new(&document(&read()), &tagged).body,
            json!({"properties": {
                "nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "tags": {"owner": "shop"}
            }})
        );
    }

    #[test]
    fn with_an_etag_the_writable_document_goes_back_under_its_condition() {
        let mut properties = read();
        properties["eTag"] = json!("tag-1");
        let write = PoolWrite::new(&document(&properties), &Change::Count { from: 3, to: 5 });
        assert_eq!(write.if_match.as_deref(), Some("tag-1"));
        assert_eq!(
            write.body,
            json!({"properties": {
                "count": 5, "mode": "User", "enableAutoScaling": false, "orchestratorVersion": "1.33",
                "nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "tags": {}, "osDiskSizeGB": 128,
                "upgradeSettings": {"drainTimeoutInMinutes": 45},
            }})
        );
    }

    #[test]
    fn the_count_of_an_autoscaled_pool_never_goes_back() {
        let mut properties = read();
        properties["eTag"] = json!("tag-1");
        properties["enableAutoScaling"] = json!(true);
        let write = PoolWrite::new(&document(&properties), &Change::Mode { from: Mode::User, to: Mode::System });
        assert_eq!(write.body["properties"].get("count"), None);
        assert_eq!(write.body["properties"]["mode"], "System");
    }

    #[test]
    fn an_empty_etag_is_none() {
        let mut properties = read();
        properties["eTag"] = json!("");
        assert_eq!(PoolWrite::new(&document(&properties), &Change::Count { from: 3, to: 5 }).if_match, None);
    }
}
