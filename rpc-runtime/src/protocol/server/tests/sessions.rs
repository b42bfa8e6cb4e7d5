//! Who may say what in which session, from where; leases, BYE and GOAWAY.

use super::*;

fn ping_pdu(sequence: u64) -> Pdu<'static> {
    Pdu::Ping(Ping { slot: SLOT, sequence: Sequence(sequence), stamp: 0 })
}

#[test]
fn server_session_none_answers_calls_with_nosession_no_longer_than_what_came() {
    let mut bench = Bench::new();
    let unknown = Envelope { session: SessionId(5), ..bench.envelope() };
    let other_life = Envelope { target: 99, ..bench.envelope() };
    let (slot, sequence) = (SLOT, Sequence(3));
    let pdus = [
        Pdu::Request(bench.call(3)),
        Pdu::Ping(Ping { slot, sequence, stamp: 0 }),
        Pdu::Seal(Seal { slot, sequence, stamp: 0 }),
        Pdu::Cancel(Cancel { slot, sequence, stamp: 0 }),
    ];
    for envelope in [unknown, other_life] {
        for pdu in &pdus {
            let expected = NoSession { server: MINE.id, slot, sequence };
            let all = bench.send_as(ELSEWHERE, &envelope, pdu);
            let [(to, header, said)] = &all[..] else { panic!("{all:?}") };
            assert_eq!((to, said), (&ELSEWHERE, &Said::NoSession(expected)));
            assert_eq!(header.session, envelope.session);
            let mut came = Vec::new();
            encode(&envelope, pdu, &mut came);
            assert!(HEADER_BYTES + NoSession::LEN <= came.len());
        }
    }
    assert_eq!(bench.counters().sessionless, 8);
}

#[test]
fn server_session_none_is_silent_about_everything_else() {
    let mut bench = Bench::new();
    let envelope = Envelope { session: SessionId(5), ..bench.envelope() };
    let (slot, sequence) = (SLOT, Sequence(1));
    let extend = Extend { slot, sequence, quantum: 0, answer: Answer::Yes, pad: [0; 3] };
    for pdu in [
        Pdu::Ack(Ack { slot, sequence, cumulative: 1, fragments: 1, bitmap: 0 }),
        Pdu::Extend(extend),
        Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }),
    ] {
        assert_eq!(bench.send_as(HOME, &envelope, &pdu), []);
    }
}

#[test]
fn server_session_answers_no_pdu_that_only_servers_send() {
    let mut bench = Bench::prepared(Prepared::Running);
    let (slot, sequence) = (SLOT, Sequence(LAST));
    let verdict = SealedVerdict::Closed;
    for pdu in [
        Pdu::NoSession(NoSession { server: MINE.id, slot, sequence }),
        Pdu::Sealed(Sealed { slot, sequence, verdict, pad: [0; 3], stamp: 0 }),
        Pdu::Unseen(Unseen { slot, sequence, last: sequence, session_time_us: 0, stamp: 0 }),
        Pdu::Cookie(Cookie { nonce: Nonce(1), cookie: [0; COOKIE_BYTES] }),
        Pdu::Refuse(Refuse {
            slot,
            sequence,
            reason: RefuseReason::Overload,
            push_back_ms: 0,
            session_time_us: 0,
            detail: "",
        }),
    ] {
        assert_eq!(bench.send(&pdu), []);
    }
    assert_eq!(bench.counters().foreign, 5);
}

#[test]
fn server_session_live_takes_calls_of_its_own_life_only() {
    let mut bench = Bench::prepared(Prepared::Done);
    for life in [Incarnation(1), NEXT_LIFE] {
        bench.life = life;
        assert_eq!(bench.request(LAST + 1), []);
        assert_eq!(bench.ack(LAST), []);
    }
    assert!(bench.queue.is_empty());
    bench.life = LIFE;
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
}

