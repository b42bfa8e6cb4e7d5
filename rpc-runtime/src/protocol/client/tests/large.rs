//! Large messages between both machines, over a network that loses, doubles, reorders and damages.

use super::*;
use crate::ids::GenerationId;
use crate::protocol::limits::{ARGUMENT_BYTES_MAX, MAYBE_BYTES_MAX, REPLY_BYTES_MAX};
use crate::protocol::{
    AckProtocol, Begin, DurableTable, Execute, HandlerEnd, MethodEntry, OrphanPolicy, Server,
    ServerEvent, ServerIdentity, Ticket,
};

mod hostile;
mod sizes;
mod probes;
mod recorded;

const SEMANTICS: [Semantics; 4] =
    [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];
const HERE: Address = Address::Virtual(9);
const TRIP_US: u64 = 4_000;

/// Both machines. A handler returns its arguments, reversed, at once, unless it is told to wait.
struct Pair {
    now: Instant,
    /// Where the client is, and where the server.
    addresses: (Address, Address),
    /// How much longer than usual a datagram takes.
    slower: Duration,
    client: Client,
    server: Server,
    /// Arrival, whether to the server, bytes; in the order in which they were said.
    network: Vec<(Instant, bool, Vec<u8>)>,
    /// Of a hundred: lost, doubled, damaged.
    faults: (u64, u64, u64),
    random: u64,
    /// Decides about each datagram before the faults do.
    passes: fn(bool, &Pdu<'_>) -> bool,
    /// The longest datagram that either says, and those that come to the client, and the server.
    longest: usize,
    carries: [usize; 2],
    holds: bool,
    held: Vec<(Ticket, Vec<u8>)>,
    /// Whether all workers are busy, and what waits for them then.
    is_busy: bool,
    queued: Vec<Execute>,
    /// What the client wants written down, if it keeps a journal.
    records: Option<Vec<(CallKey, CallId, Record)>>,
    ran: Vec<Vec<u8>>,
    ended: Vec<(CallKey, Outcome)>,
    server_wakes: Option<Instant>,
}

impl Pair {
    fn new(ack: AckProtocol, faults: (u64, u64, u64)) -> Self {
        Self::with(Limits { ack, ..Limits::default() }, faults)
    }

    fn with(limits: Limits, faults: (u64, u64, u64)) -> Self {
        Self::between((HERE, THERE), limits, faults)
    }

    /// As [`Pair::new`], over a stream that loses nothing.
    fn by_stream() -> Self {
        let ends = (Address::VirtualStream(9), Address::VirtualStream(1));
        let longest = FRAME_BYTES_MAX;
        Self { longest, ..Self::between(ends, Limits::default(), (0, 0, 0)) }
    }

    fn between(addresses: (Address, Address), limits: Limits, faults: (u64, u64, u64)) -> Self {
        let entry = |(number, semantics): (u64, Semantics)| MethodEntry {
            fingerprint: MethodFingerprint(100 + number),
            name: 10,
            semantics,
            reply_bytes_max: limits.reply_bytes_max,
            orphans: OrphanPolicy::default(),
            ack: None,
        };
        let methods = (0..).zip(SEMANTICS).map(entry).collect();
        let identity = ServerIdentity { id: SERVER, incarnation: LIFE_OF_SERVER };
        let mut server = Server::new(identity, limits.clone(), methods, Box::new(Counting(1)));
        server.enable_durable();
        let now = Instant::from_micros(1_000_000);
        let server_at = Target { address: addresses.1, ..ANYBODY };
        let client = Client::new(ME, server_at, limits, Box::new(Counting(2)), now);
        Self {
            now,
            addresses,
            slower: Duration::ZERO,
            client,
            server,
            network: Vec::new(),
            faults,
            random: 77,
            passes: |_, _| true,
            longest: DATAGRAM_BYTES_MAX,
            carries: [usize::MAX; 2],
            holds: false,
            held: Vec::new(),
            is_busy: false,
            queued: Vec::new(),
            records: None,
            ran: Vec::new(),
            ended: Vec::new(),
            server_wakes: None,
        }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }

