//! The server's tests: a bench with one client, and one file for each part of the tables.

use super::*;
use crate::ids::{Sequence, SlotIndex};
use crate::protocol::HandlerEnd;
use crate::protocol::limits::REPLY_BYTES_MAX;
use crate::protocol::{Output, Reason};
use crate::semantics::Semantics;
use crate::wire::*;

mod durable;
mod handshake;
mod hostile;
mod limits;
mod orphans;
mod probes;
mod requests;
mod sessions;
mod shares;
mod work;

/// A generator that counts, so that every test runs alike.
#[derive(Debug)]
struct Counting(u64);

impl Rng for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0
    }
}

const MINE: ServerIdentity = ServerIdentity { id: ServerId(0x5e), incarnation: LIFE_OF_SERVER };
const LIFE_OF_SERVER: Incarnation = Incarnation(0x1_0000_0007);
const HOME: Address = Address::Virtual(1);
const ELSEWHERE: Address = Address::Virtual(2);
const CLIENT: ClientId = ClientId(0xc1);
const LIFE: Incarnation = Incarnation(0x3_0000_0001);
const NEXT_LIFE: Incarnation = Incarnation(0x4_0000_0001);
const SLOT: SlotIndex = SlotIndex(0);
/// The sequence that a prepared slot has accepted last.
const LAST: u64 = 5;

/// The methods, by their place in the table.
const ONCE: usize = 0;
const AGAIN: usize = 1;
const MAYBE: usize = 2;
const DURABLE: usize = 3;

fn methods() -> Vec<MethodEntry> {
    let semantics =
        [Semantics::AtMostOnce, Semantics::AtLeastOnce, Semantics::Maybe, Semantics::ExactlyOnce];
    let entry = |(number, semantics): (u32, Semantics)| MethodEntry {
        fingerprint: MethodFingerprint(100 + u64::from(number)),
        name: 10 + number,
        semantics,
        reply_bytes_max: 64,
        orphans: OrphanPolicy::default(),
        ack: None,
    };
    (0..).zip(semantics).map(entry).collect()
}

/// What a server said, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Reply { sequence: u64, attempt: u32, transmission: u16, status: ReplyStatus, body: Vec<u8> },
    Refuse { sequence: u64, reason: RefuseReason, push_back_ms: u32 },
    Working(Working),
    Unseen(Unseen),
    Sealed { sequence: u64, verdict: SealedVerdict, stamp: u64 },
    Cookie(Cookie),
    Welcome(Welcome),
    Reject(Reject),
    NoSession(NoSession),
    Goaway(Goaway),
    Extend(Extend),
    Owner(Owner),
    Other(Kind),
}

impl Said {
    fn of(pdu: &Pdu<'_>) -> Self {
        match *pdu {
            Pdu::Reply(Reply { sequence, attempt, transmission, status, body, .. }) => {
                let (sequence, body) = (sequence.0, body.to_vec());
                Self::Reply { sequence, attempt, transmission, status, body }
            }
            Pdu::Refuse(Refuse { sequence, reason, push_back_ms, .. }) => {
                Self::Refuse { sequence: sequence.0, reason, push_back_ms }
            }
            Pdu::Sealed(Sealed { sequence, verdict, stamp, .. }) => {
                Self::Sealed { sequence: sequence.0, verdict, stamp }
            }
            Pdu::Working(pdu) => Self::Working(pdu),
            Pdu::Unseen(pdu) => Self::Unseen(pdu),
            Pdu::Cookie(pdu) => Self::Cookie(pdu),
            Pdu::Welcome(pdu) => Self::Welcome(pdu),
            Pdu::Reject(pdu) => Self::Reject(pdu),
            Pdu::NoSession(pdu) => Self::NoSession(pdu),
            Pdu::Goaway(pdu) => Self::Goaway(pdu),
            Pdu::Extend(pdu) => Self::Extend(pdu),
            Pdu::Owner(pdu) => Self::Owner(pdu),
            Pdu::Hello(_)
            | Pdu::Request(_)
            | Pdu::Ack(_)
            | Pdu::Ping(_)
            | Pdu::Cancel(_)
            | Pdu::Seal(_)
            | Pdu::Alive(_)
            | Pdu::Bye(_)
            | Pdu::Probe(_)
            | Pdu::Probed(_) => Self::Other(pdu.kind()),
        }
    }
}

fn refused(sequence: u64, reason: RefuseReason) -> Said {
    Said::Refuse { sequence, reason, push_back_ms: 0 }
}

