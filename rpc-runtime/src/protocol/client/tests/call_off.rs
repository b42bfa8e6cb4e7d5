//! CANCEL is said again until the server answers it: the row "cancel by caller" of "Client slot".

use super::*;

/// Far longer than anything is said.
const LONG: Duration = LEASE;

/// A bench whose first call was given up a moment ago.
fn called_off() -> Bench {
    let (mut bench, key) = Bench::busy();
    assert_eq!(bench.cancel(key), [CANCEL]);
    bench.ended.clear();
    bench
}

/// The server works on call 1, as it says to what bore this stamp.
fn working_on(running: u64, stamp: u64) -> Pdu<'static> {
    let Pdu::Working(working) = working(1, running) else { unreachable!("it is WORKING") };
    Pdu::Working(Working { stamp, ..working })
}

#[test]
fn a_cancel_without_answer_is_said_four_times_ever_more_slowly() {
    let mut bench = called_off();
    let mut before = Duration::ZERO;
    for _ in 0..3 {
        assert!(!bench.client.is_quiet());
        let (waited, said) = bench.step();
        assert_eq!(said, [CANCEL]);
        assert!(waited > before);
        before = waited;
    }
    assert_eq!(bench.pass(LONG), []);
    assert!(bench.client.is_quiet());
}

#[test]
fn a_cancel_is_said_as_often_as_the_limit_has_it() {
    let limits = Limits { cancel_transmissions_max: 1, ..Limits::default() };
    let mut bench = Bench::with(limits, ANYBODY);
    let key = bench.begin_with(Semantics::AtMostOnce);
    assert_eq!(bench.cancel(key), [CANCEL]);
    assert_eq!(bench.pass(LONG), []);
    assert!(bench.client.is_quiet());
}

#[test]
fn every_answer_that_ends_a_call_ends_its_cancels() {
    for (answer, outcome) in terminal_answers() {
        let mut bench = called_off();
        bench.tell(&answer);
        let said = bench.pass(LONG);
        assert!(said.iter().all(|said| *said == ACK), "{said:?}");
        bench.resolve(place(1), PATIENCE);
        assert_eq!(bench.outcome(), outcome, "and is kept");
    }
}

#[test]
fn a_server_that_answers_the_cancel_by_working_was_told() {
    let mut bench = called_off();
    let told_at = bench.now.as_micros();
    bench.tell(&working_on(1, told_at));
    assert_eq!(bench.pass(LONG), []);
    assert!(bench.client.is_quiet());
}

#[test]
fn working_that_answers_something_else_proves_nothing() {
    let before = Instant::from_micros(1_000_000).as_micros() - 1;
    for (running, stamp) in [(1, 0), (1, before), (2, 1_000_000)] {
        let mut bench = called_off();
        bench.tell(&working_on(running, stamp));
        assert_eq!(bench.step().1, [CANCEL], "{running} {stamp}");
        bench.tell(&working_on(1, 1_000_000));
        assert_eq!(bench.step().1, [CANCEL], "that was the first one's");
    }
}

#[test]
fn a_question_what_became_of_the_call_does_not_stand_for_its_cancel() {
    let mut bench = called_off();
    bench.pass(Duration::from_millis(1));
    bench.resolve(place(1), PATIENCE);
    let asked_at = bench.now.as_micros();
    bench.tell(&working_on(1, asked_at));
    assert!(bench.pass(PATIENCE).contains(&CANCEL));
}

#[test]
fn a_slot_that_is_used_again_calls_nothing_off() {
    let mut bench = Bench::new();
    bench.slots = 1;
    let (key, said) = bench.call();
    bench.welcome_hello(&said);
    bench.cancel(key);
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
    let said = bench.pass(PATIENCE);
    assert!(!said.contains(&CANCEL), "{said:?}");
}

#[test]
fn a_session_that_is_lost_takes_its_cancels_with_it() {
    let mut bench = called_off();
    bench.tell(&BYE);
    assert_eq!(bench.pass(LONG), []);
    assert!(bench.client.is_quiet());
}

#[test]
fn a_cancel_while_the_session_is_resumed_is_said_once_it_is() {
    let (mut bench, key) = Bench::busy();
    let said = bench.no_session();
    assert_eq!(bench.cancel(key), []);
    assert_eq!(bench.welcome_hello(&said), []);
    assert_eq!(bench.step().1, [CANCEL]);
}

#[test]
fn a_client_that_closes_while_the_session_is_resumed_says_it_where_it_says_goodbye() {
    let (mut bench, key) = Bench::busy();
    bench.no_session();
    assert_eq!(bench.cancel(key), []);
    bench.client.close(bench.now);
    assert_eq!(bench.drain(), [CANCEL, Said::Bye]);
    assert!(bench.client.is_quiet());
}

#[test]
fn a_client_that_closes_says_it_once_more() {
    let mut bench = called_off();
    bench.client.close(bench.now);
    assert_eq!(bench.drain(), [CANCEL, Said::Bye]);
    assert!(bench.client.is_quiet());
}

#[test]
fn a_server_that_leaves_is_told_of_the_last_cancel_before_goodbye() {
    let (mut bench, key) = Bench::busy();
    bench.tell(&GOAWAY);
    assert_eq!(bench.cancel(key), [CANCEL]);
    let told_at = bench.now.as_micros();
    assert_eq!(bench.tell(&working_on(1, told_at)), [Said::Bye]);
    let (mut bench, key) = Bench::busy();
    bench.tell(&GOAWAY);
    assert_eq!(bench.cancel(key), [CANCEL]);
    assert_eq!(bench.pass(LONG), [CANCEL, CANCEL, CANCEL, Said::Bye], "or was not to be told");
    assert!(bench.client.is_quiet());
}
