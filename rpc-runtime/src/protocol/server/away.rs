//! Calls that were accepted and never begin, because they came too late to their turn or because
//! nobody is there to run them.

use super::answers::Ask;
use super::calls::refused;
use super::durable::durable_place;
use super::slot::State;
use super::{Server, Ticket};
use crate::ids::{CallId, SessionId, SlotIndex, Space};
use crate::time::{Duration, Instant};
use crate::wire::RefuseReason;

impl Server {
    /// In place of [`Server::begin`]: nobody can run this call now, and its caller is told so.
    pub fn turn_away(&mut self, now: Instant, ticket: Ticket) {
        let CallId { session: id, slot: index, sequence, space } = ticket.call;
        self.queued -= 1;
        self.let_go(ticket);
        let (reason, push_back) = (RefuseReason::Overload, self.limits.push_back);
        match space {
            Space::Maybe => self.drop_queued_maybe(now, id),
            Space::Session => {
                let slot = self.sessions.get_mut(&id).and_then(|session| session.slot(index));
                let slot = slot.filter(|slot| slot.last == sequence);
                if slot.is_some_and(|slot| matches!(slot.state, State::Queued(_))) {
                    self.refuse_queued(now, id, index, reason, push_back);
                }
            }
            Space::Durable => {
                let place = durable_place(ticket.call);
                let slot = self.durable_slot(place).filter(|slot| slot.last == sequence);
                if slot.is_some_and(|slot| matches!(slot.state, State::Queued(_))) {
                    self.refuse_queued_durable(now, place, reason, push_back);
                }
            }
        }
    }

    pub(super) fn drop_queued_maybe(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.counters.maybe_dropped += 1;
        session.live_calls -= 1;
        session.last_heard = session.last_heard.max(now);
        self.close_if_done(id);
    }

    /// Refuses a call of a session's slot that is queued there. An execution that was promised
    /// nothing is refused; a further one is just not made.
    pub(super) fn refuse_queued(
        &mut self,
        now: Instant,
        id: SessionId,
        index: SlotIndex,
        reason: RefuseReason,
        push_back: Duration,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(slot) = session.slot(index) else { return };
        let is_first = slot.attempt == 1;
        let sequence = slot.last;
        slot.state = if is_first { refused(reason, push_back) } else { State::Forgotten };
        session.live_calls -= 1;
        session.last_heard = session.last_heard.max(now);
        self.counters.refused += u64::from(is_first);
        self.settle(id, index);
        if is_first {
            self.answer(now, id, Ask { slot: index, sequence, stamp: 0, transmission: 0 });
        }
        self.close_if_done(id);
    }
}
