//! Generations: who has them, in which session, how they are read from the store, left to it, kept
//! and forgotten.

use super::*;

/// Another session of the same life of the client, with the generation.
fn second_session(bench: &mut Bench) -> SessionId {
    bench.claim(GENERATION, GENERATION, Vec::new())
}

fn in_session(bench: &mut Bench, session: SessionId) {
    bench.session = session;
}

fn no_session(said: &[Said]) -> bool {
    matches!(said, [Said::NoSession(_)])
}

#[test]
fn durable_slot_key_a_wish_for_slots_asks_the_store_once_for_all_copies() {
    let mut bench = Bench::empty(Limits::default());
    bench.server.enable_durable();
    let hello = Hello { durable: 1, generation: GENERATION, ..bench.hello() };
    assert_eq!(bench.prove(&hello), []);
    assert_eq!(bench.prove(&hello), []);
    assert_eq!(bench.openings.len(), 1);
    assert_eq!(bench.openings[0].1, GENERATION);
    let (key, _) = bench.openings[0];
    let table = DurableTable { generation: FRESH, rows: Vec::new() };
    bench.server.generation_opened(bench.now, key, Some(table.clone()));
    let said = bench.said();
    let [Said::Welcome(welcome)] = said[..] else { panic!("{said:?}") };
    assert_eq!(welcome.generation, FRESH, "the wanted one was not there: it says so");
    bench.server.generation_opened(bench.now, key, Some(table));
    assert_eq!(bench.said(), [], "answered");
}

#[test]
fn durable_slot_key_a_store_that_fails_gives_no_session_and_a_wait() {
    let mut bench = Bench::empty(Limits::default());
    bench.server.enable_durable();
    let hello = Hello { durable: 1, ..bench.hello() };
    bench.prove(&hello);
    let (key, _) = bench.openings[0];
    bench.server.generation_opened(bench.now, key, None);
    let said = bench.said();
    let [Said::Reject(reject)] = said[..] else { panic!("{said:?}") };
    assert_eq!((reject.reason, reject.push_back_ms), (RejectReason::NoRoom, 50));
    assert!(bench.server.sessions.is_empty());
}

/// A client asks for its generation, in which the store has one reply of so many bytes.
fn come_back_to(bench: &mut Bench, client: u64, bytes: usize) -> Vec<Said> {
    bench.openings.clear();
    let hello = Hello { client: ClientId(client), durable: 1, ..bench.hello() };
    bench.prove(&hello);
    let (key, _) = bench.openings[0];
    let body = vec![7; bytes];
    let rows = vec![row(1, Some((ReplyStatus::Returned, &body)))];
    let table = DurableTable { generation: GenerationId(client), rows };
    bench.server.generation_opened(bench.now, key, Some(table));
    let all = bench.drain();
    if let [(_, envelope, Said::Welcome(_))] = &all[..] {
        bench.session = envelope.session;
    }
    all.into_iter().map(|(_, _, said)| said).collect()
}

#[test]
fn durable_slot_key_replies_that_do_not_fit_beside_others_wait_and_alone_they_always_fit() {
    let limits = Limits {
        reply_bytes_stored_max: REPLY_BYTES_MAX,
        reply_bytes_durable_max: 64,
        ..Limits::default()
    };
    let mut bench = Bench::empty(limits);
    bench.server.enable_durable();
    // More than fits: of a life with other limits, or of acknowledgements that the store never had.
    let said = come_back_to(&mut bench, 21, REPLY_BYTES_MAX + 1);
    assert!(matches!(said[..], [Said::Welcome(_)]), "{said:?}");
    assert_eq!(bench.server.stored_bytes(), 0, "calls of this life have all the room they had");
    let first = bench.session;
    let said = come_back_to(&mut bench, 22, 1);
    assert!(matches!(said[..], [Said::Reject(_)]), "{said:?}");
    bench.session = first;
    let full = Ack { slot: SLOT, sequence: Sequence(1), cumulative: 2, fragments: 2, bitmap: 0 };
    let envelope = Envelope { space: Space::Durable, ..bench.envelope() };
    bench.send_as(bench.from, &envelope, &Pdu::Ack(full));
    let said = come_back_to(&mut bench, 22, 1);
    assert!(matches!(said[..], [Said::Welcome(_)]), "{said:?}");
    let told = bench.d_ping(1);
    assert_eq!(told, [failed(1, 0, ReplyStatus::Returned, &[7])]);
}

