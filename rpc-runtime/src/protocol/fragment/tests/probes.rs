//! What leaves where an ACK is missing, before the time-out.

use super::*;

#[test]
fn a_lost_tail_is_probed_for_and_what_the_answer_lacks_leaves_at_once() {
    let trip = measured();
    let mut sender = Sender::new(10, AckProtocol::Blast, false);
    leaving_by(&mut sender, at(0), &trip);
    sender.on_ack(at(1), (7, 0), &trip);
    assert_eq!(sender.due(), Some(at(3)));
    assert!(!sender.expire_by(at(2), &trip));
    assert_eq!(leaving_by(&mut sender, at(2), &trip), Vec::<u16>::new());
    assert!(!sender.expire_by(at(3), &trip), "no time-out");
    assert_eq!(leaving_by(&mut sender, at(3), &trip), [9]);
    assert_eq!((sender.due(), sender.outgoing.tries()), (Some(at(23)), 0));
    let heard = sender.on_ack(at(4), (7, 0b10), &trip);
    assert_eq!((heard.progress, heard.sample), (true, None), "Karn: 9 was sent twice");
    assert_eq!(leaving_by(&mut sender, at(4), &trip), [7, 8]);
    // A whole flight: its window is halved, and not taken from it.
    let mut sender = Sender::new(40, AckProtocol::Blast, false);
    leaving_by(&mut sender, at(0), &trip);
    assert!(!sender.expire_by(at(2), &trip));
    assert_eq!(leaving_by(&mut sender, at(2), &trip), [9]);
    sender.on_ack(at(3), (0, 1 << 8), &trip);
    assert_eq!(leaving_by(&mut sender, at(3), &trip), [0, 1, 2, 3, 4]);
}

#[test]
fn a_probe_that_is_lost_too_is_followed_by_a_time_out_and_by_no_other() {
    let trip = measured();
    for (protocol, last) in [(AckProtocol::Blast, 9), (AckProtocol::StopAndWait, 0)] {
        let mut sender = Sender::new(40, protocol, false);
        leaving_by(&mut sender, at(0), &trip);
        assert!(!sender.expire_by(at(2), &trip));
        assert_eq!(leaving_by(&mut sender, at(2), &trip), [last]);
        assert_eq!(sender.due(), Some(at(22)));
        assert!(!sender.expire_by(at(21), &trip));
        assert_eq!(leaving_by(&mut sender, at(21), &trip), Vec::<u16>::new());
        assert!(sender.expire_by(at(22), &trip));
        assert_eq!(leaving_by(&mut sender, at(22), &trip), [0], "its window is one");
        assert_eq!((sender.due(), sender.outgoing.tries()), (Some(at(62)), 1));
    }
}

#[test]
fn nobody_probes_a_stream_or_before_a_round_trip_or_an_address_is_known() {
    let blast = |gated| Sender::new(100, AckProtocol::Blast, gated);
    let cases =
        [(Sender::by_stream(100), measured()), (blast(false), trip()), (blast(true), measured())];
    for (mut sender, trip) in cases {
        leaving_by(&mut sender, at(0), &trip);
        assert_eq!(sender.due(), Some(at(20)));
        assert!(!sender.expire_by(at(19), &trip));
        assert_eq!(leaving_by(&mut sender, at(19), &trip), Vec::<u16>::new());
        assert!(sender.expire_by(at(20), &trip));
    }
}

#[test]
fn a_path_that_has_become_slow_is_measured_before_the_next_probe() {
    let trip = measured();
    let mut sender = Sender::new(40, AckProtocol::StopAndWait, false);
    leaving_by(&mut sender, at(0), &trip);
    sender.expire_by(at(2), &trip);
    assert_eq!(leaving_by(&mut sender, at(2), &trip), [0]);
    assert_eq!(sender.on_ack(at(10), (1, 0), &trip).sample, None);
    assert_eq!(leaving_by(&mut sender, at(10), &trip), [1]);
    assert_eq!(sender.due(), Some(at(30)), "the time-out");
    let mut other = Outgoing::new(cut(2), AckProtocol::StopAndWait, false);
    assert_eq!(other.poll(at(10), &mut sender.way, &trip), Next::Fragment(0, false));
    assert_eq!(other.due(&sender.way), Some(at(30)), "all on the way wait");
    other.leave(&mut sender.way);
    let heard = sender.on_ack(at(20), (2, 0), &trip);
    assert_eq!(heard.sample, Some(Duration::from_millis(10)));
    leaving_by(&mut sender, at(20), &trip);
    assert_eq!(sender.due(), Some(at(22)));
}

#[test]
fn an_ack_too_early_for_the_probe_is_of_what_left_first_and_tells_of_nothing_lost() {
    let trip = measured();
    for (after_us, lost) in [(900, vec![]), (1_000, vec![0, 1, 2, 3, 4])] {
        let mut sender = Sender::new(10, AckProtocol::Blast, false);
        leaving_by(&mut sender, at(0), &trip);
        sender.expire_by(at(2), &trip);
        assert_eq!(leaving_by(&mut sender, at(2), &trip), [9]);
        let now = at(2) + Duration::from_micros(after_us);
        sender.on_ack(now, (0, 1 << 8), &trip);
        assert_eq!(leaving_by(&mut sender, now, &trip), lost);
    }
}

#[test]
fn what_is_overtaken_by_less_than_three_is_lost_after_a_while() {
    let trip = measured();
    let mut sender = Sender::new(5, AckProtocol::Blast, false);
    leaving_by(&mut sender, at(0), &trip);
    sender.on_ack(at(1), (2, 0b11), &trip);
    assert_eq!(leaving_by(&mut sender, at(1), &trip), Vec::<u16>::new(), "it may still come");
    let due = Instant::from_micros(1_125);
    assert_eq!(sender.due(), Some(due));
    assert!(!sender.expire_by(due, &trip), "no time-out");
    assert_eq!(leaving_by(&mut sender, due, &trip), [2]);
    assert!(sender.on_ack(at(3), (5, 0), &trip).progress);
    assert_eq!(sender.due(), None);
}
