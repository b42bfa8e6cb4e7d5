//! The client's machine: one connection, from this process's incarnation to one server address.
//!
//! Knows the tables "Client session" and "Client slot" of docs/protocol.md; does not know who waits
//! for a call: it hands out a [`CallKey`] and, once for each, [`ClientEvent::Ended`].

mod arguments;
mod call;
mod call_off;
mod drain;
mod ends;
mod session;
mod slots;
mod waiting;
mod answers;
mod fragments;
mod size;
mod durable;
mod record;
mod former;
mod resolve;
#[cfg(feature = "model")]
mod digest;
mod orphans;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use slab::Slab;

use super::fragment::{AckProtocol, Partials, Way};
use super::limits::EXTENSION_BYTES_MAX;
use super::outbox::{Outbox, Pool, Spares};
use super::retransmit::RoundTrip;
use super::timers::{TimerId, Timers};
use super::{ClientCounters, Evidence, Limits, NotSentCause, Outcome, Record};
use crate::address::Address;
use crate::ids::{CallId, ClientId, Incarnation, MethodFingerprint, ServerId, SessionId, Space};
use crate::random::{Distinct, Rng};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{self, Ack, Envelope, HeaderSum};
pub(crate) use arguments::Arguments;
use call::{Call, Stage};
use durable::Durable;
use session::{Link, Reject};
use size::Discovery;
use slots::SlotTable;
use waiting::Waiting;

/// Who a client is, in which life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Over all its lives.
    pub id: ClientId,
    /// This one.
    pub incarnation: Incarnation,
}

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Where.
    pub address: Address,
    /// Which server; [`ServerId::NONE`] takes whoever lives there.
    pub server: ServerId,
    /// Which of its lives; [`Incarnation::NONE`] takes any.
    pub incarnation: Incarnation,
}

/// A call to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSpec {
    /// The method.
    pub method: MethodFingerprint,
    /// Hash of `service.method`.
    pub name: u32,
    /// What the method promises.
    pub semantics: Semantics,
    /// When the call ends at the latest.
    pub deadline: Instant,
    /// How many calls this one is nested in.
    pub depth: u8,
    /// Whether a client that keeps a journal records it although it is not durable.
    pub recorded: bool,
    /// How its fragments are acknowledged, if it is large; `None` is as [`Limits::ack`] says.
    pub ack: Option<AckProtocol>,
    /// How long it waits at most for a session to open: it may be made elsewhere, because nothing of it has
    /// left. `None` is until its deadline.
    pub opens_within: Option<Duration>,
    /// So many bytes that stand before the arguments are a list of extensions, at most
    /// [`EXTENSION_BYTES_MAX`].
    pub extension_bytes: u16,
}

/// Names a call, or a resolve, of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    index: usize,
    generation: u64,
}

impl CallKey {
    /// Names nothing.
    pub const NONE: Self = Self { index: usize::MAX, generation: 0 };

    /// A small number that no other call under way has: a place in a table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }
}

/// What the client layer must know.
#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// A call, or a resolve, has ended. Told once for each key.
    Ended(Box<Ended>),
    /// Something is to be written down in the client's journal.
    Record {
        /// The call, or the question, that waits for it.
        key: CallKey,
        /// The call that it is about.
        call: CallId,
        /// What. In a box: the ends of calls go the same way, far more often.
        record: Box<Record>,
    },
    /// A session with that server wants durable slots: told by [`Client::generation_found`] whether
    /// the journal has some.
    WantGeneration {
        /// The server.
        server: ServerId,
    },
}

/// How a call, or a resolve, has ended. In a box, which [`Client::recycle_end`] takes back: it goes from
/// hand to hand.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which.
    pub key: CallKey,
    /// The call; [`CallId::UNSENT`] if it never had a place in a session.
    pub call: CallId,
    /// How.
    pub outcome: Outcome,
    /// What was seen.
    pub evidence: Evidence,
    /// The arguments of a call that may be made again: none where it ran.
    pub(crate) arguments: Arguments,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TimerKey {
    Call(usize),
    CallOff(Space, usize),
    Hello,
    Ack,
    Size,
}

