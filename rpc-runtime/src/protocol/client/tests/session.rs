//! Sessions open, are resumed and lost: the table "Client session", row by row.

use super::*;

/// A bench with a session in which the first call has ended, and nothing was said for so long.
fn idle(time: Duration) -> Bench {
    let mut bench = Bench::prepared(Prepared::Free);
    bench.ended.clear();
    bench.pass(time);
    bench
}

/// A bench with its first call under way in [`A`], which is being resumed; and the HELLO for it.
fn resuming(semantics: Semantics) -> (Bench, Hello) {
    let (mut bench, _) = Bench::busy_with(semantics);
    let hello = only_hello(&bench.no_session());
    (bench, hello)
}

/// Of [`Prepared::Busy`], after the session was lost to [`B`].
fn lost_to_b(semantics: Semantics) -> (Bench, Vec<Said>) {
    let (mut bench, hello) = resuming(semantics);
    bench.session = B;
    let said = bench.welcome(hello.nonce);
    (bench, said)
}

fn welcome_in(bench: &mut Bench, session: SessionId, nonce: Nonce) -> Vec<Said> {
    bench.session = session;
    bench.welcome(nonce)
}

#[test]
fn without_a_session_the_first_call_says_hello_to_whom_it_means() {
    for (target, server, life) in
        [(ANYBODY, ServerId::NONE, Incarnation::NONE), (BOUND, SERVER, LIFE_OF_SERVER)]
    {
        let mut bench = Bench::with(Limits::default(), target);
        assert_eq!(bench.pass(LEASE), [], "nothing before the first call");
        let (_, said) = bench.call();
        let hello = only_hello(&said);
        assert_eq!((hello.client, hello.server, hello.server_incarnation), (ME.id, server, life));
        assert_eq!((hello.resume, hello.has_cookie), (SessionId::NONE, 0));
        assert!(hello.nonce.0 != 0);
        assert_eq!(bench.said_in, [SessionId::NONE]);
    }
}

#[test]
fn all_calls_share_one_session() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    for _ in 1..3 {
        assert_eq!(bench.call().1, []);
    }
    let expected = [0, 1, 2].map(|slot| Said::Request { slot, sequence: 1, transmission: 1 });
    assert_eq!(bench.welcome_hello(&said), expected);
    assert_eq!(bench.counters().sessions_opened, 1);
}

#[test]
fn a_hello_without_answer_is_said_again_with_the_same_nonce_ever_more_slowly() {
    let mut bench = Bench::new();
    let (_, said) = bench.start(CallSpec { deadline: bench.now + LEASE, ..bench.spec() });
    let hello = only_hello(&said);
    let mut before = Duration::ZERO;
    for _ in 0..3 {
        let (waited, said) = bench.step();
        assert_eq!(only_hello(&said), hello);
        assert!(waited > before);
        before = waited;
    }
    assert_eq!(bench.welcome(hello.nonce), [request(1)]);
}

#[test]
fn a_hello_that_nobody_waits_for_is_not_said_again() {
    let mut bench = Bench::new();
    let (key, _) = bench.call();
    bench.cancel(key);
    assert_eq!(bench.pass(LEASE), []);
    assert!(bench.client.is_quiet());
    let (_, said) = bench.call();
    only_hello(&said);
}

#[test]
fn a_cookie_is_said_back_with_the_same_nonce_and_the_newest_counts() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    let Hello { nonce, .. } = only_hello(&said);
    for cookie in [[1; COOKIE_BYTES], [2; COOKIE_BYTES]] {
        let said = bench.tell(&Pdu::Cookie(Cookie { nonce, cookie }));
        let hello = only_hello(&said);
        assert_eq!((hello.nonce, hello.has_cookie, hello.cookie), (nonce, 1, cookie));
        assert_eq!(bench.tell(&Pdu::Cookie(Cookie { nonce, cookie })), [], "a copy of it");
    }
    let other = Cookie { nonce: Nonce(nonce.0 + 1), cookie: [3; COOKIE_BYTES] };
    assert_eq!(bench.tell(&Pdu::Cookie(other)), [], "for another HELLO");
    assert_eq!(only_hello(&bench.step().1).cookie, [2; COOKIE_BYTES]);
}

