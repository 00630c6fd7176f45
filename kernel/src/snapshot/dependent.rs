//! Pods that depend on a pool that is to go. Never says whether it may go all the same.

use std::fmt;

use crate::names::shorten;

/// A pod that would be lost with its pool, or find no other place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependent {
    /// `namespace/name`.
    pub pod: String,
    /// What ties it to the pool.
    pub tie: Tie,
}

/// What ties a pod to its pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// Nothing controls it, so that nothing starts it again.
    Alone,
    /// It has data on a disk of its node: the volume.
    Data(String),
    /// No node that remains takes it: why not.
    Nowhere(String),
}

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => f.write_str("nothing would start it again"),
            Self::Data(volume) => write!(f, "its volume {} is on a disk of its node", shorten(volume, 80)),
            Self::Nowhere(why) => f.write_str(&shorten(why, 160)),
        }
    }
}

impl fmt::Display for Dependent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pod, self.tie)
    }
}
