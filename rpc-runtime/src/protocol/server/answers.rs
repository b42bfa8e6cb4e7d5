//! What a server says about a call: the state of a slot turned into a PDU.
//!
//! Knows how an answer looks; does not know why it is given (`calls.rs`, `stop.rs`).

use super::handshake::millis;
use super::slot::{Slot, Spot, State};
use super::{Server, envelope};
use crate::ids::{Sequence, SessionId, SlotIndex, Space};
use crate::protocol::fragment::Lane;
use crate::time::{Duration, Instant};
use crate::wire::{Pdu, Refuse, RefuseReason, Reply, ReplyStatus, Sealed, SealedVerdict, Working};

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

/// The time, by this clock and as the session counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: Instant,
    pub(super) session_time_us: u64,
}

impl Ask {
    /// WORKING, for a slot that carries `running` with `left` to go.
    pub(super) fn working(self, running: Sequence, left: Duration, clock: Clock) -> Working {
        Working {
            slot: self.slot,
            sequence: self.sequence,
            running,
            quantum_left_us: u64::try_from(left.as_micros()).unwrap_or(u64::MAX),
            session_time_us: clock.session_time_us,
            stamp: self.stamp,
        }
    }
}

impl Slot {
    /// What a duplicate or a question is told, if anything is.
    pub(super) fn told<'a>(
        &'a self,
        ask: Ask,
        clock: Clock,
        explain: impl FnOnce(RefuseReason, u32) -> &'a str,
    ) -> Option<Pdu<'a>> {
        let Ask { slot, sequence, stamp, transmission } = ask;
        let sealed = |verdict| Sealed { slot, sequence, verdict, pad: [0; 3], stamp };
        match &self.state {
            State::Queued(live) | State::Running(live) => {
                Some(Pdu::Working(ask.working(sequence, live.left(clock.now), clock)))
            }
            State::Done(stored) => Some(Pdu::Reply(Reply {
                slot,
                sequence,
                attempt: self.attempt,
                handler_us: stored.handler_us,
                fragment: 0,
                fragments: 1,
                transmission,
                status: stored.status,
                session_time_us: clock.session_time_us,
                body: &stored.body,
            })),
            State::Refused { reason, push_back, name } => Some(Pdu::Refuse(Refuse {
                slot,
                sequence,
                reason: *reason,
                push_back_ms: millis(*push_back),
                session_time_us: clock.session_time_us,
                detail: explain(*reason, *name),
            })),
            State::Sealed => Some(Pdu::Sealed(sealed(SealedVerdict::NotExecuted))),
            State::Closed => Some(Pdu::Sealed(sealed(SealedVerdict::Closed))),
            State::Empty | State::Acked | State::Forgotten => None,
        }
    }
}

impl Server {
    /// Answers a duplicate, or tells an outcome for the first time: what the slot stores.
    pub(super) fn answer(&mut self, now: Instant, id: SessionId, ask: Ask) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(slot) = session.used_slot(ask.slot) else { return };
        if Self::holds_large(session.address, &slot.state) {
            let lane = Lane::new(id, Space::Session, ask.slot);
            return self.pour_stored(now, lane, ask.transmission);
        }
        let envelope = envelope(self.identity.incarnation, session, Space::Session);
        let explain = |reason, name| self.explanations.of(reason, name, &self.methods);
        if let Some(pdu) = slot.told(ask, session.clock(now), explain) {
            self.outbox.send(session.address, &envelope, &pdu);
        }
    }

    /// WORKING, unasked, for a call that has been under way for a while.
    pub(super) fn report(&mut self, now: Instant, spot: Spot) {
        let Some(slot) = self.slot_at(spot) else { return };
        let ask = Ask { slot: spot.index(), sequence: slot.last, stamp: 0, transmission: 0 };
        let asker = slot.live().map(|live| live.asker);
        match (spot, asker) {
            (Spot::Session(id, _), _) => self.answer(now, id, ask),
            (Spot::Durable(id, index), Some(asker)) => {
                self.tell_durable(now, (id, index), ask, asker);
            }
            (Spot::Durable(..), None) => {}
        }
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
        let working = ask.working(running, Duration::ZERO, session.clock(now));
        let envelope = envelope(self.identity.incarnation, session, Space::Session);
        let to = session.address;
        self.outbox.send(to, &envelope, &Pdu::Working(working));
    }
}

/// What is told of an execution whose body may take `bytes_max`: a reply that is longer is too large
/// (the body says by how much), a panic's text is cut, a report that cannot be cut is left out.
pub(crate) fn fitted(
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
