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
        /// Why it is no longer kept up to date, in words for a person, if that is known.
        lost: Option<String>,
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
        Self::Seen { at, value, lost: None }
    }

    /// A value that held at `at` and is not kept up to date since, and why.
    pub fn lost(at: Time, value: T, why: impl Into<String>) -> Self {
        Self::Seen { at, value, lost: Some(why.into()) }
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

    /// The value if it is no older than `limit`.
    ///
    /// # Errors
    /// Says in words why the value may not be used: unknown, or too old.
    pub fn fresh(&self, now: Time, limit: Span) -> Result<&T, String> {
        match self {
            Self::Unknown { reason } => Err(reason.clone()),
            Self::Seen { at, value, .. } if now.since(*at) <= limit => Ok(value),
            // Without the age: a text that changes with every look would be written again with every look.
            Self::Seen { lost, .. } => {
                let why = lost.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                Err(format!("not seen for more than {} s{why}", limit.as_secs()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_used_up_to_the_limit() {
        let (now, limit) = (Time::from_millis(100_000), Span::from_secs(10));
        let seen = |millis| Known::seen(Time::from_millis(millis), 7);
        assert_eq!(seen(100_000).fresh(now, limit), Ok(&7));
        assert_eq!(seen(90_000).fresh(now, limit), Ok(&7));
        assert_eq!(seen(89_999).fresh(now, limit), Err("not seen for more than 10 s".to_owned()));
        let lost = |millis| Known::lost(Time::from_millis(millis), 7, "no right");
        assert_eq!(lost(90_000).fresh(now, limit), Ok(&7), "it is new enough, whatever came then");
        assert_eq!(lost(89_999).fresh(now, limit), Err("not seen for more than 10 s: no right".to_owned()));
        assert_eq!(Known::<u8>::unknown("no answer").fresh(now, limit), Err("no answer".to_owned()));
    }

    #[test]
    fn what_is_unknown_has_neither_value_nor_age() {
        let unknown = Known::<u8>::unknown("x");
        assert_eq!(unknown.value(), None);
        let seen = Known::seen(Time::from_millis(2_000), 7);
        assert_eq!(seen.value(), Some(&7));
    }
}
