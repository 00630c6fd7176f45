//! Ports that others ask the operator on. Never decides what they are told.

mod address;
mod server;

pub use address::ListenAddress;
pub use server::{ListenError, Listener};
