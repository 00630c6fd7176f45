//! Selectors of labels and of nodes. Never takes for understood what upstream rejects: such a selector is none.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use nodepool_kernel::placement::{NameTest, NodeTerm, Requirement, Selector, Test};

/// A label selector (upstream `LabelSelectorAsSelector`); `None` when it can't be understood.
pub(in crate::observe) fn selector(selector: Option<&meta::LabelSelector>) -> Option<Selector> {
    let Some(selector) = selector else { return Some(Selector::Nothing) };
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| requirement(key, "In", std::slice::from_ref(value)));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        // Selectors of labels do not compare numbers.
        let compares = matches!(expression.operator.as_str(), "Gt" | "Lt");
        let values = expression.values.as_deref().unwrap_or_default();
        if compares { None } else { requirement(&expression.key, &expression.operator, values) }
    });
    labels.chain(expressions).collect::<Option<Vec<_>>>().map(Selector::All)
}

/// The terms of a node selector. Those that are empty or can't be understood match nothing and are left out (upstream
/// `NewLazyErrorNodeSelector`).
pub(super) fn node_terms(terms: &[core::NodeSelectorTerm]) -> Vec<NodeTerm> {
    terms.iter().filter_map(node_term).collect()
}

fn node_term(term: &core::NodeSelectorTerm) -> Option<NodeTerm> {
    let read = |requirement: &core::NodeSelectorRequirement| {
        self::requirement(&requirement.key, &requirement.operator, requirement.values.as_deref().unwrap_or_default())
    };
    let labels: Vec<Requirement> = term.match_expressions.iter().flatten().map(read).collect::<Option<_>>()?;
    let names: Vec<NameTest> = term.match_fields.iter().flatten().map(name_test).collect::<Option<_>>()?;
    (!labels.is_empty() || !names.is_empty()).then_some(NodeTerm { labels, names })
}

/// A requirement on `metadata.name`, the only field that a node can be selected by (upstream
/// `nodeSelectorRequirementsAsFieldSelector`: exactly one value).
fn name_test(requirement: &core::NodeSelectorRequirement) -> Option<NameTest> {
    let [value] = requirement.values.as_deref()? else { return None };
    match (requirement.key.as_str(), requirement.operator.as_str()) {
        ("metadata.name", "In") => Some(NameTest::Is(value.clone())),
        ("metadata.name", "NotIn") => Some(NameTest::IsNot(value.clone())),
        _ => None,
    }
}

/// A requirement on a label (upstream `labels.NewRequirement`).
fn requirement(key: &str, operator: &str, values: &[String]) -> Option<Requirement> {
    let integer = || match values {
        [value] => value.parse::<i64>().ok(),
        _ => None,
    };
    let test = match operator {
        "In" if !values.is_empty() => Test::In(values.to_vec()),
        "NotIn" if !values.is_empty() => Test::NotIn(values.to_vec()),
        "Exists" if values.is_empty() => Test::Exists,
        "DoesNotExist" if values.is_empty() => Test::DoesNotExist,
        "Gt" => Test::Greater(integer()?),
        "Lt" => Test::Less(integer()?),
        _ => return None,
    };
    let formed = is_label_key(key) && values.iter().all(|value| is_label_value(value));
    formed.then(|| Requirement { key: key.to_owned(), test })
}

/// Upstream `validation.IsQualifiedName`.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        bounded(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit()) && part.chars().all(inner)
    };
    let domain = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(part);
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(domain)
}

/// Upstream `validation.IsValidLabelValue`.
fn is_label_value(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    value.is_empty() || (value.len() <= 63 && bounded(value, |c| c.is_ascii_alphanumeric()) && value.chars().all(inner))
}

/// Whether the first and the last character are of a kind.
fn bounded(text: &str, kind: impl Fn(char) -> bool) -> bool {
    text.chars().next().is_some_and(&kind) && text.chars().next_back().is_some_and(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Option<Selector> {
        selector(Some(&serde_json::from_value(value).unwrap()))
    }

    #[test]
    fn label_selectors_are_nothing_everything_or_requirements() {
        assert_eq!(selector(None), Some(Selector::Nothing));
        assert_eq!(read(json!({})), Some(Selector::everything()));
        let one = Selector::everything().and("a", Test::In(vec!["b".into()]));
        assert_eq!(read(json!({"matchLabels": {"a": "b"}})), Some(one));
        let two = Selector::everything().and("a", Test::Exists).and("b", Test::NotIn(vec!["c".into()]));
        let expressions =
            json!([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "NotIn", "values": ["c"]}]);
        assert_eq!(read(json!({"matchExpressions": expressions})), Some(two));
    }

    #[test]
    fn a_selector_that_upstream_rejects_is_not_understood() {
        for (operator, values) in [
            ("In", json!([])),
            ("NotIn", json!([])),
            ("Exists", json!(["a"])),
            ("DoesNotExist", json!(["a"])),
            ("Gt", json!(["1"])),
            ("Near", json!(["a"])),
            ("NotIn", json!(["not a label"])),
            ("NotIn", json!(["x".repeat(64)])),
        ] {
            let expressions = json!([{"key": "a", "operator": operator, "values": values}]);
            assert_eq!(read(json!({"matchExpressions": expressions})), None, "{operator} {values}");
        }
        for key in ["", "a b", "-a", "a/b/c", "UPPER.case/a", "/a", "a/"] {
            assert_eq!(read(json!({"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]})), None, "{key}");
        }
        assert!(read(json!({"matchExpressions": [{"key": "a.b-c/D_e.f", "operator": "Exists"}]})).is_some());
    }

    #[test]
    fn node_terms_that_are_empty_or_malformed_are_left_out() {
        let term = |value: Value| node_terms(&[serde_json::from_value(value).unwrap()]);
        assert_eq!(term(json!({})), []);
        assert_eq!(term(json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["x"]}]})), []);
        assert_eq!(term(json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b c"]}]})), []);
        let field = |key: &str, operator: &str, values: Value| {
            term(json!({"matchFields": [{"key": key, "operator": operator, "values": values}]}))
        };
        assert_eq!(field("metadata.name", "In", json!(["a", "b"])), []);
        assert_eq!(field("metadata.uid", "In", json!(["a"])), []);
        assert_eq!(field("metadata.name", "Exists", json!(["a"])), []);
        assert_eq!(field("metadata.name", "NotIn", json!(["a"])).len(), 1);
        let below =
            |value: &str| term(json!({"matchExpressions": [{"key": "a", "operator": "Lt", "values": [value]}]}));
        assert_eq!(
            (below("5").len(), below("+5").len(), below("5x").len()),
            (1, 0, 0),
            "a value that no label may have"
        );
    }
}
