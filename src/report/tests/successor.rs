//! What stands in the status of a policy whose pool can't become what it asks for.

use std::sync::Arc;

use nodepool_kernel::{AgentPool, FieldValue, Os, Template};
use serde_json::{Value, json};

use super::{NodePoolPolicyStatus, edit_pool, policy, standing, told, world};
use crate::api::{NodePoolPolicySpec, condition};

/// How the policy stands whose user pool, which takes 20 pods a node, is changed.
fn of(spec: Value, edit: impl FnOnce(&mut AgentPool) + 'static) -> NodePoolPolicyStatus {
    let policy = policy("apps", spec);
    let small = |pool: &mut AgentPool| {
        pool.settings = Arc::new(Template::from_fields(|field| match field.name {
            "vmSize" => Some(FieldValue::Text("Standard_D4ds_v5".into())),
            "maxPods" => Some(FieldValue::Number(20)),
            "zones" => Some(FieldValue::List(vec!["1".into(), "2".into()])),
            _ => None,
        }));
        edit(pool);
    };
    told(&policy, &world(&policy, edit_pool("apps", small)), true, None)
}

#[test]
fn a_policy_of_another_pool_is_ready_while_this_one_can_be_no_system_pool() {
    let wish = json!({
        "poolName": "apps", "mode": "System", "labels": {"team": "a"}, "suspend": false, "enforcement": "Enforce",
        "deletionPolicy": "Delete",
    });
    let status = of(wish, |_| ());
    assert_eq!(standing(&status), "FFTFF ImmutableField");
    let said = &status.condition(condition::READY).unwrap().message;
    assert!(said.contains("its nodes take 20 pods at most") && said.contains("{.status.successor}"), "{said}");
    let successor: Value = serde_json::from_str(&status.successor.unwrap()).unwrap();
    let wanted = json!({
        "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy", "metadata": {"name": "apps2"},
        "spec": {
            "mode": "System", "labels": {"team": "a"}, "count": 1,
            "template": {"vmSize": "Standard_D4ds_v5", "zones": ["1", "2"]},
        },
    });
    assert_eq!(successor, wanted);
    serde_json::from_value::<NodePoolPolicySpec>(successor["spec"].clone()).unwrap();
}

#[test]
fn the_policys_own_template_and_scale_are_taken_over() {
    let windows = |pool: &mut AgentPool| pool.os = Os::Other("Windows".into());
    let template = json!({"vmSize": "Standard_B1s", "priority": "Regular", "osDiskSizeGB": 64});
    let bounds = json!({"minCount": 2, "maxCount": 4});
    let status = of(json!({"mode": "System", "autoscaling": bounds, "template": template}), windows);
    let successor: Value = serde_json::from_str(&status.successor.unwrap()).unwrap();
    let wanted = json!({
        "mode": "System", "autoscaling": bounds, "template": {"vmSize": "Standard_D4ds_v5", "osDiskSizeGB": 64},
    });
    assert_eq!(successor["spec"], wanted);
}

#[test]
fn there_is_none_while_nothing_or_something_else_is_refused() {
    assert_eq!(of(json!({"labels": {"a": "b"}}), |_| ()).successor, None);
    let tainted = |pool: &mut AgentPool| {
        (pool.settings, pool.taints) = (Arc::default(), vec!["a=b:NoSchedule".parse().unwrap()]);
    };
    let status = of(json!({"mode": "System"}), tainted);
    assert_eq!((standing(&status).as_str(), status.successor), ("FFTFF RestrictedSystemTaint", None));
}
