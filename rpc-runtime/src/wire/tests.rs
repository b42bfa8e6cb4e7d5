//! One of each PDU: golden bytes, round trips, every shorter prefix, damage, and arbitrary bytes.

use proptest::prelude::*;

use super::*;
use crate::ids::{
    ClientId, GenerationId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId,
    SlotIndex, Space,
};
use crate::semantics::Semantics;

const ENVELOPE: Envelope = Envelope {
    space: Space::Session,
    target: 0x0a0b_0c0d,
    session: SessionId(0x1112_1314_1516_1718),
    incarnation: Incarnation(0x0000_0002_abcd_ef01),
};

/// One of each, with fields that all differ; `n` varies them.
fn each(n: u64) -> Vec<Pdu<'static>> {
    let (slot, sequence, stamp) = (SlotIndex(3), Sequence(41 ^ n), 0x5a5a ^ n);
    let (client, server) = (ClientId(0xc11e ^ n), ServerId(0x5e12));
    let announced = Incarnation(8);
    let client_incarnation = Incarnation(7);
    let session = SessionId(9 ^ n);
    vec![
        Pdu::Hello(Hello {
            client,
            nonce: Nonce(n ^ 0xff),
            server,
            server_incarnation: Incarnation(5),
            resume: session,
            slots: 1_024,
            datagram_bytes: 1_232,
            version_min: 1,
            version_max: 1,
            has_cookie: 1,
            durable: 0,
            cookie: [0xcc; COOKIE_BYTES],
            generation: GenerationId::NONE,
        }),
        Pdu::Cookie(Cookie { nonce: Nonce(n), cookie: [0xdd; COOKIE_BYTES] }),
        Pdu::Welcome(Welcome {
            nonce: Nonce(n),
            client,
            server,
            lease_ms: 30_000,
            slots: 64,
            session_time_us: n,
            generation: GenerationId::NONE,
            working_after_us: 10_000,
            datagram_bytes: 1_232,
            lease_unused_ms: 4_000,
        }),
        Pdu::Reject(Reject {
            nonce: Nonce(n),
            server,
            highest: Incarnation(6),
            reason: RejectReason::NoRoom,
            version_min: 1,
            version_max: 1,
            pad: 0,
            push_back_ms: 50,
        }),
        Pdu::Request(Request {
            slot,
            sequence,
            method: MethodFingerprint(0xfeed),
            name: 0xbeef,
            digest: n ^ 0xd1d1,
            remaining_us: 2_000_000,
            not_after_us: 3_000_000,
            fragment: 0,
            fragments: 1,
            transmission: 2,
            depth: 1,
            semantics: Semantics::AtMostOnce,
            extensions: &[0x01, 0x80, 0x02, 0x00, 0xaa, 0xbb],
            arguments: b"\x03ann",
        }),
        Pdu::Reply(Reply {
            slot,
            sequence,
            attempt: 1,
            handler_us: 12,
            fragment: 0,
            fragments: 1,
            transmission: 2,
            status: ReplyStatus::Returned,
            session_time_us: 700,
            body: &[0, 70],
        }),
        Pdu::Refuse(Refuse {
            slot,
            sequence,
            reason: RefuseReason::Overload,
            push_back_ms: 50,
            session_time_us: 600,
            detail: "later",
        }),
        Pdu::Ack(Ack { slot, sequence, cumulative: 1, fragments: 1, bitmap: n }),
        Pdu::Ping(Ping { slot, sequence, stamp }),
        Pdu::Working(Working {
            slot,
            sequence,
            running: sequence,
            quantum_left_us: 900,
            session_time_us: 800,
            stamp,
        }),
        Pdu::Unseen(Unseen { slot, sequence, last: Sequence(40), session_time_us: 500, stamp }),
        Pdu::Extend(Extend { slot, sequence, quantum: 7, answer: Answer::Yes, pad: [0; 3] }),
        Pdu::Cancel(Cancel { slot, sequence, stamp }),
        Pdu::Seal(Seal { slot, sequence, stamp }),
        Pdu::Sealed(Sealed { slot, sequence, verdict: SealedVerdict::Closed, pad: [0; 3], stamp }),
        Pdu::NoSession(NoSession { server, slot, sequence }),
        Pdu::Owner(Owner {
            client,
            client_incarnation,
            announced,
            session,
            slot,
            sequence,
            pad: [0; 4],
        }),
        Pdu::Alive(Alive {
            client,
            client_incarnation,
            announced,
            session,
            slot,
            sequence,
            answer: Answer::No,
            pad: [0; 3],
        }),
        Pdu::Goaway(Goaway { reason: GoawayReason::Draining, pad: [0; 3], drain_ms: 5_000 }),
        Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }),
        Pdu::Probe(Probe { stamp, bytes: 60, carried: 1_452, token: 0x70c ^ n }),
        Pdu::Probed(Probed { stamp, bytes: 64, carried: 0, token: 0x70d ^ n }),
    ]
}

