//! Asynchronous operations: their kinds, how long the service takes for each, and how their status reads. Never
//! runs them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Cluster;

/// The text of most leftover errors in the recordings.
const LEFTOVER: &str = "Expected goal state for managed cluster not saved yet. This means saving goal state to \
    database was slow or failed. This type of failed operations can usually be retried.";

/// Stands for the cluster where operations are chosen by the name of their pool, as no pool can have this name.
pub(crate) const CLUSTER: &str = "managedCluster";

/// What an operation does to its pool, or to the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Create,
    Update,
    Scale,
    Stop,
    Start,
    Delete {
        ignore_budgets: bool,
    },
    Abort,
    /// Takes the machines away that the operation names.
    DeleteMachines,
    StartCluster,
    StopCluster,
    /// Another version, distribution or image, node by node.
    Upgrade,
    /// The newest image.
    UpgradeImage,
    /// Settings that need other machines.
    Reimage,
}

impl Kind {
    /// The `provisioningState` of the pool or the cluster meanwhile.
    pub(crate) fn provisioning_state(self) -> &'static str {
        match self {
            Self::Create => "Creating",
            Self::Update | Self::Reimage => "Updating",
            Self::Upgrade => "Upgrading",
            Self::UpgradeImage => "UpgradingNodeImageVersion",
            // What deleteMachines shows is not recorded.
            Self::Scale | Self::DeleteMachines => "Scaling",
            Self::Stop | Self::StopCluster => "Stopping",
            Self::Start | Self::StartCluster => "Starting",
            Self::Delete { .. } => "Deleting",
            Self::Abort => "Canceling",
        }
    }

    /// The median of the recordings for a pool that goes from one count to another.
    pub(crate) fn recorded_duration(self, from: u64, to: u64) -> Duration {
        Duration::from_secs(match self {
            Self::Create if to == 0 => 72,
            Self::Create => 207,
            Self::Update | Self::Abort => 8,
            Self::Scale if to > from => 188,
            Self::Scale | Self::Delete { .. } | Self::DeleteMachines => 40,
            // Of a whole cluster not recorded; as of one pool, beside which the control plane has to stop or start.
            Self::Stop => 44,
            Self::StopCluster => 120,
            Self::Start => 188,
            Self::StartCluster => 240,
            // Recorded for another osSKU (433 to 740 s); versions and images are assumed to be like it.
            Self::Upgrade | Self::UpgradeImage => 586,
            // localDNS: 373 to 545 s.
            Self::Reimage => 459,
        })
    }
}

/// An operation and its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    /// Key of its cluster in the state.
    pub(crate) cluster: String,
    pub(crate) location: String,
    pub(crate) subscription: String,
    /// The pool that it is on; `None` for one on the whole cluster.
    pub(crate) pool: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    /// Free text while it runs; `Succeeded`, `Failed` or `Canceled` at the end.
    pub(crate) status: String,
    pub(crate) error: Option<OperationError>,
    /// How long it takes at the emulator's pace.
    pub(crate) duration: Duration,
    /// Names of the machines that go, if it deletes some.
    #[serde(default)]
    pub(crate) machines: Vec<String>,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperationError {
    pub(crate) code: String,
    pub(crate) message: String,
    /// What it was caused by, if that is told.
    #[serde(default)]
    pub(crate) details: Vec<OperationError>,
    /// Whether the operation ends `Canceled` rather than `Failed`.
    #[serde(default)]
    canceled: bool,
}

impl OperationError {
    pub(crate) fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message, details: Vec::new(), canceled: false }
    }

    /// One that tells the error of the compute provider, in its text and as a detail.
    pub(crate) fn caused(code: &str, inner: &str, message: &str) -> Self {
        let text = format!("Code=\"{inner}\" Message=\"{message}\"");
        Self { details: vec![Self::new(inner, message.to_owned())], ..Self::new(code, text) }
    }

    /// The same for an operation that gives up rather than fails.
    pub(crate) fn into_canceled(self) -> Self {
        Self { canceled: true, ..self }
    }

    /// The state that an operation and its pool end in.
    pub(crate) fn state(&self) -> &'static str {
        if self.canceled { "Canceled" } else { "Failed" }
    }

    pub(crate) fn value(&self) -> Value {
        if self.details.is_empty() {
            return json!({"code": self.code, "message": self.message});
        }
        let details: Vec<Value> = self.details.iter().map(Self::value).collect();
        json!({"code": self.code, "message": self.message, "details": details})
    }
}

impl Operation {
    /// A new one on a whole cluster, whose state has this key.
    pub(crate) fn on_cluster(cluster: &Cluster, key: &str, kind: Kind, duration: Duration, now: Timestamp) -> Self {
        Self {
            id: Self::new_id(),
            cluster: key.to_owned(),
            location: cluster.location.clone(),
            subscription: cluster.subscription.clone(),
            pool: None,
            kind,
            started: now,
            ended: None,
            status: "InProgress".to_owned(),
            error: None,
            duration,
            machines: Vec::new(),
        }
    }

    /// Whether it is on this pool, its name in any case.
    pub(crate) fn is_on(&self, pool: &str) -> bool {
        self.pool.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(pool))
    }

    /// By what holds and failures know it: its pool's name, or [`CLUSTER`].
    pub(crate) fn subject(&self) -> &str {
        self.pool.as_deref().unwrap_or(CLUSTER)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    pub(crate) fn new_id() -> String {
        Uuid::new_v4().to_string()
    }

    /// Ends it, unless it has ended before. Returns whether it did.
    pub(crate) fn end(&mut self, now: Timestamp, error: Option<OperationError>) -> bool {
        if !self.is_running() {
            return false;
        }
        self.ended = Some(now);
        let status = error.as_ref().map_or("Succeeded", OperationError::state);
        status.clone_into(&mut self.status);
        self.error = error;
        true
    }

    /// The body of a GET of its status. With `leftover` one that did not fail carries an error all the same, as
    /// recorded for 113 operations that succeeded.
    pub(crate) fn document(&self, leftover: bool) -> Value {
        let mut document = Map::new();
        document.insert("name".to_owned(), json!(self.id));
        document.insert("status".to_owned(), json!(self.status));
        document.insert("startTime".to_owned(), json!(time(self.started)));
        if let Some(ended) = self.ended {
            document.insert("endTime".to_owned(), json!(time(ended)));
        }
        if let Some(error) = &self.error {
            document.insert("error".to_owned(), error.value());
        } else if leftover {
            document.insert("error".to_owned(), json!({"code": "NotLatestOperation", "message": LEFTOVER}));
        }
        Value::Object(document)
    }
}

/// A time as the service writes it, to 100 ns.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
}
