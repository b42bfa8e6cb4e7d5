//! Durable calls are probed, acknowledged, sealed and called off, and clients are told of them.

use super::{Place, spot_of};
use crate::ids::{GenerationId, SessionId, Space};
use crate::protocol::fragment::Lane;
use crate::protocol::server::answers::Ask;
use crate::protocol::server::orphans::Why;
use crate::protocol::server::slot::State;
use crate::protocol::server::{Server, envelope};
use crate::time::{Duration, Instant};
use crate::wire::{Pdu, Sealed, SealedVerdict};

impl Server {
    /// A tombstone for a call that never arrived: it will not run in this life of the server, and
    /// its session will not carry it to another one (H2, H3).
    pub(super) fn seal_durable_unseen(&mut self, now: Instant, place: Place, ask: Ask) {
        if self.durable_slot(place).is_some_and(|slot| slot.live().is_some()) {
            return self.answer_durable_busy(now, place, ask);
        }
        self.release_durable(place);
        let Some(slot) = self.new_durable_slot(place) else { return };
        slot.last = ask.sequence;
        slot.state = State::Sealed;
        slot.quantum = 0;
        self.counters.sealed += 1;
        self.answer_durable(now, place, ask);
    }

    /// PING, SEAL or CANCEL of a slot's last call.
    pub(super) fn on_durable_stop(
        &mut self,
        now: Instant,
        id: SessionId,
        place: Place,
        ask: Ask,
        pdu: &Pdu<'_>,
    ) {
        self.take_over(now, spot_of(place), id);
        let Some(slot) = self.durable_slot(place) else { return };
        let stops = !matches!(pdu, Pdu::Ping(_));
        if let Some(live) = slot.live() {
            live.stopped |= stops;
        }
        match slot.state {
            State::Queued(_) if stops => self.seal_durable_queued(place),
            State::Running(_) if matches!(pdu, Pdu::Cancel(_)) => {
                self.call_off_durable(now, place);
            }
            State::Acked | State::Empty => {
                return self.send_durable_sealed(place.0, ask, SealedVerdict::Closed);
            }
            State::Queued(_)
            | State::Running(_)
            | State::Done(_)
            | State::Refused { .. }
            | State::Sealed
            | State::Forgotten
            | State::Closed => {}
        }
        self.answer_durable(now, place, ask);
    }

    fn seal_durable_queued(&mut self, place: Place) {
        let Some(slot) = self.durable_slot(place) else { return };
        slot.state = State::Sealed;
        self.counters.sealed += 1;
        self.settle_durable(place);
    }

    /// Calls off what a slot carries: queued, it never begins; running, its handler is told once.
    pub(super) fn call_off_durable(&mut self, now: Instant, place: Place) {
        let Some(slot) = self.durable_slot(place) else { return };
        match slot.state {
            State::Queued(_) => self.seal_durable_queued(place),
            State::Running(_) => {
                self.call_off_running(now, spot_of(place), Why::CalledOff);
            }
            State::Empty
            | State::Done(_)
            | State::Refused { .. }
            | State::Sealed
            | State::Acked
            | State::Forgotten
            | State::Closed => {}
        }
    }

    /// Answers the session that has the generation, for it has asked, with what the slot stores.
    pub(super) fn answer_durable(&mut self, now: Instant, place: Place, ask: Ask) {
        let known = self.durable.generations.get(&place.0);
        if let Some(id) = known.and_then(|known| known.session) {
            self.tell_durable(now, place, ask, id);
        }
    }

    /// Tells a session what a slot stores. Unasked only the one is told that asked about this call
    /// last: another process of the same identity would take it for an answer to its own (1b.3).
    pub(in crate::protocol::server) fn tell_durable(
        &mut self,
        now: Instant,
        (generation, index): Place,
        ask: Ask,
        to: SessionId,
    ) {
        let Some(known) = self.durable.generations.get(&generation) else { return };
        let session = self.sessions.get(&to);
        let (Some(session), Some(slot)) = (session, known.slots.get(&index)) else { return };
        if Self::holds_large(session.address, &slot.state) {
            let lane = Lane::new(to, Space::Durable, index);
            return self.pour_stored(now, lane, ask.transmission);
        }
        let envelope = envelope(self.identity.incarnation, session, Space::Durable);
        let explain = |reason, name| self.explanations.of(reason, name, &self.methods);
        if let Some(pdu) = slot.told(ask, session.clock(now), explain) {
            self.outbox.send(session.address, &envelope, &pdu);
        }
    }

    /// WORKING for a call whose slot carries an earlier one.
    pub(super) fn answer_durable_busy(
        &mut self,
        now: Instant,
        (generation, index): Place,
        ask: Ask,
    ) {
        let Some(known) = self.durable.generations.get(&generation) else { return };
        let session = known.session.and_then(|id| self.sessions.get(&id));
        let (Some(session), Some(slot)) = (session, known.slots.get(&index)) else { return };
        let working = ask.working(slot.last, Duration::ZERO, session.clock(now));
        self.send_durable(generation, &Pdu::Working(working));
    }

    pub(super) fn send_durable_sealed(
        &mut self,
        generation: GenerationId,
        ask: Ask,
        verdict: SealedVerdict,
    ) {
        let Ask { slot, sequence, stamp, .. } = ask;
        let sealed = Sealed { slot, sequence, verdict, pad: [0; 3], stamp };
        self.send_durable(generation, &Pdu::Sealed(sealed));
    }

    pub(super) fn send_durable(&mut self, generation: GenerationId, pdu: &Pdu<'_>) {
        let known = self.durable.generations.get(&generation);
        let session = known.and_then(|known| self.sessions.get(&known.session?));
        let Some(session) = session else { return };
        let envelope = envelope(self.identity.incarnation, session, Space::Durable);
        self.outbox.send(session.address, &envelope, pdu);
    }
}
