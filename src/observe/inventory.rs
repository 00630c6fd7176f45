//! The inventory's own object as it was seen, and what only the inventory is about. Never takes an object that can't be
//! understood for one that does not pause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::{Api, Resource};
use nodepool_kernel::{BulkChange, Known, Node, Snapshot, Time};

use super::part::Lists;
use super::tenants::{Means, Tenancies};
use super::{Observer, Store};
use crate::api::{BulkChangeEntry, INVENTORY, NodePoolInventory, NodePoolInventoryStatus};
use crate::denied::in_words;
use crate::run::Wake;

/// The inventory's object.
#[derive(Debug, Clone, PartialEq)]
pub struct InventoryRow {
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `spec.paused`, or why it can't be told.
    pub paused: Result<bool, String>,
    /// What somebody asks to be logged.
    pub log: Option<String>,
    /// The status that the API server shows, without the bulk changes.
    pub status: NodePoolInventoryStatus,
    /// The bulk changes that the status tells, or why they can't be told.
    pub bulk: Result<Vec<BulkChange>, String>,
}

/// What only the inventory is about, beside the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sight {
    /// By system node what runs there. A node that is not named is not watched.
    pub tenancies: BTreeMap<String, Tenancies>,
    /// Protected pods that restart again and again (`namespace/name`).
    pub restarting: Vec<String>,
}

impl InventoryRow {
    pub(super) fn of(object: DeserializeGuard<NodePoolInventory>) -> Self {
        let (uid, generation) = (object.meta().uid.clone(), object.meta().generation.unwrap_or_default());
        let paused = paused(&object);
        let is_understood = paused.as_ref().map(|_| ()).map_err(Clone::clone);
        let log = object.0.as_ref().ok().and_then(|inventory| inventory.spec.log.clone());
        let mut status = object.0.ok().and_then(|inventory| inventory.status).unwrap_or_default();
        // They are written on their own, so that they never go back with what was read of the rest.
        let bulk = std::mem::take(&mut status.bulk_changes);
        let bulk = is_understood.and_then(|()| bulk.iter().map(BulkChangeEntry::read).collect());
        Self { uid, generation, paused, log, status, bulk }
    }

    /// Whether it differs in anything that people write.
    pub(super) fn differs(old: &Self, new: &Self) -> bool {
        (&old.uid, old.generation, &old.paused, &old.log) != (&new.uid, new.generation, &new.paused, &new.log)
    }
}

fn paused(object: &DeserializeGuard<NodePoolInventory>) -> Result<bool, String> {
    match &object.0 {
        Ok(inventory) => Ok(inventory.spec.paused.unwrap_or(false)),
        Err(invalid) => Err(format!("the NodePoolInventory {INVENTORY} can't be understood: {}", invalid.error)),
    }
}

impl Store {
    /// The inventory's object, if there is one; unknown while that is not known.
    #[must_use]
    pub fn inventory(&self, now: Time) -> Known<Option<InventoryRow>> {
        match self.inventory.known::<Vec<_>>(now) {
            Known::Unknown { reason } => Known::Unknown { reason },
            Known::Seen { at, lost, .. } => Known::Seen { at, value: self.inventory.get(INVENTORY), lost },
        }
    }

    /// Whether somebody has paused all writes. An inventory that is not there pauses nothing.
    #[must_use]
    pub fn paused(&self, now: Time) -> Known<bool> {
        match self.inventory(now) {
            Known::Unknown { reason } => Known::Unknown { reason },
            Known::Seen { at, value: None, lost } => Known::Seen { at, value: false, lost },
            Known::Seen { at, value: Some(InventoryRow { paused, .. }), lost } => {
                paused.map_or_else(Known::unknown, |value| Known::Seen { at, value, lost })
            }
        }
    }
}

impl Observer {
    /// Whether somebody has paused all writes, read now.
    pub(super) async fn paused_now(&self) -> Result<bool, String> {
        let api = Api::<DeserializeGuard<NodePoolInventory>>::all(self.client.clone());
        match api.get_opt(INVENTORY).await {
            Ok(None) => Ok(false),
            Ok(Some(object)) => paused(&object),
            Err(error) => Err(in_words(&error)),
        }
    }

    /// What only the inventory is about. Begins to watch what runs on system nodes that are new, by `lists`, which must let
    /// a watch be silent.
    #[must_use]
    pub fn sight(&self, snapshot: &Snapshot, lists: &Lists, wake: &Arc<Wake>) -> Sight {
        let is_system = |node: &&Node| node.labelled_system && !node.is_foreign();
        if let Known::Seen { value: nodes, .. } = &snapshot.nodes {
            let system: BTreeSet<&str> = nodes.iter().filter(is_system).map(|node| node.name.as_str()).collect();
            let means = Means { lists, wake, namespaces: &self.namespaces };
            self.store.tenants.follow(&system, &means);
        }
        let restarting = snapshot.pods.value().map(|pods| self.store.restarts.of(pods, snapshot.now));
        let tenancies = self.store.tenants.known(snapshot.now);
        Sight { tenancies, restarting: restarting.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn row(spec: &Value) -> InventoryRow {
        let object = json!({
            "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolInventory",
            "metadata": {"name": "cluster", "generation": 2, "uid": "u"}, "spec": spec,
        });
        InventoryRow::of(serde_json::from_value(object).unwrap())
    }

    fn store(row: Option<InventoryRow>) -> Store {
        let store = Store::default();
        store.inventory.expect("w");
        store.inventory.relist("w");
        if let Some(row) = row {
            store.inventory.apply(INVENTORY, row);
        }
        store.inventory.listed("w", NOW, |_| true);
        store
    }

    #[test]
    fn only_an_inventory_that_is_known_not_to_pause_does_not() {
        assert!(Store::default().paused(NOW).value().is_none(), "it has not been listed");
        assert_eq!(store(None).paused(NOW), Known::seen(NOW, false));
        assert_eq!(store(Some(row(&json!({})))).paused(NOW), Known::seen(NOW, false));
        assert_eq!(store(Some(row(&json!({"paused": false})))).paused(NOW), Known::seen(NOW, false));
        assert_eq!(store(Some(row(&json!({"paused": true})))).paused(NOW), Known::seen(NOW, true));
        let malformed = store(Some(row(&json!({"paused": "yes"})))).paused(NOW);
        assert!(matches!(malformed, Known::Unknown { reason } if reason.contains("can't be understood")));
    }

    #[test]
    fn a_status_alone_is_no_news() {
        let old = row(&json!({}));
        let mut new = old.clone();
        new.status.observed_generation = Some(7);
        assert!(!InventoryRow::differs(&old, &new));
        assert!(InventoryRow::differs(&old, &row(&json!({"paused": true}))));
    }
}
