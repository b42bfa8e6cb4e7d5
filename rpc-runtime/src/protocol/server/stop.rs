//! Calls are probed, acknowledged, sealed and called off: the PING, ACK, SEAL and CANCEL rows of
//! the table "Server slot".

use super::answers::Ask;
use super::orphans::Why;
use super::slot::{Spot, State};
use super::{Origin, Server, envelope};
use crate::ids::{Sequence, SessionId, SlotIndex, Space};
use crate::protocol::fragment::Lane;
use crate::time::Instant;
use crate::wire::{Ack, Pdu, Ping, Sealed, SealedVerdict, Unseen};

impl Server {
    pub(super) fn on_ping(&mut self, now: Instant, origin: Origin, ping: &Ping) {
        let Ping { slot: index, sequence, stamp } = *ping;
        let Some(id) = self.session_for(now, origin, Some((index, sequence))) else { return };
        let Some(session) = self.sessions.get(&id) else { return };
        if index.0 >= session.slots_max || sequence == Sequence::ZERO {
            self.counters.foreign += 1;
            return;
        }
        let ask = Ask { slot: index, sequence, stamp, transmission: 0 };
        if self.answer_partial(id, Space::Session, index, sequence) {
            return;
        }
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(slot) = session.used_slot(index) else {
            return self.send_unseen(now, id, ask, Sequence::ZERO);
        };
        let last = slot.last;
        let unseen = sequence > last || matches!(slot.state, State::Forgotten);
        if sequence < last || (sequence == last && matches!(slot.state, State::Acked)) {
            self.send_sealed(id, ask, SealedVerdict::Closed);
        } else if unseen {
            self.send_unseen(now, id, ask, last);
        } else {
            self.answer(now, id, ask);
        }
    }

    pub(super) fn on_ack(&mut self, now: Instant, origin: Origin, ack: &Ack) {
        let Some(id) = self.session_for(now, origin, None) else { return };
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(slot) = session.used_slot(ack.slot) else { return };
        let ended = matches!(slot.state, State::Done(_) | State::Forgotten);
        let lane = Lane::new(id, Space::Session, ack.slot);
        if slot.last == ack.sequence && ended && self.is_acknowledged(now, lane, ack) {
            self.release(id, ack.slot);
        }
    }

    /// SEAL, or CANCEL, which is SEAL and also stops what runs (protocol tables, H5).
    pub(super) fn on_stop(
        &mut self,
        now: Instant,
        origin: Origin,
        (index, sequence, stamp): (SlotIndex, Sequence, u64),
        cancel: bool,
    ) {
        let Some(id) = self.session_for(now, origin, Some((index, sequence))) else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(slot) = session.slot(index) else {
            self.counters.foreign += 1;
            return;
        };
        let ask = Ask { slot: index, sequence, stamp, transmission: 0 };
        let last = slot.last;
        if sequence < last || sequence == Sequence::ZERO {
            self.send_sealed(id, ask, SealedVerdict::Closed);
        } else if sequence > last {
            self.seal_unseen(now, id, ask, last);
        } else {
            self.stop_last(now, id, ask, cancel);
        }
    }

    /// Seals a call that never arrived: a tombstone, or the late REQUEST would run (H2).
    fn seal_unseen(&mut self, now: Instant, id: SessionId, ask: Ask, last: Sequence) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(slot) = session.slot(ask.slot) else { return };
        if slot.live().is_some() {
            return self.send_working(now, id, ask, last);
        }
        self.release(id, ask.slot);
        self.forget_partial(id, Space::Session, ask.slot);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.mark_used(&mut self.sessions_unused);
        let Some(slot) = session.slot(ask.slot) else { return };
        slot.last = ask.sequence;
        slot.attempt = 0;
        slot.state = State::Sealed;
        self.counters.sealed += 1;
        self.answer(now, id, ask);
    }

    fn stop_last(&mut self, now: Instant, id: SessionId, ask: Ask, cancel: bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(slot) = session.slot(ask.slot) else { return };
        if let Some(live) = slot.live() {
            live.stopped = true;
        }
        match slot.state {
            State::Queued(_) => {
                self.seal_queued_call(id, ask.slot);
                self.answer(now, id, ask);
            }
            State::Running(_) => {
                self.answer(now, id, ask);
                if cancel {
                    self.call_off_running(now, Spot::Session(id, ask.slot), Why::CalledOff);
                }
            }
            State::Forgotten => {
                slot.state = State::Closed;
                self.forget_partial(id, Space::Session, ask.slot);
                self.answer(now, id, ask);
            }
            State::Acked | State::Empty => self.send_sealed(id, ask, SealedVerdict::Closed),
            State::Done(_) | State::Refused { .. } | State::Sealed | State::Closed => {
                self.stop_repeatable(Lane::new(id, Space::Session, ask.slot));
                self.answer(now, id, ask);
            }
        }
    }

    /// Calls off whatever a slot carries, because a later call wants it.
    pub(super) fn call_off(&mut self, now: Instant, id: SessionId, index: SlotIndex) {
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        match slot.map(|slot| &slot.state) {
            Some(State::Queued(_)) => self.seal_queued_call(id, index),
            Some(State::Running(_)) => {
                self.call_off_running(now, Spot::Session(id, index), Why::CalledOff);
            }
            Some(
                State::Empty
                | State::Done(_)
                | State::Refused { .. }
                | State::Sealed
                | State::Acked
                | State::Forgotten
                | State::Closed,
            )
            | None => {}
        }
    }

    /// A queued call will not begin: SEALED, or, if it ran before, closed.
    fn seal_queued_call(&mut self, id: SessionId, index: SlotIndex) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.live_calls -= 1;
        let Some(slot) = session.slot(index) else { return };
        slot.state = if slot.attempt == 1 { State::Sealed } else { State::Closed };
        self.counters.sealed += 1;
        self.settle(id, index);
        self.close_if_done(id);
    }

    /// Nothing that is queued in a fenced session begins any more.
    pub(super) fn seal_queued(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let queued: Vec<SlotIndex> = session
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot.state, State::Queued(_)))
            .map(|(index, _)| index)
            .collect();
        for index in queued {
            self.seal_queued_call(id, index);
        }
    }

    fn send_sealed(&mut self, id: SessionId, ask: Ask, verdict: SealedVerdict) {
        let Ask { slot, sequence, stamp, .. } = ask;
        let pdu = Pdu::Sealed(Sealed { slot, sequence, verdict, pad: [0; 3], stamp });
        self.send_to_session(id, &pdu);
    }

    fn send_unseen(&mut self, now: Instant, id: SessionId, ask: Ask, last: Sequence) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Ask { slot, sequence, stamp, .. } = ask;
        let session_time_us = session.time_us(now);
        let unseen = Unseen { slot, sequence, last, session_time_us, stamp };
        self.send_to_session(id, &Pdu::Unseen(unseen));
    }

    fn send_to_session(&mut self, id: SessionId, pdu: &Pdu<'_>) {
        let Some(session) = self.sessions.get(&id) else { return };
        let envelope = envelope(self.identity.incarnation, session, Space::Session);
        let to = session.address;
        self.outbox.send(to, &envelope, pdu);
    }
}
