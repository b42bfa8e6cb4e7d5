//! The header in front of every PDU, its checksum, and the two ways through it: `encode`, `decode`.

use super::{
    Ack, Alive, Bye, Cancel, Cookie, Extend, Goaway, Hello, Malformed, NoSession, Owner, Pdu, Ping,
    Probe, Probed, Refuse, Reject, Reply, Request, Seal, Sealed, Unseen, Welcome, Working,
};
use crate::ids::{Incarnation, SessionId, Space};

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u8 = 1;

/// Fixed header in front of every PDU, in bytes.
pub const HEADER_BYTES: usize = 32;

/// Largest datagram sent before the path was probed, in bytes. RFC 8200, section 5: every IPv6 link
/// carries packets of 1280 bytes; minus 40 for the IPv6 header and 8 for UDP.
pub const DATAGRAM_BYTES_MAX: usize = 1280 - 40 - 8;

/// Largest PDU, and largest write of several, in a stream, in bytes: enough that system calls cost
/// little beside the bytes, and little enough that small calls do not wait long behind it.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(HEADER_BYTES * 4 < DATAGRAM_BYTES_MAX, "headers stay under a quarter");

/// The bits of `flags` that name the slot space.
const SPACE_MASK: u16 = 0b11;

/// What the header says beside kind and length.
///
/// | offset | bytes | field         | unit |
/// |-------:|------:|---------------|------|
/// |      0 |     1 | `version`     |      |
/// |      1 |     1 | `kind`        |      |
/// |      2 |     2 | `flags`       | bits 0–1: slot space (0 session, 1 durable, 2 maybe); others 0 |
/// |      4 |     4 | `length`      | bytes of the body |
/// |      8 |     4 | `checksum`    | CRC-32 of header and body with this field 0 |
/// |     12 |     4 | `target`      | tag of the receiver's incarnation; 0 if unknown |
/// |     16 |     8 | `session`     | 0 if none |
/// |     24 |     8 | `incarnation` | the sender's |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The slot space that the PDU's slot and sequence belong to.
    pub space: Space,
    /// [`Incarnation::tag`] of the receiver's incarnation, 0 if the sender does not know it.
    pub target: u32,
    /// The session, if there is one.
    pub session: SessionId,
    /// The sender's incarnation.
    pub incarnation: Incarnation,
}

/// Lists every PDU once: kind, number, name in traces, and whether it borrows.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal $name:literal),* $(,)?) => {
        /// Which PDU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// As written in traces and in the protocol's description.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The kind of the PDU at the front of `datagram`, unchecked: for traces and faults.
            #[must_use]
            pub fn peek(datagram: &[u8]) -> Option<Self> {
                datagram.get(1).copied().and_then(Self::from_number)
            }

            pub(super) const fn number(self) -> u8 {
                match self { $(Self::$kind => $number,)* }
            }

            const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }
        }

        fn encode_body(pdu: &Pdu<'_>, out: &mut Vec<u8>) {
            match pdu { $(Pdu::$kind(body) => body.encode(out),)* }
        }

        fn decode_body(kind: Kind, body: &[u8]) -> Result<Pdu<'_>, Malformed> {
            Ok(match kind { $(Kind::$kind => Pdu::$kind($kind::decode(body)?),)* })
        }
    };
}

kinds! {
    /// Open or resume a session.
    Hello = 1 "HELLO",
    /// Prove your address first.
    Cookie = 2 "COOKIE",
    /// The session is open.
    Welcome = 3 "WELCOME",
    /// No session opens.
    Reject = 4 "REJECT",
    /// A call.
    Request = 5 "REQUEST",
    /// How the call ended.
    Reply = 6 "REPLY",
    /// The call was not run and never will be.
    Refuse = 7 "REFUSE",
    /// Received.
    Ack = 8 "ACK",
    /// Is my call alive?
    Ping = 9 "PING",
    /// It is at work.
    Working = 10 "WORKING",
    /// I never saw it.
    Unseen = 11 "UNSEEN",
    /// Quantum over: still wanted?
    Extend = 12 "EXTEND",
    /// Stop this call, or never begin it.
    Cancel = 13 "CANCEL",
    /// Answer, or promise never to run it.
    Seal = 14 "SEAL",
    /// Promised; or too old to know.
    Sealed = 15 "SEALED",
    /// I know no such session.
    NoSession = 16 "NOSESSION",
    /// Does the owner of this call live?
    Owner = 17 "OWNER",
    /// It does, or does not.
    Alive = 18 "ALIVE",
    /// Take new calls elsewhere.
    Goaway = 19 "GOAWAY",
    /// The session is closed.
    Bye = 20 "BYE",
    /// Does a datagram of this length come?
    Probe = 21 "PROBE",
    /// It did, and so does the answer.
    Probed = 22 "PROBED",
}

