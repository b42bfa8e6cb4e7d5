//! One host takes all that it can and gives nothing back: others do not notice.

use super::*;
use crate::protocol::fragment::fragments_of;
use crate::protocol::limits::ARGUMENT_BYTES_MAX;

const BAD: Address = Address::Virtual(66);
const GOOD: Address = Address::Virtual(77);

fn limits() -> Limits {
    Limits {
        message_bytes_max: 1 << 20,
        reply_bytes_max: 1 << 20,
        reply_bytes_stored_max: 8 << 20,
        reassembly_bytes_session_max: 2 << 20,
        reassembly_bytes_max: 8 << 20,
        ..Limits::default()
    }
}

/// A bench whose methods may reply at length.
fn bench(limits: Limits) -> Bench {
    let mut methods = methods();
    for method in &mut methods {
        method.reply_bytes_max = limits.reply_bytes_max;
    }
    let mut bench = Bench::empty(limits.clone());
    bench.server = Server::new(MINE, limits, methods, Box::new(Counting(1)));
    bench
}

/// A session of a client of its own, at an address.
fn come_from(bench: &mut Bench, from: Address, client: u64) {
    bench.from = from;
    let hello = Hello { client: ClientId(client), ..bench.hello() };
    bench.session = bench.opened(&hello);
}

fn in_slot(bench: &Bench, slot: u32) -> Request<'static> {
    Request { slot: SlotIndex(slot), ..bench.call(1) }
}

/// The first fragment of a call with so many bytes of arguments.
fn first_part(bench: &mut Bench, slot: u32, bytes: usize) -> Vec<Said> {
    let part = [7; ARGUMENT_BYTES_MAX];
    let fragments = fragments_of(bytes, ARGUMENT_BYTES_MAX);
    let request = Request { fragments, arguments: &part, ..in_slot(bench, slot) };
    bench.send(&Pdu::Request(request))
}

/// Calls that are accepted, and end in so many bytes each.
fn replies(bench: &mut Bench, slots: std::ops::Range<u32>, bytes: usize) -> usize {
    let mut accepted = 0;
    for slot in slots {
        let request = in_slot(bench, slot);
        if bench.send(&Pdu::Request(request)).is_empty() {
            accepted += 1;
            bench.begin();
            bench.finish(HandlerEnd::Returned, &vec![7; bytes]);
        }
    }
    accepted
}

#[test]
fn a_host_that_acknowledges_no_reply_leaves_room_for_those_of_others() {
    for bytes in [1_000, 1 << 20] {
        let mut bench = bench(limits());
        for client in 0..40 {
            come_from(&mut bench, BAD, 100 + client);
            replies(&mut bench, 0..64, bytes);
        }
        let kept_bytes = bench.server.stored_bytes();
        assert!(kept_bytes <= limits().reply_bytes_stored_max / 2 + bytes, "{kept_bytes}");
        come_from(&mut bench, GOOD, 1);
        assert_eq!(replies(&mut bench, 0..64, 1_000), 64);
        assert!(bench.server.stored_bytes() >= kept_bytes + 64 * 1_000, "all are kept");
    }
}

