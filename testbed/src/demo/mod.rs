//! The demo: a platform team's day on a local AKS, told with the real kubectl; never says that something worked without
//! having looked.

mod chapters;
mod life;
mod stage;

use clap::Args;

use crate::output::say;
use stage::Stage;

/// How the demo runs.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Tells the story and returns when every claim of its summary has been checked.
///
/// # Errors
/// When the cluster can't be started, or something did not happen as told.
pub async fn demo(arguments: Arguments) -> anyhow::Result<()> {
    let stage = tokio::select! {
        told = tell() => told?,
        // Dropping the story ends everything that it started.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    if arguments.keep { stage.keep().await } else { Ok(()) }
}

async fn tell() -> anyhow::Result<Stage> {
    say!("nodepool-operator demo: a local AKS with a real Kubernetes control plane. Nothing leaves this machine.");
    say!("");
    let stage = Stage::set().await?;
    let mut chapters = chapters::tell(&stage).await?;
    let evicted = stage.evicted()?;
    anyhow::ensure!(evicted.is_empty(), "pods of kube-system were evicted: {}", evicted.join(", "));
    chapters.push("Until then no pod of kube-system was evicted by anything that the operator did.".to_owned());
    chapters.extend(life::tell(&stage).await?);
    let evicted = stage.evicted()?;
    anyhow::ensure!(evicted.is_empty(), "a taint or AKS evicted pods of kube-system: {}", evicted.join(", "));
    say!("");
    say!("What was seen, each checked against ARM, the nodes and the audit log:");
    for (number, chapter) in chapters.iter().enumerate() {
        say!("  {}. {chapter}", number + 1);
    }
    say!(
        "  Throughout: protected pods left their nodes only where a policy permits to move them, never by a taint or by AKS."
    );
    say!("");
    Ok(stage)
}
