//! The cluster around the nodes, for what looks at pods and acts on nodes by itself. Never changes a pool.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};

use super::drain::error;
use super::{KubernetesNodes, NodeError, NodePool, admission};

/// What a [`NodeSide`](super::NodeSide) with real pods can do beside keeping nodes.
#[async_trait]
pub trait ClusterSide: Send + Sync {
    /// All nodes, whatever their pool.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if they cannot be read.
    async fn all_nodes(&self) -> Result<Vec<Node>, NodeError>;

    /// All pods of all namespaces.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if they cannot be read.
    async fn all_pods(&self) -> Result<Vec<Pod>, NodeError>;

    /// From now on, nobody but the emulator changes the labels and taints that nodes have from these pools; those of
    /// an earlier call are forgotten.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if the rule cannot be written.
    async fn protect(&self, pools: &[NodePool]) -> Result<(), NodeError>;

    /// Takes the rule away.
    ///
    /// # Errors
    /// [`NodeError::Kubernetes`] if it cannot be deleted.
    async fn unprotect(&self) -> Result<(), NodeError>;
}

#[async_trait]
impl ClusterSide for KubernetesNodes {
    async fn all_nodes(&self) -> Result<Vec<Node>, NodeError> {
        let nodes = self.nodes().list(&ListParams::default()).await;
        nodes.map(|list| list.items).map_err(|source| error("list", "nodes", source))
    }

    async fn all_pods(&self) -> Result<Vec<Pod>, NodeError> {
        let pods = Api::<Pod>::all(self.client.clone()).list(&ListParams::default()).await;
        pods.map(|list| list.items).map_err(|source| error("list", "pods", source))
    }

    async fn protect(&self, pools: &[NodePool]) -> Result<(), NodeError> {
        admission::protect(&self.client, pools).await
    }

    async fn unprotect(&self) -> Result<(), NodeError> {
        admission::unprotect(&self.client).await
    }
}
