//! What is the same in every version of the protocol: how a HELLO is known, and how it is refused.
//!
//! The header's layout and checksum, HELLO's number and its place for the nonce, and REJECT as a whole
//! never change. So each side of two that share no version learns what the other one speaks.

use super::field::Field as _;
use super::header::{HEADER_BYTES, Kind, PROTOCOL_VERSION, checksum_of};
use super::{Envelope, Hello, Nonce};
use crate::ids::{ClientId, Incarnation, SessionId, Space};

/// A HELLO of another version: as much of it as can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignHello {
    /// The version of its header, in which its sender reads the answer.
    pub version: u8,
    /// What else its header says.
    pub envelope: Envelope,
    /// What the answer must repeat.
    pub nonce: Nonce,
}

impl ForeignHello {
    /// Reads the HELLO at the front of a datagram. There is none unless it is whole, of another
    /// version, and at least as long as ours, so that the answer is shorter.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (header, behind) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let (version, rest) = u8::read(header, "version").ok()?;
        let (kind, rest) = u8::read(rest, "kind").ok()?;
        let (_flags, rest) = u16::read(rest, "flags").ok()?;
        let (length, rest) = u32::read(rest, "length").ok()?;
        let (checksum, rest) = u32::read(rest, "checksum").ok()?;
        let (target, rest) = u32::read(rest, "target").ok()?;
        let (session, rest) = SessionId::read(rest, "session").ok()?;
        let (incarnation, _) = Incarnation::read(rest, "incarnation").ok()?;
        let body = behind.get(..usize::try_from(length).ok()?)?;
        let is_hello = version != PROTOCOL_VERSION
            && kind == Kind::Hello.number()
            && body.len() >= Hello::LEN
            && checksum == checksum_of(header, body);
        let (_client, rest) = ClientId::read(body, "client").ok()?;
        let (nonce, _) = Nonce::read(rest, "nonce").ok()?;
        let envelope = Envelope { space: Space::Session, target, session, incarnation };
        is_hello.then_some(Self { version, envelope, nonce })
    }
}
