//! The project's own machines, as values that a step turns into others.

use std::hash::{DefaultHasher, Hasher};
use std::mem;
use std::sync::{Mutex, PoisonError};

use rpc_runtime::address::Address;
use rpc_runtime::ids::{CallId, ClientId, Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::protocol::{
    Begin, CallKey, CallSpec, Client, ClientEvent, ClientIdentity, ClientTable, DurableTable,
    Execute, FormerCall, HandlerEnd, Limits, MethodEntry, OnDisk, OnFence, OpeningKey,
    OrphanPolicy, Output, Server, ServerEvent, ServerIdentity, StartedRecord, Target, Ticket,
};
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::time::{Duration, Instant};

use crate::message::Message;

/// The unit of all times: the retransmission time-out, and half a lease. A thousand of them pass
/// before a cookie grows old.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// A deadline that never comes.
pub(crate) const NEVER: Instant = Instant::from_micros(u64::MAX);

/// Where servers live.
const SERVER: Address = Address::Virtual(1);

/// The methods that every server offers, by their place.
pub(crate) const METHODS: [Semantics; 5] = [
    Semantics::AtMostOnce,
    Semantics::AtLeastOnce,
    Semantics::Maybe,
    Semantics::ExactlyOnce,
    Semantics::AtMostOnce,
];

/// The method whose calls run by quanta.
pub(crate) const WATCHED: usize = 4;

/// The longest reply of each.
pub(crate) const REPLY_BYTES_MAX: u32 = 64;

/// The client, and the server that it means.
pub(crate) const CLIENT: ClientId = ClientId(7);
pub(crate) const MEANT_SERVER: ServerId = ServerId(1);

/// A life of the client.
pub(crate) fn client_incarnation(life: u8) -> Incarnation {
    Incarnation::new(u32::from(life), 1)
}

/// A life of whoever is at the server's address.
pub(crate) fn server_incarnation(life: u8) -> Incarnation {
    Incarnation::new(u32::from(life), 7)
}

/// Nobody looks for orphans.
const UNWATCHED: OrphanPolicy =
    OrphanPolicy { quantum: None, on_fence: OnFence::Leave, no_cancel: false };

/// Whoever calls is asked for every two ticks whether it still waits.
const BY_QUANTA: OrphanPolicy =
    OrphanPolicy { quantum: Some(Duration::from_millis(2)), ..UNWATCHED };

/// Counts. Whatever is drawn from it was never drawn before; jitter is none.
#[derive(Clone, Debug)]
struct Counting(u64);

impl Rng for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn between(&mut self, low: Duration, _: Duration) -> Duration {
        low
    }

    fn fork(&self) -> Option<Box<dyn Rng>> {
        Some(Box::new(self.clone()))
    }

    fn position(&self) -> u64 {
        self.0
    }
}

/// A machine that lies still while its state is known, so that threads can share it.
#[derive(Debug)]
struct Still<T>(Mutex<T>);

impl<T> Still<T> {
    fn new(machine: T) -> Self {
        Self(Mutex::new(machine))
    }

