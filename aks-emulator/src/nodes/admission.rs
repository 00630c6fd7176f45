//! The admission rule that what a pool's ARM document says about its nodes can't be edited through Kubernetes. Never
//! binds the emulator itself, nor anything that is not of a pool.

use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Taint;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::drain::error;
use super::{NodeError, NodePool, object, reconcile};

/// What the rule is called: the name of the webhook of AKS that does the same.
const NAME: &str = "aks-node-validating-webhook.azmk8s.io";
const MANAGER: &str = "aks-emulator";

/// Puts the rule in force for these pools, or brings it up to date.
pub(super) async fn protect(client: &Client, pools: &[NodePool]) -> Result<(), NodeError> {
    let review = Api::<SelfSubjectReview>::all(client.clone());
    let review = review.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let user = review
        .map_err(|source| error("ask for", "the emulator's own name", source))?
        .status
        .and_then(|status| status.user_info)
        .and_then(|user| user.username)
        .unwrap_or_default();
    apply(&Api::<ValidatingAdmissionPolicy>::all(client.clone()), &policy(&user, pools)).await?;
    apply(&Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()), &binding()).await
}

/// Takes the rule away.
pub(super) async fn unprotect(client: &Client) -> Result<(), NodeError> {
    delete(&Api::<ValidatingAdmissionPolicyBinding>::all(client.clone())).await?;
    delete(&Api::<ValidatingAdmissionPolicy>::all(client.clone())).await
}

async fn apply<K>(api: &Api<K>, object: &Value) -> Result<(), NodeError>
where
    K: Clone + Debug + DeserializeOwned,
{
    let written = api.patch(NAME, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
    written.map(drop).map_err(|source| error("write the admission rule", NAME, source))
}

async fn delete<K>(api: &Api<K>) -> Result<(), NodeError>
where
    K: Clone + Debug + DeserializeOwned,
{
    match api.delete(NAME, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(error("delete the admission rule", NAME, source)),
    }
}

/// The labels of each pool that has some, as `[key, value]`, and the taints, as `key=value:Effect`. In the policy itself:
/// an API server does not follow changes of a `ConfigMap` any more once a policy that it was a parameter of was deleted.
fn owned(pools: &[NodePool]) -> (Value, Value) {
    let labels = |pool: &NodePool| -> Vec<Value> { pool.labels.iter().map(|label| json!(label)).collect() };
    let taints = |pool: &NodePool| -> Vec<Value> {
        pool.taints.iter().filter_map(|text| reconcile::taint(text)).map(|taint| json!(shown(taint))).collect()
    };
    let of_each = |what: &dyn Fn(&NodePool) -> Vec<Value>| {
        let each = pools.iter().map(|pool| (pool.name.clone(), json!(what(pool))));
        Value::Object(each.filter(|(_, list)| *list != json!([])).collect())
    };
    (of_each(&labels), of_each(&taints))
}

fn shown(taint: Taint) -> String {
    let value = taint.value.map(|value| format!("={value}")).unwrap_or_default();
    format!("{}{value}:{}", taint.key, taint.effect)
}

fn binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {
            "policyName": NAME,
            "validationActions": ["Deny"],
        },
    })
}

fn policy(user: &str, pools: &[NodePool]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            // Controllers write nodes too, and must not stop for a rule that can't be evaluated.
            "failurePolicy": "Ignore",
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["nodes"]},
            ]},
            "matchConditions": [
                {"name": "not-aks-itself", "expression": format!("request.userInfo.username != {}", json!(user))},
            ],
            "variables": variables(pools),
            "validations": validations(),
        },
    })
}

/// What a change is about. An absent label reads as a line break, which no label can have.
fn variables(pools: &[NodePool]) -> Value {
    // A literal of JSON is one of the policy's language too.
    let of_pool = |owned: Value| format!("({owned})[?variables.pool].orValue([])");
    let (labels, owned_taints) = owned(pools);
    let taints = |object: &str| {
        format!(
            r#"{object}.spec.?taints.orValue([]).map(t, t.key + (t.?value.orValue("") == "" ? "" : "=" + t.value) + ":" + t.effect)"#
        )
    };
    // Of the node as it was, or a change of that label would lift the rule.
    let pool = format!(r#"oldObject.metadata.?labels[?"{}"].orValue("")"#, object::POOL_LABEL);
    let changed = r#"variables.labels.filter(l,
        object.metadata.?labels[?l[0]].orValue("\n") != oldObject.metadata.?labels[?l[0]].orValue("\n") &&
        object.metadata.?labels[?l[0]].orValue("\n") != l[1])"#;
    json!([
        {"name": "pool", "expression": pool},
        {"name": "labels", "expression": of_pool(labels)},
        {"name": "taints", "expression": of_pool(owned_taints)},
        {"name": "changed", "expression": changed},
        {"name": "deleted", "expression": "variables.changed.filter(l, !(l[0] in object.metadata.?labels.orValue({})))"},
        {"name": "updated", "expression": "variables.changed.filter(l, l[0] in object.metadata.?labels.orValue({}))"},
        {"name": "before", "expression": taints("oldObject")},
        {"name": "after", "expression": taints("object")},
        {"name": "lost", "expression": "variables.taints.filter(t, t in variables.before && !(t in variables.after))"},
    ])
}

/// The texts are those that users report, except of the deletion of a label, which nobody has.
fn validations() -> Value {
    json!([
        {
            "expression": "variables.updated.size() == 0",
            "messageExpression": r#""Label update/add request \"" + variables.updated[0][0] + ":" + object.metadata.labels[variables.updated[0][0]] + "\" refused. User is attempting to update/add a label configured on node pool. Please change node pool label configuration through Azure..""#,
            "reason": "Forbidden",
        },
        {
            "expression": "variables.deleted.size() == 0",
            "messageExpression": r#""Label delete request \"" + variables.deleted[0][0] + ":" + oldObject.metadata.labels[variables.deleted[0][0]] + "\" refused. User is attempting to delete a label configured on node pool. Please change node pool label configuration through Azure..""#,
            "reason": "Forbidden",
        },
        {
            "expression": "variables.lost.size() == 0",
            "messageExpression": r#""Taint delete request \"" + variables.lost[0] + "\" refused. User is attempting to delete a taint configured on aks node pool \"" + variables.pool + "\".""#,
            "reason": "Forbidden",
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::object::tests::pool;

    #[test]
    fn the_rule_knows_labels_and_taints_of_the_pool_and_no_initialization_taints() {
        let mut pool = pool();
        pool.labels.insert("empty".to_owned(), String::new());
        pool.taints.push("alone:NoExecute".to_owned());
        let (labels, taints) = owned(&[pool.clone(), NodePool { name: "web".to_owned(), taints: Vec::new(), ..pool }]);
        assert_eq!(labels["apps"], json!([["empty", ""], ["tier", "web"]]));
        assert_eq!(taints, json!({"apps": ["team=apps:NoSchedule", "alone:NoExecute"]}));
    }

    #[test]
    fn the_objects_are_of_their_kinds() {
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy("a \"b\"", &[pool()])).unwrap();
        let spec = policy.spec.unwrap();
        let conditions = spec.match_conditions.unwrap();
        assert_eq!(conditions[0].expression, r#"request.userInfo.username != "a \"b\"""#);
        assert_eq!(spec.validations.unwrap().len(), 3);
        assert!(serde_json::from_value::<ValidatingAdmissionPolicyBinding>(binding()).is_ok());
    }
}
