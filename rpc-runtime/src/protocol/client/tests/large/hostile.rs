//! Fragments that no honest peer sends: bounded, counted, and others are not disturbed.

use super::*;
use crate::protocol::fragment::{fragment_at, fragments_of};

/// A REQUEST of the pair's session, as its client would say it.
fn forged(pair: &Pair, slot: u32, sequence: u64, place: (u16, u16), arguments: &[u8]) -> Vec<u8> {
    forged_of(pair, (Semantics::AtMostOnce, Space::Session), (slot, sequence), place, arguments)
}

/// The same for a method and a space, which need not belong together.
fn forged_of(
    pair: &Pair,
    (semantics, space): (Semantics, Space),
    (slot, sequence): (u32, u64),
    place: (u16, u16),
    arguments: &[u8],
) -> Vec<u8> {
    let number = SEMANTICS.iter().position(|one| *one == semantics).unwrap() as u64;
    let request = Request {
        slot: SlotIndex(slot),
        sequence: Sequence(sequence),
        method: MethodFingerprint(100 + number),
        name: 10,
        digest: 5,
        remaining_us: 60_000_000,
        not_after_us: u64::MAX,
        fragment: place.0,
        fragments: place.1,
        transmission: 1,
        depth: 0,
        semantics,
        extensions: &[],
        arguments,
    };
    said(pair, space, &Pdu::Request(request))
}

/// A PDU as the pair's client would say it.
fn said(pair: &Pair, space: Space, pdu: &Pdu<'_>) -> Vec<u8> {
    let session = *pair.client.session().expect("a session is open");
    let mut bytes = Vec::new();
    encode(&pair.client.envelope(&session, space), pdu, &mut bytes);
    bytes
}

/// Into how many fragments messages of these lengths are cut, both ways.
fn cuts_of(lengths: [usize; 2]) -> impl Iterator<Item = u16> {
    let fragments = |bytes: usize, each_bytes| u16::try_from(bytes.div_ceil(each_bytes)).unwrap();
    let each = [ARGUMENT_BYTES_MAX, REPLY_BYTES_MAX];
    lengths.into_iter().flat_map(move |bytes| each.map(|each_bytes| fragments(bytes, each_bytes)))
}

/// ACKs that nobody has a reason for: of fragments that never left, of calls that are not there.
fn odd_acks() -> impl Iterator<Item = (Space, Ack)> {
    let spaces = [Space::Session, Space::Durable, Space::Maybe];
    let places = [(0, 1), (0, 2), (0, 900), (1, 1), (63, 7), (64, 1), (u32::MAX, u64::MAX)];
    let words = [(1, 0), (2, 1), (3, u64::MAX), (60, 1 << 63), (900, 0), (u16::MAX, u64::MAX)];
    spaces.into_iter().flat_map(move |space| {
        places.into_iter().flat_map(move |(slot, sequence)| {
            words.into_iter().flat_map(move |(cumulative, bitmap)| {
                let (slot, sequence) = (SlotIndex(slot), Sequence(sequence));
                let cuts = [0, u16::MAX].into_iter().chain(cuts_of([200_000, 50_000]));
                cuts.map(move |fragments| {
                    (space, Ack { slot, sequence, cumulative, fragments, bitmap })
                })
            })
        })
    })
}

/// What is acknowledged before it left is asked for again, by whoever has not got it; who lies about it
/// hurts its own call only.
#[test]
fn acks_of_the_future_and_from_nowhere_are_counted_and_disturb_no_server() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    let calls = [(Semantics::AtMostOnce, 200_000), (Semantics::ExactlyOnce, 50_000)];
    for (turn, (semantics, length)) in calls.into_iter().enumerate() {
        let arguments = bytes_of(length);
        pair.call(semantics, arguments.clone(), LONG);
        let mut lies = 0;
        while pair.client.outstanding() > 0 && pair.step(pair.now + LONG) {
            // While its reply is under way, and after.
            if pair.ran.len() > turn && lies < 3 {
                lies += 1;
                for (space, ack) in odd_acks().filter(|(_, ack)| ack.sequence != Sequence(1)) {
                    let datagram = said(&pair, space, &Pdu::Ack(ack));
                    pair.server.handle_datagram(pair.now, HERE, &datagram);
                }
                pair.drain();
            }
        }
        assert_eq!(lies, 3);
        pair.check_returned(&arguments);
    }
    // Of a reply that is under way.
    let key = pair.call(Semantics::AtMostOnce, bytes_of(200_000), Duration::from_secs(5));
    let place = pair.client.call_id(key).expect("it has left");
    let before = pair.ran.len();
    while pair.ran.len() == before {
        assert!(pair.step(pair.now + LONG));
    }
    for (_, ack) in odd_acks() {
        let ack = Ack { slot: place.slot, sequence: place.sequence, ..ack };
        let datagram = said(&pair, Space::Session, &Pdu::Ack(ack));
        pair.server.handle_datagram(pair.now, HERE, &datagram);
    }
    pair.drain();
    assert!(pair.server.counters().acks_ahead > 0);
    pair.settle();
    pair.ended.clear();
    pair.pass(Duration::from_secs(60));
    let arguments = bytes_of(100_000);
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.settle();
    pair.check_returned(&arguments);
    assert_eq!(pair.ran.len(), 4, "none ran twice");
}

