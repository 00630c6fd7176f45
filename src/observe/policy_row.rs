//! A policy as the watch shows it, whatever somebody has put there. Never stops at an object that can't be understood.

use kube::core::DynamicObject;
use serde_json::Value;

use super::store::PolicyRow;
use crate::api::{NodePoolPolicy, NodePoolPolicySpec};

/// The row of an object. A status that can't be understood counts as none: it is this operator's, and is written anew.
pub(super) fn policy_row(mut object: DynamicObject) -> PolicyRow {
    let part = |part: Option<&mut Value>| part.map(Value::take).unwrap_or_default();
    let status = serde_json::from_value(part(object.data.get_mut("status"))).unwrap_or_default();
    let policy = |spec| Box::new(NodePoolPolicy { metadata: object.metadata, spec, status });
    match serde_path_to_error::deserialize(part(object.data.get_mut("spec"))) {
        Ok(spec) => PolicyRow::Valid(policy(spec)),
        Err(invalid) => {
            let path = invalid.path().to_string();
            let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
            let error = format!("{field}: {}", invalid.into_inner());
            PolicyRow::Malformed { rest: policy(NodePoolPolicySpec::default()), error }
        }
    }
}

/// Whether a policy differs in anything that people write.
pub(super) fn is_news(old: &PolicyRow, new: &PolicyRow) -> bool {
    let written = |row: &PolicyRow| {
        let metadata = &row.known().metadata;
        let ends = (metadata.deletion_timestamp.clone(), metadata.finalizers.clone());
        (metadata.uid.clone(), metadata.generation, metadata.annotations.clone(), ends)
    };
    written(old) != written(new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::NodePoolPolicyStatus;

    fn row(spec: &Value, status: &Value) -> PolicyRow {
        let object = json!({
            "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy",
            "metadata": {"name": "p", "generation": 3, "uid": "u"}, "spec": spec, "status": status,
        });
        policy_row(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_policy_is_read_with_its_status() {
        let PolicyRow::Valid(policy) = row(&json!({"count": 2}), &json!({"observedGeneration": 3, "conditions": []}))
        else {
            panic!()
        };
        assert_eq!((policy.spec.count, policy.metadata.uid.as_deref()), (Some(2), Some("u")));
        assert_eq!(policy.status.unwrap().observed_generation, Some(3));
    }

    #[test]
    fn a_status_that_can_not_be_understood_counts_as_none() {
        // As an earlier build wrote it.
        for status in
            [json!({"conditions": [], "plan": {"steps": ["delete the pool"]}}), json!("x"), json!(null), json!({})]
        {
            let PolicyRow::Valid(policy) = row(&json!({"count": 2}), &status) else { panic!("{status}") };
            assert_eq!(policy.status.unwrap_or_default(), NodePoolPolicyStatus::default(), "{status}");
        }
    }

    #[test]
    fn a_spec_that_can_not_be_understood_is_told_with_the_field() {
        for (spec, error) in [
            (json!({"count": "two"}), "spec.count: invalid type: string \"two\", expected i32"),
            (json!({"taints": [{"key": 1}]}), "spec.taints[0].key: invalid type: integer `1`, expected a string"),
            (json!(null), "spec: invalid type: null, expected struct NodePoolPolicySpec"),
        ] {
            let found = row(&spec, &json!(null));
            let PolicyRow::Malformed { rest, error: told } = found else { panic!("{found:?}") };
            assert_eq!((told.as_str(), rest.metadata.generation), (error, Some(3)));
        }
    }
}