    fn call(&mut self, semantics: Semantics, arguments: Vec<u8>, patience: Duration) -> CallKey {
        let number = SEMANTICS.iter().position(|one| *one == semantics).unwrap() as u64;
        let spec = CallSpec {
            method: MethodFingerprint(100 + number),
            name: 10,
            semantics,
            deadline: self.now + patience,
            depth: 0,
            recorded: self.records.is_some(),
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        let key = self.client.start(self.now, spec, arguments);
        self.drain();
        key
    }

    fn say(&mut self, to_server: bool, bytes: &[u8]) {
        let (_, pdu, _) = decode(bytes).expect("both say what is whole");
        assert!(bytes.len() <= self.longest);
        if !(self.passes)(to_server, &pdu) || bytes.len() > self.carries[usize::from(to_server)] {
            return;
        }
        let (lost, doubled, damaged) = self.faults;
        for _ in 0..=u64::from(self.draw(100) < doubled) {
            let mut bytes = bytes.to_vec();
            if self.draw(100) < damaged {
                let place = usize::try_from(self.draw(bytes.len() as u64)).unwrap();
                bytes[place] ^= 1 << self.draw(8);
            }
            if self.draw(100) >= lost {
                let late = if lost > 0 { self.draw(TRIP_US) } else { 0 };
                let arrives = self.now + self.slower + Duration::from_micros(TRIP_US / 2 + late);
                self.network.push((arrives, to_server, bytes));
            }
        }
    }

    fn drain(&mut self) {
        let mut bytes = Vec::new();
        loop {
            match self.client.poll_output(self.now, &mut bytes) {
                Output::Event(ClientEvent::Ended(ended)) => {
                    self.ended.push((ended.key, ended.outcome));
                }
                Output::Event(ClientEvent::Record { key, call, record }) => {
                    self.records.as_mut().expect("a journal").push((key, call, *record));
                }
                Output::Event(ClientEvent::WantGeneration { .. }) => {
                    self.client.generation_found(self.now, None);
                }
                Output::Transmit { .. } => self.say(true, &bytes),
                Output::Wait { .. } => break,
            }
        }
        loop {
            match self.server.poll_output(self.now, &mut bytes) {
                Output::Event(ServerEvent::Execute(call)) if self.is_busy => {
                    self.queued.push(*call);
                }
                Output::Event(ServerEvent::Execute(call)) => {
                    if self.server.begin(self.now, call.ticket) == Begin::Run {
                        self.ran.push(call.arguments.clone());
                        let reply: Vec<u8> = call.arguments.iter().rev().copied().collect();
                        self.held.push((call.ticket, reply));
                    }
                    self.server.recycle(call.arguments);
                    if !self.holds {
                        self.finish();
                    }
                }
                Output::Event(ServerEvent::OpenGeneration { key, .. }) => {
                    let table = DurableTable { generation: GenerationId(7), rows: Vec::new() };
                    self.server.generation_opened(self.now, key, Some(table));
                }
                Output::Event(_) => {}
                Output::Transmit { to } => {
                    assert_eq!(to, self.addresses.0);
                    self.say(false, &bytes);
                }
                Output::Wait { until, .. } => {
                    self.server_wakes = until;
                    return;
                }
            }
        }
    }

    fn finish(&mut self) {
        for (ticket, reply) in std::mem::take(&mut self.held) {
            self.server.finish(self.now, ticket, HandlerEnd::Returned, reply);
        }
    }

    /// One step: the next datagram arrives, or a timer is due. Whether there was one before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let first = (0..self.network.len()).min_by_key(|&place| (self.network[place].0, place));
        let arrives = first.map(|place| self.network[place].0);
        let wakes = [self.client.next_wake(), self.server_wakes, arrives];
        let Some(next) = wakes.into_iter().flatten().min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if let Some(place) = first.filter(|_| arrives == Some(next)) {
            let (_, to_server, bytes) = self.network.remove(place);
            if to_server {
                self.server.handle_datagram(self.now, self.addresses.0, &bytes);
            } else {
                self.client.handle_datagram(self.now, self.addresses.1, &bytes);
            }
        } else {
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        self.drain();
        true
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Until all calls have ended.
    fn settle(&mut self) {
        let end = self.now + Duration::from_secs(1_000);
        while self.client.outstanding() > 0 {
            assert!(self.step(end), "a call does not end");
        }
    }

    fn check_returned(&mut self, arguments: &[u8]) {
        let (_, outcome) = self.ended.pop().expect("it has ended");
        let Outcome::Returned(mut body) = outcome else { panic!("{outcome:?}") };
        body.reverse();
        assert!(body == arguments, "{} bytes came back changed", arguments.len());
    }
}

fn bytes_of(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from((place * 31 + place / 251) % 253).unwrap()).collect()
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn messages_of_every_length_come_back_byte_for_byte_from_a_quiet_network() {
    let lengths = [0, 1, ARGUMENT_BYTES_MAX, ARGUMENT_BYTES_MAX + 1, REPLY_BYTES_MAX + 1, 60_000];
    for ack in [AckProtocol::Blast, AckProtocol::StopAndWait] {
        for semantics in &SEMANTICS[1..] {
            let mut pair = Pair::new(ack, (0, 0, 0));
            for length in lengths {
                let arguments = bytes_of(length);
                pair.call(*semantics, arguments.clone(), LONG);
                pair.settle();
                pair.check_returned(&arguments);
            }
            assert_eq!(pair.ran.len(), lengths.len(), "{semantics:?}: each once");
            let (client, server) = (pair.client.counters(), pair.server.counters());
            let resent = (client.fragments_resent, server.fragments_resent);
            let dropped = (client.fragments_dropped, server.fragments_dropped);
            assert_eq!((resent, dropped), ((0, 0), (0, 0)), "{ack:?}, {semantics:?}");
            pair.pass(Duration::from_secs(20));
            assert_eq!(pair.server.reassembly_bytes(), 0);
            assert_eq!(pair.server.stored_bytes(), 0, "all is acknowledged");
        }
    }
}

#[test]
fn a_mebibyte_and_the_longest_message_come_back() {
    for length in [1 << 20, 16 << 20] {
        let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
        let arguments = bytes_of(length);
        pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
        pair.settle();
        pair.check_returned(&arguments);
    }
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, vec![0; (16 << 20) + 1], LONG);
    assert_eq!(pair.ended.pop().unwrap().1, Outcome::NotSent(NotSentCause::TooLarge));
}

#[test]
fn messages_come_back_byte_for_byte_whatever_the_network_does() {
    for (seed, ack) in (0..12).zip([AckProtocol::Blast, AckProtocol::StopAndWait].iter().cycle()) {
        for semantics in &SEMANTICS[1..] {
            let mut pair = Pair::new(*ack, (20, 10, 5));
            pair.random = seed;
            let lengths: Vec<usize> =
                (0..6).map(|_| usize::try_from(pair.draw(60_000)).unwrap() + 1).collect();
            for &length in &lengths {
                let arguments = bytes_of(length);
                pair.call(*semantics, arguments.clone(), LONG);
                pair.settle();
                pair.check_returned(&arguments);
            }
            let once = *semantics != Semantics::AtLeastOnce;
            assert!(!once || pair.ran.len() == lengths.len(), "seed {seed}: ran twice");
            for (ran, length) in pair.ran.iter().zip(&lengths).filter(|_| once) {
                assert!(*ran == bytes_of(*length), "seed {seed}: changed on the way");
            }
        }
    }
}

#[test]
fn a_mebibyte_crosses_a_network_that_loses_a_fifth() {
    let mut pair = Pair::new(AckProtocol::Blast, (20, 10, 2));
    let arguments = bytes_of(1 << 20);
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.settle();
    pair.check_returned(&arguments);
    assert_eq!(pair.ran.len(), 1);
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let mut pair = Pair::new(AckProtocol::Blast, (10, 5, 2));
    let mut wanted = BTreeMap::new();
    for number in 0..40_usize {
        let mut arguments = bytes_of(number * 777 + 1);
        arguments[0] = u8::try_from(number).unwrap();
        let semantics = SEMANTICS[1 + number % 3];
        wanted.insert(pair.call(semantics, arguments.clone(), LONG), arguments);
    }
    pair.settle();
    for (key, outcome) in pair.ended {
        let Outcome::Returned(mut body) = outcome else { panic!("{outcome:?}") };
        body.reverse();
        assert!(wanted.remove(&key).unwrap() == body);
    }
    assert!(wanted.is_empty());
}

#[test]
fn a_maybe_call_that_loses_a_fragment_is_lost_and_one_that_loses_none_runs_once() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 30, 0));
    pair.call(Semantics::AtMostOnce, vec![1], LONG);
    pair.settle();
    pair.ran.clear();
    let arguments = bytes_of(MAYBE_BYTES_MAX);
    pair.call(Semantics::Maybe, arguments.clone(), LONG);
    pair.pass(Duration::from_secs(1));
    assert!(pair.ran == [arguments.clone()]);
    pair.passes = |_, pdu| !matches!(pdu, Pdu::Request(request) if request.fragment == 33);
    pair.call(Semantics::Maybe, arguments, LONG);
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.ran.len(), 1);
    assert!(pair.server.reassembly_bytes() > 0);
    pair.pass(Duration::from_secs(5));
    assert_eq!(pair.server.reassembly_bytes(), 0, "dropped when nothing more came");
    assert_eq!(pair.server.counters().messages_dropped, 1);
    let key = pair.call(Semantics::Maybe, vec![0; MAYBE_BYTES_MAX + 1], LONG);
    let (_, outcome) = pair.ended.iter().find(|(ended, _)| *ended == key).unwrap();
    assert_eq!(*outcome, Outcome::NotSent(NotSentCause::TooLarge));
}

