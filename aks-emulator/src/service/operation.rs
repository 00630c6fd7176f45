//! Asynchronous operations: their kinds, how long the service takes for each, and how their status reads. Never
//! runs them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The text of most leftover errors in the recordings.
const LEFTOVER: &str = "Expected goal state for managed cluster not saved yet. This means saving goal state to \
    database was slow or failed. This type of failed operations can usually be retried.";

/// What an operation does to its pool.
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
    /// Another version, distribution or image, node by node.
    Upgrade,
    /// The newest image.
    UpgradeImage,
    /// Settings that need other machines.
    Reimage,
}

impl Kind {
    /// The `provisioningState` of the pool meanwhile.
    pub(crate) fn provisioning_state(self) -> &'static str {
        match self {
            Self::Create => "Creating",
            Self::Update | Self::Reimage => "Updating",
            Self::Upgrade => "Upgrading",
            Self::UpgradeImage => "UpgradingNodeImageVersion",
            Self::Scale => "Scaling",
            Self::Stop => "Stopping",
            Self::Start => "Starting",
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
            Self::Scale | Self::Delete { .. } => 40,
            Self::Stop => 44,
            Self::Start => 188,
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
    pub(crate) pool: String,
    pub(crate) kind: Kind,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    /// Free text while it runs; `Succeeded`, `Failed` or `Canceled` at the end.
    pub(crate) status: String,
    pub(crate) error: Option<OperationError>,
    /// How long it takes at the emulator's pace.
    pub(crate) duration: Duration,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperationError {
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether the operation ends `Canceled` rather than `Failed`.
    #[serde(default)]
    canceled: bool,
}

impl OperationError {
    pub(crate) fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message, canceled: false }
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
        json!({"code": self.code, "message": self.message})
    }
}

impl Operation {
    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    pub(crate) fn new_id() -> String {
        Uuid::new_v4().to_string()
    }

    /// Ends it, unless it has ended before. Returns whether it did.
    pub(crate) fn end(&mut self, error: Option<OperationError>) -> bool {
        if !self.is_running() {
            return false;
        }
        self.ended = Some(Timestamp::now());
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
