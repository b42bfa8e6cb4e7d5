//! One seed, one bad day: servers crash and come back, or others come in their place; clients
//! restart; the network loses, doubles, delays, damages and splits. In the end the checker judges.
//!
//! Machines only, without threads, so that a minute tries hundreds of thousands of calls. What the
//! day brings is drawn from the seed alone.

mod users;

use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{ClientId, Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::protocol::{
    Client, ClientIdentity, Limits, MethodEntry, Server, ServerIdentity, Target,
};
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::checker::{Fact, Tally, Violation};
use rpc_runtime::sim::nodes::{ClientNode, Disk, Journal, ServerNode};
use rpc_runtime::sim::{Control, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};

use users::{Caller, Handlers};

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Sums over its calls.
    pub tally: Tally,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// The trace's hash.
    pub trace_hash: u64,
    /// The last events, if they were asked for.
    pub trace: Vec<String>,
}

/// The methods that the campaign's servers offer: one of each semantics.
pub const METHODS: [(u64, Semantics); 4] = [
    (11, Semantics::Maybe),
    (12, Semantics::AtLeastOnce),
    (13, Semantics::AtMostOnce),
    (14, Semantics::ExactlyOnce),
];

/// When nobody starts a call any more.
const CALLS_LAST: Duration = Duration::from_secs(6);
/// When the faults end.
const FAULTS_END: Duration = Duration::from_secs(4);
/// When every call must have ended and every late datagram arrived.
const SETTLED: Duration = Duration::from_secs(12);
/// When the run ends: after the last lease.
const END: Duration = Duration::from_secs(24);
/// How often the tables' sizes are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Runs one seed; keeps the last `trace_lines` events.
#[must_use]
pub fn run(seed: u64, trace_lines: usize) -> Report {
    let simulation = Simulation::new(seed);
    let journal = Journal::new(false);
    let disks = simulation.with(|control| {
        control.trace.keep(trace_lines);
        set_up(control, &journal)
    });
    simulation.run_until(Instant::START + SETTLED);
    let before = simulation.with(|control| control.net.counters().sent);
    simulation.run_until(Instant::START + END);
    simulation.with(|control| {
        let noise = control.net.counters().sent - before;
        if noise > 0 {
            let what = format!("{noise} datagrams, long after the last call,");
            journal.note(control.now(), Fact::Noise { what });
        }
    });
    for (call, times) in disks.iter().flat_map(|disk| disk.effects()) {
        journal.note(Instant::START + END, Fact::Kept { call, times });
    }
    let violations = journal.finish(Instant::START + END);
    Report {
        seed,
        tally: journal.tally(),
        violations,
        trace_hash: simulation.trace_hash(),
        trace: simulation.with(|control| control.trace.lines().collect()),
    }
}

/// The day's plan.
fn set_up(control: &mut Control, journal: &Journal) -> Vec<Disk> {
    let mut rng = control.scenario_rng(0);
    let limits = limits(&mut rng);
    let faults = faults(&mut rng);
    control.net.set_faults(faults);
    let servers: Vec<HostId> =
        (0..=rng.below(2)).map(|n| control.add_host(&format!("server-{n}"))).collect();
    let clients: Vec<HostId> =
        (0..=rng.below(3)).map(|n| control.add_host(&format!("client-{n}"))).collect();
    let mut disks = Vec::new();
    for (n, &host) in servers.iter().enumerate() {
        let identity = server_identity(control, host, n as u64);
        let disk = Disk::default();
        let other = Disk::default();
        disks.extend([disk.clone(), other.clone()]);
        place_server(control, host, identity, &limits, &disk, journal);
        let site = Site { host, n: n as u64, disk, other };
        plan_server(control, &mut rng, &site, &limits, journal);
    }
    for (n, &host) in clients.iter().enumerate() {
        drift(control, &mut rng, host);
        let calls = 4 + rng.below(14);
        let id = ClientId(100 + n as u64);
        place_client(control, &Life { host, id, calls, servers: &servers }, &limits, journal);
        plan_client(
            control,
            &mut rng,
            &Life { host, id, calls, servers: &servers },
            &limits,
            journal,
        );
    }
    plan_partitions(control, &mut rng, &servers, &clients);
    control.at(Instant::START + FAULTS_END, |control| {
        control.net.set_faults(Faults::default());
        control.net.mend_all();
    });
    look(control, servers, journal.clone());
    disks
}

