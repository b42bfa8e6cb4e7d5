//! Generators of the real world: the system's entropy, and a seeded one for injected faults.
//!
//! Responsible for handing out the system's random bytes eight at a time; does not know what they
//! are for. Bytes are fetched in blocks, so that a draw is seldom a system call.

use std::fmt;

use crate::random::{Rng, STEP_BITS, scattered};

/// Bytes fetched from the system at once: few, because a process that is cloned has them twice.
const BLOCK_BYTES: usize = 32;

/// A generator over the system's entropy.
pub struct SystemRng {
    block: [u8; BLOCK_BYTES],
    used: usize,
}

impl SystemRng {
    /// A generator that has fetched nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: [0; BLOCK_BYTES], used: BLOCK_BYTES }
    }
}

impl Default for SystemRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for SystemRng {
    /// # Panics
    ///
    /// If the system has no entropy to give: nothing that is safe could be done without.
    fn next_u64(&mut self) -> u64 {
        if self.used == BLOCK_BYTES {
            getrandom::fill(&mut self.block).expect("the system gives random bytes");
            self.used = 0;
        }
        let unused = &mut self.block[self.used..];
        let (drawn, _) = unused.split_first_chunk_mut::<8>().expect("a block is whole draws");
        let bits = u64::from_le_bytes(*drawn);
        *drawn = [0; 8]; // what was handed out is nobody else's to read
        self.used += 8;
        bits
    }
}

impl fmt::Debug for SystemRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemRng").finish_non_exhaustive() // the bits are secret
    }
}

/// A small generator whose seed says everything: SplitMix64 (Steele, Lea & Flood, OOPSLA 2014). For
/// faults that are to be repeated, not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix {
    state: u64,
}

impl SplitMix {
    /// The generator of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Rng for SplitMix {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP_BITS);
        scattered(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything() {
        // The reference implementation's first outputs for the seed 1234567.
        let mut rng = SplitMix::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_differ_within_a_block_and_across_blocks() {
        let mut rng = SystemRng::new();
        let mut drawn: Vec<u64> = (0..100).map(|_| rng.next_u64()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 100);
    }
}
