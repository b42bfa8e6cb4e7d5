//! Sessions end: BYE, GOAWAY, and a connection that is closed. The last rows of "Client session".

use super::*;

#[test]
fn bye_loses_the_session_and_says_nothing_back() {
    let (mut bench, _) = Bench::busy();
    assert_eq!(bench.tell(&BYE), []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
    assert_eq!(bench.counters().sessions_lost, 1);
    assert_eq!(bench.tell(&reply(1)), []);
    let (_, said) = bench.call();
    let hello = only_hello(&said);
    assert_eq!(hello.resume, SessionId::NONE);
    assert_eq!(bench.welcome(hello.nonce), [], "not A again");
    bench.session = B;
    assert_eq!(bench.welcome(hello.nonce), [request(1)]);
}

#[test]
fn bye_while_a_session_is_resumed_loses_it_and_abandons_the_nonce() {
    let (mut bench, _) = Bench::busy();
    let said = bench.no_session();
    let nonce = only_hello(&said).nonce;
    assert_eq!(bench.tell(&BYE), []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
    for session in [A, B] {
        bench.session = session;
        assert_eq!(bench.welcome(nonce), []);
    }
    assert_eq!(bench.counters().sessions_opened, 1);
    assert_eq!(bench.pass(LEASE), []);
}

#[test]
fn bye_for_a_draining_session_is_not_answered_either() {
    let (mut bench, _) = Bench::busy();
    bench.tell(&GOAWAY);
    assert_eq!(bench.tell(&BYE), []);
    bench.ended.clear();
    let (_, said) = bench.call();
    only_hello(&said);
}

#[test]
fn goaway_ends_what_waits_and_waits_for_what_was_handed_over() {
    let mut bench = Bench::new();
    bench.slots = 1;
    let (_, said) = bench.call();
    bench.welcome_hello(&said);
    bench.call();
    assert_eq!(bench.tell(&GOAWAY), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Draining));
    bench.call();
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Draining));
    assert_eq!(bench.tell(&reply(1)), [Said::Bye], "after the last call");
    assert_eq!(bench.outcome(), returned());
    let (_, said) = bench.call();
    assert_eq!(only_hello(&said).resume, SessionId::NONE);
}

#[test]
fn goaway_for_an_idle_session_closes_it() {
    let mut bench = Bench::prepared(Prepared::Free);
    assert_eq!(bench.tell(&GOAWAY), [Said::Bye]);
    assert!(bench.client.is_quiet());
}

#[test]
fn goaway_while_an_idle_session_is_resumed_gives_it_up() {
    let mut bench = Bench::prepared(Prepared::Free);
    bench.pass(LEASE);
    bench.ended.clear();
    let (_, said) = bench.call();
    let nonce = only_hello(&said).nonce;
    assert_eq!(bench.tell(&GOAWAY), [Said::Bye]);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Draining));
    assert_eq!(bench.welcome(nonce), []);
    let (_, said) = bench.call();
    let hello = only_hello(&said);
    assert_eq!(bench.welcome(hello.nonce), [], "A was given up");
    bench.session = B;
    assert_eq!(bench.welcome(hello.nonce), [request(1)], "slots begin anew");
}

#[test]
fn a_draining_session_that_is_lost_lets_new_calls_look_for_another() {
    let (mut bench, _) = Bench::busy_with(Semantics::AtLeastOnce);
    bench.tell(&GOAWAY);
    let said = bench.tell(&BYE);
    only_hello(&said);
    bench.call();
    assert!(bench.ended.is_empty());
    bench.session = B;
    assert_eq!(bench.welcome_hello(&said).len(), 2);
}

#[test]
fn closing_says_bye_and_ends_every_call_those_handed_over_in_doubt() {
    let mut bench = Bench::prepared(Prepared::Resolving);
    bench.slots = 1;
    let (busy, _) = bench.call();
    bench.client.close(bench.now);
    assert_eq!(bench.drain(), [Said::Bye]);
    assert_eq!(bench.ended.len(), 2);
    assert_eq!(bench.outcome_of(busy), Outcome::InDoubt(DoubtCause::Cancelled));
    assert!(bench.ended.iter().all(|ended| ended.outcome.execution() == Execution::Unknown));
    bench.ended.clear();
    assert_eq!(bench.tell(&reply(1)), []);
    assert_eq!(bench.call().1, []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::ConnectionClosed));
    assert!(bench.client.is_quiet());
}

#[test]
fn closing_while_a_session_is_resumed_says_bye_too() {
    let (mut bench, _) = Bench::busy();
    let said = bench.no_session();
    bench.client.close(bench.now);
    assert_eq!(bench.drain(), [Said::Bye]);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::Cancelled));
    assert_eq!(bench.welcome_hello(&said), []);
    assert_eq!(bench.tell(&reply(1)), []);
    assert!(bench.client.is_quiet());
}

#[test]
fn closing_before_a_session_is_open_ends_calls_as_not_executed() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    bench.client.close(bench.now);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::ConnectionClosed));
    assert_eq!(bench.welcome_hello(&said), []);
    assert!(bench.client.is_quiet());
}