/// Appends one PDU, header and all, to `out`.
///
/// # Panics
///
/// The body is 4 GiB long; our own limits are far below.
pub fn encode(envelope: &Envelope, pdu: &Pdu<'_>, out: &mut Vec<u8>) {
    encode_by(&mut HeaderSum::default(), envelope, pdu, out);
}

/// As [`encode`], for who says much under one header.
///
/// # Panics
///
/// As [`encode`].
pub fn encode_by(sum: &mut HeaderSum, envelope: &Envelope, pdu: &Pdu<'_>, out: &mut Vec<u8>) {
    encode_as(sum, PROTOCOL_VERSION, envelope, pdu, out);
}

/// As [`encode_by`], in the name of another version: for what is the same in all of them.
///
/// # Panics
///
/// As [`encode`].
pub fn encode_as(
    sum: &mut HeaderSum,
    version: u8,
    envelope: &Envelope,
    pdu: &Pdu<'_>,
    out: &mut Vec<u8>,
) {
    append(version, envelope, pdu, 0, out, |words, body| sum.of(words, body));
}

/// As [`encode`], of a PDU whose last `behind` bytes, of its arguments or its body, stand elsewhere; it is
/// whole once it was [sealed](seal) with them.
pub(crate) fn encode_before(envelope: &Envelope, pdu: &Pdu<'_>, behind: usize, out: &mut Vec<u8>) {
    append(PROTOCOL_VERSION, envelope, pdu, behind, out, |_, _| 0);
}

/// Puts the checksum of a PDU into its head, which was encoded before these bytes.
pub(crate) fn seal(head: &mut [u8], behind: &[u8]) {
    let (place, body) = head.split_first_chunk_mut().expect("a head begins with the header");
    let mut words = words_of(place);
    words[1] &= u64::from(u32::MAX) << CHECKSUM_BITS;
    let mut hasher = crc32fast::Hasher::new_with_initial(of_header(words));
    hasher.update(body);
    hasher.update(behind);
    words[1] |= u64::from(hasher.finalize());
    fill(place, words);
}

/// Appends a PDU that lacks its last `behind` bytes, with the checksum that is given for its header and what
/// it has of its body.
#[inline]
fn append(
    version: u8,
    envelope: &Envelope,
    pdu: &Pdu<'_>,
    behind: usize,
    out: &mut Vec<u8>,
    checksum: impl FnOnce(Words, &[u8]) -> u32,
) {
    let start = out.len();
    let space: u16 = match envelope.space {
        Space::Session => 0,
        Space::Durable => 1,
        Space::Maybe => 2,
    };
    out.extend_from_slice(&[0; HEADER_BYTES]); // filled in below
    encode_body(pdu, out);

    let whole = out.get_mut(start..).expect("the PDU was appended");
    let (place, body) = whole.split_first_chunk_mut().expect("room for the header");
    let length =
        u32::try_from(body.len().saturating_add(behind)).expect("a PDU is far below 4 GiB");
    let kind = u64::from(pdu.kind().number());
    let mut words = [
        u64::from(version) | kind << 8 | u64::from(space) << 16 | u64::from(length) << 32,
        u64::from(envelope.target) << CHECKSUM_BITS,
        envelope.session.0,
        envelope.incarnation.0,
    ];
    words[1] |= u64::from(checksum(words, body));
    fill(place, words);
}

/// The header in words, of which the second one begins with the checksum.
type Words = [u64; HEADER_BYTES / 8];

/// Bits of the checksum.
const CHECKSUM_BITS: u32 = 32;

fn fill(place: &mut [u8; HEADER_BYTES], words: Words) {
    for (place, word) in place.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

/// The first four bytes of a word, and the last.
fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, last @ ..] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(last))
}

fn words_of(header: &[u8; HEADER_BYTES]) -> Words {
    let (chunks, _) = header.as_chunks();
    let mut words = Words::default();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}

