//! A row on real UDP sockets: a server and client threads of this process, the same injector around
//! both ends' links, the same checker.

#![expect(clippy::disallowed_methods, reason = "real sockets live in real time")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant as RealInstant};

use hdrhistogram::Histogram;
use rpc_runtime::driver::World;
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::reactor::{self, Faulty};
use rpc_runtime::sim::checker::{Fact, Verdict};
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::{CallError, Channel, Options, Semantics, Server, service};

use super::experiment::{Experiment, PATIENCE, Row, rate};

/// Client threads; each makes one call at a time.
const CLIENTS: u64 = 32;
/// Between two `maybe` calls of one thread: the window that drops their duplicates reaches back 64
/// calls, and a datagram that is held back must not fall out of it.
const MAYBE_GAP: Duration = Duration::from_millis(4);
/// A real clock's tick: how late a call may end on a busy machine.
const LATE_MAX: Duration = Duration::from_millis(250);

/// One method of each semantics; each says which execution answered.
#[service(name = "lab.echo", version = "1.0")]
trait Echo {
    #[rpc(maybe)]
    fn maybe(&self, call: u64);
    #[rpc(at_least_once)]
    fn at_least_once(&self, call: u64) -> Result<u64, CallError>;
    #[rpc(at_most_once)]
    fn at_most_once(&self, call: u64) -> Result<u64, CallError>;
}

struct Witness {
    world: Arc<dyn World>,
    journal: Journal,
    executions: AtomicU64,
}

impl Witness {
    fn execute(&self, call: u64) -> u64 {
        let execution = self.executions.fetch_add(1, Ordering::Relaxed);
        let (server, incarnation) = (ServerId::NONE, Incarnation::NONE);
        self.journal.note(self.world.now(), Fact::Began { call, server, incarnation });
        let reply = execution.to_le_bytes().to_vec();
        self.journal.note(self.world.now(), Fact::Returned { call, reply });
        execution
    }
}

impl Echo for Witness {
    fn maybe(&self, call: u64) {
        self.execute(call);
    }

    fn at_least_once(&self, call: u64) -> Result<u64, CallError> {
        Ok(self.execute(call))
    }

    fn at_most_once(&self, call: u64) -> Result<u64, CallError> {
        Ok(self.execute(call))
    }
}

/// Runs one row.
pub(crate) fn run(experiment: &Experiment) -> Result<Row, Box<dyn Error>> {
    let Experiment { semantics, ref faults, calls, seed, .. } = *experiment;
    // A busy machine may hold a datagram up for longer than a time-out: that is no violation.
    let journal = Journal::new(false);
    let servers = Faulty::new(reactor::world(), *faults, seed);
    let clients = Faulty::new(reactor::world(), *faults, seed + 1);
    let witness = Arc::new(Witness {
        world: reactor::world(),
        journal: journal.clone(),
        executions: AtomicU64::new(0),
    });
    let server = Server::bind_in(&servers.world(), "127.0.0.1:0")?
        .export(EchoService::shared(Arc::clone(&witness)))
        .spawn()?;
    let place = server.url().trim_start_matches("udp://").to_owned();
    let channel = Channel::connect_in(&clients.world(), &place)?;
    let echo = EchoClient::on(&channel).with(Options::new().timeout(PATIENCE));
    let latencies = Mutex::new(BTreeMap::new());
    let started = RealInstant::now();
    thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (echo, journal, latencies) = (&echo, &journal, &latencies);
            scope.spawn(move || {
                let count = calls / CLIENTS + u64::from(n < calls % CLIENTS);
                let seen = call(echo, journal, semantics, count);
                latencies.lock().unwrap_or_else(PoisonError::into_inner).insert(n, seen);
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    if semantics == Semantics::Maybe {
        // Nobody waits for these: what is still under way gets time to arrive.
        thread::sleep(Duration::from_millis(300));
    }
    let _left = server.drain(Duration::from_secs(2)); // none: every caller has its answer
    let violations = journal.finish(reactor::world().now()).len() as u64;
    let mut histogram = Histogram::<u64>::new(3)?;
    for micros in
        latencies.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().flatten()
    {
        histogram.saturating_record(micros);
    }
    Ok(Row {
        world: "udp",
        semantics,
        faults: faults.to_string(),
        seed,
        tally: journal.tally(),
        effects_lost: 0,
        violations,
        datagrams: servers.injected().datagrams + clients.injected().datagrams,
        retransmissions: channel.stats().protocol.retransmissions,
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        calls_per_second: rate(calls, seconds),
        trace_hash: None,
    })
}

/// Makes `count` calls one after another; gives their latencies in microseconds.
fn call(echo: &EchoClient, journal: &Journal, semantics: Semantics, count: u64) -> Vec<u64> {
    let world = reactor::world();
    let mut latencies = Vec::new();
    for _ in 0..count {
        let (call, started) = (journal.next_call(), world.now());
        let deadline = started + PATIENCE + LATE_MAX;
        let (server, incarnation) = (ServerId::NONE, Incarnation::NONE);
        journal.note(started, Fact::Started { call, semantics, deadline, server, incarnation });
        let told = match semantics {
            Semantics::Maybe => echo.start().maybe(call).wait().map(|()| None),
            Semantics::AtLeastOnce => echo.at_least_once(call).map(Some),
            Semantics::AtMostOnce | Semantics::ExactlyOnce => echo.at_most_once(call).map(Some),
        };
        let verdict = match told {
            Ok(Some(execution)) => Verdict::Reply(execution.to_le_bytes().to_vec()),
            Ok(None) => Verdict::Sent,
            Err(error) => Verdict::Failed(error.execution()),
        };
        let ended = world.now();
        journal.note(ended, Fact::Ended { call, verdict });
        if semantics == Semantics::Maybe {
            thread::sleep(MAYBE_GAP);
        }
        latencies.push(u64::try_from(ended.since(started).as_micros()).unwrap_or(u64::MAX));
    }
    latencies
}
