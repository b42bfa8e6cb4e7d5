//! Two rings of datagrams in memory that two processes share: one that writes and one that reads each.
//!
//! A ring is so many bytes, a power of two. A *tail*, which its writer moves, and a *head*, which its
//! reader moves, count the bytes that were ever written and read, from zero and round 2^32; what lies in
//! between is unread. A record is eight bytes that say how long its datagram is, the datagram, and what
//! fills it up to a multiple of eight. It lies in one piece: where the ring's end is too near, a record
//! without a datagram fills it up.
//!
//! The other side is trusted in nothing. Each side knows its own counts by heart and never reads back what
//! it wrote, checks what it reads of the other's, and looks at nothing that it has not copied out before.
//! A count or length that cannot be is [`Hostile`]. Everything is atomic, so that a peer that writes where
//! and while it should not changes what is read and does no other harm. There is no lock, so that nobody
//! dies with one.
//!
//! An empty ring is begun anew from its start, so that a few pages serve as long as its reader keeps up: the
//! *origin* is the tail at which its writer did so last. Nothing is unread then, so the whole ring is room
//! for what comes next.
//!
//! Where the words lie, and what wakes a reader that sleeps, is the owner's. FastForward and its kin:
//! Giacomoni et al., 2008; Lamport, 1983, for the two counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// The longest datagram.
pub(super) const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// In front of each datagram, and what each begins at a multiple of.
const STEP_BYTES: usize = 8;

/// In place of a length: the next record lies at the ring's start.
const SKIP: u64 = u64::MAX;

/// From where on an empty ring is begun anew.
const FRESH_BYTES: u32 = 2_048;

/// Words between those of one owner and the next, which are so in different lines of the cache.
const LINE_WORDS: usize = 32;

/// How many words there are.
pub(super) const WORDS: usize = 4 * LINE_WORDS;

/// The peer wrote what no peer of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hostile;

/// One of the two who share the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Who calls, and has made them.
    Caller,
    /// Who is called.
    Called,
}

/// The words that a side has for itself: the other reads them, and changes those that wake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'m> {
    /// Bytes ever written to the ring that it writes.
    tail: &'m AtomicU32,
    /// The tail when that ring was begun anew last.
    origin: &'m AtomicU32,
    /// Whether it wants to know when that ring is emptier.
    pub(super) wants_room: &'m AtomicU32,
    /// Bytes ever read of the ring that it reads.
    head: &'m AtomicU32,
    /// How it is to be woken when there is something to read.
    pub(super) asleep: &'m AtomicU32,
}

/// The rings as one side has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rings<'m> {
    pub(super) ours: Words<'m>,
    pub(super) theirs: Words<'m>,
    to_write: &'m [AtomicU64],
    to_read: &'m [AtomicU64],
}

impl<'m> Rings<'m> {
    /// The rings in that memory, which each side sees at places of its own.
    pub(super) fn of(side: Side, words: &'m [AtomicU32], bytes: &'m [AtomicU64]) -> Self {
        let (first, second) = words[..WORDS].split_at(WORDS / 2);
        let (caller, called) = (Words::at(first), Words::at(second));
        let (calls, answers) = bytes.split_at(bytes.len() / 2);
        assert!(calls.len().is_power_of_two() && calls.len() == answers.len(), "two alike");
        match side {
            Side::Caller => {
                Self { ours: caller, theirs: called, to_write: calls, to_read: answers }
            }
            Side::Called => {
                Self { ours: called, theirs: caller, to_write: answers, to_read: calls }
            }
        }
    }
}

impl<'m> Words<'m> {
    fn at(words: &'m [AtomicU32]) -> Self {
        let (writes, reads) = words.split_at(LINE_WORDS);
        let [tail, wants_room, origin] = [&writes[0], &writes[1], &writes[2]];
        Self { tail, origin, wants_room, head: &reads[0], asleep: &reads[1] }
    }
}

/// How many bytes a ring has, as its counts do.
fn bytes_of(ring: &[AtomicU64]) -> u32 {
    u32::try_from(ring.len() * STEP_BYTES).expect("rings are short of 4 GiB")
}