#[test]
fn a_client_that_acknowledges_no_reply_leaves_room_to_its_neighbours_at_the_same_host() {
    let mut bench = bench(limits());
    come_from(&mut bench, BAD, 100);
    replies(&mut bench, 0..64, 200_000);
    come_from(&mut bench, BAD, 1);
    assert_eq!(replies(&mut bench, 0..64, 1_000), 64);
    // What stores nothing needs no room.
    bench.send(&Pdu::Request(Request { slot: SlotIndex(63), ..bench.call_of(AGAIN, 2) }));
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn a_host_of_half_received_messages_leaves_room_for_those_of_others() {
    let mut bench = bench(limits());
    for client in 0..40 {
        come_from(&mut bench, BAD, 100 + client);
        for slot in 0..64 {
            first_part(&mut bench, slot, 1 << 20);
        }
    }
    let held_bytes = bench.server.reassembly_bytes();
    assert!(held_bytes > 2 << 20 && held_bytes <= 5 << 20, "{held_bytes}");
    come_from(&mut bench, GOOD, 1);
    let said = first_part(&mut bench, 0, 1 << 20);
    assert_eq!(said, [Said::Other(Kind::Ack)], "not refused");
}

/// A peer of many sessions, each with ever other first fragments in all of its slots.
#[test]
fn a_flood_of_first_fragments_from_many_sessions_takes_bounded_memory_and_disturbs_nobody() {
    let mut bench = bench(limits());
    let mut sessions = Vec::new();
    for client in 0..100 {
        come_from(&mut bench, BAD, 100 + client);
        sessions.push(bench.session);
    }
    come_from(&mut bench, GOOD, 1);
    let good = bench.session;
    let part = [7; ARGUMENT_BYTES_MAX];
    for number in 0..200_000_u32 {
        (bench.session, bench.from) = (sessions[number as usize % sessions.len()], BAD);
        let fragments = u16::try_from(2 + number % 900).unwrap();
        let place = Request { fragments, arguments: &part, ..in_slot(&bench, number / 100 % 64) };
        let sequence = Sequence(1 + u64::from(number / 6_400));
        bench.send(&Pdu::Request(Request { sequence, ..place }));
        let held_bytes = bench.server.reassembly_bytes();
        assert!(held_bytes <= limits().reassembly_bytes_max, "{held_bytes}");
        if number.is_multiple_of(20_000) {
            (bench.session, bench.from) = (good, GOOD);
            let slot = number / 20_000;
            assert_eq!(first_part(&mut bench, slot, 40_000), [Said::Other(Kind::Ack)]);
        }
    }
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.server.reassembly_bytes(), 0);
}

#[test]
fn a_host_of_many_small_half_received_messages_leaves_room_for_those_of_others() {
    let limits = Limits { reassembly_messages_max: 1_000, ..limits() };
    let mut bench = bench(limits);
    for client in 0..40 {
        come_from(&mut bench, BAD, 100 + client);
        for slot in 0..64 {
            first_part(&mut bench, slot, 2_000);
        }
    }
    come_from(&mut bench, GOOD, 1);
    for slot in 0..64 {
        assert_eq!(first_part(&mut bench, slot, 2_000), [Said::Other(Kind::Ack)]);
    }
}

#[test]
fn a_host_whose_large_calls_wait_for_workers_leaves_room_for_those_of_others() {
    let mut bench = bench(limits());
    let part = [7; ARGUMENT_BYTES_MAX];
    let fragments = fragments_of(200_000, ARGUMENT_BYTES_MAX);
    for client in 0..40 {
        come_from(&mut bench, BAD, 100 + client);
        for slot in 0..10 {
            for fragment in 0..fragments {
                let place = Request { fragment, fragments, ..in_slot(&bench, slot) };
                bench.send(&Pdu::Request(Request { arguments: &part, ..place }));
            }
        }
    }
    let held_bytes: usize = bench.queue.iter().map(|call| call.arguments.len()).sum();
    assert!(held_bytes > 3 << 20, "{held_bytes}");
    assert!(bench.server.reassembly_bytes() >= held_bytes);
    come_from(&mut bench, GOOD, 1);
    assert_eq!(first_part(&mut bench, 0, 1 << 20), [Said::Other(Kind::Ack)]);
    // Whatever becomes of the calls and the sessions, nothing stays counted.
    bench.pass(Duration::from_secs(100));
    while !bench.queue.is_empty() {
        bench.try_begin();
    }
    bench.pass(Duration::from_secs(100));
    assert_eq!((bench.server.reassembly_bytes(), bench.server.hosts.len()), (0, 0));
}

