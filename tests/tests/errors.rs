//! Errors held to their contract (docs/protocol.md, "What an error says"): the rules, every kind
//! with its text, calls made again, and bad input of every sort. Most scenarios run twice: in the
//! simulator with blocking code, and over real sockets of every transport.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "errors/kinds.rs"]
mod kinds;
#[path = "errors/peers.rs"]
mod peers;
#[path = "errors/input.rs"]
mod input;
#[path = "errors/events.rs"]
mod events;
#[path = "errors/durable.rs"]
mod durable;
#[path = "errors/middle.rs"]
mod middle;
#[path = "errors/table.rs"]
mod table;
#[path = "errors/retries.rs"]
mod retries;
#[path = "errors/rules.rs"]
mod rules;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rpc_runtime::driver::World;
use rpc_runtime::protocol::Limits;
use rpc_runtime::sim::{self, Control, Ended, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Server, service};
use rpc_tests::transports::{SCHEMES, deserted, fresh, place_of, url_of};

/// A desk that does as it is told, and counts what it did.
#[service(name = "desk", version = "1.0")]
trait Desk {
    /// Counts, and says how often it did.
    #[rpc(timeout = "3s")]
    fn count(&self) -> Result<u64, CallError>;
    /// As `count`, and may run again.
    #[rpc(at_least_once, timeout = "3s")]
    fn recount(&self) -> Result<u64, CallError>;
    /// Counts, then takes its time, whoever waits.
    #[rpc(timeout = "500ms")]
    fn dawdle(&self, millis: u64) -> Result<u64, CallError>;
    /// Works until it is cancelled.
    #[rpc(timeout = "500ms")]
    fn wait(&self) -> Result<(), CallError>;
    fn panic(&self, text: &str) -> Result<(), CallError>;
    fn give_up(&self) -> Result<(), CallError>;
    /// Asks another desk, and fails as that does.
    fn pass_on(&self, url: &str) -> Result<u64, CallError>;
    fn echo(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError>;
    fn grow(&self, bytes: u32) -> Result<Vec<u8>, CallError>;
    #[rpc(maybe)]
    fn note(&self);
}

/// What survives the desk's crashes: how often it counted.
#[derive(Clone, Default)]
struct Clerk {
    counted: Arc<AtomicU64>,
}

impl Clerk {
    fn counted(&self) -> u64 {
        self.counted.load(Ordering::SeqCst)
    }
}

impl Desk for Clerk {
    fn count(&self) -> Result<u64, CallError> {
        Ok(self.counted.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn recount(&self) -> Result<u64, CallError> {
        self.count()
    }

    fn dawdle(&self, millis: u64) -> Result<u64, CallError> {
        let counted = self.count();
        rest(Duration::from_millis(millis));
        counted
    }

    fn wait(&self) -> Result<(), CallError> {
        let context = rpc_runtime::current().expect("inside a handler");
        let gate = here().gate();
        let told = Arc::clone(&gate);
        context.on_cancel(move || told.open());
        while !context.cancelled() {
            gate.wait(None);
        }
        Err(CallError::failed("nobody waits"))
    }

    fn panic(&self, text: &str) -> Result<(), CallError> {
        std::panic::resume_unwind(Box::new(text.to_owned()));
    }

    fn give_up(&self) -> Result<(), CallError> {
        Err(CallError::failed("out of paper"))
    }

    fn pass_on(&self, url: &str) -> Result<u64, CallError> {
        let options = rpc_runtime::Options::new().timeout(Duration::from_millis(300));
        DeskClient::connect(url)?.with(options).count()
    }

    fn echo(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(bytes.to_vec())
    }

    fn grow(&self, bytes: u32) -> Result<Vec<u8>, CallError> {
        Ok(vec![7; bytes as usize])
    }

    fn note(&self) {
        self.counted.fetch_add(1, Ordering::SeqCst);
    }
}

/// The world that the calling thread lives in: simulated, or this process.
fn here() -> Arc<dyn World> {
    sim::current_world().unwrap_or_else(rpc_runtime::reactor::world)
}

/// Lets time pass in that world.
fn rest(duration: Duration) {
    let (world, gate) = (here(), here().gate());
    let until = world.now() + duration;
    while world.now() < until {
        gate.wait(Some(until));
    }
}

/// Lets time pass in that world until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = here().now() + Duration::from_secs(20);
    while !holds() {
        assert!(here().now() < until, "never came: {what}");
        rest(Duration::from_millis(1));
    }
}

fn stay() {
    loop {
        rest(Duration::from_secs(3_600));
    }
}

/// A moment after the world's start.
fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

/// How a desk is served, and what its visitor learns.
#[derive(Clone, Copy)]
struct Case {
    serve: fn(Server) -> Server,
    visit: fn(&str) -> CallError,
}

impl Case {
    /// A desk as it is by default.
    const fn of(visit: fn(&str) -> CallError) -> Self {
        Self { serve: |server| server, visit }
    }

