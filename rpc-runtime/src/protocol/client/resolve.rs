//! What became of that call? SEAL, sent until it is answered (contract rule 6).

use super::call::Call;
use super::session::{Link, Session};
use super::slots::State;
use super::{CallKey, Client, TimerKey};
use crate::ids::{CallId, Space};
use crate::protocol::{DoubtCause, Outcome};
use crate::time::Instant;
use crate::wire::{Cancel, Pdu, Seal};

impl Client {
    /// Asks what became of `id`: the server answers with the stored reply, or promises never to run
    /// the call. Certain only while the session lives and no later call has used the slot.
    ///
    /// [`CallId::UNSENT`] names no call, and so denies none: whoever had it from a call that waited
    /// for a place cannot know what became of that call since.
    pub fn resolve(&mut self, now: Instant, id: CallId, deadline: Instant) -> CallKey {
        self.ask(now, id, deadline, false)
    }

    /// As [`Client::resolve`], and work that is under way for the call is called off.
    pub fn call_off(&mut self, now: Instant, id: CallId, deadline: Instant) -> CallKey {
        self.ask(now, id, deadline, true)
    }

    fn ask(&mut self, now: Instant, id: CallId, deadline: Instant, stops: bool) -> CallKey {
        let question = Call::resolve(now, id, deadline, self.hellos_sent);
        let key = self.insert(Box::new(Call { stops, ..question }));
        let is_known = match id.space {
            Space::Session => self.session().is_some_and(|session| session.id == id.session),
            Space::Durable => {
                self.durable.generation.is_some() && id.session == self.durable_name()
            }
            Space::Maybe => false,
        };
        if !is_known {
            self.end(now, key, Outcome::InDoubt(DoubtCause::SessionLost));
            return key;
        }
        let index = usize::try_from(id.slot.0).unwrap_or(usize::MAX);
        let closed = self.closed;
        let table = self.table(id.space);
        let slot = table.slots.get_mut(index).filter(|slot| slot.sequence == id.sequence);
        let Some(slot) = slot else {
            self.end(now, key, Outcome::InDoubt(DoubtCause::Closed));
            return key;
        };
        match &slot.state {
            State::Resolved(outcome) => {
                let (outcome, recorded) = (outcome.clone(), slot.recorded);
                self.calls[key.index].recorded = recorded;
                self.conclude(now, key, None, outcome);
            }
            State::Linger if slot.resolver.is_none() && !closed => {
                slot.resolver = Some(key);
                self.calls[key.index].recorded = slot.recorded;
                let timer = self.timers.add(TimerKey::Call(key.index));
                self.calls[key.index].timer = Some(timer);
                self.timers.set(timer, deadline);
                self.timers.clear(self.ack_timer);
                if let Link::Live(session) = self.link {
                    self.send_seal(now, &session, key.index);
                }
                self.pump(now);
            }
            // It has ended with an answer, is under way, or is being asked about already.
            State::Free | State::Busy(_) | State::Linger => {
                let cause = if self.is_busy(id.space, index) {
                    DoubtCause::NoReply
                } else {
                    DoubtCause::Closed
                };
                self.end(now, key, Outcome::InDoubt(cause));
            }
        }
        key
    }

    pub(super) fn send_seal(&mut self, now: Instant, session: &Session, index: usize) {
        let Some(envelope) = self.envelope_of_question(now, session, index) else { return };
        let call = &mut self.calls[index];
        call.transmissions += 1;
        let (slot, sequence, stamp) = (call.id.slot, call.id.sequence, now.as_micros());
        let question = if call.stops {
            Pdu::Cancel(Cancel { slot, sequence, stamp })
        } else {
            Pdu::Seal(Seal { slot, sequence, stamp })
        };
        self.outbox.send(self.target.address, &envelope, &question);
        let wait = self.trip.wait(call.tries, &mut *self.rng);
        call.tries += 1;
        if let Some(timer) = call.timer {
            self.timers.set(timer, (now + wait).min(call.spec.deadline));
        }
    }

    /// Ends a question without an answer; its slot may be asked about again.
    pub(super) fn end_question(&mut self, now: Instant, key: CallKey, cause: DoubtCause) {
        let id = self.calls[key.index].id;
        let index = usize::try_from(id.slot.0).unwrap_or(usize::MAX);
        if let Some(slot) = self.table(id.space).slots.get_mut(index) {
            slot.resolver = slot.resolver.filter(|&resolver| resolver != key);
        }
        self.end(now, key, Outcome::InDoubt(cause));
    }

    pub(super) fn on_resolve_timer(&mut self, now: Instant, key: CallKey, overdue: bool) {
        if overdue {
            return self.end_question(now, key, DoubtCause::NoReply);
        }
        let call = &self.calls[key.index];
        let (timer, deadline) = (call.timer, call.spec.deadline);
        match (self.link, timer) {
            (Link::Live(session), _) => self.send_seal(now, &session, key.index),
            (Link::None | Link::Opening(_), Some(timer)) => self.timers.set(timer, deadline),
            (Link::None | Link::Opening(_), None) => {}
        }
    }
}
