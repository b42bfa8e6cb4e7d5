//! Durable slots: those of `exactly_once` calls. They belong to a generation, not to a session, so
//! that a call goes on over sessions and lives of the server.
//!
//! Knows the table "Durable slot" of docs/protocol.md. What a generation's slots hold is read from
//! the store when it is attached to a session, before WELCOME, so that every lookup here knows all
//! that the store knows; refusals and seals are kept here only (protocol tables, H3). The store, its
//! transactions and its fence are the driver's: a call is run between [`Server::begin`] and
//! [`Server::finish`], and what it is told then has been committed.

mod calls;
mod keep;
mod stop;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::answers::{Ask, fitted};
use super::slot::{Slot, Spot, State, Stored};
use super::{Origin, Server, ServerEvent, envelope};
use crate::address::Host;
use crate::ids::{CallId, ClientId, GenerationId, Sequence, SessionId, SlotIndex, Space};
use crate::protocol::Limits;
use crate::protocol::limits::FRAGMENTS_BYTES_MAX;
use crate::protocol::timers::TimerId;
use crate::time::{Duration, Instant};
use crate::wire::{
    Hello, NoSession, Nonce, Pdu, Refuse, RefuseReason, RejectReason, ReplyStatus, SealedVerdict,
    Unseen,
};

/// HELLOs that wait for the store at a time: in all, and of one host.
const OPENINGS_MAX: usize = 1_024;
const HOST_OPENINGS_MAX: usize = 256;

/// A HELLO that waits until its generation is known; named by who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpeningKey {
    client: ClientId,
    nonce: Nonce,
}

/// A durable slot as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableRow {
    /// Which slot.
    pub slot: SlotIndex,
    /// The last call that was committed in it.
    pub sequence: Sequence,
    /// That call's request digest.
    pub digest: u64,
    /// How it ended, if its reply is still kept.
    pub ended: Option<(ReplyStatus, Vec<u8>)>,
}

impl DurableRow {
    fn bytes(&self) -> usize {
        self.ended.as_ref().map_or(0, |(_, body)| body.len())
    }
}

/// What the store says of a generation that a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableTable {
    /// The one that was asked for if it exists, a new one otherwise.
    pub generation: GenerationId,
    /// Its slots.
    pub rows: Vec<DurableRow>,
}

/// The durable slots of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Durable {
    /// Whether there is a store.
    pub(super) enabled: bool,
    /// Whether it belongs to a later life by now.
    pub(super) is_fenced: bool,
    /// When the store is to be looked after again, once that was said for the first time.
    retain_at: Option<Instant>,
    retain_timer: Option<TimerId>,
    pub(super) generations: BTreeMap<GenerationId, Generation>,
    pub(super) openings: BTreeMap<OpeningKey, (Origin, Hello)>,
}

impl Durable {
    /// Whether so many HELLOs wait for the store that this one may not: each that waits costs a row in
    /// it, whether its client means to use that or not.
    fn is_full(&self, origin: Origin, hello: &Hello, limits: &Limits) -> bool {
        let host = origin.from.host();
        let of_client = |key: &&OpeningKey| key.client == hello.client;
        let of_host = |(other, _): &&(Origin, Hello)| other.from.host() == host;
        self.openings.len() >= OPENINGS_MAX
            || self.openings.values().filter(of_host).count() >= HOST_OPENINGS_MAX
            || self.openings.keys().filter(of_client).count() >= limits.client_sessions_max
    }
}

/// A generation in use.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) client: ClientId,
    /// The session that claimed it last: the only one that may use it, and where answers go.
    pub(super) session: Option<SessionId>,
    /// Slots that there may be: those that the store had, and as many as a session was granted.
    pub(super) slots_max: usize,
    /// How many the store had.
    rows: usize,
    /// Those that have something to remember.
    pub(super) slots: BTreeMap<SlotIndex, Slot>,
    /// Calls queued or running.
    pub(super) live_calls: usize,
    /// Bytes of its stored replies, and of room reserved for them.
    pub(super) stored_bytes: usize,
    /// Bytes of the replies that an earlier life stored, and that are still kept.
    pub(super) row_bytes: usize,
    /// In whose share they are: where the session is that claimed it last.
    pub(super) host: Host,
}

impl Generation {
    /// The last sequence of a slot, zero of one that nothing is known of; `None` where none may be.
    fn last(&self, index: SlotIndex, slots_max: u32) -> Option<Sequence> {
        let room = index.0 < slots_max && self.slots.len() < self.slots_max;
        let last = self.slots.get(&index).map(|slot| slot.last);
        last.or_else(|| room.then_some(Sequence::ZERO))
    }
}

/// A call's place in a generation.
type Place = (GenerationId, SlotIndex);

