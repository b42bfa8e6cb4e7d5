//! What messages of a campaign hold: bytes that follow from their call and their length, so that one byte
//! of another message, or in another place, is noticed at either end; and how many came whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::sim::checker::Fact;
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::time::Instant;

/// Spreads a number over its bits (SplitMix64's, by Steele, Lea & Flood 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many bytes stand in front of a reply's content: its call, and which execution it is of.
const REPLY_HEAD_BYTES: usize = 24;

fn words(key: u64, length: usize) -> impl Iterator<Item = [u8; 8]> {
    let start = mix(key ^ mix(length as u64));
    (0..length.div_ceil(8) as u64).map(move |place| mix(start.wrapping_add(place)).to_le_bytes())
}

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 31)).wrapping_mul(GOLDEN);
    value ^ (value >> 29)
}

/// Writes so many bytes that follow from `key`.
fn fill(key: u64, length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    words(key, length).for_each(|word| out.extend_from_slice(&word));
    out.truncate(end);
}

/// Whether these are the bytes that follow from `key`, and all of them.
fn is_whole(key: u64, bytes: &[u8]) -> bool {
    words(key, bytes.len()).zip(bytes.chunks(8)).all(|(word, came)| word.starts_with(came))
}

/// The arguments of a call, behind its number.
pub(super) fn arguments(call: u64, length: usize, out: &mut Vec<u8>) {
    fill(call, length, out);
}

/// The reply of an execution: so long that the arguments and `more` bytes would have room.
pub(super) fn reply(arguments: &[u8], execution: [u64; 2], more: usize, out: &mut Vec<u8>) {
    let call = number(arguments);
    let numbers = [call, execution[0], execution[1]];
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    fill(key(numbers), arguments.len().saturating_sub(8) + more, out);
}

const fn key([call, execution, salt]: [u64; 3]) -> u64 {
    mix(call) ^ mix(execution.wrapping_add(salt))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number))
}

/// The messages of a day that came to their ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    counts: Arc<Counts>,
    /// From so many bytes on a message is a large one.
    large_bytes: usize,
}

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    corrupted: AtomicU64,
}

impl Delivered {
    pub(super) fn new(large_bytes: usize) -> Self {
        Self { counts: Arc::default(), large_bytes }
    }

    /// Looks at the arguments that a handler was given.
    pub(super) fn request(&self, now: Instant, arguments: &[u8], journal: &Journal) {
        let call = number(arguments);
        let content = arguments.get(8..).unwrap_or_default();
        let is_whole = arguments.len() >= 8 && is_whole(call, content);
        self.count(arguments.len(), is_whole);
        if !is_whole {
            journal.note(now, Fact::Garbled { call, what: "arguments" });
        }
    }

    /// Looks at the reply that a caller was given.
    pub(super) fn reply(&self, now: Instant, call: u64, reply: &[u8], journal: &Journal) {
        let numbers = [0, 8, 16].map(|at| number(reply.get(at..).unwrap_or_default()));
        let content = reply.get(REPLY_HEAD_BYTES..);
        let is_whole =
            numbers[0] == call && content.is_some_and(|content| is_whole(key(numbers), content));
        self.count(reply.len(), is_whole);
        if !is_whole {
            journal.note(now, Fact::Garbled { call, what: "a reply" });
        }
    }

    fn count(&self, bytes: usize, is_whole: bool) {
        if !is_whole {
            self.counts.corrupted.fetch_add(1, Ordering::Relaxed);
        } else if bytes > self.large_bytes {
            self.counts.messages.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Large messages that came whole, and messages of any length that did not.
    pub(super) fn counts(&self) -> (u64, u64) {
        let Counts { messages, corrupted } = &*self.counts;
        (messages.load(Ordering::Relaxed), corrupted.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_another_and_a_piece_that_is_missing_are_noticed() {
        for length in [1, 7, 8, 9, 1_000, 10_001] {
            let mut bytes = Vec::new();
            fill(5, length, &mut bytes);
            assert_eq!(bytes.len(), length);
            assert!(is_whole(5, &bytes));
            assert!(!is_whole(5, &bytes[..length - 1]) || length == 1);
            assert!(length < 8 || !is_whole(6, &bytes));
            bytes[length / 2] ^= 1;
            assert!(!is_whole(5, &bytes));
        }
    }

    #[test]
    fn a_reply_is_of_its_call() {
        let journal = Journal::new(true);
        let (mut asked, mut replied) = (7_u64.to_le_bytes().to_vec(), Vec::new());
        arguments(7, 2_000, &mut asked);
        reply(&asked, [1, 99], 500, &mut replied);
        assert_eq!(replied.len(), asked.len() + 16 + 500);
        let delivered = Delivered::new(1_232);
        delivered.request(Instant::START, &asked, &journal);
        delivered.reply(Instant::START, 7, &replied, &journal);
        assert_eq!(delivered.counts(), (2, 0));
        delivered.reply(Instant::START, 8, &replied, &journal);
        delivered.reply(Instant::START, 7, &replied[..2_000], &journal);
        assert_eq!(delivered.counts(), (2, 2));
        assert_eq!(journal.finish(Instant::START).len(), 2);
    }
}
