//! Calls get a slot and leave: the sending rows of the table "Client slot".

use std::collections::VecDeque;

use super::call::{Call, Stage};
use super::call_off::CallingOff;
use super::session::{Link, Session};
use super::{CallKey, Client};
use crate::ids::{CallId, Sequence, SlotIndex, Space};
use crate::protocol::{ClientSlot, DoubtCause, NotSentCause, Outcome};
use crate::semantics::Semantics;
use crate::time::Instant;
use crate::wire::{Ack, Pdu, Ping, Seal};

/// The client's side of a session's slots.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotTable {
    pub(super) slots: Vec<Slot>,
    /// Free slots; the last used is used next, so that few are ever touched.
    pub(super) free: Vec<usize>,
    /// Lingering slots, oldest first.
    pub(super) lingering: VecDeque<usize>,
    /// Slots with a call under way that is nested in no other.
    busy_outermost: usize,
    unacknowledged: usize,
    /// Slots whose call is being called off.
    pub(super) calling_off: usize,
}

/// One slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) sequence: Sequence,
    pub(super) state: State,
    /// Whether the reply of `sequence` is stored at the server and not acknowledged.
    pub(super) unacknowledged: bool,
    /// An earlier session may have run the call of `sequence` (`at_least_once` only).
    pub(super) in_doubt: bool,
    /// Who asks what became of `sequence`.
    pub(super) resolver: Option<CallKey>,
    /// Whether the call of `sequence` is in the journal.
    pub(super) recorded: bool,
    /// Fragments of the reply of `sequence`, once it was large and came.
    pub(super) reply_fragments: u16,
    /// Its caller has given up the call of `sequence`, and the server may not know yet.
    pub(super) calling_off: Option<CallingOff>,
}

/// Where a slot stands.
#[derive(Clone, Debug, Default)]
pub(super) enum State {
    /// Its last call has ended with an answer.
    #[default]
    Free,
    /// A call is under way.
    Busy(CallKey),
    /// Its last call was given up without an answer, which may yet come.
    Linger,
    /// The answer came after the call was given up; kept for `resolve`.
    Resolved(Outcome),
}

impl SlotTable {
    /// A slot for a call of this depth. A quarter is kept for nested calls, so that two servers
    /// which call each other do not wait for each other's outermost calls (M9).
    fn take(&mut self, slots_max: usize, depth: u8) -> Option<usize> {
        if depth == 0 && self.busy_outermost >= (slots_max - slots_max / 4).max(1) {
            return None;
        }
        let index = self.take_free(slots_max).or_else(|| {
            if self.slots.len() < slots_max {
                self.slots.push(Slot::default());
                return Some(self.slots.len() - 1);
            }
            self.lingering.pop_front()
        })?;
        self.busy_outermost += usize::from(depth == 0);
        Some(index)
    }

    /// A free slot, of those that the session grants: an earlier one may have granted more.
    fn take_free(&mut self, slots_max: usize) -> Option<usize> {
        if self.free.last().is_none_or(|&last| last < slots_max) {
            return self.free.pop();
        }
        let place = self.free.iter().rposition(|&index| index < slots_max)?;
        Some(self.free.remove(place))
    }

    /// Goes on with the slots of an earlier life.
    pub(super) fn restore(&mut self, slots: &[ClientSlot]) {
        let index = |slot: &ClientSlot| usize::try_from(slot.slot.0).unwrap_or(usize::MAX);
        let used = slots.iter().map(|slot| index(slot) + 1).max().unwrap_or(0);
        self.slots.resize_with(used, Slot::default);
        for slot in slots {
            let restored = &mut self.slots[index(slot)];
            restored.sequence = slot.sequence;
            restored.recorded = true;
            if slot.is_open {
                restored.state = State::Linger;
                self.lingering.push_back(index(slot));
            }
        }
        let is_free = |index: &usize| matches!(self.slots[*index].state, State::Free);
        self.free = (0..used).rev().filter(is_free).collect();
    }

