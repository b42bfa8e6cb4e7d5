//! What a server says about a call: the state of a slot turned into a PDU.
//!
//! Knows how an answer looks; does not know why it is given (`calls.rs`, `stop.rs`).

use super::handshake::millis;
use super::slot::State;
use super::{Server, envelope};
use crate::ids::{Sequence, SessionId, SlotIndex, Space};
use crate::time::Instant;
use crate::wire::{Pdu, Refuse, Reply, ReplyStatus, Sealed, SealedVerdict, Working};

/// What a duplicate, a probe or a stop of a call is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) slot: SlotIndex,
    pub(super) sequence: Sequence,
    /// Repeated in the answer.
    pub(super) stamp: u64,
    /// The REQUEST's transmission; 0 if it is none.
    pub(super) transmission: u16,
}

impl Server {
    /// Answers a duplicate, or tells an outcome for the first time: what the slot stores.
    pub(super) fn answer(&mut self, now: Instant, id: SessionId, ask: Ask) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let envelope = envelope(self.identity.incarnation, session, Space::Session);
        let to = session.address;
        let Ask { slot: index, sequence, stamp, transmission } = ask;
        let working = Working {
            slot: index,
            sequence,
            running: sequence,
            quantum_left_us: 0,
            session_time_us: session.time_us(now),
            stamp,
        };
        let sealed = |verdict| Sealed { slot: index, sequence, verdict, pad: [0; 3], stamp };
        if let Some(slot) = session.slot(index) {
            let attempt = slot.attempt;
            let pdu = match &slot.state {
                State::Queued(live) | State::Running(live) => {
                    let ends = live.quantum_ends.map_or(live.not_after, |e| e.min(live.not_after));
                    let left = now.until(ends).as_micros();
                    let quantum_left_us = u64::try_from(left).unwrap_or(u64::MAX);
                    Some(Pdu::Working(Working { quantum_left_us, ..working }))
                }
                State::Done(stored) => Some(Pdu::Reply(Reply {
                    slot: index,
                    sequence,
                    attempt,
                    handler_us: stored.handler_us,
                    fragment: 0,
                    fragments: 1,
                    transmission,
                    status: stored.status,
                    body: &stored.body,
                })),
                State::Refused { reason, push_back, name } => Some(Pdu::Refuse(Refuse {
                    slot: index,
                    sequence,
                    reason: *reason,
                    push_back_ms: millis(*push_back),
                    detail: self.explanations.of(*reason, *name, &self.methods),
                })),
                State::Sealed => Some(Pdu::Sealed(sealed(SealedVerdict::NotExecuted))),
                State::Closed => Some(Pdu::Sealed(sealed(SealedVerdict::Closed))),
                State::Empty | State::Acked | State::Forgotten => None,
            };
            if let Some(pdu) = pdu {
                self.outbox.send(to, &envelope, &pdu);
            }
        }
    }

    /// WORKING, unasked, for a call that has been under way for a while.
    pub(super) fn report(
        &mut self,
        now: Instant,
        id: SessionId,
        slot: SlotIndex,
        sequence: Sequence,
    ) {
        self.answer(now, id, Ask { slot, sequence, stamp: 0, transmission: 0 });
    }

    /// WORKING for a call whose slot executes `running`.
    pub(super) fn send_working(
        &mut self,
        now: Instant,
        id: SessionId,
        ask: Ask,
        running: Sequence,
    ) {
        let Some(session) = self.sessions.get(&id) else { return };
        let working = Working {
            slot: ask.slot,
            sequence: ask.sequence,
            running,
            quantum_left_us: 0,
            session_time_us: session.time_us(now),
            stamp: ask.stamp,
        };
        let envelope = envelope(self.identity.incarnation, session, Space::Session);
        let to = session.address;
        self.outbox.send(to, &envelope, &Pdu::Working(working));
    }
}

/// What is told of an execution whose body may take `bytes_max`: a reply that is longer is too large
/// (the body says by how much), a panic's text is cut, a report that cannot be cut is left out.
pub(super) fn fitted(
    status: ReplyStatus,
    mut body: Vec<u8>,
    bytes_max: u32,
) -> (ReplyStatus, Vec<u8>) {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let length = body.len();
    if length <= bytes_max {
        return (status, body);
    }
    match status {
        ReplyStatus::Panicked => {
            body.truncate(
                std::str::from_utf8(&body).map_or(0, |t| t.floor_char_boundary(bytes_max)),
            );
            (status, body)
        }
        ReplyStatus::Returned | ReplyStatus::TooLarge => {
            body.clear();
            body.extend_from_slice(format!("{length} bytes, {bytes_max} fit").as_bytes());
            body.truncate(bytes_max);
            (ReplyStatus::TooLarge, body)
        }
        ReplyStatus::Cancelled | ReplyStatus::CancelledPartial | ReplyStatus::HandlerFailed => {
            body.clear();
            (status, body)
        }
    }
}
