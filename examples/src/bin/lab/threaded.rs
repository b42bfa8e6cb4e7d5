//! A row in the simulator with ordinary blocking code: a binder, servers that register with it and
//! clients that find them there, each on a host of its own, in virtual time.

#![expect(clippy::disallowed_methods, reason = "the simulator's own speed is real time")]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as RealInstant};

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::driver::World;
use rpc_runtime::server::Running;
use rpc_runtime::sim::checker::Fact;
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::sim::{self, Ended, HostId, SimDisk, Simulation};
use rpc_runtime::store::Durable;
use rpc_runtime::store::memory::MemoryStore;
use rpc_runtime::time::Instant;
use rpc_runtime::{Binder, Semantics, Server};

use super::echo::{Caller, EchoService, MAYBE_TAIL, SERVERS, Stage, Witness};
use super::experiment::{Experiment, Measured, PATIENCE, Row, Seen};
use super::vault;

/// Client hosts; each makes one call at a time.
const CLIENTS: u64 = 16;
/// Where the binder is.
const BINDER: &str = "sim://binder";
/// When everybody is bound, at the latest.
const BOUND: Instant = Instant::from_micros(60_000_000);

/// Where the threads of a run leave what they made.
type Slot<T> = Arc<Mutex<Vec<T>>>;

/// Runs one row.
pub(crate) fn run(experiment: &Experiment) -> Result<Row, Box<dyn Error>> {
    let stage = Stage::new(Journal::new(experiment.faults.is_none()));
    let simulation = Simulation::new(experiment.seed);
    let disks = disks(experiment);
    serve(&simulation, &stage, &disks);
    let callers = bind(&simulation, experiment.semantics)?;
    // Faults from here on: what is compared is calls.
    let before = simulation.with(|control| {
        control.net.set_faults(experiment.faults);
        control.net.counters().sent
    });
    let started = RealInstant::now();
    let (seen, retransmissions) = make_calls(&simulation, experiment, &stage, callers)?;
    let seconds = started.elapsed().as_secs_f64();
    if experiment.semantics == Semantics::Maybe {
        simulation.run_for(MAYBE_TAIL);
    }
    let (ended, datagrams) =
        simulation.with(|control| (control.now(), control.net.counters().sent - before));
    let trace_hash = Some(simulation.trace_hash());
    let effects = vault::on_disks(&disks)?;
    stage.close(ended, &effects);
    let Stage { journal, ledger, .. } = stage;
    for _ in 0..retransmissions {
        journal.note(ended, Fact::Retransmitted);
    }
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

/// A disk for each server that needs one.
fn disks(experiment: &Experiment) -> Vec<SimDisk> {
    let is_durable = experiment.semantics == Semantics::ExactlyOnce;
    let disk = |n| {
        let disk = SimDisk::new(experiment.seed, n);
        disk.set_flush_takes(vault::FLUSH_TAKES);
        disk
    };
    (0..SERVERS as u64).filter(|_| is_durable).map(disk).collect()
}

/// Starts the binder and the servers.
fn serve(simulation: &Simulation, stage: &Stage, disks: &[SimDisk]) {
    simulation.with(|control| {
        let binder = control.add_host("binder");
        control.spawn(binder, "main", false, || {
            let _running = daemon::start(BINDER, Limits::default()).expect("the host is free");
            stay();
        });
        for n in 1..=SERVERS {
            let name = format!("server-{n}");
            let host = control.add_host(&name);
            let (stage, disk) = (stage.clone(), disks.get(n - 1).cloned());
            control.spawn(host, "main", false, move || {
                let _running = start(&name, stage, disk).expect("the binder answers");
                stay();
            });
        }
    });
}

fn start(name: &str, stage: Stage, disk: Option<SimDisk>) -> Result<Running, Box<dyn Error>> {
    let witness = Witness { world: here(), stage };
    let server = Server::bind(&format!("sim://{name}"))?;
    let server = match disk {
        Some(disk) => {
            let store = Durable::start(MemoryStore::open(&disk)?)?;
            server.export(vault::service(&store, witness))
        }
        None => server.export(EchoService::new(witness)),
    };
    Ok(server.register(&Binder::at(BINDER)?).spawn()?)
}

/// Starts the clients, and waits until all of them are bound.
fn bind(
    simulation: &Simulation,
    semantics: Semantics,
) -> Result<Vec<(HostId, Caller)>, Box<dyn Error>> {
    let bound: Slot<(HostId, Caller)> = Slot::default();
    simulation.with(|control| {
        for n in 1..=CLIENTS {
            let host = control.add_host(&format!("client-{n}"));
            let bound = Arc::clone(&bound);
            control.spawn(host, "bind", true, move || {
                let binder = Binder::at(BINDER).expect("a host of that name");
                let caller = Caller::bind(&here(), &binder, semantics);
                let caller = caller.expect("the binder answers");
                put(&bound, (host, caller));
            });
        }
    });
    match simulation.try_run_until_finished(BOUND)? {
        Ended::Reached => Ok(take(&bound)),
        Ended::Limit | Ended::Quiet | Ended::Failed => {
            Err("not all clients came to be bound".into())
        }
    }
}

/// Lets every client make its share of the calls; gives what they saw, and what was sent again.
fn make_calls(
    simulation: &Simulation,
    experiment: &Experiment,
    stage: &Stage,
    callers: Vec<(HostId, Caller)>,
) -> Result<(Seen, u64), Box<dyn Error>> {
    let seen: Slot<(Seen, u64)> = Slot::default();
    simulation.with(|control| {
        for ((host, caller), n) in callers.into_iter().zip(0..) {
            let (semantics, count) = (experiment.semantics, experiment.share(n, CLIENTS));
            let (journal, seen) = (stage.journal.clone(), Arc::clone(&seen));
            control.spawn(host, "call", true, move || {
                let own = caller.call(&journal, semantics, count, Duration::ZERO);
                put(&seen, (own, caller.retransmissions()));
            });
        }
    });
    let limit =
        BOUND + PATIENCE * u32::try_from(experiment.calls.saturating_add(10)).unwrap_or(u32::MAX);
    match simulation.try_run_until_finished(limit)? {
        Ended::Reached => {}
        Ended::Limit | Ended::Quiet | Ended::Failed => return Err("a client never ended".into()),
    }
    let (mut all, mut retransmissions) = (Seen::new(), 0);
    for (own, again) in take(&seen) {
        all.add(&own);
        retransmissions += again;
    }
    Ok((all, retransmissions))
}

/// The world of the host whose thread is calling.
fn here() -> Arc<dyn World> {
    sim::current_world().expect("only threads of the simulator call this")
}

/// Holds what the calling thread has made for as long as its host is up.
fn stay() {
    loop {
        sim::sleep(Duration::from_secs(3_600));
    }
}

fn put<T>(slot: &Slot<T>, made: T) {
    slot.lock().unwrap_or_else(PoisonError::into_inner).push(made);
}

fn take<T>(slot: &Slot<T>) -> Vec<T> {
    std::mem::take(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner))
}
