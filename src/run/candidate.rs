//! This process as one of several replicas: under which name it stands for the lease, or that there is no other. Never writes
//! anything by itself.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use kube::Client;

use super::arguments::Arguments;
use crate::leadership::{Election, Leadership, Terms, TermsError};

/// Why the operator can't stand for the lease.
#[derive(Debug, thiserror::Error)]
pub(super) enum CandidateError {
    /// It does not know where the lease is.
    #[error(
        "--pod-namespace (POD_NAMESPACE) is missing: the lease {lease:?} is kept in the operator's own namespace; give it, or an \
         empty --lease-name if there is never more than one replica"
    )]
    NoNamespace {
        /// Its name.
        lease: String,
    },
    /// A write could outlast the lease.
    #[error(transparent)]
    Terms(#[from] TermsError),
}

/// The times of the election; `None` without one.
///
/// # Errors
/// A write could outlast the lease.
pub(super) fn terms(arguments: &Arguments) -> Result<Option<Terms>, CandidateError> {
    if arguments.lease_name.is_empty() {
        return Ok(None);
    }
    let terms = Terms::of(std::time::Duration::from_secs(u64::from(arguments.lease_seconds)));
    Ok(Some(terms.with_room_for(arguments.arm_write_timeout_seconds)?))
}

/// The election that this process takes part in; `None` if it is the only replica.
///
/// # Errors
/// What is missing for it.
pub(super) fn election(arguments: &Arguments, client: &Client) -> Result<Option<Election>, CandidateError> {
    let Some(terms) = terms(arguments)? else { return Ok(None) };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let Some(namespace) = given(&arguments.pod_namespace) else {
        return Err(CandidateError::NoNamespace { lease: arguments.lease_name.clone() });
    };
    // Each process has a name of its own: what one that crashed had sent may still arrive while its lease lasts, so that not even
    // its successor in the same pod goes on before.
    let pod = given(&arguments.pod_name).unwrap_or_else(|| "nodepool-operator".to_owned());
    let identity = format!("{pod}_{:016x}", RandomState::new().build_hasher().finish());
    Ok(Some(Election::new(client.clone(), &namespace, &arguments.lease_name, &identity, terms)))
}

/// What tells whether this process may write.
pub(super) fn leadership(election: Option<&Election>) -> Leadership {
    election.map_or_else(Leadership::sole, Election::leadership)
}
