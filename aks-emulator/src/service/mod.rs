//! The resource provider: state, rules and operations, without HTTP. Never touches a node except through a
//! [`NodeSide`](crate::NodeSide).

pub(crate) mod abort;
pub(crate) mod autoscaler;
mod capacity;
mod deallocation;
pub(crate) mod document;
pub(crate) mod images;
mod initial;
mod local_dns;
pub(crate) mod machines;
pub(crate) mod merge;
mod node_config;
mod node_faults;
pub(crate) mod operation;
pub(crate) mod pools;
pub(crate) mod power;
pub(crate) mod preconditions;
mod protection;
pub(crate) mod refusal;
pub(crate) mod rolling;
pub(crate) mod runner;
mod shortage;
mod stale;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod syntax;
pub(crate) mod validate;
pub(crate) mod versions;
mod work;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use stale::StaleClusters;
pub(crate) use state::State;
pub use state::{Cluster, Pool};
use store::Store;

use crate::clock::Clock;
use crate::nodes::FaultyNodes;
use crate::rules::Rules;
use crate::{NodeError, NodePool, NodeSide, Settings};

/// State and everything that changes it.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<Clock>,
    pub(crate) rules: Rules,
    pub(crate) stale: stale::Stale,
    nodes: Arc<dyn NodeSide>,
    faulty: FaultyNodes,
    state: Mutex<State>,
    store: Option<Store>,
    changes: watch::Sender<u64>,
    running: Mutex<HashMap<String, CancellationToken>>,
    /// Held while the autoscaler moves a pool, so that an operation finds count and nodes equal.
    autoscaling: tokio::sync::Mutex<()>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl Service {
    pub(crate) fn new(settings: Settings, state: State, store: Option<Store>, nodes: Arc<dyn NodeSide>) -> Self {
        let clock = Arc::new(clock(&settings, &state));
        let faulty = FaultyNodes::new(nodes, &settings, clock.clone());
        Self {
            settings,
            clock,
            rules: Rules::default(),
            stale: stale::Stale::default(),
            nodes: Arc::new(faulty.clone()),
            state: Mutex::new(state),
            store,
            changes: watch::Sender::new(0),
            running: Mutex::new(HashMap::new()),
            autoscaling: tokio::sync::Mutex::new(()),
            tasks: faulty.tasks.clone(),
            stopping: faulty.stopping.clone(),
            faulty,
        }
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    /// Changes the state, saves it, and wakes whoever waits for a change. The state is saved before the lock is
    /// given back, so that no answer tells of what a crash could undo.
    pub(crate) fn change<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        let edited = self.try_change(|state| Ok::<T, Infallible>(edit(state)));
        match edited {
            Ok(result) => result,
        }
    }

    /// The same for an edit that may be refused; a refused one must have changed nothing, and nothing is saved.
    pub(crate) fn try_change<T, E>(&self, edit: impl FnOnce(&mut State) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.state();
        state.time = self.clock.now();
        let result = edit(&mut state)?;
        if let Some(store) = &self.store
            && let Err(error) = store.save(&state)
        {
            tracing::error!(%error, "the state was not saved");
        }
        drop(state);
        self.changes.send_modify(|number| *number += 1);
        Ok(result)
    }

    /// The nodes of a pool for a person to see.
    pub(crate) async fn nodes_of(&self, pool: &NodePool) -> Result<Value, NodeError> {
        let nodes = self.nodes.list(pool).await?;
        let shown = nodes.iter().map(|node| json!({"name": node.name, "zone": node.zone, "ready": node.ready}));
        Ok(shown.collect())
    }

    /// Returns when the state holds for a test.
    pub(crate) async fn wait_until(&self, test: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            if self.read(&test) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of a service that starts; one that somebody moves goes on from where it stood.
fn clock(settings: &Settings, state: &State) -> Clock {
    if !settings.manual_clock {
        return Clock::default();
    }
    Clock::manual(if state.time == Timestamp::UNIX_EPOCH { Timestamp::now() } else { state.time })
}
