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
use k8s_openapi::{Metadata, Resource};
use message::Whole;
use serde::{Deserialize, Deserializer};

pub use lists::Lists;

/// An object as if the rest of it were absent.
#[derive(Debug, Clone)]
pub struct Part<K>(pub K);

/// An object of which a part can be read.
pub trait Partly: Sized {
    /// The part.
    type Read: for<'de> Deserialize<'de> + Whole<Self>;
}

impl Partly for core::Pod {
    type Read = pod::Pod;
}

impl Partly for core::Node {
    type Read = node::Node;
}

impl<'de, K: Partly> Deserialize<'de> for Part<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        K::Read::deserialize(deserializer).map(|read| Self(read.whole()))
    }
}

impl<K: Resource> Resource for Part<K> {
    const API_VERSION: &'static str = K::API_VERSION;
    const GROUP: &'static str = K::GROUP;
    const KIND: &'static str = K::KIND;
    const VERSION: &'static str = K::VERSION;
    const URL_PATH_SEGMENT: &'static str = K::URL_PATH_SEGMENT;
    type Scope = K::Scope;
}

impl<K: Metadata> Metadata for Part<K> {
    type Ty = K::Ty;

    fn metadata(&self) -> &Self::Ty {
        self.0.metadata()
    }

    fn metadata_mut(&mut self) -> &mut Self::Ty {
        self.0.metadata_mut()
    }
}

#[cfg(test)]
mod tests;
