//! The server's machine: all sessions of one endpoint, their slots, and who may run what when.
//!
//! Knows the tables "Server slot" and "Server session" of docs/protocol.md; does not know what a
//! method does: it hands out [`Execute`], is asked [`Server::begin`] when a worker is free, and is
//! told [`Server::finish`].

mod recent;
mod slot;
mod slots;
mod session;
mod handshake;
mod calls;
mod drain;
mod away;
mod stop;
mod orphans;
mod answers;
mod fragments;
mod size;
#[cfg(feature = "model")]
mod digest;
mod durable;
mod shares;

use std::collections::BTreeMap;

use super::fragment::{AckProtocol, Lane};
use super::orphan::OrphanPolicy;
use super::outbox::{Outbox, POOLED_BYTES_MAX, Pool, Spares};
use super::timers::Timers;
use super::{Explanations, Limits, ServerCounters};
use crate::address::{Address, Host};
use crate::hash::{Hasher, SipKey};
use crate::ids::{
    CallId, ClientId, GenerationId, Incarnation, MethodFingerprint, ServerId, SessionId, Space,
};
use crate::random::Rng;
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{
    self, DATAGRAM_BYTES_MAX, Envelope, ForeignHello, Goaway, GoawayReason, HeaderSum, Nonce, Pdu,
};
use durable::Durable;
use fragments::Fragments;
use recent::Recent;
use session::Session;
use shares::Share;
use slot::Spot;

pub(crate) use answers::fitted;
pub use durable::{DurableRow, DurableTable, OpeningKey};

/// A method that the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodEntry {
    /// What a REQUEST names it by.
    pub fingerprint: MethodFingerprint,
    /// [`super::explain::name_hash`] of `service.method`: tells a changed method from an unknown one.
    pub name: u32,
    /// What it promises.
    pub semantics: Semantics,
    /// The longest reply, in bytes.
    pub reply_bytes_max: u32,
    /// How the fragments of large replies are acknowledged; `None` is as [`Limits::ack`] says.
    pub ack: Option<AckProtocol>,
    /// What is done about its calls when their caller may be gone.
    pub orphans: OrphanPolicy,
}

/// Who a server is, in which life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Over all its lives.
    pub id: ServerId,
    /// This one.
    pub incarnation: Incarnation,
}

/// Names one execution to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    call: CallId,
    attempt: u32,
    /// When it is too late to begin.
    not_after: Instant,
}

impl Ticket {
    /// The call that is executed.
    #[must_use]
    pub const fn call_id(self) -> CallId {
        self.call
    }
}

/// A call to be executed. In a box, which [`Server::recycle_call`] takes back: it goes from hand to hand.
#[derive(Clone, Debug)]
pub struct Execute {
    /// Names the execution in `begin` and `finish`.
    pub ticket: Ticket,
    /// Which of the server's methods, by its place in the list given to [`Server::new`].
    pub method: usize,
    /// The marshalled arguments; their buffer is given back with the call, or with [`Server::recycle`].
    pub arguments: Vec<u8>,
    /// The caller's deadline by this server's clock.
    pub not_after: Instant,
    /// Who calls.
    pub client: ClientId,
    /// In which life.
    pub life: Incarnation,
    /// From where.
    pub peer: Address,
    /// How many calls this one is nested in.
    pub depth: u8,
    /// The request's digest, which a durable call is kept with.
    pub digest: u64,
    /// The request's extensions, unless they are too long to be of use.
    pub extensions: Box<[u8]>,
}

