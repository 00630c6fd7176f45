//! `nodepool-operator`: runs the operator, or prints its CRDs.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nodepool_operator::{api, run};

/// Gives memory back after the lists of a large cluster, which the allocator of the C library keeps in pieces. Its second
/// generation does so within 10 ms, the third only after a second, in which the next page has long been read; and huge
/// pages would keep what is all but empty.
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
    /// Prints the CRDs: what kubectl apply needs before anything else
    Crd {
        /// Only that of this plural, for example nodepoolpolicies
        plural: Option<String>,
    },
    /// Prints the reference of all fields of a policy, in Markdown.
    Fields,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run::main(*arguments),
        Command::Crd { plural } => print(api::crd_yaml(plural.as_deref())),
        Command::Fields => print(api::fields_page()),
    }
}

fn print(made: Result<String, Box<dyn std::error::Error>>) -> ExitCode {
    match made {
        Ok(text) if !text.is_empty() && std::io::stdout().write_all(text.as_bytes()).is_ok() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