#[test]
fn a_call_given_up_half_way_is_sealed_and_never_runs() {
    for semantics in &SEMANTICS[1..] {
        let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
        pair.passes = |_, pdu| !matches!(pdu, Pdu::Request(request) if request.fragment == 5);
        let key = pair.call(*semantics, bytes_of(20_000), Duration::from_millis(300));
        pair.pass(Duration::from_millis(250));
        assert!(pair.server.reassembly_bytes() > 0);
        let call = pair.client.call_id(key).unwrap();
        pair.pass(Duration::from_millis(100));
        assert_eq!(pair.ended.pop().unwrap().1, Outcome::InDoubt(DoubtCause::NoReply));
        assert_eq!(pair.server.reassembly_bytes(), 0, "SEAL frees it");
        pair.passes = |_, _| true;
        pair.client.resolve(pair.now, call, pair.now + LONG);
        pair.drain();
        pair.settle();
        assert_eq!(pair.ended.pop().unwrap().1, Outcome::Sealed, "{semantics:?}");
        assert!(pair.ran.is_empty());
    }
}

#[test]
fn a_reply_that_was_not_waited_for_is_told_to_who_asks() {
    let mut pair = Pair::new(AckProtocol::Blast, (5, 5, 0));
    pair.holds = true;
    let arguments = bytes_of(30_000);
    let key = pair.call(Semantics::AtMostOnce, arguments.clone(), Duration::from_millis(500));
    pair.pass(Duration::from_millis(400));
    let call = pair.client.call_id(key).unwrap();
    pair.pass(Duration::from_millis(200));
    assert_eq!(pair.ended.pop().unwrap().1, Outcome::InDoubt(DoubtCause::NoReply));
    pair.finish();
    pair.drain();
    pair.pass(Duration::from_secs(5));
    pair.client.resolve(pair.now, call, pair.now + LONG);
    pair.drain();
    pair.settle();
    pair.check_returned(&arguments);
}