/// What the server layer must know.
#[derive(Clone, Debug)]
pub enum ServerEvent {
    /// Queue this call, or run it.
    Execute(Box<Execute>),
    /// Tell the handler that nobody wants its call any more.
    Cancel(Ticket),
    /// A later life of a client was welcomed: what its lives below left begins no more.
    Fenced {
        /// Whose.
        client: ClientId,
        /// That life.
        below: Incarnation,
    },
    /// A session is gone; its calls have ended before.
    SessionClosed(SessionId),
    /// A client wants durable slots: find the generation in the store, or make one there, and tell
    /// [`Server::generation_opened`].
    OpenGeneration {
        /// Names the question.
        key: OpeningKey,
        /// Who asks.
        client: ClientId,
        /// The one it had; [`GenerationId::NONE`] if it never had one.
        wanted: GenerationId,
    },
    /// A client is through with its durable slots: delete them from the store.
    ForgetGeneration {
        /// Whose.
        client: ClientId,
        /// Which.
        generation: GenerationId,
    },
    /// A client has the reply to a durable call: its bytes need not be kept. May be lost.
    Acknowledged {
        /// Whose.
        client: ClientId,
        /// Which.
        call: CallId,
    },
    /// Time to look after the store: these generations are in use; of the others those may be deleted
    /// that nobody has asked for in [`Limits::retention`].
    Retain {
        /// In use.
        in_use: Vec<(ClientId, GenerationId)>,
    },
}

/// The answer to [`Server::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Enter the handler now.
    Run,
    /// Do not: too late, called off, or the session is gone. The client was told.
    Not,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TimerKey {
    Lease(SessionId),
    Call(Spot),
    Retain,
    Reply(Lane),
    Partials,
}

/// What is known of a client over its lives.
#[derive(Clone, Debug)]
struct Known {
    highest: Incarnation,
    sessions: Vec<SessionId>,
}

/// The machine.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone))]
pub struct Server {
    identity: ServerIdentity,
    limits: Limits,
    methods: Vec<MethodEntry>,
    by_fingerprint: Recent<MethodFingerprint, usize>,
    explanations: Explanations,
    key: SipKey,
    sessions: Recent<SessionId, Session>,
    clients: BTreeMap<ClientId, Known>,
    sessions_unused: usize,
    queued: usize,
    running: usize,
    stored_bytes: usize,
    slots_granted: usize,
    durable: Durable,
    fragments: Fragments,
    /// What each host holds of the sessions; none that holds nothing.
    hosts: Recent<Host, Share>,
    /// The longest datagram that is taken.
    datagram_bytes_max: usize,
    draining: bool,
    timers: Timers<TimerKey>,
    sum: HeaderSum,
    outbox: Outbox<ServerEvent>,
    pool: Pool,
    /// Boxes for calls.
    spare_calls: Spares<Execute>,
    counters: ServerCounters,
}

impl Execute {
    /// The same in a box that was used before, if there is one. Word by word: to copy what was just put
    /// together waits for it.
    fn boxed(self, spare: Option<Box<Self>>) -> Box<Self> {
        let Some(mut spare) = spare else { return Box::new(self) };
        // Word by word: to copy what was just put together waits for it.
        let Self {
            ticket,
            method,
            arguments,
            digest,
            not_after,
            client,
            life,
            peer,
            depth,
            extensions,
        } = self;
        (spare.ticket, spare.method, spare.arguments) = (ticket, method, arguments);
        (spare.digest, spare.not_after, spare.extensions) = (digest, not_after, extensions);
        (spare.client, spare.life, spare.peer, spare.depth) = (client, life, peer, depth);
        spare
    }
}

/// Where a PDU came from and what its header said.
#[derive(Clone, Copy, Debug)]
struct Origin {
    from: Address,
    envelope: Envelope,
    /// The PDU's length, header and all.
    bytes: usize,
}

