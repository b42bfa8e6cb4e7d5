use std::sync::atomic::AtomicBool;

use super::super::node::{Node, NodeOutput};
use super::super::random::SimRng;
use super::*;
use crate::address::Address;
use crate::driver::{LinkError, Received, Sent};
use crate::fault::Faults;
use crate::random::Rng;

const LONG: Instant = Instant::from_micros(3_600_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn here() -> Arc<dyn World> {
    current_world().expect("a simulated thread")
}

/// Echoes for ever at this host's own name.
fn echo(name: &'static str) -> impl FnOnce() + Send {
    move || {
        let link = here().listen(name).unwrap();
        let mut buffer = [0; 64];
        while let Received::Datagram { len, from } = link.receive(&mut buffer, None) {
            link.send(from, &buffer[..len]);
        }
    }
}

/// Pings `count` times, a new ping every time an answer came or 10 ms passed; says how many came.
fn ping(count: u32) -> u32 {
    let world = here();
    let (link, to) = world.dial("echo").unwrap();
    let mut answered = 0;
    for number in 0..count {
        link.send(to, &number.to_le_bytes());
        let received = link.receive(&mut [0; 64], Some(world.now() + ms(10)));
        answered += u32::from(matches!(received, Received::Datagram { .. }));
    }
    answered
}

#[test]
fn blocking_code_runs_in_virtual_time() {
    let simulation = Simulation::new(1);
    let answered = Arc::new(AtomicU64::new(0));
    simulation.with(|world| {
        let (server, client) = (world.add_host("echo"), world.add_host("client"));
        world.spawn(server, "main", false, echo("echo"));
        let answered = Arc::clone(&answered);
        world.spawn(client, "main", true, move || {
            sleep(Duration::from_secs(1_000));
            answered.store(ping(10).into(), Ordering::Relaxed);
        });
    });
    assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
    assert_eq!(answered.load(Ordering::Relaxed), 10);
    let end = Instant::START + Duration::from_secs(1_000) + Duration::from_micros(10 * 100);
    assert_eq!(simulation.now(), end);
}

#[test]
fn the_same_seed_gives_the_same_trace_with_threads_too() {
    let run = |seed| {
        let simulation = Simulation::new(seed);
        simulation.with(|world| {
            world.net.set_faults("drop=0.3,duplicate=0.2,reorder=0.3".parse::<Faults>().unwrap());
            let server = world.add_host("echo");
            world.spawn(server, "main", false, echo("echo"));
            for number in 0..5 {
                let client = world.add_host(&format!("client{number}"));
                world.spawn(client, "main", true, || note(&format!("{}", ping(20))));
            }
            world.at(Instant::from_micros(30_000), move |world| world.crash(server));
            world.at(Instant::from_micros(60_000), move |world| {
                world.restart(server);
                world.spawn(server, "main", false, echo("echo"));
            });
        });
        simulation.run_until_finished(LONG);
        simulation.trace_hash()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_crash_unwinds_the_threads_where_they_wait_and_nothing_else() {
    struct Witness(Arc<AtomicU64>, Arc<dyn World>);
    impl Drop for Witness {
        fn drop(&mut self) {
            // A destructor that uses the runtime must do no harm.
            let gate = self.1.gate();
            gate.wait(None);
            assert!(self.1.dial("bystander").is_err());
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let simulation = Simulation::new(1);
    let unwound = Arc::new(AtomicU64::new(0));
    let went_on = Arc::new(AtomicBool::new(false));
    let bystander_done = Arc::new(AtomicBool::new(false));
    let host = simulation.with(|world| {
        let (host, bystander) = (world.add_host("doomed"), world.add_host("bystander"));
        for wait in 0..3 {
            let (unwound, went_on) = (Arc::clone(&unwound), Arc::clone(&went_on));
            world.spawn(host, "waiter", false, move || {
                let _witness = Witness(unwound, here());
                match wait {
                    0 => sleep(Duration::from_secs(100)),
                    1 => here().gate().wait(None),
                    _ => {
                        here().listen("doomed").unwrap().receive(&mut [0; 10], None);
                    }
                }
                went_on.store(true, Ordering::Relaxed);
            });
        }
        let done = Arc::clone(&bystander_done);
        world.spawn(bystander, "main", true, move || {
            sleep(ms(20));
            done.store(true, Ordering::Relaxed);
        });
        world.at(Instant::from_micros(10_000), move |world| world.crash(host));
        host
    });
    simulation.run_until_finished(LONG);
    assert_eq!(unwound.load(Ordering::Relaxed), 3);
    assert!(!went_on.load(Ordering::Relaxed));
    assert!(bystander_done.load(Ordering::Relaxed));
    assert!(!simulation.with(|world| world.is_up(host)));
}

#[test]
fn a_handler_that_catches_the_crash_unwinds_at_its_next_entry() {
    let simulation = Simulation::new(1);
    let caught = Arc::new(AtomicU64::new(0));
    simulation.with(|world| {
        let host = world.add_host("stubborn");
        let caught = Arc::clone(&caught);
        world.spawn(host, "main", false, move || {
            loop {
                if caught.load(Ordering::Relaxed) == 3 {
                    let _ = here().now();
                }
                let tried = catch_unwind(AssertUnwindSafe(|| sleep(ms(1))));
                caught.fetch_add(u64::from(tried.is_err()), Ordering::Relaxed);
            }
        });
        world.at(Instant::from_micros(5_500), move |world| world.crash(host));
    });
    assert_eq!(simulation.run_until_quiet(LONG), Ended::Quiet);
    assert_eq!(caught.load(Ordering::Relaxed), 3);
}

#[test]
fn code_in_the_world_may_crash_hosts_its_own_too() {
    let simulation = Simulation::new(1);
    let handle = simulation.handle();
    let went_on = Arc::new(AtomicBool::new(false));
    let host = simulation.with(|world| {
        let host = world.add_host("a");
        let went_on = Arc::clone(&went_on);
        world.spawn(host, "main", true, move || {
            handle.with(|world| world.crash(host));
            sleep(ms(1));
            went_on.store(true, Ordering::Relaxed);
        });
        host
    });
    assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
    assert!(!went_on.load(Ordering::Relaxed));
    assert!(!simulation.with(|world| world.is_up(host)));
}

#[test]
fn nodes_that_are_busy_for_long_are_no_stall() {
    struct Ticker;
    impl Node for Ticker {
        fn handle_datagram(&mut self, _: Instant, _: Address, _: &[u8]) {}
        fn handle_timeout(&mut self, _: Instant) {}
        fn poll_output(&mut self, now: Instant, _: &mut Vec<u8>) -> NodeOutput {
            NodeOutput::Wait { until: Some(now + Duration::from_micros(1)) }
        }
    }
    let mut simulation = Simulation::new(1);
    simulation.set_stall(ms(100));
    simulation.with(|world| {
        let (host, ticker) = (world.add_host("a"), world.add_host("ticker"));
        world.place(ticker, Ticker);
        world.spawn(host, "main", true, || sleep(Duration::from_secs(2)));
    });
    assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
}

#[test]
fn a_host_starts_again_at_the_same_address_in_a_new_life() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let (server, client) = (world.add_host("echo"), world.add_host("client"));
        world.spawn(server, "main", false, echo("echo"));
        world.spawn(client, "main", true, || {
            assert_eq!(ping(3), 3);
            sleep(ms(100));
            assert_eq!(ping(3), 0, "the server is down");
            sleep(ms(100));
            assert_eq!(ping(3), 3);
        });
        world.at(Instant::from_micros(50_000), move |world| world.crash(server));
        world.at(Instant::from_micros(150_000), move |world| {
            world.restart(server);
            world.spawn(server, "main", false, echo("echo"));
        });
    });
    simulation.run_until_finished(LONG);
}

#[test]
fn a_panic_in_the_world_is_raised_with_seed_host_and_thread() {
    let simulation = Simulation::new(0xabc);
    simulation.with(|world| {
        let host = world.add_host("till");
        world.spawn(host, "cashier", true, || {
            sleep(ms(3));
            panic!("an empty drawer");
        });
    });
    let failure = simulation.try_run_until_finished(LONG).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the simulation with seed 0xabc failed at +0.003000 s: thread `cashier` on `till` panicked: an empty drawer"
    );
    let again = catch_unwind(AssertUnwindSafe(|| simulation.run_for(ms(1))));
    assert!(again.is_err(), "a failed world stays failed");
}

#[test]
fn a_lock_held_across_a_wait_is_found_by_the_watchdog() {
    let mut simulation = Simulation::new(1);
    simulation.set_stall(ms(200));
    let drawer = Arc::new(Mutex::new(()));
    simulation.with(|world| {
        let host = world.add_host("till");
        let mine = Arc::clone(&drawer);
        world.spawn(host, "holder", true, move || {
            let _held = mine.lock();
            sleep(ms(5));
        });
        world.spawn(host, "wanter", true, move || drop(drawer.lock()));
    });
    let failure = simulation.try_run_until_finished(LONG).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stalled);
    let text = failure.to_string();
    assert!(text.contains("thread `wanter` on `till` has the baton"), "{text}");
    assert!(text.contains("thread `holder` on `till` waits until +0.005000 s"), "{text}");
}

