//! Durable calls: those of `exactly_once` methods. Their slots belong to a generation of the server's
//! store and outlive sessions; what has no answer is sent again in the next one.
//!
//! Knows the durable rows of the table "Client slot" of docs/protocol.md: a refusal or a seal counts
//! only in the current session (H3), a generation that has ended leaves every call in it in doubt
//! (C3). Whether the client itself remembers them over a crash is the journal's business.

use super::call::Stage;
use super::session::{Link, Session};
use super::slots::{SlotTable, State};
use super::{CallKey, Client, ClientEvent};
use crate::hash::{Hasher, SipKey};
use crate::ids::{CallId, GenerationId, Incarnation, ServerId, SessionId, Space};
use crate::protocol::{DoubtCause, NotSentCause, Outcome, Record};
use crate::semantics::Semantics;
use crate::time::Instant;

/// The half of a digest's key that is not drawn with the call.
const DIGEST_KEY_BITS: u64 = 0x6475_7261_626c_6531;

/// The client's side of its durable slots at one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Durable {
    /// Whether a call ever asked for them.
    pub(super) is_wanted: bool,
    /// Whether the journal is being asked for them.
    pub(super) is_asked: bool,
    pub(super) generation: GenerationId,
    /// Whose store the generation is in.
    pub(super) server: ServerId,
    pub(super) slots: SlotTable,
}

impl Client {
    /// The slots of a space.
    pub(super) fn table(&mut self, space: Space) -> &mut SlotTable {
        match space {
            Space::Durable => &mut self.durable.slots,
            Space::Session | Space::Maybe => &mut self.slots,
        }
    }

    /// The digest of a durable call: 64 random bits are part of it, so that no two calls share one,
    /// not even those of a cloned machine with equal arguments (1b.3).
    pub(super) fn durable_digest(&mut self, method: u64, (before, behind): (&[u8], &[u8])) -> u64 {
        let mut hasher = Hasher::new(SipKey([self.rng.next_u64(), DIGEST_KEY_BITS]));
        hasher.write_u64(method);
        hasher.write(behind); // the longer one first: it is read by words then
        hasher.write(before);
        hasher.finish()
    }

    /// Whether something waits for an answer that any session with the generation can give.
    pub(super) fn is_durable_pending(&self) -> bool {
        let pending = |call: &super::Call| match call.stage {
            // What is being written down waits for that first.
            Stage::Waiting | Stage::Recording(_) | Stage::Closing(_) => false,
            Stage::Busy(_) | Stage::Resolving => call.id.space == Space::Durable,
        };
        self.durable.is_wanted && self.calls.iter().any(|(_, call)| pending(call))
    }

    /// A session was opened or resumed: it has the generation, or that is over, or the server has
    /// no store.
    pub(super) fn adopt_generation(&mut self, now: Instant, session: &Session, is_new: bool) {
        if !self.durable.is_wanted {
            return;
        }
        if session.generation != self.durable.generation {
            // Another server, or one that has lost its store for now, says nothing of the slots that
            // the journal remembers.
            let is_elsewhere =
                session.server != self.durable.server || !session.generation.is_some();
            if self.keeps_journal && is_elsewhere {
                self.abandon_durable(now, DoubtCause::SessionLost);
            } else if self.durable.generation.is_some() {
                self.end_generation(now);
            }
            self.durable.generation = session.generation;
            self.durable.server = session.server;
        }
        if !session.generation.is_some() {
            return self.refuse_durable(now);
        }
        if is_new {
            self.resend_durable(now, session);
        }
    }

    fn resend_durable(&mut self, now: Instant, session: &Session) {
        for key in self.durable_keys() {
            let Some(call) = self.calls.get_mut(key.index) else { continue };
            call.tries = 1;
            let has_died = call.carrier.is_some() && call.carrier != session.incarnation;
            call.deaths += u32::from(has_died);
            match call.stage {
                Stage::Waiting | Stage::Recording(_) | Stage::Closing(_) => {}
                // It may be what kills them (M7): the next life is told to leave it alone.
                Stage::Busy(slot) if call.deaths >= self.limits.server_deaths_max => {
                    self.give_up(now, key, slot, DoubtCause::ServerDied);
                }
                Stage::Busy(_) => self.send_request(now, session, key.index),
                Stage::Resolving => self.send_seal(now, session, key.index),
            }
        }
    }

