//! Handlers on the receiving thread that take long against all expectation: others must not notice.

use std::thread;

use rpc_runtime::ids::ClientId;
use rpc_runtime::{CallError, Channel, service};

use super::*;

/// Returns at once.
const RETURN: u8 = 0;
/// Waits until it is released, or told that it is cancelled.
const HOLD: u8 = 1;
/// Calls the very server that serves it.
const NEST: u8 = 2;
const PANIC: u8 = 3;

#[service(name = "turncoat", version = "1.0")]
trait Turncoat {
    /// Does what it is told; names its thread.
    fn turn(&self, what: u8) -> Result<String, CallError>;
    /// The same, and has never been anything but quick.
    fn quick(&self) -> Result<String, CallError>;
    /// The same, in a worker.
    #[rpc(worker)]
    fn heavy(&self) -> Result<String, CallError>;
}

fn name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

#[derive(Clone, Default)]
struct Coat {
    release: Arc<Release>,
    held: Arc<AtomicUsize>,
    /// How many handlers run, and the most that did.
    running: Arc<(AtomicUsize, AtomicUsize)>,
    url: Arc<Mutex<String>>,
}

impl Coat {
    fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        let (running, most) = &*self.running;
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let value = body();
        running.fetch_sub(1, Ordering::SeqCst);
        value
    }
}

impl Turncoat for Coat {
    fn turn(&self, what: u8) -> Result<String, CallError> {
        assert_ne!(what, PANIC, "as told");
        self.run(|| match what {
            HOLD => {
                let release = Arc::clone(&self.release);
                let context = crate::context::current().expect("inside a handler");
                context.on_cancel(move || release.open());
                self.held.fetch_add(1, Ordering::SeqCst);
                self.release.wait();
                Ok(name())
            }
            NEST => TurncoatClient::connect(&self.url.lock().unwrap())?.quick(),
            _ => Ok(name()),
        })
    }

    fn quick(&self) -> Result<String, CallError> {
        self.run(|| Ok(name()))
    }

    fn heavy(&self) -> Result<String, CallError> {
        self.run(|| Ok(name()))
    }
}

struct Stage {
    coat: Coat,
    running: Running,
    client: TurncoatClient,
}

impl Stage {
    fn new() -> Self {
        Self::within(&reactor::world(), |server| server)
    }

    fn within(world: &Arc<dyn World>, change: impl FnOnce(Server) -> Server) -> Self {
        Self::at(Server::bind_in(world, "127.0.0.1:0").expect("a free port"), change)
    }

    fn at(server: Server, change: impl FnOnce(Server) -> Server) -> Self {
        let coat = Coat::default();
        let running = server.export(TurncoatService::new(coat.clone()));
        let running = change(running).spawn().expect("starts");
        *coat.url.lock().unwrap() = running.url();
        let client = TurncoatClient::connect(&running.url()).expect("a good URL");
        Self { coat, running, client }
    }

    /// Calls both methods until they run where calls are received.
    fn warm(&self) {
        let is_here = |name: &str| !name.starts_with("rpc-worker");
        let mut calls = 0;
        while !(is_here(&self.client.turn(RETURN).unwrap())
            && is_here(&self.client.quick().unwrap()))
        {
            calls += 1;
            assert!(calls < 200_000, "no handler is quick enough on this machine");
        }
    }

    /// Has a thread call for a handler that is held, and waits until it runs.
    fn hold<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
    ) -> thread::ScopedJoinHandle<'s, String> {
        let before = self.coat.held.load(Ordering::SeqCst);
        let held = thread::Builder::new()
            .spawn_scoped(scope, || self.client.turn(HOLD).unwrap())
            .expect("a thread");
        while self.coat.held.load(Ordering::SeqCst) == before {
            thread::yield_now();
        }
        held
    }

    fn warm_with_workers_only(&self) {
        for _ in 0..200 {
            assert!(self.client.turn(RETURN).unwrap().starts_with("rpc-worker"));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.coat.release.open();
    }
}

#[test]
fn a_handler_on_the_receiving_thread_can_call_its_own_server() {
    let stage = Stage::new();
    stage.warm();
    for _ in 0..20 {
        stage.client.turn(NEST).expect("another thread receives meanwhile");
    }
    stage.warm(); // it is forgiven
    stage.client.turn(NEST).expect("another thread receives meanwhile");
}

#[test]
fn a_handler_that_blocks_for_ever_stops_nobody() {
    let stage = Stage::new();
    thread::scope(|scope| {
        for _ in 0..2 {
            stage.warm();
            let held = stage.hold(scope);
            for _ in 0..100 {
                stage.client.quick().unwrap();
                stage.client.heavy().unwrap();
            }
            assert!(!held.is_finished());
        }
        stage.coat.release.open();
    });
    stage.client.turn(RETURN).unwrap();
}

