//! Duplicates of calls that have no slot: a sliding window over their counter.
//!
//! RFC 9147, section 4.5.1 (DTLS 1.3 anti-replay), without the cryptography.

use crate::ids::Sequence;

/// The last 64 sequences seen.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Window {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

/// Sequences the window reaches back.
const WINDOW_BITS: u64 = 64;

impl Window {
    /// Whether [`Window::accept`] would say yes.
    pub(crate) const fn would_accept(&self, sequence: Sequence) -> bool {
        let mut copy = *self;
        copy.accept(sequence)
    }

    /// Whether `sequence` is neither a duplicate nor too old to tell; takes note of it.
    pub(crate) const fn accept(&mut self, sequence: Sequence) -> bool {
        let sequence = sequence.0;
        if sequence == 0 {
            return false;
        }
        if sequence > self.highest {
            let ahead = sequence - self.highest;
            self.seen = if ahead >= WINDOW_BITS { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.highest = sequence;
            return true;
        }
        let behind = self.highest - sequence;
        if behind >= WINDOW_BITS || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_sequence_once_in_any_order_and_drops_what_is_too_old() {
        let mut window = Window::default();
        for sequence in [1, 3, 2, 70, 68, 7] {
            assert!(window.accept(Sequence(sequence)), "{sequence}");
            assert!(!window.accept(Sequence(sequence)), "{sequence} again");
        }
        assert!(!window.accept(Sequence(6)), "64 behind");
        assert!(!window.accept(Sequence(0)));
        assert!(window.accept(Sequence(u64::MAX)));
        assert!(!window.accept(Sequence(70)));
    }
}
