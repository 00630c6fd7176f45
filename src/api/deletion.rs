//! What the deletion of a policy's object asks for: its finalizer and its annotation. Never writes either.

use kube::ResourceExt as _;
use nodepool_kernel as kernel;

use super::policy::{DeletionPolicy, Enforcement, NodePoolPolicy};

/// The finalizer that keeps the object of a policy until its pool is gone.
pub const FINALIZER: &str = "aks.nodepool.dev/delete-pool";

/// The annotation by which a person lets pods be lost that have nowhere else to go. Its value is the name of the pool that
/// they are on, so that it can't be meant for another.
pub const ALLOW_WORKLOAD_LOSS: &str = "aks.nodepool.dev/allow-workload-loss";

/// Whether the object carries the operator's finalizer.
#[must_use]
pub fn is_held(policy: &NodePoolPolicy) -> bool {
    policy.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Whether the object is to carry the finalizer: its deletion would delete the pool.
#[must_use]
pub fn is_to_be_held(policy: &NodePoolPolicy) -> bool {
    let spec = &policy.spec;
    let may_write = !spec.suspend.unwrap_or(false) && spec.enforcement != Some(Enforcement::Observe);
    spec.deletion_policy == Some(DeletionPolicy::Delete) && may_write
}

/// What is to become of the pool if the object is being deleted. Without the finalizer nothing holds the object, so that
/// nobody could wait for the pool to go.
pub(super) fn deletion(policy: &NodePoolPolicy) -> Option<kernel::Deletion> {
    policy.metadata.deletion_timestamp.as_ref()?;
    let deletes = policy.spec.deletion_policy == Some(DeletionPolicy::Delete) && is_held(policy);
    Some(if deletes { kernel::Deletion::Delete } else { kernel::Deletion::Orphan })
}

/// Whether pods may be lost with the policy's pool.
pub(super) fn may_lose_workloads(policy: &NodePoolPolicy) -> bool {
    policy.annotations().get(ALLOW_WORKLOAD_LOSS).is_some_and(|pool| pool == policy.pool_name())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(metadata: &Value, spec: &Value) -> NodePoolPolicy {
        let mut object = json!({"apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy", "spec": spec});
        object["metadata"] = metadata.clone();
        object["metadata"]["name"] = json!("apps");
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn only_a_policy_that_deletes_its_pool_and_may_write_is_held() {
        for (spec, held) in [
            (json!({}), false),
            (json!({"deletionPolicy": "Orphan"}), false),
            (json!({"deletionPolicy": "Delete"}), true),
            (json!({"deletionPolicy": "Delete", "suspend": true}), false),
            (json!({"deletionPolicy": "Delete", "enforcement": "Observe"}), false),
            (json!({"deletionPolicy": "Delete", "suspend": false, "enforcement": "Enforce"}), true),
        ] {
            assert_eq!(is_to_be_held(&policy(&json!({}), &spec)), held, "{spec}");
        }
    }

    #[test]
    fn a_pool_goes_only_with_an_object_that_is_deleted_and_held() {
        let delete = json!({"deletionPolicy": "Delete"});
        let terminating = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other", FINALIZER]});
        let loose = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other"]});
        for (metadata, spec, wanted) in [
            (&json!({"finalizers": [FINALIZER]}), &delete, None),
            (&terminating, &delete, Some(kernel::Deletion::Delete)),
            (&terminating, &json!({"deletionPolicy": "Orphan"}), Some(kernel::Deletion::Orphan)),
            (&terminating, &json!({}), Some(kernel::Deletion::Orphan)),
            (&loose, &delete, Some(kernel::Deletion::Orphan)),
        ] {
            assert_eq!(deletion(&policy(metadata, spec)), wanted, "{metadata} {spec}");
        }
    }

    #[test]
    fn a_loss_is_allowed_for_the_pool_of_that_name_only() {
        for (value, pool, allowed) in [("apps", "apps", true), ("web", "apps", false), ("true", "apps", false)] {
            let metadata = json!({"annotations": {ALLOW_WORKLOAD_LOSS: value}});
            assert_eq!(may_lose_workloads(&policy(&metadata, &json!({"poolName": pool}))), allowed, "{value}");
        }
        assert!(!may_lose_workloads(&policy(&json!({}), &json!({}))));
    }
}