#[test]
fn a_handler_that_blocks_for_ever_stops_nobody_in_whichever_lane_it_is() {
    let server = Server::bind("tcp://127.0.0.1:0").expect("a free port");
    let mut stage = Stage::at(server.lanes(2), |server| server);
    let mut threads = Vec::new();
    for number in 1..=3 {
        // Another stream, which the lane has that has the fewest.
        let url = stage.running.url();
        let channel = Channel::connect_as(&url, ClientId(number)).expect("a good URL");
        stage.client = TurncoatClient::on(&channel);
        stage.warm();
        let client = stage.client.clone();
        let held = thread::Builder::new().spawn(move || client.turn(HOLD).unwrap());
        threads.push(held.expect("a thread"));
        while stage.coat.held.load(Ordering::SeqCst) < threads.len() {
            thread::yield_now();
        }
        for _ in 0..50 {
            stage.client.quick().unwrap();
            stage.client.heavy().unwrap();
        }
        assert!(threads.iter().all(|thread| !thread.is_finished()));
    }
    stage.coat.release.open();
    let names: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let receiving = ["rpc-receive", "rpc-receive-1", "rpc-standby"];
    for (name, expected) in names.iter().zip(receiving) {
        // A machine that is busy elsewhere makes a quick method look slow, which the workers run then.
        assert!(name == expected || name.starts_with("rpc-worker"), "{names:?}");
    }
}

#[test]
fn a_stop_neither_waits_for_a_handler_on_the_receiving_thread_nor_leaves_it_the_address() {
    for is_taken_over in [false, true] {
        let stage = Stage::new();
        stage.warm();
        let address = stage.running.addr().to_string();
        let other = Peer::open(&stage.running);
        thread::Builder::new()
            .spawn({
                let client = stage.client.clone();
                move || drop(client.turn(HOLD))
            })
            .expect("a thread");
        while stage.coat.held.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        if is_taken_over {
            stage.client.quick().unwrap();
        }
        stage.running.stop();
        assert!(Server::bind_in(&reactor::world(), &address).is_ok());
        drop(other);
        stage.coat.release.wait(); // it was told that it is cancelled
    }
}

#[test]
fn a_drain_waits_for_a_handler_that_was_taken_over_from() {
    let stage = Stage::new();
    stage.warm();
    let drained = thread::scope(|scope| {
        let held = stage.hold(scope);
        let mut peer = Peer::open(&stage.running);
        let draining = thread::Builder::new()
            .spawn_scoped(scope, || stage.running.drain(Duration::from_secs(10)))
            .expect("a thread");
        peer.await_goaway();
        stage.coat.release.open();
        assert!(!held.join().unwrap().starts_with("rpc-worker"));
        draining.join().expect("no panic")
    });
    assert!(drained.is_complete(), "{drained:?}");
}

#[test]
fn a_panic_on_the_receiving_thread_is_told_and_the_server_lives_on() {
    let stage = Stage::new();
    for _ in 0..2 {
        stage.warm();
        let error = stage.client.turn(PANIC).expect_err("it panics");
        assert_eq!(error.kind(), ErrorKind::HandlerPanicked, "{error}");
        stage.client.quick().unwrap();
    }
}

#[test]
fn no_more_handlers_run_at_once_than_the_server_was_told() {
    let stage = Stage::within(&reactor::world(), |server| server.workers(1));
    stage.warm();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    stage.client.quick().unwrap();
                    stage.client.heavy().unwrap();
                    stage.client.turn(RETURN).unwrap();
                }
            });
        }
    });
    assert_eq!(stage.coat.running.1.load(Ordering::SeqCst), 1);
    stage.warm();
    thread::scope(|scope| {
        let held = stage.hold(scope);
        let waits = scope.spawn(|| stage.client.heavy().unwrap());
        let later = scope.spawn(|| stage.client.quick().unwrap());
        assert!(!waits.is_finished() && !later.is_finished());
        stage.coat.release.open();
        held.join().unwrap();
        assert_eq!(waits.join().unwrap(), "rpc-worker-0");
        later.join().unwrap();
    });
    assert_eq!(stage.coat.running.1.load(Ordering::SeqCst), 1);
}

#[test]
fn whoever_wants_workers_gets_workers() {
    let stage = Stage::new();
    for _ in 0..200 {
        assert!(stage.client.heavy().unwrap().starts_with("rpc-worker"));
    }
    let stage =
        Stage::within(&reactor::world(), |server| server.quick_handlers_here(false).workers(2));
    stage.warm_with_workers_only();
}

#[test]
fn where_nobody_could_take_over_workers_do_it() {
    let (_scarce, world) = threads::Scarce::of("standby");
    Stage::within(&world, |server| server).warm_with_workers_only();
}

#[cfg(feature = "sim")]
mod simulated {
    use super::*;
    use crate::sim::{Ended, Simulation, current_world};
    use crate::time::Instant;

