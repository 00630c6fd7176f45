//! The `aks-emulator` program: reads flags, starts one emulator, and stops it on a signal. Never does anything that the
//! library cannot.

mod cli;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use aks_emulator::{ClusterSpec, Emulator, KubernetesNodes, NoNodes, NodeSide};
use anyhow::Context;
use clap::Parser;
use kube::config::KubeConfigOptions;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &cli::Arguments) -> anyhow::Result<()> {
    if arguments.print_example_cluster {
        return say(ClusterSpec::example());
    }
    let settings = arguments.settings();
    let cluster = arguments.cluster()?;
    let nodes = nodes(arguments).await?;
    let emulator = Emulator::start(settings, cluster, nodes).await?;
    let authority = arguments.sign_in.authority().map_or_else(String::new, |path| format!("\nauthority: {path}"));
    let (endpoint, cluster) = (emulator.endpoint(), emulator.cluster_id());
    say(&format!("endpoint: {endpoint}\ncluster: {cluster}{authority}\nStop with Ctrl-C."))?;
    wait_for_signal().await?;
    emulator.stop().await;
    Ok(())
}

async fn nodes(arguments: &cli::Arguments) -> anyhow::Result<Arc<dyn NodeSide>> {
    if arguments.no_nodes {
        return Ok(Arc::new(NoNodes::new()));
    }
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let advice = "give --kubeconfig a file of a cluster that may be filled with nodes, or use --no-nodes";
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let kubeconfig = kube::config::Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig {}: {advice}", path.display()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("--kubeconfig {}: {advice}", path.display()))?
        }
        None => anyhow::bail!("no node side: {advice}"),
    };
    let nodes = KubernetesNodes::connect(config).context("cannot set up a Kubernetes client")?;
    Ok(Arc::new(nodes))
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").context("cannot write to standard output")?;
    out.flush().context("cannot write to standard output")
}