/// The machine.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone))]
pub struct Client {
    identity: ClientIdentity,
    target: Target,
    limits: Limits,
    rng: Box<dyn Rng>,
    /// Of calls that are not durable.
    digests: Distinct,
    link: Link,
    /// Sessions given up lately; none of them is ever adopted again (C8).
    given_up: VecDeque<SessionId>,
    /// The highest incarnation of the server that was seen.
    known: (ServerId, Incarnation),
    /// Who answered a HELLO last, be it the server that is meant or not.
    found: ServerId,
    /// Whether the incarnation was raised above one that the server had seen.
    jumped: bool,
    rejected: Option<Reject>,
    draining: bool,
    closed: bool,
    calls: Slab<Box<Call>>,
    generation: u64,
    waiting: Waiting,
    slots: SlotTable,
    durable: Durable,
    keeps_journal: bool,
    maybe_sequence: u64,
    trip: RoundTrip,
    /// Half-received replies, and what is to be said of them.
    partials: Partials,
    acks: Vec<(Envelope, Ack)>,
    /// What large requests share, and those that wait for room there.
    way: Way,
    way_queue: VecDeque<CallKey>,
    discovery: Discovery,
    hellos_sent: u32,
    /// When the session's server was heard last; `None` if that must be found out anew.
    last_heard: Option<Instant>,
    /// When a session was resumed last.
    resumed: Option<Instant>,
    timers: Timers<TimerKey>,
    hello_timer: TimerId,
    ack_timer: TimerId,
    outbox: Outbox<ClientEvent>,
    pool: Pool,
    sum: HeaderSum,
    /// Boxes for calls, and for their ends.
    spare_calls: Spares<Call>,
    spare_ends: Spares<Ended>,
    counters: ClientCounters,
}

impl Client {
    /// A connection to `target`. Nothing is sent before the first call.
    ///
    /// # Panics
    ///
    /// The limits contradict each other.
    #[must_use]
    pub fn new(
        identity: ClientIdentity,
        target: Target,
        limits: Limits,
        rng: Box<dyn Rng>,
        now: Instant,
    ) -> Self {
        assert!(limits.are_consistent(), "limits fit each other");
        let mut timers = Timers::new();
        let hello_timer = timers.add(TimerKey::Hello);
        let ack_timer = timers.add(TimerKey::Ack);
        Self {
            identity,
            target,
            trip: RoundTrip::new(&limits),
            limits,
            rng,
            digests: Distinct::default(),
            link: Link::None,
            given_up: VecDeque::new(),
            known: (target.server, target.incarnation),
            found: ServerId::NONE,
            jumped: false,
            rejected: None,
            draining: false,
            closed: false,
            calls: Slab::new(),
            generation: 0,
            waiting: Waiting::default(),
            slots: SlotTable::default(),
            durable: Durable::default(),
            keeps_journal: false,
            maybe_sequence: 0,
            partials: Partials::new(),
            acks: Vec::new(),
            way: Way::to(target.address),
            way_queue: VecDeque::new(),
            discovery: Discovery::new(),
            hellos_sent: 0,
            last_heard: Some(now),
            resumed: None,
            timers,
            hello_timer,
            ack_timer,
            outbox: Outbox::new(),
            pool: Pool::new(),
            sum: HeaderSum::default(),
            spare_calls: Spares::default(),
            spare_ends: Spares::default(),
            counters: ClientCounters::default(),
        }
    }

    /// Until when a call waits at most before anything of it leaves.
    fn waits_until(&self, started: Instant, spec: &CallSpec) -> Instant {
        match spec.opens_within {
            Some(patience) if !matches!(self.link, Link::Live(_)) => {
                (started + patience).min(spec.deadline)
            }
            Some(_) | None => spec.deadline,
        }
    }

    /// Starts a call. It always gets a key; whatever becomes of it comes as an event.
    pub fn start(&mut self, now: Instant, spec: CallSpec, arguments: Vec<u8>) -> CallKey {
        self.start_by(now, &spec, arguments.into())
    }

    /// As [`Client::start`], for who keeps what is said of the call.
    pub(crate) fn start_by(
        &mut self,
        now: Instant,
        spec: &CallSpec,
        arguments: Arguments,
    ) -> CallKey {
        self.counters.calls += 1;
        let extension_bytes = usize::from(spec.extension_bytes);
        assert!(extension_bytes <= EXTENSION_BYTES_MAX.min(arguments.len()), "they are bounded");
        let message_bytes = arguments.len() - extension_bytes;
        let too_large = message_bytes > self.limits.argument_bytes_max(spec.semantics);
        let digest = match spec.semantics {
            Semantics::ExactlyOnce if too_large => 0, // it is not sent
            Semantics::ExactlyOnce => {
                let message = arguments.pieces(extension_bytes..arguments.len());
                self.durable_digest(spec.method.0, message)
            }
            // No other call has the same, and each transmission carries it: a hash of the arguments would
            // tell the server nothing more, which has not got its key.
            Semantics::Maybe | Semantics::AtLeastOnce | Semantics::AtMostOnce => {
                self.digests.next(&mut self.rng)
            }
        };
        let recorded = self.must_record(spec);
        let mut call = self.new_call(now, spec, Stage::Waiting);
        (call.arguments, call.digest, call.recorded) = (arguments, digest, recorded);
        let key = self.insert(call);
        let closed = self.closed.then_some(NotSentCause::ConnectionClosed);
        let cause = closed
            .or(too_large.then_some(NotSentCause::TooLarge))
            .or((spec.deadline <= now).then_some(NotSentCause::Expired))
            .or(self.draining.then_some(NotSentCause::Draining))
            .or((self.waiting.len() >= self.limits.calls_waiting_max)
                .then_some(NotSentCause::QueueFull));
        if let Some(cause) = cause {
            self.end(now, key, Outcome::NotSent(cause));
            return key;
        }
        let timer = self.timers.add(TimerKey::Call(key.index));
        self.timers.set(timer, self.waits_until(now, spec));
        self.calls[key.index].timer = Some(timer);
        self.timers.clear(self.ack_timer);
        self.outbox.set_under_way(self.calls.len() - self.waiting.len());
        self.waiting.push_back(key, spec);
        self.pump(now);
        key
    }