    const LONG: Instant = Instant::from_micros(3_600_000_000);
    /// There and back again, the time until another thread takes over, and what comes on top.
    const SOON: Duration = Duration::from_millis(8);

    fn here() -> Arc<dyn World> {
        current_world().expect("a simulated thread")
    }

    fn rest(time: Duration) {
        let (gate, until) = (here().gate(), here().now() + time);
        while here().now() < until {
            gate.wait(Some(until));
        }
    }

    #[service(name = "moody", version = "1.0")]
    trait Moody {
        /// Takes so many milliseconds, and then calls this server for the rest of the list.
        fn take(&self, millis: Vec<u16>) -> Result<String, CallError>;
        fn quick(&self) -> Result<String, CallError>;
    }

    struct Mood;

    impl Moody for Mood {
        fn take(&self, mut millis: Vec<u16>) -> Result<String, CallError> {
            let Some(first) = millis.pop() else { return Ok(name()) };
            if first > 0 {
                rest(Duration::from_millis(first.into()));
            }
            if !millis.is_empty() {
                MoodyClient::connect("sim://moody")?.take(millis)?;
            }
            Ok(name())
        }

        fn quick(&self) -> Result<String, CallError> {
            Ok(name())
        }
    }

    fn serve() {
        let server = Server::bind_in(&here(), "moody").expect("the host's own name");
        let _running = server.export(MoodyService::new(Mood)).spawn().expect("starts");
        here().gate().wait(None);
    }

    fn is_here(name: &str) -> bool {
        !name.contains("rpc-worker")
    }

    /// Calls until the method is served where calls are received; says how many times.
    fn warm(client: &MoodyClient) -> usize {
        (0..10_000)
            .position(|_| {
                let both = client.take(Vec::new()).unwrap() + &client.quick().unwrap();
                is_here(&both)
            })
            .expect("nothing takes any time here")
    }

    fn run(seed: u64, body: impl FnOnce() + Send + 'static) -> u64 {
        let simulation = Simulation::new(seed);
        simulation.with(|world| {
            let (server, client) = (world.add_host("moody"), world.add_host("client"));
            world.spawn(server, "main", false, serve);
            world.spawn(client, "main", true, body);
        });
        assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
        simulation.trace_hash()
    }

    #[test]
    fn quick_calls_stay_quick_while_a_method_turns_slow() {
        run(21, || {
            let client = MoodyClient::connect("sim://moody").unwrap();
            let first = warm(&client);
            assert!(first < 12, "{first} calls before it was here");
            for _ in 0..3 {
                let slow = client.start().take(vec![2_000]);
                for _ in 0..100 {
                    let begun = here().now();
                    client.quick().unwrap();
                    assert!(here().now().since(begun) < SOON, "a quick call waited");
                }
                assert!(is_here(&slow.wait().unwrap()), "it began where calls are received");
                assert!(!is_here(&client.take(Vec::new()).unwrap()), "it did so once");
                assert!(is_here(&client.quick().unwrap()), "the other one has done nothing");
                assert!(warm(&client) > first, "it takes longer to be trusted again");
            }
        });
    }

    #[test]
    fn calls_to_the_same_server_from_its_handlers_do_not_wait_for_themselves() {
        run(22, || {
            let client = MoodyClient::connect("sim://moody").unwrap();
            for depth in 1..6 {
                warm(&client);
                let begun = here().now();
                client.take(vec![0; depth]).unwrap();
                let waited = here().now().since(begun);
                assert!(waited < SOON * u32::try_from(depth).unwrap(), "{depth}: {waited:?}");
            }
        });
    }

    #[test]
    fn the_choice_of_the_thread_is_the_same_each_time() {
        let story = |seed| {
            run(seed, move || {
                let client = MoodyClient::connect("sim://moody").unwrap();
                for round in 0..4 {
                    warm(&client);
                    let slow = client.start().take(vec![0, round, 3 * round]);
                    client.quick().unwrap();
                    slow.wait().unwrap();
                    rest(Duration::from_millis(100)); // nobody looks any more
                }
            })
        };
        for seed in 30..34 {
            assert_eq!(story(seed), story(seed));
        }
    }

    #[test]
    fn an_idle_server_has_no_timer_of_its_own_whoever_stands_by() {
        let simulation = Simulation::new(23);
        simulation.with(|world| {
            let (server, client) = (world.add_host("moody"), world.add_host("client"));
            world.spawn(server, "main", false, serve);
            world.spawn(client, "main", true, || {
                warm(&MoodyClient::connect("sim://moody").unwrap());
            });
        });
        assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
        let far = Instant::from_micros(360_000_000_000);
        assert_eq!(simulation.run_until_quiet(far), Ended::Quiet, "leases end, and then nothing");
    }
}