#[test]
fn acks_of_the_future_and_from_nowhere_are_counted_and_disturb_no_client() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, vec![1], LONG);
    pair.settle();
    pair.ended.clear();
    let session = *pair.client.session().expect("a session is open");
    let target = pair.client.incarnation().tag();
    let from_server = |space, ack: Ack| {
        let (session, incarnation) = (session.id, LIFE_OF_SERVER);
        let mut bytes = Vec::new();
        encode(&Envelope { space, target, session, incarnation }, &Pdu::Ack(ack), &mut bytes);
        bytes
    };
    let arguments = bytes_of(200_000);
    let key = pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    let place = pair.client.call_id(key).expect("it has left");
    let is_its = |ack: &Ack| (ack.slot, ack.sequence) == (place.slot, place.sequence);
    while pair.client.outstanding() > 0 && pair.step(pair.now + LONG) {
        for (space, ack) in odd_acks().filter(|(_, ack)| !is_its(ack)) {
            pair.client.handle_datagram(pair.now, THERE, &from_server(space, ack));
        }
        pair.drain();
    }
    pair.check_returned(&arguments);
    // A server that lies about a call keeps that one from ending well, and no other.
    let key = pair.call(Semantics::AtMostOnce, arguments.clone(), Duration::from_secs(5));
    let place = pair.client.call_id(key).expect("it has left");
    for (_, ack) in odd_acks() {
        let ack = Ack { slot: place.slot, sequence: place.sequence, ..ack };
        pair.client.handle_datagram(pair.now, THERE, &from_server(Space::Session, ack));
    }
    pair.drain();
    assert!(pair.client.counters().acks_ahead > 0);
    pair.settle();
    pair.ended.clear();
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.settle();
    pair.check_returned(&arguments);
}

#[test]
fn first_fragments_in_the_spaces_of_durable_and_of_maybe_calls_are_bounded_and_disturb_nobody() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    for semantics in [Semantics::ExactlyOnce, Semantics::AtMostOnce] {
        pair.call(semantics, vec![1], LONG);
        pair.settle();
    }
    let (part, mut out) = (bytes_of(ARGUMENT_BYTES_MAX), Vec::new());
    for space in [Space::Durable, Space::Maybe, Space::Session] {
        for number in 0..60_000_u64 {
            // Methods that belong there, and others.
            let semantics = SEMANTICS[usize::try_from(number % 4).unwrap()];
            let place = (10 + u32::try_from(number % 500).unwrap(), 1 + number / 500);
            let count = u16::try_from(2 + number % 14_000).unwrap();
            let fragment = u16::try_from(number % 70).unwrap().min(count - 1);
            let datagram = forged_of(&pair, (semantics, space), place, (fragment, count), &part);
            pair.server.handle_datagram(pair.now, HERE, &datagram);
            while let Output::Event(_) | Output::Transmit { .. } =
                pair.server.poll_output(pair.now, &mut out)
            {}
            let limit = Limits::default().reassembly_bytes_session_max;
            assert!(pair.server.reassembly_bytes() <= limit, "{space:?}");
        }
        pair.ended.clear();
        for semantics in [Semantics::ExactlyOnce, Semantics::AtMostOnce] {
            let arguments = bytes_of(1_000);
            pair.call(semantics, arguments.clone(), LONG);
            pair.settle();
            pair.check_returned(&arguments);
        }
    }
    pair.pass(Duration::from_secs(20));
    assert_eq!(pair.server.reassembly_bytes(), 0, "there is room again");
    for semantics in [Semantics::ExactlyOnce, Semantics::AtMostOnce] {
        let arguments = bytes_of(50_000);
        pair.call(semantics, arguments.clone(), LONG);
        pair.settle();
        pair.check_returned(&arguments);
    }
}

