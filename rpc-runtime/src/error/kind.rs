//! The classical taxonomy of what can go wrong with a call, and how each kind reads.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Evidence, Execution};
use crate::time::Duration;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The binder knows no server of this name and version, or no binder answered.
    NoServer,
    /// Nobody opened a session at the server's address in time.
    Unreachable,
    /// The address, or the URL that should hold one, cannot be used.
    BadAddress,
    /// A server cannot be started as it was described.
    Misconfigured,
    /// Another server, or another incarnation, lives at the remembered address.
    StaleBinding,
    /// The request or the reply was lost until the deadline.
    NoReply,
    /// The server's incarnation that had the call is gone.
    ServerRestarted,
    /// The session that carried the call is gone; the server is not.
    SessionLost,
    /// The server lives and the session too, but the call's slot was used again.
    Forgotten,
    /// The server has deleted what it knew of this client's durable calls.
    GenerationEnded,
    /// Another client uses the same identity: a cloned machine, for instance.
    IdentityInUse,
    /// The server has no room for the call.
    Overloaded,
    /// The server takes no new calls: it is about to leave.
    Draining,
    /// The two sides share no version of the protocol.
    VersionMismatch,
    /// The server's interface lacks what the client's has.
    InterfaceMismatch,
    /// The server knows no such service or method.
    UnknownMethod,
    /// The server knows the method with another signature or semantics.
    ChangedMethod,
    /// The request does not fit.
    TooLarge,
    /// The server does not let this client make this call.
    Unauthorised,
    /// The deadline passed before the call could begin.
    Expired,
    /// The server could not decode the parameters.
    BadArguments,
    /// A parameter could not be marshalled.
    Unmarshallable,
    /// Every slot, or the client's queue, is taken by calls under way.
    NoFreeSlot,
    /// The caller, or the call that this one was part of, gave up.
    Cancelled,
    /// The handler panicked.
    HandlerPanicked,
    /// The handler returned a failure that is not one of the interface's own.
    HandlerFailed,
    /// The call ran; its reply is larger than what can be sent.
    ReplyTooLarge,
    /// The call ran; its reply could not be decoded.
    ReplyUndecodable,
    /// The client's journal cannot be opened or written.
    JournalFailed,
    /// The server keeps failing, and is left alone for a while.
    LeftAlone,
}

/// The list of all kinds, for what must not forget one: hands them to the macro `$then`, each with
/// its name. In the order of their numbers on the wire, where a [`CallReport`](super::CallReport)
/// names its kind: append, never insert.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_error_kind {
    ($then:ident) => {
        $then! {
            NoServer no_server,
            Unreachable unreachable,
            BadAddress bad_address,
            Misconfigured misconfigured,
            StaleBinding stale_binding,
            NoReply no_reply,
            ServerRestarted server_restarted,
            SessionLost session_lost,
            Forgotten forgotten,
            GenerationEnded generation_ended,
            IdentityInUse identity_in_use,
            Overloaded overloaded,
            Draining draining,
            VersionMismatch version_mismatch,
            InterfaceMismatch interface_mismatch,
            UnknownMethod unknown_method,
            ChangedMethod changed_method,
            TooLarge too_large,
            Unauthorised unauthorised,
            Expired expired,
            BadArguments bad_arguments,
            Unmarshallable unmarshallable,
            NoFreeSlot no_free_slot,
            Cancelled cancelled,
            HandlerPanicked handler_panicked,
            HandlerFailed handler_failed,
            ReplyTooLarge reply_too_large,
            ReplyUndecodable reply_undecodable,
            JournalFailed journal_failed,
            LeftAlone left_alone,
        }
    };
}

macro_rules! names {
    ($($kind:ident $name:ident,)*) => {
        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The kind's name in logs, which stays what it is: `no_reply`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($name),)*
                }
            }
        }
    };
}

__every_error_kind!(names);

/// The textbook's classes of failure (Tanenbaum & van Steen, section 8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// The client cannot locate the server.
    CannotLocate,
    /// The request or the reply was lost.
    NoReply,
    /// The server crashed, restarted or forgot.
    ServerCrashed,
    /// The call was rejected before it began.
    Rejected,
    /// The call was called off.
    Cancelled,
    /// The handler did not return a result.
    Handler,
    /// There is a result, and the client cannot have it.
    Reply,
}

