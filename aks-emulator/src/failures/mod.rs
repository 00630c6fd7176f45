//! Failures that the service has and an emulator has no cause for, by name and with their texts. Never decides when
//! one happens.

mod operations;
mod requests;

pub(crate) use operations::Cause;
pub use operations::OperationFailure;
pub use requests::RequestFailure;
