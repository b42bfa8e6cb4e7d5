//! Both machines, a network between them, and what the contract promises to whoever watches.
//!
//! The network is a set that only grows: whatever was said once may arrive at any later moment.

use super::*;
use crate::ids::GenerationId;
use crate::protocol::{
    Begin, DurableRow, DurableTable, Execute, HandlerEnd, MethodEntry, OpeningKey, OrphanPolicy,
    OrphanStrategy, Server, ServerEvent, ServerIdentity, Ticket,
};

const ONCE: usize = 0;
const AGAIN: usize = 1;
const DURABLE: usize = 3;
const SEMANTICS: [Semantics; 4] =
    [Semantics::AtMostOnce, Semantics::AtLeastOnce, Semantics::Maybe, Semantics::ExactlyOnce];

/// The server's clock was started so much earlier.
const EARLIER: u64 = 3_600_000_000;
/// Its rate differs by one in so many.
const RATE: u64 = 5_000;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    to_server: bool,
    /// The client's address: whence, or whither.
    address: Address,
    bytes: Vec<u8>,
}

/// What is known of a call from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    semantics: Semantics,
    deadline: Instant,
    pub(super) begun: u32,
    denied: bool,
    /// Whether its caller has its result, or what a `maybe` call has instead: that it left.
    pub(super) returned: bool,
    /// Whether it has a row in the store.
    recorded: bool,
}

impl Fact {
    const fn new(semantics: Semantics, deadline: Instant) -> Self {
        Self { semantics, deadline, begun: 0, denied: false, returned: false, recorded: false }
    }
}

/// An execution under way.
#[derive(Clone, Copy, Debug)]
struct Running {
    ticket: Ticket,
    number: u64,
    digest: u64,
}

/// What survives a server: the rows of a client's slots.
#[derive(Clone, Debug)]
struct Table {
    client: ClientId,
    rows: BTreeMap<SlotIndex, DurableRow>,
}

/// What a key of the client stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    number: u64,
    until: Instant,
}

pub(super) struct World {
    pub(super) now: Instant,
    /// The server's clock is slow, right or fast: 0, 1, 2.
    rate: u8,
    limits: Limits,
    pub(super) client: Client,
    lives_of_client: u32,
    pub(super) address: u32,
    pub(super) server: Server,
    server_wakes: Option<Instant>,
    lives_of_server: u32,
    pub(super) said: Vec<Datagram>,
    /// What was said before has arrived, or was lost.
    pub(super) arrived: usize,
    queue: Vec<Execute>,
    running: Vec<Running>,
    store: BTreeMap<GenerationId, Table>,
    generations: u64,
    /// What the store was asked for and has not answered.
    openings: Vec<(OpeningKey, ClientId, GenerationId)>,
    /// By number, which is a call's argument and what it returns.
    pub(super) facts: Vec<Fact>,
    pub(super) waits: BTreeMap<CallKey, Wait>,
    /// Calls that have ended, and where they were.
    places: Vec<(CallId, u64)>,
}

fn limits(cookie_always: bool) -> Limits {
    Limits {
        slots_max: 3,
        sessions_max: 4,
        lease: Duration::from_secs(6),
        deadline_max: Duration::from_secs(60),
        cookie_always,
        ..Limits::default()
    }
}

fn server_of(life: u32, limits: &Limits) -> Server {
    let incarnation = Incarnation::new(life, 7);
    let entry = |(number, semantics): (u64, Semantics)| MethodEntry {
        fingerprint: MethodFingerprint(100 + number),
        name: 10,
        semantics,
        reply_bytes_max: 64,
        orphans: OrphanPolicy::new(OrphanStrategy::ExpireAndGentle, Duration::from_millis(300)),
        ack: None,
    };
    let methods = (0..).zip(SEMANTICS).map(entry).collect();
    let identity = ServerIdentity { id: SERVER, incarnation };
    let rng = Box::new(Counting(u64::from(life)));
    let mut server = Server::new(identity, limits.clone(), methods, rng);
    server.enable_durable();
    server
}