/// What makes an answer to a HELLO somebody else's.
fn foreign_welcomes(bench: &Bench, nonce: Nonce) -> Vec<(Envelope, Welcome)> {
    let (envelope, welcome) = (bench.envelope(), bench.welcome_of(nonce));
    vec![
        (envelope, Welcome { nonce: Nonce(nonce.0 + 1), ..welcome }),
        (envelope, Welcome { nonce: Nonce(0), ..welcome }),
        (envelope, Welcome { client: ClientId(1), ..welcome }),
        (envelope, Welcome { server: ServerId(1), ..welcome }),
        (Envelope { incarnation: NEXT_LIFE_OF_SERVER, ..envelope }, welcome),
        (Envelope { session: SessionId::NONE, ..envelope }, welcome),
        (Envelope { target: LIFE.tag() + 1, ..envelope }, welcome),
    ]
}

#[test]
fn a_welcome_that_is_not_the_answer_to_this_hello_is_ignored() {
    let mut bench = Bench::with(Limits::default(), BOUND);
    let (_, said) = bench.call();
    let nonce = only_hello(&said).nonce;
    for (envelope, welcome) in foreign_welcomes(&bench, nonce) {
        assert_eq!(bench.tell_as(&envelope, &Pdu::Welcome(welcome)), [], "{welcome:?}");
    }
    assert_eq!(bench.counters().sessions_opened, 0);
    assert_eq!(bench.welcome(nonce), [request(1)]);
    assert_eq!(bench.welcome(nonce), [], "a copy of it");
    assert_eq!(bench.counters().sessions_opened, 1);
}

#[test]
fn a_welcome_in_an_incarnation_before_one_that_was_seen_is_a_stale_binding() {
    let (mut bench, hello) = resuming(Semantics::AtLeastOnce);
    (bench.session, bench.life) = (B, Incarnation(0x4_ffff_ffff));
    assert_eq!(bench.welcome(hello.nonce), [], "nothing is sent to a restored backup");
    assert_eq!(bench.ended[0].outcome, Outcome::InDoubt(DoubtCause::RefusedAfterDoubt));
    bench.ended.clear();
    let (_, said) = bench.call();
    let nonce = only_hello(&said).nonce;
    assert_eq!(bench.welcome(nonce), []);
    let Outcome::Rejected { reason, .. } = bench.ended[0].outcome else { panic!("not rejected") };
    assert_eq!(reason, RejectReason::StaleBinding);
}

#[test]
fn lives_of_one_count_are_told_apart_and_neither_is_the_earlier() {
    let (mut bench, hello) = resuming(Semantics::AtLeastOnce);
    (bench.session, bench.life) = (B, Incarnation(LIFE_OF_SERVER.0 - 1));
    assert_eq!(bench.welcome(hello.nonce), [request(2)], "what tells them apart is random");
}

#[test]
fn a_session_given_up_is_never_adopted_again() {
    let (mut bench, _) = lost_to_b(Semantics::AtMostOnce);
    bench.ended.clear();
    bench.pass(LEASE);
    let (_, said) = bench.call();
    let nonce = only_hello(&said).nonce;
    assert_eq!(welcome_in(&mut bench, A, nonce), []);
    assert_eq!(welcome_in(&mut bench, B, nonce), [request(1)]);
}

#[test]
fn a_stale_binding_ends_what_waits_and_the_next_call_asks_afresh() {
    for reason in [RejectReason::StaleBinding, RejectReason::Version, RejectReason::Draining] {
        let mut bench = Bench::with(Limits::default(), BOUND);
        let (_, said) = bench.call();
        assert_eq!(bench.reject_hello(&said, reason, 9), []);
        let outcome = bench.outcome();
        let push_back = Duration::from_millis(300);
        let (server, incarnation) = (SERVER, Incarnation(9));
        let versions = (1, 1);
        assert_eq!(outcome, Outcome::Rejected { reason, server, incarnation, versions, push_back });
        assert_eq!(outcome.execution(), Execution::NotExecuted);
        let (_, again) = bench.call();
        assert_ne!(only_hello(&again).nonce, only_hello(&said).nonce);
        assert_eq!(bench.reject_hello(&said, reason, 9), [], "a copy of the first answer");
        bench.pass(PATIENCE);
        assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Unreachable));
    }
}

