//! `testbed`: builds the control plane's executables, or runs a whole cluster to look around in.

mod demo;
mod output;
mod up;

use clap::{Parser, Subcommand};
use testbed::assets::{Assets, Places};

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
    /// Builds the control plane's executables where they are missing, and prints the folder that has them.
    Assets,
    /// Tells what the operator does, on a local cluster, and checks it.
    Demo(demo::Arguments),
    /// Starts a cluster with two pools and runs it until Ctrl-C.
    Up(up::Arguments),
}

fn main() -> anyhow::Result<()> {
    testbed::supervise::run_if_asked();
    match Cli::parse().command {
        Command::Assets => {
            let assets = Assets::find_or_build(&Places::of_environment()?, &mut |line| eprintln!("testbed: {line}"))?;
            say!("{}", assets.folder().display());
            Ok(())
        }
        Command::Demo(arguments) => tokio::runtime::Runtime::new()?.block_on(demo::demo(arguments)),
        Command::Up(arguments) => tokio::runtime::Runtime::new()?.block_on(up::up(arguments)),
    }
}
