//! What one slot of a session remembers about its last call.
//!
//! ```text
//!           request              begin               finish                 ACK
//!   Empty ──────────► Queued ──────────► Running ──────────► Done ──────► Acked
//!     │  refuse           │ SEAL, CANCEL                       └─ at_least_once: Forgotten, Closed
//!     └──────► Refused    └──────► Sealed          (a higher sequence starts again at the left)
//! ```
//!
//! Invariant 1 (at most once) rests on two places: only a sequence above `last` is accepted, and
//! only [`Slot::begin`] makes a queued call run.

use super::super::fragment::{AckProtocol, Message};
use super::super::timers::TimerId;
use super::MethodEntry;
use crate::ids::{CallId, GenerationId, Incarnation, Sequence, SessionId, SlotIndex, Space};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{RefuseReason, ReplyStatus};

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    /// In a session.
    Session(SessionId, SlotIndex),
    /// In a generation, whatever session has that.
    Durable(GenerationId, SlotIndex),
}

impl Spot {
    pub(super) const fn space(self) -> Space {
        match self {
            Self::Session(..) => Space::Session,
            Self::Durable(..) => Space::Durable,
        }
    }

    pub(super) const fn index(self) -> SlotIndex {
        let (Self::Session(_, index) | Self::Durable(_, index)) = self;
        index
    }

    /// A call in it, as a client names that.
    pub(super) const fn call_id(self, sequence: Sequence) -> CallId {
        let session = match self {
            Self::Session(id, _) => id,
            Self::Durable(generation, _) => SessionId(generation.0),
        };
        CallId { session, space: self.space(), slot: self.index(), sequence }
    }
}

/// One slot of the server's table.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// The highest sequence accepted.
    pub(super) last: Sequence,
    pub(super) state: State,
    /// The last call's request digest.
    pub(super) digest: u64,
    /// Executions of the last call.
    pub(super) attempt: u32,
    /// The last quantum of the execution before, whose answers may still come: the next execution
    /// of the call counts on.
    pub(super) quantum: u32,
    pub(super) timer: Option<TimerId>,
    /// Bytes reserved or used in the store of replies.
    pub(super) stored_bytes: usize,
    /// Bytes of a reply that an earlier life stored, and that was read with the generation.
    pub(super) row_bytes: usize,
}

/// Where the last call of a slot stands.
#[derive(Clone, Debug, Default)]
pub(super) enum State {
    /// No call yet.
    #[default]
    Empty,
    /// Accepted, not begun.
    Queued(Live),
    /// The handler is at work.
    Running(Live),
    /// Ran; the reply is kept.
    Done(Stored),
    /// Refused for good. `name` is the hash of what was called: it finds the words again.
    Refused { reason: RefuseReason, push_back: Duration, name: u32 },
    /// Promised never to run; matches every digest, because nobody saw its request.
    Sealed,
    /// Ran, and the client has the reply.
    Acked,
    /// An `at_least_once` call that ran: a duplicate runs again.
    Forgotten,
    /// An `at_least_once` call that ran and was then called off: it never runs again. Or a durable one
    /// of which the store did not say whether it was committed: nothing is said of it.
    Closed,
}

/// A call under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// Whether a duplicate may run again, so that no reply is stored.
    pub(super) repeatable: bool,
    pub(super) arrived: Instant,
    pub(super) not_after: Instant,
    /// The longest reply, in bytes.
    pub(super) reply_bytes_max: u32,
    /// The transmission that arrived last.
    pub(super) transmission: u16,
    /// The session that asked about it last: there a durable call is told how it ended, and any call
    /// asked for at the end of a quantum.
    pub(super) asker: SessionId,
    /// Its method, by its place in the server's table.
    pub(super) method: usize,
    /// When it is reported unasked; `None` once it was.
    pub(super) report_at: Option<Instant>,
    /// Whether it was called off, and the handler told unless it may not be stopped.
    pub(super) cancelled: bool,
    /// Whether anybody sealed it or called it off: it does not run again.
    pub(super) stopped: bool,
    /// Which quantum runs, from 1, and when it ends.
    pub(super) quantum: u32,
    pub(super) quantum_ends: Option<Instant>,
    /// The question at the quantum's end, while it has no answer.
    pub(super) asked: Option<Asked>,
    /// The question whether its owner lives, while it has no answer.
    pub(super) owner: Option<OwnerAsked>,
    /// When its handler is counted as one that does not stop.
    pub(super) stubborn_at: Option<Instant>,
}

/// A quantum is over, and the caller was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// When first.
    pub(super) at: Instant,
    /// When again.
    pub(super) again: Instant,
}

/// A later life of the client was welcomed, and the owner was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerAsked {
    /// That life.
    pub(super) announced: Incarnation,
    /// How often.
    pub(super) tries: u32,
    /// When again.
    pub(super) again: Instant,
}

impl Live {
    /// A call that arrives now; of the first quantum, until somebody says otherwise.
    pub(super) const fn queued(
        now: Instant,
        not_after: Instant,
        (asker, transmission): (SessionId, u16),
        (method, entry): (usize, &MethodEntry),
        report_at: Instant,
    ) -> Self {
        Self {
            repeatable: matches!(entry.semantics, Semantics::AtLeastOnce),
            arrived: now,
            not_after,
            reply_bytes_max: entry.reply_bytes_max,
            transmission,
            asker,
            method,
            report_at: Some(report_at),
            cancelled: false,
            stopped: false,
            quantum: 1,
            quantum_ends: None,
            asked: None,
            owner: None,
            stubborn_at: None,
        }
    }

    /// How long it may go on as things stand.
    pub(super) fn left(&self, now: Instant) -> Duration {
        now.until(self.quantum_ends.map_or(self.not_after, |ends| ends.min(self.not_after)))
    }
}

/// The outcome of an execution, sent again to every duplicate.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) status: ReplyStatus,
    pub(super) body: Message,
    pub(super) handler_us: u32,
    /// How its fragments are acknowledged, if its method says.
    pub(super) ack: Option<AckProtocol>,
}

impl Slot {
    /// The call under way, if there is one.
    pub(super) const fn live(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Queued(live) | State::Running(live) => Some(live),
            State::Empty
            | State::Done(_)
            | State::Refused { .. }
            | State::Sealed
            | State::Acked
            | State::Forgotten
            | State::Closed => None,
        }
    }

    /// Whether a request under `last` with this digest is another one than was accepted.
    pub(super) const fn is_mismatch(&self, digest: u64) -> bool {
        match self.state {
            State::Sealed | State::Acked => false,
            State::Empty
            | State::Queued(_)
            | State::Running(_)
            | State::Done(_)
            | State::Refused { .. }
            | State::Forgotten
            | State::Closed => self.digest != digest,
        }
    }

    /// The one place where an execution begins.
    pub(super) fn begin(&mut self) -> bool {
        let State::Queued(live) = self.state else { return false };
        self.state = State::Running(live);
        true
    }
}
