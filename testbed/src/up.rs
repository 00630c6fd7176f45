//! `testbed up`: a cluster to look around in, until it is told to stop; never part of a test.

use std::path::PathBuf;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, bail};
use clap::Args;
use testbed::control_plane::Options;
use testbed::{ControlPlane, Operator, Testbed};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::say;

/// What `testbed up` can be told.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Start this operator in the cluster as well
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
    /// How many times faster than AKS the emulator works
    #[arg(long, value_name = "FACTOR", default_value_t = 20.0)]
    time_scale: f64,
    /// Keep the logs when it ends
    #[arg(long)]
    keep_logs: bool,
}

pub(crate) async fn up(arguments: Arguments) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = run(arguments) => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Returns only on failure; dropped on a signal, which ends everything that it started.
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    say!("Starting etcd, the API server, the controllers, the scheduler and kwok...");
    let control_plane = ControlPlane::start(Options::default()).await?;
    if arguments.keep_logs {
        control_plane.keep();
    }
    say!("Creating a cluster with the pools system (3 nodes) and apps (2 nodes)...");
    let bed = Testbed::builder(control_plane)
        .pool(PoolSpec::system("system", 3).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 2))
        .emulator(|settings| settings.time_scale = arguments.time_scale)
        .start()
        .await?;
    let mut operator = match arguments.operator {
        Some(binary) => Some(start_operator(&bed, binary).await?),
        None => None,
    };
    explain(&bed, operator.as_ref());
    let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        look.tick().await;
        bed.control_plane().check()?;
        if let Some(operator) = &mut operator
            && let Some(code) = operator.exited()?
        {
            bail!("the operator has ended with exit code {code}; the end of its log:\n{}", operator.log_tail(20));
        }
    }
}

async fn start_operator(bed: &Testbed, binary: PathBuf) -> anyhow::Result<Operator> {
    let binary = binary
        .canonicalize()
        .with_context(|| format!("operator {} can't be found: build it with cargo build", binary.display()))?;
    bed.start_operator(bed.operator_options(binary)).await
}

fn explain(bed: &Testbed, operator: Option<&Operator>) {
    let control_plane = bed.control_plane();
    let arm = bed.arm.url();
    say!("");
    say!("The cluster runs. In another terminal:");
    say!("  export KUBECONFIG={}", control_plane.kubeconfig().display());
    say!("  export PATH={}:$PATH", control_plane.assets().folder().display());
    say!("  kubectl get nodes -L kubernetes.azure.com/agentpool,kubernetes.azure.com/mode");
    say!(
        "  curl '{}{}/agentPools?api-version=2025-10-01'",
        arm.as_str().trim_end_matches('/'),
        bed.emulator.cluster_id()
    );
    say!("");
    say!("ARM endpoint:  {arm}");
    say!("Cluster:       {}", bed.emulator.cluster_id());
    say!("Logs:          {}", control_plane.folder().display());
    if let Some(operator) = operator {
        say!("Operator log:  {}", operator.log_file().display());
    }
    say!("");
    say!("Ctrl-C ends all of it.");
}
