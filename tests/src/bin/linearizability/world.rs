//! One seed: a server with its disk, a few clients, a bad network, crashes of both, partitions; and
//! the history that comes of it.
//!
//! Histories are short, because the judgement tries orders: many short ones find what one long one
//! would.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::Semantics;
use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{CallId, ClientId, Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::protocol::{
    CallSpec, Client, ClientIdentity, Limits, MethodEntry, OrphanPolicy, Outcome, Server,
    ServerIdentity, Target,
};
use rpc_runtime::random::Rng;
use rpc_runtime::sim::checker::{CallNumber, Fact};
use rpc_runtime::sim::nodes::{Action, ClientNode, Journal, Planned, Script, ServerNode};
use rpc_runtime::sim::{Control, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};

use super::history::History;
use super::object::{Disk, Object, Op, Service};

/// When nobody asks for anything any more.
const CALLS_LAST_US: u64 = 3_000_000;
/// When the faults end.
const FAULTS_END: Duration = Duration::from_secs(3);
/// When every call, and every question what became of one, has ended.
const END: Duration = Duration::from_secs(12);
/// How long a client that was left in doubt asks what became of its call.
const RESOLVE: Duration = Duration::from_secs(2);
/// The method that all calls name; its arguments say what is asked.
const METHOD: MethodFingerprint = MethodFingerprint(1);
/// The server, over all its lives.
const SERVER: ServerId = ServerId(1);

/// What a seed is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) semantics: Semantics,
    /// Calls of a history.
    pub(crate) calls: u64,
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) object: Object,
    pub(crate) history: History,
    pub(crate) linearizable: bool,
    /// What the checker of invariants says of the same run.
    pub(crate) violations: Vec<String>,
}

type Shared = Arc<Mutex<History>>;

fn open(history: &Shared) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A user who does what the day's plan says, and sometimes asks what became of a call.
#[derive(Debug)]
struct User {
    history: Shared,
    rng: Box<dyn Rng>,
}

impl Script for User {
    fn next(&mut self, _now: Instant, _outstanding: usize) -> Action {
        Action::Await
    }

    fn ended(&mut self, now: Instant, _outcome: &Outcome) -> Option<Instant> {
        self.rng.chance(0.5).then(|| now + RESOLVE)
    }

    fn told(&mut self, _now: Instant, call: CallNumber, _id: CallId, outcome: &Outcome) {
        open(&self.history).told(call, outcome);
    }
}

/// Everything that outlives a crash.
#[derive(Clone)]
struct Day {
    plan: Plan,
    limits: Limits,
    disk: Disk,
    history: Shared,
    journal: Journal,
    server: HostId,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, plan: Plan) -> Report {
    let simulation = Simulation::new(seed);
    // Each object gets half of the seeds.
    let object = if seed.is_multiple_of(2) { Object::Register(0) } else { Object::Counter(0) };
    let (history, journal) = (Shared::default(), Journal::new(false));
    simulation.with(|control| {
        let day = Day {
            plan,
            limits: Limits::default(),
            disk: Arc::new(Mutex::new(object)),
            history: Arc::clone(&history),
            journal: journal.clone(),
            server: control.add_host("server"),
        };
        set_up(control, day, object);
    });
    simulation.run_until(Instant::START + END);
    let history = open(&history).clone();
    let linearizable = history.is_linearizable(object);
    let broken = journal.finish(Instant::START + END);
    let violations = broken.iter().map(ToString::to_string).collect();
    Report { seed, object, history, linearizable, violations }
}

fn set_up(control: &mut Control, mut day: Day, object: Object) {
    let mut rng = control.scenario_rng(0);
    let limits = &mut day.limits;
    limits.slots_max = pick(&mut rng, &[1, 2, 64]);
    limits.calls_queued_max = pick(&mut rng, &[1, 64]);
    limits.retransmit_initial = Duration::from_millis(60);
    limits.retransmit_ceiling = Duration::from_millis(250);
    limits.lease_min = Duration::from_millis(500);
    limits.lease_unused = limits.lease_min;
    limits.lease = Duration::from_millis(pick(&mut rng, &[500, 5_000]));
    control.net.set_faults(faults(&mut rng));
    place_server(control, &day);
    plan_server(control, &mut rng, &day);
    let clients: Vec<HostId> =
        (0..2 + rng.below(2)).map(|n| control.add_host(&format!("client-{n}"))).collect();
    for &client in &clients {
        let ppm = i32::try_from(rng.below(200)).unwrap_or(0) - 100;
        control.set_drift(client, ppm);
        place_client(control, client, &day);
        plan_client(control, &mut rng, client, &day);
        plan_partition(control, &mut rng, client, &day);
    }
    for n in 0..day.plan.calls {
        let client = pick(&mut rng, &clients);
        let op = op(&mut rng, object, n);
        plan_call(control, &mut rng, client, &day, op);
    }
    control.at(Instant::START + FAULTS_END, |control| {
        control.net.set_faults(Faults::default());
        control.net.mend_all();
    });
}

fn pick<T: Copy>(rng: &mut dyn Rng, choices: &[T]) -> T {
    choices[usize::try_from(rng.below(choices.len() as u64)).expect("below a length")]
}

