//! Only round trips that are what they seem set the time-out (RFC 6298, Karn's rule).

use super::*;

const TRIP: Duration = Duration::from_millis(40);
/// After one sample of [`TRIP`]: itself, and four times its half.
const MEASURED: Duration = Duration::from_millis(120);
/// After another like it: the variance shrinks by a quarter.
const MEASURED_TWICE: Duration = Duration::from_millis(100);

/// A bench whose HELLO took one round trip, with its first call under way.
fn opened() -> Bench {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    bench.pass(TRIP);
    bench.welcome_hello(&said);
    assert_eq!(bench.client.retransmit_timeout(), MEASURED);
    bench
}

#[test]
fn a_hello_said_once_is_a_sample_and_one_said_again_is_none() {
    opened();
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    bench.step();
    bench.welcome_hello(&said);
    assert_eq!(bench.client.retransmit_timeout(), Limits::default().retransmit_initial);
}

#[test]
fn a_hello_with_a_cookie_is_measured_from_when_that_was_said() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    bench.step();
    let (nonce, cookie) = (only_hello(&said).nonce, [1; COOKIE_BYTES]);
    let said = bench.tell(&Pdu::Cookie(Cookie { nonce, cookie }));
    bench.pass(TRIP);
    bench.welcome_hello(&said);
    assert_eq!(bench.client.retransmit_timeout(), MEASURED);
}

#[test]
fn a_reply_is_a_sample_less_the_time_that_the_server_held_the_call() {
    let mut bench = opened();
    bench.pass(TRIP + TRIP);
    let Pdu::Reply(answer) = reply(1) else { unreachable!() };
    let handler_us = u32::try_from(TRIP.as_micros()).unwrap();
    bench.tell(&Pdu::Reply(Reply { handler_us, ..answer }));
    assert_eq!(bench.client.retransmit_timeout(), MEASURED_TWICE);
}

#[test]
fn a_reply_to_a_request_that_was_sent_again_is_no_sample() {
    let mut bench = opened();
    assert_eq!(bench.step().1, [request(2)]);
    bench.pass(TRIP);
    bench.tell(&reply(1));
    assert_eq!(bench.client.retransmit_timeout(), MEASURED);
}

#[test]
fn working_is_a_sample_only_if_it_carries_a_probe_s_stamp() {
    let mut bench = opened();
    let sent = bench.now;
    bench.pass(TRIP);
    let Pdu::Working(answer) = working(1, 1) else { unreachable!() };
    for stamp in [0, bench.now.as_micros() + 1, u64::MAX] {
        bench.tell(&Pdu::Working(Working { stamp, ..answer }));
        assert_eq!(bench.client.retransmit_timeout(), MEASURED);
    }
    bench.tell(&Pdu::Working(Working { stamp: sent.as_micros(), ..answer }));
    assert_eq!(bench.client.retransmit_timeout(), MEASURED_TWICE);
}
