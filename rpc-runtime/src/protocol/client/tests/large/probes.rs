//! What is lost at the end of a message, or behind it, is heard of soon.

use super::*;

/// Eight fragments, which leave at once.
const BYTES: usize = 8 * ARGUMENT_BYTES_MAX;
/// The shortest time-out.
const TIME_OUT: Duration = Duration::from_millis(20);

/// Both know how long a round trip takes.
fn pair(ack: AckProtocol) -> Pair {
    let mut pair = Pair::new(ack, (0, 0, 0));
    for _ in 0..10 {
        pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
        pair.settle();
    }
    pair
}

/// Until a handler has run.
fn run(pair: &mut Pair) {
    let end = pair.now + LONG;
    while pair.held.is_empty() {
        assert!(pair.step(end), "the call does not come");
    }
}

/// The handler returns one byte, and what does not pass is lost; then the call ends.
fn lose_reply(pair: &mut Pair, passes: fn(bool, &Pdu<'_>) -> bool) {
    pair.passes = passes;
    pair.held[0].1 = vec![1];
    pair.finish();
    pair.drain();
    pair.passes = |_, _| true;
    pair.settle();
}

fn before_the_last_two(_: bool, pdu: &Pdu<'_>) -> bool {
    let is_last = |fragment: u16, fragments: u16| fragments > 2 && fragment + 2 >= fragments;
    !matches!(pdu, Pdu::Request(request) if is_last(request.fragment, request.fragments))
        && !matches!(pdu, Pdu::Reply(reply) if is_last(reply.fragment, reply.fragments))
}

#[test]
fn the_last_fragments_of_either_message_are_missed_before_a_time_out() {
    let mut pair = pair(AckProtocol::Blast);
    pair.holds = true;
    pair.passes = before_the_last_two;
    let started = pair.now;
    pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
    pair.passes = |_, _| true;
    run(&mut pair);
    assert!(pair.now.since(started) < TIME_OUT, "{:?}", pair.now.since(started));
    assert_eq!(pair.client.counters().fragments_resent, 2, "the two that were lost");
    pair.passes = before_the_last_two;
    let replied = pair.now;
    pair.finish();
    pair.drain();
    pair.passes = |_, _| true;
    pair.settle();
    assert!(pair.now.since(replied) < TIME_OUT, "{:?}", pair.now.since(replied));
    assert_eq!(pair.server.counters().fragments_resent, 2, "the two that were lost");
    pair.check_returned(&bytes_of(BYTES));
    assert_eq!(pair.client.counters().probes, 0, "nobody asked");
}

#[test]
fn an_acknowledgement_that_is_lost_with_the_reply_is_asked_for_by_the_last_fragment() {
    for ack in [AckProtocol::Blast, AckProtocol::StopAndWait] {
        let mut pair = pair(ack);
        pair.holds = true;
        pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
        let end = pair.now + LONG;
        while pair.ran.len() < 11 {
            // What says that all has come is lost.
            pair.passes = |_, pdu| !matches!(pdu, Pdu::Ack(ack) if ack.cumulative == ack.fragments);
            assert!(pair.step(end));
        }
        let replied = pair.now;
        lose_reply(&mut pair, |to_server, _| to_server);
        assert!(pair.now.since(replied) < TIME_OUT, "{ack:?}: {:?}", pair.now.since(replied));
        assert_eq!(pair.ended.pop().unwrap().1, Outcome::Returned(vec![1]));
        assert_eq!(pair.ran.len(), 11, "once each");
    }
}

#[test]
fn a_reply_that_is_lost_alone_is_asked_for_before_a_time_out() {
    let mut pair = pair(AckProtocol::Blast);
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
    run(&mut pair);
    let replied = pair.now;
    lose_reply(&mut pair, |_, pdu| !matches!(pdu, Pdu::Reply(_)));
    let took = pair.now.since(replied);
    assert!(took < TIME_OUT, "{took:?}");
    assert_eq!(pair.ended.pop().unwrap().1, Outcome::Returned(vec![1]));
    assert_eq!(pair.client.counters().probes, 1);
}

#[test]
fn a_lost_reply_of_a_handler_that_took_its_time_is_asked_for_after_a_time_out() {
    let mut pair = pair(AckProtocol::Blast);
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
    run(&mut pair);
    let came = pair.now;
    pair.pass(TIME_OUT / 2); // it was asked for sooner by then
    assert_eq!(pair.client.counters().probes, 1);
    lose_reply(&mut pair, |_, pdu| !matches!(pdu, Pdu::Reply(_)));
    let took = pair.now.since(came);
    assert!(took < TIME_OUT * 2, "{took:?}");
    assert_eq!(pair.ended.pop().unwrap().1, Outcome::Returned(vec![1]));
}

#[test]
fn a_handler_that_runs_on_is_asked_about_once_sooner_and_then_as_ever() {
    let mut pair = pair(AckProtocol::Blast);
    pair.holds = true;
    pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
    run(&mut pair);
    pair.pass(TIME_OUT);
    assert_eq!(pair.client.counters().probes, 1);
    pair.pass(Duration::from_secs(10));
    assert!(pair.client.counters().probes <= 12, "{}", pair.client.counters().probes);
    pair.finish();
    pair.settle();
    pair.check_returned(&bytes_of(BYTES));
}

#[test]
fn a_path_that_has_become_slow_is_measured_by_the_acknowledgement_of_a_whole_message() {
    let mut pair = pair(AckProtocol::Blast);
    pair.slower = Duration::from_micros(TRIP_US); // still within a time-out
    // What comes together is acknowledged together.
    pair.passes = |_, pdu| !matches!(pdu, Pdu::Ack(ack) if ack.cumulative < ack.fragments);
    for _ in 0..30 {
        pair.call(Semantics::AtMostOnce, bytes_of(BYTES), LONG);
        pair.settle();
    }
    let resent = (pair.client.counters().fragments_resent, pair.server.counters().fragments_resent);
    assert!(resent.0 <= 3 && resent.1 <= 3, "{resent:?}");
}

#[test]
fn what_takes_longer_than_a_time_out_on_a_stream_is_asked_for_once_and_then_waited_for() {
    let mut pair = Pair::by_stream();
    pair.call(Semantics::AtMostOnce, bytes_of(10), LONG);
    pair.settle();
    pair.slower = Duration::from_millis(40);
    for _ in 0..20 {
        pair.call(Semantics::AtMostOnce, bytes_of(1_500_000), LONG);
        pair.settle();
    }
    let resent = (pair.client.counters().fragments_resent, pair.server.counters().fragments_resent);
    assert!(resent.0 <= 6 && resent.1 <= 6, "{resent:?}");
}
