//! The policy of another pool, for one that AKS does not make what its policy asks for. Never applies it: a person reads it first.

use kube::Resource;
use nodepool_kernel::{AgentPool, FieldValue, LEAST_PODS, Os, Rule, Template, is_too_small_for_system};
use serde_json::{Map, Value, json};

use super::status::Circumstances;
use crate::api::NodePoolPolicy;
use crate::nested::put;

/// Machines that AKS takes for a system pool, where those of the pool are too small.
const FITTING_SIZE: &str = "Standard_D4ds_v5";
/// What stays with the pool that it was said of.
const NOT_TAKEN_OVER: [&str; 4] = ["poolName", "suspend", "enforcement", "deletionPolicy"];
/// What has a meaning for Spot machines only.
const OF_SPOT: [&str; 3] = ["priority", "spotMaxPrice", "evictionPolicy"];
/// What a pool of Windows says that one of Linux does not.
const OF_WINDOWS: [&str; 3] = ["osType", "osSKU", "kubeletConfig"];

/// The policy as JSON, as `kubectl apply -f -` takes it, while a promotion is refused because the pool can't be a system pool.
pub(super) fn successor(policy: &NodePoolPolicy, about: &Circumstances<'_>) -> Option<String> {
    let pool = about.pool?;
    let is_refused = about.refusals().any(|refusal| {
        refusal.step.change.promotes() && refusal.broken.iter().any(|broken| broken.rule == Rule::ImmutableField)
    });
    if !is_refused {
        return None;
    }
    let Value::Object(mut spec) = serde_json::to_value(&policy.spec).ok()? else { return None };
    spec.retain(|field, _| !NOT_TAKEN_OVER.contains(&field.as_str()));
    let template = spec.remove("template").unwrap_or_else(|| as_template(&pool.settings));
    spec.insert("template".to_owned(), fitting(template, pool));
    if !spec.contains_key("count") && !spec.contains_key("autoscaling") {
        spec.insert("count".to_owned(), json!(pool.count.max(1)));
    }
    let another = json!({
        "apiVersion": NodePoolPolicy::api_version(&()),
        "kind": NodePoolPolicy::kind(&()),
        "metadata": {"name": next_name(policy.pool_name())},
        "spec": spec,
    });
    Some(another.to_string())
}

/// The same name with the next number at its end, within the twelve characters of AKS.
fn next_name(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = name.get(stem.len()..).and_then(|digits| digits.parse().ok()).unwrap_or(1);
    let number = number.saturating_add(1).to_string();
    let kept: String = stem.chars().take(12_usize.saturating_sub(number.len())).collect();
    format!("{kept}{number}")
}

/// What a pool is made from, as `spec.template` says it.
fn as_template(settings: &Template) -> Value {
    let mut template = Map::new();
    for (field, value) in settings.values() {
        put(&mut template, field.name, as_json(value));
    }
    Value::Object(template)
}

fn as_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Text(text) | FieldValue::Decimal(text) => json!(text),
        FieldValue::Number(number) => json!(number),
        FieldValue::Flag(flag) => json!(flag),
        FieldValue::List(texts) => json!(texts),
    }
}

/// The template without what keeps AKS from taking the pool for a system pool.
fn fitting(template: Value, pool: &AgentPool) -> Value {
    let Value::Object(mut template) = template else { return template };
    template.retain(|field, _| !OF_SPOT.contains(&field.as_str()));
    if pool.os != Os::Linux {
        template.retain(|field, _| !OF_WINDOWS.contains(&field.as_str()));
    }
    template.retain(|field, value| field != "maxPods" || value.as_i64().is_none_or(|pods| pods >= LEAST_PODS));
    let size = template.get("vmSize").and_then(Value::as_str).unwrap_or_default();
    if size.is_empty() || is_too_small_for_system(size) {
        template.insert("vmSize".to_owned(), json!(FITTING_SIZE));
    }
    Value::Object(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_pool_has_the_next_number() {
        for (name, next) in [
            ("apps", "apps2"),
            ("apps2", "apps3"),
            ("apps9", "apps10"),
            ("a123456789bc", "a123456789b2"),
            ("abcdefghijk9", "abcdefghij10"),
            ("a4294967295", "a4294967295"),
            ("a99999999999", "a2"),
        ] {
            assert_eq!(next_name(name), next);
        }
    }

    #[test]
    fn a_pool_tells_its_template() {
        let settings = Template::from_fields(|field| match field.name {
            "vmSize" => Some(FieldValue::Text("Standard_D4ds_v5".into())),
            "maxPods" => Some(FieldValue::Number(50)),
            "enableFIPS" => Some(FieldValue::Flag(true)),
            "zones" => Some(FieldValue::List(vec!["1".into()])),
            "kubeletConfig.cpuManagerPolicy" => Some(FieldValue::Text("static".into())),
            "kubeletConfig.podMaxPids" => Some(FieldValue::Number(100)),
            _ => None,
        });
        let told = as_template(&settings);
        assert_eq!(
            told,
            json!({
                "vmSize": "Standard_D4ds_v5", "maxPods": 50, "enableFIPS": true, "zones": ["1"],
                "kubeletConfig": {"cpuManagerPolicy": "static", "podMaxPids": 100},
            })
        );
        serde_json::from_value::<crate::api::NodePoolPolicySpec>(json!({"template": told})).unwrap();
    }
}
