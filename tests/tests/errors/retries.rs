//! Calls made again by themselves: only what certainly did not run, only while there is time and
//! budget, and never sooner than the server asks.

use rpc_runtime::{ErrorKind, Execution, Options};

use super::*;
use rpc_runtime::sim::net::{Rule, Verdict};
use rpc_runtime::wire::{Kind, Pdu, decode};

fn desk() -> DeskClient {
    DeskClient::connect("sim://desk").unwrap()
}

/// One worker and no queue, and a server that asks to be left alone for 200 ms.
fn narrow(server: Server) -> Server {
    let server = with_limits(server, |limits| {
        limits.calls_queued_max = 1;
        limits.calls_running_max = 1;
        limits.push_back = Duration::from_millis(200);
    });
    server.workers(1)
}

/// Occupies the desk for `millis`, nobody waits.
fn occupy(desk: &DeskClient, millis: u64) {
    desk.with(Options::new().timeout(Duration::from_secs(60))).start().dawdle(millis).detach();
    rest(Duration::from_millis(20));
}

/// What was counted on the connection that all stubs of a process share.
fn stats() -> rpc_runtime::client::ChannelStats {
    rpc_runtime::Channel::connect("sim://desk").unwrap().stats()
}

#[test]
fn a_call_refused_for_want_of_room_is_made_again_once_there_is_room() {
    let clerk = Clerk::default();
    world(
        1,
        clerk.clone(),
        narrow,
        |_, _| {},
        || {
            let desk = desk();
            occupy(&desk, 1_000);
            let started = sim::now();
            assert_eq!(desk.count().unwrap(), 2);
            assert!(
                sim::now().since(started) >= Duration::from_millis(900),
                "not before there is room"
            );
            let stats = stats();
            assert!((1..=5).contains(&stats.retries), "200 ms apart at least: {stats:?}");
        },
    );
    assert_eq!(clerk.counted(), 2, "each ran once");
}

#[test]
fn the_server_s_wish_is_heeded_and_no_two_wait_alike() {
    let moments = Arc::<Mutex<Vec<u64>>>::default();
    let seen = Arc::clone(&moments);
    let watch = move |control: &mut Control, stage: Stage| {
        let rule = Rule::new(Verdict::Pass).from(stage.visitor).to(stage.desk).when(move |bytes| {
            if let Ok((_, Pdu::Request(request), _)) = decode(bytes)
                && request.transmission == 1
            {
                seen.lock().unwrap().push(request.remaining_us);
            }
            false
        });
        control.net.script(rule);
    };
    world(2, Clerk::default(), narrow, watch, || {
        let desk = desk();
        occupy(&desk, 1_500);
        assert_eq!(desk.count().unwrap(), 2);
    });
    let left: Vec<u64> = moments.lock().unwrap()[1..].to_vec();
    let waits: Vec<u64> = left.windows(2).map(|pair| pair[0] - pair[1]).collect();
    assert!(waits.len() >= 2, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait >= 200_000), "{waits:?}");
    assert!(waits[0] <= 300_000, "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[0] != pair[1]), "{waits:?}");
}

#[test]
fn a_call_is_not_made_again_when_that_would_be_too_late_or_is_not_wanted() {
    world(
        3,
        Clerk::default(),
        narrow,
        |_, _| {},
        || {
            let desk = desk();
            occupy(&desk, 5_000);
            let hasty = desk.with(Options::new().timeout(Duration::from_millis(150)));
            let started = sim::now();
            let error = hasty.count().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            assert!(sim::now().since(started) < Duration::from_millis(50), "told at once");
            let error = desk.with(Options::new().retry(false)).count().unwrap_err();
            assert_eq!(
                (error.kind(), error.execution()),
                (ErrorKind::Overloaded, Execution::NotExecuted)
            );
            assert_eq!(error.evidence().push_back, Some(Duration::from_millis(200)));
            assert_eq!(stats().retries, 0);
        },
    );
}

#[test]
fn a_server_that_refuses_everything_sees_little_more_than_a_tenth_more() {
    const CALLS: u64 = 1_000;
    let clerk = Clerk::default();
    let simulation = world(
        4,
        clerk.clone(),
        narrow,
        |_, _| {},
        || {
            let desk = desk();
            occupy(&desk, 3_600_000);
            // What the budget does alone: nobody is kept back.
            let options = Options::new().timeout(Duration::from_secs(20)).circuit_breaker(false);
            let patient = desk.with(options);
            for _ in 0..CALLS / 20 {
                let calls: Vec<_> = (0..20).map(|_| patient.start().count()).collect();
                for call in calls {
                    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Overloaded);
                }
            }
            let stats = stats();
            let seconds = sim::now().since(Instant::START).as_secs();
            assert!(stats.retries <= CALLS / 10 + 10 + seconds, "{stats:?} in {seconds} s");
            assert!(stats.retries >= CALLS / 10, "{stats:?}");
            assert!(stats.retries_denied > CALLS / 2, "{stats:?}");
        },
    );
    drop(simulation);
    assert_eq!(clerk.counted(), 1);
}