/// How many bytes a datagram takes.
fn record_bytes(len: usize) -> u32 {
    u32::try_from(STEP_BYTES + len.next_multiple_of(STEP_BYTES)).unwrap_or(u32::MAX)
}

/// Where in the ring a count is, of one that was begun anew at `origin`.
const fn offset(count: u32, origin: u32, ring_bytes: u32) -> u32 {
    count.wrapping_sub(origin) & (ring_bytes - 1)
}

const fn index(offset: u32) -> usize {
    offset as usize / STEP_BYTES
}

/// What a writer knows by heart.
#[derive(Debug, Default)]
pub(super) struct Writer {
    tail: u32,
    /// The tail when the ring was begun anew last.
    origin: u32,
    /// The head when it was last looked at.
    head: u32,
}

impl Writer {
    /// How much is unread.
    ///
    /// # Errors
    ///
    /// The reader claims to have read what it cannot have.
    pub(super) fn unread(&mut self, rings: &Rings<'_>) -> Result<u32, Hostile> {
        let head = rings.theirs.head.load(Ordering::Acquire);
        let (read, written) = (head.wrapping_sub(self.head), self.tail.wrapping_sub(self.head));
        if read > written || !(head as usize).is_multiple_of(STEP_BYTES) {
            return Err(Hostile);
        }
        self.head = head;
        Ok(written - read)
    }

    /// How much was read when that was last looked at.
    pub(super) const fn ever_read(&self) -> u32 {
        self.head
    }

    /// Writes a datagram, if there is room for it; says whether there was.
    ///
    /// # Errors
    ///
    /// As [`Writer::unread`].
    pub(super) fn write(&mut self, rings: &Rings<'_>, datagram: &[u8]) -> Result<bool, Hostile> {
        debug_assert!((1..=DATAGRAM_BYTES_MAX).contains(&datagram.len()), "checked by the link");
        let ring = rings.to_write;
        let (ring_bytes, unread) = (bytes_of(ring), self.unread(rings)?);
        let (needed, room) = (record_bytes(datagram.len()), ring_bytes - unread);
        if unread == 0 && offset(self.tail, self.origin, ring_bytes) >= FRESH_BYTES {
            // The reader looks at it when there is something to be read, which is not before the tail moves.
            self.origin = self.tail;
            rings.ours.origin.store(self.origin, Ordering::Relaxed);
        }
        let at = offset(self.tail, self.origin, ring_bytes);
        let to_end = ring_bytes - at;
        let skipped = if needed > to_end { to_end } else { 0 };
        if room < needed.saturating_add(skipped) {
            return Ok(false);
        }
        let mut tail = self.tail;
        if skipped > 0 {
            ring[index(at)].store(SKIP, Ordering::Relaxed);
            tail = tail.wrapping_add(skipped);
        }
        let record = &ring[index(offset(tail, self.origin, ring_bytes))..][..index(needed)];
        copy_in(record, datagram);
        self.tail = tail.wrapping_add(needed);
        // Whoever sees the count sees what was written before it.
        rings.ours.tail.store(self.tail, Ordering::Release);
        Ok(true)
    }
}

fn copy_in(record: &[AtomicU64], datagram: &[u8]) {
    let (first, places) = record.split_first().expect("a record has a length");
    first.store(datagram.len() as u64, Ordering::Relaxed);
    let (whole, rest) = datagram.as_chunks::<STEP_BYTES>();
    for (place, bytes) in places.iter().zip(whole) {
        place.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; STEP_BYTES];
        last[..rest.len()].copy_from_slice(rest);
        places[whole.len()].store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }
}

/// What a reader knows by heart.
#[derive(Debug, Default)]
pub(super) struct Reader {
    head: u32,
}

impl Reader {
    /// Whether there is something to be read, be it nonsense.
    pub(super) fn has_news(&self, rings: &Rings<'_>) -> bool {
        rings.theirs.tail.load(Ordering::Acquire) != self.head
    }

