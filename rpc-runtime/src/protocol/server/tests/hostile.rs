//! Input that no honest client sends: nothing panics, memory stays bounded, nothing runs twice.

use proptest::prelude::*;

use super::*;

fn small() -> Limits {
    Limits {
        sessions_max: 4,
        unused_sessions_max: 2,
        slots_max: 3,
        calls_queued_max: 3,
        calls_running_max: 3,
        reply_bytes_stored_max: REPLY_BYTES_MAX,
        reply_bytes_durable_max: 64,
        lease: Duration::from_secs(6),
        deadline_max: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// One thing that a hostile world does.
#[derive(Clone, Debug)]
enum Deed {
    Hello { client: u64, life: u64, from: u32, nonce: u64, resume: bool },
    Call { kind: u8, session: usize, slot: u32, sequence: u64, life: u64, from: u32, late: bool },
    Begin { which: usize },
    Finish { which: usize, end: u8, bytes: usize },
    Pass { millis: u64 },
    Garbage(Vec<u8>),
    Drain,
}

fn deeds() -> impl Strategy<Value = Deed> {
    let hello = (1_u64..3, 1_u64..4, 0_u32..3, 1_u64..6, any::<bool>()).prop_map(
        |(client, life, from, nonce, resume)| Deed::Hello { client, life, from, nonce, resume },
    );
    let call = (0_u8..11, 0_usize..6, 0_u32..4, 0_u64..6, 1_u64..4, 0_u32..3, any::<bool>())
        .prop_map(|(kind, session, slot, sequence, life, from, late)| Deed::Call {
            kind,
            session,
            slot,
            sequence,
            life,
            from,
            late,
        });
    prop_oneof![
        40 => hello,
        240 => call,
        80 => (0_usize..4).prop_map(|which| Deed::Begin { which }),
        80 => (0_usize..4, 0_u8..6, 0_usize..200)
            .prop_map(|(which, end, bytes)| Deed::Finish { which, end, bytes }),
        40 => (0_u64..3000).prop_map(|millis| Deed::Pass { millis }),
        20 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Deed::Garbage),
        1 => Just(Deed::Drain),
    ]
}

fn host(address: Address) -> u32 {
    match address {
        Address::Virtual(host) => host,
        Address::Ip(_) | Address::Tcp(_) | Address::Local(_) | Address::VirtualStream(_) => {
            unreachable!("all of this is simulated")
        }
    }
}

/// A world that does deeds, and what it must not bring about.
struct Mob {
    bench: Bench,
    known: Vec<SessionId>,
    cookies: BTreeMap<(u64, u32), [u8; COOKIE_BYTES]>,
    begun: std::collections::BTreeSet<CallId>,
}

impl Mob {
    fn new() -> Self {
        Self {
            bench: Bench::empty(small()),
            known: vec![SessionId(7), SessionId(8)],
            cookies: BTreeMap::new(),
            begun: std::collections::BTreeSet::new(),
        }
    }

    fn send(&mut self, from: u32, envelope: &Envelope, pdu: &Pdu<'_>) {
        let mut came = Vec::new();
        encode(envelope, pdu, &mut came);
        let proved_before = self.bench.server.sessions.values().any(|session| {
            session.address == Address::Virtual(from) && (session.used || session.proved)
        });
        let all = self.bench.send_as(Address::Virtual(from), envelope, pdu);
        let mut strange_bytes = 0;
        for (to, header, said) in all {
            match said {
                Said::Welcome(_) => {
                    strange_bytes += HEADER_BYTES + Welcome::LEN;
                    if !self.known.contains(&header.session) {
                        self.known.push(header.session);
                    }
                }
                Said::Cookie(Cookie { cookie, .. }) => {
                    if let Pdu::Hello(hello) = pdu {
                        strange_bytes += HEADER_BYTES + Cookie::LEN;
                        self.cookies.insert((hello.nonce.0, from), cookie);
                    }
                }
                Said::Reject(_) => strange_bytes += HEADER_BYTES + Reject::LEN,
                Said::NoSession(_) => strange_bytes += HEADER_BYTES + NoSession::LEN,
                // To the life that made the call, where that was heard last.
                Said::Owner(_) => assert!(matches!(pdu, Pdu::Hello(_))),
                Said::Reply { .. }
                | Said::Refuse { .. }
                | Said::Working(_)
                | Said::Unseen(_)
                | Said::Sealed { .. }
                | Said::Goaway(_)
                | Said::Extend(_)
                | Said::Other(_) => {
                    assert_eq!(to, Address::Virtual(from), "answers go where the question was");
                }
            }
        }
        assert!(proved_before || strange_bytes <= came.len(), "amplified");
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Hello { client, life, from, nonce, resume } => {
                let cookie = self.cookies.get(&(nonce, from)).copied();
                let resume = if resume { *self.known.last().unwrap() } else { SessionId::NONE };
                let hello = Hello {
                    client: ClientId(client),
                    nonce: Nonce(nonce),
                    resume,
                    has_cookie: u8::from(cookie.is_some()),
                    cookie: cookie.unwrap_or_default(),
                    ..self.bench.hello()
                };
                let incarnation = Incarnation(life);
                let envelope = Envelope { incarnation, ..Envelope::default() };
                self.send(from, &envelope, &Pdu::Hello(hello));
            }
            Deed::Call { kind, session, slot, sequence, life, from, late } => {
                let live = self.bench.server.sessions.keys().nth(session).copied();
                let session = live.unwrap_or(self.known[session % self.known.len()]);
                // Most of what comes is almost right: that is where the states are.
                let known = self.bench.server.sessions.get(&session);
                let known = known.filter(|_| (sequence + life + u64::from(slot)) % 8 > 0);
                let (life, from) = match known {
                    Some(session) => (session.incarnation.0, host(session.address)),
                    None => (life, from),
                };
                self.call(kind, session, (slot, sequence), (life, from), late);
            }
            Deed::Begin { which } if !self.bench.queue.is_empty() => {
                let call = self.bench.queue.remove(which % self.bench.queue.len());
                if self.bench.server.begin(self.bench.now, call.ticket) == Begin::Run {
                    let is_first = self.begun.insert(call.ticket.call_id());
                    assert!(is_first || call.method == AGAIN, "a second execution began");
                    assert!(self.bench.now < call.not_after, "begun too late");
                    self.bench.running.push(call.ticket);
                }
                self.bench.server.recycle(call.arguments);
                self.bench.drain();
            }
            Deed::Finish { which, end, bytes } if !self.bench.running.is_empty() => {
                let ticket = self.bench.running.remove(which % self.bench.running.len());
                let end = match end {
                    0 => HandlerEnd::Panicked,
                    1 => HandlerEnd::Cancelled { partial: true },
                    2 => HandlerEnd::HandlerFailed,
                    3 => HandlerEnd::BadArguments,
                    _ => HandlerEnd::Returned,
                };
                self.bench.server.finish(self.bench.now, ticket, end, vec![b'x'; bytes]);
                self.bench.drain();
            }
            Deed::Begin { .. } | Deed::Finish { .. } => {}
            Deed::Pass { millis } => drop(self.bench.pass(Duration::from_millis(millis))),
            Deed::Garbage(bytes) => {
                self.bench.server.handle_datagram(self.bench.now, HOME, &bytes);
                let said = self.bench.said();
                assert_eq!(said, []);
            }
            Deed::Drain => {
                self.bench.server.drain(self.bench.now, Duration::from_secs(1));
                self.bench.drain();
            }
        }
    }

    fn call(
        &mut self,
        kind: u8,
        session: SessionId,
        (slot, sequence): (u32, u64),
        (life, from): (u64, u32),
        late: bool,
    ) {
        let (slot, sequence) = (SlotIndex(slot), Sequence(sequence));
        let not_after_us = if late { 0 } else { u64::MAX };
        let of = |bench: &Bench, method| Request {
            slot,
            not_after_us,
            ..bench.call_of(method, sequence.0)
        };
        let mut space = Space::Session;
        let pdu = match kind {
            0 | 1 => Pdu::Request(of(&self.bench, ONCE)),
            2 | 3 => Pdu::Request(of(&self.bench, AGAIN)),
            4 => {
                space = Space::Maybe;
                Pdu::Request(of(&self.bench, MAYBE))
            }
            5 => Pdu::Ping(Ping { slot, sequence, stamp: 1 }),
            6 => Pdu::Seal(Seal { slot, sequence, stamp: 1 }),
            7 => Pdu::Cancel(Cancel { slot, sequence, stamp: 1 }),
            8 => {
                let answer = if late { Answer::No } else { Answer::Yes };
                Pdu::Extend(Extend { slot, sequence, quantum: 1, answer, pad: [0; 3] })
            }
            9 => {
                let answer = if late { Answer::No } else { Answer::Yes };
                let known = self.bench.server.sessions.get(&session);
                let client = known.map_or(CLIENT, |session| session.client);
                let client_incarnation = known.map_or(LIFE, |session| session.incarnation);
                let announced = Incarnation(life);
                let pad = [0; 3];
                Pdu::Alive(Alive {
                    client,
                    client_incarnation,
                    announced,
                    session,
                    slot,
                    sequence,
                    answer,
                    pad,
                })
            }
            _ if late => Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }),
            _ => Pdu::Ack(Ack { slot, sequence, cumulative: 1, fragments: 1, bitmap: 0 }),
        };
        let incarnation = Incarnation(life);
        self.send(from, &Envelope { space, target: 0, session, incarnation }, &pdu);
    }

    /// What holds at every step.
    fn check(&self) {
        let (server, limits) = (&self.bench.server, small());
        assert!(server.sessions.len() <= limits.sessions_max);
        assert!(server.queued <= limits.calls_queued_max);
        assert_eq!(server.queued, self.bench.queue.len());
        assert_eq!(server.running, self.bench.running.len());
        assert!(server.stored_bytes <= limits.reply_bytes_stored_max);
        let (mut bytes, mut unused) = (0, 0);
        for session in server.sessions.values() {
            let slots = u32::try_from(session.slots.len()).unwrap();
            assert!(slots <= limits.slots_max);
            bytes += session.slots.values().map(|slot| slot.stored_bytes).sum::<usize>();
            unused += usize::from(!session.used);
        }
        assert_eq!(server.stored_bytes, bytes);
        assert_eq!(server.sessions_unused, unused);
        let of_clients: usize = server.clients.values().map(|known| known.sessions.len()).sum();
        assert_eq!(of_clients, server.sessions.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_nothing_runs_twice_and_everything_stays_bounded(
        deeds in proptest::collection::vec(deeds(), 1..150),
    ) {
        let mut mob = Mob::new();
        for client in 1..3 {
            mob.act(Deed::Hello { client, life: 1, from: 1, nonce: 9, resume: false });
        }
        for deed in deeds {
            mob.act(deed);
            mob.check();
        }
        // When all handlers have ended and all leases have run out, nothing is left.
        while !mob.bench.queue.is_empty() {
            mob.act(Deed::Begin { which: 0 });
        }
        while !mob.bench.running.is_empty() {
            mob.act(Deed::Finish { which: 0, end: 5, bytes: 1 });
        }
        mob.act(Deed::Pass { millis: 20_000 });
        mob.check();
        prop_assert_eq!(mob.bench.server.sessions(), 0);
        prop_assert_eq!(mob.bench.next_wake(), None);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_counted(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 1..20),
    ) {
        let mut bench = Bench::new();
        let count = u64::try_from(datagrams.len()).unwrap();
        for datagram in datagrams {
            bench.server.handle_datagram(bench.now, ELSEWHERE, &datagram);
            bench.drain();
        }
        prop_assert_eq!(bench.counters().malformed, count);
        prop_assert_eq!(bench.server.sessions(), 1);
    }

    #[test]
    fn damaged_pdus_of_a_live_session_change_nothing(at in 0_usize..200, bit in 0_u8..8) {
        let mut bench = Bench::prepared(Prepared::Done);
        let mut datagram = Vec::new();
        encode(&bench.envelope(), &Pdu::Request(bench.call(LAST + 1)), &mut datagram);
        let at = at % datagram.len();
        datagram[at] ^= 1 << bit;
        bench.server.handle_datagram(bench.now, HOME, &datagram);
        prop_assert_eq!(bench.said(), []);
        prop_assert!(bench.queue.is_empty());
        prop_assert_eq!(bench.counters().malformed, 1);
    }
}

#[test]
fn what_stands_before_the_damage_in_a_datagram_counts() {
    let mut bench = Bench::new();
    let mut datagram = Vec::new();
    let envelope = bench.envelope();
    for slot in 0..2 {
        let request = Request { slot: SlotIndex(slot), ..bench.call(1) };
        encode(&envelope, &Pdu::Request(request), &mut datagram);
    }
    datagram.extend_from_slice(b"rest");
    bench.server.handle_datagram(bench.now, HOME, &datagram);
    bench.drain();
    assert_eq!((bench.queue.len(), bench.counters().malformed), (2, 1));
}

#[test]
fn the_steady_state_reuses_its_buffers() {
    let mut bench = Bench::new();
    let mut places = std::collections::BTreeSet::new();
    for sequence in 1..40 {
        bench.request(sequence);
        if sequence >= 20 {
            places.insert(bench.queue[0].arguments.as_ptr());
        }
        bench.serve();
    }
    assert!(places.len() <= 4, "{} buffers for one call at a time", places.len());
}