    fn wake(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Clone for Still<T> {
    fn clone(&self) -> Self {
        Self::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Limits whose every time is a tick or two, so that states repeat.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.retransmit_initial = TICK;
    limits.retransmit_floor = TICK;
    limits.retransmit_ceiling = TICK;
    limits.lease_min = TICK * 2;
    limits.lease_unused = TICK * 2;
    limits.lease = TICK * 2;
    limits.working_after = Duration::ZERO;
    limits.ack_delay = TICK;
    limits.push_back = TICK;
    limits.grace = TICK;
    // What was said once arrives as often as the network likes.
    limits.cancel_transmissions_max = 1;
    limits.deadline_max = Duration::MAX;
    // What the store holds grows old in a step of its own.
    limits.retention = Duration::MAX;
    limits
}

fn fingerprint(method: usize) -> MethodFingerprint {
    MethodFingerprint(100 + method as u64)
}

/// A call of a method.
pub(crate) fn spec(method: usize, deadline: Instant) -> CallSpec {
    let (semantics, depth, recorded) = (METHODS[method], 0, true);
    CallSpec {
        method: fingerprint(method),
        name: 10,
        semantics,
        deadline,
        depth,
        recorded,
        ack: None,
        opens_within: None,
        extension_bytes: 0,
    }
}

/// A client's address.
pub(crate) const fn address(place: u8) -> Address {
    Address::Virtual(10 + place as u32)
}

/// A client in one of its lives.
#[derive(Clone, Debug)]
pub(crate) struct ClientSide {
    machine: Still<Client>,
    now: Instant,
    pub(crate) address: Address,
    /// Calls and questions under way.
    pub(crate) outstanding: usize,
    pub(crate) digest: u64,
}

impl ClientSide {
    pub(crate) fn new(life: u8, address: Address, limits: &Limits) -> Self {
        let identity = ClientIdentity { id: CLIENT, incarnation: client_incarnation(life) };
        let target =
            Target { address: SERVER, server: MEANT_SERVER, incarnation: Incarnation::NONE };
        let now = Instant::START;
        let rng = Box::new(Counting(u64::from(life) << 8));
        let machine = Still::new(Client::new(identity, target, limits.clone(), rng, now));
        let mut side = Self { machine, now, address, outstanding: 0, digest: 0 };
        side.rest();
        side
    }

    pub(crate) fn take(&mut self, message: &Message) {
        self.machine.wake().handle_datagram(self.now, SERVER, message.bytes());
    }

    /// A tick passes.
    pub(crate) fn tick(&mut self) {
        self.now = self.now + TICK;
        self.machine.wake().handle_timeout(self.now);
    }

    pub(crate) fn call(&mut self, number: u8, method: usize, patience: Option<u8>) -> CallKey {
        let deadline = patience.map_or(NEVER, |ticks| self.now + TICK * u32::from(ticks));
        self.machine.wake().start(self.now, spec(method, deadline), vec![number])
    }

    pub(crate) fn cancel(&mut self, key: CallKey) {
        self.machine.wake().cancel(self.now, key);
    }

    pub(crate) fn resolve(&mut self, call: CallId) -> CallKey {
        self.machine.wake().resolve(self.now, call, NEVER)
    }

    /// From now on it keeps a journal.
    pub(crate) fn keep_journal(&mut self) {
        self.machine.wake().keep_journal();
        self.rest();
    }

    pub(crate) fn started_recorded(&mut self, key: CallKey, call: CallId) {
        self.machine.wake().started_recorded(self.now, key, call, OnDisk::Yes);
    }

    pub(crate) fn ended_recorded(&mut self, key: CallKey, call: CallId) {
        self.machine.wake().ended_recorded(self.now, key, call, true);
    }

    pub(crate) fn generation_found(&mut self, table: Option<ClientTable>) {
        self.machine.wake().generation_found(self.now, table);
    }

    /// Goes on with an earlier life's slots, unless it does already.
    pub(crate) fn restore(&mut self, table: Option<ClientTable>) {
        if let Some(table) = table {
            self.machine.wake().restore(self.now, table);
        }
    }

    pub(crate) fn complete(&mut self, call: CallId, started: StartedRecord) -> CallKey {
        self.machine.wake().complete(self.now, call, started, NEVER)
    }

    pub(crate) fn resolve_former(&mut self, former: FormerCall) -> CallKey {
        self.machine.wake().resolve_former(self.now, former, NEVER, false)
    }

    /// Its address changes; the machine does not know.
    pub(crate) fn move_to(&mut self, address: Address) {
        self.address = address;
    }

    pub(crate) fn close(&mut self) {
        self.machine.wake().close(self.now);
    }

    /// Takes out what the machine has to say.
    pub(crate) fn drain(&mut self) -> (Vec<ClientEvent>, Vec<Message>) {
        let (mut events, mut messages, mut datagram) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match self.machine.wake().poll_output(self.now, &mut datagram) {
                Output::Event(event) => events.push(event),
                Output::Transmit { .. } => {
                    messages.extend(Message::split(true, self.address, &datagram));
                }
                Output::Wait { .. } => break,
            }
        }
        self.rest();
        (events, messages)
    }

    fn rest(&mut self) {
        let mut hasher = DefaultHasher::new();
        let machine = self.machine.wake();
        machine.tidy();
        machine.digest(self.now, &mut hasher);
        self.outstanding = machine.outstanding();
        hasher.write_u32(match self.address {
            Address::Virtual(host) => host,
            Address::Ip(_) | Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => 0,
        });
        self.digest = hasher.finish();
    }
}

/// A server in one of its lives, or another server.
#[derive(Clone, Debug)]
pub(crate) struct ServerSide {
    machine: Still<Server>,
    now: Instant,
    calls_queued_max: usize,
    wake: Option<Instant>,
    pub(crate) is_overloaded: bool,
    pub(crate) is_within_limits: bool,
    /// Quanta that clients have granted.
    pub(crate) granted: u64,
    /// Queued and running, as the machine counts them.
    pub(crate) calls: (usize, usize),
    pub(crate) digest: u64,
}

impl ServerSide {
    /// The `life`th process at the address, which is server `id`.
    pub(crate) fn new(life: u8, id: u8, limits: &Limits, is_durable: bool) -> Self {
        let incarnation = server_incarnation(life);
        let identity = ServerIdentity { id: ServerId(u64::from(id)), incarnation };
        let entry = |(place, semantics)| MethodEntry {
            fingerprint: fingerprint(place),
            name: 10,
            semantics,
            reply_bytes_max: REPLY_BYTES_MAX,
            orphans: if place == WATCHED { BY_QUANTA } else { UNWATCHED },
            ack: None,
        };
        let methods = METHODS.into_iter().enumerate().map(entry).collect();
        // Two servers that draw alike: only what is hashed tells their session ids apart.
        let rng = Box::new(Counting(0));
        let mut machine = Server::new(identity, limits.clone(), methods, rng);
        if is_durable {
            machine.enable_durable();
        }
        let machine = Still::new(machine);
        let calls_queued_max = limits.calls_queued_max;
        let now = Instant::START;
        let mut side = Self {
            machine,
            now,
            calls_queued_max,
            wake: None,
            is_overloaded: false,
            is_within_limits: true,
            granted: 0,
            calls: (0, 0),
            digest: 0,
        };
        side.rest();
        side
    }

    pub(crate) fn take(&mut self, message: &Message) {
        self.machine.wake().handle_datagram(self.now, message.client(), message.bytes());
    }

    /// A tick passes.
    pub(crate) fn tick(&mut self) {
        self.now = self.now + TICK;
        self.machine.wake().handle_timeout(self.now);
    }

    /// Whether something is due without any time to pass: a running call is to be reported.
    pub(crate) fn is_due(&self) -> bool {
        self.wake.is_some_and(|wake| wake <= self.now)
    }

    pub(crate) fn report(&mut self) {
        self.machine.wake().handle_timeout(self.now);
    }

    pub(crate) fn begin(&mut self, ticket: Ticket) -> bool {
        self.machine.wake().begin(self.now, ticket) == Begin::Run
    }

    pub(crate) fn finish(&mut self, ticket: Ticket, end: HandlerEnd, body: Vec<u8>) {
        self.machine.wake().finish(self.now, ticket, end, body);
    }

    /// The store has said what a generation holds.
    pub(crate) fn opened(&mut self, key: OpeningKey, table: DurableTable) {
        self.machine.wake().generation_opened(self.now, key, Some(table));
    }

    pub(crate) fn drain_calls(&mut self) {
        self.machine.wake().drain(self.now, TICK);
    }

    /// Takes or refuses new calls.
    pub(crate) fn overload(&mut self, overloaded: bool) {
        let queued_max = if overloaded { 0 } else { self.calls_queued_max };
        self.machine.wake().limits_mut().calls_queued_max = queued_max;
    }

    /// Takes out what the machine has to say.
    pub(crate) fn drain(&mut self) -> (Vec<ServerEvent>, Vec<Message>) {
        let (mut events, mut messages, mut datagram) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match self.machine.wake().poll_output(self.now, &mut datagram) {
                Output::Event(event) => events.push(event),
                Output::Transmit { to } => {
                    messages.extend(Message::split(false, to, &datagram));
                }
                Output::Wait { until, .. } => {
                    self.wake = until;
                    break;
                }
            }
        }
        self.rest();
        (events, messages)
    }

    fn rest(&mut self) {
        let mut hasher = DefaultHasher::new();
        let machine = self.machine.wake();
        machine.tidy();
        machine.digest(self.now, &mut hasher);
        self.digest = hasher.finish();
        self.granted = machine.counters().quanta_granted;
        let limits = machine.limits();
        self.is_overloaded = limits.calls_queued_max == 0;
        self.calls = (machine.queued(), machine.running());
        self.is_within_limits = machine.sessions() <= limits.sessions_max
            && machine.stored_bytes() <= limits.reply_bytes_stored_max;
    }
}

/// Gives the arguments of a call to be executed: its number.
pub(crate) fn number_of(execute: &mut Execute) -> u8 {
    mem::take(&mut execute.arguments).first().copied().unwrap_or(u8::MAX)
}