impl Server {
    /// There is a store: calls of `exactly_once` methods are taken.
    pub fn enable_durable(&mut self) {
        self.durable.enabled = true;
    }

    /// Whether a HELLO must wait for the store before it can be answered. Asks the store then.
    pub(super) fn must_wait_for_store(&mut self, origin: Origin, hello: &Hello) -> bool {
        let resumed = self.resumable(origin, hello);
        let wanted = resumed.map_or(hello.generation, |session| session.wants(hello));
        let is_known = !self.durable.is_fenced && self.attachable(hello.client, wanted);
        if hello.durable == 0 || !self.durable.enabled || is_known {
            return false;
        }
        let key = OpeningKey { client: hello.client, nonce: hello.nonce };
        if self.durable.openings.contains_key(&key) {
            return true;
        }
        if self.durable.is_fenced || self.durable.is_full(origin, hello, &self.limits) {
            let (own, push_back) = (self.identity.incarnation, self.limits.push_back);
            self.reject(origin, hello, RejectReason::NoRoom, own, push_back);
            return true;
        }
        self.durable.openings.insert(key, (origin, *hello));
        let client = hello.client;
        self.outbox.event(ServerEvent::OpenGeneration { key, client, wanted });
        true
    }

    /// Whether a client may have a generation that is in memory.
    fn attachable(&self, client: ClientId, wanted: GenerationId) -> bool {
        self.durable.generations.get(&wanted).is_some_and(|known| known.client == client)
    }

    /// The store has answered [`ServerEvent::OpenGeneration`]; `None` if it could not.
    pub fn generation_opened(
        &mut self,
        now: Instant,
        key: OpeningKey,
        table: Option<DurableTable>,
    ) {
        let Some((origin, mut hello)) = self.durable.openings.remove(&key) else { return };
        // A later life may have been welcomed while this one waited (C9).
        let highest = self.highest_life(hello.client);
        if origin.envelope.incarnation < highest {
            let reason = RejectReason::OldIncarnation;
            return self.reject(origin, &hello, reason, highest, Duration::ZERO);
        }
        let host = origin.from.host();
        let fits = |table: &DurableTable| self.has_room_for_rows(host, &table.rows);
        let Some(table) = table.filter(fits) else {
            let (own, push_back) = (self.identity.incarnation, self.limits.push_back);
            return self.reject(origin, &hello, RejectReason::NoRoom, own, push_back);
        };
        let id = table.generation;
        let row_bytes = table.rows.iter().map(DurableRow::bytes).sum();
        let generation = Generation {
            client: hello.client,
            session: None,
            slots_max: table.rows.len(),
            rows: table.rows.len(),
            slots: table.rows.into_iter().map(slot_of).collect(),
            live_calls: 0,
            stored_bytes: 0,
            row_bytes,
            host,
        };
        // Two HELLOs may have asked for one generation: the first answer counts.
        if let Entry::Vacant(place) = self.durable.generations.entry(id) {
            place.insert(generation);
            self.watch_store(now);
        }
        hello.generation = id;
        self.admit(now, origin, &hello);
        self.forget_if_unused(id);
    }

    /// Whether there is room for what the store has kept of a generation: apart from what is stored for
    /// calls of this life, so that a full server keeps nobody from what is his; and for one generation
    /// always, because what does not fit alone never would.
    fn has_room_for_rows(&self, host: Host, rows: &[DurableRow]) -> bool {
        let (mut of_host, mut of_all) = (0, 0);
        for known in self.durable.generations.values() {
            of_host += if known.host == host { known.row_bytes } else { 0 };
            of_all += known.row_bytes;
        }
        let wanted = rows.iter().map(DurableRow::bytes).sum();
        of_all == 0 || Limits::fits(wanted, &[of_host, of_all], self.limits.reply_bytes_stored_max)
    }

    /// A session was opened or resumed for a HELLO: gives it the generation that it asked for, unless
    /// it has one, and takes that from the session which had it (protocol tables, 1b.4).
    pub(super) fn attach(&mut self, id: SessionId, hello: &Hello) {
        if hello.durable == 0 {
            return;
        }
        let Some(session) = self.sessions.get(&id) else { return };
        let wanted = session.wants(hello);
        if !self.attachable(hello.client, wanted) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.generation = wanted;
        let granted = session.slots_max as usize;
        if let Some(generation) = self.durable.generations.get_mut(&wanted) {
            generation.session = Some(id);
            generation.slots_max = generation.slots_max.max(generation.rows + granted);
        }
        self.move_generation(wanted, id);
    }

