//! What people see: status, conditions and events of each policy. Never decides, and never writes what is already there.

mod attempt;
mod break_glass;
mod conditions;
mod drift;
mod events;
mod history;
mod inventory;
mod operation;
mod ownership;
mod plan;
mod pool;
mod publish;
mod status;
mod successor;
mod summary;
#[cfg(test)]
pub(crate) mod tests;

pub use break_glass::take_passed;
pub use events::{Notice, Severity, notices, refused_anew};
pub use history::{Rest, take_absence, take_given_up, take_outcome, take_rest};
pub use inventory::{Capacity, Survey, SystemRoom, inventory};
pub use ownership::own_what_is_named;
pub use publish::{FIELD_MANAGER, InventoryError, PublishError, Publisher};
pub use status::{Circumstances, Hold, malformed, status};
