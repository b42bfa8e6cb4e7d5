//! HELLO against every state of a session.

use super::*;

fn rejected(said: &Said) -> (RejectReason, Incarnation) {
    let Said::Reject(reject) = said else { panic!("{said:?}") };
    assert_eq!(reject.server, MINE.id);
    (reject.reason, reject.highest)
}

#[test]
fn server_session_hello_opens_a_session_with_what_was_agreed() {
    let mut bench = Bench::empty(Limits::default());
    let hello = Hello { slots: 5000, ..bench.hello() };
    let (session, said) = bench.say_hello(&hello);
    assert!(session.is_some());
    let expected = Welcome {
        nonce: hello.nonce,
        client: CLIENT,
        server: MINE.id,
        lease_ms: 4_000,
        slots: 1024,
        session_time_us: 0,
        generation: GenerationId::NONE,
        working_after_us: 10_000,
        datagram_bytes: 1232,
    };
    assert_eq!(said, Said::Welcome(expected));
}

#[test]
fn server_session_hello_to_any_server_is_taken() {
    let mut bench = Bench::empty(Limits::default());
    let (server, server_incarnation) = (ServerId::NONE, Incarnation::NONE);
    let hello = Hello { server, server_incarnation, ..bench.hello() };
    let envelope = Envelope { target: 0, ..bench.envelope() };
    let all = bench.send_as(HOME, &envelope, &Pdu::Hello(hello));
    assert!(matches!(all[..], [(HOME, _, Said::Welcome(_))]));
}

#[test]
fn server_session_hello_for_another_server_or_life_is_a_stale_binding() {
    let mut bench = Bench::new();
    let other = Hello { server: ServerId(9), ..bench.hello() };
    let dead = Hello { server_incarnation: Incarnation(9), ..bench.hello() };
    for hello in [other, dead] {
        let (_, said) = bench.say_hello(&hello);
        assert_eq!(rejected(&said), (RejectReason::StaleBinding, MINE.incarnation));
    }
    let hello = bench.hello();
    let envelope = Envelope { target: 77, ..bench.envelope() };
    let all = bench.send_as(HOME, &envelope, &Pdu::Hello(hello));
    assert_eq!(rejected(&all[0].2).0, RejectReason::StaleBinding);
    assert_eq!((bench.server.sessions(), bench.counters().rejected), (1, 3));
}

#[test]
fn server_session_hello_of_a_former_life_is_refused_and_touches_nothing() {
    let mut bench = Bench::new();
    bench.request(1);
    bench.come_back();
    bench.life = LIFE;
    let hello = bench.hello();
    let (_, said) = bench.say_hello(&hello);
    assert_eq!(rejected(&said), (RejectReason::OldIncarnation, NEXT_LIFE));
    assert_eq!(bench.server.sessions(), 2);
}

/// A HELLO of version 2, whole by its own checksum, whatever else stands in it.
fn hello_of_version_2(bench: &mut Bench, body_bytes: usize) -> (Nonce, Vec<u8>) {
    let hello = Hello { version_min: 2, version_max: 2, ..bench.hello() };
    let mut bytes = Vec::new();
    encode(&bench.envelope(), &Pdu::Hello(hello), &mut bytes);
    bytes.resize(HEADER_BYTES + body_bytes, 0xee);
    bytes[0] = 2;
    bytes[4..8].copy_from_slice(&u32::try_from(body_bytes).unwrap().to_le_bytes());
    sum(&mut bytes);
    (hello.nonce, bytes)
}

