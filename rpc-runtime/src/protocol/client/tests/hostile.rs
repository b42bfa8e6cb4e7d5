//! Answers that no honest server gives: nothing panics, tables stay bounded, every call ends once.

use crate::ids::GenerationId;
use proptest::prelude::*;

use super::*;

const SLOTS: u32 = 3;
const MOST_WAITING: usize = 4;
const NO_ADDRESS_OF_OURS: Address = Address::Virtual(9);

fn small() -> Limits {
    Limits { slots_max: SLOTS, calls_waiting_max: MOST_WAITING, ..Limits::default() }
}

/// A PDU that somebody sends to the client, mostly almost right.
#[derive(Clone, Copy, Debug)]
struct Letter {
    kind: u8,
    session: u8,
    nonce: u8,
    slot: u32,
    sequence: u64,
    variant: u8,
    wrong: u8,
}

/// One thing that happens to a client in a hostile world.
#[derive(Clone, Debug)]
enum Deed {
    Call { semantics: u8, depth: u8, millis: u64 },
    Cancel { which: usize },
    Resolve { which: usize, millis: u64 },
    Letter(Letter),
    Pass { millis: u64 },
    Garbage(Vec<u8>),
}

fn letters() -> impl Strategy<Value = Letter> {
    (0_u8..20, 0_u8..6, 0_u8..5, 0_u32..5, 0_u64..5, any::<u8>(), 0_u8..24).prop_map(
        |(kind, session, nonce, slot, sequence, variant, wrong)| Letter {
            kind,
            session,
            nonce,
            slot,
            sequence,
            variant,
            wrong,
        },
    )
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        60 => (0_u8..4, 0_u8..2, 0_u64..4000)
            .prop_map(|(semantics, depth, millis)| Deed::Call { semantics, depth, millis }),
        10 => (0_usize..8).prop_map(|which| Deed::Cancel { which }),
        20 => (0_usize..9, 0_u64..2000).prop_map(|(which, millis)| Deed::Resolve { which, millis }),
        200 => letters().prop_map(Deed::Letter),
        40 => (0_u64..1500).prop_map(|millis| Deed::Pass { millis }),
        4 => (15_000_u64..40_000).prop_map(|millis| Deed::Pass { millis }),
        10 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Deed::Garbage),
    ]
}

const REJECTIONS: [RejectReason; 5] = [
    RejectReason::StaleBinding,
    RejectReason::OldIncarnation,
    RejectReason::NoRoom,
    RejectReason::Version,
    RejectReason::Draining,
];

/// A client among people who know everything: nonces, sessions, places.
struct Mob {
    bench: Bench,
    nonces: Vec<Nonce>,
    places: Vec<CallId>,
}

impl Mob {
    fn new(target: Target) -> Self {
        Self { bench: Bench::with(small(), target), nonces: vec![Nonce(0)], places: Vec::new() }
    }

    fn heard(&mut self, said: &[Said]) {
        for said in said {
            if let Said::Hello(hello) = said {
                assert!(hello.nonce.0 != 0);
                if self.nonces.last() != Some(&hello.nonce) {
                    self.nonces.push(hello.nonce);
                }
            }
        }
        self.places.extend(self.bench.ended.drain(..).map(|ended| ended.call));
    }

    fn act(&mut self, deed: Deed) {
        let bench = &mut self.bench;
        let said = match deed {
            Deed::Call { semantics, depth, millis } => {
                let semantics = match semantics {
                    0 => Semantics::Maybe,
                    1 => Semantics::AtLeastOnce,
                    _ => Semantics::AtMostOnce,
                };
                let deadline = bench.now + Duration::from_millis(millis);
                bench.start(CallSpec { semantics, depth, deadline, ..bench.spec() }).1
            }
            Deed::Cancel { which } => {
                let key = bench.known.iter().rev().nth(which).copied();
                key.map_or_else(Vec::new, |key| bench.cancel(key))
            }
            Deed::Resolve { which, millis } => {
                let call = self.places.iter().rev().nth(which).copied().unwrap_or(place(1));
                bench.resolve(call, Duration::from_millis(millis)).1
            }
            Deed::Letter(letter) => self.deliver(letter),
            Deed::Pass { millis } => bench.pass(Duration::from_millis(millis)),
            Deed::Garbage(bytes) => {
                bench.client.handle_datagram(bench.now, THERE, &bytes);
                bench.drain()
            }
        };
        self.heard(&said);
    }

