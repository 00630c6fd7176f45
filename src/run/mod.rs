//! Runs the operator: settings, the loop, shutdown. Never decides anything about a pool.

mod arguments;
mod break_glass;
mod bulk;
mod candidate;
mod drains;
mod ends;
mod farewell;
mod finalizers;
mod flights;
mod inventory;
mod jitter;
mod joins;
mod ledger;
mod logging;
mod pass;
mod sight;
mod start;
mod telling;
mod upgrades;
mod wake;

pub use arguments::Arguments;
pub use start::main;
pub use wake::Wake;
