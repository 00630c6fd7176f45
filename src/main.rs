//! `nodepool-operator`: runs the operator, or prints its CRD.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nodepool_operator::{api, run};

/// Gives memory back after the lists of a large cluster, which the allocator of the C library keeps in pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drives AKS node pools to what NodePoolPolicy objects ask for, and refuses what would take the cluster down.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator until it is told to stop (SIGTERM, SIGINT).
    Run(Box<run::Arguments>),
    /// Prints the CustomResourceDefinition.
    Crd,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run::main(*arguments),
        Command::Crd => match api::crd_yaml().map(|yaml| std::io::stdout().write_all(yaml.as_bytes())) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
    }
}
