//! Paths that carry longer datagrams, or do so no longer, and peers that say so without reason.

use super::*;
use crate::protocol::path::{LONGEST_DATAGRAM_BYTES, PROBED_BYTES};
use crate::wire::{Probe, Probed};

impl Pair {
    /// Whose links carry any datagram.
    fn with_long_datagrams(ack: AckProtocol, faults: (u64, u64, u64)) -> Self {
        let mut pair = Self::new(ack, faults);
        pair.client.link_carries(65_507);
        pair.server.link_carries(65_507);
        pair.longest = LONGEST_DATAGRAM_BYTES;
        pair
    }

    /// A large call, all the way; what it took of fragments, there and back.
    fn large(&mut self, length: usize) -> [u64; 2] {
        let before = [self.client.counters().fragments_out, self.server.counters().fragments_out];
        let arguments = bytes_of(length);
        self.call(Semantics::AtMostOnce, arguments.clone(), LONG);
        self.settle();
        self.check_returned(&arguments);
        let after = [self.client.counters().fragments_out, self.server.counters().fragments_out];
        [after[0] - before[0], after[1] - before[1]]
    }

    /// A pair that has found the longest datagrams to come through.
    fn found(ack: AckProtocol) -> Self {
        let mut pair = Self::with_long_datagrams(ack, (0, 0, 0));
        pair.large(200_000);
        pair.pass(Duration::from_secs(1));
        assert_eq!(pair.large(200_000), [4, 4]);
        pair
    }

    fn probe(&mut self, bytes: u32, carried: u32, token: u64) -> Vec<Probed> {
        let session = *self.client.session().expect("a session is open");
        let mut datagram = Vec::new();
        let probe = Pdu::Probe(Probe { stamp: 5, bytes, carried, token });
        encode(&self.client.envelope(&session, Space::Session), &probe, &mut datagram);
        self.server.handle_datagram(self.now, HERE, &datagram);
        let mut said = Vec::new();
        while let Output::Transmit { to } = self.server.poll_output(self.now, &mut datagram) {
            assert_eq!(to, HERE);
            let Ok((_, Pdu::Probed(probed), [])) = decode(&datagram) else { continue };
            assert_eq!(datagram.len(), usize::try_from(probed.bytes).unwrap());
            said.push(probed);
        }
        said
    }
}

#[test]
fn each_message_takes_the_longest_datagrams_that_came_back() {
    for (carries, fragments) in [(1_300, 176), (1_452, 147), (8_960, 23), (65_507, 4)] {
        for ack in [AckProtocol::Blast, AckProtocol::StopAndWait] {
            let mut pair = Pair::with_long_datagrams(ack, (0, 0, 0));
            pair.carries = [carries; 2];
            assert_eq!(pair.large(200_000)[0], 176, "a message keeps the length it began with");
            pair.pass(Duration::from_secs(1));
            let [there, back] = pair.large(200_000);
            assert_eq!(there, fragments, "{carries}, {ack:?}");
            assert!((fragments - 4..=fragments).contains(&back), "{carries}, {ack:?}: {back}");
            assert_eq!(pair.client.counters().black_holes, 0);
        }
    }
}

#[test]
fn messages_come_back_byte_for_byte_whatever_the_path_carries_meanwhile() {
    for seed in 0..60 {
        let ack = if seed % 3 == 0 { AckProtocol::StopAndWait } else { AckProtocol::Blast };
        let faults = if seed % 2 == 0 { (0, 0, 0) } else { (10, 10, 3) };
        let mut pair = Pair::with_long_datagrams(ack, faults);
        pair.random = seed;
        let mut ran = Vec::new();
        for _ in 0..8 {
            let semantics = SEMANTICS[1 + usize::try_from(pair.draw(3)).unwrap()];
            let arguments = bytes_of(usize::try_from(pair.draw(60_000)).unwrap() + 1);
            pair.call(semantics, arguments.clone(), LONG);
            while pair.client.outstanding() > 0 {
                let end = pair.now + Duration::from_micros(1 + pair.draw(400_000));
                while pair.client.outstanding() > 0 && pair.step(end) {}
                if pair.draw(3) == 0 {
                    let most = [1_232, 1_300, 1_452, 9_000, 65_507];
                    pair.carries = [0, 1].map(|_| most[usize::try_from(pair.draw(5)).unwrap()]);
                }
            }
            pair.check_returned(&arguments);
            if semantics != Semantics::AtLeastOnce {
                ran.push(arguments);
            }
            pair.pass(Duration::from_secs(pair.random % 90));
        }
        for arguments in ran {
            let times = pair.ran.iter().filter(|ran| **ran == arguments).count();
            assert_eq!(times, 1, "seed {seed}");
        }
    }
}

