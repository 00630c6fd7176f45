//! What was applied in a story, as Argo CD and Flux would apply it again and again: never may that change anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kube::Api;
use kube::api::{Patch, PatchParams};
use nodepool_operator::api::NodePoolPolicy;
use serde_json::Value;

/// Who applies.
pub const GITOPS: &str = "gitops";

/// The policies that were applied last, by name.
#[derive(Default)]
pub struct Applied(Mutex<BTreeMap<String, Value>>);

/// What somebody writes of an object, and what belongs to [`GITOPS`] of it.
fn written(policy: &NodePoolPolicy) -> (Option<i64>, Value, Option<Value>) {
    let owners = policy.metadata.managed_fields.iter().flatten();
    let mut own = owners.filter(|entry| entry.manager.as_deref() == Some(GITOPS));
    let fields = own.next().and_then(|entry| entry.fields_v1.as_ref()).map(|fields| fields.0.clone());
    (policy.metadata.generation, serde_json::to_value(&policy.spec).unwrap_or_default(), fields)
}

impl Applied {
    /// Takes note of a policy, and sees that applying it once more would change nothing.
    pub async fn note(&self, policies: &Api<NodePoolPolicy>, name: &str, policy: Value) -> anyhow::Result<()> {
        again(policies, name, &policy).await?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), policy);
        Ok(())
    }

    /// Sees that applying everything once more would change nothing, whatever the operator has done since.
    pub async fn all_again(&self, policies: &Api<NodePoolPolicy>) -> anyhow::Result<()> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, policy) in all {
            again(policies, &name, &policy).await?;
        }
        Ok(())
    }
}

/// What `kubectl diff` does: applies without storing, and compares.
async fn again(policies: &Api<NodePoolPolicy>, name: &str, policy: &Value) -> anyhow::Result<()> {
    let Some(before) = policies.get_opt(name).await? else { return Ok(()) };
    let parameters = PatchParams::apply(GITOPS).force().dry_run();
    let after = policies.patch(name, &parameters, &Patch::Apply(policy)).await?;
    let (before, after) = (written(&before), written(&after));
    anyhow::ensure!(before == after, "applied once more, policy {name} would change from {before:?} to {after:?}");
    Ok(())
}
