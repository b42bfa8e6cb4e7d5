//! What a client that keeps a journal asks to have written down, and what its next life starts from.
//!
//! A recorded call is on the disk before its first byte leaves, and its end before that is reported
//! (protocol tables, C3, H3). The machine says what to write and waits to be told that it is there;
//! where and how is its driver's business.

use super::{CallSpec, Outcome};
use crate::ids::{CallId, GenerationId, Incarnation, Sequence, ServerId, SlotIndex};

/// What is to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A call is about to be handed over. Waited for:
    /// [`Client::started_recorded`](super::Client::started_recorded).
    Started(StartedRecord),
    /// How a call ended, or what a question found out. Waited for:
    /// [`Client::ended_recorded`](super::Client::ended_recorded).
    Ended(Outcome),
    /// A call that was to be handed over is not: it gets another place. Not waited for.
    Withdrawn,
    /// The server has deleted the generation that the call's name tells. Not waited for.
    Forgotten,
}

/// Whether what was to be written down is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// It is.
    Yes,
    /// It is not, and will not be.
    No,
    /// It was written and not flushed: the next life may find it, or may not.
    Perhaps,
}

/// A call that is about to be handed over: all it takes to ask for it, or send it, in another life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedRecord {
    /// The server that the session is with.
    pub server: ServerId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// What was called.
    pub spec: CallSpec,
    /// The request's digest, which 64 random bits are part of if the call is durable.
    pub digest: u64,
    /// Whether it may have run in an earlier place, as a call may that may run again.
    pub in_doubt: bool,
    /// The marshalled arguments.
    pub arguments: Vec<u8>,
}

/// A client's durable slots at one server, as an earlier life left them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTable {
    /// Whose store they are in.
    pub server: ServerId,
    /// What they are called.
    pub generation: GenerationId,
    /// Those that were used.
    pub slots: Vec<ClientSlot>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSlot {
    /// Which.
    pub slot: SlotIndex,
    /// Its last call.
    pub sequence: Sequence,
    /// Whether that call has no end that is known.
    pub is_open: bool,
}

/// A call of an earlier life, in a session that is not this life's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerCall {
    /// Its name.
    pub call: CallId,
    /// The server that the session was with.
    pub server: ServerId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Whether it may have run in an earlier place: then that it did not in this one says little.
    pub in_doubt: bool,
}
