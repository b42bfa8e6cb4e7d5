//! The client's tests: a bench with one connection, and a server that answers with PDUs by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::Execution;
use crate::ids::{Sequence, SlotIndex, Space};
use crate::protocol::{DoubtCause, Output};
use crate::time::Duration;
use crate::wire::{Reject, *};

mod call_off;
mod durable;
mod goodbye;
mod hostile;
mod large;
mod orphans;
mod pairs;
mod peer;
mod recorded;
mod resolve;
mod room;
mod round_trip;
mod session;
mod slot;
mod trust;
mod world;

use peer::*;

/// A generator that counts, so that every test runs alike.
#[derive(Debug)]
struct Counting(u64);

impl Rng for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0
    }
}

const LIFE: Incarnation = Incarnation(0x3_0000_0001);
const ME: ClientIdentity = ClientIdentity { id: ClientId(0xc1), incarnation: LIFE };
const SERVER: ServerId = ServerId(0x5e);
const LIFE_OF_SERVER: Incarnation = Incarnation(0x5_0000_0007);
const NEXT_LIFE_OF_SERVER: Incarnation = Incarnation(0x6_0000_0007);
const THERE: Address = Address::Virtual(1);
/// The first session, and the one after it.
const A: SessionId = SessionId(0xa);
const B: SessionId = SessionId(0xb);
/// The wish that the fake server grants.
const LEASE: Duration = Duration::from_secs(30);
const LEASE_UNUSED: Duration = Duration::from_secs(4);
/// How long a call waits unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);
/// Takes whoever lives at the address.
const ANYBODY: Target =
    Target { address: THERE, server: ServerId::NONE, incarnation: Incarnation::NONE };
/// Knows whom it wants, and in which life.
const BOUND: Target = Target { address: THERE, server: SERVER, incarnation: LIFE_OF_SERVER };

/// What a client said, owned; slots and sequences only where that is what matters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Hello(Hello),
    Request { slot: u32, sequence: u64, transmission: u16 },
    Maybe { sequence: u64 },
    Ping { slot: u32, sequence: u64 },
    Seal { slot: u32, sequence: u64 },
    Cancel { slot: u32, sequence: u64 },
    Ack { slot: u32, sequence: u64 },
    Probe { bytes: u32, carried: u32 },
    Bye,
    Extend(Extend),
    Alive(Alive),
    Other(Kind),
}

impl Said {
    fn of(space: Space, pdu: &Pdu<'_>) -> Self {
        let call = |slot: SlotIndex, sequence: Sequence| (slot.0, sequence.0);
        match *pdu {
            Pdu::Hello(hello) => Self::Hello(hello),
            Pdu::Request(Request { sequence, .. }) if space == Space::Maybe => {
                Self::Maybe { sequence: sequence.0 }
            }
            Pdu::Request(Request { slot, sequence, transmission, .. }) => {
                Self::Request { slot: slot.0, sequence: sequence.0, transmission }
            }
            Pdu::Ping(Ping { slot, sequence, .. }) => {
                let (slot, sequence) = call(slot, sequence);
                Self::Ping { slot, sequence }
            }
            Pdu::Seal(Seal { slot, sequence, .. }) => {
                let (slot, sequence) = call(slot, sequence);
                Self::Seal { slot, sequence }
            }
            Pdu::Cancel(Cancel { slot, sequence, .. }) => {
                let (slot, sequence) = call(slot, sequence);
                Self::Cancel { slot, sequence }
            }
            Pdu::Ack(Ack { slot, sequence, .. }) => {
                let (slot, sequence) = call(slot, sequence);
                Self::Ack { slot, sequence }
            }
            Pdu::Bye(_) => Self::Bye,
            Pdu::Probe(probe) => Self::Probe { bytes: probe.bytes, carried: probe.carried },
            Pdu::Extend(extend) => Self::Extend(extend),
            Pdu::Alive(alive) => Self::Alive(alive),
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
            | Pdu::Probed(_) => Self::Other(pdu.kind()),
        }
    }
}

/// The `transmission`th REQUEST for the first call of slot 0.
const fn request(transmission: u16) -> Said {
    Said::Request { slot: 0, sequence: 1, transmission }
}