#[test]
fn an_old_incarnation_is_raised_above_the_highest_once() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    let said = bench.reject_hello(&said, RejectReason::OldIncarnation, 0x7_0000_0009);
    let hello = only_hello(&said);
    assert_eq!(bench.client.incarnation().0 >> 32, 8);
    assert_eq!(hello.client, ME.id);
    let said = bench.reject_hello(&said, RejectReason::OldIncarnation, 0x9_0000_0009);
    assert_eq!(said, []);
    let expected = RejectReason::OldIncarnation;
    assert!(matches!(bench.outcome(), Outcome::Rejected { reason, .. } if reason == expected));
    assert_eq!(bench.client.incarnation().0 >> 32, 8);
}

#[test]
fn no_room_makes_the_call_wait_as_long_as_the_server_asks_for() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    assert_eq!(bench.reject_hello(&said, RejectReason::NoRoom, 0), []);
    assert_eq!(bench.call().1, [], "another call waits too");
    let (waited, again) = bench.step();
    assert_eq!(waited, Duration::from_millis(300));
    assert_ne!(only_hello(&again).nonce, only_hello(&said).nonce);
    let said = bench.welcome_hello(&again);
    let expected = [0, 1].map(|slot| Said::Request { slot, sequence: 1, transmission: 1 });
    assert_eq!(said, expected);
}

#[test]
fn what_may_be_made_elsewhere_waits_for_a_session_only_so_long() {
    let within = Duration::from_millis(250);
    let mut bench = Bench::new();
    let movable = CallSpec { opens_within: Some(within), ..bench.spec() };
    bench.start(movable);
    bench.pass(within - Duration::from_millis(1));
    assert!(bench.ended.is_empty());
    bench.pass(Duration::from_millis(1));
    let outcome = bench.outcome();
    assert_eq!(outcome, Outcome::NotSent(NotSentCause::Unreachable));
    assert_eq!(outcome.execution(), Execution::NotExecuted);

    let mut bench = Bench::new();
    let movable = CallSpec { opens_within: Some(within), ..bench.spec() };
    let (_, said) = bench.start(movable);
    bench.welcome_hello(&said);
    bench.pass(within * 2);
    assert!(bench.ended.is_empty(), "it is under way: only its own end is one");
}

#[test]
fn no_room_to_the_deadline_is_not_executed_and_says_so() {
    let mut bench = Bench::new();
    let (_, mut said) = bench.call();
    while bench.ended.is_empty() {
        if !said.is_empty() {
            bench.reject_hello(&said, RejectReason::NoRoom, 0);
        }
        said = bench.step().1;
    }
    let outcome = bench.outcome();
    assert!(matches!(outcome, Outcome::Rejected { reason: RejectReason::NoRoom, .. }));
    bench.pass(LEASE);
    bench.call();
    bench.pass(PATIENCE);
    let outcome = bench.outcome();
    assert_eq!(outcome, Outcome::NotSent(NotSentCause::Unreachable), "that was long ago");
}