fn client_of(life: u32, limits: &Limits, now: Instant) -> Client {
    let identity = ClientIdentity { incarnation: Incarnation::new(life, 1), ..ME };
    let target = Target { incarnation: Incarnation::NONE, ..BOUND };
    Client::new(identity, target, limits.clone(), Box::new(Counting(u64::from(life) << 32)), now)
}

impl World {
    pub(super) fn new(rate: u8, cookie_always: bool) -> Self {
        let (now, limits) = (Instant::from_micros(1_000_000), limits(cookie_always));
        Self {
            now,
            rate,
            client: client_of(1, &limits, now),
            lives_of_client: 1,
            address: 10,
            server: server_of(1, &limits),
            server_wakes: None,
            lives_of_server: 1,
            limits,
            said: Vec::new(),
            arrived: 0,
            queue: Vec::new(),
            running: Vec::new(),
            store: BTreeMap::new(),
            generations: 0,
            openings: Vec::new(),
            facts: Vec::new(),
            waits: BTreeMap::new(),
            places: Vec::new(),
        }
    }

    /// What the server's clock shows at a moment of the client's.
    pub(super) fn server_time(&self, now: Instant) -> Instant {
        let micros = now.as_micros();
        let off = micros / RATE;
        Instant::from_micros(match self.rate {
            0 => EARLIER + micros - off,
            1 => EARLIER + micros,
            _ => EARLIER + micros + off,
        })
    }

    /// When the server is due by the client's clock.
    fn server_wakes(&self) -> Option<Instant> {
        let due = self.server_wakes?;
        let micros = due.as_micros() - EARLIER;
        let off = micros / RATE;
        let early = [micros + off, micros, micros - off][usize::from(self.rate)];
        let early = Instant::from_micros(early - 1).max(self.now);
        (early.as_micros()..).map(Instant::from_micros).find(|now| self.server_time(*now) >= due)
    }

    /// When either is due.
    fn next_wake(&self) -> Option<Instant> {
        self.client.next_wake().into_iter().chain(self.server_wakes()).min()
    }

    /// Takes everything out of both machines.
    pub(super) fn drain(&mut self) {
        let mut bytes = Vec::new();
        let address = Address::Virtual(self.address);
        loop {
            match self.client.poll_output(self.now, &mut bytes) {
                Output::Event(ended) => self.judge(ended),
                Output::Transmit { .. } => {
                    self.said.push(Datagram { to_server: true, address, bytes: bytes.clone() });
                }
                Output::Wait { .. } => break,
            }
        }
        let time = self.server_time(self.now);
        loop {
            match self.server.poll_output(time, &mut bytes) {
                Output::Event(ServerEvent::Execute(call)) => self.queue.push(*call),
                Output::Event(
                    ServerEvent::Cancel(_)
                    | ServerEvent::Fenced { .. }
                    | ServerEvent::SessionClosed(_)
                    | ServerEvent::Retain { .. },
                ) => {}
                Output::Event(ServerEvent::OpenGeneration { key, client, wanted }) => {
                    self.openings.push((key, client, wanted));
                }
                Output::Event(ServerEvent::ForgetGeneration { generation, .. }) => {
                    self.store.remove(&generation);
                }
                Output::Event(ServerEvent::Acknowledged { call, .. }) => {
                    let table = self.store.get_mut(&GenerationId(call.session.0));
                    let row = table.and_then(|table| table.rows.get_mut(&call.slot));
                    if let Some(row) = row.filter(|row| row.sequence == call.sequence) {
                        row.ended = None;
                    }
                }
                Output::Transmit { to: address } => {
                    self.said.push(Datagram { to_server: false, address, bytes: bytes.clone() });
                }
                Output::Wait { until, .. } => {
                    self.server_wakes = until;
                    return;
                }
            }
        }
    }

    pub(super) fn deliver(&mut self, index: usize) {
        let Datagram { to_server, address, bytes } = self.said[index].clone();
        if to_server {
            self.server.handle_datagram(self.server_time(self.now), address, &bytes);
        } else if address == Address::Virtual(self.address) {
            self.client.handle_datagram(self.now, THERE, &bytes);
        }
        self.drain();
    }

