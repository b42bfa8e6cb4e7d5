//! The header in front of every PDU, its checksum, and the two ways through it: `encode`, `decode`.

use super::field::{Field, Fixed};
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

/// Where the checksum stands: behind version, kind, flags and length.
const CHECKSUM_AT_BYTES: usize = 8;

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
    encode_as(PROTOCOL_VERSION, envelope, pdu, out);
}

/// As [`encode`], in the name of another version: for what is the same in all of them.
///
/// # Panics
///
/// As [`encode`].
pub fn encode_as(version: u8, envelope: &Envelope, pdu: &Pdu<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let space: u16 = match envelope.space {
        Space::Session => 0,
        Space::Durable => 1,
        Space::Maybe => 2,
    };
    let mut header = Fixed::<HEADER_BYTES>::new();
    version.write(&mut header);
    pdu.kind().number().write(&mut header);
    space.write(&mut header);
    0_u64.write(&mut header); // length and checksum, filled in below
    envelope.target.write(&mut header);
    envelope.session.write(&mut header);
    envelope.incarnation.write(&mut header);
    header.end(out);
    encode_body(pdu, out);

    let whole = out.get_mut(start..).expect("the PDU was appended");
    let length = whole.len().saturating_sub(HEADER_BYTES);
    let length = u32::try_from(length).expect("a PDU is far below 4 GiB");
    fill(whole, 4, length);
    let checksum = crc32fast::hash(whole);
    fill(whole, CHECKSUM_AT_BYTES, checksum);
}

/// Writes `value` at `at` of a PDU whose header is complete.
fn fill(whole: &mut [u8], at: usize, value: u32) {
    let place = whole.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    *place.expect("inside the header") = value.to_le_bytes();
}

/// Splits the first PDU off a datagram: what its header says, the PDU, and the rest.
///
/// # Errors
///
/// [`Malformed`] if the bytes are not a whole PDU of this version, with the first reason found:
/// length, version, checksum, flags, kind, fields.
pub fn decode(bytes: &[u8]) -> Result<(Envelope, Pdu<'_>, &[u8]), Malformed> {
    let (header, behind) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Malformed::Truncated { needed: HEADER_BYTES, got: bytes.len() })?;
    let (version, rest) = u8::read(header, "version")?;
    if version != PROTOCOL_VERSION {
        return Err(Malformed::Version { got: version });
    }
    let (kind, rest) = u8::read(rest, "kind")?;
    let (flags, rest) = u16::read(rest, "flags")?;
    let (length, rest) = u32::read(rest, "length")?;
    let (checksum, rest) = u32::read(rest, "checksum")?;
    let (target, rest) = u32::read(rest, "target")?;
    let (session, rest) = SessionId::read(rest, "session")?;
    let (incarnation, _) = Incarnation::read(rest, "incarnation")?;

    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let truncated = Malformed::Truncated { needed: length, got: behind.len() };
    let (body, after) = behind.split_at_checked(length).ok_or(truncated)?;
    if checksum != checksum_of(header, body) {
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
    let envelope = Envelope { space, target, session, incarnation };
    Ok((envelope, decode_body(kind, body)?, after))
}

/// The checksum that a PDU of this header and body must carry.
pub(super) fn checksum_of(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    let mut header = *header;
    fill(&mut header, CHECKSUM_AT_BYTES, 0);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header);
    hasher.update(body);
    hasher.finalize()
}