    /// The caller gives up. A call that was handed over is called off, and stays in doubt.
    pub fn cancel(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        match call.stage {
            Stage::Waiting => {
                let outcome = call.unsent(NotSentCause::Cancelled);
                self.end(now, key, outcome);
            }
            Stage::Busy(slot) => self.give_up(now, key, slot, super::DoubtCause::Cancelled),
            Stage::Recording(slot) => {
                let outcome = call.unsent(NotSentCause::Cancelled);
                self.conclude(now, key, Some(slot), outcome);
            }
            Stage::Closing(_) => {}
            Stage::Resolving => {
                self.end_question(now, key, super::DoubtCause::Cancelled);
            }
        }
        self.pump(now);
    }

    /// The place that a call has, or had last, in a session.
    #[must_use]
    pub fn call_id(&self, key: CallKey) -> Option<CallId> {
        self.call(key).map(|call| call.id)
    }

    /// How long a message there and back takes, if that was ever measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.trip.estimate()
    }

    /// Whether a call has not ended, and its server said that it works on it.
    #[must_use]
    pub fn is_at_work(&self, key: CallKey) -> bool {
        self.call(key).is_some_and(|call| call.working_seen)
    }

    /// The extensions and arguments of a call that has not ended: what it takes to make it elsewhere
    /// too.
    #[must_use]
    pub(crate) fn arguments(&self, key: CallKey) -> Option<&Arguments> {
        self.call(key).map(|call| &call.arguments)
    }

    /// Takes a datagram. Hostile bytes are counted and dropped.
    pub fn handle_datagram(&mut self, now: Instant, from: Address, datagram: &[u8]) {
        self.counters.datagrams_in += 1;
        if from != self.target.address {
            self.counters.foreign += 1;
            return;
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let Ok((envelope, pdu, after)) = wire::decode_by(&mut self.sum, rest) else {
                self.counters.malformed += 1;
                break;
            };
            self.handle_pdu(now, &envelope, &pdu);
            rest = after;
        }
        self.send_acks();
        self.pump(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Call(index) => self.on_call_timer(now, index),
                TimerKey::CallOff(space, index) => self.on_call_off_timer(now, space, index),
                TimerKey::Hello => self.on_hello_timer(now),
                TimerKey::Ack => self.acknowledge(),
                TimerKey::Size => self.on_size_timer(now),
            }
        }
        self.pump(now);
    }

    /// The path to the server was cut, and all that was under way on it is lost. A session in which
    /// calls wait is resumed at once, by a new path; without any it can wait for the next one.
    pub fn handle_break(&mut self, now: Instant) {
        match self.link {
            Link::Live(session) if !self.calls.is_empty() && self.may_resume(now) => {
                self.open(now, Some(session));
            }
            Link::Opening(_) => self.timers.set(self.hello_timer, now),
            Link::Live(_) | Link::None => {}
        }
        self.pump(now);
    }

    /// Closes the session with a BYE. Calls under way end: those handed over in doubt.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        for key in self.keys() {
            self.cancel_for_close(now, key);
        }
        self.call_off_before_bye(now);
        self.say_bye();
    }

    /// Calls and resolves under way.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.calls.len()
    }

    /// Whether calls wait for a session or a slot: what comes lets them leave.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing is under way and nothing is due.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.calls.is_empty() && self.timers.next().is_none()
    }

    /// This process's incarnation: higher than it was given if the server had seen a higher one.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.identity.incarnation
    }

    /// Who is meant.
    #[must_use]
    pub const fn target(&self) -> Target {
        self.target
    }

    /// What it has counted.
    #[must_use]
    pub const fn counters(&self) -> &ClientCounters {
        &self.counters
    }

    /// The smoothed-estimate time-out in force, for reports.
    #[must_use]
    pub fn retransmit_timeout(&self) -> Duration {
        self.trip.timeout()
    }

    fn keys(&self) -> Vec<CallKey> {
        self.calls
            .iter()
            .map(|(index, call)| CallKey { index, generation: call.generation })
            .collect()
    }

    fn call(&self, key: CallKey) -> Option<&Call> {
        let call = self.calls.get(key.index).filter(|call| call.generation == key.generation);
        call.map(|call| &**call)
    }

    fn insert(&mut self, mut call: Box<Call>) -> CallKey {
        self.generation += 1;
        let generation = self.generation;
        call.generation = generation;
        CallKey { index: self.calls.insert(call), generation }
    }
}