#[test]
fn a_world_in_which_everybody_waits_for_ever_fails() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let host = world.add_host("till");
        world.spawn(host, "sleeper", true, || here().gate().wait(None));
    });
    let failure = simulation.try_run_until_finished(LONG).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deadlock);
    assert!(failure.text.contains("thread `sleeper` on `till` waits to be woken"), "{failure}");
}

#[test]
fn a_thread_that_spins_on_the_clock_fails_the_run() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let host = world.add_host("spinner");
        world.spawn(host, "main", true, || {
            let end = now() + ms(1);
            while now() < end {}
        });
    });
    assert_eq!(simulation.try_run_until_finished(LONG).unwrap_err().kind, FailureKind::Still);
}

#[test]
fn turns_are_first_come_first_served() {
    let simulation = Simulation::new(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    simulation.with(|world| {
        let host = world.add_host("many");
        for number in 0..4 {
            let order = Arc::clone(&order);
            world.spawn(host, "one", true, move || {
                for _ in 0..10 {
                    order.lock().unwrap().push(number);
                    sleep(Duration::ZERO);
                }
            });
        }
    });
    simulation.run_until_finished(LONG);
    let order = order.lock().unwrap();
    assert!(order.chunks(4).all(|turns| turns == [0, 1, 2, 3]), "{order:?}");
}

#[test]
fn a_gate_lets_one_through_for_each_call_and_remembers_one() {
    let simulation = Simulation::new(1);
    let passed = Arc::new(AtomicU64::new(0));
    simulation.with(|world| {
        let host = world.add_host("gates");
        let inner = Arc::clone(&passed);
        world.spawn(host, "main", true, move || {
            let gate = here().gate();
            gate.open();
            gate.open();
            gate.wait(None); // remembered, once
            let before = now();
            gate.wait(Some(before + ms(5)));
            assert_eq!(now(), before + ms(5), "two calls before the wait count as one");
            for _ in 0..3 {
                let (gate, passed) = (Arc::clone(&gate), Arc::clone(&inner));
                let body = move || {
                    gate.wait(None);
                    passed.fetch_add(1, Ordering::Relaxed);
                };
                here().spawn("waiter", Box::new(body)).unwrap();
            }
            sleep(ms(1));
            gate.open();
            sleep(ms(1));
            assert_eq!(inner.load(Ordering::Relaxed), 1);
            gate.open();
            gate.open();
            sleep(ms(1));
            assert_eq!(inner.load(Ordering::Relaxed), 3);
        });
    });
    simulation.run_until_finished(LONG);
    assert_eq!(passed.load(Ordering::Relaxed), 3);
}

#[test]
fn waking_a_link_ends_its_wait_or_the_next() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let host = world.add_host("a");
        world.spawn(host, "main", true, || {
            let link = here().listen("a").unwrap();
            link.wake();
            assert_eq!(link.receive(&mut [0; 9], None), Received::Nothing);
            let waker = Arc::clone(&link);
            here()
                .spawn(
                    "waker",
                    Box::new(move || {
                        sleep(ms(3));
                        waker.wake();
                    }),
                )
                .unwrap();
            assert_eq!(link.receive(&mut [0; 9], None), Received::Nothing);
            assert_eq!(now(), Instant::START + ms(3));
            let until = now() + ms(4);
            assert_eq!(link.receive(&mut [0; 9], Some(until)), Received::Nothing);
            assert_eq!(now(), until);
        });
    });
    simulation.run_until_finished(LONG);
}