#[test]
fn durable_slot_key_without_a_store_a_wish_is_granted_nothing() {
    let mut bench = Bench::empty(Limits::default());
    let hello = Hello { durable: 1, ..bench.hello() };
    let all = bench.prove(&hello);
    let [(_, _, Said::Welcome(welcome))] = all[..] else { panic!("{all:?}") };
    assert_eq!(welcome.generation, GenerationId::NONE);
    assert!(bench.openings.is_empty());
}

#[test]
fn durable_slot_key_another_client_s_generation_is_not_given_away() {
    let mut bench = Bench::durably(Prepared::Done);
    let hello =
        Hello { client: ClientId(0xbad), durable: 1, generation: GENERATION, ..bench.hello() };
    bench.prove(&hello);
    assert_eq!(bench.openings.len(), 1, "the store is asked, which knows whose it is");
}

#[test]
fn durable_slot_request_in_a_session_without_generation_is_refused_definite_of_nothing() {
    let mut bench = Bench::new();
    bench.server.enable_durable();
    assert_eq!(bench.d_request(1), [refused(1, RefuseReason::Generation)]);
    for say in [Bench::d_ping, Bench::d_seal, Bench::d_cancel, Bench::d_ack] {
        assert_eq!(say(&mut bench, 1), []);
    }
    assert!(bench.queue.is_empty());
}

#[test]
fn durable_slot_of_a_generation_that_another_session_took_begins_nothing_and_says_so() {
    for state in EVERY {
        let mut bench = Bench::durably(state);
        let (first, queued) = (bench.session, bench.queue.len());
        let second = second_session(&mut bench);
        assert_ne!(first, second);
        for sequence in [LAST, LAST + 1] {
            for say in [Bench::d_request, Bench::d_ping, Bench::d_seal, Bench::d_cancel] {
                let envelope = bench.envelope();
                let said = say(&mut bench, sequence);
                assert!(no_session(&said), "{state:?}: {said:?}");
                assert_eq!(bench.envelope(), envelope);
            }
            assert_eq!(bench.d_ack(sequence), []);
        }
        assert_eq!(bench.queue.len(), queued, "{state:?}");
        assert!(bench.cancelled.is_empty());
        // Resumed, it has the generation again, and the other has not.
        let hello = Hello { resume: first, durable: 1, generation: GENERATION, ..bench.hello() };
        let resumed = bench.claim_with(&hello, None);
        assert_eq!(resumed, first);
        let said = bench.d_ping(LAST + 1);
        assert!(matches!(said[..], [Said::Unseen(_)]), "{said:?}");
        in_session(&mut bench, second);
        assert!(no_session(&bench.d_ping(LAST)));
    }
}

#[test]
fn durable_slot_running_in_one_session_is_working_in_another_and_replies_to_who_asked_last() {
    let mut bench = Bench::durably(Prepared::Running);
    let first = bench.session;
    let second = second_session(&mut bench);
    in_session(&mut bench, second);
    Bench::assert_working(&bench.d_duplicate(LAST), LAST, LAST);
    assert!(bench.queue.is_empty(), "one execution (C4)");
    let ticket = bench.running.remove(0);
    bench.server.finish(bench.now, ticket, HandlerEnd::Returned, b"reply".to_vec());
    let all = bench.drain();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].1.session, &all[0].2), (second, &returned(LAST, 2)));
    assert_ne!(first, second);
}

