//! Damage that a checksum must find: one to three flipped bits, or one burst of at most 32.
//!
//! CRC-32 (IEEE 802.3) has Hamming distance 4 up to 91,607 bits, and finds every burst no longer
//! than itself (Peterson & Brown 1961; Koopman 2002). So such damage inside a PDU never passes;
//! arbitrary damage, a burst across the edge of the field that holds the CRC, or damage to the
//! length that says how far the CRC reaches, passes once in 2^32.

use crate::random::Rng;

/// Which bits of a datagram are flipped, numbered from the least significant of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One to three bits; unused places repeat the first, and `count` says how many are meant.
    Flips {
        /// The bits.
        bits: [u32; 3],
        /// How many of them.
        count: u8,
    },
    /// The bits of `mask`, of which the lowest, always set, stands at `first`.
    Burst {
        /// The first bit.
        first: u32,
        /// Which of this and the 31 bits behind it are flipped; those past the end are left out.
        mask: u32,
    },
}

impl Damage {
    /// Draws damage to a datagram of `bytes` bytes; none if there is nothing to damage.
    #[must_use]
    pub fn draw(bytes: usize, rng: &mut dyn Rng) -> Option<Self> {
        let bits = u32::try_from(bytes).ok()?.checked_mul(8).filter(|bits| *bits > 0)?;
        let mut draw = || u32::try_from(rng.below(u64::from(bits))).expect("below a 32-bit bound");
        let first = draw();
        let second = another(&[first], &mut draw);
        let third = another(&[first, second], &mut draw);
        Some(match rng.below(4) {
            0 => Self::Flips { bits: [first; 3], count: 1 },
            1 => Self::Flips { bits: [first, second, first], count: 2 },
            2 => Self::Flips { bits: [first, second, third], count: 3 },
            _ => {
                let mask = rng.next_u64() >> 32 | 1;
                Self::Burst { first, mask: u32::try_from(mask).expect("32 bits") }
            }
        })
    }

    /// Flips the bits. Bits past the end of `datagram` are left out.
    pub fn apply(&self, datagram: &mut [u8]) {
        match *self {
            Self::Flips { bits, count } => {
                bits.iter().take(usize::from(count)).for_each(|bit| flip(datagram, *bit));
            }
            Self::Burst { first, mask } => {
                let set = (0..u32::BITS).filter(|place| mask >> place & 1 == 1);
                set.for_each(|place| flip(datagram, first.saturating_add(place)));
            }
        }
    }
}

/// A bit that is not among `taken`: two flips of one bit would be none. Every byte has eight.
fn another(taken: &[u32], draw: &mut impl FnMut() -> u32) -> u32 {
    loop {
        let bit = draw();
        if !taken.contains(&bit) {
            return bit;
        }
    }
}

fn flip(datagram: &mut [u8], bit: u32) {
    let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    if let Some(byte) = datagram.get_mut(place) {
        *byte ^= 1 << (bit % 8);
    }
}
