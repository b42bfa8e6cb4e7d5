//! Large buffers on their way from one message to the next.
//!
//! Memory that is given back to the system after each large message, and taken anew for the next, costs
//! more than the message: each page of it is mapped, cleared and unmapped again. So a machine keeps a few.

/// Buffers kept, and the bytes of each, at the most.
const KEPT_MAX: usize = 2;
const KEPT_BYTES_MAX: usize = 4 << 20;

/// A few large buffers.
#[derive(Debug, Default)]
pub(crate) struct SpareBuffers {
    buffers: Vec<Vec<u8>>,
}

/// They stay behind.
impl Clone for SpareBuffers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl SpareBuffers {
    /// An empty buffer that holds so many bytes as it is, or one without any memory. One that holds more
    /// than twice as many is not lent: what is lent counts for what was asked for.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let fits =
            |buffer: &Vec<u8>| (bytes..=bytes.saturating_mul(2)).contains(&buffer.capacity());
        let fitting = self.buffers.iter().position(fits);
        fitting.map_or_else(Vec::new, |place| self.buffers.swap_remove(place))
    }

    /// Takes one back.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < KEPT_MAX && buffer.capacity() <= KEPT_BYTES_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Gives all back to the system.
    pub(crate) fn clear(&mut self) {
        self.buffers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_kept_and_lent_to_messages_that_fit() {
        let mut spare = SpareBuffers::default();
        assert_eq!(spare.take(1).capacity(), 0);
        spare.give(vec![1; 100_000]);
        spare.give(vec![1; 50_000]);
        spare.give(vec![1; 200_000]);
        assert_eq!(spare.take(150_000).capacity(), 0, "the third was one too many");
        assert_eq!(spare.take(2_000).capacity(), 0, "that would hold much more than it counts for");
        let lent = spare.take(60_000);
        assert!(lent.is_empty() && lent.capacity() >= 100_000);
        spare.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(spare.take(60_000).capacity(), 0, "too long to be kept");
        spare.clear();
        assert_eq!(spare.take(10).capacity(), 0);
    }
}