    /// The call that a slot lingers for is under way again.
    pub(super) fn take_back(&mut self, index: usize, key: CallKey, depth: u8) {
        self.lingering.retain(|&lingering| lingering != index);
        self.busy_outermost += usize::from(depth == 0);
        self.slots[index].state = State::Busy(key);
    }

    /// The end of that call is written down: its reply may be acknowledged.
    pub(super) fn may_acknowledge(&mut self, id: CallId) {
        let index = usize::try_from(id.slot.0).unwrap_or(usize::MAX);
        if self.slots.get(index).is_some_and(|slot| slot.sequence == id.sequence) {
            self.set_unacknowledged(index, true);
        }
    }

    /// The end of that call is not written down: the server keeps its reply for a later life.
    pub(super) fn may_not_acknowledge(&mut self, id: CallId) {
        let index = usize::try_from(id.slot.0).unwrap_or(usize::MAX);
        let slot = self.slots.get_mut(index).filter(|slot| slot.sequence == id.sequence);
        if let Some(slot) = slot {
            slot.reply_fragments = 0;
        }
    }

    /// A call in `index` has ended; `lingers` if without an answer.
    pub(super) fn leave(&mut self, index: usize, depth: u8, lingers: bool) {
        self.busy_outermost -= usize::from(depth == 0);
        if lingers {
            self.slots[index].state = State::Linger;
            self.lingering.push_back(index);
        } else {
            self.slots[index].state = State::Free;
            self.free.push(index);
        }
    }

    pub(super) fn set_unacknowledged(&mut self, index: usize, is: bool) {
        let slot = &mut self.slots[index];
        self.unacknowledged += usize::from(is);
        self.unacknowledged -= usize::from(slot.unacknowledged);
        slot.unacknowledged = is;
    }

    pub(super) const fn has_unacknowledged(&self) -> bool {
        self.unacknowledged > 0
    }

    /// Forgets all slots; gives the bodies that were kept.
    pub(super) fn clear(&mut self) -> Vec<Vec<u8>> {
        self.free.clear();
        self.lingering.clear();
        self.busy_outermost = 0;
        self.unacknowledged = 0;
        let kept = |slot: Slot| match slot.state {
            State::Resolved(Outcome::Returned(body) | Outcome::Failed { body, .. }) => Some(body),
            State::Resolved(_) | State::Free | State::Busy(_) | State::Linger => None,
        };
        self.slots.drain(..).filter_map(kept).collect()
    }
}

#[cfg(test)]
impl SlotTable {
    /// Every slot is free, lingers or has a call, and is counted as what it is.
    pub(super) fn check(&self, calls: &slab::Slab<Box<Call>>) {
        let mut places: Vec<usize> = self.free.iter().chain(&self.lingering).copied().collect();
        let (mut busy_outermost, mut unacknowledged, mut calling_off) = (0, 0, 0);
        for (index, slot) in self.slots.iter().enumerate() {
            unacknowledged += usize::from(slot.unacknowledged);
            calling_off += usize::from(slot.calling_off.is_some());
            assert!(slot.calling_off.is_none() || matches!(slot.state, State::Linger));
            let lists = (self.free.contains(&index), self.lingering.contains(&index));
            match slot.state {
                State::Free => assert_eq!(lists, (true, false)),
                State::Linger | State::Resolved(_) => assert_eq!(lists, (false, true)),
                State::Busy(key) => {
                    let call = &calls[key.index];
                    let expected = (key.generation, slot.sequence);
                    assert_eq!((call.generation, call.id.sequence), expected);
                    let stages = [Stage::Busy(index), Stage::Recording(index)];
                    let closing = Stage::Closing(Some(index));
                    assert!(stages.contains(&call.stage) || call.stage == closing);
                    busy_outermost += usize::from(call.spec.depth == 0);
                    places.push(index);
                }
            }
            if let Some(key) = slot.resolver {
                assert!(matches!(slot.state, State::Linger));
                let call = &calls[key.index];
                assert_eq!((call.generation, call.stage), (key.generation, Stage::Resolving));
            }
        }
        places.sort_unstable();
        assert!(places.into_iter().eq(0..self.slots.len()), "each slot stands in one place");
        let counted = (self.busy_outermost, self.unacknowledged, self.calling_off);
        assert_eq!((busy_outermost, unacknowledged, calling_off), counted);
    }
}

