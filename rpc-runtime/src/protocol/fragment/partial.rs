//! The receiving side of large messages: half-received ones, bounded in number and bytes.
//!
//! Knows no PDU and no slot. One message a lane; what may not mix has another [`Name`].

use std::collections::BTreeMap;

use super::spare::SpareBuffers;
use super::{Lane, WINDOW_FRAGMENTS_MAX};
use crate::address::Host;
use crate::ids::{Sequence, SessionId, Space};
use crate::protocol::Limits;
use crate::time::{Duration, Instant};
use crate::wire::Ack;

/// What must have come of a message for each second since its beginning, where room is short.
const PROGRESS_PER_SECOND_BYTES: u64 = 16 << 10;

/// How often all half-received messages are looked at because room is short.
const CLEAR_EVERY: Duration = Duration::from_millis(50);

/// Which message of a lane a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) sequence: Sequence,
    /// Of replies: which execution.
    pub(crate) attempt: u32,
    /// Of requests the digest, of replies the status.
    pub(crate) digest: u64,
    pub(crate) fragments: u16,
}

impl Name {
    /// Whether it replaces another one of its lane: a later message, a later execution, or the same
    /// message cut finer, because the path does not carry the longer fragments any more. What remains
    /// of a coarser cut comes too late.
    fn takes_the_place_of(self, other: Self) -> bool {
        let (new, old) = ((self.sequence, self.attempt), (other.sequence, other.attempt));
        new > old || (new == old && self.digest == other.digest && self.fragments > other.fragments)
    }
}

/// What may be taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes that a fragment is counted for, at the least.
    pub(crate) each_bytes: usize,
    /// Who sends.
    pub(crate) host: Host,
    /// What else counts against the bytes: of that host, and of all.
    pub(crate) used_bytes: [usize; 2],
    /// Bytes in all.
    pub(crate) bytes_max: usize,
    pub(crate) session_bytes_max: usize,
    pub(crate) partials_max: usize,
    pub(crate) session_partials_max: usize,
    /// After how long without a fragment a message is dropped.
    pub(crate) idle: Duration,
}

/// What an ACK says of a message: how much has come without a gap, what behind it, and of which cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Has {
    pub(crate) cumulative: u16,
    pub(crate) bitmap: u64,
    pub(crate) fragments: u16,
}

impl Has {
    /// All of a message in so many fragments.
    pub(crate) const fn all(fragments: u16) -> Self {
        Self { cumulative: fragments, bitmap: 0, fragments }
    }

    /// What an ACK says.
    pub(crate) const fn said(ack: &Ack) -> Self {
        let Ack { cumulative, bitmap, fragments, .. } = *ack;
        Self { cumulative, bitmap, fragments }
    }

    /// Whether that is the whole message.
    pub(crate) const fn is_all(self) -> bool {
        self.cumulative == self.fragments
    }
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was missing, and others are.
    Kept,
    /// It had come before.
    Again,
    /// It was the last that was missing.
    Whole(Vec<u8>),
    /// It is of an earlier message, or does not fit the others.
    Dropped,
    /// It is beyond what an ACK can name: the sender must be told where this message stands, because it
    /// may have sent the rest to somebody else.
    Ahead,
    /// This session has no room now.
    SessionFull,
    /// Nobody has.
    Full,
}

/// Which fragments have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Received {
    /// All below have.
    cumulative: u16,
    /// Bit n: `cumulative + 1 + n` has.
    bitmap: u64,
}

impl Received {
    /// Whether a fragment is a new one within reach; takes note of it.
    fn accept(&mut self, fragment: u16) -> Taken {
        let Some(ahead) = fragment.checked_sub(self.cumulative) else { return Taken::Again };
        if ahead > WINDOW_FRAGMENTS_MAX {
            return Taken::Ahead;
        }
        if ahead > 0 {
            let bit = 1 << (ahead - 1);
            let again = self.bitmap & bit != 0;
            self.bitmap |= bit;
            return if again { Taken::Again } else { Taken::Kept };
        }
        let run = self.bitmap.trailing_ones();
        self.cumulative += 1 + u16::try_from(run).unwrap_or(0);
        self.bitmap = self.bitmap.checked_shr(run + 1).unwrap_or(0);
        Taken::Kept
    }
}