#[test]
fn a_session_idle_for_half_its_lease_is_resumed_before_a_call_is_handed_over() {
    let mut bench = idle(LEASE / 2 - Duration::from_millis(1));
    assert_eq!(bench.call().1, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
    let mut bench = idle(LEASE / 2);
    let (_, said) = bench.call();
    let hello = only_hello(&said);
    assert_eq!((hello.resume, bench.said_in.clone()), (A, vec![A]));
    assert_eq!(
        bench.welcome(hello.nonce),
        [Said::Request { slot: 0, sequence: 2, transmission: 1 }]
    );
}

#[test]
fn a_call_after_an_idle_session_was_lost_runs_in_the_next_without_doubt() {
    let mut bench = idle(LEASE * 2);
    let (_, said) = bench.call();
    let nonce = only_hello(&said).nonce;
    assert_eq!(welcome_in(&mut bench, B, nonce), [request(1)]);
    bench.tell(&refuse(1, RefuseReason::Overload));
    assert_eq!(bench.outcome(), refused(RefuseReason::Overload));
}

#[test]
fn nosession_is_believed_only_after_a_resume() {
    let (mut bench, _) = Bench::busy();
    let said = bench.no_session();
    let hello = only_hello(&said);
    assert_eq!((hello.resume, hello.has_cookie), (A, 0));
    assert!(bench.ended.is_empty());
    assert_eq!(bench.no_session(), [], "one HELLO at a time");
    assert_eq!(bench.welcome(hello.nonce), [request(2)], "it was forged");
    bench.session = B;
    assert_eq!(bench.no_session(), [], "of another session");
}

#[test]
fn a_cookie_for_a_live_session_is_said_back_and_the_session_resumed() {
    let (mut bench, _) = Bench::busy();
    let cookie = [5; COOKIE_BYTES];
    for (session, nonce) in [(B, 0), (A, 1)] {
        let envelope = Envelope { session, ..bench.envelope() };
        let pdu = Pdu::Cookie(Cookie { nonce: Nonce(nonce), cookie });
        assert_eq!(bench.tell_as(&envelope, &pdu), [], "not for it");
    }
    let said = bench.tell(&Pdu::Cookie(Cookie { nonce: Nonce(0), cookie }));
    let hello = only_hello(&said);
    assert_eq!((hello.resume, hello.has_cookie, hello.cookie), (A, 1, cookie));
    assert!(hello.nonce.0 != 0);
    assert_eq!(bench.welcome(hello.nonce), [request(2)]);
    assert_eq!(bench.counters().sessions_lost, 0);
}

#[test]
fn a_resumed_session_gets_every_busy_call_and_every_question_again() {
    let mut bench = Bench::prepared(Prepared::Linger);
    bench.call();
    bench.call();
    let (_, said) = bench.resolve(place(1), PATIENCE);
    assert_eq!(said, [SEAL]);
    let said = bench.no_session();
    let mut said = bench.welcome_hello(&said);
    said.sort_by_key(|said| matches!(said, Said::Seal { .. }));
    let mut expected =
        [1, 2].map(|slot| Said::Request { slot, sequence: 1, transmission: 2 }).to_vec();
    expected.push(SEAL);
    assert_eq!(said, expected);
}

#[test]
fn answers_of_a_session_that_is_being_resumed_count() {
    let (mut bench, hello) = resuming(Semantics::AtMostOnce);
    assert_eq!(bench.tell(&reply(1)), []);
    assert_eq!(bench.outcome(), returned());
    assert_eq!(bench.welcome(hello.nonce), []);
    assert_eq!(bench.step().1, [ACK]);
}

#[test]
fn a_call_of_a_session_that_is_being_resumed_waits_for_that() {
    let (mut bench, hello) = resuming(Semantics::AtMostOnce);
    let said = bench.pass(PATIENCE);
    assert!(!said.is_empty());
    assert!(said.iter().all(|said| *said == Said::Hello(hello)), "{said:?}");
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::NoReply));
}

#[test]
fn a_resume_that_finds_another_session_loses_at_most_once_calls_in_doubt() {
    for (life, cause) in [
        (LIFE_OF_SERVER, DoubtCause::SessionLost),
        (NEXT_LIFE_OF_SERVER, DoubtCause::ServerRestarted),
    ] {
        let (mut bench, hello) = resuming(Semantics::AtMostOnce);
        bench.life = life;
        assert_eq!(welcome_in(&mut bench, B, hello.nonce), [], "never sent in B");
        let ended = bench.last_ended();
        assert_eq!((ended.outcome, ended.call), (Outcome::InDoubt(cause), place(1)));
        let (_, said) = bench.call();
        assert_eq!((said, bench.said_in.clone()), (vec![request(1)], vec![B]), "from the start");
    }
}

