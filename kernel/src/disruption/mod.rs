//! Whether pods may be taken down: one at a time by the API server's eviction rules, and together by what their
//! budgets allow. Pure; never evicts, and never takes what is not known for a permission.

mod eviction;
mod no_execute;
mod takedown;

pub use eviction::{Block, Doubt, Eviction, eviction};
pub(crate) use eviction::{Claim, Guarding, doubt};
pub(crate) use no_execute::Evicting;
pub(crate) use takedown::{Going, Load, Takedown};
