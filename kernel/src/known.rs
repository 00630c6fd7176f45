//! Facts that carry when they were seen, or why they were not. Never guesses a value for what is unknown.

use crate::time::{Span, Time};

/// A part of the world as it was last seen, or the reason why it could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// The complete value, and the time for which it is known to have held.
    Seen {
        /// When the value was last known to be current.
        at: Time,
        /// The value.
        value: T,
    },
    /// The part could not be read.
    Unknown {
        /// Why, in words for a person.
        reason: String,
    },
}

impl<T> Known<T> {
    /// A value that held at `at`.
    pub const fn seen(at: Time, value: T) -> Self {
        Self::Seen { at, value }
    }

    /// A part that could not be read, and why.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// The value, however old.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// How long ago the value was seen; `None` while it is unknown.
    #[must_use]
    pub fn age(&self, now: Time) -> Option<Span> {
        match self {
            Self::Seen { at, .. } => Some(now.since(*at)),
            Self::Unknown { .. } => None,
        }
    }

    /// The value if it is no older than `limit`.
    ///
    /// # Errors
    /// Says in words why the value may not be used: unknown, or too old.
    pub fn fresh(&self, now: Time, limit: Span) -> Result<&T, String> {
        match self {
            Self::Unknown { reason } => Err(reason.clone()),
            Self::Seen { at, value } if now.since(*at) <= limit => Ok(value),
            Self::Seen { at, .. } => {
                Err(format!("last seen {} s ago, the limit is {} s", now.since(*at).as_secs(), limit.as_secs()))
            }
        }
    }
}