impl Server {
    /// A server that offers `methods`.
    ///
    /// # Panics
    ///
    /// The limits contradict each other.
    #[must_use]
    pub fn new(
        identity: ServerIdentity,
        limits: Limits,
        mut methods: Vec<MethodEntry>,
        mut rng: Box<dyn Rng>,
    ) -> Self {
        let longest = u32::try_from(limits.message_bytes_max).unwrap_or(u32::MAX);
        for method in &mut methods {
            let is_durable = method.semantics == Semantics::ExactlyOnce;
            let own = if is_durable { limits.reply_bytes_durable_max } else { longest };
            method.reply_bytes_max = method.reply_bytes_max.min(own).min(longest);
        }
        assert!(limits.are_consistent(), "limits fit each other");
        let key = SipKey([rng.next_u64(), rng.next_u64()]);
        let by_fingerprint =
            methods.iter().enumerate().map(|(place, method)| (method.fingerprint, place)).collect();
        Self {
            identity,
            limits,
            methods,
            by_fingerprint,
            explanations: Explanations::default(),
            key,
            sessions: Recent::default(),
            clients: BTreeMap::new(),
            sessions_unused: 0,
            queued: 0,
            running: 0,
            stored_bytes: 0,
            slots_granted: 0,
            durable: Durable::default(),
            fragments: Fragments::default(),
            hosts: Recent::default(),
            datagram_bytes_max: DATAGRAM_BYTES_MAX,
            draining: false,
            timers: Timers::new(),
            sum: HeaderSum::default(),
            outbox: Outbox::new(),
            pool: Pool::new(),
            spare_calls: Spares::default(),
            counters: ServerCounters::default(),
        }
    }

    /// Sets what refusals of unknown and changed methods say in words: nothing otherwise.
    pub fn explain(&mut self, explanations: Explanations) {
        self.explanations = explanations;
    }

    /// Takes a datagram. Hostile bytes are counted and dropped.
    pub fn handle_datagram(&mut self, now: Instant, from: Address, datagram: &[u8]) {
        self.counters.datagrams_in += 1;
        let mut rest = datagram;
        while !rest.is_empty() {
            match wire::decode_by(&mut self.sum, rest) {
                Ok((envelope, pdu, after)) => {
                    let bytes = rest.len() - after.len();
                    self.handle_pdu(now, Origin { from, envelope, bytes }, &pdu);
                    rest = after;
                }
                Err(_) => {
                    match ForeignHello::read(rest) {
                        Some(hello) => self.refuse_version(from, &hello),
                        None => self.counters.malformed += 1,
                    }
                    break;
                }
            }
        }
        self.after_reading(now);
    }