#[test]
fn durable_slot_running_is_told_only_to_a_session_that_asked_for_this_call() {
    let mut bench = Bench::durably(Prepared::Running);
    let first = bench.session;
    let second = second_session(&mut bench);
    in_session(&mut bench, second);
    let other = Request { digest: 1, ..bench.call_of(DURABLE, LAST) };
    let said = bench.send_durable(&Pdu::Request(other));
    assert_eq!(said, [refused(LAST, RefuseReason::IdentityInUse)]);
    let ticket = bench.running.remove(0);
    bench.server.finish(bench.now, ticket, HandlerEnd::Returned, b"reply".to_vec());
    let all = bench.drain();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].1.session, &all[0].2), (first, &returned(LAST, 1)));
}

#[test]
fn durable_slot_in_a_fenced_session_begins_nothing_new_and_answers_what_is_there() {
    let mut bench = Bench::durably(Prepared::Done);
    let first = bench.session;
    bench.life = NEXT_LIFE;
    let hello = bench.hello();
    bench.opened(&hello);
    (bench.session, bench.life) = (first, LIFE);
    assert_eq!(bench.d_request(LAST + 1), [], "dropped");
    assert!(bench.queue.is_empty());
    assert_eq!(bench.d_duplicate(LAST), [returned(LAST, 2)]);
    assert_eq!(bench.d_seal(LAST), [returned(LAST, 0)]);
}

#[test]
fn durable_slot_of_a_session_that_ends_is_left_to_the_store() {
    for state in [Prepared::Done, Prepared::Refused, Prepared::Sealed, Prepared::Acked] {
        let mut bench = Bench::durably(state);
        bench.pass(Duration::from_secs(31));
        assert_eq!(bench.closed, [bench.session], "{state:?}");
        assert_eq!(bench.server.stored_bytes(), 0);
        let rows = vec![row(LAST, Some((ReplyStatus::Returned, b"reply")))];
        let session = bench.claim(GENERATION, GENERATION, rows);
        in_session(&mut bench, session);
        assert_eq!(bench.d_duplicate(LAST), [returned(LAST, 2)], "{state:?}: as it is stored");
    }
}

#[test]
fn durable_slot_at_work_keeps_its_session_over_the_lease() {
    let mut bench = Bench::durably(Prepared::Running);
    bench.pass(Duration::from_secs(95));
    assert!(bench.closed.is_empty());
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    bench.pass(Duration::from_secs(61));
    assert_eq!(bench.closed, [bench.session]);
}

#[test]
fn durable_slot_at_work_outlives_a_session_that_says_goodbye() {
    let mut bench = Bench::durably(Prepared::Running);
    bench.send(&Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
    assert!(bench.closed.is_empty(), "something runs");
    let second = second_session(&mut bench);
    assert!(bench.openings.is_empty(), "it is in memory still");
    in_session(&mut bench, second);
    Bench::assert_working(&bench.d_duplicate(LAST), LAST, LAST);
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 2)]);
}

#[test]
fn durable_slots_are_forgotten_for_good_when_nothing_runs_and_the_client_says_so() {
    let forget = Pdu::Bye(Bye { reason: ByeReason::Forget, pad: [0; 3] });
    let mut bench = Bench::durably(Prepared::Done);
    bench.send(&forget);
    assert_eq!(bench.forgotten, [GENERATION]);
    assert_eq!(bench.server.stored_bytes(), 0);
    let mut bench = Bench::durably(Prepared::Running);
    bench.send(&forget);
    assert!(bench.forgotten.is_empty(), "not what runs");
    let mut bench = Bench::durably(Prepared::Done);
    let first = bench.session;
    second_session(&mut bench);
    in_session(&mut bench, first);
    bench.send(&forget);
    assert!(bench.forgotten.is_empty(), "not what another session has");
}