#[test]
fn a_million_first_fragments_and_false_counts_cost_bounded_memory_and_disturb_nobody() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, vec![1], LONG);
    pair.settle();
    pair.ended.clear();
    let part = bytes_of(ARGUMENT_BYTES_MAX);
    let mut out = Vec::new();
    for number in 0..1_000_000_u64 {
        let slot = 10 + u32::try_from(number % 1_000).unwrap();
        let count = u16::try_from(2 + number % 14_000).unwrap();
        let place = (u16::try_from(number % 70).unwrap().min(count - 1), count);
        let datagram = forged(&pair, slot, 1 + number / 1_000, place, &part);
        pair.server.handle_datagram(pair.now, HERE, &datagram);
        while let Output::Event(_) | Output::Transmit { .. } =
            pair.server.poll_output(pair.now, &mut out)
        {}
    }
    let limits = Limits::default();
    assert!(pair.server.reassembly_bytes() <= limits.reassembly_bytes_session_max);
    // What is too long for any message is refused for good.
    let datagram = forged(&pair, 9, 1, (0, 60_000), &part);
    pair.server.handle_datagram(pair.now, HERE, &datagram);
    assert_eq!(pair.server.counters().refused, 1);
    let arguments = bytes_of(1_000);
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.settle();
    pair.check_returned(&arguments);
    // When they are over there is room again.
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.server.reassembly_bytes(), 0);
    let arguments = bytes_of(100_000);
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.settle();
    pair.check_returned(&arguments);
}

/// A call that is sealed while it waits for a worker is over; its arguments are there until a worker
/// looks at it.
#[test]
fn arguments_of_calls_that_were_sealed_in_the_queue_are_counted_until_a_worker_drops_them() {
    for semantics in [Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce] {
        let limits = Limits {
            message_bytes_max: 1 << 20,
            reassembly_bytes_session_max: 2 << 20,
            reassembly_bytes_max: 8 << 20,
            ..Limits::default()
        };
        let mut pair = Pair::with(limits, (0, 0, 0));
        pair.is_busy = true;
        for _ in 0..12 {
            let key = pair.call(semantics, bytes_of(1_000_000), Duration::from_secs(2));
            pair.pass(Duration::from_secs(1));
            pair.client.cancel(pair.now, key);
            pair.drain();
            pair.pass(Duration::from_secs(2));
            let kept_bytes = pair.queued.len() * 1_000_000;
            assert!(kept_bytes <= 8 << 20, "{semantics:?}");
            assert!(pair.server.reassembly_bytes() >= kept_bytes, "{semantics:?}");
        }
        let overload = |(_, outcome): &(CallKey, Outcome)| {
            matches!(outcome, Outcome::Refused { reason: RefuseReason::Overload, .. })
        };
        assert!(pair.ended.iter().any(overload), "{semantics:?}");
        for call in std::mem::take(&mut pair.queued) {
            assert_eq!(pair.server.begin(pair.now, call.ticket), Begin::Not);
        }
        assert_eq!(pair.server.reassembly_bytes(), 0, "{semantics:?}");
    }
}

#[test]
fn half_of_an_older_call_never_becomes_part_of_a_later_one() {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, vec![1], LONG);
    pair.settle();
    pair.ran.clear();
    let (old, new) = (vec![1; 3_000], vec![2; 3_000]);
    let say = |pair: &mut Pair, sequence, fragment| {
        let whole = if sequence == 1 { &old } else { &new };
        let count = fragments_of(3_000, ARGUMENT_BYTES_MAX);
        let part = fragment_at(whole, fragment, ARGUMENT_BYTES_MAX);
        let datagram = forged(pair, 7, sequence, (fragment, count), part);
        pair.server.handle_datagram(pair.now, HERE, &datagram);
        pair.drain();
    };
    for (sequence, fragment) in [(1, 0), (1, 1), (2, 0), (1, 2), (2, 2), (1, 1), (2, 1), (1, 0)] {
        say(&mut pair, sequence, fragment);
    }
    assert!(pair.ran == [new.clone()], "the later one, whole, and nothing else");
}

#[test]
fn a_large_call_in_a_busy_slot_waits_and_the_older_one_is_called_off() {
    let limits = Limits { slots_max: 1, ..Limits::default() };
    let mut pair = Pair::with(limits, (0, 0, 0));
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, vec![1], Duration::from_millis(100));
    pair.pass(Duration::from_millis(200));
    let arguments = bytes_of(20_000);
    pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.pass(Duration::from_millis(500));
    assert_eq!(pair.server.counters().cancelled, 1);
    pair.holds = false;
    pair.finish();
    pair.drain();
    pair.settle();
    pair.check_returned(&arguments);
}
