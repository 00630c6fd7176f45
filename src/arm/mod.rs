//! The Azure Resource Manager: requests, documents and errors. Never decides what to write; only `act` writes.

mod advice;
mod answer;
mod bounded;
mod budget;
mod client;
mod document;
mod error;
mod exchange;
mod operation;
mod options;
mod resource_id;
mod settings;
mod sign_in;
mod telemetry;
mod upgrades;
mod write;

pub use advice::remedy;
pub use budget::Urgency;
pub use client::ArmClient;
pub use document::{PoolDocument, cluster};
pub use error::ArmError;
pub use operation::{End, Operation, OperationUrlError, Progress, Response, next};
pub use options::{ArmOptions, ArmOptionsError};
pub use resource_id::{ClusterId, ClusterIdError};
pub use sign_in::{Authentication, Cloud, SignIn, SignInError};
pub use upgrades::Offer;
pub use write::{Accepted, PoolWrite};
