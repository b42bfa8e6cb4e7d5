//! A chain of services with blocking user code, whose client dies in the midst of its call: the
//! work must be gone from every link. Slow beside machines, so only some seeds have one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rpc_runtime::error::CallError;
use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{ClientId, Incarnation, ServerId};
use rpc_runtime::random::Rng as _;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::checker::{Bounds, Fact, Watched};
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::sim::{Control, Simulation, now, sleep};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{Server, current, service};

use super::Transport;

/// Every so-many-th seed has a chain.
pub(super) const EVERY: u64 = 250;

const QUANTUM: Duration = Duration::from_millis(300);
const GRACE: Duration = Duration::from_millis(200);
/// What the cancellation takes from link to link, and a handler until it looks.
const HOPS: Duration = Duration::from_millis(100);
const END: Duration = Duration::from_secs(10);
/// The one call of the run.
const CALL: u64 = 0;

#[service]
trait Relay {
    #[rpc(timeout = "1h")]
    fn run(&self) -> Result<(), CallError>;
}

/// A link: has the next one run, or runs itself until it is called off.
#[derive(Debug)]
struct Link {
    next: Option<String>,
    journal: Journal,
    number: u64,
}

/// An execution under way, noted as over however it ends.
struct Running<'l>(&'l Link, u64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.journal.note(now(), Fact::Over { execution: self.1 });
        }
    }
}

impl Relay for Link {
    fn run(&self) -> Result<(), CallError> {
        let _running = self.begin();
        match &self.next {
            Some(next) => RelayClient::connect(next)?.run(),
            None => {
                let context = current().ok_or_else(|| CallError::failed("no context"))?;
                while !context.cancelled() {
                    sleep(Duration::from_millis(5));
                }
                Err(CallError::failed("called off"))
            }
        }
    }
}

impl Link {
    fn begin(&self) -> Running<'_> {
        let execution = self.journal.next_execution();
        let (server, incarnation) = (ServerId(1 + self.number), Incarnation(1));
        let (client, life) = (ClientId(1), Incarnation(1));
        let bounds = Bounds { expires: Some(QUANTUM + GRACE + HOPS), ..Bounds::default() };
        let call = CALL;
        let watched = Watched { execution, call, client, life, server, incarnation, bounds };
        if self.number == 0 {
            self.journal.note(now(), Fact::Began { call, server, incarnation });
        }
        self.journal.note(now(), Fact::Watched(watched));
        Running(self, execution)
    }
}

/// Runs the chain of a seed, and reports what it does to `journal`; gives the trace's hash.
pub(super) fn run(seed: u64, transport: Transport, journal: &Journal) -> u64 {
    let simulation = Simulation::new(seed);
    let died = Arc::new(AtomicBool::new(false));
    simulation.with(|control| control.net.dial_streams(transport.queue_bytes_max().is_some()));
    simulation.with(|control| set_up(control, journal, &died));
    simulation.run_until(Instant::START + END);
    assert!(died.load(Ordering::Relaxed), "the client died in the midst of its call");
    simulation.trace_hash()
}

fn set_up(control: &mut Control, journal: &Journal, died: &Arc<AtomicBool>) {
    let mut rng = control.scenario_rng(1);
    control.net.set_faults(Faults::default().delay(Duration::from_micros(200)));
    let links = 2 + rng.below(3);
    let url = |n: u64| format!("sim://link-{n}");
    let hosts: Vec<_> = (0..links).map(|n| control.add_host(&format!("link-{n}"))).collect();
    for (number, host) in (0..links).zip(hosts) {
        let next = (number + 1 < links).then(|| url(number + 1));
        let link = Link { next, journal: journal.clone(), number };
        let url = url(number);
        control.spawn(host, "server", false, move || {
            let server = Server::bind(&url).expect("the host's own name");
            let server = server.quantum(QUANTUM).grace(GRACE).export(RelayService::new(link));
            server.serve().expect("one service");
        });
    }
    let client = control.add_host("client");
    control.spawn(client, "client", false, move || {
        let chain = RelayClient::connect(&url(0)).expect("a host's name");
        let _called_off = chain.run();
    });
    let (call, semantics) = (journal.next_call(), Semantics::AtMostOnce);
    assert_eq!(call, CALL, "a journal of its own");
    let deadline = Instant::START + END * 10;
    let (server, incarnation) = (ServerId::NONE, Incarnation::NONE);
    journal.note(control.now(), Fact::Started { call, semantics, deadline, server, incarnation });
    let (journal, died) = (journal.clone(), Arc::clone(died));
    let at = Instant::START + Duration::from_micros(50_000 + rng.below(2_000_000));
    control.at(at, move |control| {
        journal.note(control.now(), Fact::ClientGone { calls: vec![CALL] });
        control.crash(client);
        died.store(true, Ordering::Relaxed);
    });
}