#[test]
fn a_reply_that_was_half_there_at_the_deadline_is_told_from_its_beginning_to_who_asks() {
    for ack in [AckProtocol::Blast, AckProtocol::StopAndWait] {
        for semantics in [Semantics::AtMostOnce, Semantics::ExactlyOnce] {
            let limits = Limits { ack, reply_bytes_durable_max: 300_000, ..Limits::default() };
            let mut pair = Pair::with(limits, (0, 0, 0));
            pair.passes = |_, pdu| !matches!(pdu, Pdu::Reply(reply) if reply.fragment == 120);
            let arguments = bytes_of(200_000);
            let key = pair.call(semantics, arguments.clone(), Duration::from_secs(3));
            pair.pass(Duration::from_secs(2));
            let call = pair.client.call_id(key).unwrap();
            pair.pass(Duration::from_millis(1_100));
            assert_eq!(pair.ended.pop().unwrap().1, Outcome::InDoubt(DoubtCause::NoReply));
            pair.passes = |_, _| true;
            pair.client.resolve(pair.now, call, pair.now + Duration::from_secs(9));
            pair.drain();
            pair.settle();
            pair.check_returned(&arguments);
            assert_eq!(pair.ran.len(), 1);
        }
    }
}

#[test]
fn one_fragment_of_a_reply_leaves_before_the_client_is_heard() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, bytes_of(1_100), LONG);
    pair.pass(Duration::from_millis(20));
    pair.passes = |to_server, pdu| !(to_server && matches!(pdu, Pdu::Ack(_)));
    for (_, reply) in &mut pair.held {
        *reply = vec![7; 100_000];
    }
    pair.finish();
    pair.drain();
    pair.pass(Duration::from_millis(150));
    let counters = pair.server.counters();
    assert_eq!(counters.fragments_out - counters.fragments_resent, 1);
    pair.passes = |_, _| true;
    pair.settle();
    assert_eq!(pair.ended.pop().unwrap().1, Outcome::Returned(vec![7; 100_000]));
}

