//! A server asks whether a call is still waited for (EXTEND), or whether its owner lives (OWNER).
//!
//! Answered truthfully, one answer a question, never longer than it: yes only where this life made the
//! call and its caller waits, no for all else that was this client's; nothing about a durable call where
//! another session than the one that was asked may know better.

use super::Client;
use super::slots::State;
use crate::ids::{Sequence, SlotIndex, Space};
use crate::time::Instant;
use crate::wire::{Alive, Answer, Envelope, Extend, Owner, Pdu};

impl Client {
    /// A quantum of a call is over.
    pub(super) fn on_extend(&mut self, now: Instant, envelope: &Envelope, extend: &Extend) {
        if extend.answer != Answer::Ask || envelope.space == Space::Maybe {
            self.counters.foreign += 1;
            return;
        }
        let is_current = self.hear_question(now, envelope);
        let waits = self.waits_for(envelope.space, extend.slot, extend.sequence);
        if waits && !is_current && envelope.space == Space::Durable {
            // A durable call goes on in a later session, and is claimed by being sent again there.
            // Of which slots the former one spoke is not known any more: a yes might be a lie, a no
            // would be the end of a call that is wanted.
            self.counters.stale += 1;
            return;
        }
        let wanted = waits && is_current;
        if wanted {
            self.runs(now, envelope.space, extend.slot);
            self.counters.quanta_granted += 1;
        } else {
            self.counters.quanta_refused += 1;
        }
        let answer = if wanted { Answer::Yes } else { Answer::No };
        self.answer_orphan(envelope, &Pdu::Extend(Extend { answer, ..*extend }));
    }

    /// A later life of this client was welcomed somewhere: does the owner of this call live?
    pub(super) fn on_owner(&mut self, now: Instant, envelope: &Envelope, owner: &Owner) {
        let Owner { client, client_incarnation, announced, session, slot, sequence, .. } = *owner;
        let own = client == self.identity.id && client_incarnation <= self.identity.incarnation;
        if !own || session != envelope.session || envelope.space != Space::Session {
            self.counters.foreign += 1; // another process had this address before
            return;
        }
        self.counters.owners_asked += 1;
        let wanted = client_incarnation == self.identity.incarnation
            && self.hear_question(now, envelope)
            && self.waits_for(Space::Session, slot, sequence);
        let answer = if wanted { Answer::Yes } else { Answer::No };
        let pad = [0; 3];
        let alive =
            Alive { client, client_incarnation, announced, session, slot, sequence, answer, pad };
        self.answer_orphan(envelope, &Pdu::Alive(alive));
    }

    /// Whether the caller of a call waits for it. A call that was given up lingers, and nobody waits
    /// for it, not even who asks what became of it.
    /// The call of a slot runs: its request has come whole.
    fn runs(&mut self, now: Instant, space: Space, slot: SlotIndex) {
        let index = usize::try_from(slot.0).unwrap_or(usize::MAX);
        let state = self.table(space).slots.get(index).map(|slot| &slot.state);
        if let Some(&State::Busy(key)) = state {
            self.request_has_come(now, key.index);
        }
    }

    fn waits_for(&mut self, space: Space, slot: SlotIndex, sequence: Sequence) -> bool {
        let index = usize::try_from(slot.0).unwrap_or(usize::MAX);
        self.table(space)
            .slots
            .get(index)
            .is_some_and(|slot| slot.sequence == sequence && matches!(slot.state, State::Busy(_)))
    }

    /// Whether a question comes in the session that is open, whose server is alive then.
    fn hear_question(&mut self, now: Instant, envelope: &Envelope) -> bool {
        let asked = (envelope.session, envelope.incarnation);
        let is_current =
            self.session().is_some_and(|session| (session.id, session.incarnation) == asked);
        if is_current {
            self.last_heard = Some(now);
        }
        is_current
    }

    /// Answers in the session of the question, which may be one that was given up.
    fn answer_orphan(&mut self, envelope: &Envelope, answer: &Pdu<'_>) {
        let envelope = Envelope {
            space: envelope.space,
            target: envelope.incarnation.tag(),
            session: envelope.session,
            incarnation: self.identity.incarnation,
        };
        self.outbox.send(self.target.address, &envelope, answer);
    }
}