/// The checksum of a header of zeros.
const OF_ZEROS_BITS: u32 = 0x190a_55ad;

/// The checksum of the header that was summed last. Of one session to another's ears many PDUs in a row
/// have the same header: then only the bodies are summed.
#[derive(Clone, Debug)]
pub struct HeaderSum {
    words: Words,
    header: u32,
}

impl Default for HeaderSum {
    fn default() -> Self {
        Self { words: Words::default(), header: OF_ZEROS_BITS }
    }
}

impl HeaderSum {
    /// The checksum that a PDU of this header, in which it is 0, and body must carry.
    #[inline]
    fn of(&mut self, words: Words, body: &[u8]) -> u32 {
        // One by one: what was put together a moment ago is in registers, and not yet in memory.
        let [first, second, third, fourth] = words;
        let [a, b, c, d] = self.words;
        if first != a || second != b || third != c || fourth != d {
            *self = Self { words, header: of_header(words) };
        }
        let mut hasher = crc32fast::Hasher::new_with_initial(self.header);
        hasher.update(body);
        hasher.finalize()
    }
}

#[cold]
fn of_header(words: Words) -> u32 {
    let mut header = [0; HEADER_BYTES];
    fill(&mut header, words);
    crc32fast::hash(&header)
}

/// Splits the first PDU off a datagram: what its header says, the PDU, and the rest.
///
/// # Errors
///
/// [`Malformed`] if the bytes are not a whole PDU of this version, with the first reason found:
/// length, version, checksum, flags, kind, fields.
pub fn decode(bytes: &[u8]) -> Result<(Envelope, Pdu<'_>, &[u8]), Malformed> {
    decode_by(&mut HeaderSum::default(), bytes)
}

/// As [`decode`], for who hears much under one header.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_by<'a>(
    sum: &mut HeaderSum,
    bytes: &'a [u8],
) -> Result<(Envelope, Pdu<'a>, &'a [u8]), Malformed> {
    let (header, behind) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Malformed::Truncated { needed: HEADER_BYTES, got: bytes.len() })?;
    let [first, second, session, incarnation] = words_of(header);
    let [version, kind, flags_low, flags_high, length @ ..] = first.to_le_bytes();
    if version != PROTOCOL_VERSION {
        return Err(Malformed::Version { got: version });
    }
    let flags = u16::from_le_bytes([flags_low, flags_high]);
    let length = u32::from_le_bytes(length);
    let (checksum, target) = halves(second);

    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let truncated = Malformed::Truncated { needed: length, got: behind.len() };
    let (body, after) = behind.split_at_checked(length).ok_or(truncated)?;
    let words = [first, u64::from(target) << CHECKSUM_BITS, session, incarnation];
    if checksum != sum.of(words, body) {
        return Err(Malformed::Checksum);
    }
    let space = match flags {
        0 => Space::Session,
        1 => Space::Durable,
        2 => Space::Maybe,
        _ if flags & !SPACE_MASK == 0 => return Err(Malformed::Field { field: "space" }),
        _ => return Err(Malformed::Flags { got: flags }),
    };
    let kind = Kind::from_number(kind).ok_or(Malformed::Kind { got: kind })?;
    let (session, incarnation) = (SessionId(session), Incarnation(incarnation));
    let envelope = Envelope { space, target, session, incarnation };
    Ok((envelope, decode_body(kind, body)?, after))
}

/// The checksum that a PDU of this header and body must carry.
pub(super) fn checksum_of(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    let [first, second, session, incarnation] = words_of(header);
    let second = second >> CHECKSUM_BITS << CHECKSUM_BITS;
    HeaderSum::default().of([first, second, session, incarnation], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_comes_again_is_summed_as_before() {
        assert_eq!(of_header(Words::default()), OF_ZEROS_BITS);
        let mut sum = HeaderSum::default();
        for (session, bytes) in [(0, 0), (7, 0), (7, 3), (7, 3), (8, 3), (7, 200), (7, 3)] {
            let words = [u64::from(PROTOCOL_VERSION) | bytes << 32, 5 << 32, session, 9];
            let mut whole = vec![0; HEADER_BYTES];
            fill(whole.first_chunk_mut().unwrap(), words);
            whole.resize(HEADER_BYTES + usize::try_from(bytes).unwrap(), 0xa5);
            assert_eq!(sum.of(words, &whole[HEADER_BYTES..]), crc32fast::hash(&whole));
        }
    }
}