#[test]
fn server_session_fenced_tells_a_later_life_the_facts_and_begins_nothing() {
    let mut bench = Bench::prepared(Prepared::Done);
    let old = bench.session;
    bench.come_back();
    bench.session = old;
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    assert_eq!(bench.ping(LAST), [returned(LAST, 0)]);
    assert_eq!(bench.seal(LAST + 1), [promised(LAST + 1)]);
    assert_eq!(bench.cancel(LAST + 2), [promised(LAST + 2)]);
    assert_eq!(bench.request(LAST + 3), []);
    bench.life = LIFE;
    assert_eq!(bench.duplicate(LAST + 2), [promised(LAST + 2)]);
    assert_eq!(bench.request(LAST + 4), []);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_session_fenced_is_sealed_by_a_later_life_at_its_new_address() {
    let mut bench = Bench::prepared(Prepared::Running);
    let old = bench.session;
    bench.from = ELSEWHERE;
    let new = bench.come_back();
    bench.session = new;
    bench.ping(1); // shows that WELCOME came
    bench.session = old;
    Bench::assert_working(&bench.seal(LAST), LAST, LAST);
    let ticket = bench.running.remove(0);
    bench.server.finish(bench.now, ticket, HandlerEnd::Returned, b"reply".to_vec());
    let all = bench.drain();
    let [(to, envelope, said)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((to, said), (&ELSEWHERE, &returned(LAST, 1)));
    assert_eq!(envelope.target, NEXT_LIFE.tag());
}

#[test]
fn server_session_fenced_tells_nothing_where_no_life_of_its_client_lives() {
    let mut bench = Bench::prepared(Prepared::Done);
    let old = bench.session;
    bench.session = bench.come_back();
    bench.ping(1); // shows that WELCOME came
    bench.session = old;
    let envelope = bench.envelope();
    assert_eq!(bench.send_as(ELSEWHERE, &envelope, &ping_pdu(LAST)), []);
    assert_eq!(bench.ping(LAST), [returned(LAST, 0)], "a life of its client does learn it");
}

#[test]
fn server_session_live_asks_an_unknown_address_for_proof_and_never_says_more_than_came() {
    let mut bench = Bench::prepared(Prepared::Done);
    let envelope = bench.envelope();
    // A PING is a little shorter than a COOKIE: the first one only counts.
    assert_eq!(bench.send_as(ELSEWHERE, &envelope, &ping_pdu(LAST)), []);
    let all = bench.send_as(ELSEWHERE, &envelope, &ping_pdu(LAST));
    let [(ELSEWHERE, _, Said::Cookie(Cookie { nonce, cookie }))] = all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(nonce, Nonce(0));
    assert_eq!(bench.send_as(ELSEWHERE, &envelope, &ping_pdu(LAST)), []);
    let request = bench.call(LAST + 1);
    let all = bench.send_as(ELSEWHERE, &envelope, &Pdu::Request(request));
    assert!(matches!(all[..], [(ELSEWHERE, _, Said::Cookie(_))]), "{all:?}");
    assert!(bench.queue.is_empty(), "nothing begins on behalf of an unproved address");

    bench.from = ELSEWHERE;
    let hello = Hello { resume: bench.session, has_cookie: 1, cookie, ..bench.hello() };
    assert_eq!(bench.say_hello(&hello).0, bench.session);
    assert_eq!(bench.ping(LAST), [returned(LAST, 0)]);
}

#[test]
fn server_session_slots_beyond_those_granted_and_sequence_zero_are_dropped() {
    let mut bench = Bench::new();
    let beyond = Request { slot: SlotIndex(64), ..bench.call(1) };
    let nothing = bench.call(0);
    for request in [beyond, nothing] {
        assert_eq!(bench.send(&Pdu::Request(request)), []);
    }
    let last = Request { slot: SlotIndex(63), ..bench.call(1) };
    bench.send(&Pdu::Request(last));
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn server_session_lease_ends_an_idle_session_for_good() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.pass(Duration::from_millis(29_999));
    assert!(bench.closed.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.closed, [bench.session]);
    assert_eq!((bench.server.stored_bytes(), bench.next_wake()), (0, None));
    assert!(matches!(bench.duplicate(LAST)[..], [Said::NoSession(_)]));
    assert!(bench.server.sessions.is_empty());
}

#[test]
fn server_session_lease_is_renewed_by_whatever_is_heard() {
    let mut bench = Bench::prepared(Prepared::Done);
    for _ in 0..4 {
        bench.pass(Duration::from_secs(20));
        assert_eq!(bench.ping(LAST), [returned(LAST, 0)]);
    }
}

#[test]
fn server_session_lease_counts_only_while_nothing_runs() {
    for state in [Prepared::Queued, Prepared::Running] {
        let mut bench = Bench::prepared(state);
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.server.sessions(), 1, "{state:?}");
        if state == Prepared::Queued {
            assert_eq!(bench.try_begin(), Begin::Not);
        } else {
            bench.finish(HandlerEnd::Returned, b"reply");
        }
        bench.pass(Duration::from_millis(29_999));
        assert_eq!(bench.server.sessions(), 1, "{state:?}");
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.server.sessions(), 0, "{state:?}");
    }
}

