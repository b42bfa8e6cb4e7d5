//! HELLO, COOKIE, WELCOME, REJECT: sessions open, are resumed, or are not.

use super::field::{Field, Out, byte_enum, pdu};
use super::{HEADER_BYTES, Malformed};
use crate::ids::{ClientId, GenerationId, Incarnation, ServerId, SessionId};

/// Fresh random bits that tie an answer to its HELLO (protocol tables, C8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u64);

impl Field for Nonce {
    const BYTES: usize = 8;

    fn read<'a>(bytes: &'a [u8], name: &'static str) -> Result<(Self, &'a [u8]), Malformed> {
        let (value, rest) = u64::read(bytes, name)?;
        Ok((Self(value), rest))
    }

    fn write(&self, out: &mut impl Out) {
        self.0.write(out);
    }
}

/// Bytes of a cookie.
pub const COOKIE_BYTES: usize = 16;

pdu! {
    /// HELLO, client to server: open a session, or resume one.
    ///
    /// As long as the longest answer, so that nobody is made to amplify.
    ///
    /// | offset | bytes | field                | unit |
    /// |-------:|------:|----------------------|------|
    /// |      0 |     8 | `client`             |      |
    /// |      8 |     8 | `nonce`              |      |
    /// |     16 |     8 | `server`             | 0: any |
    /// |     24 |     8 | `server_incarnation` | 0: any |
    /// |     32 |     8 | `resume`             | 0: a new session |
    /// |     40 |     4 | `slots`              | wanted |
    /// |     44 |     4 | `datagram_bytes`     | the longest that the client receives |
    /// |     48 |     1 | `version_min`        |      |
    /// |     49 |     1 | `version_max`        |      |
    /// |     50 |     1 | `has_cookie`         | 0 or 1 |
    /// |     51 |     1 | `durable`            | 1: durable slots are wanted |
    /// |     52 |    16 | `cookie`             |      |
    /// |     68 |     8 | `generation`         | 0: a new one |
    Hello {
        /// Who asks.
        client: ClientId,
        /// Drawn for this HELLO; the answer repeats it.
        nonce: Nonce,
        /// The server that is meant.
        server: ServerId,
        /// The life of the server that is meant.
        server_incarnation: Incarnation,
        /// The session to go on with.
        resume: SessionId,
        /// How many slots the client would use.
        slots: u32,
        /// The longest datagram that the client receives.
        datagram_bytes: u32,
        /// The lowest protocol version that the client speaks.
        version_min: u8,
        /// The highest protocol version that the client speaks.
        version_max: u8,
        /// Whether `cookie` is one.
        has_cookie: u8,
        /// Whether the client wants durable slots, for calls that run exactly once.
        durable: u8,
        /// The proof of address that a COOKIE gave.
        cookie: [u8; COOKIE_BYTES],
        /// The generation of durable slots to go on with.
        generation: GenerationId,
    }
}

pdu! {
    /// COOKIE, server to client: say it again with this, to prove that you receive at your address.
    ///
    /// | offset | bytes | field    | unit |
    /// |-------:|------:|----------|------|
    /// |      0 |     8 | `nonce`  | 0: not an answer to a HELLO |
    /// |      8 |    16 | `cookie` |      |
    Cookie {
        /// The HELLO's.
        nonce: Nonce,
        /// What the next HELLO must carry.
        cookie: [u8; COOKIE_BYTES],
    }
}

pdu! {
    /// WELCOME, server to client: the session in the header is open.
    ///
    /// | offset | bytes | field              | unit |
    /// |-------:|------:|--------------------|------|
    /// |      0 |     8 | `nonce`            |      |
    /// |      8 |     8 | `client`           |      |
    /// |     16 |     8 | `server`           |      |
    /// |     24 |     4 | `lease_ms`         | ms   |
    /// |     28 |     4 | `slots`            | granted |
    /// |     32 |     8 | `session_time_us`  | us since the session opened |
    /// |     40 |     8 | `generation`       | 0: no durable slots |
    /// |     48 |     4 | `working_after_us` | us   |
    /// |     52 |     4 | `datagram_bytes`   | the longest that the server receives |
    /// |     56 |     4 | `lease_unused_ms`  | ms, before the first call |
    Welcome {
        /// The HELLO's.
        nonce: Nonce,
        /// The HELLO's.
        client: ClientId,
        /// Who answers.
        server: ServerId,
        /// How long an idle session is kept.
        lease_ms: u32,
        /// How many slots the session has.
        slots: u32,
        /// The server's own time in this session, by which `not_after` is meant.
        session_time_us: u64,
        /// The generation of the client's durable slots.
        generation: GenerationId,
        /// After how long a running call is reported unasked.
        working_after_us: u32,
        /// The longest datagram that the server receives.
        datagram_bytes: u32,
        /// How long an idle session is kept that has carried no call.
        lease_unused_ms: u32,
    }
}

// No answer to a HELLO is longer than the HELLO.
const _: () = assert!(Hello::LEN >= Welcome::LEN && Hello::LEN >= Cookie::LEN);
const _: () = assert!(Hello::LEN >= Reject::LEN);
// A COOKIE also answers slot PDUs from a new address; the shortest of those is a PING.
const _: () = assert!(HEADER_BYTES + Cookie::LEN <= HEADER_BYTES + super::Ping::LEN + 4);

byte_enum! {
    /// Why no session opened.
    RejectReason {
        /// Another server, or another life of it, lives here.
        StaleBinding = 1,
        /// A later life of this client was seen.
        OldIncarnation = 2,
        /// Every session is taken.
        NoRoom = 3,
        /// No common protocol version.
        Version = 4,
        /// The server is about to leave.
        Draining = 5,
    }
}

pdu! {
    /// REJECT, server to client: no session opens for this HELLO.
    ///
    /// | offset | bytes | field          | unit |
    /// |-------:|------:|----------------|------|
    /// |      0 |     8 | `nonce`        |      |
    /// |      8 |     8 | `server`       |      |
    /// |     16 |     8 | `highest`      | incarnation: the server's own, or the highest seen of the client |
    /// |     24 |     1 | `reason`       | 1 stale binding, 2 old incarnation, 3 no room, 4 version, 5 draining |
    /// |     25 |     1 | `version_min`  |      |
    /// |     26 |     1 | `version_max`  |      |
    /// |     27 |     1 | `pad`          | 0    |
    /// |     28 |     4 | `push_back_ms` | ms   |
    Reject {
        /// The HELLO's.
        nonce: Nonce,
        /// Who answers.
        server: ServerId,
        /// The server's incarnation; for [`RejectReason::OldIncarnation`] the client's highest.
        highest: Incarnation,
        /// Why.
        reason: RejectReason,
        /// The lowest protocol version that the server speaks.
        version_min: u8,
        /// The highest protocol version that the server speaks.
        version_max: u8,
        /// Zero.
        pad: u8,
        /// How long to leave the server alone.
        push_back_ms: u32,
    }
}
