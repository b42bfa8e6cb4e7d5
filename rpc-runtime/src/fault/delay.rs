//! How long a datagram is under way: distributions with a cap, computed alike on every machine.
//!
//! Knows numbers; does not know clocks. No library logarithm is used, because its last bit differs
//! between machines, and a seed must not.

use crate::random::Rng;
use crate::time::Duration;

/// A distribution of delays, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Always the same.
    Constant(Duration),
    /// Uniform from `low` to `high`, both included.
    Uniform {
        /// The shortest.
        low: Duration,
        /// The longest.
        high: Duration,
    },
    /// Exponential: many short, few long.
    Exponential {
        /// The mean before the cap.
        mean: Duration,
        /// Nothing takes longer.
        cap: Duration,
    },
    /// Heavy tail (Pareto with exponent 1): of the delays longer than any value, half are longer
    /// than its double, up to the cap. Most take about `least`, a few take for ever.
    HeavyTail {
        /// The shortest.
        least: Duration,
        /// Nothing takes longer.
        cap: Duration,
    },
}

impl Delay {
    /// None.
    pub const NONE: Self = Self::Constant(Duration::ZERO);

    /// Draws one delay.
    pub fn sample(&self, rng: &mut dyn Rng) -> Duration {
        match *self {
            Self::Constant(delay) => delay,
            Self::Uniform { low, high } => rng.between(low, high),
            Self::Exponential { mean, cap } => {
                let us = -ln(1.0 - rng.unit()) * real(micros(mean));
                Duration::from_micros(whole(us).min(micros(cap)))
            }
            Self::HeavyTail { least, cap } => {
                let (least, cap) = (micros(least).max(1), micros(cap));
                let ratio = real(least) / real(cap.max(least));
                let us = real(least) / (1.0 - rng.unit() * (1.0 - ratio));
                Duration::from_micros(whole(us).min(cap))
            }
        }
    }

    /// What most delays are no longer than, in microseconds.
    pub(super) fn typical_us(&self) -> u64 {
        micros(match *self {
            Self::Constant(delay) => delay,
            Self::Uniform { high, .. } => high,
            Self::Exponential { mean, .. } => mean,
            Self::HeavyTail { least, .. } => least,
        })
    }
}

impl Default for Delay {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Duration> for Delay {
    fn from(delay: Duration) -> Self {
        Self::Constant(delay)
    }
}

impl From<std::ops::RangeInclusive<Duration>> for Delay {
    fn from(range: std::ops::RangeInclusive<Duration>) -> Self {
        Self::Uniform { low: *range.start(), high: *range.end() }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a delay off by 2^-53 of itself is still a delay")]
fn real(us: u64) -> f64 {
    us as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and what is drawn is not negative"
)]
fn whole(us: f64) -> u64 {
    us as u64
}

/// The natural logarithm of a number in (0, 1], to 1e-11, by additions, multiplications and
/// divisions only: these are exact to the last bit by IEEE 754, hence equal on every machine.
fn ln(x: f64) -> f64 {
    const MANTISSA_BITS: u32 = 52;
    const EXPONENT_BIAS_COUNT: u64 = 1023;
    let bits = x.to_bits();
    let mantissa =
        f64::from_bits(bits & ((1 << MANTISSA_BITS) - 1) | EXPONENT_BIAS_COUNT << MANTISSA_BITS);
    let halvings = EXPONENT_BIAS_COUNT.saturating_sub(bits >> MANTISSA_BITS);
    // ln m = 2 artanh((m − 1) / (m + 1)), whose series in z ≤ 1/3 gains a digit a term.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let (square, mut power, mut sum) = (z * z, z, 0.0);
    for odd in (1..=21).step_by(2) {
        sum += power / f64::from(odd);
        power *= square;
    }
    2.0 * sum - real(halvings) * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_says_what_most_are_no_longer_than() {
        let us = Duration::from_micros;
        let delays = [
            Delay::Constant(us(7)),
            Delay::Uniform { low: us(1), high: us(8) },
            Delay::Exponential { mean: us(9), cap: us(90) },
            Delay::HeavyTail { least: us(10), cap: us(99) },
        ];
        assert_eq!(delays.map(|delay| delay.typical_us()), [7, 8, 9, 10]);
    }

    #[test]
    fn the_logarithm_is_one() {
        for x in [1.0, 0.999, 0.5, 0.3, 1e-3, 1e-9, f64::EPSILON] {
            assert!((ln(x) - x.ln()).abs() < 1e-10, "ln {x}: {} for {}", ln(x), x.ln());
        }
    }
}
