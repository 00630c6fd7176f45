//! What people see: status, conditions and events of each policy. Never decides, and never writes what is already there.

mod conditions;
mod events;
mod publish;
mod status;
mod summary;

pub use events::{Notice, Severity, notices};
pub use publish::{FIELD_MANAGER, PublishError, Publisher};
pub use status::{Circumstances, malformed, status, take_outcome};
