//! A row in the simulator: the protocol's machines without threads, so that speed is theirs.

#![expect(clippy::disallowed_methods, reason = "the simulator's own speed is real time")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as RealInstant};

use hdrhistogram::Histogram;
use rpc_runtime::Semantics;
use rpc_runtime::ids::{ClientId, Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::protocol::{
    CallSpec, Client, ClientIdentity, Execute, HandlerEnd, Limits, MethodEntry, Outcome, Server,
    ServerIdentity, Target,
};
use rpc_runtime::sim::Simulation;
use rpc_runtime::sim::nodes::{
    Action, Behaviour, ClientNode, Journal, Planned, Script, ServerNode, Work,
};
use rpc_runtime::time::Instant;

use super::experiment::{Experiment, PATIENCE, Row, rate};

/// Client hosts; each makes one call at a time.
const CLIENTS: u64 = 16;
/// Between two `maybe` calls of one client.
const MAYBE_GAP: Duration = Duration::from_millis(1);

/// Latencies, shared by all clients of a run.
type Latencies = Arc<Mutex<Histogram<u64>>>;

/// Replies at once with what it was sent, and with which execution this is.
#[derive(Debug)]
struct Echo {
    executions: u64,
}

impl Behaviour for Echo {
    fn execute(&mut self, _now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        self.executions += 1;
        reply.extend_from_slice(&execute.arguments);
        reply.extend_from_slice(&self.executions.to_le_bytes());
        Work { takes: Duration::ZERO, end: HandlerEnd::Returned, heeds_cancel: true }
    }
}

/// Makes one call after another.
#[derive(Debug)]
struct Sequence {
    semantics: Semantics,
    left: u64,
    started: Instant,
    latencies: Latencies,
    rests: bool,
}

impl Script for Sequence {
    fn next(&mut self, now: Instant, outstanding: usize) -> Action {
        if self.left == 0 || outstanding > 0 {
            return Action::Await;
        }
        if self.semantics == Semantics::Maybe && !std::mem::replace(&mut self.rests, true) {
            return Action::Idle(now + MAYBE_GAP);
        }
        self.rests = false;
        self.left -= 1;
        self.started = now;
        let spec = CallSpec {
            method: MethodFingerprint(1),
            name: 1,
            semantics: self.semantics,
            deadline: now + PATIENCE,
            depth: 0,
        };
        Action::Call(Planned { connection: 0, spec, arguments: Vec::new(), cancel_at: None })
    }

    fn ended(&mut self, now: Instant, _outcome: &Outcome) -> Option<Instant> {
        let micros = u64::try_from(now.since(self.started).as_micros()).unwrap_or(u64::MAX);
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.saturating_record(micros);
        None
    }
}

/// Runs one row.
pub(crate) fn run(experiment: &Experiment) -> Row {
    let Experiment { semantics, ref faults, calls, seed, .. } = *experiment;
    let latencies: Latencies =
        Arc::new(Mutex::new(Histogram::new(3).expect("three digits are allowed")));
    let journal = Journal::new(faults.is_none());
    let simulation = Simulation::new(seed);
    simulation.with(|control| {
        control.net.set_faults(*faults);
        let server = control.add_host("server");
        let identity = ServerIdentity { id: ServerId(1), incarnation: control.incarnation(server) };
        let limits = Limits::default();
        let reply_bytes_max = limits.reply_bytes_max;
        let method =
            MethodEntry { fingerprint: MethodFingerprint(1), name: 1, semantics, reply_bytes_max };
        let machine =
            Server::new(identity, limits.clone(), vec![method], Box::new(control.rng(server)));
        let who = (identity.id, identity.incarnation);
        let echo = Echo { executions: 0 };
        control.place(server, ServerNode::new(machine, who, echo, 64, journal.clone()));
        for n in 0..CLIENTS.min(calls.max(1)) {
            let host = control.add_host(&format!("client-{n}"));
            let incarnation = control.incarnation(host);
            let identity = ClientIdentity { id: ClientId(1 + n), incarnation };
            let target = Target {
                address: server.address(),
                server: ServerId(1),
                incarnation: Incarnation::NONE,
            };
            let now = control.local(host);
            let rng = Box::new(control.rng(host));
            let machine = Client::new(identity, target, limits.clone(), rng, now);
            let script = Sequence {
                semantics,
                left: calls / CLIENTS + u64::from(n < calls % CLIENTS),
                started: now,
                latencies: Arc::clone(&latencies),
                rests: false,
            };
            let bound = (ServerId(1), Incarnation::NONE);
            control.place(host, ClientNode::new(vec![(machine, bound)], script, journal.clone()));
        }
    });
    let started = RealInstant::now();
    let limit = Instant::START + PATIENCE * u32::try_from(calls + 10).unwrap_or(u32::MAX);
    simulation.run_until_quiet(limit);
    let seconds = started.elapsed().as_secs_f64();
    let (end, datagrams) = simulation.with(|control| (control.now(), control.net.counters().sent));
    let violations = journal.finish(end).len() as u64;
    let latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
    Row {
        world: "sim",
        semantics,
        faults: faults.to_string(),
        seed,
        tally: journal.tally(),
        effects_lost: 0,
        violations,
        datagrams,
        retransmissions: journal.retransmissions(),
        p50_us: latencies.value_at_quantile(0.5),
        p99_us: latencies.value_at_quantile(0.99),
        calls_per_second: rate(calls, seconds),
        trace_hash: Some(format!("{:016x}", simulation.trace_hash())),
    }
}
