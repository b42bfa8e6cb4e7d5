//! The premises of `closed_form`, built: a server whose handlers take no time, clients that make one
//! call at a time over a session that is open, and a network that does one thing wrong.
//!
//! Nothing here knows what should come out; it counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::Semantics;
use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{CallId, ClientId, Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::protocol::{
    CallSpec, Client, ClientIdentity, DoubtCause, Execute, HandlerEnd, Limits, MethodEntry,
    OrphanPolicy, Outcome, Server, ServerIdentity, Target,
};
use rpc_runtime::sim::nodes::{
    Action, Behaviour, ClientNode, Journal, Planned, Script, ServerNode, Work,
};
use rpc_runtime::sim::{Control, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::wire::Kind;

/// The time-out's floor, at which it stands: a round trip takes a two-hundredth of it.
pub(crate) const FLOOR: Duration = Duration::from_millis(20);
/// Client hosts; their calls know nothing of each other.
const CLIENTS: u64 = 32;
/// When the network goes wrong: the sessions are open by then, and all is quiet.
const FAULTS_BEGIN: Duration = Duration::from_millis(500);
/// When the first call that counts is made.
const CALLS_BEGIN: Duration = Duration::from_secs(1);
/// Between two calls of one client: what ends one never shares a datagram with the next.
const GAP: Duration = Duration::from_millis(1);
/// Longer than any run, so that no session has to be asked whether it is still there.
const LEASE: Duration = Duration::from_secs(40 * 24 * 3_600);
/// The longest wait for a reply: longer than the waits of any deadline that is tried.
const CEILING: Duration = Duration::from_secs(60);
/// Room for every reply of every slot.
const STORED_BYTES: usize = 1 << 30;
/// Slots of a session; one call at a time leaves most of them lingering.
const SLOTS: u32 = 64;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub(crate) semantics: Semantics,
    pub(crate) faults: Faults,
    /// How long a call waits.
    pub(crate) patience: Duration,
    pub(crate) calls: u64,
    pub(crate) seed: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Calls by their number of executions, those without a reply.
    pub(crate) unreplied: Vec<u64>,
    /// The same for those with one (of `maybe`: handed over).
    pub(crate) replied: Vec<u64>,
    /// Calls that ended in a way that the premises exclude.
    pub(crate) strange: u64,
    /// REQUESTs that clients sent for them.
    pub(crate) requests: u64,
    /// Invariants that the checker found broken.
    pub(crate) violations: Vec<String>,
}

impl Counts {
    /// All executions.
    pub(crate) fn executions(&self) -> u64 {
        let sum = |calls: &Vec<u64>| -> u64 { calls.iter().zip(0..).map(|(n, of)| n * of).sum() };
        sum(&self.unreplied) + sum(&self.replied)
    }

    /// Calls with so many executions, replied to or not.
    pub(crate) fn of(calls: &[u64], executions: usize) -> u64 {
        calls.get(executions).copied().unwrap_or_default()
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    UnderWay,
    Replied,
    NoReply,
    Strange,
}

/// Per call, by number: executions, and the end.
type Book = Arc<Mutex<Vec<(usize, End)>>>;

fn entry(
    book: &mut MutexGuard<'_, Vec<(usize, End)>>,
    call: u64,
    edit: impl FnOnce(&mut (usize, End)),
) {
    let place = usize::try_from(call).unwrap_or(usize::MAX);
    if book.len() <= place {
        book.resize(place + 1, (0, End::UnderWay));
    }
    edit(&mut book[place]);
}

fn open(book: &Book) -> MutexGuard<'_, Vec<(usize, End)>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts, and replies at once.
#[derive(Debug)]
struct Handler {
    book: Book,
    executions: u64,
}

impl Behaviour for Handler {
    fn execute(&mut self, _now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        if let Some(number) = execute.arguments.first_chunk() {
            entry(&mut open(&self.book), u64::from_le_bytes(*number), |call| call.0 += 1);
        }
        self.executions += 1;
        reply.extend_from_slice(&self.executions.to_le_bytes());
        Work { takes: Duration::ZERO, end: HandlerEnd::Returned, heeds_cancel: false }
    }
}

/// Makes one call to open the session, waits for the faults, and then calls and calls.
#[derive(Debug)]
struct User {
    book: Book,
    trial: Trial,
    left: u64,
    has_opened: bool,
    rests: bool,
}

impl Script for User {
    fn next(&mut self, now: Instant, outstanding: usize) -> Action {
        if self.left == 0 || outstanding > 0 {
            return Action::Await;
        }
        if std::mem::replace(&mut self.has_opened, true) {
            let begin = Instant::START + CALLS_BEGIN;
            if now < begin {
                return Action::Idle(begin);
            }
            if !std::mem::replace(&mut self.rests, true) {
                return Action::Idle(now + GAP);
            }
            self.rests = false;
            self.left -= 1;
        }
        let spec = CallSpec {
            method: MethodFingerprint(1),
            name: 1,
            semantics: self.trial.semantics,
            deadline: now + self.trial.patience,
            depth: 0,
            recorded: false,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        Action::Call(Planned { connection: 0, spec, arguments: Vec::new(), cancel_at: None })
    }

    fn ended(&mut self, _now: Instant, _outcome: &Outcome) -> Option<Instant> {
        None
    }

    fn told(&mut self, _now: Instant, call: u64, _id: CallId, outcome: &Outcome) {
        let end = match outcome {
            Outcome::Returned(_) | Outcome::Sent => End::Replied,
            Outcome::InDoubt(DoubtCause::NoReply) => End::NoReply,
            Outcome::InDoubt(_)
            | Outcome::Failed { .. }
            | Outcome::Refused { .. }
            | Outcome::Rejected { .. }
            | Outcome::NotSent(_)
            | Outcome::Sealed => End::Strange,
        };
        entry(&mut open(&self.book), call, |entry| entry.1 = end);
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.retransmit_initial = FLOOR;
    limits.retransmit_floor = FLOOR;
    limits.retransmit_ceiling = CEILING;
    limits.lease_unused = LEASE;
    limits.lease = LEASE;
    limits.retention = 2 * LEASE;
    limits.reply_bytes_stored_max = STORED_BYTES;
    limits.slots_max = SLOTS;
    limits
}

/// Runs it.
pub(crate) fn run(trial: Trial) -> Counts {
    let (book, journal) = (Book::default(), Journal::new(false));
    let simulation = Simulation::new(trial.seed);
    let clients = simulation.with(|control| {
        let server = place_server(control, trial.semantics, &book, &journal);
        control.at(Instant::START + FAULTS_BEGIN, move |control| {
            control.net.set_faults(trial.faults);
        });
        (0..CLIENTS)
            .map(|n| place_client(control, server, n, trial, &book, &journal))
            .collect::<Vec<_>>()
    });
    simulation.run_until_quiet(Instant::START + LEASE * 4);
    let (now, requests) = simulation.with(|control| {
        let sent = |&host: &HostId| control.net.sent(host, Kind::Request);
        (control.now(), clients.iter().map(sent).sum::<u64>())
    });
    let violations = journal.finish(now).iter().map(ToString::to_string).collect();
    count(&open(&book), Counts { requests: requests - CLIENTS, violations, ..Counts::default() })
}

/// The first calls opened the sessions; they do not count.
fn count(book: &[(usize, End)], mut counts: Counts) -> Counts {
    let first = usize::try_from(CLIENTS).unwrap_or(usize::MAX);
    for &(executions, end) in book.get(first..).unwrap_or_default() {
        let calls = match end {
            End::Replied => &mut counts.replied,
            End::NoReply => &mut counts.unreplied,
            End::UnderWay | End::Strange => {
                counts.strange += 1;
                continue;
            }
        };
        if calls.len() <= executions {
            calls.resize(executions + 1, 0);
        }
        calls[executions] += 1;
    }
    counts
}

fn place_server(
    control: &mut Control,
    semantics: Semantics,
    book: &Book,
    journal: &Journal,
) -> HostId {
    let host = control.add_host("server");
    let identity = ServerIdentity { id: ServerId(1), incarnation: control.incarnation(host) };
    let limits = limits();
    let reply_bytes_max = limits.reply_bytes_max;
    let method = MethodEntry {
        fingerprint: MethodFingerprint(1),
        name: 1,
        semantics,
        reply_bytes_max,
        orphans: OrphanPolicy::default(),
        ack: None,
    };
    let machine = Server::new(identity, limits, vec![method], Box::new(control.rng(host)));
    let handler = Handler { book: Arc::clone(book), executions: 0 };
    let who = (identity.id, identity.incarnation);
    control.place(host, ServerNode::new(machine, who, handler, usize::MAX, journal.clone()));
    host
}

fn place_client(
    control: &mut Control,
    server: HostId,
    n: u64,
    trial: Trial,
    book: &Book,
    journal: &Journal,
) -> HostId {
    let host = control.add_host(&format!("client-{n}"));
    let identity = ClientIdentity { id: ClientId(1 + n), incarnation: control.incarnation(host) };
    let bound = (ServerId(1), Incarnation::NONE);
    let target = Target { address: server.address(), server: bound.0, incarnation: bound.1 };
    let rng = Box::new(control.rng(host));
    let machine = Client::new(identity, target, limits(), rng, control.local(host));
    let left = trial.calls / CLIENTS + u64::from(n < trial.calls % CLIENTS);
    let user = User { book: Arc::clone(book), trial, left, has_opened: false, rests: false };
    control.place(host, ClientNode::new(vec![(machine, bound)], user, journal.clone()));
    host
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closed_form::deadline;

    #[test]
    fn without_faults_every_call_is_replied_to_and_sent_once() {
        let trial = Trial {
            semantics: Semantics::AtMostOnce,
            faults: Faults::NONE,
            patience: deadline(3, FLOOR),
            calls: 100,
            seed: 1,
        };
        let counts = run(trial);
        assert_eq!((counts.replied, counts.strange, counts.requests), (vec![0, 100], 0, 100));
    }

    #[test]
    fn a_call_that_nothing_comes_of_is_sent_exactly_as_often_as_planned() {
        for n in 1..=8 {
            let trial = Trial {
                semantics: Semantics::AtLeastOnce,
                faults: Faults::default().loss(1.0),
                patience: deadline(n, FLOOR),
                calls: 64,
                seed: 2,
            };
            let counts = run(trial);
            assert_eq!((counts.unreplied, counts.requests), (vec![64], 64 * u64::from(n)));
        }
    }
}
