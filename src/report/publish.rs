//! Writes statuses and events to the API server, and creates the inventory's object. Never touches a spec or metadata that is
//! there.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde_json::json;

use super::events::{Notice, Severity};
use crate::api::{
    BulkChangeEntry, INVENTORY, NodePoolInventory, NodePoolInventorySpec, NodePoolInventoryStatus, NodePoolPolicy,
    NodePoolPolicyStatus,
};
use crate::denied::in_words;

/// The field manager of the status, and the name under which events are reported.
pub const FIELD_MANAGER: &str = "nodepool-operator";

/// The field manager of the bulk changes in the inventory's status.
const FUSE_MANAGER: &str = "nodepool-operator-fuse";

/// The longest note that the API server takes, in bytes.
const NOTE_LIMIT: usize = 1024;

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the status of policy {policy} could not be written: {detail}")]
pub struct PublishError {
    policy: String,
    detail: String,
}

/// Why the inventory could not be created, or its status not be written.
#[derive(Debug, thiserror::Error)]
#[error("the inventory could not be {done}: {detail}")]
pub struct InventoryError {
    done: &'static str,
    detail: String,
}

impl InventoryError {
    fn new(done: &'static str, error: &kube::Error) -> Self {
        Self { done, detail: in_words(error) }
    }
}

/// Writes statuses and events. Of its answers only the metadata is read: the spec may be one that is not understood.
pub struct Publisher {
    api: Api<PartialObjectMeta<NodePoolPolicy>>,
    client: Client,
}

impl Publisher {
    /// A publisher; `client` should not retry.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { api: Api::all(client.clone()), client: client.clone() }
    }

    /// Writes a status by server-side apply, and tells the `resourceVersion` that came of it.
    ///
    /// # Errors
    /// Says what the API server answered. A policy that is gone by now is no error.
    pub async fn status(
        &self,
        policy: &NodePoolPolicy,
        status: &NodePoolPolicyStatus,
    ) -> Result<Option<String>, PublishError> {
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        let mut patch = json!({
            "apiVersion": NodePoolPolicy::api_version(&()),
            "kind": NodePoolPolicy::kind(&()),
            "metadata": { "name": name },
            "status": status,
        });
        if let (Some(uid), Some(metadata)) = (&policy.metadata.uid, patch.pointer_mut("/metadata")) {
            // A policy that was deleted and created again under the same name is another one.
            metadata["uid"] = json!(uid);
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let detail = match self.api.patch_status(name, &params, &Patch::Apply(&patch)).await {
            Ok(written) => return Ok(written.metadata.resource_version),
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => return Ok(None),
            Err(error) => in_words(&error),
        };
        Err(PublishError { policy: name.to_owned(), detail })
    }

    /// Creates the inventory's object, with nothing in its spec.
    ///
    /// # Errors
    /// Says what the API server answered. One that is there by now is no error.
    pub async fn create_inventory(&self) -> Result<(), InventoryError> {
        let inventory = NodePoolInventory::new(INVENTORY, NodePoolInventorySpec::default());
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match Api::all(self.client.clone()).create(&params, &inventory).await {
            Err(kube::Error::Api(answer)) if answer.is_already_exists() => Ok(()),
            Err(error) => Err(InventoryError::new("created", &error)),
            Ok(_) => Ok(()),
        }
    }

    /// Writes the inventory's status by server-side apply, to the object of that uid.
    ///
    /// # Errors
    /// Says what the API server answered. An inventory that is gone by now is no error.
    pub async fn inventory(&self, uid: Option<&str>, status: &NodePoolInventoryStatus) -> Result<(), InventoryError> {
        let patch = json!({
            "apiVersion": NodePoolInventory::api_version(&()),
            "kind": NodePoolInventory::kind(&()),
            "metadata": { "name": INVENTORY, "uid": uid },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api: Api<PartialObjectMeta<NodePoolInventory>> = Api::all(self.client.clone());
        match api.patch_status(INVENTORY, &params, &Patch::Apply(&patch)).await {
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => Ok(()),
            Err(error) => Err(InventoryError::new("written", &error)),
            Ok(_) => Ok(()),
        }
    }

    /// Writes the bulk changes of the inventory's status by server-side apply, under a name of their own: whoever writes the
    /// rest neither sees nor loses them.
    ///
    /// # Errors
    /// Says what the API server answered; also if the inventory is gone by now, since then nothing has been recorded.
    pub async fn bulk_changes(&self, uid: Option<&str>, changes: &[BulkChangeEntry]) -> Result<(), InventoryError> {
        let patch = json!({
            "apiVersion": NodePoolInventory::api_version(&()),
            "kind": NodePoolInventory::kind(&()),
            "metadata": { "name": INVENTORY, "uid": uid },
            "status": { "bulkChanges": changes },
        });
        let params = PatchParams::apply(FUSE_MANAGER).force();
        let api: Api<PartialObjectMeta<NodePoolInventory>> = Api::all(self.client.clone());
        let written = api.patch_status(INVENTORY, &params, &Patch::Apply(&patch)).await;
        written.map(drop).map_err(|error| InventoryError::new("written", &error))
    }

    /// Sends an event about a policy. One that can't be sent is logged and lost: the status says the same. Tells whether it
    /// was sent.
    pub async fn notice(&self, policy: &NodePoolPolicy, notice: &Notice) -> bool {
        self.send(&policy.object_ref(&()), notice).await
    }

    /// Sends an event about a node. `kubectl describe node` looks for those that have the node's name as its id, as the
    /// kubelet's do. Tells whether it was sent.
    pub async fn notice_node(&self, node: &str, notice: &Notice) -> bool {
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        self.send(&reference, notice).await
    }

    /// Tells whether the API server took it.
    async fn send(&self, reference: &ObjectReference, notice: &Notice) -> bool {
        let mut note = notice.note.clone();
        if note.len() > NOTE_LIMIT {
            let end = (0..=NOTE_LIMIT - 3).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
            note.truncate(end);
            note.push_str("...");
        }
        let event = Event {
            type_: match notice.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: notice.reason.clone(),
            note: Some(note),
            action: notice.action.to_owned(),
            secondary: None,
        };
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: std::env::var("POD_NAME").ok() };
        // A recorder of its own for each: a shared one counts events of one reason up and keeps the note of the first,
        // while what is told here is news by itself.
        let sent = Recorder::new(self.client.clone(), reporter).publish(&event, reference).await;
        if let Err(error) = &sent {
            tracing::warn!(reason = event.reason, error = in_words(error), "an event could not be sent");
        }
        sent.is_ok()
    }
}