#[test]
fn a_resume_that_finds_another_session_sends_at_least_once_calls_in_it() {
    let (mut bench, said) = lost_to_b(Semantics::AtLeastOnce);
    assert_eq!((said, bench.said_in.clone()), (vec![request(2)], vec![B]));
    bench.tell(&reply(1));
    let ended = bench.last_ended();
    assert_eq!((ended.outcome, ended.call.session), (returned(), B));
    assert_eq!(ended.evidence.transmissions, 2);
}

#[test]
fn an_at_least_once_call_that_was_lost_once_is_never_reported_as_not_executed() {
    for (answer, expected) in terminal_answers() {
        let (mut bench, _) = lost_to_b(Semantics::AtLeastOnce);
        bench.tell(&answer);
        let in_doubt = Outcome::InDoubt(DoubtCause::RefusedAfterDoubt);
        let denies = expected.execution() == Execution::NotExecuted;
        assert_eq!(bench.outcome(), if denies { in_doubt } else { expected });
    }
    // Nor is one that lingers, or waits for another session.
    let (mut bench, _) = lost_to_b(Semantics::AtLeastOnce);
    bench.pass(PATIENCE);
    bench.ended.clear();
    bench.tell(&sealed(1, SealedVerdict::NotExecuted));
    bench.resolve(CallId { session: B, ..place(1) }, PATIENCE);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::RefusedAfterDoubt));
}

#[test]
fn an_at_least_once_call_that_finds_no_session_again_is_in_doubt() {
    type Deed = fn(&mut Bench, CallKey);
    let deeds: [(Deed, DoubtCause); 4] = [
        (|bench, _| drop(bench.pass(PATIENCE)), DoubtCause::NoReply),
        (|bench, key| drop(bench.cancel(key)), DoubtCause::Cancelled),
        (|bench, _| bench.client.close(bench.now), DoubtCause::NoReply),
        (
            |bench, _| {
                let said = bench.step().1;
                bench.reject_hello(&said, RejectReason::StaleBinding, 0);
            },
            DoubtCause::RefusedAfterDoubt,
        ),
    ];
    for (deed, cause) in deeds {
        let (mut bench, key) = Bench::busy_with(Semantics::AtLeastOnce);
        only_hello(&bench.tell(&BYE));
        deed(&mut bench, key);
        bench.drain();
        assert_eq!(bench.outcome(), Outcome::InDoubt(cause));
    }
}

#[test]
fn a_resume_that_is_rejected_loses_the_session() {
    for reason in [RejectReason::StaleBinding, RejectReason::Version, RejectReason::Draining] {
        let (mut bench, hello) = resuming(Semantics::AtMostOnce);
        let own = LIFE_OF_SERVER.0;
        assert_eq!(bench.reject_hello(&[Said::Hello(hello)], reason, own), []);
        assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
        assert_eq!(bench.welcome(hello.nonce), [], "late_welcome_revives");
        let (_, said) = bench.call();
        assert_eq!(only_hello(&said).resume, SessionId::NONE);
    }
    let (mut bench, hello) = resuming(Semantics::AtMostOnce);
    let restarted = NEXT_LIFE_OF_SERVER.0;
    bench.reject_hello(&[Said::Hello(hello)], RejectReason::StaleBinding, restarted);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::ServerRestarted));
}

#[test]
fn a_resume_that_nobody_waited_for_is_asked_again_by_the_next_call() {
    let (mut bench, hello) = resuming(Semantics::AtMostOnce);
    let key = *bench.under_way.keys().next().unwrap();
    assert_eq!(bench.cancel(key), []);
    let said = bench.pass(PATIENCE);
    assert!(said.iter().all(|said| *said == CANCEL), "for the call's sake no HELLO: {said:?}");
    assert_eq!(bench.welcome(hello.nonce), [], "given up with those who waited for it");
    let (_, said) = bench.call();
    assert_eq!(only_hello(&said).resume, A);
    bench.welcome_hello(&said);
    assert_eq!(bench.counters().sessions_lost, 0);
}

#[test]
fn replies_of_a_session_whose_resume_nobody_waited_for_are_acknowledged_still() {
    let (mut bench, _) = resuming(Semantics::AtMostOnce);
    bench.tell(&reply(1));
    assert_eq!(bench.pass(PATIENCE), [ACK]);
    assert!(bench.client.is_quiet());
}
