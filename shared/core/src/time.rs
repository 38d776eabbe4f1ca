//! Instants as milliseconds. Nothing here reads a clock: time is an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The greatest error of a process's clock, either way. The promises of the budget hold while every
/// clock keeps within it.
pub const CLOCK_BOUND: Duration = Duration::from_secs(1);

/// Whether a clock may be within the bound that showed `before` and then `after`, while a server
/// named the whole second `date` in between.
pub fn clock_agrees(before: Timestamp, date: Timestamp, after: Timestamp) -> bool {
    let (earliest, latest) = (date, date + Duration::from_secs(1));
    before <= latest + CLOCK_BOUND && earliest <= after + CLOCK_BOUND
}

/// Whether a clock that shows `now` is within the bound for certain, when a server's time is now
/// between `earliest` and `latest`.
pub fn clock_surely_agrees(now: Timestamp, earliest: Timestamp, latest: Timestamp) -> bool {
    now <= earliest + CLOCK_BOUND && latest <= now + CLOCK_BOUND
}

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// Later than every instant that occurs. (It fits the 64-bit signed numbers of stores.)
    pub const NEVER: Self = Self(i64::MAX as u64);

    /// Makes an instant from milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Makes an instant from seconds since 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns the milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)).min(Self::NEVER.0))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A span in whole milliseconds, saturating.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_beyond_the_bound_and_the_seconds_fraction() {
        let ms = Timestamp::from_millis;
        let date = ms(100_000);
        assert!(clock_agrees(ms(100_900), date, ms(101_100)));
        assert!(clock_agrees(ms(98_500), date, ms(99_000)), "behind by up to 1 s");
        assert!(!clock_agrees(ms(98_000), date, ms(98_999)), "behind by more");
        assert!(clock_agrees(ms(102_000), date, ms(102_100)), "ahead by up to 1 s");
        assert!(!clock_agrees(ms(102_001), date, ms(102_100)), "ahead by more");
        assert!(clock_agrees(ms(90_000), date, ms(110_000)), "a slow answer says little");
    }

    #[test]
    fn a_clock_is_surely_right_only_where_no_fraction_would_make_it_wrong() {
        let ms = Timestamp::from_millis;
        assert!(clock_surely_agrees(ms(100_000), ms(99_500), ms(100_500)));
        assert!(clock_surely_agrees(ms(100_000), ms(99_000), ms(101_000)));
        assert!(!clock_surely_agrees(ms(100_000), ms(98_999), ms(100_000)), "ahead by more");
        assert!(!clock_surely_agrees(ms(100_000), ms(100_000), ms(101_001)), "behind by more");
    }
}