#[test]
fn places_that_cannot_be_had_are_named() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        world.add_host("other");
        let host = world.add_host("a");
        world.spawn(host, "main", true, || {
            let world = here();
            let said = |place| world.listen(place).unwrap_err().to_string();
            let _kept = world.listen("a").unwrap();
            assert_eq!(said("a"), "sim://a is in use by another endpoint");
            assert_eq!(said("nowhere"), "sim://nowhere does not name a reachable place");
            assert_eq!(said("a:x"), "sim://a:x does not name a reachable place");
            assert_eq!(said("other"), "sim://other is another host than this one, `a`");
            assert!(matches!(world.dial("nowhere"), Err(LinkError::Unresolved(_))));
            let second = world.listen("a:1").unwrap();
            drop(second);
            world.listen("a:1").expect("a closed endpoint is free");
        });
    });
    simulation.run_until_finished(LONG);
}

#[test]
fn a_full_inbox_drops_what_comes() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let (a, b) = (world.add_host("a"), world.add_host("b"));
        world.set_inbound_datagrams_max(b, 3);
        world.spawn(b, "main", true, || {
            let link = here().listen("b").unwrap();
            sleep(ms(1));
            let until = Some(now());
            let received =
                |_: &u32| matches!(link.receive(&mut [0; 9], until), Received::Datagram { .. });
            assert_eq!((0..10).filter(received).count(), 3);
        });
        world.spawn(a, "main", true, || {
            let (link, to) = here().dial("b").unwrap();
            assert!((0..10).all(|_| link.send(to, b"x") == Sent::Yes));
            assert_eq!(link.send(to, &[0; 2_000]), Sent::Failed);
        });
    });
    simulation.run_until_finished(LONG);
    assert_eq!(simulation.with(|world| world.net.counters().queue_full), 7);
}

