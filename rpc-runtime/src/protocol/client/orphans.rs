//! A server asks whether a call is still waited for (EXTEND), or whether its owner lives (OWNER).
//!
//! Answered at once and truthfully, one answer a question, never longer than it: yes only where this
//! life made the call and its caller waits, no for all else that was this client's.

use super::Client;
use super::slots::State;
use crate::ids::{Sequence, SessionId, SlotIndex, Space};
use crate::time::Instant;
use crate::wire::{Alive, Answer, Envelope, Extend, Owner, Pdu};

impl Client {
    /// A quantum of a call is over.
    pub(super) fn on_extend(&mut self, now: Instant, envelope: &Envelope, extend: &Extend) {
        if extend.answer != Answer::Ask || envelope.space != Space::Session {
            self.counters.foreign += 1;
            return;
        }
        let wanted = self.is_waited_for(now, envelope, extend.slot, extend.sequence);
        if wanted {
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
            && self.is_waited_for(now, envelope, slot, sequence);
        let answer = if wanted { Answer::Yes } else { Answer::No };
        let pad = [0; 3];
        let alive =
            Alive { client, client_incarnation, announced, session, slot, sequence, answer, pad };
        self.answer_orphan(envelope, &Pdu::Alive(alive));
    }

    /// Whether the caller of a call waits for it. A call that was given up lingers, and nobody waits
    /// for it, not even who asks what became of it.
    fn is_waited_for(
        &mut self,
        now: Instant,
        envelope: &Envelope,
        slot: SlotIndex,
        sequence: Sequence,
    ) -> bool {
        if !self.is_current(envelope.session, envelope) {
            return false;
        }
        self.last_heard = Some(now);
        let index = usize::try_from(slot.0).unwrap_or(usize::MAX);
        self.slots
            .slots
            .get(index)
            .is_some_and(|slot| slot.sequence == sequence && matches!(slot.state, State::Busy(_)))
    }

    fn is_current(&self, id: SessionId, envelope: &Envelope) -> bool {
        self.session()
            .is_some_and(|session| session.id == id && session.incarnation == envelope.incarnation)
    }

    /// Answers in the session of the question, which may be one that was given up.
    fn answer_orphan(&mut self, envelope: &Envelope, answer: &Pdu<'_>) {
        let envelope = Envelope {
            space: Space::Session,
            target: envelope.incarnation.tag(),
            session: envelope.session,
            incarnation: self.identity.incarnation,
        };
        self.outbox.send(self.target.address, &envelope, answer);
    }
}