fn promised(sequence: u64) -> Said {
    Said::Sealed { sequence, verdict: SealedVerdict::NotExecuted, stamp: 0 }
}

fn closed(sequence: u64) -> Said {
    Said::Sealed { sequence, verdict: SealedVerdict::Closed, stamp: 0 }
}

fn returned(sequence: u64, transmission: u16) -> Said {
    let (status, body) = (ReplyStatus::Returned, b"reply".to_vec());
    Said::Reply { sequence, attempt: 1, transmission, status, body }
}

fn failed(sequence: u64, transmission: u16, status: ReplyStatus, body: &[u8]) -> Said {
    Said::Reply { sequence, attempt: 1, transmission, status, body: body.to_vec() }
}

/// The state in which a slot is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prepared {
    Queued,
    Running,
    Done,
    Failed,
    Refused,
    Sealed,
    Acked,
    /// `at_least_once`, ran.
    Ran,
    /// `at_least_once`, ran and sealed.
    Closed,
}

/// A server, one client at [`HOME`], and what passed between them.
struct Bench {
    server: Server,
    now: Instant,
    session: SessionId,
    life: Incarnation,
    from: Address,
    nonce: u64,
    /// Calls given out and not begun.
    queue: Vec<Execute>,
    /// Calls begun and not ended.
    running: Vec<Ticket>,
    cancelled: Vec<Ticket>,
    closed: Vec<SessionId>,
    /// Questions for owners, and where to.
    owners: Vec<(Address, Envelope, Owner)>,
    openings: Vec<(OpeningKey, GenerationId)>,
    forgotten: Vec<GenerationId>,
    acknowledged: Vec<CallId>,
    retained: Vec<Vec<(ClientId, GenerationId)>>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    /// With limits, and a session of one client.
    fn with(limits: Limits) -> Self {
        let mut bench = Self::empty(limits);
        bench.open();
        bench
    }

    /// With one method of that policy in the place of [`ONCE`], and a durable one.
    fn under(policy: OrphanPolicy) -> Self {
        let mut methods = methods();
        methods[ONCE].orphans = policy;
        methods[DURABLE].orphans = policy;
        let mut bench = Self::empty(Limits::default());
        bench.server = Server::new(MINE, Limits::default(), methods, Box::new(Counting(1)));
        bench.open();
        bench
    }

    /// Without a session.
    fn empty(limits: Limits) -> Self {
        let now = Instant::from_micros(1_000_000);
        Self {
            server: Server::new(MINE, limits, methods(), Box::new(Counting(1))),
            now,
            session: SessionId::NONE,
            life: LIFE,
            from: HOME,
            nonce: 0,
            queue: Vec::new(),
            running: Vec::new(),
            cancelled: Vec::new(),
            closed: Vec::new(),
            owners: Vec::new(),
            openings: Vec::new(),
            forgotten: Vec::new(),
            acknowledged: Vec::new(),
            retained: Vec::new(),
        }
    }

    /// A bench whose slot 0 has accepted [`LAST`] and is in the given state.
    fn prepared(state: Prepared) -> Self {
        let mut bench = Self::new();
        bench.prepare(state);
        bench
    }

    fn prepare(&mut self, state: Prepared) {
        match state {
            Prepared::Queued => drop(self.request(LAST)),
            Prepared::Running => {
                self.prepare(Prepared::Queued);
                self.begin();
            }
            Prepared::Done => {
                self.prepare(Prepared::Running);
                self.finish(HandlerEnd::Returned, b"reply");
            }
            Prepared::Failed => {
                self.prepare(Prepared::Running);
                self.finish(HandlerEnd::Panicked, b"panic");
            }
            Prepared::Refused => {
                let request = Request { method: MethodFingerprint(1), ..self.call(LAST) };
                self.send(&Pdu::Request(Request { name: 1, ..request }));
            }
            Prepared::Sealed => drop(self.seal(LAST)),
            Prepared::Acked => {
                self.prepare(Prepared::Done);
                self.ack(LAST);
            }
            Prepared::Ran => {
                self.request_again(LAST);
                self.begin();
                self.finish(HandlerEnd::Returned, b"reply");
            }
            Prepared::Closed => {
                self.prepare(Prepared::Ran);
                self.seal(LAST);
            }
        }
        assert!(self.cancelled.is_empty());
    }

