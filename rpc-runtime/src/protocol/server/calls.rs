//! Calls arrive, begin and end: the REQUEST, dispatch and handler rows of the table "Server slot".

use super::answers::{Ask, fitted};
use super::session::Caller;
use super::slot::{Live, State, Stored};
use super::{Begin, Execute, MethodEntry, Origin, Server, ServerEvent, Ticket, TimerKey, call_id};
use crate::ids::{CallId, Sequence, SessionId, SlotIndex, Space};
use crate::protocol::HandlerEnd;
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{Extensions, RefuseReason, Request};

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
                    method.is_some_and(|&method| !self.is_full(&self.methods[method]))
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
                self.counters.reruns += 1;
                self.accept(now, id, request);
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
            self.send_working(now, id, Ask { slot, sequence, stamp: 0, transmission: 0 }, last);
            self.call_off(now, id, slot);
            return;
        }
        if fenced {
            return;
        }
        self.release(id, slot);
        match self.why_not(now, id, Space::Session, request) {
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
        let method = self.methods[method];
        if method.semantics != request.semantics {
            return Some((RefuseReason::ChangedMethod, Duration::ZERO));
        }
        match (method.semantics, space) {
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
        if request.fragments != 1 {
            return Some((RefuseReason::TooLarge, Duration::ZERO));
        }
        if self.draining {
            return Some((RefuseReason::Draining, push_back));
        }
        self.is_full(&method).then_some((RefuseReason::Overload, push_back))
    }

    /// Whether there is no room for a call of `method`.
    const fn is_full(&self, method: &MethodEntry) -> bool {
        let room = reply_bytes(method.semantics, method.reply_bytes_max);
        self.queued >= self.limits.calls_queued_max
            || self.running >= self.limits.calls_running_max
            || self.stored_bytes + room > self.limits.reply_bytes_stored_max
    }

    /// Takes a call, or a further execution of an `at_least_once` call, into its slot.
    fn accept(&mut self, now: Instant, id: SessionId, request: &Request<'_>) {
        let Some(&method) = self.by_fingerprint.get(&request.method) else { return };
        let entry = self.methods[method];
        let room = reply_bytes(entry.semantics, entry.reply_bytes_max);
        let not_after = self.not_after(now, id, request);
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
        slot.stored_bytes = room;
        let kind = (method, &entry);
        let live = Live::queued(now, not_after, request.transmission, kind, report_at);
        slot.state = State::Queued(Live { quantum, ..live });
        let key = TimerKey::Call(id, request.slot);
        let timer = *slot.timer.get_or_insert_with(|| self.timers.add(key));
        self.timers.set(timer, report_at);
        let call = call_id(id, request.slot, request.sequence);
        let ticket = Ticket { call, attempt: slot.attempt, not_after };
        self.stored_bytes += room;
        self.hand_over(ticket, method, caller, request);
    }

    /// A call was accepted: it is to be queued, or run.
    pub(super) fn hand_over(
        &mut self,
        ticket: Ticket,
        method: usize,
        caller: Caller,
        request: &Request<'_>,
    ) {
        let arguments = self.pool.copy(request.arguments);
        let (not_after, depth, digest) = (ticket.not_after, request.depth, request.digest);
        let Caller { client, life, peer } = caller;
        self.queued += 1;
        self.counters.accepted += 1;
        self.outbox.event(ServerEvent::Execute(Execute {
            ticket,
            method,
            arguments,
            not_after,
            client,
            life,
            peer,
            depth,
            digest,
        }));
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
        let not_after = self.not_after(now, id, request);
        let wanted = self.by_fingerprint.get(&request.method).copied();
        let method = wanted.filter(|&method| self.methods[method].semantics == Semantics::Maybe);
        let room = self.queued < self.limits.calls_queued_max && !self.draining;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let fenced = session.fenced || session.closing;
        let on_time = now < not_after && request.fragments == 1;
        // The window remembers a call before anything else is asked, so that a copy of one that
        // found no room does not run later than the first would have.
        let fresh = session.window.accept(request.sequence);
        let (true, true, true, false, Some(method)) = (fresh, on_time, room, fenced, method) else {
            self.counters.maybe_dropped += 1;
            return;
        };
        session.live_calls += 1;
        session.mark_used(&mut self.sessions_unused);
        let caller = session.caller();
        let call = CallId { space: Space::Maybe, ..call_id(id, SlotIndex(0), request.sequence) };
        self.hand_over(Ticket { call, attempt: 1, not_after }, method, caller, request);
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
            self.watch(now, id, index);
            return begins;
        }
        self.refuse_queued(now, id, index, RefuseReason::Expired, Duration::ZERO);
        false
    }

    /// An execution that was begun has ended. `body` is what its end calls for.
    pub fn finish(&mut self, now: Instant, ticket: Ticket, end: HandlerEnd, body: Vec<u8>) {
        let CallId { session: id, slot: index, sequence, space } = ticket.call;
        self.running -= 1;
        if space == Space::Durable {
            return self.finish_durable(now, ticket, end, body);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return self.pool.give(body) };
        session.live_calls -= 1;
        session.last_heard = session.last_heard.max(now);
        if space == Space::Maybe {
            self.pool.give(body);
            return self.close_if_done(id);
        }
        let Some(slot) = session.slot(index) else { return };
        let State::Running(live) = slot.state else {
            unreachable!("only `finish` ends what `begin` began")
        };
        slot.quantum = live.quantum;
        let (status, body) = fitted(end.status(), body, live.reply_bytes_max);
        let handler_us = u32::try_from(now.since(live.arrived).as_micros()).unwrap_or(u32::MAX);
        let bad_arguments = end == HandlerEnd::BadArguments;
        slot.state = match (bad_arguments, slot.attempt) {
            (true, 1) => {
                self.counters.refused += 1;
                refused(RefuseReason::BadArguments, Duration::ZERO)
            }
            (true | false, _) => State::Done(Stored { status, body, handler_us }),
        };
        // A buffer that grew beyond the room reserved for the reply is cut to it.
        if let State::Done(stored) = &mut slot.state
            && !live.repeatable
        {
            stored.body.shrink_to(slot.stored_bytes);
        }
        let transmission = live.transmission;
        self.answer(now, id, Ask { slot: index, sequence, stamp: 0, transmission });
        if live.repeatable {
            self.forget(id, index, live.stopped);
        }
        self.settle(id, index);
        self.close_if_done(id);
    }

    /// An `at_least_once` reply was sent once and is not kept.
    fn forget(&mut self, id: SessionId, index: SlotIndex, stopped: bool) {
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        let Some(slot) = slot else { return };
        if matches!(slot.state, State::Refused { .. }) {
            return;
        }
        let next = if stopped { State::Closed } else { State::Forgotten };
        if let State::Done(stored) = std::mem::replace(&mut slot.state, next) {
            self.pool.give(stored.body);
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
        self.stored_bytes = self.stored_bytes - slot.stored_bytes + used;
        slot.stored_bytes = used;
    }

    /// Frees what the last call of a slot has stored: a later call acknowledges it.
    pub(super) fn release(&mut self, id: SessionId, index: SlotIndex) {
        let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
        let Some(slot) = slot else { return };
        if let State::Done(stored) = std::mem::replace(&mut slot.state, State::Acked) {
            self.pool.give(stored.body);
        }
        self.stored_bytes -= slot.stored_bytes;
        slot.stored_bytes = 0;
    }
}

/// The end of a call that was accepted and not begun.
pub(super) const fn refused(reason: RefuseReason, push_back: Duration) -> State {
    State::Refused { reason, push_back, name: 0 }
}

/// Room that a call's reply takes in the store: `at_least_once` stores none.
const fn reply_bytes(semantics: Semantics, reply_bytes_max: u32) -> usize {
    match semantics {
        Semantics::AtMostOnce | Semantics::ExactlyOnce => reply_bytes_max as usize,
        Semantics::Maybe | Semantics::AtLeastOnce => 0,
    }
}

/// Whether a REQUEST carries an extension that may not be skipped: none is known yet.
fn demands_unknown_extension(request: &Request<'_>) -> bool {
    Extensions::of(request.extensions).any(|extension| extension.is_ok_and(|one| !one.optional))
}