/// Contract: never after `Unknown` for `at_most_once`, whatever the budget holds.
#[test]
fn a_call_that_may_have_run_is_never_made_again() {
    let clerk = Clerk::default();
    let kept = clerk.clone();
    let crash = move |control: &mut Control, stage: Stage| {
        control.at(at(100), move |control| stage.crash(control, kept));
    };
    world(
        5,
        clerk.clone(),
        |server| server,
        crash,
        || {
            let error = desk().with(Options::new().timeout(Duration::from_secs(9))).dawdle(300);
            let error = error.unwrap_err();
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            assert_eq!(stats().retries, 0);
        },
    );
    assert_eq!(clerk.counted(), 1);
}

#[test]
fn lost_replies_of_a_busy_server_make_nothing_run_twice() {
    for seed in 0..20 {
        let clerk = Clerk::default();
        let lossy = |control: &mut Control, stage: Stage| {
            let replies = Rule::new(Verdict::Drop).from(stage.desk).kind(Kind::Reply).times(3);
            control.net.script(replies.skip(2));
            control.net.set_faults(sim::Faults::default().loss(0.2).duplicate(0.2));
        };
        let counts = Arc::<Mutex<(u64, u64)>>::default();
        let told = Arc::clone(&counts);
        world(seed, clerk.clone(), narrow, lossy, move || {
            let desk = desk();
            let calls: Vec<_> = (0..10).map(|_| desk.start().dawdle(30)).collect();
            let ends = calls.into_iter().map(rpc_runtime::Call::wait);
            let (mut ran, mut unknown) = (0, 0);
            for end in ends {
                match end.map_err(|error: CallError| error.execution()) {
                    Ok(_) => ran += 1,
                    Err(Execution::Unknown) => unknown += 1,
                    Err(execution) => assert_eq!(execution, Execution::NotExecuted),
                }
            }
            *told.lock().unwrap() = (ran, unknown);
        });
        let (ran, unknown) = *counts.lock().unwrap();
        let counted = clerk.counted();
        assert!((ran..=ran + unknown).contains(&counted), "seed {seed}: {counted} of {ran}");
    }
}

#[test]
fn a_server_that_drains_and_comes_back_is_asked_again() {
    let simulation = Simulation::new(6);
    let clerk = Clerk::default();
    let counted = clerk.clone();
    simulation.with(|control| {
        let (host, visitor) = (control.add_host("desk"), control.add_host("visitor"));
        control.spawn(host, "desk", false, move || {
            let start = |clerk: &Clerk| {
                let service = DeskService::new(clerk.clone());
                Server::bind("sim://desk").unwrap().export(service).spawn().unwrap()
            };
            let running = start(&clerk);
            rest(Duration::from_millis(100));
            assert!(running.drain(Duration::from_secs(1)).is_complete());
            rest(Duration::from_millis(300));
            let _running = start(&clerk);
            stay();
        });
        control.spawn(visitor, "visitor", true, || {
            let desk = desk();
            desk.start().dawdle(400).detach(); // keeps it draining for a while
            rest(Duration::from_millis(150));
            assert_eq!(desk.count().unwrap(), 2);
            assert!(sim::now() > at(700), "by the next life");
        });
    });
    assert_eq!(simulation.run_until_finished(at(60_000)), Ended::Reached);
    assert_eq!(counted.counted(), 2);
}

#[test]
fn a_call_that_was_called_off_is_not_made_again() {
    let clerk = Clerk::default();
    world(
        8,
        clerk.clone(),
        narrow,
        |_, _| {},
        || {
            let desk = desk();
            occupy(&desk, 1_000);
            let refused = desk.start().count();
            rest(Duration::from_millis(100));
            refused.cancel(); // it was refused by now, and nobody has looked
            assert_eq!(refused.wait().unwrap_err().kind(), ErrorKind::Overloaded);
            let mut waits = Box::pin(desk.start().count());
            rest(Duration::from_millis(100));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(waits.as_mut().poll(&mut context).is_pending(), "it waits to be made again");
            drop(waits);
            rest(Duration::from_millis(3_000));
            assert_eq!(stats().retries, 0);
        },
    );
    assert_eq!(clerk.counted(), 1);
}

#[test]
fn a_future_is_made_again_too_by_a_thread_of_its_own() {
    let clerk = Clerk::default();
    world(
        9,
        clerk.clone(),
        narrow,
        |_, _| {},
        || {
            let desk = desk();
            occupy(&desk, 1_000);
            let (call, gate) = (desk.start().count(), here().gate());
            assert_eq!(block_on(call, &gate).unwrap(), 2);
        },
    );
    assert_eq!(clerk.counted(), 2);
}

/// The smallest executor: waits at a gate between polls.
fn block_on<F: Future>(future: F, gate: &Arc<dyn rpc_runtime::driver::Gate>) -> F::Output {
    struct Open(Arc<dyn rpc_runtime::driver::Gate>);
    impl std::task::Wake for Open {
        fn wake(self: Arc<Self>) {
            self.0.open();
        }
    }
    let waker = Arc::new(Open(Arc::clone(gate))).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => gate.wait(None),
        }
    }
}
