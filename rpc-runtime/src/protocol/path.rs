//! What an address says of the way to it: how much leaves at once.
//!
//! Datagrams are as long as every path carries them until it was probed (`client/size.rs`,
//! `server/size.rs`); streams are cut by nobody.

use crate::address::Address;
use crate::wire::{DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX, HEADER_BYTES, Reply, Request};

/// The longest write to a stream, in bytes: a frame that a segment of the longest TCP has room for, beside
/// the headers of IPv6, TCP and its options. What is longer leaves a crumb behind, which is a segment of its
/// own.
const WRITE_BYTES: usize = FRAME_BYTES_MAX - 128;

/// The longest datagram, or write to a stream, that goes to an address of which nothing else is known,
/// in bytes.
pub(crate) const fn datagram_bytes(to: Address) -> usize {
    match to {
        Address::Ip(_) | Address::Virtual(_) => DATAGRAM_BYTES_MAX,
        Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => WRITE_BYTES,
    }
}

/// Lengths of datagrams that a path is probed for, in bytes: Ethernet's, that of its jumbo frames, and
/// that of the interface by which a machine talks to itself, each less 48 for IPv6 and UDP.
pub(crate) const PROBED_BYTES: [usize; 3] = [1_500 - 48, 9_000 - 48, 65_536 - 48];

/// The longest datagram that is ever sent, in bytes.
pub(crate) const LONGEST_DATAGRAM_BYTES: usize = PROBED_BYTES[PROBED_BYTES.len() - 1];

/// The longest datagram that may go to an address once its path was probed, where `limit_bytes` is the
/// most that either side takes.
pub(crate) fn probed_bytes_max(to: Address, limit_bytes: usize) -> usize {
    match to {
        Address::Ip(_) | Address::Virtual(_) => {
            limit_bytes.clamp(DATAGRAM_BYTES_MAX, LONGEST_DATAGRAM_BYTES)
        }
        Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => WRITE_BYTES,
    }
}

/// Once a datagram is so long, no other PDU joins it, in bytes: in a stream less than there might be, so
/// that its reader is at work on the first calls while the next are written. The more calls are under way,
/// the more that is: what a system call costs is shared by them.
pub(crate) fn gathered_bytes(to: Address, under_way: usize) -> usize {
    match to {
        Address::Ip(_) | Address::Virtual(_) => DATAGRAM_BYTES_MAX,
        Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => under_way
            .saturating_mul(GATHERED_EACH_BYTES)
            .clamp(STREAM_GATHERED_BYTES_MIN, STREAM_GATHERED_BYTES_MAX),
    }
}

/// So many datagrams are gathered for one system call, by how many calls are under way, as of a stream's
/// bytes; of a stream one write.
pub(crate) fn gathered_datagrams(to: Address, under_way: usize) -> usize {
    match to {
        Address::Ip(_) => {
            (under_way / UNDER_WAY_PER_DATAGRAM_COUNT).clamp(1, GATHERED_DATAGRAMS_MAX)
        }
        Address::Virtual(_) | Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => 1,
    }
}

/// Twice as many as small ones fit in, about: the half of what is under way is on its way then.
const UNDER_WAY_PER_DATAGRAM_COUNT: usize = 20;
const GATHERED_DATAGRAMS_MAX: usize = 16;

const STREAM_GATHERED_BYTES_MIN: usize = 4 * 1024;
const STREAM_GATHERED_BYTES_MAX: usize = 56 * 1024;

/// A small part of what the calls are long, so that there is always some on its way.
const GATHERED_EACH_BYTES: usize = 56;

/// Whether what leaves for an address comes in order, or not at all.
pub(crate) const fn is_stream(to: Address) -> bool {
    match to {
        Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => true,
        Address::Ip(_) | Address::Virtual(_) => false,
    }
}

/// The longest argument bytes that one REQUEST to, or from, an address carries whatever the path.
pub(crate) const fn argument_bytes(address: Address) -> usize {
    argument_bytes_in(datagram_bytes(address))
}

/// The longest reply bytes that one REPLY to, or from, an address carries whatever the path.
pub(crate) const fn reply_bytes(address: Address) -> usize {
    reply_bytes_in(datagram_bytes(address))
}

/// The longest argument bytes of a REQUEST in a datagram of this length.
pub(crate) const fn argument_bytes_in(datagram_bytes: usize) -> usize {
    datagram_bytes - HEADER_BYTES - Request::LEN
}

/// The longest reply bytes of a REPLY in a datagram of this length.
pub(crate) const fn reply_bytes_in(datagram_bytes: usize) -> usize {
    datagram_bytes - HEADER_BYTES - Reply::LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_small_calls_hardly_more_than_the_half_is_gathered() {
        let host = Address::Ip(([127, 0, 0, 1], 1).into());
        let small = DATAGRAM_BYTES_MAX / (HEADER_BYTES + Request::LEN + 64);
        for under_way in 2 * small..16 * small {
            let gathered = gathered_datagrams(host, under_way) * small;
            assert!(gathered * 5 <= under_way * 3, "{gathered} of {under_way}");
            assert!(gathered * 5 >= under_way, "{gathered} of {under_way}");
        }
        assert_eq!(gathered_datagrams(host, 0), 1, "what is alone waits for one datagram only");
        assert_eq!(gathered_datagrams(host, usize::MAX), GATHERED_DATAGRAMS_MAX);
        assert_eq!(gathered_datagrams(Address::Local(1), usize::MAX), 1);
    }

    #[test]
    fn a_path_is_probed_for_what_both_sides_take_and_a_stream_never() {
        let there = Address::Virtual(1);
        assert_eq!(probed_bytes_max(there, 0), DATAGRAM_BYTES_MAX);
        assert_eq!(probed_bytes_max(there, 9_000), 9_000);
        assert_eq!(probed_bytes_max(there, usize::MAX), LONGEST_DATAGRAM_BYTES);
        let stream = Address::Local(1);
        assert_eq!(probed_bytes_max(stream, usize::MAX), datagram_bytes(stream));
    }
}
