//! The bytes on the wire: a fixed header, one PDU a struct, and a codec that allocates nothing to
//! read.
//!
//! Knows layouts, integrity and what is malformed; does not know what any PDU means for a session.
//! `docs/protocol.md` repeats every layout table below, and a test compares them.
//!
//! ```text
//!   datagram ─► decode ─► (Envelope, Pdu, rest) ─► decode ─► …        encode(&Envelope, &Pdu, &mut out)
//! ```

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod field;
mod header;
mod hello;
mod request;
mod probe;
mod stop;
mod orphan;
mod goodbye;
mod path;
mod version;
mod frame;

use std::fmt;

pub use frame::{frame, frames};
pub use goodbye::{Bye, ByeReason, Goaway, GoawayReason};
pub use header::{
    DATAGRAM_BYTES_MAX, Envelope, FRAME_BYTES_MAX, HEADER_BYTES, HeaderSum, Kind, PROTOCOL_VERSION,
    decode, decode_by, encode, encode_as, encode_by,
};
pub(crate) use header::{encode_before, seal};
pub use hello::{COOKIE_BYTES, Cookie, Hello, Nonce, Reject, RejectReason, Welcome};
pub use orphan::{Alive, Answer, Extend, Owner};
pub use path::{Probe, Probed};
pub use probe::{Ack, Ping, Unseen, Working};
pub use request::{
    EXTENSION_OPTIONAL_MASK, Extension, Extensions, REFUSE_DETAIL_BYTES_MAX, Refuse, RefuseReason,
    Reply, ReplyStatus, Request,
};
pub use stop::{Cancel, NoSession, Seal, Sealed, SealedVerdict};
pub use version::ForeignHello;

/// A protocol data unit: what follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pdu<'a> {
    /// Open or resume a session.
    Hello(Hello),
    /// Prove your address first.
    Cookie(Cookie),
    /// The session is open.
    Welcome(Welcome),
    /// No session opens.
    Reject(Reject),
    /// A call.
    Request(Request<'a>),
    /// How the call ended.
    Reply(Reply<'a>),
    /// The call was not run and never will be.
    Refuse(Refuse<'a>),
    /// Received.
    Ack(Ack),
    /// Is my call alive?
    Ping(Ping),
    /// It is at work.
    Working(Working),
    /// I never saw it.
    Unseen(Unseen),
    /// Quantum over: still wanted?
    Extend(Extend),
    /// Stop this call, or never begin it.
    Cancel(Cancel),
    /// Answer, or promise never to run it.
    Seal(Seal),
    /// Promised; or too old to know.
    Sealed(Sealed),
    /// I know no such session.
    NoSession(NoSession),
    /// Does the owner of this call live?
    Owner(Owner),
    /// It does, or does not.
    Alive(Alive),
    /// Take new calls elsewhere.
    Goaway(Goaway),
    /// The session is closed.
    Bye(Bye),
    /// Does a datagram of this length come?
    Probe(Probe),
    /// It did, and so does the answer.
    Probed(Probed),
}

impl Pdu<'_> {
    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Cookie(_) => Kind::Cookie,
            Self::Welcome(_) => Kind::Welcome,
            Self::Reject(_) => Kind::Reject,
            Self::Request(_) => Kind::Request,
            Self::Reply(_) => Kind::Reply,
            Self::Refuse(_) => Kind::Refuse,
            Self::Ack(_) => Kind::Ack,
            Self::Ping(_) => Kind::Ping,
            Self::Working(_) => Kind::Working,
            Self::Unseen(_) => Kind::Unseen,
            Self::Extend(_) => Kind::Extend,
            Self::Cancel(_) => Kind::Cancel,
            Self::Seal(_) => Kind::Seal,
            Self::Sealed(_) => Kind::Sealed,
            Self::NoSession(_) => Kind::NoSession,
            Self::Owner(_) => Kind::Owner,
            Self::Alive(_) => Kind::Alive,
            Self::Goaway(_) => Kind::Goaway,
            Self::Bye(_) => Kind::Bye,
            Self::Probe(_) => Kind::Probe,
            Self::Probed(_) => Kind::Probed,
        }
    }
}

/// Why bytes are not a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than the header, or than it announces.
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        got: usize,
    },
    /// Another protocol version.
    Version {
        /// The version found.
        got: u8,
    },
    /// No such PDU.
    Kind {
        /// The number found.
        got: u8,
    },
    /// A flag of a later version.
    Flags {
        /// The flags found.
        got: u16,
    },
    /// Longer than any PDU of ours.
    Length {
        /// Bytes announced, header and all.
        got: usize,
    },
    /// The checksum does not fit the bytes.
    Checksum,
    /// A field holds a value that it cannot have.
    Field {
        /// Which one.
        field: &'static str,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, got } => write!(f, "{got} bytes where {needed} are needed"),
            Self::Version { got } => {
                write!(f, "protocol version {got}, supported is {PROTOCOL_VERSION}")
            }
            Self::Kind { got } => write!(f, "no PDU of kind {got}"),
            Self::Flags { got } => write!(f, "unknown flags {got:#06x}"),
            Self::Length { got } => {
                write!(f, "{got} bytes where {FRAME_BYTES_MAX} are the most")
            }
            Self::Checksum => f.write_str("the checksum does not fit"),
            Self::Field { field } => write!(f, "impossible value of `{field}`"),
        }
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests;