impl Client {
    /// Moves what waits as far as it can go.
    pub(super) fn pump(&mut self, now: Instant) {
        match self.link {
            Link::None => {
                let is_needed = !self.waiting.is_empty()
                    || (!self.closed && (self.is_durable_pending() || self.is_former_pending()));
                // After some refusals the timer says when to ask again.
                if is_needed && !self.timers.is_set(self.hello_timer) {
                    self.open(now, None);
                }
            }
            Link::Live(session) if self.waiting.is_empty() => self.pour_queued(now, &session),
            Link::Opening(_) => {}
            // The server may have dropped an idle session (H7): ask before handing anything over.
            Link::Live(session) => {
                let idle = |heard| now.since(heard) >= session.lease() / 2;
                if self.last_heard.is_none_or(idle) && self.may_resume(now) {
                    self.open(now, Some(session));
                } else {
                    self.pour_queued(now, &session);
                    self.assign_slots(now, &session);
                }
            }
        }
    }

    fn assign_slots(&mut self, now: Instant, session: &Session) {
        let mut passed = 0;
        while let Some(key) = self.waiting.get(passed) {
            let call = &self.calls[key.index];
            if call.spec.semantics == Semantics::Maybe {
                self.waiting.remove_at(passed, &call.spec);
                self.send_maybe(now, session, key);
                continue;
            }
            let is_durable = call.spec.semantics == Semantics::ExactlyOnce;
            if is_durable && !session.generation.is_some() {
                return self.want_durable(now);
            }
            let space = if is_durable { Space::Durable } else { Space::Session };
            let depth = call.spec.depth;
            let Some(index) = self.table(space).take(session.slots_max, depth) else {
                if self.waiting.are_alike() {
                    return;
                }
                passed += 1; // a nested call behind may still find one, a `maybe` call needs none
                continue;
            };
            self.waiting.remove_at(passed, &self.calls[key.index].spec);
            self.occupy(now, session, key, (space, index));
        }
    }

    fn occupy(
        &mut self,
        now: Instant,
        session: &Session,
        key: CallKey,
        (space, index): (Space, usize),
    ) {
        self.stop_calling_off(space, index);
        self.table(space).set_unacknowledged(index, false);
        let Call { in_doubt, recorded, .. } = *self.calls[key.index];
        let slot = &mut self.table(space).slots[index];
        slot.in_doubt = in_doubt;
        slot.recorded = recorded;
        slot.reply_fragments = 0;
        let resolver = slot.resolver.take();
        slot.sequence = slot.sequence.next();
        let kept = std::mem::replace(&mut slot.state, State::Busy(key));
        let sequence = slot.sequence;
        if let State::Resolved(Outcome::Returned(body) | Outcome::Failed { body, .. }) = kept {
            self.pool.give(body);
        }
        if let Some(resolver) = resolver {
            self.conclude(now, resolver, None, Outcome::InDoubt(DoubtCause::Closed));
        }
        let slot = SlotIndex(u32::try_from(index).expect("slots are numbered in 32 bits"));
        let name = match space {
            Space::Durable => self.durable_name(),
            Space::Session | Space::Maybe => session.id,
        };
        let call = &mut self.calls[key.index];
        call.stage = Stage::Busy(index);
        call.id = CallId { session: name, space, slot, sequence };
        if recorded {
            self.record_start(session, key, index);
        } else {
            self.send_request(now, session, key.index);
        }
    }

    fn send_maybe(&mut self, now: Instant, session: &Session, key: CallKey) {
        self.maybe_sequence += 1;
        let call = &mut self.calls[key.index];
        call.id = CallId {
            session: session.id,
            space: Space::Maybe,
            slot: SlotIndex(0),
            sequence: Sequence(self.maybe_sequence),
        };
        call.stage = Stage::Resolving; // it waits for nothing any more
        self.send_request(now, session, key.index);
        self.end(now, key, Outcome::Sent);
    }

