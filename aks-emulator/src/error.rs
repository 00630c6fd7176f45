//! Why an emulator could not be started. Never an answer to a request: those are in `http::errors`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{KeyError, NodeError};

/// Why the emulator could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or a field of the cluster's description has a value that cannot be used.
    #[error("{field} is {value}: {fix}")]
    Setting {
        /// Name of the setting or path of the field.
        field: String,
        /// Its value.
        value: String,
        /// What to give instead.
        fix: String,
    },
    /// The file that describes the cluster cannot be read.
    #[error("cannot read the cluster's description {}: give a file that exists", path.display())]
    DescriptionFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file that describes the cluster has a mistake.
    #[error("{}, line {line}, column {column}: {problem}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: u64,
        /// Column of the mistake, from 1.
        column: u64,
        /// The field, its value and what to give instead; or what the parser said.
        problem: String,
    },
    /// A role definition cannot be read.
    #[error("cannot read the role definition {}: give a file that exists", path.display())]
    RoleFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A role definition has a mistake.
    #[error("the role definition {}: {problem}", path.display())]
    Role {
        /// The file.
        path: PathBuf,
        /// The field, its value and what to give instead; or what the parser said.
        problem: String,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: choose a free port, or 0 for any")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state file cannot be read or written.
    #[error(
        "cannot use the state file {}: check that its folder exists and may be written", path.display()
    )]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state file holds something else. It is kept as it is.
    #[error(
        "the state file {} is damaged at line {line}, column {column}, in {field}: repair it, or move it away to start \
         afresh",
        path.display()
    )]
    StateDamaged {
        /// The file.
        path: PathBuf,
        /// Line of the damage, from 1.
        line: usize,
        /// Column of the damage, from 1.
        column: usize,
        /// Path of the field that is damaged, `.` for the whole.
        field: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The rule that guards labels and taints of nodes could not be written.
    #[error("cannot install the admission rule on nodes: give more rights, or switch it off with --no-admission-rule")]
    AdmissionRule {
        /// What the API server said.
        source: NodeError,
    },
    /// The nodes of an earlier run could not be taken over.
    #[error("cannot take over the nodes that are there")]
    Nodes {
        /// What the node side said.
        source: NodeError,
    },
    /// The state file was written by an emulator whose format is another. It is kept as it is.
    #[error(
        "the state file {} has format {found}, and this emulator knows {known}: start the emulator that wrote it, or \
         move the file away to start afresh",
        path.display()
    )]
    StateFormat {
        /// The file.
        path: PathBuf,
        /// The format that it names.
        found: u64,
        /// The format that this emulator reads and writes.
        known: u64,
    },
    /// A key or certificate, for HTTPS or for access tokens, could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The initial nodes could not be created.
    #[error("cannot create the initial nodes of pool {pool}")]
    InitialNodes {
        /// The pool.
        pool: String,
        /// What the node side said.
        source: NodeError,
    },
}

impl Error {
    pub(crate) fn setting(field: &str, value: impl Display, fix: &str) -> Self {
        Self::Setting { field: field.to_owned(), value: value.to_string(), fix: fix.to_owned() }
    }
}
