//! The operator's finalizer on policies: put there while the deletion of the object is to delete the pool, taken away when
//! nothing is left to wait for. Never writes what is there already, and never touches the finalizers of others.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::api::{FINALIZER, NodePoolPolicy};
use crate::denied::in_words;
use crate::report::FIELD_MANAGER;

/// Writes finalizers.
pub(super) struct Finalizers {
    api: Api<NodePoolPolicy>,
    /// By the uid of a policy the resource version that was written over: a row that still has it is a picture of before.
    written: BTreeMap<String, String>,
}

/// What became of the finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is as wished.
    Done,
    /// It is looked at again.
    Later,
    /// The object has changed, or the API server could not be reached or does not allow it: it is tried again.
    Failed,
}

impl Finalizers {
    pub(super) fn new(client: Client) -> Self {
        Self { api: Api::all(client), written: BTreeMap::new() }
    }

    /// Whether the row is a picture of before the finalizer was written.
    pub(super) fn is_outdated(&self, policy: &NodePoolPolicy) -> bool {
        let written = policy.uid().and_then(|uid| self.written.get(&uid).cloned());
        written.is_some() && written == policy.resource_version()
    }

    /// Writes the finalizer, or takes it away: only if nobody has changed the object since it was seen. Whoever applies the
    /// object server-side keeps his own fields and leaves this one to the operator.
    pub(super) async fn write(&mut self, policy: &NodePoolPolicy, held: bool) -> Written {
        let others = policy.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
        let finalizers: Vec<&str> = others.map(String::as_str).chain(held.then_some(FINALIZER)).collect();
        self.patch(policy, &finalizers).await
    }

    async fn patch(&mut self, policy: &NodePoolPolicy, finalizers: &[&str]) -> Written {
        let (name, uid, seen) = (policy.name_any(), policy.uid(), policy.resource_version());
        let patch = json!({"metadata": {"uid": uid, "resourceVersion": seen, "finalizers": finalizers}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api.patch_metadata(&name, &parameters, &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {}
            Ok(_) => tracing::info!(policy = name, ?finalizers, "the finalizers were written"),
            Err(error) => {
                let error = in_words(&error);
                tracing::warn!(policy = name, error, "the finalizers could not be written; they are looked at again");
                return Written::Failed;
            }
        }
        if let (Some(uid), Some(seen)) = (uid, seen) {
            self.written.insert(uid, seen);
        }
        Written::Done
    }

    /// Forgets objects that are gone.
    pub(super) fn retain<'a>(&mut self, uids: impl Iterator<Item = &'a str>) {
        let uids: std::collections::BTreeSet<&str> = uids.collect();
        self.written.retain(|uid, _| uids.contains(uid.as_str()));
    }
}