    /// The session is gone and the calls are not: they wait for the next.
    pub(super) fn keep_durable(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key.index) else { return };
        call.probing = false;
        call.tries = 0;
        if let Some(timer) = call.timer {
            self.timers.set(timer, call.spec.deadline);
        }
        self.stop_outgoing(key.index);
    }

    /// The server has deleted the generation: nobody will ever know.
    fn end_generation(&mut self, now: Instant) {
        if self.keeps_journal {
            let call = CallId { session: self.durable_name(), ..CallId::UNSENT };
            let (key, record) = (CallKey::NONE, Record::Forgotten);
            let record = Box::new(record);
            self.outbox.event(ClientEvent::Record { key, call, record });
        }
        self.abandon_durable(now, DoubtCause::GenerationEnded);
    }

    /// The slots are not to be had any more: what was sent is in doubt, what was not gets others.
    fn abandon_durable(&mut self, now: Instant, cause: DoubtCause) {
        for key in self.durable_keys() {
            let Some(call) = self.calls.get_mut(key.index) else { continue };
            match call.stage {
                Stage::Waiting => {}
                Stage::Recording(_) => self.withdraw(key),
                Stage::Closing(_) => call.stage = Stage::Closing(None),
                Stage::Busy(_) | Stage::Resolving => {
                    self.conclude(now, key, None, Outcome::InDoubt(cause));
                }
            }
        }
        self.stop_all_calling_off(Space::Durable);
        for body in self.durable.slots.clear() {
            self.pool.give(body);
        }
    }

    /// The server has no store: what asks for one cannot be done there.
    fn refuse_durable(&mut self, now: Instant) {
        self.durable.is_wanted = false;
        let wants = |key: &CallKey| {
            let call = self.call(*key);
            call.is_some_and(|call| call.spec.semantics == Semantics::ExactlyOnce)
        };
        let refused: Vec<CallKey> = self.waiting.iter().filter(wants).collect();
        for key in refused {
            self.end(now, key, Outcome::NotSent(NotSentCause::Unsupported));
        }
    }

    fn durable_keys(&self) -> Vec<CallKey> {
        let handed = |call: &super::Call| match call.stage {
            Stage::Waiting => false,
            Stage::Recording(_) | Stage::Busy(_) | Stage::Resolving | Stage::Closing(_) => {
                call.id.space == Space::Durable
            }
        };
        let calls = self.calls.iter().filter(|(_, call)| handed(call));
        calls.map(|(index, call)| CallKey { index, generation: call.generation }).collect()
    }

    /// The server that has the generation lives on as `life`: durable calls go there, where any life
    /// of it will do (invariant 10). Says whether that is so.
    pub(super) fn follow_restart(&mut self, server: ServerId, life: Incarnation) -> bool {
        let bound = self.target.server;
        let same = [bound, self.durable.server].contains(&server) && server.is_some();
        let follows = self.durable.is_wanted && same && self.target.incarnation != life;
        if follows {
            self.target.incarnation = life;
        }
        follows
    }

    /// The server is not to be had now, and durable calls or questions about former ones wait for it:
    /// asks again a little later.
    pub(super) fn ask_again_later(&mut self, now: Instant) {
        let is_needed = self.is_durable_pending() || self.is_former_pending();
        if is_needed && !self.timers.is_set(self.hello_timer) {
            self.timers.set(self.hello_timer, now + self.limits.retransmit_initial);
        }
    }

    /// Whether all that was ever asked of the generation is answered.
    pub(super) fn is_durable_settled(&self) -> bool {
        let open = |state: &State| matches!(state, State::Busy(_) | State::Linger);
        self.durable.generation.is_some()
            && !self.durable.slots.slots.iter().any(|slot| open(&slot.state))
    }

    /// The name of a durable call's place: see [`crate::ids::CallId::session`].
    pub(super) const fn durable_name(&self) -> SessionId {
        SessionId(self.durable.generation.0)
    }

    /// Asks for a generation with the session that is open, if there is one.
    pub(super) fn want_durable(&mut self, now: Instant) {
        let session = match self.link {
            Link::Live(session) => Some(session),
            Link::None | Link::Opening(_) => None,
        };
        if let Some(Session { server, .. }) = session
            && self.keeps_journal
            && !self.durable.generation.is_some()
        {
            // The journal may have some; `generation_found` goes on.
            if !std::mem::replace(&mut self.durable.is_asked, true) {
                self.outbox.event(ClientEvent::WantGeneration { server });
            }
            return;
        }
        self.durable.is_wanted = true;
        self.open(now, session);
    }
}