const PING: Said = Said::Ping { slot: 0, sequence: 1 };
const SEAL: Said = Said::Seal { slot: 0, sequence: 1 };
const CANCEL: Said = Said::Cancel { slot: 0, sequence: 1 };
const ACK: Said = Said::Ack { slot: 0, sequence: 1 };

/// The fields of a REQUEST that only some tests look at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    digest: u64,
    remaining_us: u64,
    not_after_us: u64,
    arguments: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ended {
    key: CallKey,
    call: CallId,
    outcome: Outcome,
    evidence: Evidence,
}

/// The state in which slot 0 is prepared; its last sequence is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prepared {
    /// The call has ended with a reply.
    Free,
    /// The call was handed over.
    Busy,
    /// The same, and the server has said that it works.
    Working,
    /// The call was given up at its deadline.
    Linger,
    /// The same, and its reply came later.
    Resolved,
    /// The call was given up, and is being asked about.
    Resolving,
}

const ALL_STATES: [Prepared; 6] = [
    Prepared::Free,
    Prepared::Busy,
    Prepared::Working,
    Prepared::Linger,
    Prepared::Resolved,
    Prepared::Resolving,
];

/// A client, the server's half of what passes, and how its calls ended.
struct Bench {
    client: Client,
    now: Instant,
    /// In whose name the server speaks.
    session: SessionId,
    life: Incarnation,
    /// What the server's WELCOME grants.
    slots: u32,
    /// Calls and resolves under way, and when each ends at the latest.
    under_way: BTreeMap<CallKey, Instant>,
    known: BTreeSet<CallKey>,
    ended: Vec<Ended>,
    /// The last REQUEST.
    asked: Option<Asked>,
    /// The sessions named in the headers of what was said last.
    said_in: Vec<SessionId>,
    /// What it wants written down.
    records: Vec<(CallKey, CallId, Record)>,
    /// Servers at which it wants durable slots.
    wanted: Vec<ServerId>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default(), ANYBODY)
    }

    fn with(limits: Limits, target: Target) -> Self {
        let now = Instant::from_micros(1_000_000);
        let rng = Box::new(Counting(1));
        Self {
            client: Client::new(ME, target, limits, rng, now),
            now,
            session: A,
            life: LIFE_OF_SERVER,
            slots: 64,
            under_way: BTreeMap::new(),
            known: BTreeSet::new(),
            ended: Vec::new(),
            asked: None,
            said_in: Vec::new(),
            records: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// With the first call of slot 0 under way, in session [`A`].
    fn busy() -> (Self, CallKey) {
        Self::busy_with(Semantics::AtMostOnce)
    }

    fn busy_with(semantics: Semantics) -> (Self, CallKey) {
        let mut bench = Self::new();
        let key = bench.begin_with(semantics);
        (bench, key)
    }

    /// Starts the first call and lets the server welcome it.
    fn begin_with(&mut self, semantics: Semantics) -> CallKey {
        let spec = CallSpec { semantics, ..self.spec() };
        let (key, said) = self.start(spec);
        assert_eq!(self.welcome_hello(&said), [request(1)]);
        key
    }

    fn prepared(state: Prepared) -> Self {
        let (mut bench, _) = Self::busy();
        match state {
            Prepared::Busy => {}
            Prepared::Free => assert_eq!(bench.tell(&reply(1)), []),
            Prepared::Working => assert_eq!(bench.tell(&working(1, 1)), []),
            Prepared::Linger => bench.wait_to_linger(),
            Prepared::Resolved => {
                bench.wait_to_linger();
                assert_eq!(bench.tell(&reply(1)), []);
            }
            Prepared::Resolving => {
                bench.wait_to_linger();
                let (_, said) = bench.resolve(place(1), PATIENCE);
                assert_eq!(said, [SEAL]);
            }
        }
        bench
    }

    /// Lets the call in slot 0 run into its deadline.
    fn wait_to_linger(&mut self) {
        let said = self.pass(PATIENCE);
        assert_eq!(said.last(), Some(&SEAL));
        assert_eq!(self.outcome(), Outcome::InDoubt(DoubtCause::NoReply));
    }

    fn spec(&self) -> CallSpec {
        CallSpec {
            method: MethodFingerprint(100),
            name: 10,
            semantics: Semantics::AtMostOnce,
            deadline: self.now + PATIENCE,
            depth: 0,
            recorded: false,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        }
    }

    /// Starts a call; what the client says.
    fn start(&mut self, spec: CallSpec) -> (CallKey, Vec<Said>) {
        let key = self.client.start(self.now, spec, b"arguments".to_vec());
        self.enter(key, spec.deadline);
        (key, self.drain())
    }

    fn call(&mut self) -> (CallKey, Vec<Said>) {
        let spec = self.spec();
        self.start(spec)
    }

    fn resolve(&mut self, id: CallId, patience: Duration) -> (CallKey, Vec<Said>) {
        let deadline = self.now + patience;
        let key = self.client.resolve(self.now, id, deadline);
        self.enter(key, deadline);
        (key, self.drain())
    }

    fn enter(&mut self, key: CallKey, deadline: Instant) {
        assert!(self.known.insert(key), "keys are never used again");
        self.under_way.insert(key, deadline.max(self.now));
    }

    fn cancel(&mut self, key: CallKey) -> Vec<Said> {
        self.client.cancel(self.now, key);
        self.drain()
    }

    /// Takes everything out of the client.
    fn drain(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        self.said_in.clear();
        loop {
            match self.client.poll_output(self.now, &mut buffer) {
                Output::Event(ClientEvent::Ended(ended)) => {
                    let crate::protocol::Ended { key, call, outcome, evidence, arguments } = *ended;
                    let deadline = self.under_way.remove(&key);
                    let deadline = deadline.expect("a call ends once");
                    assert!(self.now <= deadline, "ended {:?} late", self.now.since(deadline));
                    assert_eq!((evidence.ended, evidence.peer), (self.now, THERE));
                    let ran = outcome.execution() == Execution::Executed;
                    assert!(!ran || arguments.len() == 0, "what ran is not made again");
                    arguments.reclaim().into_iter().for_each(|bytes| self.client.recycle(bytes));
                    self.ended.push(Ended { key, call, outcome, evidence });
                }
                Output::Event(ClientEvent::Record { key, call, record }) => {
                    self.records.push((key, call, *record));
                }
                Output::Event(ClientEvent::WantGeneration { server }) => {
                    self.wanted.push(server);
                }
                Output::Transmit { to } => {
                    assert_eq!(to, THERE);
                    assert!(buffer.len() <= DATAGRAM_BYTES_MAX);
                    self.read(&buffer, &mut all);
                }
                Output::Wait { until, .. } => {
                    assert_eq!(until, self.client.next_wake());
                    assert_eq!(self.client.outstanding(), self.under_way.len());
                    return all;
                }
            }
        }
    }

    fn read(&mut self, datagram: &[u8], all: &mut Vec<Said>) {
        let mut rest = datagram;
        while !rest.is_empty() {
            let (envelope, pdu, after) = decode(rest).unwrap();
            assert_eq!(envelope.incarnation, self.client.incarnation());
            if let Pdu::Request(request) = &pdu {
                self.asked = Some(Asked {
                    digest: request.digest,
                    remaining_us: request.remaining_us,
                    not_after_us: request.not_after_us,
                    arguments: request.arguments.to_vec(),
                });
            }
            self.said_in.push(envelope.session);
            all.push(Said::of(envelope.space, &pdu));
            rest = after;
        }
    }

    /// The only call that has ended since this was asked last.
    fn last_ended(&mut self) -> Ended {
        assert_eq!(self.ended.len(), 1, "{:?}", self.ended);
        self.ended.remove(0)
    }

    fn outcome(&mut self) -> Outcome {
        self.last_ended().outcome
    }

    fn outcome_of(&self, key: CallKey) -> Outcome {
        let ended = self.ended.iter().find(|ended| ended.key == key);
        ended.expect("it has ended").outcome.clone()
    }

    /// Lets time pass, timers firing at their times; what the client says.
    fn pass(&mut self, time: Duration) -> Vec<Said> {
        let end = self.now + time;
        let mut all = Vec::new();
        while let Some(due) = self.client.next_wake().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            all.extend(self.drain());
        }
        self.now = end;
        all
    }

    /// Lets time pass to the next timer; how long it was, and what the client says.
    fn step(&mut self) -> (Duration, Vec<Said>) {
        self.client.tidy();
        let due = self.client.next_wake().expect("something is due");
        let waited = due.since(self.now);
        (waited, self.pass(waited))
    }
}
