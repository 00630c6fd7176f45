//! What runs on the nodes of a drain: every pod there and its disruption budgets, read on demand and kept for a moment. Never
//! read while no drain is planned, and never written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::ListParams;
use nodepool_kernel::{Change, Drain, Known, Node, Occupancy, Occupant, Snapshot, Step};
use tokio::time::Instant;

use super::dependents::tenancy;
use super::fresh::rows_of;
use super::{Observer, PAGE, rows};
use crate::clock::now;
use crate::denied::in_words;

/// So many lists are under way at the same time.
const LISTS_AT_ONCE: usize = 8;

/// What has been read, by pool.
#[derive(Default)]
pub(super) struct Occupied(Mutex<BTreeMap<String, Kept>>);

struct Kept {
    /// `None` once something has been changed on the nodes.
    read_at: Option<Instant>,
    nodes: BTreeSet<String>,
    known: Known<Occupancy>,
}

impl Occupied {
    /// All that is known.
    pub(super) fn all(&self) -> BTreeMap<String, Known<Occupancy>> {
        self.with(|kept| kept.iter().map(|(pool, kept)| (pool.clone(), kept.known.clone())).collect())
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Kept>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer {
    /// Reads what runs on these nodes, by pool, where that is not known or older than `good_for`. Forgets all other pools.
    /// Tells whether anything was read.
    pub async fn know_occupancy(&self, wanted: &BTreeMap<String, BTreeSet<String>>, good_for: Duration) -> bool {
        let due: Vec<(String, BTreeSet<String>)> = self.occupied.with(|kept| {
            kept.retain(|pool, _| wanted.contains_key(pool));
            let is_known = |pool: &String, nodes: &BTreeSet<String>| {
                let is_fresh = |kept: &Kept| kept.read_at.is_some_and(|read_at| read_at.elapsed() < good_for);
                kept.get(pool).is_some_and(|kept| kept.nodes.is_superset(nodes) && is_fresh(kept))
            };
            let due = wanted.iter().filter(|(pool, nodes)| !is_known(pool, nodes));
            due.map(|(pool, nodes)| (pool.clone(), nodes.clone())).collect()
        });
        let any = !due.is_empty();
        for (pool, nodes) in due {
            let known = self.occupancy_of(&nodes).await;
            self.occupied.with(|kept| kept.insert(pool, Kept { read_at: Some(Instant::now()), nodes, known }));
        }
        any
    }

    /// What runs on the nodes of a pool is to be read again: it has just been changed.
    pub fn outdate_occupancy(&self, pool: &str) {
        self.occupied.with(|kept| kept.get_mut(pool).into_iter().for_each(|kept| kept.read_at = None));
    }

    /// When the first of them is to be read again.
    #[must_use]
    pub fn occupancy_due(&self, good_for: Duration) -> Option<Instant> {
        self.occupied.with(|kept| kept.values().filter_map(|kept| Some(kept.read_at? + good_for)).min())
    }

    /// What runs on these nodes, read now.
    pub(super) async fn occupancy_of(&self, nodes: &BTreeSet<String>) -> Known<Occupancy> {
        let at = now();
        match self.read_occupancy(nodes).await {
            Ok(occupancy) => Known::seen(at, occupancy),
            Err(error) => Known::unknown(in_words(&error)),
        }
    }

    async fn read_occupancy(&self, nodes: &BTreeSet<String>) -> kube::Result<Occupancy> {
        let api = self.lists.all::<core::Pod>();
        let lists = nodes.iter().map(|node| {
            let api = api.clone();
            async move {
                // Without pages: API servers before 1.33 read those from etcd, past their index of pods by node.
                let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
                rows_of(&api, on_node, |pod| Some(self.occupant(&pod.whole()))).await
            }
        });
        let read = futures::stream::iter(lists.collect::<Vec<_>>()).buffer_unordered(LISTS_AT_ONCE);
        let read: Vec<Vec<Occupant>> = read.try_collect().await?;
        let pods: Vec<Occupant> = read.into_iter().flatten().collect();
        let namespaces: BTreeSet<&str> =
            pods.iter().filter(|pod| pod.holds_node()).map(|pod| &*pod.pod.namespace).collect();
        let mut budgets = Vec::new();
        for namespace in namespaces {
            let api = Api::<PodDisruptionBudget>::namespaced(self.client.clone(), namespace);
            let all = ListParams::default().limit(PAGE);
            budgets.extend(rows_of(&api, all, |budget| Some(rows::budget(&budget))).await?);
        }
        Ok(Occupancy { nodes: nodes.clone(), pods, budgets })
    }

    fn occupant(&self, pod: &core::Pod) -> Occupant {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        Occupant {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            tenancy: tenancy(pod),
            protected: self.namespaces.iter().any(|protected| protected == namespace),
            pod: rows::any_pod(pod),
        }
    }

    /// What runs on the nodes of a drain, read now.
    pub(super) async fn fresh_occupancy(&self, step: &Step, snapshot: &Snapshot) -> Option<Known<Occupancy>> {
        let Change::Drain(drain) = &step.change else { return None };
        let named: &[String] = match drain {
            Drain::Cordon { nodes, .. } | Drain::RemoveMachines { machines: nodes, .. } => nodes,
            Drain::Evict { .. } | Drain::Uncordon { .. } => &[],
        };
        let of_pool = |node: &&Node| node.pool.as_deref() == Some(&step.pool) && node.is_drained_for(&step.policy);
        let cordoned = snapshot.nodes.value().into_iter().flatten().filter(of_pool).map(|node| node.name.clone());
        Some(self.occupancy_of(&cordoned.chain(named.iter().cloned()).collect()).await)
    }
}