    fn handle_pdu(&mut self, now: Instant, origin: Origin, pdu: &Pdu<'_>) {
        if origin.envelope.space == Space::Durable {
            return self.on_durable(now, origin, pdu);
        }
        let is_call = matches!(pdu, Pdu::Request(_));
        if origin.envelope.space != Space::Session && !is_call {
            self.counters.foreign += 1; // the other spaces have no slots here
            return;
        }
        match pdu {
            Pdu::Hello(hello) => self.on_hello(now, origin, hello),
            Pdu::Request(request) => self.on_request(now, origin, request),
            Pdu::Ping(ping) => self.on_ping(now, origin, ping),
            Pdu::Seal(seal) => {
                self.on_stop(now, origin, (seal.slot, seal.sequence, seal.stamp), false);
            }
            Pdu::Cancel(cancel) => {
                self.on_stop(now, origin, (cancel.slot, cancel.sequence, cancel.stamp), true);
            }
            Pdu::Ack(ack) => self.on_ack(now, origin, ack),
            Pdu::Bye(bye) => self.on_bye(now, origin, bye),
            Pdu::Extend(extend) => self.on_extend(now, origin, extend),
            Pdu::Alive(alive) => self.on_alive(now, origin, alive),
            Pdu::Probe(probe) => self.on_probe(now, origin, probe),
            // The rest is for clients.
            Pdu::Cookie(_)
            | Pdu::Welcome(_)
            | Pdu::Reject(_)
            | Pdu::Reply(_)
            | Pdu::Refuse(_)
            | Pdu::Working(_)
            | Pdu::Unseen(_)
            | Pdu::Sealed(_)
            | Pdu::NoSession(_)
            | Pdu::Owner(_)
            | Pdu::Goaway(_)
            | Pdu::Probed(_) => self.counters.foreign += 1,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Lease(session) => self.on_lease(now, session),
                TimerKey::Call(spot) => self.on_call_timer(now, spot),
                TimerKey::Retain => self.on_retain_timer(now),
                TimerKey::Reply(lane) => self.on_reply_timer(now, lane),
                TimerKey::Partials => self.on_partials_timer(now),
            }
        }
        self.after_reading(now);
    }

    /// Stops taking new calls, and tells every client so. Duplicates and SEAL are still answered.
    pub fn drain(&mut self, _now: Instant, within: Duration) {
        self.draining = true;
        let drain_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let goaway = Goaway { reason: GoawayReason::Draining, pad: [0; 3], drain_ms };
        for session in self.sessions.values() {
            let envelope = envelope(self.identity.incarnation, session, Space::Session);
            self.outbox.send(session.address, &envelope, &Pdu::Goaway(goaway));
        }
    }

    /// Whether nothing is queued or running.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.queued == 0 && self.running == 0
    }

    /// Calls accepted and not begun.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Calls begun and not ended.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running
    }

    /// Sessions open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of stored replies and of room reserved for them.
    #[must_use]
    pub const fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// The longest reply of a method, in bytes.
    #[must_use]
    pub fn reply_bytes_max(&self, method: usize) -> usize {
        self.methods[method].reply_bytes_max as usize
    }

    /// The limits it was made with.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What holds for the calls of a method, by its place in the list given to [`Server::new`].
    ///
    /// # Panics
    ///
    /// There is no such method.
    #[must_use]
    pub fn orphan_policy(&self, method: usize) -> OrphanPolicy {
        self.methods[method].orphans
    }

    /// What it has counted.
    #[must_use]
    pub const fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// An empty buffer for a reply.
    #[must_use]
    pub fn take_buffer(&mut self) -> Vec<u8> {
        self.pool.take()
    }

    /// As [`Server::take_buffer`], for the reply of a call: as long as those of its method were lately, to
    /// that session.
    #[must_use]
    pub fn take_reply_buffer(&mut self, ticket: Ticket, method: usize) -> Vec<u8> {
        let session = self.sessions.get(&ticket.call.session);
        match session.map_or(0, |session| session.lately_bytes(method)) {
            0 => self.pool.take(),
            bytes => self.fragments.partials.spare.take(bytes),
        }
    }

    /// Keeps a buffer for a later call.
    fn keep(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > POOLED_BYTES_MAX {
            self.fragments.partials.spare.give(buffer);
        } else {
            self.pool.give(buffer);
        }
    }

    /// Gives back the buffer of an [`Execute`], or one that was taken and not used.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.keep(buffer);
    }

    /// Gives back what told of a call, with the buffer in it.
    pub fn recycle_call(&mut self, mut call: Box<Execute>) {
        self.keep(std::mem::take(&mut call.arguments));
        self.spare_calls.give(call);
    }

    /// A session id that was never used: a keyed hash of who we are and how many there were
    /// (protocol tables, M4).
    fn next_session_id(&mut self) -> SessionId {
        loop {
            self.counters.sessions_opened += 1;
            let mut hasher = Hasher::new(self.key);
            hasher.write_u64(self.identity.id.0);
            hasher.write_u64(self.identity.incarnation.0);
            hasher.write_u64(self.counters.sessions_opened);
            let id = SessionId(hasher.finish());
            if id.is_some() && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// The bare answer's envelope where there is no session.
    fn stranger(&self, envelope: &Envelope) -> Envelope {
        Envelope {
            space: envelope.space,
            target: envelope.incarnation.tag(),
            session: envelope.session,
            incarnation: self.identity.incarnation,
        }
    }
}

/// The header of what the server in its life `own` says in `session`.
const fn envelope(own: Incarnation, session: &Session, space: Space) -> Envelope {
    let target = session.speaker.tag();
    Envelope { space, target, session: session.id, incarnation: own }
}

/// The nonce of answers that answer no HELLO.
const NO_NONCE: Nonce = Nonce(0);

#[cfg(test)]
mod tests;
