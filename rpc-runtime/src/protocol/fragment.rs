//! Large messages over datagrams: a REQUEST or REPLY longer than one datagram travels in fragments.
//!
//! ```text
//!             sender                                        receiver
//!   bytes ─► Outgoing ── fragment i of n, (s, digest | attempt) ──► Partials ─► whole message
//!               ▲                                                       │        to the slot table
//!               └────────────── ACK(cumulative, bitmap) ◄───────────────┘
//! ```
//!
//! - A message of one datagram never comes here: it has no state, and no ACK of its own.
//! - *Receiver* ([`Partials`]): one half-received message in each lane (session, space, slot), named by
//!   sequence, digest (REQUEST) or attempt and status (REPLY), and count, all of which stand in each
//!   fragment. A higher name drops the lower one, any other name is dropped, so that no two messages
//!   ever mix (protocol tables, M1; C7 for two executions). One message cut anew, into more fragments
//!   because the longer ones did not come, takes the place of its coarser cut, and never the reverse. What is behind the bitmap's reach is
//!   dropped: memory grows with what has come, and room for the whole is counted from the start, so
//!   that what has begun can end. Fragments that are read together are answered with one ACK; over a
//!   stream, where none is lost on the way, only some are.
//! - The slot table sees a message once, when it is whole, as if it had come in one datagram: until
//!   then the call was not seen. PING on it is answered by ACK, SEAL frees it and promises (1b.9).
//! - *Sender* ([`Outgoing`]): *blast* keeps fragments under way, at most as far as the bitmap reaches, and
//!   all messages to one peer together a window ([`Way`]) that opens by slow start (ten fragments at
//!   first, RFC 6928) and is halved once a round trip in which something was lost (RFC 5681), unless it
//!   is little and the way is not full. Lost is what three later transmissions overtook, or any after a
//!   little more than a round trip (RFC 9002, section 6.1); exactly that is sent again. Bursts are spread
//!   over the round trip. Nothing overtakes the last that left: when nothing is heard for as long as an ACK
//!   takes, one fragment leaves once more, so that its ACK says what is missing (a tail loss probe, RFC 8985,
//!   section 7). When nothing is heard of that either for a retransmission time-out (RFC 6298) the
//!   window shrinks to one fragment. *Stop-and-wait* is the same with a window that stays at one.
//! - The bytes stay where they are, with the call or the stored reply; the sender only says which
//!   fragment is due. Whatever answers a call but ACK and UNSEEN says that its REQUEST is whole.
//! - A server sends one fragment of a reply until the client has acknowledged one from its address, so
//!   that nobody is made to send more than was asked for. It gives up after a few time-outs: the reply
//!   stays stored, and a duplicate or PING of the call lets it go on.
//! - *Length*: a message keeps the fragments that it began with, which are as long as the path was
//!   known to carry then (`client/size.rs`). When a few time-outs say that they are heard of no more
//!   ([`BLACK_HOLE_TRIES`]), it begins anew with shorter ones, and more of them ([`Cut::finer`]).
//! - A `maybe` message is sent once, without ACK, and is lost with any fragment; so it must fit one
//!   window.
//!
//! Knows neither PDUs nor slots: `client/fragments.rs` and `server/fragments.rs` do.

mod message;
mod outgoing;
mod partial;
mod spare;
mod way;

use std::ops::Range;

use crate::ids::{Sequence, SessionId, SlotIndex, Space};

pub(crate) use message::{Message, Part};
pub(crate) use outgoing::{Next, Outgoing};
pub(crate) use partial::{Has, Name, Partials, Room, Taken};
pub(crate) use way::Way;

/// How the fragments of a large message are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckProtocol {
    /// A window of fragments under way; what is lost is sent again, and no more.
    #[default]
    Blast,
    /// One fragment under way: the next leaves when it was acknowledged.
    StopAndWait,
}

/// Fragments that may be under way: as many as an ACK can name.
pub(crate) const WINDOW_FRAGMENTS_MAX: u16 = 64;

