//! The way by which pods and nodes are listed and watched, of which nothing but their part is told. Never writes.

use k8s_openapi::NamespaceResourceScope;
use kube::client::ClientBuilder;
use kube::{Api, Client, Config, Resource};

use super::protobuf::Protobuf;
use super::{Part, Partly};
use crate::clock::Listening;

/// Reads pods and nodes, lists of them as protobuf.
pub struct Lists(Client);

impl Lists {
    /// The way to the API server of `config`.
    ///
    /// # Errors
    /// There is none.
    pub fn new(config: Config) -> kube::Result<Self> {
        Ok(Self(ClientBuilder::try_from(config)?.with_layer(&Listening).with_layer(&Protobuf).build()))
    }

    /// The objects of a kind in the whole cluster.
    #[must_use]
    pub fn all<K>(&self) -> Api<Part<K>>
    where
        K: Partly,
    {
        Api::all(self.0.clone())
    }

    /// The objects of a kind in a namespace.
    #[must_use]
    pub fn namespaced<K>(&self, namespace: &str) -> Api<Part<K>>
    where
        K: Partly,
        Part<K>: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.0.clone(), namespace)
    }
}