    /// A session gives up a generation; one in which nothing runs, and that no other session may ask
    /// for, is left to the store.
    pub(super) fn detach(&mut self, id: SessionId, generation: GenerationId) {
        let Some(known) = self.durable.generations.get_mut(&generation) else { return };
        if known.session == Some(id) {
            known.session = None;
        }
        self.forget_if_unused(generation);
    }

    /// The client will never ask for its durable calls again.
    pub(super) fn forget_for_good(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (client, generation) = (session.client, session.generation);
        let unused = |known: &Generation| known.session == Some(id) && known.live_calls == 0;
        if self.durable.generations.get(&generation).is_some_and(unused) {
            self.leave_to_store(generation);
            self.outbox.event(ServerEvent::ForgetGeneration { client, generation });
        }
    }

    fn forget_if_unused(&mut self, id: GenerationId) {
        let unused = |known: &Generation| known.session.is_none() && known.live_calls == 0;
        if self.durable.generations.get(&id).is_some_and(unused) && !self.is_named(id) {
            self.leave_to_store(id);
        }
    }

    /// Whether a session may still ask for its calls in this generation, though another one claimed
    /// it: what that session was told of refusals and seals the store does not know (H3).
    fn is_named(&self, id: GenerationId) -> bool {
        let Some(known) = self.durable.generations.get(&id) else { return false };
        let names = |one: &SessionId| {
            let session = self.sessions.get(one);
            session.is_some_and(|one| one.generation == id && !one.fenced && !one.closing)
        };
        self.clients.get(&known.client).is_some_and(|client| client.sessions.iter().any(names))
    }

    fn leave_to_store(&mut self, id: GenerationId) {
        let Some(generation) = self.durable.generations.remove(&id) else { return };
        self.unstore(generation.host, generation.stored_bytes);
        for slot in generation.slots.into_values() {
            if let Some(timer) = slot.timer {
                self.timers.remove(timer);
            }
        }
    }

    /// Calls of a generation that are under way, if this session has it.
    pub(super) fn durable_calls(&self, id: SessionId, generation: GenerationId) -> usize {
        let known = self.durable.generations.get(&generation);
        known.filter(|known| known.session == Some(id)).map_or(0, |known| known.live_calls)
    }

    /// The generation that a session may use, if it is the one that claimed it last.
    fn generation_of(&self, id: SessionId) -> Option<GenerationId> {
        let generation = self.sessions.get(&id)?.generation;
        let known = self.durable.generations.get(&generation)?;
        (known.session == Some(id)).then_some(generation)
    }

    /// A session carries calls, be they ones that are known already.
    fn mark_used(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.mark_used(&mut self.sessions_unused);
        }
    }

    /// A slot that has something to remember: what only asks makes no state (M10).
    pub(super) fn durable_slot(&mut self, (generation, index): Place) -> Option<&mut Slot> {
        self.durable.generations.get_mut(&generation)?.slots.get_mut(&index)
    }

    /// A slot that will have something to remember, of those that there may be.
    fn new_durable_slot(&mut self, (generation, index): Place) -> Option<&mut Slot> {
        let known = self.durable.generations.get_mut(&generation)?;
        known.last(index, self.limits.slots_max)?;
        Some(known.slots.entry(index).or_default())
    }

    /// A PDU of the durable space, from a session's client.
    pub(super) fn on_durable(&mut self, now: Instant, origin: Origin, pdu: &Pdu<'_>) {
        if self.durable.is_fenced {
            self.counters.foreign += 1;
            return;
        }
        let asked = match pdu {
            Pdu::Request(request) => (request.slot, request.sequence, 0),
            Pdu::Ping(ping) => (ping.slot, ping.sequence, ping.stamp),
            Pdu::Seal(seal) => (seal.slot, seal.sequence, seal.stamp),
            Pdu::Cancel(cancel) => (cancel.slot, cancel.sequence, cancel.stamp),
            Pdu::Ack(ack) => (ack.slot, ack.sequence, 0),
            Pdu::Extend(extend) => return self.on_extend(now, origin, extend),
            Pdu::Hello(_)
            | Pdu::Cookie(_)
            | Pdu::Welcome(_)
            | Pdu::Reject(_)
            | Pdu::Reply(_)
            | Pdu::Refuse(_)
            | Pdu::Working(_)
            | Pdu::Unseen(_)
            | Pdu::Sealed(_)
            | Pdu::NoSession(_)
            | Pdu::Owner(_)
            | Pdu::Alive(_)
            | Pdu::Goaway(_)
            | Pdu::Bye(_)
            | Pdu::Probe(_)
            | Pdu::Probed(_) => {
                self.counters.foreign += 1;
                return;
            }
        };
        let (slot, sequence, stamp) = asked;
        let is_question = !matches!(pdu, Pdu::Ack(_));
        let Some(id) = self.session_for(now, origin, is_question.then_some((slot, sequence)))
        else {
            return;
        };
        let place = self.generation_of(id).map(|generation| (generation, slot));
        let known = place.and_then(|(generation, slot)| {
            self.durable.generations.get(&generation)?.last(slot, self.limits.slots_max)
        });
        if place.is_none() && sequence != Sequence::ZERO {
            return self.on_durable_elsewhere(origin, id, pdu, (slot, sequence));
        }
        let (Some(place), Some(last), true) = (place, known, sequence != Sequence::ZERO) else {
            self.counters.foreign += 1; // beyond what was granted
            return;
        };
        if is_question {
            self.mark_used(id);
        }
        let is_unsettled = |slot: &mut Slot| matches!(slot.state, State::Closed);
        if sequence == last && self.durable_slot(place).is_some_and(is_unsettled) {
            return; // a client would take closed for the last word: the store may know better (1b.7)
        }
        let ask = Ask { slot, sequence, stamp, transmission: 0 };
        if let Pdu::Request(request) = pdu {
            self.on_durable_request(now, id, (place, last), request);
        } else if let Pdu::Ack(ack) = pdu {
            self.on_durable_ack(now, id, place, ack);
        } else if sequence < last {
            self.send_durable_sealed(place.0, ask, SealedVerdict::Closed);
        } else if sequence == last {
            self.on_durable_stop(now, id, place, ask, pdu);
        } else if let Pdu::Ping(_) = pdu {
            if self.answer_partial(id, Space::Durable, slot, sequence) {
                return;
            }
            let session_time_us = self.sessions.get(&id).map_or(0, |session| session.time_us(now));
            let unseen = Unseen { slot, sequence, last, stamp, session_time_us };
            self.send_durable(place.0, &Pdu::Unseen(unseen));
        } else {
            self.forget_partial(id, Space::Durable, slot);
            self.seal_durable_unseen(now, place, ask);
        }
    }
}

