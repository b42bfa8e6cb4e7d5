//! The call protocol as plain state machines: bytes and a time go in, bytes and a wake-up come out.
//!
//! ```text
//!   handle_datagram(now, from, bytes) ─┐                    ┌─► Output::Event(..)
//!   handle_timeout(now) ───────────────┼─► machine ─► outbox┼─► Output::Transmit { to }   (bytes in the caller's buffer)
//!   start / begin / finish / … ────────┘                    └─► Output::Wait { until, why }
//! ```
//!
//! After every way in, drain with `poll_output` until it says `Wait`. Machines fill their outbox
//! while they handle input, so the drain only pops. Nothing here knows a clock, a socket, a thread
//! or a source of randomness: all are arguments. The tables that these machines implement stand in
//! docs/protocol.md.

pub mod limits;
pub mod counters;
pub mod outcome;
pub mod record;
pub mod explain;
pub mod orphan;
pub mod fragment;
mod timers;
mod outbox;
mod path;
mod window;
mod cookie;
mod retransmit;
#[cfg(feature = "model")]
mod digest;
pub mod server;
pub mod client;

use std::fmt;

use crate::address::Address;
use crate::time::Instant;

pub(crate) use client::Arguments;
pub use client::{CallKey, CallSpec, Client, ClientEvent, ClientIdentity, Ended, Target};
pub use counters::{ClientCounters, ServerCounters};
pub use explain::Explanations;
pub use fragment::AckProtocol;
pub use limits::Limits;
pub use orphan::{OnFence, OrphanPolicy, OrphanStrategy};
pub(crate) use outbox::POOLED_BYTES_MAX;
pub use outcome::{DoubtCause, Evidence, NotSentCause, Outcome};
pub use record::{ClientSlot, ClientTable, FormerCall, OnDisk, Record, StartedRecord};
pub use server::{
    Begin, DurableRow, DurableTable, Execute, MethodEntry, OpeningKey, Server, ServerEvent,
    ServerIdentity, Ticket,
};

/// What a machine wants next.
#[derive(Debug)]
pub enum Output<E> {
    /// Something for the layer above.
    Event(E),
    /// The datagram in the caller's buffer goes to `to`.
    Transmit {
        /// Where to.
        to: Address,
    },
    /// Nothing before `until`; `None` is never.
    Wait {
        /// When to call `handle_timeout`.
        until: Option<Instant>,
        /// What the wait is for.
        why: Reason,
    },
}

/// What a machine waits for: makes a stuck run readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is due, ever.
    Idle,
    /// A request, a probe or a HELLO is due to be sent again.
    Retransmission,
    /// A call's deadline.
    Deadline,
    /// A session's lease, or the end of a drain.
    Lease,
    /// A running call is to be reported.
    Working,
    /// The last replies are to be acknowledged.
    Acknowledgement,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "nothing",
            Self::Retransmission => "a retransmission",
            Self::Deadline => "a deadline",
            Self::Lease => "a lease",
            Self::Working => "a running call to report",
            Self::Acknowledgement => "an acknowledgement",
        })
    }
}

/// How an execution ended, as the server layer reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerEnd {
    /// The handler returned; the body is what it returned.
    Returned,
    /// The handler panicked; the body is the panic's text.
    Panicked,
    /// The handler stopped because its call was cancelled.
    Cancelled {
        /// Whether it had begun to do something.
        partial: bool,
    },
    /// The handler gave up; the body is its report.
    HandlerFailed,
    /// The arguments could not be decoded, so the handler was never entered.
    BadArguments,
    /// The handler returned more than its method's replies may hold; the body says how much.
    TooLarge,
    /// A durable call whose transaction is certain not to have been committed: it did not run.
    NotCommitted,
    /// A durable call whose transaction may have been committed, and the store does not answer.
    Unsettled,
}

impl HandlerEnd {
    /// What a client is told of it; an end that is told in another way has none of its own.
    #[must_use]
    pub const fn status(self) -> crate::wire::ReplyStatus {
        match self {
            Self::Returned => crate::wire::ReplyStatus::Returned,
            Self::Panicked => crate::wire::ReplyStatus::Panicked,
            Self::Cancelled { partial: false } => crate::wire::ReplyStatus::Cancelled,
            Self::Cancelled { partial: true } => crate::wire::ReplyStatus::CancelledPartial,
            Self::TooLarge => crate::wire::ReplyStatus::TooLarge,
            Self::HandlerFailed | Self::BadArguments | Self::NotCommitted | Self::Unsettled => {
                crate::wire::ReplyStatus::HandlerFailed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_wait_has_a_name() {
        use Reason::{Acknowledgement, Deadline, Idle, Lease, Retransmission, Working};
        let reasons = [Idle, Retransmission, Deadline, Lease, Working, Acknowledgement];
        assert_eq!(
            reasons.map(|reason| reason.to_string()).join(", "),
            "nothing, a retransmission, a deadline, a lease, a running call to report, \
             an acknowledgement"
        );
    }
}
