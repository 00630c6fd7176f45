//! `testbed`: builds the control plane's executables, or runs a whole cluster to look around in.

mod demo;
mod output;
mod up;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use testbed::Helm;
use testbed::assets::{Assets, Places, Set};

use crate::output::say;

/// A local AKS on a real Kubernetes control plane, for development.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the executables of the control plane and of Helm where they are missing, and prints the folders that have
    /// them.
    Assets,
    /// Writes the plain manifests anew from the chart, into a folder.
    Manifests {
        /// The folder, for example deploy/base.
        folder: PathBuf,
    },
    /// Tells what the operator does, on a local cluster, and checks it.
    Demo(demo::Arguments),
    /// Starts a cluster with two pools and runs it until Ctrl-C.
    Up(up::Arguments),
}

fn main() -> anyhow::Result<()> {
    testbed::supervise::run_if_asked();
    match Cli::parse().command {
        Command::Assets => {
            for set in Set::ALL {
                let places = Places::of_environment()?;
                let assets = Assets::find_or_build_set(set, &places, &mut |line| eprintln!("testbed: {line}"))?;
                say!("{}", assets.folder().display());
            }
            Ok(())
        }
        Command::Manifests { folder } => tokio::runtime::Runtime::new()?.block_on(manifests(&folder)),
        Command::Demo(arguments) => tokio::runtime::Runtime::new()?.block_on(demo::demo(arguments)),
        Command::Up(arguments) => tokio::runtime::Runtime::new()?.block_on(up::up(arguments)),
    }
}

async fn manifests(folder: &Path) -> anyhow::Result<()> {
    for (file, text) in Helm::find().await?.plain_manifests().await? {
        let path = folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}