    /// Hands a call's request to the transport, again or for the first time.
    pub(super) fn send_request(&mut self, now: Instant, session: &Session, index: usize) {
        let envelope = self.envelope(session, self.calls[index].id.space);
        let call = &mut self.calls[index];
        call.transmissions += 1;
        call.carrier = session.incarnation;
        call.sent_at = now;
        call.probing = false;
        if call.tries > 0 {
            self.counters.retransmissions += 1;
        }
        if self.is_large(&self.calls[index]) {
            return self.begin_large_request(now, session, index);
        }
        let call = &self.calls[index];
        let bytes = call.arguments.bytes(0..call.arguments.len());
        let parts = bytes.split_at(call.extension_bytes());
        let request = Pdu::Request(call.request(now, session, (0, 1), parts));
        self.outbox.send(self.target.address, &envelope, &request);
        let call = &mut self.calls[index];
        let wait = self.trip.wait(call.tries, &mut *self.rng);
        call.tries += 1;
        if let (Some(timer), Stage::Busy(_)) = (call.timer, call.stage) {
            self.timers.set(timer, (now + wait).min(call.spec.deadline));
        }
    }

    pub(super) fn send_ping(&mut self, now: Instant, session: &Session, index: usize) {
        let envelope = self.envelope(session, self.calls[index].id.space);
        let call = &mut self.calls[index];
        let (slot, sequence) = (call.id.slot, call.id.sequence);
        let ping = Pdu::Ping(Ping { slot, sequence, stamp: now.as_micros() });
        self.outbox.send(self.target.address, &envelope, &ping);
        self.counters.probes += 1;
        let wait = self.trip.wait(call.tries, &mut *self.rng);
        call.tries += 1;
        call.probes_unanswered = call.probes_unanswered.saturating_add(1);
        if let Some(timer) = call.timer {
            self.timers.set(timer, (now + wait).min(call.spec.deadline));
        }
    }

    /// A call's timer: its deadline, or another transmission.
    pub(super) fn on_call_timer(&mut self, now: Instant, index: usize) {
        let Some(call) = self.calls.get(index) else { return };
        let key = CallKey { index, generation: call.generation };
        let (stage, overdue) = (call.stage, now >= call.spec.deadline);
        let (probing, timer, deadline) = (call.probing, call.timer, call.spec.deadline);
        let is_leaving = call.outgoing.is_some();
        // One that was under way in a former session waits for the next until its deadline.
        let waits_until =
            if call.in_doubt { deadline } else { self.waits_until(call.started, &call.spec) };
        let overdue = overdue || (stage == Stage::Waiting && now >= waits_until);
        match (stage, overdue) {
            (Stage::Waiting, true) => {
                let outcome = self.overdue(key);
                self.end(now, key, outcome);
            }
            (Stage::Recording(slot) | Stage::Busy(slot), true) => {
                self.give_up(now, key, slot, DoubtCause::NoReply);
            }
            (Stage::Closing(_), true) => self.tell(now, key, false),
            (Stage::Resolving, _) => self.on_resolve_timer(now, key, overdue),
            (Stage::Waiting | Stage::Recording(_) | Stage::Closing(_), false) => {
                if let Some(timer) = timer {
                    self.timers.set(timer, deadline);
                }
            }
            (Stage::Busy(_), false) => match self.link {
                Link::Live(session) if is_leaving => self.on_request_timer(now, &session, index),
                Link::Live(session) if probing => self.send_ping(now, &session, index),
                Link::Live(session) => self.send_request(now, &session, index),
                // All is sent again once the session is known to live.
                Link::None | Link::Opening(_) => {
                    if let Some(timer) = timer {
                        self.timers.set(timer, deadline);
                    }
                }
            },
        }
    }

