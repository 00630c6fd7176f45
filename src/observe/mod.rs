//! Observes Kubernetes and ARM as a kernel snapshot. Never fails and never writes: what could not be read is unknown.

mod bulk;
mod dependents;
mod fresh;
mod inventory;
mod occupancy;
mod part;
mod places;
mod policy_row;
mod restarts;
mod rows;
pub mod scheduling;
mod sharing;
mod statuses;
mod storage;
mod store;
mod tenants;
mod upgrades;
mod watch;
mod watched;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use nodepool_kernel::{Cluster, InFlight, Known, Snapshot};
use serde::Deserialize;
use tokio::time::Instant;

pub use bulk::worth_keeping;
use dependents::Dependents;
pub use fresh::Fresh;
pub use inventory::{InventoryRow, Sight};
use occupancy::Occupied;
pub use part::{Lists, Part, Partly};
pub use rows::{any_pod, budget, node};
pub use store::{PolicyRow, PolicyVersion, Store};
pub use tenants::{Room, Tenancies, Tenant};
use upgrades::Upgrades;
pub use watch::spawn as watch;

use crate::arm::{ArmClient, ArmError};
use crate::clock::now;
use crate::denied::in_words;

/// Objects that are listed with one request. Whole objects are some kilobytes each, the rows that are kept of them some
/// hundred bytes, so that a page bounds what a list takes.
const PAGE: u32 = 500;

/// The world as the operator sees it.
pub struct Observer {
    client: Client,
    lists: Lists,
    arm: Arc<ArmClient>,
    store: Arc<Store>,
    namespaces: Vec<String>,
    view: Mutex<ArmView>,
    dependents: Dependents,
    occupied: Occupied,
    upgrades: Upgrades,
    kept_places: Mutex<Option<places::Kept>>,
}

/// What is known of ARM and of this cluster's identity.
struct ArmView {
    cluster: Known<Cluster>,
    issuer: Known<String>,
    /// When the last read of the cluster began.
    read_at: Option<Instant>,
    /// How many reads in a row have failed.
    failures: u32,
    /// Whether the last read of the cluster was answered that there is none.
    absent: bool,
}

impl Observer {
    /// An observer that has seen nothing yet. `namespaces` are those whose pods are protected.
    #[must_use]
    pub fn new(client: Client, lists: Lists, arm: Arc<ArmClient>, store: Arc<Store>, namespaces: Vec<String>) -> Self {
        let view = ArmView {
            cluster: Known::unknown("it has not been read yet"),
            issuer: Known::unknown("it has not been read yet"),
            read_at: None,
            failures: 0,
            absent: false,
        };
        let (dependents, occupied, kept_places) = (Dependents::default(), Occupied::default(), Mutex::default());
        let upgrades = Upgrades::default();
        Self {
            client,
            lists,
            arm,
            store,
            namespaces,
            view: Mutex::new(view),
            dependents,
            occupied,
            upgrades,
            kept_places,
        }
    }

    /// The snapshot of what is known now. Reads nothing, and knows nothing of places ([`Self::places`]).
    #[must_use]
    pub fn snapshot(&self, in_flight: Vec<InFlight>) -> Snapshot {
        let now = now();
        let (cluster, issuer) = self.with_view(|view| (view.cluster.clone(), view.issuer.clone()));
        Snapshot {
            now,
            paused: self.store.paused(now),
            bulk: self.store.bulk_changes(now),
            intents: self.store.intents(now),
            cluster,
            issuer,
            nodes: self.store.nodes.known(now),
            pods: self.store.pods.known(now),
            budgets: self.store.budgets.known(now),
            workloads: self.store.workloads.known(now),
            places: Known::unknown("it has not been read yet"),
            in_flight,
            dependents: self.dependents.all(),
            occupancy: self.occupied.all(),
            upgradable: self.upgrades.all(),
        }
    }

    /// The cluster as ARM was last seen.
    #[must_use]
    pub fn cluster(&self) -> Known<Cluster> {
        self.with_view(|view| view.cluster.clone())
    }

    /// Whether ARM, when it was last read, said that there is no such cluster.
    #[must_use]
    pub fn is_cluster_gone(&self) -> bool {
        self.with_view(|view| view.absent)
    }

    /// When the last read of ARM began.
    #[must_use]
    pub fn arm_read_at(&self) -> Option<Instant> {
        self.with_view(|view| view.read_at)
    }

    /// How many reads of ARM in a row have failed, if the last one has.
    #[must_use]
    pub fn failed_reads(&self) -> Option<NonZeroU32> {
        self.with_view(|view| NonZeroU32::new(view.failures))
    }

    /// Whether an operation runs on the cluster, or on a pool other than these, as ARM was last seen; also while ARM has
    /// not been seen.
    #[must_use]
    pub fn is_busy_beyond(&self, pools: &BTreeSet<&str>) -> bool {
        self.with_view(|view| {
            view.cluster.value().is_none_or(|cluster| {
                let others = cluster.pools.iter().filter(|pool| !pools.contains(pool.name.as_str()));
                others.map(|pool| &pool.state).chain([&cluster.state]).any(|state| state.operation().is_some())
            })
        })
    }

    /// Reads the cluster from ARM, and this cluster's issuer if it is not known yet.
    ///
    /// # Errors
    /// ARM could not be read. What was known stays, with its age.
    pub async fn refresh(&self) -> Result<(), ArmError> {
        if self.with_view(|view| view.issuer.value().is_none()) {
            let issuer = self.read_issuer().await;
            self.with_view(|view| view.issuer = issuer);
        }
        let (began, at) = (Instant::now(), now());
        let read = match self.arm.afford_read() {
            Ok(()) => self.arm.cluster().await,
            Err(error) => Err(error),
        };
        self.with_view(|view| {
            view.read_at = Some(began);
            view.absent = read.as_ref().is_err_and(ArmError::says_absent);
            view.failures = if read.is_ok() { 0 } else { view.failures.saturating_add(1) };
            match read {
                Ok(cluster) => view.cluster = Known::seen(at, cluster),
                Err(error) => {
                    match &mut view.cluster {
                        Known::Seen { lost, .. } => *lost = Some(error.in_short()),
                        unknown @ Known::Unknown { .. } => *unknown = Known::unknown(error.in_short()),
                    }
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    fn with_view<T>(&self, f: impl FnOnce(&mut ArmView) -> T) -> T {
        f(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The service account issuer, from the API server's own discovery document.
    async fn read_issuer(&self) -> Known<String> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
        }
        let request = match http::Request::get("/.well-known/openid-configuration").body(Vec::new()) {
            Ok(request) => request,
            Err(error) => return Known::unknown(error.to_string()),
        };
        match self.client.request::<Discovery>(request).await {
            Ok(discovery) => Known::seen(now(), discovery.issuer),
            Err(error) => Known::unknown(format!("the API server does not tell it: {}", in_words(&error))),
        }
    }
}