impl ErrorKind {
    /// The textbook's class of this kind.
    #[must_use]
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::NoServer
            | Self::Unreachable
            | Self::BadAddress
            | Self::Misconfigured
            | Self::StaleBinding => ErrorClass::CannotLocate,
            Self::NoReply => ErrorClass::NoReply,
            Self::ServerRestarted | Self::SessionLost | Self::Forgotten | Self::GenerationEnded => {
                ErrorClass::ServerCrashed
            }
            Self::LeftAlone
            | Self::Overloaded
            | Self::Draining
            | Self::VersionMismatch
            | Self::InterfaceMismatch
            | Self::UnknownMethod
            | Self::ChangedMethod
            | Self::TooLarge
            | Self::Unauthorised
            | Self::IdentityInUse
            | Self::Expired
            | Self::BadArguments
            | Self::Unmarshallable
            | Self::NoFreeSlot
            | Self::JournalFailed => ErrorClass::Rejected,
            Self::Cancelled => ErrorClass::Cancelled,
            Self::HandlerPanicked | Self::HandlerFailed => ErrorClass::Handler,
            Self::ReplyTooLarge | Self::ReplyUndecodable => ErrorClass::Reply,
        }
    }

    /// Whether the call fails as surely the next time, unless somebody changes something first.
    pub(super) const fn is_lasting(self) -> bool {
        match self {
            Self::BadAddress
            | Self::Misconfigured
            | Self::IdentityInUse
            | Self::VersionMismatch
            | Self::InterfaceMismatch
            | Self::UnknownMethod
            | Self::ChangedMethod
            | Self::TooLarge
            | Self::Unauthorised
            | Self::BadArguments
            | Self::Unmarshallable
            | Self::JournalFailed => true,
            Self::NoServer
            | Self::Unreachable
            | Self::StaleBinding
            | Self::NoReply
            | Self::ServerRestarted
            | Self::SessionLost
            | Self::Forgotten
            | Self::GenerationEnded
            | Self::LeftAlone
            | Self::Overloaded
            | Self::Draining
            | Self::Expired
            | Self::NoFreeSlot
            | Self::Cancelled
            | Self::HandlerPanicked
            | Self::HandlerFailed
            | Self::ReplyTooLarge
            | Self::ReplyUndecodable => false,
        }
    }

    /// Writes the cause: who, what, how long.
    pub(super) fn write_cause(self, f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
        let peer = Peer(e);
        let waited = Seconds(e.waited);
        match self {
            Self::NoServer => {
                let tries = Count(e.transmissions, "try", "tries");
                write!(
                    f,
                    "no server named {} is registered (asked {peer}, {tries} in {waited})",
                    e.detail
                )
            }
            Self::Unreachable => {
                let tries = Count(e.transmissions, "try", "tries");
                write!(f, "no server answers at {peer} ({tries} in {waited})")?;
                detail(f, e)
            }
            Self::BadAddress | Self::Misconfigured | Self::Unmarshallable => f.write_str(&e.detail),
            Self::JournalFailed if e.detail.is_empty() => {
                f.write_str("the client's journal could not be written")
            }
            Self::JournalFailed => f.write_str(&e.detail),
            Self::StaleBinding => {
                write!(f, "another server lives at {peer}")?;
                detail(f, e)
            }
            Self::LeftAlone => {
                write!(f, "{peer} keeps failing and is left alone: ")?;
                match e.push_back {
                    Some(wait) => write!(f, "a call in {} asks again", Seconds(wait)),
                    None => f.write_str("a call is asking again now"),
                }
            }
            Self::NoReply => {
                let sent = Count(e.transmissions, "transmission", "transmissions");
                write!(f, "no reply from {peer} to {sent} in {waited}")?;
                if e.working_seen {
                    f.write_str(", and it was at work when last heard")?;
                }
                detail(f, e)
            }
            Self::ServerRestarted => {
                write!(f, "the server at {peer} restarted during the call")?;
                detail(f, e)
            }
            Self::SessionLost => write!(f, "the session with {peer} ended during the call"),
            Self::Forgotten => write!(f, "{peer} has used the call's slot for a later call"),
            Self::GenerationEnded => {
                write!(f, "{peer} has deleted what it knew of this client's calls")?;
                detail(f, e)
            }
            Self::IdentityInUse => write!(f, "another client calls {peer} under the same identity"),
            Self::Overloaded => {
                write!(f, "{peer} is overloaded")?;
                push_back(f, e)?;
                detail(f, e)
            }
            Self::Draining => {
                write!(f, "{peer} is draining and takes no new calls")?;
                push_back(f, e)
            }
            Self::VersionMismatch => {
                write!(f, "{peer} speaks another version of the protocol")?;
                detail(f, e)
            }
            Self::InterfaceMismatch => write!(f, "{peer} offers another interface: {}", e.detail),
            Self::UnknownMethod => {
                write!(f, "{peer} knows no such method")?;
                detail(f, e)
            }
            Self::ChangedMethod => {
                write!(f, "{peer} has the method in another form")?;
                detail(f, e)
            }
            Self::TooLarge => write!(f, "the request is too large: {}", e.detail),
            Self::Unauthorised => {
                write!(f, "{peer} does not allow this call")?;
                detail(f, e)
            }
            Self::Expired => write!(f, "the deadline passed after {waited}, before the call began"),
            Self::BadArguments => {
                write!(f, "{peer} could not decode the parameters")?;
                detail(f, e)
            }
            Self::NoFreeSlot => write!(f, "too many calls under way, none ended in {waited}"),
            Self::Cancelled => {
                f.write_str("the call was cancelled")?;
                detail(f, e)
            }
            Self::HandlerPanicked => {
                f.write_str("the handler panicked")?;
                detail(f, e)
            }
            Self::HandlerFailed => f.write_str("the handler gave up"),
            Self::ReplyTooLarge => {
                f.write_str("the reply is too large to be sent")?;
                detail(f, e)
            }
            Self::ReplyUndecodable => {
                f.write_str("the reply could not be decoded")?;
                detail(f, e)
            }
        }
    }

    /// What to do about it, given the certainty; empty where the cause says it all.
    pub(super) const fn advice(self, execution: Execution) -> &'static str {
        match (execution, self) {
            (Execution::Executed, _) => "",
            (Execution::Unknown, Self::Forgotten | Self::GenerationEnded) => {
                "retry only if idempotent"
            }
            (Execution::Unknown, _) => "retry only if idempotent, or resolve the call",
            (
                Execution::NotExecuted,
                Self::BadAddress | Self::Misconfigured | Self::Unmarshallable | Self::JournalFailed,
            ) => "",
            (Execution::NotExecuted, Self::NoServer) => "start one, or retry later",
            (
                Execution::NotExecuted,
                Self::InterfaceMismatch
                | Self::UnknownMethod
                | Self::ChangedMethod
                | Self::BadArguments,
            ) => "build client and server from the same interface",
            (Execution::NotExecuted, Self::VersionMismatch) => "update the older side",
            (Execution::NotExecuted, Self::TooLarge) => "send less at a time",
            (Execution::NotExecuted, Self::IdentityInUse) => {
                "give each process a journal, or an id, of its own"
            }
            (Execution::NotExecuted, Self::Unauthorised) => "ask whoever runs the server",
            (Execution::NotExecuted, _) => "safe to retry",
        }
    }
}

/// The peer's address, or what stands for it.
struct Peer<'a>(&'a Evidence);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.peer {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("the server"),
        }
    }
}

/// A duration in the unit a person would choose.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match micros {
            0..1_000 => write!(f, "{micros} us"),
            1_000..1_000_000 => write!(f, "{} ms", micros / 1_000),
            _ => write!(f, "{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
        }
    }
}

/// A number of things.
struct Count(u32, &'static str, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { self.1 } else { self.2 })
    }
}

fn detail(f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
    if e.detail.is_empty() { Ok(()) } else { write!(f, ": {}", e.detail) }
}

fn push_back(f: &mut fmt::Formatter<'_>, e: &Evidence) -> fmt::Result {
    match e.push_back {
        Some(wait) if !wait.is_zero() => write!(f, " and asks to wait {}", Seconds(wait)),
        _ => Ok(()),
    }
}