/// Gives bytes the checksum that they must have.
fn sum(bytes: &mut [u8]) {
    bytes[8..12].fill(0);
    let checksum = crc32fast::hash(bytes);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_hello_of_another_version_is_answered_with_the_versions_that_are_spoken_in_its_own_name() {
    for body_bytes in [Hello::LEN, Hello::LEN + 100] {
        let mut bench = Bench::empty(Limits::default());
        let (nonce, bytes) = hello_of_version_2(&mut bench, body_bytes);
        bench.server.handle_datagram(bench.now, HOME, &bytes);
        let mut answer = Vec::new();
        let output = bench.server.poll_output(bench.now, &mut answer);
        assert!(matches!(output, Output::Transmit { to: HOME }));
        assert!(answer.len() <= bytes.len());
        assert_eq!(decode(&answer), Err(Malformed::Version { got: 2 }), "who asks reads it");
        answer[0] = 1;
        sum(&mut answer);
        let (envelope, Pdu::Reject(reject), []) = decode(&answer).unwrap() else { panic!() };
        assert_eq!(envelope.target, LIFE.tag());
        assert_eq!((reject.nonce, reject.reason), (nonce, RejectReason::Version));
        assert_eq!((reject.version_min, reject.version_max), (1, 1));
        assert_eq!((bench.counters().rejected, bench.counters().malformed), (1, 0));
        assert_eq!((bench.said(), bench.server.sessions()), (vec![], 0));
    }
}

#[test]
fn nothing_else_of_another_version_is_answered() {
    let mut bench = Bench::empty(Limits::default());
    let (_, whole) = hello_of_version_2(&mut bench, Hello::LEN);
    let (_, short) = hello_of_version_2(&mut bench, Hello::LEN - 1);
    let (mut damaged, mut ping, mut own) = (whole.clone(), whole.clone(), whole.clone());
    damaged[50] ^= 1;
    (ping[1], own[0]) = (9, 1); // the last: a HELLO of ours whose version was damaged on its way
    sum(&mut ping);
    sum(&mut own);
    own[0] = 3;
    for bytes in [&short, &damaged, &ping, &own, &whole[..whole.len() - 1].to_vec()] {
        bench.server.handle_datagram(bench.now, HOME, bytes);
        assert_eq!(bench.said(), []);
    }
    assert_eq!(bench.counters().malformed, 5);
}

#[test]
fn server_session_hello_of_a_later_life_fences_the_earlier_ones() {
    let mut bench = Bench::prepared(Prepared::Done);
    let old = bench.session;
    let new = bench.come_back();
    assert_ne!(old, new);
    bench.session = old;
    assert_eq!(bench.request(LAST + 1), []);
    bench.session = new;
    assert_eq!(bench.request(1), []);
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn server_session_hello_of_a_later_life_must_prove_its_address_before_it_fences() {
    let mut bench = Bench::prepared(Prepared::Done);
    let old = bench.session;
    bench.life = NEXT_LIFE;
    let hello = bench.hello();
    let (_, said) = bench.say_hello(&hello);
    assert!(matches!(said, Said::Cookie(_)), "{said:?}");
    bench.life = LIFE;
    bench.session = old;
    assert_eq!(bench.request(LAST + 1), []);
    assert_eq!(bench.queue.len(), 1, "nothing was fenced");
}

#[test]
fn server_session_hello_twice_opens_one_session_with_equal_welcomes() {
    let mut bench = Bench::empty(Limits::default());
    let hello = bench.hello();
    let first = bench.say_hello(&hello);
    assert_eq!(bench.say_hello(&hello), first);
    assert_eq!(bench.server.sessions(), 1);
}

#[test]
fn server_session_hello_repeated_later_tells_the_time_of_its_answer() {
    let mut bench = Bench::empty(Limits::default());
    let hello = bench.hello();
    bench.say_hello(&hello);
    bench.pass(Duration::from_millis(200));
    let (_, said) = bench.say_hello(&hello);
    let Said::Welcome(welcome) = said else { panic!("{said:?}") };
    assert_eq!(welcome.session_time_us, 200_000);
}

#[test]
fn server_session_hello_twice_in_a_fenced_session_opens_nothing() {
    let mut bench = Bench::new();
    bench.request(1);
    let hello = Hello { nonce: Nonce(bench.nonce), ..bench.hello() };
    bench.send(&Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
    let envelope = bench.envelope();
    assert_eq!(bench.send_as(HOME, &envelope, &Pdu::Hello(hello)), []);
    assert_eq!(bench.server.sessions(), 1);
}

#[test]
fn server_session_hello_resume_keeps_the_session_and_its_slots() {
    let mut bench = Bench::prepared(Prepared::Done);
    let hello = Hello { resume: bench.session, ..bench.hello() };
    let (session, said) = bench.say_hello(&hello);
    let Said::Welcome(welcome) = said else { panic!("{said:?}") };
    assert_eq!((session, welcome.nonce), (bench.session, hello.nonce));
    assert_eq!(welcome.lease_ms, 30_000, "of a session that was used");
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
}

#[test]
fn server_session_hello_resume_renews_the_lease() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.pass(Duration::from_secs(29));
    let hello = Hello { resume: bench.session, ..bench.hello() };
    bench.say_hello(&hello);
    bench.pass(Duration::from_secs(29));
    assert_eq!(bench.server.sessions(), 1);
}

#[test]
fn server_session_hello_resume_from_elsewhere_must_prove_the_address() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.from = ELSEWHERE;
    let hello = Hello { resume: bench.session, ..bench.hello() };
    let (_, said) = bench.say_hello(&hello);
    let Said::Cookie(Cookie { nonce, cookie }) = said else { panic!("{said:?}") };
    assert_eq!(nonce, hello.nonce);
    let (session, said) = bench.say_hello(&Hello { has_cookie: 1, cookie, ..hello });
    assert!(matches!(said, Said::Welcome(_)), "{said:?}");
    assert_eq!(session, bench.session);
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
}

#[test]
fn server_session_hello_resume_of_a_session_that_is_gone_opens_another() {
    let mut bench = Bench::new();
    let hello = Hello { resume: SessionId(77), ..bench.hello() };
    let (session, said) = bench.say_hello(&hello);
    assert!(matches!(said, Said::Welcome(_)), "{said:?}");
    assert_ne!(session, SessionId(77));
}

#[test]
fn server_session_hello_resume_of_another_clients_session_opens_another() {
    let mut bench = Bench::new();
    let hello = Hello { client: ClientId(0xbad), resume: bench.session, ..bench.hello() };
    let (session, _) = bench.say_hello(&hello);
    assert_ne!(session, bench.session);
}

#[test]
fn server_session_hello_with_another_nonce_opens_a_session_beside_the_first() {
    let mut bench = Bench::prepared(Prepared::Running);
    let first = bench.session;
    bench.open();
    assert_ne!(bench.session, first);
    bench.session = first;
    // A delayed copy of an old HELLO must not end the session that its client uses.
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    assert_eq!(bench.request(LAST + 1), []);
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn server_session_hello_without_room_is_pushed_back_and_no_session_is_lost() {
    let mut bench = Bench::with(Limits { sessions_max: 1, ..Limits::default() });
    let hello = Hello { client: ClientId(2), ..bench.hello() };
    let (_, said) = bench.say_hello(&hello);
    let Said::Reject(reject) = said else { panic!("{said:?}") };
    assert_eq!((reject.reason, reject.push_back_ms), (RejectReason::NoRoom, 50));
    assert_eq!(bench.request(1), []);
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn server_session_hello_of_no_common_version_is_told_the_versions() {
    let mut bench = Bench::empty(Limits::default());
    let hello = Hello { version_min: 2, version_max: 3, ..bench.hello() };
    let (_, said) = bench.say_hello(&hello);
    let Said::Reject(reject) = said else { panic!("{said:?}") };
    assert_eq!(reject.reason, RejectReason::Version);
    assert_eq!((reject.version_min, reject.version_max), (1, 1));
}

#[test]
fn server_session_hello_without_client_life_or_nonce_is_dropped() {
    let mut bench = Bench::empty(Limits::default());
    let envelope = bench.envelope();
    let good = bench.hello();
    let nobody = Hello { client: ClientId::NONE, ..good };
    let unasked = Hello { nonce: Nonce(0), ..good };
    for hello in [nobody, unasked] {
        assert_eq!(bench.send_as(HOME, &envelope, &Pdu::Hello(hello)), []);
    }
    let lifeless = Envelope { incarnation: Incarnation::NONE, ..envelope };
    assert_eq!(bench.send_as(HOME, &lifeless, &Pdu::Hello(good)), []);
    assert_eq!((bench.counters().foreign, bench.server.sessions()), (3, 0));
}

#[test]
fn server_session_hello_under_the_strict_policy_needs_proof_and_leaves_no_state_before() {
    let limits = Limits { cookie_always: true, ..Limits::default() };
    let mut bench = Bench::empty(limits);
    let hello = bench.hello();
    let (_, said) = bench.say_hello(&hello);
    let Said::Cookie(Cookie { cookie, .. }) = said else { panic!("{said:?}") };
    assert_eq!((bench.server.sessions(), bench.next_wake()), (0, None));
    let forged = Hello { has_cookie: 1, cookie: [7; COOKIE_BYTES], ..hello };
    assert!(matches!(bench.say_hello(&forged).1, Said::Cookie(_)));
    let (session, said) = bench.say_hello(&Hello { has_cookie: 1, cookie, ..hello });
    assert!(matches!(said, Said::Welcome(_)) && session.is_some());
    // The HELLO without the cookie, delayed, finds the session that it led to.
    assert_eq!(bench.say_hello(&hello).0, session);
}

#[test]
fn server_session_hello_while_draining_is_refused_but_resuming_is_not() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.server.drain(bench.now, Duration::from_secs(2));
    bench.drain();
    let hello = Hello { client: ClientId(2), ..bench.hello() };
    let (_, said) = bench.say_hello(&hello);
    let Said::Reject(reject) = said else { panic!("{said:?}") };
    assert_eq!((reject.reason, reject.push_back_ms), (RejectReason::Draining, 50));
    let hello = Hello { resume: bench.session, ..bench.hello() };
    assert!(matches!(bench.say_hello(&hello).1, Said::Welcome(_)));
}