fn encoded(pdu: &Pdu<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&ENVELOPE, pdu, &mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_pdu_has_the_bytes_that_were_agreed() {
    let pdus = each(0);
    assert_eq!(pdus.iter().map(Pdu::kind).collect::<Vec<_>>(), Kind::ALL);
    let lines: Vec<String> =
        pdus.iter().map(|pdu| format!("{:9} {}", pdu.kind().name(), hex(&encoded(pdu)))).collect();
    assert_eq!(lines.join("\n"), include_str!("golden.txt").trim_end());
}

#[test]
fn every_shorter_prefix_is_refused() {
    for pdu in each(0) {
        let bytes = encoded(&pdu);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{} cut to {len}", pdu.kind().name());
        }
    }
}

#[test]
fn one_to_three_flipped_bits_are_always_detected() {
    for pdu in each(0) {
        let bytes = encoded(&pdu);
        let bits = bytes.len() * 8;
        for first in 0..bits {
            for second in [first, (first + 1) % bits, (first * 7 + 3) % bits] {
                let mut damaged = bytes.clone();
                damaged[first / 8] ^= 1 << (first % 8);
                if second != first {
                    damaged[second / 8] ^= 1 << (second % 8);
                }
                assert!(decode(&damaged).is_err(), "{} bits {first}, {second}", pdu.kind().name());
            }
        }
    }
}

#[test]
fn several_pdus_share_a_datagram() {
    let mut bytes = Vec::new();
    for pdu in each(0) {
        encode(&ENVELOPE, &pdu, &mut bytes);
    }
    let mut rest = bytes.as_slice();
    for pdu in each(0) {
        let (envelope, decoded, after) = decode(rest).expect("a PDU");
        assert_eq!((envelope, decoded), (ENVELOPE, pdu));
        rest = after;
    }
    assert!(rest.is_empty());
}

#[test]
fn what_a_field_cannot_be_is_refused() {
    let Pdu::Request(request) = each(0)[4] else { panic!("the fifth is a REQUEST") };
    let none = Pdu::Request(Request { fragments: 0, ..request });
    assert_eq!(decode(&encoded(&none)).unwrap_err(), Malformed::Field { field: "fragment" });
    let cut = Pdu::Request(Request { extensions: &[1, 0, 9, 0, 1], ..request });
    assert!(matches!(decode(&encoded(&cut)), Err(Malformed::Truncated { .. })));
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(n: u64) {
        for pdu in each(n >> 1) {
            let bytes = encoded(&pdu);
            prop_assert_eq!(decode(&bytes), Ok((ENVELOPE, pdu, &[][..])));
        }
    }

    #[test]
    fn a_pdu_whose_end_stands_elsewhere_is_the_same_once_it_is_sealed(n: u64) {
        for pdu in each(n >> 1) {
            let (before, rest) = if let Pdu::Request(request) = pdu {
                (Pdu::Request(Request { arguments: &[], ..request }), request.arguments)
            } else if let Pdu::Reply(reply) = pdu {
                (Pdu::Reply(Reply { body: &[], ..reply }), reply.body)
            } else {
                (pdu, &[][..])
            };
            let mut bytes = Vec::new();
            encode_before(&ENVELOPE, &before, rest.len(), &mut bytes);
            seal(&mut bytes, rest);
            bytes.extend_from_slice(rest);
            prop_assert_eq!(bytes, encoded(&pdu));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }

    /// Past the checksum, which arbitrary bytes never get past by themselves.
    #[test]
    fn arbitrary_bodies_never_panic(kind in 0_u8..32, flags: u16, body: Vec<u8>) {
        let mut bytes = vec![PROTOCOL_VERSION, kind];
        bytes.extend(flags.to_le_bytes());
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend([0; 24]);
        bytes.extend(&body);
        let checksum = crc32fast::hash(&bytes);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        if let Err(error) = decode(&bytes) {
            prop_assert!(error != Malformed::Checksum);
        }
    }
}
