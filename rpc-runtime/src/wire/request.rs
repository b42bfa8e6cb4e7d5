//! REQUEST, REPLY, REFUSE: the call, how it ended, or that it never began.

use super::Malformed;
use super::field::{Field, Fixed, Out, byte_enum};
use crate::ids::{MethodFingerprint, Sequence, SlotIndex};
use crate::semantics::Semantics;

impl Field for Semantics {
    const BYTES: usize = 1;

    fn read<'a>(bytes: &'a [u8], name: &'static str) -> Result<(Self, &'a [u8]), Malformed> {
        let (byte, rest) = u8::read(bytes, name)?;
        match byte {
            0 => Ok((Self::Maybe, rest)),
            1 => Ok((Self::AtLeastOnce, rest)),
            2 => Ok((Self::AtMostOnce, rest)),
            3 => Ok((Self::ExactlyOnce, rest)),
            _ => Err(Malformed::Field { field: name }),
        }
    }

    fn write(&self, out: &mut impl Out) {
        let byte = match self {
            Self::Maybe => 0,
            Self::AtLeastOnce => 1,
            Self::AtMostOnce => 2,
            Self::ExactlyOnce => 3,
        };
        out.put(&[byte]);
    }
}

/// Refuses a fragment that its message does not have.
fn check_fragment(fragment: u16, fragments: u16) -> Result<(), Malformed> {
    if fragment < fragments { Ok(()) } else { Err(Malformed::Field { field: "fragment" }) }
}

/// REQUEST, client to server: a call.
///
/// | offset | bytes | field             | unit |
/// |-------:|------:|-------------------|------|
/// |      0 |     4 | `slot`            |      |
/// |      4 |     8 | `sequence`        |      |
/// |     12 |     8 | `method`          | fingerprint |
/// |     20 |     4 | `name`            | 16 bits each: method (low), service |
/// |     24 |     8 | `digest`          | drawn with the call |
/// |     32 |     8 | `remaining_us`    | us to the deadline |
/// |     40 |     8 | `not_after_us`    | us of the server's session time |
/// |     48 |     2 | `fragment`        | index, from 0 |
/// |     50 |     2 | `fragments`       | count, at least 1 |
/// |     52 |     2 | `transmission`    | count, from 1 |
/// |     54 |     1 | `depth`           | calls above this one |
/// |     55 |     1 | `semantics`       | 0 maybe, 1 at least once, 2 at most once, 3 exactly once |
/// |     56 |     2 | `extension_bytes` | bytes |
/// |     58 |     n | `extensions`      | list of type (2), length (2), bytes |
/// |   58+n |       | `arguments`       | postcard |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The slot.
    pub slot: SlotIndex,
    /// Its sequence.
    pub sequence: Sequence,
    /// The method that is called.
    pub method: MethodFingerprint,
    /// Hash of `service.method`, which tells a changed method from an unknown one.
    pub name: u32,
    /// Tells another request under the same sequence from a duplicate.
    pub digest: u64,
    /// What is left of the caller's patience.
    pub remaining_us: u64,
    /// When it is too late to begin, in the server's session time.
    pub not_after_us: u64,
    /// Which fragment this is.
    pub fragment: u16,
    /// How many there are.
    pub fragments: u16,
    /// The how-manieth transmission this is.
    pub transmission: u16,
    /// How many calls this one is nested in.
    pub depth: u8,
    /// What the client takes the method to promise.
    pub semantics: Semantics,
    /// Typed extensions, checked to be a whole list.
    pub extensions: &'a [u8],
    /// The marshalled arguments.
    pub arguments: &'a [u8],
}

impl<'a> Request<'a> {
    /// Bytes of the fixed part.
    pub const LEN: usize = 58;

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut fixed = Fixed::<{ Request::LEN }>::new();
        self.slot.write(&mut fixed);
        self.sequence.write(&mut fixed);
        self.method.write(&mut fixed);
        self.name.write(&mut fixed);
        self.digest.write(&mut fixed);
        self.remaining_us.write(&mut fixed);
        self.not_after_us.write(&mut fixed);
        self.fragment.write(&mut fixed);
        self.fragments.write(&mut fixed);
        self.transmission.write(&mut fixed);
        self.depth.write(&mut fixed);
        self.semantics.write(&mut fixed);
        let extension_bytes = u16::try_from(self.extensions.len()).expect("extensions are bounded");
        extension_bytes.write(&mut fixed);
        fixed.end(out);
        out.extend_from_slice(self.extensions);
        out.extend_from_slice(self.arguments);
    }

    pub(super) fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let (slot, rest) = SlotIndex::read(body, "slot")?;
        let (sequence, rest) = Sequence::read(rest, "sequence")?;
        let (method, rest) = MethodFingerprint::read(rest, "method")?;
        let (name, rest) = u32::read(rest, "name")?;
        let (digest, rest) = u64::read(rest, "digest")?;
        let (remaining_us, rest) = u64::read(rest, "remaining_us")?;
        let (not_after_us, rest) = u64::read(rest, "not_after_us")?;
        let (fragment, rest) = u16::read(rest, "fragment")?;
        let (fragments, rest) = u16::read(rest, "fragments")?;
        check_fragment(fragment, fragments)?;
        let (transmission, rest) = u16::read(rest, "transmission")?;
        let (depth, rest) = u8::read(rest, "depth")?;
        let (semantics, rest) = Semantics::read(rest, "semantics")?;
        let (extension_bytes, rest) = u16::read(rest, "extension_bytes")?;
        let (extensions, arguments) =
            rest.split_at_checked(usize::from(extension_bytes)).ok_or(Malformed::Truncated {
                needed: usize::from(extension_bytes),
                got: rest.len(),
            })?;
        for extension in Extensions::of(extensions) {
            extension?;
        }
        Ok(Self {
            slot,
            sequence,
            method,
            name,
            digest,
            remaining_us,
            not_after_us,
            fragment,
            fragments,
            transmission,
            depth,
            semantics,
            extensions,
            arguments,
        })
    }
}