    /// What the visitor learns in the simulator.
    fn in_sim(self) -> CallError {
        let learned = Arc::<Mutex<Option<CallError>>>::default();
        let told = Arc::clone(&learned);
        let (Self { serve, visit }, clerk) = (self, Clerk::default());
        world(
            7,
            clerk,
            serve,
            |_, _| {},
            move || {
                *told.lock().unwrap() = Some(visit("sim://desk"));
            },
        );
        learned.lock().unwrap().take().expect("the visitor has finished")
    }

    /// What the visitor learns over real sockets of that scheme.
    fn over(self, scheme: &str) -> CallError {
        let service = DeskService::new(Clerk::default());
        let server = (self.serve)(Server::bind(&fresh(scheme)).unwrap().export(service));
        let running = server.spawn().unwrap();
        (self.visit)(&running.url())
    }

    /// What it learns everywhere, and where.
    fn everywhere(self) -> Vec<(&'static str, CallError)> {
        thread::scope(|threads| {
            let sockets = SCHEMES.map(|scheme| (scheme, threads.spawn(move || self.over(scheme))));
            let mut all = vec![("sim", self.in_sim())];
            for (scheme, visit) in sockets {
                // Its own thread has said why; this says where.
                all.push((scheme, visit.join().unwrap_or_else(|_| panic!("over {scheme}"))));
            }
            all
        })
    }
}

/// Runs a world with the host `desk`, which serves `clerk`, and a visitor, whose end is the world's.
fn world(
    seed: u64,
    clerk: Clerk,
    serve: fn(Server) -> Server,
    plan: impl FnOnce(&mut Control, Stage),
    visitor: impl FnOnce() + Send + 'static,
) -> Simulation {
    let simulation = Simulation::new(seed);
    simulation.with(|control| {
        let (desk, visitors) = (control.add_host("desk"), control.add_host("visitor"));
        let stage = Stage { desk, visitor: visitors, serve };
        stage.open(control, clerk);
        control.spawn(visitors, "visitor", true, visitor);
        plan(control, stage);
    });
    assert_eq!(simulation.run_until_finished(at(3_600_000)), Ended::Reached);
    simulation
}

/// The hosts of a world.
#[derive(Clone, Copy)]
struct Stage {
    desk: HostId,
    visitor: HostId,
    serve: fn(Server) -> Server,
}

impl Stage {
    /// The desk's process, in whatever life its host is.
    fn open(self, control: &mut Control, clerk: Clerk) {
        let serve = self.serve;
        control.spawn(self.desk, "desk", false, move || {
            let server = Server::bind("sim://desk").unwrap().export(DeskService::new(clerk));
            let _running = serve(server).spawn().unwrap();
            stay();
        });
    }

    /// The desk crashes, and is back at once with what survives.
    fn crash(self, control: &mut Control, clerk: Clerk) {
        control.crash(self.desk);
        control.restart(self.desk);
        self.open(control, clerk);
    }
}

fn with_limits(server: Server, change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits::default();
    change(&mut limits);
    server.limits(limits)
}