/// One of `choices`.
pub(crate) fn pick<T: Copy>(rng: &mut dyn Rng, choices: &[T]) -> T {
    let place = rng.below(choices.len() as u64);
    choices[usize::try_from(place).expect("below a length")]
}

/// Small tables and short leases, so that every limit is met.
fn limits(rng: &mut dyn Rng) -> Limits {
    let mut limits = Limits::default();
    limits.slots_max = pick(rng, &[1, 2, 8, 64]);
    limits.sessions_max = pick(rng, &[2, 4, 64]);
    limits.unused_sessions_max = pick(rng, &[0, 1, 64]);
    limits.calls_queued_max = pick(rng, &[1, 4, 64]);
    limits.reply_bytes_stored_max = pick(rng, &[1_300, 5_000, 1 << 20]);
    limits.retransmit_initial = Duration::from_millis(60);
    limits.retransmit_ceiling = Duration::from_millis(250);
    limits.lease_min = Duration::from_millis(500);
    limits.lease_unused = limits.lease_min;
    limits.lease = Duration::from_millis(pick(rng, &[500, 1_000, 5_000]));
    limits
}

fn faults(rng: &mut dyn Rng) -> Faults {
    let share =
        |rng: &mut dyn Rng, most: f64| if rng.chance(0.4) { 0.0 } else { rng.unit() * most };
    let mut faults = Faults::default()
        .loss(share(rng, 0.4))
        .duplicate(share(rng, 0.4))
        .reorder(share(rng, 0.5))
        .corrupt(share(rng, 0.05));
    if rng.chance(0.5) {
        let low = Duration::from_micros(rng.below(2_000));
        let high = low + Duration::from_micros(rng.below(200_000));
        faults = faults.delay(low..=high);
    } else if rng.chance(0.3) {
        // Answers of a session that is long gone.
        faults = faults.delay(Duration::ZERO..=Duration::from_millis(1_500));
    }
    faults
}

fn drift(control: &mut Control, rng: &mut dyn Rng, host: HostId) {
    let ppm = i32::try_from(rng.below(200)).unwrap_or(0) - 100;
    control.set_drift(host, ppm);
}

fn server_identity(control: &mut Control, host: HostId, n: u64) -> ServerIdentity {
    ServerIdentity { id: ServerId(1 + n), incarnation: control.incarnation(host) }
}

fn place_server(
    control: &mut Control,
    host: HostId,
    identity: ServerIdentity,
    limits: &Limits,
    disk: &Disk,
    journal: &Journal,
) {
    let methods = METHODS
        .iter()
        .map(|&(fingerprint, semantics)| MethodEntry {
            fingerprint: MethodFingerprint(fingerprint),
            name: u32::try_from(fingerprint).unwrap_or(0),
            semantics,
            reply_bytes_max: limits.reply_bytes_max,
        })
        .collect();
    let machine = Server::new(identity, limits.clone(), methods, Box::new(control.rng(host)));
    let handlers = Handlers::new(Box::new(control.rng(host)));
    let workers = 1 + usize::try_from(control.rng(host).below(4)).unwrap_or(0);
    let identity = (identity.id, identity.incarnation);
    let node = ServerNode::new(machine, identity, handlers, workers, journal.clone());
    let node = node.with_disk(disk.clone());
    control.place(host, node);
}

/// Where a server lives, and what survives it there.
struct Site {
    host: HostId,
    n: u64,
    disk: Disk,
    /// That of the stranger who sometimes comes in its place.
    other: Disk,
}

