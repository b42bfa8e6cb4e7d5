//! Wakers are others' code: whatever they do, nobody else's call suffers.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a waker that panics"));
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        let waker = Waker::from(Arc::new(Bomb));
        // Once by the background thread, once by a caller that leads.
        for blocking in [0, 20_000] {
            let mut call = pin!(clock.start().slow(10_000));
            assert!(poll(call.as_mut(), &waker).is_pending());
            if blocking > 0 {
                sleep(Duration::from_millis(1));
                clock.slow(blocking).unwrap();
            }
            sleep(Duration::from_millis(30));
            assert!(poll(call.as_mut(), &waker).is_ready());
            let took = timed(|| block_on(clock.start().slow(3_000)).unwrap());
            assert!(took <= Duration::from_millis(3) + WAY, "{took:?}");
            assert!(timed(|| clock.quick().unwrap()) <= WAY);
        }
    });
}

/// Makes a call when it is woken.
struct Calls(ClockClient, AtomicBool);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.slow(2_000).unwrap();
        self.1.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_waker_may_wait_for_a_call_of_the_same_connection() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        for blocking in [0, 20_000] {
            let other = Thread::spawn({
                let clock = clock.clone();
                move || block_on(clock.start().slow(100_000)).unwrap()
            });
            let calls = Arc::new(Calls(clock.clone(), AtomicBool::new(false)));
            let mut call = pin!(clock.start().slow(10_000));
            assert!(poll(call.as_mut(), &Waker::from(Arc::clone(&calls))).is_pending());
            sleep(Duration::from_millis(1));
            clock.slow(blocking).unwrap();
            sleep(Duration::from_millis(20));
            assert!(calls.1.load(Ordering::SeqCst), "beside a call of {blocking} us");
            other.join();
        }
    });
}

/// Takes its time.
struct Dawdles;

impl Wake for Dawdles {
    fn wake(self: Arc<Self>) {
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_future_polled_while_another_ones_waker_takes_its_time_is_attended_to_after_that() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        let mut call = pin!(clock.start().slow(10_000));
        assert!(poll(call.as_mut(), &Waker::from(Arc::new(Dawdles))).is_pending());
        sleep(Duration::from_millis(20));
        let took = timed(|| block_on(clock.start().slow(1_037_000)).unwrap());
        assert!(took <= Duration::from_millis(1_037) + WAY, "{took:?}");
    });
}

/// Holds a call: dropping the last waker drops, and cancels, that call.
struct Holds {
    _call: crate::Call<Result<(), CallError>>,
}

impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_drop_a_call_of_the_same_connection() {
    check(1, |channel| {
        let clock = ClockClient::on(channel);
        let holder = || Waker::from(Arc::new(Holds { _call: clock.start().slow(50_000) }));
        let mut call = pin!(clock.start().slow(10_000));
        for _ in 0..3 {
            // Each waker but the last is dropped when the next one takes its place.
            assert!(poll(call.as_mut(), &holder()).is_pending());
        }
        {
            let mut abandoned = pin!(clock.start().slow(10_000));
            assert!(poll(abandoned.as_mut(), &holder()).is_pending());
        }
        block_on(call).unwrap();
        assert_eq!(channel.stats().protocol.retransmissions, 0);
    });
}
