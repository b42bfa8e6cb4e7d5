//! A row in the simulator without threads: the protocol's own machines, so that speed is theirs.
//! The clients know their server's address; blocking code with a binder is `threaded`'s.

#![expect(clippy::disallowed_methods, reason = "the simulator's own speed is real time")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as RealInstant};

use rpc_runtime::Semantics;
use rpc_runtime::ids::{ClientId, Incarnation, MethodFingerprint, ServerId, Space};
use rpc_runtime::protocol::{
    CallSpec, Client, ClientIdentity, Execute, HandlerEnd, Limits, MethodEntry, OrphanPolicy,
    Outcome, Server, ServerIdentity, Target,
};
use rpc_runtime::sim::Simulation;
use rpc_runtime::sim::nodes::{
    Action, Behaviour, ClientNode, Disk, Journal, Planned, Script, ServerNode, Work,
};
use rpc_runtime::time::Instant;

use super::experiment::{Experiment, Ledger, Measured, PATIENCE, Row, Seen};

/// Client hosts; each makes one call at a time.
const CLIENTS: u64 = 16;
/// Between two `maybe` calls of one client.
const MAYBE_GAP: Duration = Duration::from_millis(1);

/// What the clients of a run saw, together.
type Shared = Arc<Mutex<Seen>>;

/// Replies at once with what it was sent, and with which execution this is.
#[derive(Debug)]
struct Echo {
    executions: u64,
    ledger: Ledger,
}

impl Behaviour for Echo {
    fn execute(&mut self, _now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        self.executions += 1;
        let is_durable = execute.ticket.call_id().space == Space::Durable;
        if let Some(call) = number_in(&execute.arguments)
            && !is_durable
        {
            self.ledger.enter(call);
        }
        reply.extend_from_slice(&execute.arguments);
        reply.extend_from_slice(&self.executions.to_le_bytes());
        Work { takes: Duration::ZERO, end: HandlerEnd::Returned, heeds_cancel: true }
    }
}

/// The call's number, which the arguments begin with, and so the reply.
fn number_in(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|number| u64::from_le_bytes(*number))
}

/// Makes one call after another.
#[derive(Debug)]
struct Sequence {
    semantics: Semantics,
    left: u64,
    started: Instant,
    seen: Shared,
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
            recorded: false,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        Action::Call(Planned { connection: 0, spec, arguments: Vec::new(), cancel_at: None })
    }

    fn ended(&mut self, now: Instant, outcome: &Outcome) -> Option<Instant> {
        let mut seen = lock(&self.seen);
        seen.took(now.since(self.started));
        if let Outcome::Returned(body) = outcome
            && let Some(call) = number_in(body)
        {
            seen.confirmed(call);
        }
        None
    }
}

/// Runs one row.
pub(crate) fn run(experiment: &Experiment) -> Row {
    let Experiment { semantics, ref faults, calls, seed, .. } = *experiment;
    let (ledger, seen) = (Ledger::default(), Arc::new(Mutex::new(Seen::new())));
    let journal = Journal::new(faults.is_none());
    let disk = Disk::default();
    let simulation = Simulation::new(seed);
    simulation.with(|control| {
        control.net.set_faults(*faults);
        let server = control.add_host("server");
        let identity = ServerIdentity { id: ServerId(1), incarnation: control.incarnation(server) };
        let limits = Limits::default();
        let reply_bytes_max = limits.reply_bytes_max;
        let orphans = OrphanPolicy::default();
        let method = MethodEntry {
            fingerprint: MethodFingerprint(1),
            name: 1,
            semantics,
            reply_bytes_max,
            orphans,
            ack: None,
        };
        let machine =
            Server::new(identity, limits.clone(), vec![method], Box::new(control.rng(server)));
        let who = (identity.id, identity.incarnation);
        let echo = Echo { executions: 0, ledger: ledger.clone() };
        let node = ServerNode::new(machine, who, echo, 64, journal.clone());
        let is_durable = semantics == Semantics::ExactlyOnce;
        let node = if is_durable { node.with_disk(disk.clone()) } else { node };
        control.place(server, node);
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
                left: experiment.share(n, CLIENTS),
                started: now,
                seen: Arc::clone(&seen),
                rests: false,
            };
            let bound = (ServerId(1), Incarnation::NONE);
            control.place(host, ClientNode::new(vec![(machine, bound)], script, journal.clone()));
        }
    });
    let started = RealInstant::now();
    let limit =
        Instant::START + PATIENCE * u32::try_from(calls.saturating_add(10)).unwrap_or(u32::MAX);
    simulation.run_until_quiet(limit);
    let seconds = started.elapsed().as_secs_f64();
    let (ended, datagrams) =
        simulation.with(|control| (control.now(), control.net.counters().sent));
    let trace_hash = Some(simulation.trace_hash());
    let seen = std::mem::replace(&mut *lock(&seen), Seen::new());
    let retransmissions = journal.retransmissions();
    experiment.row(&Measured {
        journal,
        ledger,
        effects: disk.effects(),
        seen,
        datagrams,
        retransmissions,
        ended,
        seconds,
        trace_hash,
    })
}

fn lock(seen: &Shared) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
