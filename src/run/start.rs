//! Starts the operator and ends it. A lost lease, a watch or a server that ended, or a second signal ends the process.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::candidate::{self, CandidateError};
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
use crate::clock::Listening;
use crate::health::{self, Health};
use crate::leadership::{Election, Ended, Leadership, WriteGate};
use crate::listen::{ListenAddress, ListenError, Listener};
use crate::metrics::{Figures, Metrics, Parts, PassedRules, routes};
use crate::observe::{Lists, Observer, Store, watch};
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
    Listen(#[from] ListenError),
    #[error("a server of metrics or health ended although it never should")]
    ServerEnded,
    #[error(transparent)]
    Candidate(#[from] CandidateError),
    #[error("the lease is lost: {detail}; this process ends, and begins anew as a replica that waits")]
    LeaseLost { detail: String },
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
    let arm = Arc::new(ArmClient::new(arguments.arm_options()).map_err(|error| RunError::Arm(error.to_string()))?);
    let config = Config::infer().await.map_err(|problem| no_way(&problem))?;
    let election = candidate::election(&arguments, &client(single(&config), None)?)?;
    let leadership = candidate::leadership(election.as_ref());
    let (health, passed_rules) = (Health::new(arguments.liveness_seconds), PassedRules::default());
    let store = Arc::new(Store::default());
    let figures = Figures::new(Arc::clone(&store), &arguments.kernel_settings());
    let mut servers = JoinSet::new();
    let parts = Parts { arm: &arm, passed_rules: &passed_rules, leadership: &leadership, figures: &figures };
    let metrics = routes(Metrics::new(&parts));
    let told = "metrics are served";
    serve("--metrics-address", arguments.metrics_address, metrics, told, &mut servers).await?;
    let (probes, told) = (health::routes(health.clone()), "probes are answered");
    serve("--health-address", arguments.health_address, probes, told, &mut servers).await?;
    let (stopping, given_up) = (CancellationToken::new(), CancellationToken::new());
    stop_on_signal(&stopping)?;
    tracing::info!(cluster = %arguments.cluster_resource_id, "started");

    let work = Work {
        arguments,
        log,
        config,
        arm,
        store,
        leadership,
        health: health.clone(),
        passed_rules,
        figures,
        stopping,
    };
    let left;
    let mut standing = tokio::spawn(stand(election, given_up.clone(), health.clone()));
    tokio::select! {
        ended = Box::pin(work.run()) => left = ended?,
        lost = &mut standing => return Err(lease_lost(lost)),
        Some(_) = servers.join_next() => return Err(RunError::ServerEnded),
    }
    // Nothing is written any more: the lease is given back last.
    health.stops();
    match left {
        Left::Clean => {
            given_up.cancel();
            let _ = standing.await;
        }
        Left::Unseen => tracing::warn!(
            "a write was not seen in the cluster yet; the lease is kept until it runs out, so that nobody goes on before that"
        ),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Takes part in the election; without one, this replica leads until told to end.
async fn stand(election: Option<Election>, given_up: CancellationToken, health: Health) -> Ended {
    if let Some(election) = election {
        return election.run(&given_up, &health).await;
    }
    health.leads();
    given_up.cancelled().await;
    Ended::GivenUp
}

fn lease_lost(ended: Result<Ended, tokio::task::JoinError>) -> RunError {
    let detail = match ended {
        Ok(Ended::Lost(why)) => why,
        Ok(Ended::GivenUp) => "it was given up".to_owned(),
        Err(error) => error.to_string(),
    };
    RunError::LeaseLost { detail }
}

/// Answers requests at an address, if there is one, and tells of it.
async fn serve(
    setting: &'static str,
    address: ListenAddress,
    router: Router,
    told: &'static str,
    servers: &mut JoinSet<io::Result<()>>,
) -> Result<(), RunError> {
    if let Some(address) = address.get() {
        let listener = Listener::bind(setting, address).await?;
        tracing::info!(address = %listener.address(), "{told}");
        servers.spawn(listener.serve(router));
    }
    Ok(())
}

/// What the replica that leads does.
struct Work {
    arguments: Arguments,
    log: Log,
    config: Config,
    arm: Arc<ArmClient>,
    store: Arc<Store>,
    leadership: Leadership,
    health: Health,
    passed_rules: PassedRules,
    figures: Figures,
    stopping: CancellationToken,
}

impl Work {
    /// Waits until this replica leads, then makes passes until told to stop. Nothing is watched before: what the leader
    /// before it wrote last is seen for certain by a list that begins after its lease.
    async fn run(self) -> Result<Left, RunError> {
        let stopping = self.stopping.clone();
        tokio::select! {
            () = self.leadership.won() => {}
            () = stopping.cancelled() => return Ok(Left::Clean),
        }
        let watch_client = client(self.config.clone(), None)?;
        let watched_lists = lists(self.config.clone())?;
        let (wake, namespaces) = (Arc::new(Wake::default()), self.arguments.namespaces());
        let mut watches = watch(&watch_client, &watched_lists, &self.store, &wake, &namespaces);
        let pass = self.pass(&wake, watched_lists, namespaces)?;
        tokio::select! {
            left = passes(pass, &wake, &stopping) => Ok(left),
            _ = watches.join_next() => Err(RunError::WatchEnded),
        }
    }

    fn pass(self, wake: &Arc<Wake>, watched_lists: Lists, namespaces: Vec<String>) -> Result<Pass, RunError> {
        let longest = candidate::terms(&self.arguments)?.map_or(REQUEST_TIMEOUT, |terms| terms.longest_write());
        let gate = WriteGate::new(self.leadership.clone(), longest.min(REQUEST_TIMEOUT));
        let client = client(single(&self.config), Some(&gate))?;
        Ok(Pass {
            settings: self.arguments.kernel_settings(),
            refresh_interval: jittered(self.arguments.arm_refresh_seconds),
            observer: Observer::new(
                client.clone(),
                lists(single(&self.config))?,
                Arc::clone(&self.arm),
                Arc::clone(&self.store),
                namespaces,
            ),
            publisher: Publisher::new(&client),
            wake: Arc::clone(wake),
            ledger: Ledger::default(),
            flights: Flights::default(),
            joins: Joins::default(),
            finalizers: Finalizers::new(client.clone()),
            client,
            leadership: self.leadership,
            health: self.health,
            bulletin: Bulletin::default(),
            log: self.log,
            passed_rules: self.passed_rules,
            figures: self.figures,
            watched_lists,
            planned: BTreeMap::new(),
            begun: tokio::time::Instant::now(),
            is_arriving: true,
            stopping: self.stopping,
            arguments: self.arguments,
            arm: self.arm,
            store: self.store,
        })
    }
}

/// What a process leaves behind that was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Whoever comes next sees all of it.
    Clean,
    /// A write that may not have arrived yet.
    Unseen,
}

/// Makes passes until told to stop; a pass that has begun is finished.
async fn passes(mut pass: Pass, wake: &Wake, stopping: &CancellationToken) -> Left {
    loop {
        let began = tokio::time::Instant::now();
        let due = pass.run().await;
        tokio::select! {
            () = stopping.cancelled() => return if pass.is_all_seen().await { Left::Clean } else { Left::Unseen },
            () = wake.called() => {}
            () = tokio::time::sleep_until(due) => {}
        }
        tokio::time::sleep_until(began + PASS_INTERVAL).await;
    }
}

/// For single requests: one that is not answered must not stop the loop, and a write is not repeated behind our back. Watches
/// may be silent for long.
fn single(config: &Config) -> Config {
    let mut single = config.clone();
    single.read_timeout = Some(REQUEST_TIMEOUT);
    single.default_retry = false;
    single
}

/// A way to the API server, behind a gate if there is one.
fn client(config: Config, gate: Option<&WriteGate>) -> Result<Client, RunError> {
    let builder = ClientBuilder::try_from(config);
    let builder = builder.map_err(|problem| no_way(&problem))?;
    let builder = builder.with_layer(&Listening);
    Ok(match gate {
        Some(gate) => builder.with_layer(gate).build(),
        None => builder.build(),
    })
}

/// A way to the API server by which pods and nodes are read.
fn lists(config: Config) -> Result<Lists, RunError> {
    Lists::new(config).map_err(|problem| no_way(&problem))
}

fn no_way(problem: &impl ToString) -> RunError {
    RunError::Kubeconfig { detail: problem.to_string() }
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
