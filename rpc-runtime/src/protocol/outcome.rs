//! How a call ended, as the client's machine knows it, and what it saw.

use crate::address::Address;
use crate::error::Execution;
use crate::ids::{Incarnation, ServerId};
use crate::time::{Duration, Instant};
use crate::wire::{RefuseReason, RejectReason, ReplyStatus};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler returned; this is the body of its reply.
    Returned(Vec<u8>),
    /// A `maybe` call was handed to the transport.
    Sent,
    /// The call ran and has no result.
    Failed {
        /// How it ended.
        status: ReplyStatus,
        /// Its last words.
        body: Vec<u8>,
    },
    /// The server refused the call: it did not run and never will.
    Refused {
        /// Why.
        reason: RefuseReason,
        /// How long to leave the server alone.
        push_back: Duration,
        /// In words.
        detail: String,
    },
    /// No session opened, and the call was never handed over.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// Who answered.
        server: ServerId,
        /// In which life.
        incarnation: Incarnation,
        /// The lowest and the highest version of the protocol that it speaks.
        versions: (u8, u8),
        /// How long to leave the server alone.
        push_back: Duration,
    },
    /// The call was never handed to the transport.
    NotSent(NotSentCause),
    /// The server promised never to run the call.
    Sealed,
    /// The call may have run.
    InDoubt(DoubtCause),
}

impl Outcome {
    /// Did the call run?
    #[must_use]
    pub const fn execution(&self) -> Execution {
        match self {
            Self::Returned(_) | Self::Failed { .. } => Execution::Executed,
            Self::Refused { .. } | Self::Rejected { .. } | Self::NotSent(_) | Self::Sealed => {
                Execution::NotExecuted
            }
            Self::Sent | Self::InDoubt(_) => Execution::Unknown,
        }
    }
}

/// Why a call was never handed to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotSentCause {
    /// No session opened before the deadline.
    Unreachable,
    /// No slot became free before the deadline.
    NoFreeSlot,
    /// Too many calls wait already.
    QueueFull,
    /// The caller gave up.
    Cancelled,
    /// The arguments do not fit.
    TooLarge,
    /// The server takes no new calls.
    Draining,
    /// The deadline had passed already.
    Expired,
    /// The connection was closed.
    ConnectionClosed,
    /// The semantics need a mechanism that this connection does not have.
    Unsupported,
    /// The client's journal could not be written.
    JournalFailed,
}

/// Why it is not known whether a call ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoubtCause {
    /// No answer before the deadline.
    NoReply,
    /// The server's incarnation that had the call is gone.
    ServerRestarted,
    /// The session that carried the call is gone.
    SessionLost,
    /// The server has forgotten the call: its slot was used again, or its reply acknowledged.
    Closed,
    /// The caller gave up after the call was handed over.
    Cancelled,
    /// The call was refused, after an earlier transmission may have run.
    RefusedAfterDoubt,
    /// The server has deleted the client's durable slots, and with them what it knew of the call.
    GenerationEnded,
    /// So many lives of the server ended while they had the call that it may be what kills them.
    ServerDied,
    /// The call is known not to have run so far, but the client's journal, from which its next life
    /// could send it, does not say so or may have it open: it could not be written.
    JournalFailed,
}

/// What the machine saw of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How often the request, or a HELLO for its sake, was handed to the transport.
    pub transmissions: u32,
    /// When the call was started.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Who was asked.
    pub peer: Address,
    /// The server that the session is with.
    pub server: ServerId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Whether the server said that the call was at work.
    pub working_seen: bool,
    /// How many lives of the server ended while they had it.
    pub server_deaths: u32,
    /// Probes sent since, without an answer to any.
    pub probes_unanswered: u32,
}

impl Evidence {
    /// Whether nothing was heard of the call when more was to be expected: its server may be dead.
    /// One that said that it works answers probes; the last one may just have left.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        !self.working_seen || self.probes_unanswered >= SILENT_PROBES_MIN
    }
}

/// Unanswered probes that are not taken for one that was lost or is on its way.
const SILENT_PROBES_MIN: u32 = 2;

#[cfg(test)]
impl Evidence {
    /// Of a call that was handed over once, and of which nothing was heard.
    pub(crate) const OF_NOTHING: Self = Self {
        transmissions: 1,
        started: Instant::START,
        ended: Instant::START,
        peer: Address::Virtual(1),
        server: ServerId::NONE,
        incarnation: Incarnation::NONE,
        working_seen: false,
        server_deaths: 0,
        probes_unanswered: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_to_hear_nothing_or_to_probe_in_vain_more_than_once() {
        let evidence = |working_seen, probes_unanswered| Evidence {
            working_seen,
            probes_unanswered,
            ..Evidence::OF_NOTHING
        };
        assert!(evidence(false, 0).is_silence());
        assert!(!evidence(true, 0).is_silence());
        assert!(!evidence(true, 1).is_silence(), "the last one may just have left");
        assert!(evidence(true, 2).is_silence());
    }
}
