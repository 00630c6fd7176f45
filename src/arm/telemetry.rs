//! What is logged and counted of each request to ARM. Labels have few values: no pool, no code and no URL is one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::advice::class;
use super::budget::Budget;
use super::error::ArmError;

/// Upper bounds of the histogram of durations, in seconds: up to the timeouts.
const BOUNDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// GET of the managed cluster.
    ReadCluster,
    /// GET of a pool.
    ReadPool,
    /// GET of what a pool can be upgraded to.
    ReadUpgrades,
    /// PUT of a pool.
    WritePool,
    /// GET of how an operation goes.
    ReadOperation,
    /// DELETE of a pool.
    DeletePool,
    /// POST of the machines of a pool that are to go.
    DeleteMachines,
    /// POST that brings a pool to the latest node image.
    UpgradeImage,
}

impl Kind {
    /// Its name in logs and metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ReadCluster => "read_cluster",
            Self::ReadPool => "read_pool",
            Self::ReadUpgrades => "read_upgrades",
            Self::WritePool => "write_pool",
            Self::ReadOperation => "read_operation",
            Self::DeletePool => "delete_pool",
            Self::DeleteMachines => "delete_machines",
            Self::UpgradeImage => "upgrade_node_image",
        }
    }

    /// What is asked for, as errors name it.
    pub(super) fn what(self, pool: Option<&str>) -> String {
        let pool = pool.map_or_else(|| "a pool".to_owned(), |pool| format!("pool {pool}"));
        match self {
            Self::ReadCluster => "the cluster".to_owned(),
            Self::ReadPool => pool,
            Self::ReadUpgrades => format!("the upgrades of {pool}"),
            Self::WritePool => format!("the write of {pool}"),
            Self::ReadOperation => format!("the operation of {pool}"),
            Self::DeletePool => format!("the deletion of {pool}"),
            Self::DeleteMachines => format!("the removal of machines of {pool}"),
            Self::UpgradeImage => format!("the upgrade of the node image of {pool}"),
        }
    }
}

/// What came of a request.
pub(super) struct Outcome<'a> {
    /// What it was for.
    pub(super) kind: Kind,
    /// The pool that it was about.
    pub(super) pool: Option<&'a str>,
    /// The HTTP status of the last answer.
    pub(super) status: Option<u16>,
    /// What went wrong.
    pub(super) error: Option<&'a ArmError>,
    /// From the beginning of the first attempt to the end of the last.
    pub(super) took: Duration,
    /// How often it was sent.
    pub(super) attempts: u32,
    /// The id by which Azure's support finds the request.
    pub(super) correlation: Option<&'a str>,
    /// The id that the operator gave to it.
    pub(super) client_request: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    kind: &'static str,
    status: String,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// The counters of all requests. A clone counts on the same.
#[derive(Clone)]
pub(super) struct Telemetry {
    requests: Family<OfRequest, Counter>,
    attempts: Family<OfKind, Counter>,
    durations: Family<OfKind, Histogram, fn() -> Histogram>,
}

impl Telemetry {
    /// Counters at zero.
    pub(super) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BOUNDS);
        Self {
            requests: Family::default(),
            attempts: Family::default(),
            durations: Family::new_with_constructor(histogram),
        }
    }

    /// Offers the counters, and what is left of the budgets, to be read.
    pub(super) fn register(&self, budget: &Arc<Budget>, registry: &mut Registry) {
        let arm = registry.sub_registry_with_prefix("arm");
        arm.register(
            "requests",
            "Requests to ARM by what they were for, the HTTP status of the last answer (none without one) and what it \
             calls for (ok if it is no error)",
            self.requests.clone(),
        );
        arm.register(
            "request_attempts",
            "How often requests to ARM were sent, repetitions included",
            self.attempts.clone(),
        );
        arm.register(
            "request_duration_seconds",
            "Time from the beginning of a request to ARM to its last answer, repetitions included",
            self.durations.clone(),
        );
        arm.register_collector(Box::new(BudgetLeft(Arc::clone(budget))));
    }

    /// Counts and logs what came of a request: what changed something or failed at level INFO, all else at DEBUG.
    pub(super) fn record(&self, outcome: &Outcome<'_>) {
        let Outcome { kind, pool, status, error, took, attempts, correlation, client_request } = *outcome;
        let (of_kind, class) = (OfKind { kind: kind.name() }, error.map_or("ok", class));
        let shown = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.requests.get_or_create(&OfRequest { kind: kind.name(), status: shown, class }).inc();
        self.attempts.get_or_create(&of_kind).inc_by(attempts.into());
        self.durations.get_or_create(&of_kind).observe(took.as_secs_f64());
        let code = match error {
            Some(ArmError::Answered { code, .. }) => Some(code.as_str()),
            _ => None,
        };
        let (kind, milliseconds) = (kind.name(), took.as_secs_f64() * 1000.0);
        macro_rules! request {
            ($level:ident) => {
                tracing::$level!(
                    kind,
                    pool,
                    status,
                    code,
                    class,
                    milliseconds,
                    attempts,
                    correlation,
                    client_request,
                    "request"
                )
            };
        }
        if outcome.kind == Kind::WritePool || error.is_some() {
            request!(info);
        } else {
            request!(debug);
        }
    }
}

/// What is left of the budgets, computed when it is read.
struct BudgetLeft(Arc<Budget>);

impl fmt::Debug for BudgetLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BudgetLeft")
    }
}

impl Collector for BudgetLeft {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let left = Family::<OfKind, Gauge<f64, AtomicU64>>::default();
        for (kind, requests) in self.0.left() {
            left.get_or_create(&OfKind { kind: kind.name() }).set(requests);
        }
        let help = "Requests that the operator's share of the published budgets allows at once now; of pools' own \
                    budgets the smallest; below zero what has been taken in advance";
        let encoder = encoder.encode_descriptor("budget_left", help, None, left.metric_type())?;
        left.encode(encoder)
    }
}