#[test]
fn durable_slots_of_a_store_that_a_later_life_has_are_not_spoken_of() {
    for state in EVERY {
        let mut bench = Bench::durably(state);
        bench.server.fence_durable();
        for say in [Bench::d_duplicate, Bench::d_ping, Bench::d_seal, Bench::d_cancel] {
            for sequence in [LAST - 1, LAST, LAST + 1] {
                assert_eq!(say(&mut bench, sequence), [], "{state:?}");
            }
        }
        let hello = Hello { durable: 1, generation: GENERATION, ..bench.hello() };
        let all = bench.prove(&hello);
        assert!(matches!(all[..], [(_, _, Said::Reject(_))]), "{state:?}: {all:?}");
        assert!(bench.openings.is_empty());
    }
}

#[test]
fn the_store_is_looked_after_a_lease_after_it_came_into_use_and_as_long_as_it_is() {
    let limits = Limits { retention: Duration::from_secs(300), ..Limits::default() };
    let mut bench = Bench::empty(limits);
    bench.server.enable_durable();
    bench.session = bench.claim(GenerationId::NONE, GENERATION, Vec::new());
    let mut serve = |seconds| {
        for _ in 0..seconds {
            bench.pass(Duration::from_secs(1));
            bench.d_ping(1);
        }
        bench.retained.clone()
    };
    let lease = Limits::default().lease.as_secs();
    assert!(serve(lease - 1).is_empty(), "others may be about to come back");
    assert_eq!(serve(1), [[(CLIENT, GENERATION)]]);
    assert_eq!(serve(20).len(), 3, "every tenth second");
    // The session ends, and with it the timer: nothing is in use.
    bench.pass(Duration::from_secs(100));
    let looks = bench.retained.len();
    assert_eq!(bench.next_wake(), None);
    bench.claim(GENERATION, GENERATION, Vec::new());
    bench.pass(Duration::ZERO);
    assert_eq!(bench.retained.len(), looks + 1, "overdue");
}

/// Refusals and seals are kept here only, so they last as long as a session that may have heard them
/// (H3): a copy of the call would run otherwise, of which its client was told that it never will.
#[test]
fn durable_slots_outlive_the_session_that_took_them_while_another_one_may_use_them() {
    for state in [Prepared::Refused, Prepared::Sealed] {
        let mut bench = Bench::durably(state);
        let first = bench.session;
        let second = second_session(&mut bench);
        for _ in 0..5 {
            bench.pass(Duration::from_secs(1));
            bench.ping(1);
        }
        assert_eq!(bench.closed, [second], "it was never used");
        let hello = Hello { resume: first, durable: 1, generation: GENERATION, ..bench.hello() };
        let table = DurableTable { generation: GENERATION, rows: Vec::new() };
        assert_eq!(bench.claim_with(&hello, Some(table)), first);
        assert_eq!(bench.d_duplicate(LAST), [stored(state, 2).unwrap()], "{state:?}");
        assert!(bench.queue.is_empty());
        bench.pass(Duration::from_secs(31));
        assert_eq!(bench.closed, [second, first]);
        assert!(bench.server.durable.generations.is_empty(), "nobody is left who may ask");
    }
}

#[test]
fn durable_slots_that_only_a_fenced_session_may_have_used_are_left_to_the_store() {
    let mut bench = Bench::durably(Prepared::Sealed);
    bench.life = NEXT_LIFE;
    let second = second_session(&mut bench);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.closed, [second]);
    assert!(bench.server.durable.generations.is_empty());
}

#[test]
fn durable_slots_that_are_asked_about_keep_their_session_for_the_whole_lease() {
    for say in [Bench::d_duplicate, Bench::d_seal, Bench::d_cancel] {
        for sequence in [LAST, LAST + 1] {
            let mut bench = Bench::reborn(vec![row(LAST, None)]);
            say(&mut bench, sequence);
            bench.queue.clear();
            bench.pass(Duration::from_secs(29));
            assert!(bench.closed.is_empty());
        }
    }
}

