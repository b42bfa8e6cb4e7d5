//! What an earlier life of this client left, and its journal remembers: durable slots that go on, and
//! calls in sessions that are over for all but questions (protocol tables, H12).

use super::call::{Call, Stage};
use super::fragments::outcome_of;
use super::session::{Link, Session};
use super::slots::State;
use super::{CallKey, CallSpec, Client, TimerKey};
use crate::error::Execution;
use crate::ids::{CallId, GenerationId, Incarnation, Sequence, ServerId, SlotIndex, Space};
use crate::protocol::fragment::Lane;
use crate::protocol::limits::FRAGMENTS_BYTES_MAX;
use crate::protocol::record::{ClientTable, FormerCall, StartedRecord};
use crate::protocol::{DoubtCause, Outcome};
use crate::time::{Duration, Instant};
use crate::wire::{Envelope, NoSession, Pdu, RefuseReason, Reply, SealedVerdict};

impl Client {
    /// The generation whose durable slots this connection uses, if it has one yet.
    #[must_use]
    pub const fn generation(&self) -> GenerationId {
        self.durable.generation
    }

    /// The server that the open session is with, or the one that is meant.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.session().map_or(self.target.server, |session| session.server)
    }

    /// Who answered last at the place that this leads to, even if only to say that it is not the
    /// server that is meant. None if nobody did.
    #[must_use]
    pub const fn found_there(&self) -> ServerId {
        self.found
    }

    /// The session that is open.
    #[must_use]
    pub fn session_id(&self) -> Option<crate::ids::SessionId> {
        self.session().map(|session| session.id)
    }

    /// The calls that have a place and whose end was not told yet.
    pub fn under_way(&self) -> impl Iterator<Item = CallId> {
        self.calls.iter().filter_map(|(_, call)| match call.stage {
            Stage::Recording(_) | Stage::Busy(_) | Stage::Closing(Some(_)) => Some(call.id),
            Stage::Waiting | Stage::Resolving | Stage::Closing(None) => None,
        })
    }

    /// The journal's answer to [`super::ClientEvent::WantGeneration`].
    pub fn generation_found(&mut self, now: Instant, table: Option<ClientTable>) {
        self.durable.is_asked = false;
        if self.durable.generation.is_some() {
            return;
        }
        if let Some(table) = table {
            self.adopt_table(table);
        }
        self.durable.is_wanted = true;
        self.say_hello_anew(now);
        self.pump(now);
    }

    /// Goes on with the durable slots of an earlier life. Refused if this connection has others, or
    /// leads to another server.
    pub fn restore(&mut self, now: Instant, table: ClientTable) -> bool {
        let is_other = self.server().is_some() && self.server() != table.server;
        if self.durable.generation.is_some() || is_other || self.closed {
            return false;
        }
        self.adopt_table(table);
        self.durable.is_wanted = true;
        self.say_hello_anew(now);
        true
    }

    /// What was said so far, if anything, asked for no generation, or for another one.
    fn say_hello_anew(&mut self, now: Instant) {
        match self.link {
            Link::None => {}
            Link::Live(session) => self.open(now, Some(session)),
            Link::Opening(opening) => self.open(now, opening.resume),
        }
    }

    fn adopt_table(&mut self, table: ClientTable) {
        self.durable.generation = table.generation;
        self.durable.server = table.server;
        self.durable.slots.restore(&table.slots);
    }

    /// Sends a durable call of an earlier life again, so that it runs if it did not: once in all.
    pub fn complete(
        &mut self,
        now: Instant,
        id: CallId,
        started: StartedRecord,
        deadline: Instant,
    ) -> CallKey {
        let StartedRecord { spec, digest, arguments, .. } = started;
        let spec = CallSpec { deadline, ..spec };
        let call = Call {
            id,
            digest,
            arguments: arguments.into(),
            recorded: true,
            ..Call::new(now, spec, Stage::Waiting, self.hellos_sent)
        };
        let key = self.insert(Box::new(call));
        let index = usize::try_from(id.slot.0).unwrap_or(usize::MAX);
        let is_here = id.space == Space::Durable && id.session == self.durable_name();
        let slot = self.durable.slots.slots.get(index).filter(|_| is_here && !self.closed);
        let is_open = slot.is_some_and(|slot| {
            slot.sequence == id.sequence
                && matches!(slot.state, State::Linger)
                && slot.resolver.is_none()
        });
        // Only limits that were others once let it be longer than can be sent: then it is as it was.
        let is_short = self.calls[key.index].arguments.len() <= FRAGMENTS_BYTES_MAX;
        if !is_open || !is_short {
            let cause = match (is_short, is_here) {
                (false, _) => DoubtCause::NoReply,
                (true, true) => DoubtCause::Closed,
                (true, false) => DoubtCause::SessionLost,
            };
            self.calls[key.index].stage = Stage::Resolving;
            self.end(now, key, Outcome::InDoubt(cause));
            return key;
        }
        self.stop_calling_off(Space::Durable, index);
        self.durable.slots.take_back(index, key, spec.depth);
        self.calls[key.index].stage = Stage::Busy(index);
        let timer = self.timers.add(TimerKey::Call(key.index));
        self.timers.set(timer, deadline);
        self.calls[key.index].timer = Some(timer);
        self.timers.clear(self.ack_timer);
        if let Link::Live(session) = self.link {
            self.send_request(now, &session, key.index);
        }
        self.pump(now);
        key
    }

    /// Asks what became of a call that an earlier life made in a session of its own: the server
    /// answers with the stored reply, or promises never to run it. With `stops`, work that is under
    /// way for it is called off.
    pub fn resolve_former(
        &mut self,
        now: Instant,
        former: FormerCall,
        deadline: Instant,
        stops: bool,
    ) -> CallKey {
        let FormerCall { call, server, incarnation, in_doubt } = former;
        let question = Call {
            former: Some((server, incarnation)),
            in_doubt,
            stops,
            recorded: self.keeps_journal,
            ..Call::resolve(now, call, deadline, self.hellos_sent)
        };
        let key = self.insert(Box::new(question));
        if self.closed || call.space != Space::Session {
            self.end(now, key, Outcome::InDoubt(DoubtCause::SessionLost));
            return key;
        }
        let timer = self.timers.add(TimerKey::Call(key.index));
        self.calls[key.index].timer = Some(timer);
        self.timers.set(timer, deadline);
        self.timers.clear(self.ack_timer);
        if let Link::Live(session) = self.link {
            self.send_seal(now, &session, key.index);
        }
        self.pump(now);
        key
    }

    /// Whether a call of a former session is asked about.
    pub(super) fn is_former_pending(&self) -> bool {
        let asks = |call: &Call| call.former.is_some() && call.stage == Stage::Resolving;
        self.keeps_journal && self.calls.iter().any(|(_, call)| asks(call))
    }

    /// A session was opened: former ones can be asked about now.
    pub(super) fn ask_former(&mut self, now: Instant, session: &Session) {
        if !self.is_former_pending() {
            return;
        }
        for key in self.keys() {
            let call = &mut self.calls[key.index];
            if call.former.is_some() && call.stage == Stage::Resolving {
                call.tries = 1;
                self.send_seal(now, session, key.index);
            }
        }
    }

    /// The session that a question goes to: the open one, or a former one of the same life of the
    /// same server. With another life nobody is left who knows; another server says nothing of it.
    pub(super) fn envelope_of_question(
        &mut self,
        now: Instant,
        session: &Session,
        index: usize,
    ) -> Option<Envelope> {
        let call = &self.calls[index];
        let envelope = self.envelope(session, call.id.space);
        let Some((server, incarnation)) = call.former else { return Some(envelope) };
        let key = CallKey { index, generation: call.generation };
        let id = call.id;
        if server != session.server {
            self.end(now, key, Outcome::InDoubt(DoubtCause::SessionLost));
            None
        } else if incarnation != session.incarnation {
            self.conclude(now, key, None, Outcome::InDoubt(DoubtCause::ServerRestarted));
            None
        } else {
            Some(Envelope { session: id.session, ..envelope })
        }
    }

    /// An answer about a call of a former session. Says whether it is one.
    pub(super) fn on_former(&mut self, now: Instant, envelope: &Envelope, pdu: &Pdu<'_>) -> bool {
        let (slot, sequence, outcome) = match pdu {
            Pdu::Reply(reply) if reply.fragments > 1 => {
                return self.on_former_fragment(now, envelope, reply);
            }
            Pdu::Reply(reply) => {
                let outcome = outcome_of(reply.status, reply.body.to_vec());
                (reply.slot, reply.sequence, Some(outcome))
            }
            Pdu::Refuse(refuse) if refuse.reason != RefuseReason::Generation => {
                let (reason, detail) = (refuse.reason, refuse.detail.to_owned());
                let outcome = Outcome::Refused { reason, push_back: Duration::ZERO, detail };
                (refuse.slot, refuse.sequence, Some(outcome))
            }
            Pdu::Sealed(sealed) => {
                let outcome = match sealed.verdict {
                    SealedVerdict::NotExecuted => Outcome::Sealed,
                    SealedVerdict::Closed => Outcome::InDoubt(DoubtCause::Closed),
                };
                (sealed.slot, sealed.sequence, Some(outcome))
            }
            Pdu::NoSession(NoSession { slot, sequence, .. }) => {
                (*slot, *sequence, Some(Outcome::InDoubt(DoubtCause::SessionLost)))
            }
            // It was told, and works on for now: its timer asks again.
            Pdu::Working(working) => (working.slot, working.sequence, None),
            Pdu::Refuse(_)
            | Pdu::Hello(_)
            | Pdu::Cookie(_)
            | Pdu::Welcome(_)
            | Pdu::Reject(_)
            | Pdu::Request(_)
            | Pdu::Ack(_)
            | Pdu::Ping(_)
            | Pdu::Unseen(_)
            | Pdu::Extend(_)
            | Pdu::Cancel(_)
            | Pdu::Seal(_)
            | Pdu::Owner(_)
            | Pdu::Alive(_)
            | Pdu::Goaway(_)
            | Pdu::Bye(_)
            | Pdu::Probe(_)
            | Pdu::Probed(_) => return false,
        };
        let Some(key) = self.asked_former(envelope, (slot, sequence)) else { return false };
        // It came from another session: of the lease of its own the client knows no more than before.
        let call = &mut self.calls[key.index];
        match outcome {
            Some(outcome) if call.in_doubt && outcome.execution() == Execution::NotExecuted => {
                let cause = DoubtCause::RefusedAfterDoubt;
                self.conclude(now, key, None, Outcome::InDoubt(cause));
            }
            Some(outcome) => self.conclude(now, key, None, outcome),
            None => call.working_seen = true,
        }
        true
    }

    /// The question about a call of a former session, if one is asked.
    fn asked_former(
        &self,
        envelope: &Envelope,
        (slot, sequence): (SlotIndex, Sequence),
    ) -> Option<CallKey> {
        if !self.is_former_pending() || envelope.space != Space::Session {
            return None;
        }
        let id = CallId { session: envelope.session, space: Space::Session, slot, sequence };
        let asked = self.calls.iter().find(|(_, call)| {
            let of_life = |former: (ServerId, Incarnation)| former.1 == envelope.incarnation;
            call.id == id && call.stage == Stage::Resolving && call.former.is_some_and(of_life)
        });
        asked.map(|(index, call)| CallKey { index, generation: call.generation })
    }

    /// A fragment of a large reply to such a question. The whole is not acknowledged: the server keeps
    /// it as long as the former session, should this life end before it has written it down.
    fn on_former_fragment(&mut self, now: Instant, envelope: &Envelope, reply: &Reply<'_>) -> bool {
        let asked = self.asked_former(envelope, (reply.slot, reply.sequence));
        let (Some(key), Some(session)) = (asked, self.session()) else { return false };
        let answer =
            Envelope { session: envelope.session, ..self.envelope(session, Space::Session) };
        self.counters.fragments_in += 1;
        let lane = Lane::new(envelope.session, Space::Session, reply.slot);
        if let Some((status, body)) = self.take_fragment(now, &answer, lane, reply) {
            self.conclude(now, key, None, outcome_of(status, body));
        }
        true
    }

    /// The server has another life than the one whose sessions are asked about, or is another, which
    /// says nothing of them.
    pub(super) fn outlive_former(&mut self, now: Instant, server: ServerId, life: Incarnation) {
        if !self.is_former_pending() {
            return;
        }
        for key in self.keys() {
            let call = &self.calls[key.index];
            let asked = call.former.filter(|_| call.stage == Stage::Resolving);
            let Some((of, incarnation)) = asked else { continue };
            if of != server {
                self.end(now, key, Outcome::InDoubt(DoubtCause::SessionLost));
            } else if incarnation != life {
                self.conclude(now, key, None, Outcome::InDoubt(DoubtCause::ServerRestarted));
            }
        }
    }
}
