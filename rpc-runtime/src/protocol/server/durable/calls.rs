//! Durable calls arrive, begin and end.

use super::{Place, durable_place, spot_of};
use crate::ids::{Sequence, SessionId, Space};
use crate::protocol::HandlerEnd;
use crate::protocol::fragment::Lane;
use crate::protocol::server::answers::{Ask, fitted};
use crate::protocol::server::calls::refused;
use crate::protocol::server::fragments::Gathered;
use crate::protocol::server::session::Session;
use crate::protocol::server::slot::{Live, State, Stored};
use crate::protocol::server::{Server, ServerEvent, Ticket, TimerKey};
use crate::time::{Duration, Instant};
use crate::wire::{Ack, Pdu, Refuse, RefuseReason, Request};

impl Server {
    pub(super) fn on_durable_request(
        &mut self,
        now: Instant,
        id: SessionId,
        (place, last): (Place, Sequence),
        request: &Request<'_>,
    ) {
        // The slot comes before every other check, as in a session's slots (C2).
        if request.sequence < last {
            self.counters.duplicates_suppressed += 1;
        } else if request.sequence == last {
            self.on_durable_duplicate(now, id, place, request);
        } else {
            self.on_durable_new(now, id, place, request);
        }
    }

    fn on_durable_duplicate(
        &mut self,
        now: Instant,
        id: SessionId,
        place: Place,
        request: &Request<'_>,
    ) {
        let session_time_us = self.sessions.get(&id).map_or(0, |session| session.time_us(now));
        if request.fragment + 1 < request.fragments {
            self.counters.duplicates_suppressed += 1; // one answer a message, on its last fragment
            return;
        }
        let Some(slot) = self.durable_slot(place) else { return };
        let (index, sequence) = (request.slot, request.sequence);
        if slot.is_mismatch(request.digest) {
            // Another call under the same name: two processes use one identity (1b.3).
            self.counters.mismatches += 1;
            let refuse = Refuse {
                slot: index,
                sequence,
                reason: RefuseReason::IdentityInUse,
                push_back_ms: 0,
                session_time_us,
                detail: "",
            };
            return self.send_durable(place.0, &Pdu::Refuse(refuse));
        }
        if let Some(live) = slot.live() {
            live.transmission = request.transmission;
        }
        self.take_over(now, spot_of(place), id);
        self.counters.duplicates_suppressed += 1;
        let transmission = request.transmission;
        self.answer_durable(now, place, Ask { slot: index, sequence, stamp: 0, transmission });
    }