#[test]
fn durable_slots_of_a_server_without_room_are_not_asked_for() {
    let limits = Limits { sessions_max: 1, client_sessions_max: 1, ..Limits::default() };
    for drains in [false, true] {
        let mut bench = Bench::with(limits.clone());
        bench.server.enable_durable();
        if drains {
            bench.server.drain(bench.now, Duration::from_secs(2));
            bench.drain();
        }
        let reason = if drains { RejectReason::Draining } else { RejectReason::NoRoom };
        let hello = Hello { durable: 1, ..bench.hello() };
        let all = bench.prove(&hello);
        let [(_, _, Said::Reject(reject))] = all[..] else { panic!("{all:?}") };
        assert_eq!((reject.reason, reject.push_back_ms), (reason, 50));
        assert!(bench.openings.is_empty());
        // The session that is there may have them.
        let hello = Hello { resume: bench.session, durable: 1, ..bench.hello() };
        assert_eq!(bench.prove(&hello), []);
        assert_eq!(bench.openings.len(), 1);
    }
}

/// HELLOs of a client that wait for the store, until one is told to come again.
fn waiting_hellos(bench: &mut Bench, client: ClientId) -> usize {
    let before = bench.openings.len();
    loop {
        let hello = Hello { client, durable: 1, ..bench.hello() };
        match &bench.prove(&hello)[..] {
            [] => {}
            [(_, _, Said::Reject(reject))] => {
                assert_eq!((reject.reason, reject.push_back_ms), (RejectReason::NoRoom, 50));
                return bench.openings.len() - before;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn durable_slots_are_waited_for_by_so_many_of_a_client_of_a_host_and_of_all() {
    let mut bench = Bench::empty(Limits::default());
    bench.server.enable_durable();
    let mut of_hosts = Vec::new();
    for host in 1.. {
        bench.from = ip(host);
        let before = bench.openings.len();
        for client in 0..100 {
            let waiting = waiting_hellos(&mut bench, ClientId(1000 * u64::from(host) + client));
            assert!(waiting <= 64, "as many as it may have sessions");
        }
        of_hosts.push(bench.openings.len() - before);
        if bench.openings.len() == 1_024 {
            break;
        }
    }
    assert_eq!(of_hosts, [256; 4]);
    assert_eq!(waiting_hellos(&mut bench, CLIENT), 0);
    let (key, _) = bench.openings[0];
    bench.server.generation_opened(bench.now, key, None);
    bench.said();
    bench.from = ip(99);
    assert_eq!(waiting_hellos(&mut bench, CLIENT), 1, "room again");
}

fn ip(host: u8) -> Address {
    Address::Ip(std::net::SocketAddr::from(([192, 0, 2, host], 7)))
}

/// The slots that a server remembers, over all generations.
fn remembered(bench: &Bench) -> usize {
    bench.server.durable.generations.values().map(|known| known.slots.len()).sum()
}

#[test]
fn durable_slots_take_memory_for_what_they_remember_and_not_for_questions() {
    let mut bench = Bench::durable();
    for slot in (0..2_000).map(SlotIndex) {
        let sequence = Sequence(1);
        bench.send_durable(&Pdu::Ping(Ping { slot, sequence, stamp: 0 }));
        bench.send_durable(&Pdu::Ack(Ack {
            slot,
            sequence,
            cumulative: 1,
            fragments: 1,
            bitmap: 0,
        }));
    }
    assert_eq!(remembered(&bench), 0);
}

#[test]
fn durable_slots_are_as_many_as_were_granted_beside_those_that_the_store_has() {
    let mut bench = Bench::reborn(vec![DurableRow { slot: SlotIndex(900), ..row(LAST, None) }]);
    for slot in (0..2_000).map(SlotIndex) {
        let seal = Seal { slot, sequence: Sequence(1), stamp: 0 };
        bench.send_durable(&Pdu::Seal(seal));
    }
    assert_eq!(remembered(&bench), 64 + 1, "its session has 64");
    let known = Request { slot: SlotIndex(900), ..bench.call_of(DURABLE, LAST + 1) };
    assert_eq!(bench.send_durable(&Pdu::Request(known)), []);
    assert_eq!(bench.queue.len(), 1);
}
