//! The Azure Resource Manager: requests, documents and errors. Never decides what to write; only `act` writes.

mod advice;
mod client;
mod document;
mod error;
mod resource_id;
mod write;

pub use advice::{Class, remedy};
pub use client::{ArmClient, ArmOptions, Authentication};
pub use document::{PoolDocument, cluster};
pub use error::ArmError;
pub use resource_id::{ClusterId, ClusterIdError};
pub use write::PoolWrite;
