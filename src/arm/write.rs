//! What a write of a pool carries, and under which condition. Never sends it, and never asks for more than one change.

use nodepool_kernel::{Change, NewPool};
use serde_json::{Map, Value, json};

use super::document::PoolDocument;
use super::operation::Operation;
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

/// What ARM told of a write that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The operation that carries it out, if the answer names one that may be asked.
    pub operation: Option<Operation>,
    /// The id by which Azure's support finds the request.
    pub correlation: Option<String>,
}

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
        for (name, value) in changed(change, read) {
            match value {
                Some(value) => drop(properties.insert(name.into(), value)),
                None => drop(properties.remove(name)),
            }
        }
        Self { body: json!({ "properties": properties }), if_match, if_none_match: false }
    }

    /// What creates a pool, if there is none of its name.
    #[must_use]
    pub fn creation(new: &NewPool) -> Self {
        Self { body: json!({ "properties": settings::of_new(new) }), if_match: None, if_none_match: true }
    }
}

/// The properties that the change is about, and their new values; `None` goes in no case. A repair changes none, and a
/// deletion, a drain or the upgrade of an image is no PUT.
fn changed(change: &Change, read: &Map<String, Value>) -> Vec<(&'static str, Option<Value>)> {
    let one = |name, value| vec![(name, Some(value))];
    let power = |code: &str| ("powerState", Some(json!({ "code": code })));
    match change {
        Change::Mode { to, .. } => one("mode", json!(to.to_string())),
        Change::Count { to, .. } => one("count", json!(to)),
        Change::Taints { to, .. } => one("nodeTaints", to.iter().map(ToString::to_string).collect()),
        Change::Labels { to, .. } => one("nodeLabels", json!(to)),
        Change::Tags { to, .. } => one("tags", json!(to)),
        Change::Version { to, .. } => one("orchestratorVersion", json!(to.to_string())),
        Change::UpgradeSettings { to, .. } => {
            one("upgradeSettings", Value::Object(settings::of_upgrades(to, read.get("upgradeSettings"))))
        }
        // The number of nodes is the autoscaler's before or after, and what was read of it may be old already.
        Change::Autoscaling { to, .. } => vec![
            ("enableAutoScaling", Some(json!(to.is_some()))),
            ("minCount", to.map(|bounds| json!(bounds.min))),
            ("maxCount", to.map(|bounds| json!(bounds.max))),
            ("count", None),
        ],
        // The count of a stopped pool is AKS's to remember, and what a stopped one shows is none.
        Change::Stop => vec![power("Stopped"), ("count", None)],
        Change::Start => vec![power("Running"), ("count", None)],
        Change::NodeImage { .. } | Change::Repair { .. } | Change::Create(_) | Change::Delete | Change::Drain(_) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{Autoscaling, Mode};

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
    fn the_autoscaler_goes_with_its_bounds_and_without_a_count() {
        let bounds = |min, max| Some(Autoscaling { min, max });
        let collections = json!({"nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "tags": {}});
        for (from, to, about) in [
            (None, bounds(1, 5), json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5})),
            (bounds(1, 5), bounds(2, 5), json!({"enableAutoScaling": true, "minCount": 2, "maxCount": 5})),
            (bounds(1, 5), None, json!({"enableAutoScaling": false})),
        ] {
            let mut properties = read();
            properties["enableAutoScaling"] = json!(from.is_some());
            properties["minCount"] = json!(from.map(|bounds| bounds.min));
            properties["maxCount"] = json!(from.map(|bounds| bounds.max));
            let mut all = collections.clone();
            all.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
            let change = Change::Autoscaling { from, to };
            assert_eq!(PoolWrite::new(&document(&properties), &change).body["properties"], all);
            properties["eTag"] = json!("tag-1");
            let whole = PoolWrite::new(&document(&properties), &change).body["properties"].clone();
            assert_eq!((whole.get("count"), whole.get("minCount")), (None, about.get("minCount")));
            assert_eq!(whole["enableAutoScaling"], about["enableAutoScaling"]);
        }
    }

    #[test]
    fn the_power_goes_without_a_count() {
        for (change, code) in [(Change::Stop, "Stopped"), (Change::Start, "Running")] {
            let power = json!({"code": code});
            let mut properties = read();
            let collections = json!({"nodeLabels": {"tier": "web"}, "nodeTaints": ["a=b:NoSchedule"], "tags": {}});
            let mut wanted = collections.clone();
            wanted["powerState"] = power.clone();
            assert_eq!(PoolWrite::new(&document(&properties), &change).body["properties"], wanted);
            properties["eTag"] = json!("tag-1");
            let whole = PoolWrite::new(&document(&properties), &change).body["properties"].clone();
            assert_eq!((whole.get("count"), &whole["powerState"], &whole["osDiskSizeGB"]), (None, &power, &json!(128)));
        }
    }

    #[test]
    fn an_empty_etag_is_none() {
        let mut properties = read();
        properties["eTag"] = json!("");
        assert_eq!(PoolWrite::new(&document(&properties), &Change::Count { from: 3, to: 5 }).if_match, None);
    }

    #[test]
    fn an_upgrade_and_its_settings_are_changes_of_their_own() {
        let version = nodepool_kernel::Version::parse;
        let upgrade = Change::Version { from: version("1.33.5"), to: version("1.34.2").unwrap() };
        let settings = |surge: &str| nodepool_kernel::UpgradeSettings {
            max_surge: Some(surge.into()),
            ..nodepool_kernel::UpgradeSettings::default()
        };
        let surge = Change::UpgradeSettings { from: settings("10%"), to: settings("33%") };
        let mut read = read();
        read["orchestratorVersion"] = json!("1.33");
        read["upgradeSettings"] = json!({"drainTimeoutInMinutes": 45, "maxSurge": "10%", "maxUnavailable": null});
        let whole = json!({"drainTimeoutInMinutes": 45, "maxSurge": "33%"});
        for etag in [false, true] {
            if etag {
                read["eTag"] = json!("1");
            }
            let body = |change: &Change| PoolWrite::new(&document(&read), change).body["properties"].clone();
            assert_eq!(body(&upgrade)["orchestratorVersion"], "1.34.2");
            assert_eq!(body(&upgrade)["upgradeSettings"].is_null(), !etag, "nothing else goes without an eTag");
            assert_eq!(body(&surge)["upgradeSettings"], whole, "ARM may replace the object as a whole");
            assert_eq!(body(&surge)["orchestratorVersion"].is_null(), !etag);
        }
    }
}
