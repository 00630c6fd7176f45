//! Starts the operator and ends it. A lost watch task or a second signal ends the process.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::finalizers::Finalizers;
use super::flights::Flights;
use super::inventory::Bulletin;
use super::jitter::jittered;
use super::joins::Joins;
use super::ledger::Ledger;
use super::logging::{Log, LogError};
use super::pass::Pass;
use super::wake::Wake;
use crate::arm::ArmClient;
use crate::metrics::{
    Figures, Leading, Metrics, MetricsAddress, MetricsServer, MetricsServerError, Parts, PassedRules,
};
use crate::observe::{Observer, Store, watch};
use crate::report::Publisher;

/// The shortest time between the beginnings of two passes.
const PASS_INTERVAL: Duration = Duration::from_millis(50);

/// How long the API server may keep a request waiting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(
        "no way to the API server: {detail}; run in a cluster, or set KUBECONFIG to a kubeconfig that works with kubectl"
    )]
    Kubeconfig { detail: String },
    #[error("{0}")]
    Arm(String),
    #[error("signals can't be handled: {0}")]
    Signals(io::Error),
    #[error("a watch ended although it never should")]
    WatchEnded,
    #[error(transparent)]
    Metrics(#[from] MetricsServerError),
    #[error("the server of the metrics ended although it never should")]
    MetricsEnded,
}

/// Runs the operator until it is told to stop; prints why it could not.
#[must_use]
pub fn main(arguments: Arguments) -> ExitCode {
    let ended = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Signals)
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use io::Write as _;
            let _ = writeln!(io::stderr(), "nodepool-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), RunError> {
    let log = Log::start(&arguments.log, arguments.log_format)?;
    // Both the Kubernetes and the Azure client use rustls; whichever comes second finds the provider installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arm = ArmClient::new(arguments.arm_options()).map_err(|error| RunError::Arm(error.to_string()))?;
    let clients = Clients::new().await?;
    let (store, settings) = (Arc::new(Store::default()), arguments.kernel_settings());
    let (passed_rules, leading) = (PassedRules::default(), Leading::default());
    let figures = Figures::new(Arc::clone(&store), &settings);
    // There is no other process.
    leading.set(true);
    let parts = Parts { arm: &arm, passed_rules: &passed_rules, leading: &leading, figures: &figures };
    let mut metrics = serve_metrics(arguments.metrics_address, &parts).await?;
    let stopping = CancellationToken::new();
    stop_on_signal(&stopping)?;

    let wake = Arc::new(Wake::default());
    let namespaces = arguments.namespaces();
    let mut watches = watch(&clients.watch, &store, &wake, &namespaces);
    let arm = Arc::new(arm);
    let pass = Pass {
        settings,
        refresh_interval: jittered(arguments.arm_refresh_seconds),
        observer: Observer::new(clients.request.clone(), Arc::clone(&arm), Arc::clone(&store), namespaces),
        publisher: Publisher::new(&clients.request),
        wake: Arc::clone(&wake),
        ledger: Ledger::default(),
        flights: Flights::default(),
        joins: Joins::default(),
        finalizers: Finalizers::new(clients.request.clone()),
        client: clients.request.clone(),
        bulletin: Bulletin::default(),
        log,
        passed_rules,
        figures,
        watch_client: clients.watch.clone(),
        planned: BTreeMap::new(),
        stopping: stopping.clone(),
        arguments,
        arm,
        store,
    };
    tracing::info!(cluster = %pass.arguments.cluster_resource_id, "started");
    tokio::select! {
        () = passes(pass, &wake, &stopping) => {
            tracing::info!("stopped");
            Ok(())
        }
        _ = watches.join_next() => Err(RunError::WatchEnded),
        Some(_) = metrics.join_next() => Err(RunError::MetricsEnded),
    }
}

/// Serves what is counted, if it is to be served.
async fn serve_metrics(address: MetricsAddress, parts: &Parts<'_>) -> Result<JoinSet<io::Result<()>>, RunError> {
    let mut tasks = JoinSet::new();
    if let Some(address) = address.get() {
        let server = MetricsServer::bind(address).await?;
        tracing::info!(address = %server.address(), "metrics are served");
        tasks.spawn(server.serve(Metrics::new(parts)));
    }
    Ok(tasks)
}

/// Makes passes until told to stop; a pass that has begun is finished.
async fn passes(mut pass: Pass, wake: &Wake, stopping: &CancellationToken) {
    loop {
        let began = tokio::time::Instant::now();
        let due = pass.run().await;
        tokio::select! {
            () = stopping.cancelled() => return,
            () = wake.called() => {}
            () = tokio::time::sleep_until(due) => {}
        }
        tokio::time::sleep_until(began + PASS_INTERVAL).await;
    }
}

/// Two ways to the API server.
struct Clients {
    /// For watches, which may be silent for long.
    watch: Client,
    /// For single requests: one that is not answered must not stop the loop, and a write is not repeated behind our back.
    request: Client,
}

impl Clients {
    async fn new() -> Result<Self, RunError> {
        let error = |detail: String| RunError::Kubeconfig { detail };
        let config = Config::infer().await.map_err(|problem| error(problem.to_string()))?;
        let mut single = config.clone();
        single.read_timeout = Some(REQUEST_TIMEOUT);
        single.default_retry = false;
        let client =
            |config: Config| Client::try_from(config).map_err(|problem: kube::Error| error(problem.to_string()));
        Ok(Self { watch: client(config)?, request: client(single)? })
    }
}

/// The first SIGTERM or SIGINT stops after the pass in hand, the second ends the process at once.
fn stop_on_signal(stopping: &CancellationToken) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let stopping = stopping.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                std::process::exit(1);
            }
            tracing::info!("told to stop; the step in hand is finished first");
            stopping.cancel();
        }
    });
    Ok(())
}