#[test]
fn nothing_is_believed_of_the_path_but_what_came_back() {
    let mut pair = Pair::with_long_datagrams(AckProtocol::Blast, (0, 0, 0));
    pair.call(Semantics::AtMostOnce, vec![1], LONG);
    pair.settle();
    pair.ended.clear();
    let told = pair.server.counters().sizes_told;
    let answers = pair.probe(8_952, 0, 0);
    let [Probed { stamp: 5, bytes: 8_952, carried: 0, token }] = answers[..] else {
        panic!("{answers:?}");
    };
    // Another token, the token of another length, and lengths out of bounds.
    for (carried, token) in [(8_952, token ^ 1), (65_488, token), (1_000, token), (u32::MAX, 0)] {
        let answers = pair.probe(56, carried, token);
        assert!(matches!(answers[..], [Probed { bytes: 56, carried: 0, .. }]), "{answers:?}");
    }
    assert_eq!(pair.server.counters().sizes_told, told);
    assert_eq!(pair.probe(65_500, 0, 0), [], "longer than the server takes");
    assert!(matches!(pair.probe(56, 8_952, token)[..], [Probed { carried: 8_952, .. }]));
    assert_eq!(pair.server.counters().sizes_told, told + 1);
    // A flood is answered with as much as came, and nobody is disturbed.
    for _ in 0..1_000 {
        assert_eq!(pair.probe(1_452, 0, 0).len(), 1);
    }
    pair.large(100_000);
}

#[test]
fn an_answer_that_was_not_asked_for_says_nothing() {
    let mut pair = Pair::with_long_datagrams(AckProtocol::Blast, (0, 0, 0));
    pair.carries = [1_300; 2];
    pair.large(100_000);
    let session = *pair.client.session().expect("a session is open");
    let envelope = Envelope {
        space: Space::Session,
        target: pair.client.incarnation().tag(),
        session: session.id,
        incarnation: session.incarnation,
    };
    let stale = pair.client.counters().stale;
    let mut datagram = Vec::new();
    for (stamp, bytes) in [(0, 65_488), (1, 65_488), (2, 8_952), (u64::MAX, 56)] {
        let probed = Pdu::Probed(Probed { stamp, bytes, carried: bytes, token: 9 });
        datagram.clear();
        encode(&envelope, &probed, &mut datagram);
        pair.client.handle_datagram(pair.now, THERE, &datagram);
    }
    assert_eq!(pair.client.counters().stale, stale + 4);
    pair.longest = DATAGRAM_BYTES_MAX;
    pair.passes = |_, pdu| !matches!(pdu, Pdu::Probe(_));
    pair.longest = LONGEST_DATAGRAM_BYTES;
    assert_eq!(pair.large(100_000)[0], 88, "as before");
}

#[test]
fn a_probe_as_long_as_it_does_not_say_is_no_pdu() {
    let mut datagram = Vec::new();
    let probe = Pdu::Probe(Probe { stamp: 5, bytes: 100, carried: 0, token: 0 });
    let envelope = Envelope::default();
    encode(&envelope, &probe, &mut datagram);
    assert_eq!(datagram.len(), 100);
    assert!(decode(&datagram).is_ok());
    for (length, fits) in [(99_u32, false), (100, true), (101, false), (u32::MAX, false)] {
        datagram[40..44].copy_from_slice(&length.to_le_bytes());
        datagram[8..12].fill(0);
        let checksum = crc32fast::hash(&datagram);
        datagram[8..12].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode(&datagram).is_ok(), fits, "{length}");
    }
}

#[test]
fn a_path_that_swallows_long_datagrams_costs_a_few_time_outs_once() {
    for direction in [0, 1] {
        let mut pair = Pair::found(AckProtocol::Blast);
        pair.carries[direction] = DATAGRAM_BYTES_MAX;
        let begun = pair.now;
        pair.large(200_000);
        let first = pair.now.since(begun);
        let begun = pair.now;
        pair.large(200_000);
        let second = pair.now.since(begun);
        assert!(second < first / 2, "{first:?}, then {second:?}");
        let holes = [pair.server.counters().black_holes, pair.client.counters().black_holes];
        assert_eq!(holes[direction], 1);
        assert_eq!(holes[1 - direction], 0);
    }
}

#[test]
fn nothing_is_probed_beyond_what_both_sides_take() {
    for (client, server) in [(65_507, 9_000), (9_000, 65_507)] {
        let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
        pair.client.link_carries(client);
        pair.server.link_carries(server);
        pair.longest = PROBED_BYTES[1];
        pair.large(200_000);
        pair.pass(Duration::from_secs(1));
        assert_eq!(pair.large(200_000)[0], 23);
    }
    let limits = Limits { datagram_bytes_max: DATAGRAM_BYTES_MAX, ..Limits::default() };
    let mut pair = Pair::with(limits, (0, 0, 0));
    pair.client.link_carries(65_507);
    pair.large(200_000);
    assert_eq!(pair.client.counters().path_probes, 0);
}