#[test]
fn dropping_a_world_unwinds_its_threads() {
    struct Witness(Arc<AtomicU64>);
    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let gone = Arc::new(AtomicU64::new(0));
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let host = world.add_host("a");
        for _ in 0..10 {
            let witness = Witness(Arc::clone(&gone));
            world.spawn(host, "sleeper", false, move || {
                let _witness = witness;
                here().gate().wait(None);
            });
        }
    });
    simulation.run_for(ms(1));
    simulation.with(|world| {
        let host = world.host("a").unwrap();
        let witness = Witness(Arc::clone(&gone));
        world.spawn(host, "never ran", false, move || drop(witness));
    });
    drop(simulation);
    assert_eq!(gone.load(Ordering::Relaxed), 11);
}

#[test]
fn thousands_of_turns_are_handed_over_among_many_threads() {
    let simulation = Simulation::new(1);
    let turns = Arc::new(AtomicU64::new(0));
    simulation.with(|world| {
        let host = world.add_host("many");
        for number in 0..32 {
            let turns = Arc::clone(&turns);
            world.spawn(host, "one", true, move || {
                let mut rng = SimRng::new(number, super::super::random::Purpose::Scenario, 0);
                for _ in 0..200 {
                    sleep(Duration::from_micros(rng.below(50)));
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    simulation.run_until_finished(LONG);
    assert_eq!(turns.load(Ordering::Relaxed), 32 * 200);
}