/// A half-received message.
#[derive(Clone, Debug)]
struct Partial {
    name: Name,
    received: Received,
    /// All fragments but the last, each in its place; as long as the furthest that has come.
    bytes: Vec<u8>,
    /// Of each fragment but the last; 0 before one has come.
    each_bytes: usize,
    last: Option<Vec<u8>>,
    /// Counted for the whole message, in the share of its host.
    reserved_bytes: usize,
    host: Host,
    began: Instant,
    heard: Instant,
    deadline: Instant,
}

impl Partial {
    fn take(&mut self, now: Instant, fragment: u16, bytes: &[u8]) -> Taken {
        let is_last = fragment + 1 == self.name.fragments;
        let fits = if is_last {
            !bytes.is_empty() && (self.each_bytes == 0 || bytes.len() <= self.each_bytes)
        } else {
            let as_others = self.each_bytes == 0 || bytes.len() == self.each_bytes;
            !bytes.is_empty() && as_others && self.last_fits(bytes.len())
        };
        if !fits {
            return Taken::Dropped;
        }
        let taken = self.received.accept(fragment);
        if taken != Taken::Kept {
            return taken;
        }
        self.heard = now;
        if is_last && self.is_whole() && self.bytes.len() == self.each_bytes * usize::from(fragment)
        {
            self.bytes.extend_from_slice(bytes);
            self.last = Some(Vec::new());
        } else if is_last {
            self.last = Some(bytes.to_vec());
        } else {
            self.each_bytes = bytes.len();
            self.put(usize::from(fragment) * bytes.len(), bytes);
        }
        taken
    }

    fn last_fits(&self, each_bytes: usize) -> bool {
        self.last.as_ref().is_none_or(|last| last.len() <= each_bytes)
    }

    /// Takes addresses for the whole message at once, so that it is never moved; they become memory as
    /// they are written to.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let whole = usize::from(self.name.fragments) * bytes.len();
        if self.bytes.is_empty() && self.bytes.capacity() < whole {
            self.bytes.reserve_exact(whole);
        }
        if at == self.bytes.len() {
            return self.bytes.extend_from_slice(bytes);
        }
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
    }

    const fn is_whole(&self) -> bool {
        self.received.cumulative >= self.name.fragments
    }

    fn is_over(&self, now: Instant, idle: Duration) -> bool {
        now >= self.deadline || now.since(self.heard) >= idle
    }

    /// Whether it gives way to others where room is short: it is over, or comes in so slowly that it
    /// may only be there to take room.
    fn gives_way(&self, now: Instant, idle: Duration) -> bool {
        let Received { cumulative, bitmap } = self.received;
        let come = u64::from(cumulative) + u64::from(bitmap.count_ones());
        let come_bytes = come * self.each_bytes as u64;
        let age = now.since(self.began);
        let is_slow = age >= idle && come_bytes < PROGRESS_PER_SECOND_BYTES * age.as_secs();
        is_slow || self.is_over(now, idle)
    }
}

/// What a host has of half-received messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    messages: usize,
    bytes: usize,
}

/// The half-received messages of an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partials {
    lanes: BTreeMap<Lane, Partial>,
    reserved_bytes: usize,
    /// None that holds nothing.
    hosts: BTreeMap<Host, Held>,
    /// When those of all hosts were last asked to give way.
    cleared: Instant,
    /// For messages that begin.
    pub(crate) spare: SpareBuffers,
}

impl Partials {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Nobody waits for any. Says how many there were.
    pub(crate) fn clear(&mut self) -> u64 {
        self.reserved_bytes = 0;
        self.hosts.clear();
        let count = self.lanes.len() as u64;
        self.lanes.clear();
        count
    }

