//! One call, from its start to its end.

use super::super::fragment::{Message, Outgoing};
use super::super::timers::TimerId;
use super::arguments::Arguments;
use super::{CallSpec, NotSentCause, Outcome};
use crate::ids::{CallId, Incarnation, MethodFingerprint, ServerId};
use crate::protocol::DoubtCause;
use crate::semantics::Semantics;
use crate::time::Instant;

/// A call, or a resolve, under way.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) generation: u64,
    pub(super) spec: CallSpec,
    pub(super) arguments: Arguments,
    pub(super) digest: u64,
    pub(super) stage: Stage,
    /// The place it has, or had last.
    pub(super) id: CallId,
    pub(super) timer: Option<TimerId>,
    pub(super) started: Instant,
    /// Requests handed to the transport, over all sessions.
    pub(super) transmissions: u32,
    /// Waits since it was last new: the back-off.
    pub(super) tries: u32,
    /// When the last request left.
    pub(super) sent_at: Instant,
    /// Whether only probes are sent, because the server said that it works.
    pub(super) probing: bool,
    pub(super) working_seen: bool,
    /// Probes sent since the server last said so.
    pub(super) probes_unanswered: u32,
    /// An earlier session may have run it (`at_least_once` only).
    pub(super) in_doubt: bool,
    /// The life of the server that it was handed to last (durable calls only).
    pub(super) carrier: Incarnation,
    /// Lives of the server that ended while they had it.
    pub(super) deaths: u32,
    /// HELLOs that the connection had sent when the call was started.
    pub(super) hellos_before: u32,
    /// Whether it is written down before it is handed over, and its end before that is told.
    pub(super) recorded: bool,
    /// How it ended, while that is written down.
    pub(super) outcome: Option<Box<Outcome>>,
    /// Whom a session was with that the question is about and that is not this life's.
    pub(super) former: Option<(ServerId, Incarnation)>,
    /// Whether the question calls the call off, too.
    pub(super) stops: bool,
    /// Bytes of each fragment of its large request, once it was cut: anew only into more of them.
    pub(super) each_bytes: u32,
    /// Its large request, while that is under way.
    pub(super) outgoing: Option<Box<Outgoing>>,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// For a session or a slot.
    Waiting,
    /// It has this slot, and is written down before it is handed over.
    Recording(usize),
    /// Handed over, in this slot.
    Busy(usize),
    /// Not a call but the question what became of one.
    Resolving,
    /// It has ended, which is written down before it is told; until then it keeps its slot.
    Closing(Option<usize>),
}

impl Call {
    pub(super) const fn new(now: Instant, spec: CallSpec, stage: Stage, hellos: u32) -> Self {
        Self {
            generation: 0,
            spec,
            arguments: Arguments::Own(Message::Short(Vec::new())),
            digest: 0,
            stage,
            id: CallId::UNSENT,
            timer: None,
            started: now,
            transmissions: 0,
            tries: 0,
            sent_at: now,
            probing: false,
            working_seen: false,
            probes_unanswered: 0,
            in_doubt: false,
            carrier: Incarnation::NONE,
            deaths: 0,
            hellos_before: hellos,
            recorded: false,
            outcome: None,
            former: None,
            stops: false,
            each_bytes: 0,
            outgoing: None,
        }
    }

    /// Makes another call of one that has ended, as [`Call::new`] does. Word by word: to copy what was just
    /// put together waits for it.
    pub(super) fn renew(&mut self, now: Instant, spec: &CallSpec, stage: Stage, hellos: u32) {
        let Self {
            generation: _, // whoever inserts it says
            spec: own_spec,
            arguments,
            digest,
            stage: own_stage,
            id,
            timer,
            started,
            transmissions,
            tries,
            sent_at,
            probing,
            working_seen,
            probes_unanswered,
            in_doubt,
            carrier,
            deaths,
            hellos_before,
            recorded,
            outcome,
            former,
            stops,
            each_bytes,
            outgoing,
        } = self;
        (*own_spec, *own_stage, *id) = (*spec, stage, CallId::UNSENT);
        *arguments = Arguments::default();
        (*timer, *started, *sent_at) = (None, now, now);
        (*digest, *transmissions, *tries, *hellos_before) = (0, 0, 0, hellos);
        (*probing, *working_seen, *in_doubt, *recorded, *stops) =
            (false, false, false, false, false);
        (*probes_unanswered, *deaths, *each_bytes) = (0, 0, 0);
        (*carrier, *former) = (Incarnation::NONE, None);
        (*outcome, *outgoing) = (None, None);
    }

    /// A resolve of `id` that ends at `deadline`.
    pub(super) fn resolve(now: Instant, id: CallId, deadline: Instant, hellos: u32) -> Self {
        let spec = CallSpec {
            method: MethodFingerprint::NONE,
            name: 0,
            semantics: Semantics::AtMostOnce,
            deadline,
            depth: 0,
            recorded: false,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        Self { id, ..Self::new(now, spec, Stage::Resolving, hellos) }
    }

    /// The outcome of a call that waits: the join over all its transmissions (C7).
    pub(super) const fn unsent(&self, cause: NotSentCause) -> Outcome {
        if !self.in_doubt {
            return Outcome::NotSent(cause);
        }
        Outcome::InDoubt(match cause {
            NotSentCause::Cancelled => DoubtCause::Cancelled,
            NotSentCause::Unreachable
            | NotSentCause::NoFreeSlot
            | NotSentCause::QueueFull
            | NotSentCause::TooLarge
            | NotSentCause::Draining
            | NotSentCause::Expired
            | NotSentCause::ConnectionClosed
            | NotSentCause::Unsupported
            | NotSentCause::JournalFailed => DoubtCause::NoReply,
        })
    }

    /// `outcome`, unless it denies an execution that an earlier transmission may have had.
    pub(super) fn joined(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::NotSent(cause) => self.unsent(cause),
            Outcome::Returned(_)
            | Outcome::Sent
            | Outcome::Failed { .. }
            | Outcome::Refused { .. }
            | Outcome::Rejected { .. }
            | Outcome::Sealed
            | Outcome::InDoubt(_) => joined(self.in_doubt, outcome),
        }
    }
}

/// `outcome` of a call's last transmission, joined with those in earlier sessions (C7).
pub(super) fn joined(in_doubt: bool, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused { .. } | Outcome::Rejected { .. } | Outcome::Sealed if in_doubt => {
            Outcome::InDoubt(DoubtCause::RefusedAfterDoubt)
        }
        Outcome::Returned(_)
        | Outcome::Sent
        | Outcome::Failed { .. }
        | Outcome::Refused { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotSent(_)
        | Outcome::Sealed
        | Outcome::InDoubt(_) => outcome,
    }
}