    /// Datagrams arrive in order, at most so many.
    pub(super) fn flow(&mut self, count: usize) {
        for _ in 0..count {
            if self.arrived < self.said.len() {
                self.arrived += 1;
                self.deliver(self.arrived - 1);
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.next_wake().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.server_time(self.now));
            self.drain();
        }
        self.now = end;
    }
}

/// The store.
impl World {
    /// Answers one of the questions for a generation.
    pub(super) fn open(&mut self, which: usize) {
        if self.openings.is_empty() {
            return;
        }
        let (key, client, wanted) = self.openings.remove(which % self.openings.len());
        let is_there = self.store.get(&wanted).is_some_and(|table| table.client == client);
        self.generations += u64::from(!is_there);
        let generation = if is_there { wanted } else { GenerationId(self.generations) };
        let fresh = Table { client, rows: BTreeMap::new() };
        let table = self.store.entry(generation).or_insert(fresh);
        let table = DurableTable { generation, rows: table.rows.values().cloned().collect() };
        self.server.generation_opened(self.server_time(self.now), key, Some(table));
        self.drain();
    }

    /// How a durable call's execution ends, and what is in the store then.
    fn commit(&mut self, running: Running, end: u8, body: &[u8]) -> HandlerEnd {
        let (end, status) = match end {
            0 => (HandlerEnd::Panicked, ReplyStatus::Panicked),
            1 => (HandlerEnd::Cancelled { partial: true }, ReplyStatus::CancelledPartial),
            2 => return HandlerEnd::NotCommitted,
            // The store does not say so before it is read again.
            3 => (HandlerEnd::Unsettled, ReplyStatus::Returned),
            _ => (HandlerEnd::Returned, ReplyStatus::Returned),
        };
        let CallId { session, slot, sequence, .. } = running.ticket.call_id();
        let Some(table) = self.store.get_mut(&GenerationId(session.0)) else {
            return HandlerEnd::NotCommitted;
        };
        let fact = &mut self.facts[usize::try_from(running.number).unwrap()];
        assert!(!fact.recorded, "done twice");
        assert!(!fact.denied, "call {} was said never to run", running.number);
        fact.recorded = true;
        let ended = Some((status, body.to_vec()));
        let row = DurableRow { slot, sequence, digest: running.digest, ended };
        let before = table.rows.insert(slot, row);
        assert!(before.is_none_or(|before| before.sequence < sequence), "a later call was there");
        end
    }
}

/// The contract.
impl World {
    /// An execution may begin only if it is the first, nobody was told that there would be none,
    /// and its caller still waits.
    pub(super) fn begin(&mut self, which: usize) {
        if self.queue.is_empty() {
            return;
        }
        let call = self.queue.remove(which % self.queue.len());
        let number = u64::from_le_bytes(call.arguments[..8].try_into().unwrap());
        if self.server.begin(self.server_time(self.now), call.ticket) == Begin::Run {
            let is_alive = self.running.iter().any(|other| other.number == number);
            self.running.push(Running { ticket: call.ticket, number, digest: call.digest });
            let fact = &mut self.facts[usize::try_from(number).unwrap()];
            fact.begun += 1;
            let may_run = match fact.semantics {
                Semantics::AtLeastOnce => true,
                Semantics::ExactlyOnce => !is_alive && !fact.recorded,
                Semantics::Maybe | Semantics::AtMostOnce => fact.begun == 1,
            };
            assert!(may_run, "ran twice");
            assert!(!fact.denied, "call {number} was said never to run");
            assert!(self.now < fact.deadline, "call {number} began late");
        }
        self.server.recycle(call.arguments);
        self.drain();
    }

