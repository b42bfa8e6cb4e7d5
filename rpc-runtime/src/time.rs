//! Time as an input: a point on a driver's clock. Durations are std's.
//!
//! Knows arithmetic; does not know any clock. Only a driver makes an [`Instant`].

use std::fmt;
use std::ops::{Add, Sub};

pub use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the driver's clock.
///
/// Microseconds since the driver started, so that a simulated run and a real one print alike. Only
/// a driver makes one; the core compares and adds. Unlike std's it can be stored and replayed.
/// Adding saturates: a deadline too far away to be represented never comes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The driver's start.
    pub const START: Self = Self { micros: 0 };

    /// The point `micros` microseconds after the driver's start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// Microseconds since the driver's start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }

    /// The time from `self` to `later`; zero if `later` is earlier.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self { micros: self.micros.saturating_add(micros(duration)) }
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the driver's start.
    fn sub(self, duration: Duration) -> Self {
        Self { micros: self.micros.saturating_sub(micros(duration)) }
    }
}

/// Whole microseconds, or the most that there are.
const fn micros(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(duration.subsec_micros() as u64)
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}.{:06} s", self.micros / 1_000_000, self.micros % 1_000_000)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_instead_of_wrapping() {
        let late = Instant::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Instant::from_micros(u64::MAX));
        assert_eq!(Instant::START - Duration::from_secs(1), Instant::START);
        assert_eq!(Instant::START.since(late), Duration::ZERO);
    }

    #[test]
    fn prints_seconds_with_micros() {
        assert_eq!(Instant::from_micros(1_000_412).to_string(), "+1.000412 s");
    }
}