impl Server {
    /// A durable PDU in a session that has no generation, which says nothing of the call (C3); or one
    /// whose generation another session of the same life of the client has claimed, perhaps by a
    /// HELLO that was late: the client is told to claim it again.
    fn on_durable_elsewhere(
        &mut self,
        origin: Origin,
        id: SessionId,
        pdu: &Pdu<'_>,
        (slot, sequence): (SlotIndex, Sequence),
    ) {
        self.counters.foreign += 1;
        let Some(session) = self.sessions.get(&id) else { return };
        if !session.generation.is_some() {
            let refuse = Refuse {
                slot,
                sequence,
                reason: RefuseReason::Generation,
                push_back_ms: 0,
                session_time_us: 0,
                detail: "",
            };
            if let Pdu::Request(_) = pdu {
                let envelope = envelope(self.identity.incarnation, session, Space::Durable);
                self.outbox.send(session.address, &envelope, &Pdu::Refuse(refuse));
            }
            return;
        }
        let holder = self.durable.generations.get(&session.generation);
        let holder = holder.and_then(|known| self.sessions.get(&known.session?));
        let is_ours = holder.is_none_or(|holder| holder.incarnation == session.incarnation);
        if is_ours && !session.fenced && !matches!(pdu, Pdu::Ack(_)) {
            let answer = NoSession { server: self.identity.id, slot, sequence };
            let (to, envelope) = (session.address, self.stranger(&origin.envelope));
            self.outbox.send(to, &envelope, &Pdu::NoSession(answer));
        }
    }

    /// A later life of this server has the store: what this one remembers of durable calls may be
    /// wrong by now, so that it says nothing of them any more (C4).
    pub fn fence_durable(&mut self) {
        self.durable.is_fenced = true;
    }
}

/// A durable slot, among those of all spaces.
const fn spot_of((generation, slot): Place) -> Spot {
    Spot::Durable(generation, slot)
}

pub(super) const fn durable_place(call: CallId) -> Place {
    (GenerationId(call.session.0), call.slot)
}

/// A slot as it stands in the store.
fn slot_of(row: DurableRow) -> (SlotIndex, Slot) {
    let row_bytes = row.bytes();
    let state = match row.ended {
        Some((status, body)) => {
            // Only limits that were others once let it be longer than can be sent: then that is told.
            let (status, body) =
                fitted(status, body, u32::try_from(FRAGMENTS_BYTES_MAX).unwrap_or(u32::MAX));
            State::Done(Stored { status, body: body.into(), handler_us: 0, ack: None })
        }
        None => State::Acked,
    };
    let slot = Slot {
        last: row.sequence,
        state,
        digest: row.digest,
        attempt: 1,
        quantum: 0,
        timer: None,
        stored_bytes: 0,
        row_bytes,
    };
    (row.slot, slot)
}