    /// A call, or a question, ends once, in time, and what is said of it is true.
    fn judge(&mut self, ended: ClientEvent) {
        let ClientEvent::Ended(ended) = ended else { panic!("it keeps no journal") };
        let (key, call, outcome) = (ended.key, ended.call, ended.outcome);
        let wait = self.waits.remove(&key).expect("ends once");
        assert!(self.now <= wait.until, "ended late");
        let number = wait.number;
        let fact = &mut self.facts[usize::try_from(number).unwrap()];
        match outcome.execution() {
            Execution::NotExecuted => {
                let is_durable = fact.semantics == Semantics::ExactlyOnce;
                let ran = if is_durable { fact.recorded } else { fact.begun > 0 };
                assert!(!ran, "call {number} ran, but {outcome:?}");
                fact.denied = true;
            }
            Execution::Executed => assert!(fact.begun > 0, "call {number} never ran"),
            Execution::Unknown => {}
        }
        // A `maybe` call is told only that it left.
        fact.returned |= matches!(outcome, Outcome::Returned(_) | Outcome::Sent);
        if let Outcome::Returned(body) = outcome {
            assert_eq!(body, number.to_le_bytes(), "another call's reply");
        }
        if call != CallId::UNSENT && self.places.last() != Some(&(call, number)) {
            self.places.push((call, number));
        }
    }
}

impl World {
    pub(super) fn call(&mut self, method: usize, depth: u8, patience: Duration) {
        let (number, deadline) = (self.facts.len() as u64, self.now + patience);
        let semantics = SEMANTICS[method];
        self.facts.push(Fact::new(semantics, deadline));
        let method = MethodFingerprint(100 + method as u64);
        let recorded = false;
        let spec = CallSpec {
            method,
            name: 10,
            semantics,
            deadline,
            depth,
            recorded,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        let arguments = number.to_le_bytes().to_vec();
        let key = self.client.start(self.now, spec, arguments);
        self.waits.insert(key, Wait { number, until: deadline });
    }

    /// Asks what became of a call that has ended.
    pub(super) fn resolve(&mut self, back: usize, patience: Duration) {
        let Some((call, number)) = self.places.iter().rev().nth(back).copied() else { return };
        let until = self.now + patience;
        let key = self.client.resolve(self.now, call, until);
        self.waits.insert(key, Wait { number, until });
    }

    pub(super) fn restart_server(&mut self) {
        self.lives_of_server += 1;
        self.server = server_of(self.lives_of_server, &self.limits);
        self.queue.clear();
        self.running.clear();
        self.openings.clear();
    }

    pub(super) fn restart_client(&mut self) {
        self.lives_of_client += 1;
        self.client = client_of(self.lives_of_client, &self.limits, self.now);
        self.waits.clear();
    }

    pub(super) fn finish(&mut self, which: usize, end: u8) {
        if self.running.is_empty() {
            return;
        }
        let running = self.running.remove(which % self.running.len());
        let body = running.number.to_le_bytes().to_vec();
        let end = match (running.ticket.call_id().space, end) {
            (Space::Durable, end) => self.commit(running, end, &body),
            (_, 0) => HandlerEnd::Panicked,
            (_, 1) => HandlerEnd::Cancelled { partial: true },
            (_, 2) => HandlerEnd::HandlerFailed,
            (_, _) => HandlerEnd::Returned,
        };
        self.server.finish(self.server_time(self.now), running.ticket, end, body);
    }

    /// Nothing is lost any more, and every handler returns at once.
    pub(super) fn calm(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.arrived < self.said.len()
                || !self.queue.is_empty()
                || !self.running.is_empty()
                || !self.openings.is_empty()
            {
                self.flow(1);
                self.open(0);
                self.begin(0);
                self.finish(0, u8::MAX);
                self.drain();
            }
            if self.now == end {
                return;
            }
            let due = self.next_wake().unwrap_or(end).clamp(self.now, end);
            self.pass(due.since(self.now));
        }
    }

    /// For no longer is a call called off: each time-out is the ceiling at most, and a quarter for the jitter.
    pub(super) fn longest_call_off(&self) -> Duration {
        self.limits.retransmit_ceiling * 5 / 4 * self.limits.cancel_transmissions_max
    }

    /// A new call in a calm world returns.
    pub(super) fn check_that_it_works(&mut self) {
        for method in [ONCE, AGAIN, DURABLE] {
            let number = self.facts.len();
            self.call(method, 0, Duration::from_secs(20));
            self.drain();
            self.calm(Duration::from_secs(20));
            assert!(self.waits.is_empty());
            assert!(self.facts[number].returned, "a call in a calm world returns");
        }
    }
}
