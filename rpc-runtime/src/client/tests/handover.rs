//! The lead goes from hand to hand, and nobody who waits is forgotten.

use super::*;

#[test]
fn a_future_hears_of_its_end_at_once() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        for micros in [0, 1_000, 3_000, 100_000, 1_037_000] {
            let took = timed(|| block_on(clock.start().slow(micros)).unwrap());
            assert!(took <= Duration::from_micros(micros) + WAY, "{micros} us took {took:?}");
        }
    });
}

#[test]
fn a_future_hears_of_its_end_at_once_after_a_blocking_call_has_led() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        let took = Most::default();
        let (theirs, seen) = (clock.clone(), took.clone());
        let future = Thread::spawn(move || {
            seen.see(timed(|| block_on(theirs.start().slow(3_500_000)).unwrap()));
        });
        sleep(Duration::from_millis(3_300));
        clock.slow(3_000).unwrap();
        future.join();
        let limit = Duration::from_millis(3_500) + WAY;
        assert!(took.get() <= limit, "a call of 3.5 s took {:?}", took.get());
    });
}

#[test]
fn no_future_is_sent_again_because_a_blocking_call_took_its_receiver_away() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        for _ in 0..20 {
            let theirs = clock.clone();
            let future = Thread::spawn(move || block_on(theirs.start().slow(6_000)).unwrap());
            sleep(Duration::from_millis(1));
            clock.slow(1_000).unwrap();
            future.join();
            sleep(Duration::from_millis(20));
        }
        assert_eq!(channel.stats().protocol.retransmissions, 0);
    });
}

#[test]
fn whoever_waits_hears_of_every_end_at_once() {
    check(40, |channel| {
        let late = Most::default();
        let threads = (0..6_u64).map(|number| {
            let (clock, late) = (ClockClient::on(channel), late.clone());
            Thread::spawn(move || visit(number, &clock, &late))
        });
        threads.collect::<Vec<_>>().into_iter().for_each(Thread::join);
        assert!(late.get() <= WAY, "somebody slept {:?} too long", late.get());
        assert_eq!(channel.stats().protocol.retransmissions, 0);
    });
}

/// Calls of all sorts, in an order of its own.
fn visit(number: u64, clock: &ClockClient, late: &Most) {
    let mut rng = here().rng();
    for _ in 0..30 {
        // A coarse choice, so that many things happen in one moment.
        let (micros, idle) = (rng.below(8) * 1_000, rng.below(4) * 500);
        let expected = Duration::from_micros(micros.max(idle));
        let took = timed(|| match (number + rng.below(2)) % 5 {
            0 => clock.slow(micros).unwrap(),
            1 => block_on(clock.start().slow(micros)).unwrap(),
            2 => {
                let call = clock.start().slow(micros);
                sleep(Duration::from_micros(idle));
                call.wait().unwrap();
            }
            3 => clock.start().slow(micros).detach(),
            _ => {
                let mut call = pin!(clock.start().slow(micros));
                let _ = poll(call.as_mut(), Waker::noop());
                sleep(Duration::from_micros(idle)); // and it is dropped
            }
        });
        late.see(took.saturating_sub(expected));
        sleep(Duration::from_micros(idle));
    }
}

#[test]
fn a_reply_that_waits_to_be_read_is_read_before_the_deadline_is_kept() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        for gap in 0..50 {
            clock.quick().unwrap();
            sleep(Duration::from_millis(3 * gap));
            let calls = [(); 3].map(|()| clock.start().hasty());
            sleep(Duration::from_millis(30));
            for call in calls {
                call.wait().unwrap_or_else(|error| panic!("after {gap} ms: {error}"));
            }
        }
    });
}

#[test]
fn a_reply_that_waits_to_be_read_is_read_before_its_call_is_sent_again() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        for pause in [5, 15, 25, 50, 80, 95, 100, 110, 150] {
            let call = clock.start().quick();
            sleep(Duration::from_millis(pause));
            assert!(timed(|| call.wait().unwrap()).is_zero());
        }
        assert_eq!(channel.stats().protocol.retransmissions, 0);
    });
}