    /// Copies as many datagrams as there are and find room, one behind the other; says how long they are
    /// together. One that is longer than the whole buffer is cut.
    ///
    /// # Errors
    ///
    /// The writer claims to have written what it cannot have. What came before is lost with it.
    pub(super) fn read(&mut self, rings: &Rings<'_>, buffer: &mut [u8]) -> Result<usize, Hostile> {
        let ring_bytes = bytes_of(rings.to_read);
        let tail = rings.theirs.tail.load(Ordering::Acquire);
        let mut unread = tail.wrapping_sub(self.head);
        if unread == 0 {
            return Ok(0);
        }
        // It stays as it is as long as anything is unread.
        let origin = rings.theirs.origin.load(Ordering::Relaxed);
        let is_whole = |count: u32| (count as usize).is_multiple_of(STEP_BYTES);
        if unread > ring_bytes || !is_whole(tail) || !is_whole(origin) {
            return Err(Hostile);
        }
        let mut filled = 0;
        while unread > 0 && filled < buffer.len() {
            let at = offset(self.head, origin, ring_bytes);
            let to_end = ring_bytes - at;
            let ring = &rings.to_read[index(at)..];
            let length = ring[0].load(Ordering::Relaxed); // once: it may be another the next time
            let (step, len) = if length == SKIP {
                (to_end, 0)
            } else {
                let len = usize::try_from(length).unwrap_or(usize::MAX);
                if !(1..=DATAGRAM_BYTES_MAX).contains(&len) {
                    return Err(Hostile);
                }
                (record_bytes(len), len)
            };
            if step > unread || step > to_end {
                return Err(Hostile);
            }
            if len > buffer.len() - filled && filled > 0 {
                break; // it comes first the next time
            }
            let len = len.min(buffer.len() - filled);
            copy_out(&ring[1..], &mut buffer[filled..filled + len]);
            filled += len;
            unread -= step;
            self.head = self.head.wrapping_add(step);
        }
        // Whoever sees the count may write over what was read before it.
        rings.ours.head.store(self.head, Ordering::Release);
        Ok(filled)
    }

    /// Whether the writer waits for room and there is: then it is to be woken, which the next to ask need
    /// not do. For after a read.
    pub(super) fn owes_room(&self, rings: &Rings<'_>) -> bool {
        // The order matters on both sides (Dekker): here the head before the look at who wants room, there
        // the wish before the look at the head. One of the two sees the other.
        fence(Ordering::SeqCst);
        if rings.theirs.wants_room.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let unread = rings.theirs.tail.load(Ordering::Relaxed).wrapping_sub(self.head);
        unread <= choked_bytes(rings.to_read)
            && rings.theirs.wants_room.swap(0, Ordering::Relaxed) != 0
    }
}

/// How much of what was written to a ring may be unread for its reader to be heard: who does not read
/// cannot ask for more.
fn choked_bytes(ring: &[AtomicU64]) -> u32 {
    bytes_of(ring) / 4
}

impl Writer {
    /// Whether so much is unread that the reader is not to be heard until it has read. Then it will wake
    /// this side.
    ///
    /// # Errors
    ///
    /// As [`Writer::unread`].
    pub(super) fn is_choked(&mut self, rings: &Rings<'_>) -> Result<bool, Hostile> {
        let enough = choked_bytes(rings.to_write);
        if self.unread(rings)? <= enough {
            return Ok(false);
        }
        rings.ours.wants_room.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst); // as in `owes_room`
        Ok(self.unread(rings)? > enough)
    }
}

fn copy_out(places: &[AtomicU64], buffer: &mut [u8]) {
    let (whole, rest) = buffer.as_chunks_mut::<STEP_BYTES>();
    for (place, bytes) in places.iter().zip(&mut *whole) {
        *bytes = place.load(Ordering::Relaxed).to_ne_bytes();
    }
    if !rest.is_empty() {
        let last = places[whole.len()].load(Ordering::Relaxed).to_ne_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[cfg(test)]
mod tests;
