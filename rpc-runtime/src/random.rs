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
