//! Faults of nodes on demand: what can be wrong with those of a pool, and for how long. Never touches a node itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// What is wrong with the nodes of a pool. Durations are the service's, that is, divided by the time scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeTrouble {
    /// Nodes that are created do not report Ready, so that their operation fails with `NodesNotReady` when its time is
    /// over. They do when the fault ends.
    NeverReady,
    /// Node objects of new instances appear this much later.
    LateObject(Duration),
    /// Nodes that are created report Ready this much later.
    LateReady(Duration),
    /// Labels, taints and mode are written onto existing nodes this much later; operations do not wait for it.
    LateWrites(Duration),
    /// The nodes that are there stop to report, for this long or until the fault ends.
    NotReady(Option<Duration>),
}

/// A fault of nodes in force. It ends when this is released or dropped.
#[derive(Debug)]
#[must_use = "the fault ends as soon as this is dropped"]
pub struct NodeFault {
    over: CancellationToken,
}

impl NodeFault {
    /// Ends the fault.
    pub fn release(&self) {
        self.over.cancel();
    }

    /// Whether it has ended, by its time or by a release.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}

impl Drop for NodeFault {
    fn drop(&mut self) {
        self.release();
    }
}

/// All faults of nodes in force.
#[derive(Debug, Default)]
pub(crate) struct NodeFaults(Mutex<Vec<Laid>>);

/// A fault with its pool.
#[derive(Clone, Debug)]
pub(crate) struct Laid {
    pool: String,
    pub(crate) trouble: NodeTrouble,
    /// Cancelled when the fault ends.
    pub(crate) over: CancellationToken,
}

impl NodeFaults {
    pub(crate) fn lay(&self, pool: &str, trouble: NodeTrouble) -> (NodeFault, Laid) {
        let laid = Laid { pool: pool.to_owned(), trouble, over: CancellationToken::new() };
        self.laid().push(laid.clone());
        (NodeFault { over: laid.over.clone() }, laid)
    }

    /// The first fault in force for a pool that is of a kind.
    pub(crate) fn find(&self, pool: &str, is: impl Fn(NodeTrouble) -> bool) -> Option<Laid> {
        self.laid().iter().find(|laid| laid.pool.eq_ignore_ascii_case(pool) && is(laid.trouble)).cloned()
    }

    fn laid(&self) -> MutexGuard<'_, Vec<Laid>> {
        let mut laid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        laid.retain(|fault| !fault.over.is_cancelled());
        laid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_in_force_until_its_handle_goes() {
        let faults = NodeFaults::default();
        let never = |trouble| trouble == NodeTrouble::NeverReady;
        let (fault, _) = faults.lay("apps", NodeTrouble::NeverReady);
        assert!(faults.find("APPS", never).is_some());
        assert!(faults.find("other", never).is_none());
        assert!(faults.find("apps", |trouble| matches!(trouble, NodeTrouble::LateReady(_))).is_none());
        drop(fault);
        assert!(faults.find("apps", never).is_none());
    }
}