    fn envelope(&self) -> Envelope {
        let (session, incarnation) = (self.session, self.life);
        Envelope { space: Space::Session, target: MINE.incarnation.tag(), session, incarnation }
    }

    fn call(&self, sequence: u64) -> Request<'static> {
        self.call_of(ONCE, sequence)
    }

    fn call_of(&self, method: usize, sequence: u64) -> Request<'static> {
        let entry = methods()[method];
        let session = self.server.sessions.get(&self.session);
        let opened = session.map_or(self.now, |session| session.opened);
        Request {
            slot: SLOT,
            sequence: Sequence(sequence),
            method: entry.fingerprint,
            name: entry.name,
            digest: 1000 + sequence,
            remaining_us: 10_000_000,
            not_after_us: self.now.as_micros() - opened.as_micros() + 10_000_000,
            fragment: 0,
            fragments: 1,
            transmission: 1,
            depth: 0,
            semantics: entry.semantics,
            extensions: &[],
            arguments: b"arguments",
        }
    }

    fn hello(&mut self) -> Hello {
        self.nonce += 1;
        Hello {
            client: CLIENT,
            nonce: Nonce(self.nonce),
            server: MINE.id,
            server_incarnation: MINE.incarnation,
            resume: SessionId::NONE,
            slots: 64,
            datagram_bytes: 1232,
            version_min: 1,
            version_max: 1,
            has_cookie: 0,
            durable: 0,
            cookie: [0; COOKIE_BYTES],
            generation: GenerationId::NONE,
        }
    }

    /// Opens a session for the bench's client and remembers its id.
    fn open(&mut self) {
        let hello = self.hello();
        self.session = self.opened(&hello);
    }

    /// Sends a HELLO, with a cookie if one is asked for; the session that it opened.
    fn opened(&mut self, hello: &Hello) -> SessionId {
        match self.say_hello(hello) {
            (_, Said::Cookie(Cookie { cookie, .. })) => {
                let hello = Hello { has_cookie: 1, cookie, ..*hello };
                let (session, said) = self.say_hello(&hello);
                assert!(matches!(said, Said::Welcome(_)), "{said:?}");
                session
            }
            (session, said) => {
                assert!(matches!(said, Said::Welcome(_)), "{said:?}");
                session
            }
        }
    }

    /// Sends a HELLO; the session in the answer's header, and the answer.
    fn say_hello(&mut self, hello: &Hello) -> (SessionId, Said) {
        let envelope = Envelope { session: SessionId::NONE, ..self.envelope() };
        let mut all = self.send_as(self.from, &envelope, &Pdu::Hello(*hello));
        let owner = |(to, envelope, said): &(Address, Envelope, Said)| {
            if let Said::Owner(owner) = said { Some((*to, *envelope, *owner)) } else { None }
        };
        self.owners.extend(all.iter().filter_map(owner));
        all.retain(|answer| owner(answer).is_none());
        assert_eq!(all.len(), 1, "{all:?}");
        let (to, envelope, said) = all.remove(0);
        assert_eq!(to, self.from);
        (envelope.session, said)
    }

    /// Sends a PDU in the session; what the server says.
    fn send(&mut self, pdu: &Pdu<'_>) -> Vec<Said> {
        let envelope = self.envelope();
        let all = self.send_as(self.from, &envelope, pdu);
        all.into_iter().map(|(_, _, said)| said).collect()
    }

    fn send_as(
        &mut self,
        from: Address,
        envelope: &Envelope,
        pdu: &Pdu<'_>,
    ) -> Vec<(Address, Envelope, Said)> {
        let mut datagram = Vec::new();
        encode(envelope, pdu, &mut datagram);
        self.server.handle_datagram(self.now, from, &datagram);
        self.drain()
    }

    /// Takes everything out of the server.
    fn drain(&mut self) -> Vec<(Address, Envelope, Said)> {
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        loop {
            match self.server.poll_output(self.now, &mut buffer) {
                Output::Event(ServerEvent::Execute(call)) => self.queue.push(*call),
                Output::Event(ServerEvent::Cancel(ticket)) => self.cancelled.push(ticket),
                Output::Event(ServerEvent::SessionClosed(session)) => self.closed.push(session),
                Output::Event(ServerEvent::Fenced { .. }) => {}
                Output::Event(ServerEvent::OpenGeneration { key, wanted, .. }) => {
                    self.openings.push((key, wanted));
                }
                Output::Event(ServerEvent::ForgetGeneration { generation, .. }) => {
                    self.forgotten.push(generation);
                }
                Output::Event(ServerEvent::Acknowledged { call, .. }) => {
                    self.acknowledged.push(call);
                }
                Output::Event(ServerEvent::Retain { in_use }) => self.retained.push(in_use),
                Output::Transmit { to } => {
                    assert!(buffer.len() <= DATAGRAM_BYTES_MAX);
                    let mut rest = &buffer[..];
                    while !rest.is_empty() {
                        let (envelope, pdu, after) = decode(rest).unwrap();
                        assert_eq!(envelope.incarnation, MINE.incarnation);
                        all.push((to, envelope, Said::of(&pdu)));
                        rest = after;
                    }
                }
                Output::Wait { .. } => return all,
            }
        }
    }

    fn said(&mut self) -> Vec<Said> {
        self.drain().into_iter().map(|(_, _, said)| said).collect()
    }

    fn request(&mut self, sequence: u64) -> Vec<Said> {
        let request = self.call(sequence);
        self.send(&Pdu::Request(request))
    }

    /// The same request once more.
    fn duplicate(&mut self, sequence: u64) -> Vec<Said> {
        let request = Request { transmission: 2, ..self.call(sequence) };
        self.send(&Pdu::Request(request))
    }

    /// An `at_least_once` request.
    fn request_again(&mut self, sequence: u64) -> Vec<Said> {
        let request = self.call_of(AGAIN, sequence);
        self.send(&Pdu::Request(request))
    }

    fn seal(&mut self, sequence: u64) -> Vec<Said> {
        self.send(&Pdu::Seal(Seal { slot: SLOT, sequence: Sequence(sequence), stamp: 0 }))
    }

    fn cancel(&mut self, sequence: u64) -> Vec<Said> {
        self.send(&Pdu::Cancel(Cancel { slot: SLOT, sequence: Sequence(sequence), stamp: 0 }))
    }

    fn ping(&mut self, sequence: u64) -> Vec<Said> {
        self.send(&Pdu::Ping(Ping { slot: SLOT, sequence: Sequence(sequence), stamp: 0 }))
    }

    fn ack(&mut self, sequence: u64) -> Vec<Said> {
        let sequence = Sequence(sequence);
        self.send(&Pdu::Ack(Ack { slot: SLOT, sequence, cumulative: 1, fragments: 1, bitmap: 0 }))
    }

    /// Begins the call that waits longest, which must be allowed to.
    fn begin(&mut self) {
        assert_eq!(self.try_begin(), Begin::Run);
    }

    /// Nobody is there to run the call that waits longest.
    fn turn_away(&mut self) {
        let call = self.queue.remove(0);
        self.server.turn_away(self.now, call.ticket);
        self.server.recycle(call.arguments);
    }

    fn try_begin(&mut self) -> Begin {
        let call = self.queue.remove(0);
        let begin = self.server.begin(self.now, call.ticket);
        self.server.recycle(call.arguments);
        if begin == Begin::Run {
            self.running.push(call.ticket);
        }
        begin
    }

    /// Ends the call that has run longest; what the server says.
    fn finish(&mut self, end: HandlerEnd, body: &[u8]) -> Vec<Said> {
        let ticket = self.running.remove(0);
        let mut buffer = self.server.take_buffer();
        buffer.extend_from_slice(body);
        self.server.finish(self.now, ticket, end, buffer);
        self.said()
    }

    /// Runs the next call to its end.
    fn serve(&mut self) -> Vec<Said> {
        self.begin();
        self.finish(HandlerEnd::Returned, b"reply")
    }

    /// Lets time pass, timers firing at their times; what the server says.
    fn pass(&mut self, time: Duration) -> Vec<Said> {
        let end = self.now + time;
        let mut all = Vec::new();
        while let Some(due) = self.next_wake().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            all.extend(self.said());
        }
        self.now = end;
        all
    }

    /// The client's next life says HELLO.
    fn come_back(&mut self) -> SessionId {
        self.life = NEXT_LIFE;
        let hello = self.hello();
        self.opened(&hello)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.server.timers.next().map(|(due, _)| due)
    }

    fn counters(&self) -> ServerCounters {
        *self.server.counters()
    }

    /// What the server said is WORKING for this sequence, while that one runs.
    fn assert_working(said: &[Said], sequence: u64, running: u64) {
        match said {
            [Said::Working(working)] => {
                assert_eq!((working.sequence.0, working.running.0), (sequence, running));
            }
            other => panic!("{other:?}"),
        }
    }
}