    fn deliver(&mut self, letter: Letter) -> Vec<Said> {
        let (session, live) = match letter.session {
            0 => (SessionId(0), false),
            1 => (B, false),
            2 => (SessionId(0xc), false),
            _ => (A, true),
        };
        let session = match self.bench.client.session() {
            Some(open) if live => open.id,
            _ => session,
        };
        let life = self.bench.client.session().map_or(LIFE_OF_SERVER, |open| open.incarnation);
        let mut envelope = Envelope { session, incarnation: life, ..self.bench.envelope() };
        let mut from = THERE;
        match letter.wrong {
            0 => envelope.incarnation = NEXT_LIFE_OF_SERVER,
            1 => envelope.incarnation = Incarnation(u64::MAX),
            2 => envelope.target = 0,
            3 => envelope.space = Space::Durable,
            4 => from = NO_ADDRESS_OF_OURS,
            _ => {}
        }
        let back = self.nonces.len().saturating_sub(1 + usize::from(letter.nonce.min(2)) / 2);
        let pdu = pdu_of(letter, &self.bench, self.nonces[back]);
        let mut datagram = Vec::new();
        encode(&envelope, &pdu, &mut datagram);
        self.bench.client.handle_datagram(self.bench.now, from, &datagram);
        self.bench.drain()
    }

    /// What holds at every step.
    fn check(&self) {
        let client = &self.bench.client;
        assert!(client.given_up.len() <= 16);
        let slots = client.slots.slots.len();
        assert!(slots <= usize::try_from(SLOTS).unwrap());
        assert!(client.waiting.len() <= MOST_WAITING + usize::try_from(SLOTS).unwrap());
        assert_eq!(client.calls.len(), self.bench.under_way.len());
        client.slots.check(&client.calls);
        let waits = |key: CallKey| matches!(client.calls[key.index].stage, Stage::Waiting);
        assert!(client.waiting.iter().all(waits));
        let waiting = client.calls.iter().filter(|(_, call)| matches!(call.stage, Stage::Waiting));
        assert_eq!(client.waiting.len(), waiting.count());
    }
}

/// The PDU of a letter, in words that are likely to mean something to the client.
fn pdu_of(letter: Letter, bench: &Bench, nonce: Nonce) -> Pdu<'static> {
    let Letter { kind, variant, .. } = letter;
    let (slot, sequence) = (SlotIndex(letter.slot), Sequence(letter.sequence));
    let pick = usize::from(variant);
    let terminal = terminal_answers();
    match kind {
        0..5 => Pdu::Welcome(Welcome {
            lease_ms: [0, 6_000, 30_000, u32::MAX][pick % 4],
            lease_unused_ms: [0, 4_000, u32::MAX][pick % 3],
            slots: [0, 1, 3, u32::MAX][pick / 4 % 4],
            session_time_us: [0, 7_000_000, u64::MAX][pick % 3],
            server: if variant == 0 { ServerId(1) } else { SERVER },
            ..bench.welcome_of(nonce)
        }),
        5 => Pdu::Reject(Reject {
            nonce,
            server: SERVER,
            highest: Incarnation([0, LIFE.0, 0x9_0000_0000, u64::MAX][pick % 4]),
            reason: REJECTIONS[pick % REJECTIONS.len()],
            version_min: 1,
            version_max: 1,
            pad: 0,
            push_back_ms: u32::from(variant),
        }),
        6 => {
            let nonce = if variant < 128 { Nonce(0) } else { nonce };
            Pdu::Cookie(Cookie { nonce, cookie: [variant % 2; COOKIE_BYTES] })
        }
        7 => no_session(),
        8 => [GOAWAY, BYE][pick % 2],
        9 | 10 => Pdu::Working(Working {
            slot,
            sequence,
            running: Sequence(u64::from(variant % 4)),
            quantum_left_us: u64::from(variant),
            session_time_us: [0, u64::MAX][pick % 2],
            stamp: [0, 1, bench.now.as_micros(), u64::MAX][pick % 4],
        }),
        11 => {
            let session_time_us = [0, u64::MAX][pick % 2];
            Pdu::Unseen(Unseen { slot, sequence, last: Sequence(0), session_time_us, stamp: 0 })
        }
        12 => [PING_BACK, HELLO_BACK][pick % 2],
        _ => {
            let mut answer = terminal[pick % terminal.len()].0;
            if let Pdu::Reply(reply) = &mut answer {
                reply.handler_us = [0, u32::MAX][pick % 2];
                reply.fragments = if variant == 7 { 2 } else { 1 };
            }
            placed(answer, letter.slot, letter.sequence)
        }
    }
}

const PING_BACK: Pdu<'static> =
    Pdu::Ping(Ping { slot: SlotIndex(0), sequence: Sequence(1), stamp: 0 });
const HELLO_BACK: Pdu<'static> = Pdu::Hello(Hello {
    client: ME.id,
    nonce: Nonce(1),
    server: SERVER,
    server_incarnation: LIFE_OF_SERVER,
    resume: SessionId::NONE,
    slots: 1,
    datagram_bytes: 1232,
    version_min: 1,
    version_max: 1,
    has_cookie: 0,
    durable: 0,
    cookie: [0; COOKIE_BYTES],
    generation: GenerationId::NONE,
});