/// One typed extension of a REQUEST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The type, without the bit that says whether it may be skipped.
    pub kind: u16,
    /// Whether a server that does not know the type may go on.
    pub optional: bool,
    /// What it says.
    pub bytes: &'a [u8],
}

/// The bit of an extension's type that says that it may be skipped.
pub const EXTENSION_OPTIONAL_MASK: u16 = 0x8000;

/// The extensions of a REQUEST, in order.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Reads a list of extensions.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn split(bytes: &'a [u8]) -> Result<(Extension<'a>, &'a [u8]), Malformed> {
        let (kind, rest) = u16::read(bytes, "extension type")?;
        let (length, rest) = u16::read(rest, "extension length")?;
        let length = usize::from(length);
        let truncated = Malformed::Truncated { needed: length, got: rest.len() };
        let (bytes, rest) = rest.split_at_checked(length).ok_or(truncated)?;
        let optional = kind & EXTENSION_OPTIONAL_MASK != 0;
        Ok((Extension { kind: kind & !EXTENSION_OPTIONAL_MASK, optional, bytes }, rest))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Result<Extension<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = Self::split(self.rest);
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(extension, _)| extension))
    }
}

byte_enum! {
    /// How an execution ended.
    ReplyStatus {
        /// The handler returned; the body is what it returned.
        Returned = 0,
        /// The handler panicked; the body is the panic's text.
        Panicked = 1,
        /// The call was cancelled before the handler did anything.
        Cancelled = 2,
        /// The call was cancelled while the handler was at work.
        CancelledPartial = 3,
        /// What the handler returned does not fit a reply.
        TooLarge = 4,
        /// The handler gave up; the body is its report.
        HandlerFailed = 5,
    }
}

/// REPLY, server to client: the call ran, and this is how it ended.
///
/// | offset | bytes | field             | unit |
/// |-------:|------:|-------------------|------|
/// |      0 |     4 | `slot`            |      |
/// |      4 |     8 | `sequence`        |      |
/// |     12 |     4 | `attempt`         | which execution, from 1 |
/// |     16 |     4 | `handler_us`      | us from the request's arrival to this reply |
/// |     20 |     2 | `fragment`        | index, from 0 |
/// |     22 |     2 | `fragments`       | count, at least 1 |
/// |     24 |     2 | `transmission`    | the REQUEST's that arrived last |
/// |     26 |     1 | `status`          | 0 returned, 1 panicked, 2 cancelled, 3 cancelled in part, 4 too large, 5 handler failed |
/// |     27 |     1 | `pad`             | 0    |
/// |     28 |     8 | `session_time_us` | us since the session opened |
/// |     36 |       | `body`            | by status |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The slot.
    pub slot: SlotIndex,
    /// Its sequence.
    pub sequence: Sequence,
    /// Which execution this is the reply of; only `at_least_once` has more than one.
    pub attempt: u32,
    /// How long the server held the call: what a round-trip sample must leave out.
    pub handler_us: u32,
    /// Which fragment this is.
    pub fragment: u16,
    /// How many there are.
    pub fragments: u16,
    /// The REQUEST's transmission that this answers; 0 if it answers something else.
    pub transmission: u16,
    /// How the execution ended.
    pub status: ReplyStatus,
    /// The server's own time in this session, when this was said.
    pub session_time_us: u64,
    /// What it returned, or its last words.
    pub body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Bytes of the fixed part.
    pub const LEN: usize = 36;

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut fixed = Fixed::<{ Reply::LEN }>::new();
        self.slot.write(&mut fixed);
        self.sequence.write(&mut fixed);
        self.attempt.write(&mut fixed);
        self.handler_us.write(&mut fixed);
        self.fragment.write(&mut fixed);
        self.fragments.write(&mut fixed);
        self.transmission.write(&mut fixed);
        self.status.write(&mut fixed);
        0_u8.write(&mut fixed);
        self.session_time_us.write(&mut fixed);
        fixed.end(out);
        out.extend_from_slice(self.body);
    }

    pub(super) fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let (slot, rest) = SlotIndex::read(body, "slot")?;
        let (sequence, rest) = Sequence::read(rest, "sequence")?;
        let (attempt, rest) = u32::read(rest, "attempt")?;
        let (handler_us, rest) = u32::read(rest, "handler_us")?;
        let (fragment, rest) = u16::read(rest, "fragment")?;
        let (fragments, rest) = u16::read(rest, "fragments")?;
        check_fragment(fragment, fragments)?;
        let (transmission, rest) = u16::read(rest, "transmission")?;
        let (status, rest) = ReplyStatus::read(rest, "status")?;
        let (_, rest) = u8::read(rest, "pad")?;
        let (session_time_us, body) = u64::read(rest, "session_time_us")?;
        Ok(Self {
            slot,
            sequence,
            attempt,
            handler_us,
            fragment,
            fragments,
            transmission,
            status,
            session_time_us,
            body,
        })
    }
}

