//! What a server says of time is believed only as far as it does no harm, and only as long.

use super::world::World;
use super::*;

/// Two of these fit the lease of [`World`], so that no HELLO tells the time anew.
const PAUSE: Duration = Duration::from_secs(2);
const DAY_S: u64 = 86_400;

#[test]
fn a_session_that_is_busy_for_a_day_refuses_no_call_as_expired() {
    for rate in 0..3 {
        let mut world = World::new(rate, false);
        while world.now.as_micros() < DAY_S * 1_000_000 {
            let number = world.facts.len();
            world.call(0, 0, Duration::from_millis(100));
            world.drain();
            world.calm(PAUSE);
            let fact = world.facts[number];
            let after = Duration::from_micros(world.now.as_micros()).as_secs();
            assert_eq!(fact.begun, 1, "call {number}, after {after} s, rate {rate}: {fact:?}");
        }
        assert_eq!(world.client.counters().sessions_opened, 1);
    }
}

#[test]
fn every_answer_about_a_call_tells_the_server_s_time() {
    let session_time_us = 500_000_000;
    let (Pdu::Reply(reply), Pdu::Refuse(refuse)) = (reply(1), refuse(1, RefuseReason::Overload))
    else {
        unreachable!()
    };
    let (Pdu::Working(working), Pdu::Unseen(unseen)) = (working(1, 1), unseen(1)) else {
        unreachable!()
    };
    for answer in [
        Pdu::Reply(Reply { session_time_us, ..reply }),
        Pdu::Refuse(Refuse { session_time_us, ..refuse }),
        Pdu::Working(Working { session_time_us, ..working }),
        Pdu::Unseen(Unseen { session_time_us, ..unseen }),
    ] {
        let (mut bench, _) = Bench::busy();
        bench.tell(&answer);
        bench.call();
        let patience_us = u64::try_from(PATIENCE.as_micros()).unwrap();
        let not_after_us = bench.asked.as_ref().unwrap().not_after_us;
        let expected = session_time_us + patience_us;
        assert!((expected - 300..expected).contains(&not_after_us), "{answer:?}: {not_after_us}");
    }
}

#[test]
fn a_lease_of_nothing_makes_no_storm_of_hellos() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    let welcome =
        Welcome { lease_ms: 0, lease_unused_ms: 0, ..bench.welcome_of(only_hello(&said).nonce) };
    assert_eq!(bench.tell(&Pdu::Welcome(welcome)), [request(1)]);
    bench.tell(&reply(1));
    bench.pass(Duration::from_millis(10));
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
}

#[test]
fn a_session_that_is_denied_as_soon_as_it_is_resumed_makes_no_storm_of_hellos() {
    let (mut bench, _) = Bench::busy();
    let mut hellos = 0;
    for _ in 0..1_000 {
        let said = bench.no_session();
        bench.now = bench.now + Duration::from_micros(100);
        if let [Said::Hello(hello)] = said[..] {
            hellos += 1;
            bench.welcome(hello.nonce);
        }
    }
    assert!(hellos <= 5, "{hellos} in 100 ms");
    bench.tell(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn a_server_that_asks_to_be_left_alone_for_weeks_is_asked_again_before_that() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    let nonce = only_hello(&said).nonce;
    let envelope = Envelope { session: SessionId::NONE, ..bench.envelope() };
    let reject = Reject {
        nonce,
        server: SERVER,
        highest: LIFE_OF_SERVER,
        reason: RejectReason::NoRoom,
        version_min: 1,
        version_max: 1,
        pad: 0,
        push_back_ms: u32::MAX,
    };
    bench.tell_as(&envelope, &Pdu::Reject(reject));
    bench.pass(PATIENCE);
    let Outcome::Rejected { push_back, .. } = bench.outcome() else { panic!() };
    assert_eq!(push_back, Limits::default().push_back_max);
    bench.pass(Limits::default().push_back_max);
    let (_, said) = bench.call();
    bench.welcome_hello(&said);
    let Pdu::Refuse(refuse) = refuse(1, RefuseReason::Overload) else { unreachable!() };
    bench.tell(&Pdu::Refuse(Refuse { push_back_ms: u32::MAX, ..refuse }));
    let Outcome::Refused { push_back, .. } = bench.outcome() else { panic!() };
    assert_eq!(push_back, Limits::default().push_back_max);
}

#[test]
fn every_maybe_call_that_never_left_is_counted() {
    let mut bench = Bench::new();
    let maybe = CallSpec { semantics: Semantics::Maybe, ..bench.spec() };
    for _ in 0..10 {
        bench.start(maybe);
    }
    let (cancelled, _) = bench.start(maybe);
    bench.cancel(cancelled);
    assert_eq!(bench.counters().maybe_dropped, 1);
    bench.pass(PATIENCE);
    assert_eq!((bench.ended.len(), bench.counters().maybe_dropped), (11, 11));
    bench.pass(LEASE);
    let (_, said) = bench.start(CallSpec { deadline: bench.now + PATIENCE, ..maybe });
    bench.welcome_hello(&said);
    assert_eq!(bench.ended.last().unwrap().outcome, Outcome::Sent);
    assert_eq!(bench.counters().maybe_dropped, 11);
}
