//! Kubernetes objects as the kernel's placement reads them. Never guesses: what can't be read keeps a pod from being
//! placed, has no room, or counts as taken, whichever approves less.

mod affinity;
mod nodes;
mod pods;
mod quantity;
mod requests;
mod selectors;
mod spread;
mod storage;
#[cfg(test)]
mod tests;

pub use nodes::node;
pub use pods::{resident, respawned};
pub(super) use requests::{allocatable, requests};
pub(super) use selectors::selector;
pub use storage::Storage;

/// Names of a kind in the order and without the repeats that lists of objects may have.
fn non_empty(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}