    /// Bytes counted for them.
    pub(crate) const fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    /// Whether a message of a lane is half there.
    pub(crate) fn has(&self, lane: Lane, sequence: Sequence) -> bool {
        self.lanes.get(&lane).is_some_and(|partial| partial.name.sequence == sequence)
    }

    /// What an ACK says of a message in so many fragments.
    pub(crate) fn received(&self, lane: Lane, sequence: Sequence, fragments: u16) -> Has {
        let partial = self.lanes.get(&lane).filter(|partial| partial.name.sequence == sequence);
        partial.map_or(Has { cumulative: 0, bitmap: 0, fragments }, |partial| {
            let Received { cumulative, bitmap } = partial.received;
            Has { cumulative, bitmap, fragments: partial.name.fragments }
        })
    }

    /// Takes a fragment.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        lane: Lane,
        name: Name,
        (fragment, bytes): (u16, &[u8]),
        deadline: Instant,
        room: &Room,
    ) -> Taken {
        let reserved_bytes = usize::from(name.fragments) * bytes.len().max(room.each_bytes);
        if let Some(partial) = self.lanes.get(&lane)
            && partial.name != name
        {
            if !name.takes_the_place_of(partial.name) {
                return Taken::Dropped;
            }
            self.drop_lane(lane);
        }
        let held = self.lanes.get(&lane);
        // The last fragment may have come first, which may be shorter than the others.
        let grows = held.is_some_and(|partial| {
            partial.each_bytes == 0 && partial.reserved_bytes < reserved_bytes
        });
        if held.is_none() {
            let refused = self.begin(now, lane, (name, fragment), deadline, (reserved_bytes, room));
            if let Some(refused) = refused {
                return refused;
            }
        } else if grows && let Some(refused) = self.grow(now, lane, reserved_bytes, room) {
            return refused;
        }
        let Some(partial) = self.lanes.get_mut(&lane) else { return Taken::Dropped };
        let taken = partial.take(now, fragment, bytes);
        partial.deadline = partial.deadline.min(deadline);
        if !partial.is_whole() {
            return taken;
        }
        let Some(mut partial) = self.drop_lane(lane) else { return Taken::Dropped };
        let last = partial.last.unwrap_or_default();
        partial.bytes.reserve_exact(last.len());
        partial.bytes.extend_from_slice(&last);
        Taken::Whole(partial.bytes)
    }

    /// Begins a message, unless there is no room for all of it.
    fn begin(
        &mut self,
        now: Instant,
        lane: Lane,
        (name, fragment): (Name, u16),
        deadline: Instant,
        (reserved_bytes, room): (usize, &Room),
    ) -> Option<Taken> {
        if fragment > WINDOW_FRAGMENTS_MAX {
            return Some(Taken::Ahead);
        }
        if let Some(refused) = self.find_room(now, lane, reserved_bytes, room) {
            return Some(refused);
        }
        let partial = Partial {
            name,
            received: Received::default(),
            bytes: self.spare.take(reserved_bytes),
            each_bytes: 0,
            last: None,
            reserved_bytes,
            host: room.host,
            began: now,
            heard: now,
            deadline,
        };
        self.hold(lane, partial);
        None
    }

    /// Keeps a message, and counts it.
    fn hold(&mut self, lane: Lane, partial: Partial) {
        self.reserved_bytes += partial.reserved_bytes;
        let held = self.hosts.entry(partial.host).or_default();
        held.messages += 1;
        held.bytes += partial.reserved_bytes;
        self.lanes.insert(lane, partial);
    }

    /// Counts a message that has begun for what it turns out to take, unless there is no room for it: then
    /// it stays as it is, for what has come of it was acknowledged.
    fn grow(
        &mut self,
        now: Instant,
        lane: Lane,
        reserved_bytes: usize,
        room: &Room,
    ) -> Option<Taken> {
        let mut partial = self.drop_lane(lane)?;
        let refused = self.find_room(now, lane, reserved_bytes, room);
        if refused.is_none() {
            partial.reserved_bytes = reserved_bytes;
        }
        self.hold(lane, partial);
        refused
    }

    /// Looks for room for one more message; says who has none.
    fn find_room(
        &mut self,
        now: Instant,
        lane: Lane,
        reserved_bytes: usize,
        room: &Room,
    ) -> Option<Taken> {
        let all_full = |all: &Self| {
            let own = all.hosts.get(&room.host).copied().unwrap_or_default();
            let counts = [own.messages, all.lanes.len()];
            let bytes = [own.bytes, all.reserved_bytes, room.used_bytes[0], room.used_bytes[1]];
            !(Limits::fits(1, &counts, room.partials_max)
                && Limits::fits(reserved_bytes, &bytes, room.bytes_max))
        };
        let session_full = |all: &Self| {
            let (mut count, mut bytes) = (0, reserved_bytes);
            for (_, partial) in all.lanes.range(lanes_of(lane.session)) {
                count += 1;
                bytes += partial.reserved_bytes;
            }
            count >= room.session_partials_max || bytes > room.session_bytes_max
        };
        if session_full(self) {
            self.sweep_session(now, lane.session, room.idle);
            if session_full(self) {
                return Some(Taken::SessionFull);
            }
        }
        if all_full(self) {
            self.make_room(now, room.idle);
            if all_full(self) {
                return Some(Taken::Full);
            }
        }
        None
    }

    fn drop_lane(&mut self, lane: Lane) -> Option<Partial> {
        let partial = self.lanes.remove(&lane)?;
        self.reserved_bytes -= partial.reserved_bytes;
        if let Some(held) = self.hosts.get_mut(&partial.host) {
            held.messages -= 1;
            held.bytes -= partial.reserved_bytes;
            if held.messages == 0 {
                self.hosts.remove(&partial.host);
            }
        }
        Some(partial)
    }

    /// A lane's message is not wanted any more. Says whether there was one.
    pub(crate) fn forget(&mut self, lane: Lane) -> bool {
        self.drop_lane(lane).is_some()
    }

    /// A session is gone. Says how many messages were.
    pub(crate) fn forget_session(&mut self, session: SessionId) -> u64 {
        self.forget_where(lanes_of(session), |_| true)
    }

    fn sweep_session(&mut self, now: Instant, session: SessionId, idle: Duration) {
        self.forget_where(lanes_of(session), |partial| partial.gives_way(now, idle));
    }

    /// Room is short: what gives way goes. All are looked at, so that this is not done often.
    fn make_room(&mut self, now: Instant, idle: Duration) {
        if now >= self.cleared + CLEAR_EVERY {
            self.cleared = now;
            self.forget_where(.., |partial| partial.gives_way(now, idle));
        }
    }

    fn forget_where(
        &mut self,
        lanes: impl std::ops::RangeBounds<Lane>,
        goes: impl Fn(&Partial) -> bool,
    ) -> u64 {
        if self.lanes.is_empty() {
            return 0;
        }
        let range = self.lanes.range(lanes);
        let gone: Vec<Lane> =
            range.filter(|(_, partial)| goes(partial)).map(|(lane, _)| *lane).collect();
        for &lane in &gone {
            self.drop_lane(lane);
        }
        gone.len() as u64
    }

    /// Drops what is over; says how many that were, and when the next will be.
    pub(crate) fn sweep(&mut self, now: Instant, idle: Duration) -> (u64, Option<Instant>) {
        let gone = self.forget_where(.., |partial| partial.is_over(now, idle));
        let due = self.lanes.values().map(|partial| partial.deadline.min(partial.heard + idle));
        (gone, due.min())
    }

    /// What decides about the next steps, for a model checker.
    #[cfg(feature = "model")]
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&Lane, u16, u64)> {
        self.lanes.iter().map(|(lane, partial)| {
            let Received { cumulative, bitmap } = partial.received;
            (lane, cumulative, bitmap)
        })
    }
}

/// All lanes of a session.
const fn lanes_of(session: SessionId) -> std::ops::RangeInclusive<Lane> {
    let first = Lane { session, space: Space::Session, number: 0 };
    first..=Lane { session, space: Space::Maybe, number: u64::MAX }
}
