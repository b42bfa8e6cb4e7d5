//! Calls arrive, begin and end: the REQUEST, dispatch and handler rows of the table "Server slot".

use super::answers::Ask;
use super::fragments::Gathered;
use super::session::Caller;
use super::slot::{Live, Spot, State, Stored};
use super::{Begin, Execute, MethodEntry, Origin, Server, ServerEvent, Ticket, TimerKey};
use crate::ids::{CallId, Sequence, SessionId, SlotIndex, Space};
use crate::protocol::HandlerEnd;
use crate::protocol::fragment::Lane;
use crate::protocol::limits::EXTENSION_BYTES_MAX;
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{Extensions, RefuseReason, Request};

/// For each call that has come and waits for its handler so many are under way, about: what comes together
/// is a part of what a client has started.
const UNDER_WAY_FOR_EACH_COUNT: usize = 2;

impl Server {
    pub(super) fn on_request(&mut self, now: Instant, origin: Origin, request: &Request<'_>) {
        let (slot, sequence) = (request.slot, request.sequence);
        let Some(id) = self.session_for(now, origin, Some((slot, sequence))) else { return };
        match origin.envelope.space {
            Space::Session => {}
            Space::Maybe => return self.on_maybe(now, id, request),
            Space::Durable => unreachable!("sorted out by handle_pdu"),
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(entry) = session.slot(slot) else {
            self.counters.foreign += 1;
            return;
        };
        // The slot comes before every other check: only a sequence above `last` can be refused
        // (protocol tables, C2).
        if sequence < entry.last || sequence == Sequence::ZERO {
            self.counters.duplicates_suppressed += 1;
        } else if sequence == entry.last {
            self.on_duplicate(now, id, request);
        } else {
            self.on_new(now, id, request);
        }
    }

    fn on_duplicate(&mut self, now: Instant, id: SessionId, request: &Request<'_>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let fenced = session.fenced || session.closing;
        let Some(entry) = session.slot(request.slot) else { return };
        if entry.is_mismatch(request.digest) {
            self.counters.mismatches += 1;
            return;
        }
        // One answer a message, on its last fragment; but what runs again must be there as a whole.
        let runs_again = matches!(entry.state, State::Forgotten);
        if request.fragment + 1 < request.fragments && !runs_again {
            self.counters.duplicates_suppressed += 1;
            return;
        }
        if let Some(live) = entry.live() {
            live.transmission = request.transmission;
        }
        let may_run_again = matches!(entry.state, State::Forgotten)
            && !fenced
            && request.semantics == Semantics::AtLeastOnce // whatever its digest claims
            && match self.why_not(now, id, Space::Session, request) {
                None => true,
                // A draining server ends what it began, as far as it has room.
                Some((RefuseReason::Draining, _)) => {
                    let method = self.by_fingerprint.get(&request.method);
                    let spot = Spot::Session(id, request.slot);
                    method.is_some_and(|&method| !self.is_full(spot, method))
                }
                Some(_) => false,
            };
        let Some(entry) = self.sessions.get_mut(&id).and_then(|session| session.slot(request.slot))
        else {
            return;
        };
        match entry.state {
            // What has run once is never refused: where it cannot run again now, nothing is said,
            // and the client asks again (protocol tables, C7).
            State::Forgotten if !may_run_again => {
                self.counters.duplicates_suppressed += 1;
            }
            State::Forgotten => {
                let gathered = self.gather(now, id, Space::Session, request);
                if matches!(gathered, Gathered::Whole) {
                    self.counters.reruns += 1;
                    self.accept(now, id, request);
                }
            }
            State::Empty
            | State::Queued(_)
            | State::Running(_)
            | State::Done(_)
            | State::Refused { .. }
            | State::Sealed
            | State::Acked
            | State::Closed => {
                self.counters.duplicates_suppressed += 1;
                let ask = Ask {
                    slot: request.slot,
                    sequence: request.sequence,
                    stamp: 0,
                    transmission: request.transmission,
                };
                self.answer(now, id, ask);
            }
        }
    }

    fn on_new(&mut self, now: Instant, id: SessionId, request: &Request<'_>) {
        let (slot, sequence) = (request.slot, request.sequence);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let fenced = session.fenced || session.closing;
        let Some(entry) = session.slot(slot) else { return };
        let last = entry.last;
        if entry.live().is_some() {
            // Two calls never share a slot's memory: the older one is called off, the newer one is
            // to ask again (protocol tables, H1).
            if request.fragment > 0 {
                return;
            }
            self.send_working(now, id, Ask { slot, sequence, stamp: 0, transmission: 0 }, last);
            self.call_off(now, id, slot);
            return;
        }
        if fenced {
            return;
        }
        self.release(id, slot);
        let refusal = match self.gather(now, id, Space::Session, request) {
            Gathered::Part => return,
            Gathered::Whole => self.why_not(now, id, Space::Session, request),
            Gathered::Refused(reason, push_back) => Some((reason, push_back)),
        };
        self.forget_partial(id, Space::Session, slot);
        match refusal {
            Some((reason, push_back)) => self.refuse(now, id, request, reason, push_back),
            None => self.accept(now, id, request),
        }
    }

    /// Why a call that was never seen before cannot be accepted.
    pub(super) fn why_not(
        &self,
        now: Instant,
        id: SessionId,
        space: Space,
        request: &Request<'_>,
    ) -> Option<(RefuseReason, Duration)> {
        let push_back = self.limits.push_back;
        let Some(&method) = self.by_fingerprint.get(&request.method) else {
            let changed = self.methods.iter().any(|method| method.name == request.name);
            let reason =
                if changed { RefuseReason::ChangedMethod } else { RefuseReason::UnknownMethod };
            return Some((reason, Duration::ZERO));
        };
        let MethodEntry { semantics, .. } = self.methods[method];
        if semantics != request.semantics {
            return Some((RefuseReason::ChangedMethod, Duration::ZERO));
        }
        match (semantics, space) {
            (Semantics::AtLeastOnce | Semantics::AtMostOnce, Space::Session)
            | (Semantics::ExactlyOnce, Space::Durable) => {}
            // It needs a durable slot; here it would only be tried once.
            (Semantics::ExactlyOnce, Space::Session | Space::Maybe) => {
                return Some((RefuseReason::UnknownMethod, Duration::ZERO));
            }
            (Semantics::Maybe, _) | (_, Space::Durable | Space::Maybe) => {
                return Some((RefuseReason::BadArguments, Duration::ZERO));
            }
        }
        if demands_unknown_extension(request) {
            return Some((RefuseReason::BadArguments, Duration::ZERO));
        }
        if self.not_after(now, id, request) <= now {
            return Some((RefuseReason::Expired, Duration::ZERO));
        }
        let session = self.sessions.get(&id);
        if session.is_none_or(|session| self.is_too_long(session, request)) {
            return Some((RefuseReason::TooLarge, Duration::ZERO));
        }
        if self.draining {
            return Some((RefuseReason::Draining, push_back));
        }
        let spot = self.sessions.get(&id)?.spot(space, request.slot);
        self.is_full(spot, method).then_some((RefuseReason::Overload, push_back))
    }

    /// Whether there is no room for a call of `method`.
    fn is_full(&self, spot: Spot, method: usize) -> bool {
        let room = self.room_for_reply(spot, method);
        self.queued >= self.limits.calls_queued_max
            || self.running >= self.limits.calls_running_max
            || !self.has_room_for(spot, room)
    }

    /// Takes a call, or a further execution of an `at_least_once` call, into its slot.
    fn accept(&mut self, now: Instant, id: SessionId, request: &Request<'_>) {
        let Some(&method) = self.by_fingerprint.get(&request.method) else { return };
        let entry = self.methods[method];
        let room = self.room_for_reply(Spot::Session(id, request.slot), method);
        let not_after = self.not_after(now, id, request);
        let arguments = self.own_arguments(request);
        let report_at = now + self.limits.working_after;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.mark_used(&mut self.sessions_unused);
        session.live_calls += 1;
        let caller = session.caller();
        let Some(slot) = session.slot(request.slot) else { return };
        let again = slot.last == request.sequence;
        slot.attempt = if again { slot.attempt + 1 } else { 1 };
        let quantum = if again { slot.quantum.wrapping_add(1) } else { 1 };
        slot.last = request.sequence;
        slot.digest = request.digest;
        let before = std::mem::replace(&mut slot.stored_bytes, room);
        let kind = (method, &entry);
        let live = Live::queued(now, not_after, (id, request.transmission), kind, report_at);
        slot.state = State::Queued(Live { quantum, ..live });
        let key = TimerKey::Call(Spot::Session(id, request.slot));
        let timer = *slot.timer.get_or_insert_with(|| self.timers.add(key));
        self.timers.set(timer, report_at);
        let call = Spot::Session(id, request.slot).call_id(request.sequence);
        let ticket = Ticket { call, attempt: slot.attempt, not_after };
        self.store(Spot::Session(id, request.slot), before, room);
        self.hand_over(ticket, method, caller, (request, arguments));
    }

    /// A call was accepted: it is to be queued, or run.
    pub(super) fn hand_over(
        &mut self,
        ticket: Ticket,
        method: usize,
        caller: Caller,
        (request, arguments): (&Request<'_>, Vec<u8>),
    ) {
        let (not_after, depth, digest) = (ticket.not_after, request.depth, request.digest);
        let Caller { client, life, peer, host } = caller;
        let is_short = request.extensions.len() <= EXTENSION_BYTES_MAX;
        let extensions = if is_short { request.extensions.into() } else { Box::default() };
        self.queued += 1;
        self.counters.accepted += 1;
        if request.fragments > 1 {
            self.hold_arguments(ticket, host, arguments.len());
        }
        let call = Execute {
            ticket,
            method,
            arguments,
            not_after,
            client,
            life,
            peer,
            depth,
            digest,
            extensions,
        };
        let call = call.boxed(self.spare_calls.take());
        self.outbox.event(ServerEvent::Execute(call));
    }

    /// The caller's deadline by this clock: the earlier of what is left of its patience and
    /// `not_after`, which an hour under way does not lengthen (protocol tables, C6).
    pub(super) fn not_after(&self, now: Instant, id: SessionId, request: &Request<'_>) -> Instant {
        let patience = Duration::from_micros(request.remaining_us).min(self.limits.deadline_max);
        let opened = self.sessions.get(&id).map_or(now, |session| session.opened);
        (now + patience).min(opened + Duration::from_micros(request.not_after_us))
    }

    fn refuse(
        &mut self,
        now: Instant,
        id: SessionId,
        request: &Request<'_>,
        reason: RefuseReason,
        push_back: Duration,
    ) {
        self.drop_whole();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.mark_used(&mut self.sessions_unused);
        let Some(slot) = session.slot(request.slot) else { return };
        slot.last = request.sequence;
        slot.digest = request.digest;
        slot.attempt = 0;
        slot.state = State::Refused { reason, push_back, name: request.name };
        self.counters.refused += 1;
        let (slot, sequence) = (request.slot, request.sequence);
        self.answer(now, id, Ask { slot, sequence, stamp: 0, transmission: 0 });
    }

    fn on_maybe(&mut self, now: Instant, id: SessionId, request: &Request<'_>) {
        if request.fragments > 1 && !self.gather_maybe(now, id, request) {
            return;
        }
        let not_after = self.not_after(now, id, request);
        let wanted = self.by_fingerprint.get(&request.method).copied();
        let method = wanted.filter(|&method| self.methods[method].semantics == Semantics::Maybe);
        let room = self.queued < self.limits.calls_queued_max && !self.draining;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let fenced = session.fenced || session.closing;
        let on_time = now < not_after;
        // The window remembers a call before anything else is asked, so that a copy of one that
        // found no room does not run later than the first would have.
        let fresh = session.window.accept(request.sequence);
        let (true, true, true, false, Some(method)) = (fresh, on_time, room, fenced, method) else {
            self.counters.maybe_dropped += 1;
            return self.drop_whole();
        };
        session.live_calls += 1;
        session.mark_used(&mut self.sessions_unused);
        let caller = session.caller();
        let (slot, sequence) = (SlotIndex(0), request.sequence);
        let call = CallId { session: id, space: Space::Maybe, slot, sequence };
        let arguments = self.own_arguments(request);
        self.hand_over(
            Ticket { call, attempt: 1, not_after },
            method,
            caller,
            (request, arguments),
        );
    }

    /// Dispatch: whether the handler is entered. Called once for each [`Execute`], when a worker is
    /// free for it; for [`Begin::Run`] the execution's end must be told with [`Server::finish`].
    pub fn begin(&mut self, now: Instant, ticket: Ticket) -> Begin {
        let CallId { session: id, slot, sequence, space } = ticket.call;
        self.queued -= 1;
        let begins = match space {
            Space::Maybe => self.begin_maybe(now, id, ticket.not_after),
            Space::Session => self.begin_in_slot(now, id, slot, sequence),
            Space::Durable => self.begin_durable(now, ticket),
        };
        if begins {
            self.running += 1;
            self.counters.begun += 1;
            Begin::Run
        } else {
            self.let_go(ticket);
            Begin::Not
        }
    }

    fn begin_maybe(&mut self, now: Instant, id: SessionId, not_after: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let is_in_vain = session.fenced || now >= not_after;
        if is_in_vain {
            self.drop_queued_maybe(now, id);
        }
        !is_in_vain
    }

    fn begin_in_slot(
        &mut self,
        now: Instant,
        id: SessionId,
        index: SlotIndex,
        sequence: Sequence,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let Some(slot) = session.slot(index).filter(|slot| slot.last == sequence) else {
            return false;
        };
        let State::Queued(live) = slot.state else { return false };
        if now < live.not_after {
            let begins = slot.begin();
            self.watch(now, Spot::Session(id, index));
            return begins;
        }
        self.refuse_queued(now, id, index, RefuseReason::Expired, Duration::ZERO);
        false
    }

    /// An execution that was begun has ended. `body` is what its end calls for.
    pub fn finish(&mut self, now: Instant, ticket: Ticket, end: HandlerEnd, body: Vec<u8>) {
        let CallId { session: id, slot: index, sequence, space } = ticket.call;
        self.running -= 1;
        self.outbox.set_under_way(self.queued * UNDER_WAY_FOR_EACH_COUNT);
        self.let_go(ticket);
        if space == Space::Durable {
            return self.finish_durable(now, ticket, end, body);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return self.keep(body) };
        session.live_calls -= 1;
        session.last_heard = session.last_heard.max(now);
        let address = session.address;
        if space == Space::Maybe {
            self.keep(body);
            return self.close_if_done(id);
        }
        let Some(slot) = session.slot(index) else { return };
        let State::Running(live) = slot.state else {
            unreachable!("only `finish` ends what `begin` began")
        };
        let (spot, reserved) = (Spot::Session(id, index), slot.stored_bytes);
        slot.quantum = live.quantum;
        self.note_reply(id, live.method, end, body.len());
        let (status, mut body, stored_bytes) =
            self.fitted_stored(end.status(), body, (spot, &live), reserved);
        let handler_us = u32::try_from(now.since(live.arrived).as_micros()).unwrap_or(u32::MAX);
        let bad_arguments = end == HandlerEnd::BadArguments;
        let ack = self.methods[live.method].ack;
        self.store(spot, reserved, stored_bytes);
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        let Some(slot) = slot else { return };
        slot.stored_bytes = stored_bytes;
        // A buffer that grew beyond the room reserved for the reply is cut to it.
        if stored_bytes > 0 {
            body.shrink_to(stored_bytes);
        }
        slot.state = match (bad_arguments, slot.attempt) {
            (true, 1) => {
                self.counters.refused += 1;
                refused(RefuseReason::BadArguments, Duration::ZERO)
            }
            (true | false, _) => State::Done(Stored { status, body: body.into(), handler_us, ack }),
        };
        let is_large = Self::holds_large(address, &slot.state);
        let transmission = live.transmission;
        self.answer(now, id, Ask { slot: index, sequence, stamp: 0, transmission });
        if live.repeatable && is_large {
            self.keep_repeatable(Lane::new(id, Space::Session, index), live.stopped);
        } else if live.repeatable {
            self.forget(id, index, live.stopped);
        }
        self.settle(id, index);
        self.close_if_done(id);
    }

    /// An `at_least_once` reply was sent once and is not kept.
    pub(super) fn forget(&mut self, id: SessionId, index: SlotIndex, stopped: bool) {
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        let Some(slot) = slot else { return };
        if matches!(slot.state, State::Refused { .. }) {
            return;
        }
        let next = if stopped { State::Closed } else { State::Forgotten };
        if let State::Done(stored) = std::mem::replace(&mut slot.state, next) {
            stored.body.reclaim().into_iter().for_each(|buffer| self.keep(buffer));
        }
    }

    /// Clears the timer of a slot in which nothing runs, and gives back reserved room.
    pub(super) fn settle(&mut self, id: SessionId, index: SlotIndex) {
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        let Some(slot) = slot else { return };
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
        self.store(Spot::Session(id, index), before, used);
    }

    /// Frees what the last call of a slot has stored: a later call acknowledges it.
    pub(super) fn release(&mut self, id: SessionId, index: SlotIndex) {
        self.stop_reply(Lane::new(id, Space::Session, index));
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        let Some(slot) = slot else { return };
        let freed = std::mem::take(&mut slot.stored_bytes);
        if let State::Done(stored) = std::mem::replace(&mut slot.state, State::Acked) {
            stored.body.reclaim().into_iter().for_each(|buffer| self.keep(buffer));
        }
        self.store(Spot::Session(id, index), freed, 0);
    }
}

/// The end of a call that was accepted and not begun.
pub(super) const fn refused(reason: RefuseReason, push_back: Duration) -> State {
    State::Refused { reason, push_back, name: 0 }
}

/// Whether a REQUEST carries an extension that may not be skipped: none is known yet.
fn demands_unknown_extension(request: &Request<'_>) -> bool {
    Extensions::of(request.extensions).any(|extension| extension.is_ok_and(|one| !one.optional))
}
