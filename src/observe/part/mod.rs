//! Pods and nodes of which only what rows are made of is decoded, and how they are read: what manages their fields, containers
//! and images are most of their text. Never tells a part otherwise in a list than in a watch.

mod affinity;
mod lists;
mod message;
mod metadata;
mod node;
mod pod;
mod protobuf;
mod volume;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::{Metadata, Resource};
use message::Whole;
use serde::{Deserialize, Deserializer};

pub use lists::Lists;

/// What is read of an object. It is small; a whole object has room for everything that may be in one, some ten times as much, so
/// that whole ones are made one at a time.
#[derive(Debug, Clone)]
pub struct Part<K: Partly> {
    metadata: meta::ObjectMeta,
    rest: K::Read,
}

/// An object of which a part can be read.
pub trait Partly: Sized + Metadata<Ty = meta::ObjectMeta> {
    /// The part.
    type Read: for<'de> Deserialize<'de> + Whole<Self> + std::fmt::Debug + Clone;

    /// Takes the metadata out of it.
    fn take_metadata(read: &mut Self::Read) -> meta::ObjectMeta;
}

impl Partly for core::Pod {
    type Read = pod::Pod;

    fn take_metadata(read: &mut pod::Pod) -> meta::ObjectMeta {
        std::mem::take(&mut read.metadata).whole()
    }
}

impl Partly for core::Node {
    type Read = node::Node;

    fn take_metadata(read: &mut node::Node) -> meta::ObjectMeta {
        std::mem::take(&mut read.metadata).whole()
    }
}

impl<K: Partly> Part<K> {
    /// The object, as if what is not read of it were absent.
    pub fn whole(self) -> K {
        let mut whole = self.rest.whole();
        *whole.metadata_mut() = self.metadata;
        whole
    }
}

impl<'de, K: Partly> Deserialize<'de> for Part<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = K::Read::deserialize(deserializer)?;
        Ok(Self { metadata: K::take_metadata(&mut rest), rest })
    }
}

impl<K: Partly> Resource for Part<K> {
    const API_VERSION: &'static str = K::API_VERSION;
    const GROUP: &'static str = K::GROUP;
    const KIND: &'static str = K::KIND;
    const VERSION: &'static str = K::VERSION;
    const URL_PATH_SEGMENT: &'static str = K::URL_PATH_SEGMENT;
    type Scope = K::Scope;
}

impl<K: Partly> Metadata for Part<K> {
    type Ty = meta::ObjectMeta;

    fn metadata(&self) -> &Self::Ty {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut Self::Ty {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