/// Where a half-received message, or one under way, belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    pub(crate) session: SessionId,
    pub(crate) space: Space,
    /// The slot; of `maybe` calls, which have none, the sequence.
    pub(crate) number: u64,
}

impl Lane {
    pub(crate) const fn new(session: SessionId, space: Space, slot: SlotIndex) -> Self {
        Self { session, space, number: slot.0 as u64 }
    }

    pub(crate) const fn maybe(session: SessionId, sequence: Sequence) -> Self {
        Self { session, space: Space::Maybe, number: sequence.0 }
    }
}

/// Time-outs, and questions after a message, without any progress, from which on its fragments are taken
/// to be too long for the path. RFC 8899, section 4.3.
pub(crate) const BLACK_HOLE_TRIES: u32 = 3;

/// Over a stream the fragments of a message are acknowledged in groups of so many; fewer that are left over
/// belong to the last group, so that the end of a message is acknowledged once.
const STREAM_ACK_FRAGMENTS: u16 = 8;

/// A message of so few fragments is one group: as many as the window on a stream takes.
const STREAM_WHOLE_FRAGMENTS: u16 = way::STREAM_WINDOW_FRAGMENTS;

/// How many fragments there are in the group that begins with this one of a message, if one does.
const fn stream_group(fragment: u16, fragments: u16) -> Option<u16> {
    let left = fragments.saturating_sub(fragment);
    let is_one = fragments <= STREAM_WHOLE_FRAGMENTS;
    let begins = fragment == 0
        || (!is_one
            && fragment.is_multiple_of(STREAM_ACK_FRAGMENTS)
            && left >= STREAM_ACK_FRAGMENTS);
    match begins {
        false => None,
        true if is_one || left < 2 * STREAM_ACK_FRAGMENTS => Some(left),
        true => Some(STREAM_ACK_FRAGMENTS),
    }
}

/// Whether a fragment that came by a stream needs no ACK of its own: nothing is missing before it, and
/// one soon behind it says the same.
pub(crate) const fn is_quiet(
    taken: &Taken,
    fragment: u16,
    Has { cumulative, bitmap, fragments }: Has,
) -> bool {
    let is_next = cumulative == fragment + 1 && bitmap == 0;
    matches!(taken, Taken::Kept) && is_next && stream_group(cumulative, fragments).is_none()
}

/// How a message is cut: bytes of each fragment but the last, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) each_bytes: usize,
    pub(crate) fragments: u16,
}

impl Cut {
    /// A message of `bytes` in fragments of at most `each_bytes`.
    pub(crate) fn of(bytes: usize, each_bytes: usize) -> Self {
        Self { each_bytes, fragments: fragments_of(bytes, each_bytes) }
    }

    /// The same message in fragments of at most `each_bytes`, which are more than there are now: by their
    /// number alone a receiver tells the two cuts apart, and takes the one that has more.
    pub(crate) fn finer(self, bytes: usize, mut each_bytes: usize) -> Self {
        loop {
            let cut = Self::of(bytes, each_bytes);
            if cut.fragments > self.fragments || each_bytes <= 1 {
                return cut;
            }
            each_bytes -= each_bytes.div_ceil(8);
        }
    }
}

/// Fragments of a message of `bytes` bytes, `each_bytes` in each: at least one.
pub(crate) fn fragments_of(bytes: usize, each_bytes: usize) -> u16 {
    u16::try_from(bytes.div_ceil(each_bytes).max(1)).expect("messages are limited")
}

/// A fragment's bytes.
pub(crate) fn fragment_at(bytes: &[u8], fragment: u16, each_bytes: usize) -> &[u8] {
    &bytes[place_of(bytes.len(), fragment, each_bytes)]
}

/// Where a fragment stands in a message of `bytes` bytes.
pub(crate) fn place_of(bytes: usize, fragment: u16, each_bytes: usize) -> Range<usize> {
    let from = (usize::from(fragment) * each_bytes).min(bytes);
    from..(from + each_bytes).min(bytes)
}

#[cfg(test)]
mod tests;