fn op(rng: &mut dyn Rng, object: Object, n: u64) -> Op {
    match object {
        _ if rng.chance(0.4) => Op::Read,
        Object::Register(_) => Op::Write(n + 1),
        Object::Counter(_) => Op::Add(3_u64.pow(u32::try_from(n).expect("few calls"))),
    }
}

fn faults(rng: &mut dyn Rng) -> Faults {
    let mut share = |most: f64| if rng.chance(0.3) { 0.0 } else { rng.unit() * most };
    let (lost, doubled, out_of_order) = (share(0.4), share(0.5), share(0.5));
    let faults = Faults::default().loss(lost).duplicate(doubled).reorder(out_of_order);
    match rng.below(3) {
        0 => faults,
        1 => faults.delay(Duration::ZERO..=Duration::from_micros(1 + rng.below(200_000))),
        // Copies of calls that are long over.
        _ => faults.delay(Duration::ZERO..=Duration::from_millis(1_000)),
    }
}

fn moment(rng: &mut dyn Rng) -> Instant {
    Instant::START + Duration::from_micros(1 + rng.below(CALLS_LAST_US))
}

fn place_server(control: &mut Control, day: &Day) {
    let host = day.server;
    let identity = ServerIdentity { id: SERVER, incarnation: control.incarnation(host) };
    let method = MethodEntry {
        fingerprint: METHOD,
        name: 1,
        semantics: day.plan.semantics,
        reply_bytes_max: day.limits.reply_bytes_max,
        orphans: OrphanPolicy::default(),
        ack: None,
    };
    let rng = Box::new(control.rng(host));
    let machine = Server::new(identity, day.limits.clone(), vec![method], rng);
    let service = Service { disk: Arc::clone(&day.disk), rng: Box::new(control.rng(host)) };
    let who = (identity.id, identity.incarnation);
    control.place(host, ServerNode::new(machine, who, service, 4, day.journal.clone()));
}

fn plan_server(control: &mut Control, rng: &mut dyn Rng, day: &Day) {
    for _ in 0..rng.below(3) {
        let (day, at) = (day.clone(), moment(rng));
        let down = Duration::from_micros(rng.below(300_000));
        control.at(at, move |control| {
            if !control.is_up(day.server) {
                return;
            }
            control.crash(day.server);
            let back = control.now() + down;
            control.at(back, move |control| {
                if !control.is_up(day.server) {
                    control.restart(day.server);
                    place_server(control, &day);
                }
            });
        });
    }
}

fn place_client(control: &mut Control, host: HostId, day: &Day) {
    let identity = ClientIdentity {
        id: ClientId(100 + u64::from(host.0)),
        incarnation: control.incarnation(host),
    };
    let bound = (SERVER, Incarnation::NONE);
    let target = Target { address: day.server.address(), server: bound.0, incarnation: bound.1 };
    let rng = Box::new(control.rng(host));
    let machine = Client::new(identity, target, day.limits.clone(), rng, control.local(host));
    let user = User { history: Arc::clone(&day.history), rng: Box::new(control.rng(host)) };
    control.place(host, ClientNode::new(vec![(machine, bound)], user, day.journal.clone()));
}

/// A client that dies is told nothing: its calls stay in flight for ever.
fn plan_client(control: &mut Control, rng: &mut dyn Rng, host: HostId, day: &Day) {
    if !rng.chance(0.3) {
        return;
    }
    let day = day.clone();
    control.at(moment(rng), move |control| {
        let calls = control.node(host, |node: &mut ClientNode<User>, _| node.calls());
        let calls = calls.unwrap_or_default();
        day.journal.note(control.now(), Fact::ClientGone { calls });
        control.crash(host);
        control.restart(host);
        place_client(control, host, &day);
    });
}

fn plan_partition(control: &mut Control, rng: &mut dyn Rng, client: HostId, day: &Day) {
    if !rng.chance(0.3) {
        return;
    }
    let (server, at, ways) = (day.server, moment(rng), rng.below(3));
    let mended = at + Duration::from_micros(rng.below(1_000_000));
    control.at(at, move |control| {
        if ways != 0 {
            control.net.cut(client, server);
        }
        if ways != 1 {
            control.net.cut(server, client);
        }
    });
    control.at(mended, move |control| {
        control.net.mend(client, server);
        control.net.mend(server, client);
    });
}

fn plan_call(control: &mut Control, rng: &mut dyn Rng, client: HostId, day: &Day, op: Op) {
    let (history, semantics) = (Arc::clone(&day.history), day.plan.semantics);
    let patience = Duration::from_micros(30_000 + rng.below(1_500_000));
    let gives_up = rng.chance(0.15).then(|| Duration::from_micros(1 + rng.below(300_000)));
    control.at(moment(rng), move |control| {
        control.node(client, |node: &mut ClientNode<User>, now| {
            let deadline = now + patience;
            let spec = CallSpec {
                method: METHOD,
                name: 1,
                semantics,
                deadline,
                depth: 0,
                recorded: false,
                ack: None,
                opens_within: None,
                extension_bytes: 0,
            };
            let cancel_at = gives_up.map(|after| now + after);
            let planned = Planned { connection: 0, spec, arguments: op.encode(), cancel_at };
            // Its end comes as an event, never before this returns.
            let call = node.call(now, planned);
            open(&history).invoked(call, op);
        });
    });
}
