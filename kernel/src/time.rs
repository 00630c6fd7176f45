//! Points and spans of time as plain numbers. Never reads a clock: the caller says what time it is.

/// A point in time: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// A length of time in milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Time {
    /// The point `milliseconds` after the Unix epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long before `self` the point `earlier` lies; zero when it lies after `self`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The point `span` after `self`, at most the end of time.
    #[must_use]
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl Span {
    /// A span of `milliseconds`.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// A span of `seconds`.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The span, so many times as long. A factor that is no positive number gives an empty span, one that is too large the
    /// longest.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a cast of a float saturates, and a deadline does not need all digits"
    )]
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor) as u64)
    }

    /// The span in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The span in seconds, with what is left of a second as their fraction.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a span of more than 2^52 milliseconds is nobody's")]
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The span in whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_never_go_negative_and_points_never_overflow() {
        let (early, late) = (Time::from_millis(1_000), Time::from_millis(4_500));
        assert_eq!(late.since(early), Span::from_millis(3_500));
        assert_eq!(early.since(late), Span::default());
        assert_eq!((late.since(early).as_millis(), late.since(early).as_secs()), (3_500, 3));
        assert!((late.since(early).as_secs_f64() - 3.5).abs() < f64::EPSILON);
        let times = |factor| Span::from_secs(2).times(factor).as_millis();
        assert_eq!((times(1.5), times(-1.0), times(f64::NAN), times(f64::INFINITY)), (3_000, 0, 0, u64::MAX));
        assert_eq!(Time::from_millis(i64::MAX).after(Span::from_secs(u64::MAX)).as_millis(), i64::MAX);
    }
}