#[test]
fn server_session_lease_of_an_unused_session_is_short() {
    let mut bench = Bench::new();
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.closed, [bench.session]);
    assert_eq!(bench.next_wake(), None);
}

#[test]
fn server_session_lease_of_a_fenced_session_is_not_renewed() {
    let mut bench = Bench::prepared(Prepared::Done);
    let old = bench.session;
    bench.come_back();
    bench.session = old;
    for _ in 0..2 {
        bench.pass(Duration::from_secs(14));
        assert_eq!(bench.ping(LAST), [returned(LAST, 0)]);
    }
    bench.pass(Duration::from_secs(2));
    assert!(bench.closed.contains(&old));
}

#[test]
fn server_session_bye_ends_an_idle_session_at_once() {
    let mut bench = Bench::prepared(Prepared::Done);
    let bye = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
    assert_eq!(bench.send(&bye), []);
    assert_eq!(bench.closed, [bench.session]);
    assert_eq!(bench.next_wake(), None);
}

#[test]
fn server_session_bye_waits_for_what_runs_and_lets_nothing_begin() {
    let mut bench = Bench::prepared(Prepared::Running);
    bench.send(&Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
    assert!(bench.closed.is_empty());
    let other = Request { slot: SlotIndex(1), ..bench.call(1) };
    assert_eq!(bench.send(&Pdu::Request(other)), []);
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    assert_eq!(bench.closed, [bench.session]);
}

#[test]
fn server_session_bye_lets_nothing_run_again() {
    let mut bench = Bench::prepared(Prepared::Ran);
    let other = Request { slot: SlotIndex(1), ..bench.call(1) };
    bench.send(&Pdu::Request(other));
    bench.send(&Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
    assert_eq!(bench.request_again(LAST), [], "nobody waits for it");
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn server_session_bye_of_another_life_or_place_is_ignored() {
    let mut bench = Bench::prepared(Prepared::Done);
    let bye = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
    let later = Envelope { incarnation: NEXT_LIFE, ..bench.envelope() };
    bench.send_as(HOME, &later, &bye);
    let envelope = bench.envelope();
    bench.send_as(ELSEWHERE, &envelope, &bye);
    assert_eq!(bench.server.sessions(), 1);
}

#[test]
fn server_session_drain_tells_those_who_called_and_still_answers_duplicates_and_seals() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.server.drain(bench.now, Duration::from_secs(5));
    assert!(bench.server.is_drained());
    let drain_ms = 5000;
    let goaway = Goaway { reason: GoawayReason::Draining, pad: [0; 3], drain_ms };
    assert_eq!(bench.said(), [Said::Goaway(goaway)]);
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    assert_eq!(bench.seal(LAST), [returned(LAST, 0)]);
    assert_eq!(bench.seal(LAST + 1), [promised(LAST + 1)]);
}

#[test]
fn server_session_drain_runs_what_was_accepted() {
    let mut bench = Bench::prepared(Prepared::Queued);
    bench.server.drain(bench.now, Duration::from_secs(5));
    bench.drain();
    assert!(!bench.server.is_drained());
    bench.begin();
    assert!(!bench.server.is_drained());
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    assert!(bench.server.is_drained());
}

#[test]
fn server_session_ids_are_never_alike_and_tell_nothing_of_their_count() {
    let mut bench = Bench::empty(Limits::default());
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..50 {
        bench.open();
        assert!(ids.insert(bench.session));
    }
    let mut other = Bench::empty(Limits::default());
    other.server = Server::new(
        ServerIdentity { incarnation: Incarnation(2), ..MINE },
        Limits::default(),
        methods(),
        Box::new(Counting(1)),
    );
    let hello = Hello { server_incarnation: Incarnation::NONE, ..other.hello() };
    let envelope = Envelope { target: 0, ..other.envelope() };
    let mut datagram = Vec::new();
    encode(&envelope, &Pdu::Hello(hello), &mut datagram);
    other.server.handle_datagram(other.now, HOME, &datagram);
    let id = *other.server.sessions.keys().next().unwrap();
    assert!(!ids.contains(&id), "the same seed in another life draws other ids");
}
