//! What people see: status, conditions and events of each policy. Never decides, and never writes what is already there.

mod conditions;
mod events;
mod history;
mod publish;
mod status;
mod summary;
#[cfg(test)]
mod tests;

pub use events::{Notice, Severity, notices};
pub use history::{take_end, take_outcome};
pub use publish::{FIELD_MANAGER, PublishError, Publisher};
pub use status::{Circumstances, Hold, malformed, status};
