//! Whether and when the admission rule on nodes is in force: from the start to the end, and up to date before an
//! operation touches a node. Never touches a node.

use super::Service;
use crate::{Error, NodeError};

impl Service {
    /// Brings the rule up to date with all pools, if it is wanted and nodes are on an API server.
    pub(super) async fn protect_nodes(&self) -> Result<(), NodeError> {
        let Some(cluster) = self.nodes.cluster().filter(|_| self.settings.admission_rule) else {
            return Ok(());
        };
        cluster.protect(&self.node_pools()).await
    }

    /// The same at the start.
    pub(crate) async fn begin_protection(&self) -> Result<(), Error> {
        self.protect_nodes().await.map_err(|source| Error::AdmissionRule { source })
    }

    /// Takes the rule away at the end. That it stays is no reason not to stop.
    pub(crate) async fn end_protection(&self) {
        if let Some(cluster) = self.nodes.cluster().filter(|_| self.settings.admission_rule)
            && let Err(error) = cluster.unprotect().await
        {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "the admission rule stays behind");
        }
    }
}
