//! What a pool is made from, between ARM's documents and the kernel: read, and sent once with a creation. Never sent for a
//! pool that exists.

use nodepool_kernel::{FieldKind, FieldValue, NewPool, Template, TemplateField, UpgradeSettings};
use serde_json::{Map, Value, json};

use crate::nested::put;

/// What ARM shows of a pool. A property of another sort than its field counts as not shown.
pub(super) fn read(properties: &Map<String, Value>) -> Template {
    Template::from_fields(|field| {
        let mut names = field.property.split('.');
        let top = properties.get(names.next()?)?;
        value(field, names.try_fold(top, |shown, name| shown.get(name))?)
    })
}

fn value(field: &TemplateField, shown: &Value) -> Option<FieldValue> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match field.kind {
        FieldKind::Text => text(shown).map(FieldValue::Text),
        FieldKind::Number => shown.as_i64().map(FieldValue::Number),
        FieldKind::Decimal => shown.as_number().map(|number| FieldValue::Decimal(number.to_string())),
        FieldKind::Flag => shown.as_bool().map(FieldValue::Flag),
        FieldKind::List => shown.as_array()?.iter().map(text).collect::<Option<_>>().map(FieldValue::List),
    }
}

/// The properties of a new pool: what its policy says, and nothing else.
pub(super) fn of_new(new: &NewPool) -> Map<String, Value> {
    let mut properties = Map::new();
    for (field, value) in new.template.values() {
        put(&mut properties, field.property, sent(value));
    }
    properties.insert("mode".into(), json!(new.mode.to_string()));
    properties.insert("count".into(), json!(new.count));
    if let Some(bounds) = new.autoscaling {
        properties.insert("enableAutoScaling".into(), json!(true));
        properties.insert("minCount".into(), json!(bounds.min));
        properties.insert("maxCount".into(), json!(bounds.max));
    }
    if let Some(taints) = &new.taints {
        properties.insert("nodeTaints".into(), taints.iter().map(ToString::to_string).collect());
    }
    if let Some(labels) = &new.labels {
        properties.insert("nodeLabels".into(), json!(labels));
    }
    if let Some(tags) = &new.tags {
        properties.insert("tags".into(), json!(tags));
    }
    if let Some(version) = new.version {
        properties.insert("orchestratorVersion".into(), json!(version.to_string()));
    }
    let upgrade = of_upgrades(&new.upgrade, None);
    if !upgrade.is_empty() {
        properties.insert("upgradeSettings".into(), Value::Object(upgrade));
    }
    properties
}

/// The settings of upgrades, with those that were read and are not changed: ARM may replace the object as a whole.
pub(super) fn of_upgrades(settings: &UpgradeSettings, read: Option<&Value>) -> Map<String, Value> {
    let mut properties = read.and_then(Value::as_object).cloned().unwrap_or_default();
    properties.retain(|_, value| !value.is_null());
    let changed = [
        ("maxSurge", settings.max_surge.as_ref().map(|text| json!(text))),
        ("maxUnavailable", settings.max_unavailable.as_ref().map(|text| json!(text))),
        ("drainTimeoutInMinutes", settings.drain_timeout_minutes.map(|minutes| json!(minutes))),
        ("nodeSoakDurationInMinutes", settings.node_soak_minutes.map(|minutes| json!(minutes))),
        ("undrainableNodeBehavior", settings.undrainable_nodes.as_ref().map(|text| json!(text))),
    ];
    let changed = changed.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    properties.extend(changed);
    properties
}

fn sent(value: &FieldValue) -> Value {
    match value {
        FieldValue::Text(text) => json!(text),
        FieldValue::Number(number) => json!(number),
        FieldValue::Decimal(text) => text.parse().map_or_else(|_| json!(text), Value::Number),
        FieldValue::Flag(flag) => json!(flag),
        FieldValue::List(list) => json!(list),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nodepool_kernel::{Mode, TEMPLATE_FIELDS};

    use super::*;

    fn properties() -> Map<String, Value> {
        let shown = |kind| match kind {
            FieldKind::Text => json!("a"),
            FieldKind::Decimal => json!(0.5),
            FieldKind::Number => json!(30),
            FieldKind::Flag => json!(true),
            FieldKind::List => json!(["1", "2"]),
        };
        let mut all = Map::new();
        for field in TEMPLATE_FIELDS {
            put(&mut all, field.property, shown(field.kind));
        }
        all
    }

    fn new(template: Template) -> NewPool {
        NewPool::new(Mode::User, 2, Arc::new(template))
    }

    #[test]
    fn what_is_read_is_what_would_be_sent() {
        let mut sent = of_new(&new(read(&properties())));
        assert_eq!((sent.remove("mode"), sent.remove("count")), (Some(json!("User")), Some(json!(2))));
        assert_eq!(sent, properties());
    }

    #[test]
    fn only_what_the_policy_says_is_sent() {
        let mut bare = new(Template::default());
        assert_eq!(Value::Object(of_new(&bare)), json!({"mode": "User", "count": 2}));
        bare.taints = Some(vec![]);
        bare.labels = Some([("tier".to_owned(), "web".to_owned())].into());
        bare.tags = Some([].into());
        bare.version = nodepool_kernel::Version::parse("1.34");
        bare.upgrade.max_surge = Some("33%".into());
        let properties = Value::Object(of_new(&bare));
        let all = json!({"mode": "User", "count": 2, "nodeTaints": [], "nodeLabels": {"tier": "web"}, "tags": {}, "orchestratorVersion": "1.34", "upgradeSettings": {"maxSurge": "33%"}});
        assert_eq!(properties, all);
    }

    #[test]
    fn a_property_of_another_sort_is_not_shown() {
        let odd: Map<String, Value> = properties().into_iter().map(|(name, _)| (name, json!({}))).collect();
        assert_eq!(read(&odd), Template::default());
        let flat = json!({"kubeletConfig": 1, "linuxOSConfig": {"sysctls": []}});
        assert_eq!(read(flat.as_object().unwrap()), Template::default());
        let blank = json!({"osSKU": "", "availabilityZones": [1], "maxPods": null});
        assert_eq!(read(blank.as_object().unwrap()), Template::default());
    }
}
