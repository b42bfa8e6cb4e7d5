//! A row on real UDP sockets: a binder, servers that register with it and clients that find them
//! there, in threads of this process; the same injector around all call paths as in the simulator,
//! the same checker.

#![expect(clippy::disallowed_methods, reason = "real sockets live in real time")]

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as RealInstant};

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::fault::Faults;
use rpc_runtime::reactor::{self, Faulty};
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::store::Durable;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::{Binder, Semantics, Server};

use super::echo::{Caller, EchoService, MAYBE_TAIL, SERVERS, Stage, Witness, rest};
use super::experiment::{Experiment, Measured, Row, Seen};
use super::vault;

/// Clients; each has a socket and a thread of its own and makes one call at a time.
const CLIENTS: u64 = 32;
/// A real clock's tick: how late a call may end on a busy machine.
const LATE_MAX: Duration = Duration::from_millis(250);
/// Where binder and servers listen: the system chooses the port.
const ANYWHERE: &str = "127.0.0.1:0";

/// Runs one row.
pub(crate) fn run(experiment: &Experiment) -> Result<Row, Box<dyn Error>> {
    // A busy machine may hold a datagram up for longer than a time-out: that is no violation.
    let stage = Stage::new(Journal::new(false));
    let binder = daemon::start(&format!("udp://{ANYWHERE}"), Limits::default())?;
    // Without faults until everybody is bound: what is compared is calls.
    let at_servers = Faulty::new(reactor::world(), Faults::NONE, experiment.seed);
    let at_clients = Faulty::new(reactor::world(), Faults::NONE, experiment.seed.wrapping_add(1));
    let registrar = Binder::at(&binder.url())?;
    let is_durable = experiment.semantics == Semantics::ExactlyOnce;
    let folder = tempfile::tempdir()?;
    let (mut servers, mut stores) = (Vec::new(), Vec::new());
    for n in 0..SERVERS {
        let witness = Witness { world: reactor::world(), stage: stage.clone() };
        let server = Server::bind_in(&at_servers.world(), ANYWHERE)?;
        let server = if is_durable {
            let store = Durable::start(Redb::open(folder.path().join(format!("store-{n}")))?)?;
            stores.push(Arc::clone(&store));
            server.export(vault::service(&store, witness))
        } else {
            server.export(EchoService::new(witness))
        };
        servers.push(server.register(&registrar).spawn()?);
    }
    let place = binder.url().trim_start_matches("udp://").to_owned();
    let mut callers = Vec::new();
    for _ in 0..CLIENTS {
        // A world of its own for each, so that they do not share a session.
        let world = at_clients.world();
        let binder = Binder::at_in(&world, &place)?;
        callers.push(Caller::bind(&world, &binder, experiment.semantics)?);
    }
    let injected = || at_servers.injected().datagrams + at_clients.injected().datagrams;
    let before = injected();
    for world in [&at_servers, &at_clients] {
        world.set_faults(experiment.faults);
    }
    let started = RealInstant::now();
    let seen = make_calls(experiment, &callers, &stage);
    let seconds = started.elapsed().as_secs_f64();
    if experiment.semantics == Semantics::Maybe {
        rest(&reactor::world(), MAYBE_TAIL);
    }
    let datagrams = injected() - before;
    let retransmissions = callers.iter().map(Caller::retransmissions).sum();
    drop(callers);
    for server in servers {
        let _left = server.drain(Duration::from_secs(2)); // none: every caller has its answer
    }
    let effects = vault::in_stores(&stores).map_err(|error| error.to_string())?;
    let ended = reactor::world().now();
    stage.close(ended, &effects);
    let Stage { journal, ledger, .. } = stage;
    let trace_hash = None;
    Ok(experiment.row(&Measured {
        journal,
        ledger,
        effects,
        seen,
        datagrams,
        retransmissions,
        ended,
        seconds,
        trace_hash,
    }))
}

/// All clients at once.
fn make_calls(experiment: &Experiment, callers: &[Caller], stage: &Stage) -> Seen {
    let mut all = Seen::new();
    thread::scope(|scope| {
        let threads: Vec<_> = callers
            .iter()
            .zip(0..)
            .map(|(caller, n)| {
                let (journal, semantics) = (&stage.journal, experiment.semantics);
                let count = experiment.share(n, CLIENTS);
                scope.spawn(move || caller.call(journal, semantics, count, LATE_MAX))
            })
            .collect();
        for thread in threads {
            all.add(&thread.join().expect("a client does not panic"));
        }
    });
    all
}