    /// After a resume of the same session: whatever has no answer is sent again; of large requests what
    /// was under way, and of those that have come whole it is only asked what became of them.
    pub(super) fn resend_all(&mut self, now: Instant) {
        let Link::Live(session) = self.link else { return };
        for key in self.keys() {
            match self.calls[key.index].stage {
                Stage::Waiting | Stage::Recording(_) | Stage::Closing(_) => {}
                Stage::Busy(_) => {
                    let call = &mut self.calls[key.index];
                    call.tries = 1;
                    let is_whole = call.probing;
                    let is_large = self.is_large(&self.calls[key.index]);
                    if self.go_on(now, &session, key.index) {
                        continue;
                    }
                    if is_large && is_whole {
                        self.send_ping(now, &session, key.index);
                    } else {
                        self.send_request(now, &session, key.index);
                    }
                }
                Stage::Resolving => self.send_seal(now, &session, key.index),
            }
        }
    }

    /// The caller waits no longer: the slot lingers, the server is told, and the call is in doubt.
    /// That a deadline is over is said once, for the server knows it; a cancel until it is heard.
    pub(super) fn give_up(&mut self, now: Instant, key: CallKey, slot: usize, cause: DoubtCause) {
        let call = &self.calls[key.index];
        let (space, index, sequence) = (call.id.space, call.id.slot, call.id.sequence);
        let depth = call.spec.depth;
        self.table(space).leave(slot, depth, true);
        if self.table(space).slots[slot].resolver.is_none() {
            self.forget_partial((space, index, sequence));
        }
        if cause == DoubtCause::Cancelled {
            self.start_calling_off(now, space, slot);
        } else if let Link::Live(session) = self.link {
            let stamp = now.as_micros();
            let envelope = self.envelope(&session, space);
            let seal = Pdu::Seal(Seal { slot: index, sequence, stamp });
            self.outbox.send(self.target.address, &envelope, &seal);
        }
        let call = &self.calls[key.index];
        let is_unsent = call.transmissions == 1
            && !call.recorded
            && call.outgoing.as_ref().is_some_and(|outgoing| outgoing.is_unsent());
        let outcome = match cause {
            DoubtCause::NoReply if is_unsent => call.unsent(NotSentCause::NoFreeSlot),
            DoubtCause::Cancelled if is_unsent => call.unsent(NotSentCause::Cancelled),
            DoubtCause::NoReply
            | DoubtCause::ServerRestarted
            | DoubtCause::SessionLost
            | DoubtCause::Closed
            | DoubtCause::Cancelled
            | DoubtCause::RefusedAfterDoubt
            | DoubtCause::GenerationEnded
            | DoubtCause::ServerDied
            | DoubtCause::JournalFailed => Outcome::InDoubt(cause),
        };
        self.end(now, key, outcome);
    }

    pub(super) const fn has_unacknowledged(&self) -> bool {
        self.slots.has_unacknowledged() || self.durable.slots.has_unacknowledged()
    }

    /// Acknowledges the last replies of an idle client, once (1b.13).
    pub(super) fn acknowledge(&mut self) {
        let Link::Live(session) = self.link else { return };
        if !self.calls.is_empty() {
            return;
        }
        self.partials.spare.clear(); // it is idle
        self.acknowledge_in(&session, Space::Session);
        self.acknowledge_in(&session, Space::Durable);
    }

    fn acknowledge_in(&mut self, session: &Session, space: Space) {
        let envelope = self.envelope(session, space);
        for index in 0..self.table(space).slots.len() {
            let slot = &self.table(space).slots[index];
            if slot.unacknowledged {
                let ack = Ack {
                    slot: SlotIndex(u32::try_from(index).expect("slots are numbered in 32 bits")),
                    sequence: slot.sequence,
                    cumulative: slot.reply_fragments.max(1),
                    fragments: slot.reply_fragments.max(1),
                    bitmap: 0,
                };
                self.outbox.send(self.target.address, &envelope, &Pdu::Ack(ack));
                self.table(space).set_unacknowledged(index, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_taken_of_those_that_the_session_grants() {
        let mut table = SlotTable { free: vec![0, 1, 2], ..SlotTable::default() };
        assert_eq!(table.take_free(2), Some(1));
        assert_eq!(table.take_free(1), Some(0));
        assert_eq!(table.take_free(2), None, "an earlier session granted more");
        assert_eq!(table.take_free(3), Some(2));
    }
}
