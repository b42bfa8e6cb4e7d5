//! The simulator's randomness: one seed, a stream of its own for every purpose.
//!
//! Streams never touch, so that drawing once more in one place moves nothing elsewhere, and a
//! failing seed stays failing while its test is being changed. ChaCha with 8 rounds: fast, and its
//! values are fixed by specification (RFC 8439 with fewer rounds), not by a library's version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::random::Rng;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What the network does to datagrams.
    Network,
    /// What a process draws: identifiers, jitter.
    Host,
    /// What a test draws: what to call, what to crash, when.
    Scenario,
    /// What a disk keeps at a crash.
    Disk,
}

/// A generator whose values follow from a seed, a purpose and a number.
#[derive(Clone, Debug)]
pub struct SimRng {
    chacha: ChaCha8Rng,
}

impl SimRng {
    /// The `index`th stream for `purpose` of this seed.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        const PURPOSE_SHIFT: u32 = 56;
        let mut key = [0; 32];
        let mut state = seed;
        for word in key.chunks_exact_mut(8) {
            word.copy_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        let mut chacha = ChaCha8Rng::from_seed(key);
        let purpose: u64 = match purpose {
            Purpose::Network => 1,
            Purpose::Host => 2,
            Purpose::Scenario => 3,
            Purpose::Disk => 4,
        };
        chacha.set_stream(purpose << PURPOSE_SHIFT | index);
        Self { chacha }
    }
}

impl Rng for SimRng {
    fn next_u64(&mut self) -> u64 {
        self.chacha.next_u64()
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014): spreads a small seed over a key.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_number_and_by_nothing_else() {
        let first = |seed, purpose, index| SimRng::new(seed, purpose, index).next_u64();
        assert_eq!(first(1, Purpose::Host, 2), first(1, Purpose::Host, 2));
        assert_ne!(first(1, Purpose::Host, 2), first(2, Purpose::Host, 2));
        assert_ne!(first(1, Purpose::Host, 2), first(1, Purpose::Network, 2));
        assert_ne!(first(1, Purpose::Host, 2), first(1, Purpose::Host, 3));
    }
}