#[test]
fn a_client_that_acknowledges_nothing_is_sent_a_few_fragments_and_no_more() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, bytes_of(10), Duration::from_secs(2));
    pair.pass(Duration::from_millis(20));
    for (_, reply) in &mut pair.held {
        *reply = vec![7; 100_000];
    }
    pair.passes = |to_server, _| !to_server;
    pair.finish();
    pair.drain();
    pair.pass(Duration::from_secs(25));
    let sent = pair.server.counters().fragments_out;
    assert!(sent <= 8, "{sent}");
    assert!(pair.server.stored_bytes() >= 100_000, "it may still be asked for");
    pair.pass(Duration::from_secs(40));
    assert_eq!(pair.server.counters().fragments_out, sent);
    assert_eq!((pair.server.stored_bytes(), pair.server.sessions()), (0, 0), "its lease is over");
}

/// The campaign's seed 84209: what waited for room on the way was sent on and on when there was some,
/// though the server had stopped to send it.
#[test]
fn a_reply_that_waits_for_room_is_not_sent_for_ever_to_who_acknowledges_nothing() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, bytes_of(100_000), Duration::from_secs(2));
    pair.settle();
    let before = pair.server.counters().fragments_out;
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, bytes_of(10), Duration::from_secs(2));
    pair.pass(Duration::from_millis(20));
    for (_, reply) in &mut pair.held {
        *reply = vec![7; 100_000];
    }
    pair.passes = |to_server, _| !to_server;
    pair.finish();
    pair.drain();
    pair.pass(Duration::from_secs(8));
    let sent = pair.server.counters().fragments_out - before;
    assert!((2..80).contains(&sent), "{sent}");
    pair.pass(Duration::from_secs(17));
    assert_eq!(pair.server.counters().fragments_out - before, sent);
}

#[test]
fn a_large_message_goes_on_where_it_was_when_the_way_broke() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, vec![1], LONG);
    pair.settle();
    pair.ended.clear();
    let arguments = bytes_of(500_000);
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    for _ in 0..3 {
        pair.pass(Duration::from_millis(10));
        pair.network.clear();
        pair.client.handle_break(pair.now);
        pair.drain();
    }
    pair.settle();
    pair.check_returned(&arguments);
    assert_eq!(pair.ran.len(), 2);
    let resent = pair.client.counters().fragments_resent;
    assert!(resent <= 3 * 64, "no more than was under way: {resent}");
}

#[test]
fn replies_that_find_no_room_are_too_large_and_the_others_stay() {
    let limits = Limits { reply_bytes_stored_max: 300_000, ..Limits::default() };
    let mut pair = Pair::with(limits, (0, 0, 0));
    pair.holds = true;
    for _ in 0..3 {
        pair.call(Semantics::AtMostOnce, bytes_of(10), LONG);
    }
    pair.pass(Duration::from_millis(20));
    for (_, reply) in &mut pair.held {
        *reply = vec![7; 70_000];
    }
    pair.finish();
    assert!(pair.server.stored_bytes() <= 300_000);
    pair.drain();
    pair.settle();
    let fit = |(_, outcome): &&(CallKey, Outcome)| matches!(outcome, Outcome::Returned(_));
    assert_eq!(pair.ended.iter().filter(fit).count(), 2);
    let status = ReplyStatus::TooLarge;
    let large = |(_, outcome): &&(CallKey, Outcome)| matches!(outcome, Outcome::Failed { status: own, .. } if *own == status);
    assert_eq!(pair.ended.iter().filter(large).count(), 1);
}

#[test]
fn who_needs_all_the_room_of_a_stream_finds_it_where_others_begin_all_the_time() {
    const OTHERS: usize = 12;
    let mut pair = Pair::by_stream();
    let mut began = 0;
    let mut large = None;
    loop {
        while began < OTHERS + pair.ended.len() {
            pair.call(Semantics::AtMostOnce, bytes_of(100_000), LONG);
            began += 1;
        }
        let key = *large
            .get_or_insert_with(|| pair.call(Semantics::AtMostOnce, bytes_of(1_500_000), LONG));
        if pair.ended.iter().any(|(ended, _)| *ended == key) {
            break;
        }
        assert!(pair.ended.len() < 8 * OTHERS, "the others leave it no room");
        let end = pair.now + LONG;
        assert!(pair.step(end));
    }
    assert!(pair.ended.iter().all(|(_, outcome)| matches!(outcome, Outcome::Returned(_))));
}