/// Crashes, restarts, drains; sometimes another server comes back at the address.
fn plan_server(
    control: &mut Control,
    rng: &mut dyn Rng,
    site: &Site,
    limits: &Limits,
    journal: &Journal,
) {
    let &Site { host, n, .. } = site;
    for _ in 0..rng.below(3) {
        let (limits, journal) = (limits.clone(), journal.clone());
        let at = Instant::START + Duration::from_micros(rng.below(3_800_000));
        let down = Duration::from_micros(rng.below(300_000));
        let stranger = rng.chance(0.15);
        let disk = if stranger { site.other.clone() } else { site.disk.clone() };
        control.at(at, move |control| {
            if !control.is_up(host) {
                return;
            }
            control.crash(host);
            let back = control.now() + down;
            control.at(back, move |control| {
                if control.is_up(host) {
                    return;
                }
                control.restart(host);
                let n = if stranger { n + 50 } else { n };
                let identity = server_identity(control, host, n);
                place_server(control, host, identity, &limits, &disk, &journal);
            });
        });
    }
    if rng.chance(0.1) {
        let at = Instant::START + Duration::from_micros(rng.below(3_000_000));
        control.at(at, move |control| {
            control.node(host, |node: &mut ServerNode<Handlers>, now| {
                node.machine().drain(now, Duration::from_secs(1));
            });
        });
    }
}

/// A client's process.
struct Life<'s> {
    host: HostId,
    id: ClientId,
    calls: u64,
    servers: &'s [HostId],
}

fn place_client(control: &mut Control, life: &Life<'_>, limits: &Limits, journal: &Journal) {
    let mut rng = control.rng(life.host);
    let incarnation = control.incarnation(life.host);
    let identity = ClientIdentity { id: life.id, incarnation };
    let now = control.local(life.host);
    let machines = life
        .servers
        .iter()
        .zip(1..)
        .map(|(&server, n)| {
            // Some know whom they mean; others take whoever lives there.
            let id = if rng.chance(0.7) { ServerId(n) } else { ServerId::NONE };
            let target =
                Target { address: server.address(), server: id, incarnation: Incarnation::NONE };
            let machine = Client::new(
                identity,
                target,
                limits.clone(),
                Box::new(control.rng(life.host)),
                now,
            );
            (machine, (id, Incarnation::NONE))
        })
        .collect();
    let caller = Caller::new(Box::new(rng), life.servers.len(), life.calls);
    control.place(life.host, ClientNode::new(machines, caller, journal.clone()));
}

/// Now and then a client's process dies and comes back, under its old name or a new one.
fn plan_client(
    control: &mut Control,
    rng: &mut dyn Rng,
    life: &Life<'_>,
    limits: &Limits,
    journal: &Journal,
) {
    if !rng.chance(0.25) {
        return;
    }
    let (host, calls) = (life.host, life.calls);
    let id = if rng.chance(0.7) { life.id } else { ClientId(life.id.0 + 1_000) };
    let (servers, limits, journal) = (life.servers.to_vec(), limits.clone(), journal.clone());
    let at = Instant::START + Duration::from_micros(rng.below(2_000_000));
    control.at(at, move |control| {
        let calls_lost =
            control.node(host, |node: &mut ClientNode<Caller>, _| node.calls()).unwrap_or_default();
        journal.note(control.now(), Fact::ClientGone { calls: calls_lost });
        control.crash(host);
        control.restart(host);
        place_client(control, &Life { host, id, calls, servers: &servers }, &limits, &journal);
    });
}

fn plan_partitions(
    control: &mut Control,
    rng: &mut dyn Rng,
    servers: &[HostId],
    clients: &[HostId],
) {
    for _ in 0..rng.below(3) {
        let server = pick(rng, servers);
        let client = pick(rng, clients);
        let at = Instant::START + Duration::from_micros(rng.below(3_000_000));
        let mended = at + Duration::from_micros(rng.below(1_500_000));
        let ways = rng.below(3);
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
}

/// Looks at every server's tables, again and again.
fn look(control: &mut Control, servers: Vec<HostId>, journal: Journal) {
    let now = control.now();
    for &host in &servers {
        control.node(host, |node: &mut ServerNode<Handlers>, now| {
            let server = node.machine();
            let limits = server.limits();
            let uses = [
                ("sessions", server.sessions(), limits.sessions_max),
                ("calls queued", server.queued(), limits.calls_queued_max),
                ("calls running", server.running(), limits.calls_running_max),
                ("bytes of replies", server.stored_bytes(), limits.reply_bytes_stored_max),
            ];
            for (what, used, limit) in uses {
                let (used, limit) = (used as u64, limit as u64);
                journal.note(now, Fact::Used { what, used, limit });
            }
        });
    }
    if now < Instant::START + SETTLED {
        control.at(now + LOOK, move |control| look(control, servers, journal));
    }
}
