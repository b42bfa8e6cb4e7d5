//! Randomness as an input: a small trait over `u64`.
//!
//! Knows how to turn 64 random bits into what the core needs; does not know any source of entropy.
//! Implemented by ChaCha in the simulator and by the system's generator in the reactor.

use std::fmt;

use crate::time::Duration;

/// A source of random bits, given to the core by its driver.
pub trait Rng: Send + fmt::Debug {
    /// The next 64 bits.
    fn next_u64(&mut self) -> u64;

    /// 64 bits that are not all zero: zero stands for "none" on the wire.
    fn next_nonzero(&mut self) -> u64 {
        loop {
            let bits = self.next_u64();
            if bits != 0 {
                return bits;
            }
        }
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0. Lemire's multiply-shift, biased by at most
    /// bound / 2^64.
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a 128-bit product fits 64 bits")
    }

    /// True with probability `p`, exact to 2^-53.
    fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `low..=high`.
    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX - 1);
        low + Duration::from_nanos(self.below(span + 1))
    }

    /// A generator that goes on as this one will, if one can be made: for machines whose states are
    /// explored, which are cloned with it.
    #[cfg(feature = "model")]
    fn fork(&self) -> Option<Box<dyn Rng>> {
        None
    }

    /// Where the generator stands: two that stand alike go on alike.
    #[cfg(feature = "model")]
    fn position(&self) -> u64 {
        0
    }
}

/// Numbers that tell things apart, and cost less than as many draws: one is drawn for [`OF_ONE_DRAW_COUNT`] of them.
/// They are no secrets: whoever has seen one may know the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distinct {
    position: u64,
    given: u32,
}

/// So many numbers begin with one draw. Not more, so that two processes that were one do not go on alike for
/// long, whatever the generator holds for both.
const OF_ONE_DRAW_COUNT: u32 = 8;

impl Distinct {
    /// The next one.
    pub(crate) fn next(&mut self, rng: &mut dyn Rng) -> u64 {
        if self.given.is_multiple_of(OF_ONE_DRAW_COUNT) {
            (self.position, self.given) = (rng.next_u64(), 0);
        }
        self.given += 1;
        self.position = self.position.wrapping_add(STEP_BITS);
        scattered(self.position)
    }

    /// Where they stand.
    #[cfg(feature = "model")]
    pub(crate) const fn position(&self) -> (u64, u32) {
        (self.position, self.given)
    }
}

/// The odd number nearest to 2^64 divided by the golden ratio.
pub(crate) const STEP_BITS: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters numbers that lie close together; different ones stay different. SplitMix64 (Steele, Lea & Flood,
/// OOPSLA 2014).
pub(crate) const fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(feature = "model")]
impl Clone for Box<dyn Rng> {
    /// # Panics
    ///
    /// The generator cannot be forked.
    fn clone(&self) -> Self {
        (**self).fork().expect("an explored machine has a generator that can be forked")
    }
}

impl Rng for Box<dyn Rng> {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Debug)]
    struct Draws(u64);

    impl Rng for Draws {
        fn next_u64(&mut self) -> u64 {
            self.0 += 1;
            self.0
        }
    }

    #[test]
    fn numbers_differ_and_few_are_drawn() {
        let (mut numbers, mut draws) = (Distinct::default(), Draws(0));
        let seen: BTreeSet<u64> = (0..3_200).map(|_| numbers.next(&mut draws)).collect();
        assert_eq!((seen.len(), draws.0), (3_200, 400));
    }

    #[test]
    fn two_that_were_one_part_soon() {
        let (mut one, mut draws) = (Distinct::default(), Draws(0));
        one.next(&mut draws);
        let (mut other, mut others) = (one.clone(), Draws(1_000));
        let alike = |_: &u32| one.next(&mut draws) == other.next(&mut others);
        assert_eq!((0..100).filter(alike).count(), 7);
    }
}