/// A script of calls and honest answers: what a client says and how its calls end.
fn script(bench: &mut Bench, step: usize) -> Vec<Said> {
    match step {
        0 => {
            let (_, said) = bench.call();
            let mut all = said.clone();
            all.extend(bench.welcome_hello(&said));
            all
        }
        1 => bench.call().1,
        2 => bench.step().1,
        3 => bench.tell(&working(1, 1)),
        4 => bench.tell(&reply_in(1, 1, ReplyStatus::Returned)),
        5 => bench.step().1,
        6 => bench.pass(PATIENCE),
        7 => bench.resolve(place(1), PATIENCE).1,
        8 => bench.tell(&sealed(1, SealedVerdict::Closed)),
        _ => bench.pass(PATIENCE),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_answered_every_call_ends_once_and_in_time_and_tables_stay_bounded(
        bound in any::<bool>(),
        deeds in proptest::collection::vec(deeds(), 1..200),
    ) {
        let mut mob = Mob::new(if bound { BOUND } else { ANYBODY });
        for deed in deeds {
            mob.act(deed);
            mob.check();
        }
        // When nobody says anything more, all ends by its deadline, and then there is silence.
        mob.act(Deed::Pass { millis: 4_000 });
        prop_assert_eq!(mob.bench.client.outstanding(), 0);
        mob.act(Deed::Pass { millis: 10_000 });
        mob.check();
        prop_assert!(mob.bench.client.is_quiet());
        prop_assert_eq!(mob.bench.pass(LEASE * 10), []);
    }

    #[test]
    fn what_strangers_say_changes_nothing(
        strangers in proptest::collection::vec((0_usize..10, letters()), 1..40),
        how in 0_u8..4,
    ) {
        let (mut left, mut alone) = (Bench::new(), Bench::new());
        for step in 0..10 {
            prop_assert_eq!(script(&mut left, step), script(&mut alone, step));
            prop_assert_eq!(&left.ended, &alone.ended);
            for (_, letter) in strangers.iter().filter(|(at, _)| *at == step) {
                let pdu = pdu_of(*letter, &left, Nonce(u64::from(letter.nonce)));
                let mut envelope = left.envelope();
                match how {
                    0 => envelope.session = B,
                    1 => envelope.target = LIFE.tag() + 1,
                    _ => {}
                }
                let mut datagram = Vec::new();
                encode(&envelope, &pdu, &mut datagram);
                let from = if how == 2 { NO_ADDRESS_OF_OURS } else { THERE };
                if how == 3 {
                    let at = usize::from(letter.variant) % datagram.len();
                    datagram[at] ^= 1 << (letter.wrong % 8);
                }
                left.client.handle_datagram(left.now, from, &datagram);
                prop_assert_eq!(left.drain(), []);
            }
        }
        let counters = left.counters();
        let ignored = counters.malformed + counters.foreign + counters.stale;
        let count = u64::try_from(strangers.len()).unwrap();
        prop_assert_eq!(ignored - alone.counters().stale, count);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_counted(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 1..20),
    ) {
        let (mut bench, _) = Bench::busy();
        let count = u64::try_from(datagrams.len()).unwrap();
        for datagram in datagrams {
            bench.client.handle_datagram(bench.now, THERE, &datagram);
            prop_assert_eq!(bench.drain(), []);
        }
        prop_assert_eq!(bench.counters().malformed, count);
        prop_assert!(bench.ended.is_empty());
    }
}

#[test]
fn what_stands_before_the_damage_in_a_datagram_counts() {
    let (mut bench, _) = Bench::busy();
    bench.call();
    let (mut datagram, envelope) = (Vec::new(), bench.envelope());
    for slot in 0..2 {
        encode(&envelope, &reply_in(slot, 1, ReplyStatus::Returned), &mut datagram);
    }
    datagram.extend_from_slice(b"rest");
    bench.client.handle_datagram(bench.now, THERE, &datagram);
    bench.drain();
    assert_eq!((bench.ended.len(), bench.counters().malformed), (2, 1));
}

#[test]
fn the_steady_state_reuses_its_buffers_and_timers() {
    let mut bench = Bench::prepared(Prepared::Free);
    let mut places = BTreeSet::new();
    for sequence in 2..40 {
        let mut buffer = bench.client.take_buffer();
        buffer.extend_from_slice(b"arguments");
        if sequence >= 20 {
            places.insert(buffer.as_ptr());
        }
        let spec = bench.spec();
        let key = bench.client.start(bench.now, spec, buffer);
        assert_eq!(key.index(), 0);
        bench.enter(key, spec.deadline);
        bench.drain();
        bench.tell(&reply(sequence));
        let ended = bench.ended.pop().expect("it was answered");
        let Outcome::Returned(body) = ended.outcome else { panic!("{ended:?}") };
        bench.client.recycle(body);
    }
    assert!(places.len() <= 4, "{} buffers for one call at a time", places.len());
}