    fn on_durable_new(&mut self, now: Instant, id: SessionId, place: Place, request: &Request<'_>) {
        let (slot, sequence) = (request.slot, request.sequence);
        let ask = Ask { slot, sequence, stamp: 0, transmission: 0 };
        let busy = self.durable_slot(place).is_some_and(|slot| slot.live().is_some());
        if busy && request.fragment > 0 {
            return;
        }
        if busy {
            self.answer_durable_busy(now, place, ask);
            return self.call_off_durable(now, place);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.fenced || session.closing {
            return;
        }
        session.mark_used(&mut self.sessions_unused);
        self.release_durable(place);
        let refusal = match self.gather(now, id, Space::Durable, request) {
            Gathered::Part => return,
            Gathered::Whole => self.why_not(now, id, Space::Durable, request),
            Gathered::Refused(reason, push_back) => Some((reason, push_back)),
        };
        self.forget_partial(id, Space::Durable, slot);
        match refusal {
            Some((reason, push_back)) => {
                self.drop_whole();
                let Some(slot) = self.new_durable_slot(place) else { return };
                slot.last = sequence;
                slot.digest = request.digest;
                slot.state = State::Refused { reason, push_back, name: request.name };
                self.counters.refused += 1;
                self.answer_durable(now, place, ask);
            }
            None => self.accept_durable(now, id, place, request),
        }
    }

    fn accept_durable(&mut self, now: Instant, id: SessionId, place: Place, request: &Request<'_>) {
        let Some(&method) = self.by_fingerprint.get(&request.method) else { return };
        let room = self.room_for_reply(spot_of(place), method);
        let not_after = self.not_after(now, id, request);
        let Some(caller) = self.sessions.get(&id).map(Session::caller) else { return };
        if self.new_durable_slot(place).is_none() {
            return;
        }
        let arguments = self.own_arguments(request);
        let Some(slot) = self.durable.generations.get_mut(&place.0).and_then(|generation| {
            generation.live_calls += 1;
            generation.slots.get_mut(&place.1)
        }) else {
            return;
        };
        slot.last = request.sequence;
        slot.digest = request.digest;
        slot.attempt = 1;
        let before = std::mem::replace(&mut slot.stored_bytes, room);
        let report_at = now + self.limits.working_after;
        let kind = (method, &self.methods[method]);
        let live = Live::queued(now, not_after, (id, request.transmission), kind, report_at);
        slot.state = State::Queued(Live { quantum: slot.quantum.wrapping_add(1), ..live });
        let key = TimerKey::Call(spot_of(place));
        let timer = *slot.timer.get_or_insert_with(|| self.timers.add(key));
        self.timers.set(timer, report_at);
        let call = spot_of(place).call_id(request.sequence);
        let ticket = Ticket { call, attempt: 1, not_after };
        self.store(spot_of(place), before, room);
        self.hand_over(ticket, method, caller, (request, arguments));
    }

    /// Dispatch of a durable call: see [`Server::begin`]. One that was asked for last in a session that
    /// is over, or by a life of the client that is, does not begin: it is as if it had never come, so
    /// that a later life with the same slots may have it run, or sealed.
    pub(in crate::protocol::server) fn begin_durable(
        &mut self,
        now: Instant,
        ticket: Ticket,
    ) -> bool {
        let place = durable_place(ticket.call);
        let sequence = ticket.call.sequence;
        let Some(slot) = self.durable_slot(place).filter(|slot| slot.last == sequence) else {
            return false;
        };
        let State::Queued(live) = slot.state else { return false };
        if self.sessions.get(&live.asker).is_none_or(|session| session.fenced) {
            self.forget_queued_durable(place);
        } else if now >= live.not_after {
            self.refuse_queued_durable(now, place, RefuseReason::Expired, Duration::ZERO);
        } else if let Some(slot) = self.durable_slot(place) {
            let begins = slot.begin();
            self.watch(now, spot_of(place));
            return begins;
        }
        false
    }

    fn forget_queued_durable(&mut self, place: Place) {
        let Some(slot) = self.durable_slot(place) else { return };
        slot.last = Sequence(slot.last.0 - 1);
        slot.state = State::Acked;
        self.settle_durable(place);
    }

    /// Refuses a durable call that was accepted and not begun.
    pub(in crate::protocol::server) fn refuse_queued_durable(
        &mut self,
        now: Instant,
        place: Place,
        reason: RefuseReason,
        push_back: Duration,
    ) {
        let Some(slot) = self.durable_slot(place) else { return };
        let (sequence, asker) = (slot.last, slot.live().map(|live| live.asker));
        slot.state = refused(reason, push_back);
        self.counters.refused += 1;
        let ask = Ask { slot: place.1, sequence, stamp: 0, transmission: 0 };
        self.tell_durable(now, place, ask, asker.unwrap_or(SessionId::NONE));
        self.settle_durable(place);
    }

    /// A durable execution has ended and what it ended in is committed, or, for
    /// [`HandlerEnd::NotCommitted`], nothing is: then the client's next REQUEST runs it again, unless
    /// somebody wanted it stopped.
    pub(in crate::protocol::server) fn finish_durable(
        &mut self,
        now: Instant,
        ticket: Ticket,
        end: HandlerEnd,
        body: Vec<u8>,
    ) {
        let place = durable_place(ticket.call);
        let sequence = ticket.call.sequence;
        // In a store that a later life has, that life may run it.
        let is_ours = !self.durable.is_fenced;
        let Some(slot) = self.durable_slot(place) else { return self.keep(body) };
        let State::Running(live) = slot.state else {
            unreachable!("only `finish` ends what `begin` began")
        };
        let transmission = live.transmission;
        // What was not committed is as if it had not come, but for answers to its last quantum.
        slot.quantum = if end == HandlerEnd::NotCommitted { live.quantum } else { 0 };
        let ack = self.methods[live.method].ack;
        let Some(slot) = self.durable_slot(place) else { return self.keep(body) };
        match end {
            // It was sealed while it ran, or called off, and is known not to have run (H5).
            HandlerEnd::NotCommitted if live.stopped && is_ours => {
                slot.state = State::Sealed;
                slot.quantum = 0;
                self.counters.not_committed += 1;
                self.counters.sealed += 1;
                self.keep(body);
            }
            HandlerEnd::NotCommitted => {
                slot.last = Sequence(sequence.0 - 1);
                slot.state = State::Acked;
                self.counters.not_committed += 1;
                self.keep(body);
                return self.settle_durable(place);
            }
            HandlerEnd::BadArguments => {
                slot.state = refused(RefuseReason::BadArguments, Duration::ZERO);
                self.counters.refused += 1;
                self.keep(body);
            }
            // It may have run: nothing is said of it before the store was read again.
            HandlerEnd::Unsettled => {
                slot.state = State::Closed;
                self.keep(body);
                return self.settle_durable(place);
            }
            HandlerEnd::Returned
            | HandlerEnd::Panicked
            | HandlerEnd::Cancelled { .. }
            | HandlerEnd::TooLarge
            | HandlerEnd::HandlerFailed => {
                let (status, mut body) = fitted(end.status(), body, live.reply_bytes_max);
                body.shrink_to(slot.stored_bytes);
                let passed = now.since(live.arrived).as_micros();
                let handler_us = u32::try_from(passed).unwrap_or(u32::MAX);
                slot.state = State::Done(Stored { status, body: body.into(), handler_us, ack });
            }
        }
        let ask = Ask { slot: place.1, sequence, stamp: 0, transmission };
        self.tell_durable(now, place, ask, live.asker);
        self.settle_durable(place);
    }

    /// The call of a slot is not under way any more: its timer ends, room that it did not use is
    /// given back.
    pub(super) fn settle_durable(&mut self, place: Place) {
        let Some(generation) = self.durable.generations.get_mut(&place.0) else { return };
        generation.live_calls -= 1;
        let session = generation.session;
        let Some(slot) = generation.slots.get_mut(&place.1) else { return };
        if let Some(timer) = slot.timer {
            self.timers.clear(timer);
        }
        let used = match &slot.state {
            State::Done(stored) => stored.body.capacity().min(slot.stored_bytes),
            State::Empty
            | State::Queued(_)
            | State::Running(_)
            | State::Refused { .. }
            | State::Sealed
            | State::Acked
            | State::Forgotten
            | State::Closed => 0,
        };
        let before = std::mem::replace(&mut slot.stored_bytes, used);
        self.store(spot_of(place), before, used);
        self.forget_if_unused(place.0);
        if let Some(id) = session {
            self.close_if_done(id);
        }
    }

    pub(super) fn release_durable(&mut self, place: Place) {
        let Some(generation) = self.durable.generations.get_mut(&place.0) else { return };
        let Some(slot) = generation.slots.get_mut(&place.1) else { return };
        generation.row_bytes -= std::mem::take(&mut slot.row_bytes);
        let session = generation.session;
        let freed = std::mem::take(&mut slot.stored_bytes);
        let state = std::mem::replace(&mut slot.state, State::Acked);
        self.store(spot_of(place), freed, 0);
        if let Some(id) = session {
            self.stop_reply(Lane::new(id, Space::Durable, place.1));
        }
        if let State::Done(stored) = state {
            stored.body.reclaim().into_iter().for_each(|buffer| self.keep(buffer));
        }
    }

    pub(super) fn on_durable_ack(&mut self, now: Instant, id: SessionId, place: Place, ack: &Ack) {
        let Some(slot) = self.durable_slot(place) else { return };
        let (sequence, lane) = (ack.sequence, Lane::new(id, Space::Durable, ack.slot));
        let is_done = slot.last == sequence && matches!(slot.state, State::Done(_));
        if is_done && self.is_acknowledged(now, lane, ack) {
            self.release_durable(place);
            let client = self.durable.generations.get(&place.0).map(|known| known.client);
            if let Some(client) = client {
                let call = spot_of(place).call_id(sequence);
                self.outbox.event(ServerEvent::Acknowledged { client, call });
            }
        }
    }
}