byte_enum! {
    /// Why a call was refused.
    RefuseReason {
        /// No room for the call.
        Overload = 1,
        /// The server is about to leave.
        Draining = 2,
        /// It was too late to begin.
        Expired = 3,
        /// No such method.
        UnknownMethod = 4,
        /// The method exists with another signature or semantics.
        ChangedMethod = 5,
        /// The arguments could not be decoded.
        BadArguments = 6,
        /// The request is longer than the server takes.
        TooLarge = 7,
        /// The client may not make this call.
        Unauthorised = 8,
        /// The generation of durable slots has ended.
        Generation = 9,
        /// Another call has this place in the generation: two clients use one identity.
        IdentityInUse = 10,
    }
}

/// The longest detail of a REFUSE, in bytes.
pub const REFUSE_DETAIL_BYTES_MAX: usize = 200;

/// REFUSE, server to client: the call did not run and never will; but for
/// [`RefuseReason::Generation`], which says nothing of it.
///
/// | offset | bytes | field             | unit |
/// |-------:|------:|-------------------|------|
/// |      0 |     4 | `slot`            |      |
/// |      4 |     8 | `sequence`        |      |
/// |     12 |     1 | `reason`          | 1 overload, 2 draining, 3 expired, 4 unknown method, 5 changed method, 6 bad arguments, 7 too large, 8 unauthorised, 9 generation, 10 identity in use |
/// |     13 |     3 | `pad`             | 0    |
/// |     16 |     4 | `push_back_ms`    | ms   |
/// |     20 |     8 | `session_time_us` | us since the session opened |
/// |     28 |     2 | `detail_bytes`    | bytes, at most 200 |
/// |     30 |     n | `detail`          | UTF-8 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse<'a> {
    /// The slot.
    pub slot: SlotIndex,
    /// Its sequence.
    pub sequence: Sequence,
    /// Why.
    pub reason: RefuseReason,
    /// How long to leave the server alone.
    pub push_back_ms: u32,
    /// The server's own time in this session, when this was said.
    pub session_time_us: u64,
    /// In words, for people.
    pub detail: &'a str,
}

impl<'a> Refuse<'a> {
    /// Bytes of the fixed part.
    pub const LEN: usize = 30;

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.slot.write(out);
        self.sequence.write(out);
        self.reason.write(out);
        [0_u8; 3].write(out);
        self.push_back_ms.write(out);
        self.session_time_us.write(out);
        let detail = cut(self.detail, REFUSE_DETAIL_BYTES_MAX);
        u16::try_from(detail.len()).expect("at most 200").write(out);
        out.extend_from_slice(detail.as_bytes());
    }

    pub(super) fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let (slot, rest) = SlotIndex::read(body, "slot")?;
        let (sequence, rest) = Sequence::read(rest, "sequence")?;
        let (reason, rest) = RefuseReason::read(rest, "reason")?;
        let (_, rest) = <[u8; 3]>::read(rest, "pad")?;
        let (push_back_ms, rest) = u32::read(rest, "push_back_ms")?;
        let (session_time_us, rest) = u64::read(rest, "session_time_us")?;
        let (detail_bytes, rest) = u16::read(rest, "detail_bytes")?;
        let length = usize::from(detail_bytes);
        if length > REFUSE_DETAIL_BYTES_MAX {
            return Err(Malformed::Field { field: "detail_bytes" });
        }
        let truncated = Malformed::Truncated { needed: length, got: rest.len() };
        let (detail, _later_fields) = rest.split_at_checked(length).ok_or(truncated)?;
        let detail =
            std::str::from_utf8(detail).map_err(|_| Malformed::Field { field: "detail" })?;
        Ok(Self { slot, sequence, reason, push_back_ms, session_time_us, detail })
    }
}

/// The longest prefix of `text` that is whole characters and at most `bytes_max` long.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}