/// Each of many hosts keeps its messages from being idle, and sends next to nothing of them.
#[test]
fn messages_that_trickle_in_give_way_where_room_is_short() {
    let mut bench = bench(limits());
    let mut sessions = Vec::new();
    for number in 0..40 {
        come_from(&mut bench, Address::Virtual(1_000 + number), 1_000 + u64::from(number));
        sessions.push((bench.session, bench.from));
    }
    let part = [7; ARGUMENT_BYTES_MAX];
    let fragments = fragments_of(1 << 19, ARGUMENT_BYTES_MAX);
    for fragment in 0..5 {
        for &(session, from) in &sessions {
            (bench.session, bench.from) = (session, from);
            let place = Request { fragment, fragments, ..in_slot(&bench, 0) };
            bench.send(&Pdu::Request(Request { arguments: &part, ..place }));
        }
        bench.pass(Duration::from_secs(1));
    }
    assert!(bench.server.reassembly_bytes() > 7 << 20);
    come_from(&mut bench, GOOD, 1);
    assert_eq!(first_part(&mut bench, 0, 1 << 20), [Said::Other(Kind::Ack)]);
    assert!(bench.server.reassembly_bytes() <= 2 << 20, "they have given way");
}

/// What a method's replies took lately is reserved for the next: those that find no room for it are
/// refused before they run, and none runs in vain.
#[test]
fn calls_that_would_run_in_vain_are_refused_before_they_run() {
    for method in [ONCE, AGAIN] {
        let mut bench = bench(limits());
        come_from(&mut bench, GOOD, 1);
        let call =
            |bench: &Bench, slot| Request { slot: SlotIndex(slot), ..bench.call_of(method, 1) };
        bench.send(&Pdu::Request(call(&bench, 0)));
        bench.begin();
        bench.finish(HandlerEnd::Returned, &vec![7; 1 << 20]);
        let accepted = (1..40).filter(|slot| {
            let request = call(&bench, *slot);
            bench.send(&Pdu::Request(request)).is_empty()
        });
        let accepted = accepted.count();
        assert!((1..8).contains(&accepted), "{accepted}");
        for _ in 0..accepted {
            bench.begin();
            let said = bench.finish(HandlerEnd::Returned, &vec![7; 1 << 20]);
            let told =
                |said: &Said| matches!(said, Said::Reply { status: ReplyStatus::Returned, .. });
            assert!(said.iter().all(told), "{said:?}");
        }
        // Short replies make it forget the long one, and nothing stays reserved.
        for next in 2..66 {
            let sequence = Sequence(next);
            bench.send(&Pdu::Request(Request { sequence, ..call(&bench, 0) }));
            bench.serve();
        }
        assert_eq!(
            bench.server.room_for_reply(Spot::Session(bench.session, SlotIndex(0)), method),
            if method == ONCE { REPLY_BYTES_MAX } else { 0 }
        );
        bench.pass(Duration::from_secs(100));
        assert_eq!((bench.server.stored_bytes(), bench.server.sessions()), (0, 0));
    }
}

/// Long replies to one client reserve nothing for the calls of another.
#[test]
fn long_replies_to_one_host_keep_no_call_of_another_out() {
    for method in [ONCE, AGAIN] {
        let mut bench = bench(limits());
        come_from(&mut bench, BAD, 1);
        let request = Request { slot: SlotIndex(0), ..bench.call_of(method, 1) };
        bench.send(&Pdu::Request(request));
        bench.begin();
        bench.finish(HandlerEnd::Returned, &vec![7; 1 << 20]);
        come_from(&mut bench, GOOD, 2);
        for slot in 0..40 {
            let request = Request { slot: SlotIndex(slot), ..bench.call_of(method, 1) };
            assert_eq!(bench.send(&Pdu::Request(request)), [], "slot {slot} is taken");
        }
    }
}

#[test]
fn a_reply_that_finds_no_room_says_so_and_not_that_it_is_too_long() {
    let mut bench = bench(Limits { reply_bytes_stored_max: 1 << 20, ..limits() });
    come_from(&mut bench, GOOD, 1);
    let requests = [0, 1].map(|slot| in_slot(&bench, slot));
    for request in requests {
        assert_eq!(bench.send(&Pdu::Request(request)), []);
        bench.begin();
    }
    let _ = bench.finish(HandlerEnd::Returned, &[7; 300_000]);
    let text = b"no room for 300000 bytes now";
    let said = bench.finish(HandlerEnd::Returned, &[7; 300_000]);
    assert_eq!(said, [failed(1, 1, ReplyStatus::TooLarge, text)]);
}
