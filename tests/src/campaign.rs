//! One seed, one bad day: servers crash and come back, or others come in their place; clients
//! restart; the network loses, doubles, delays, damages and splits. In the end the checker judges.
//!
//! Machines only, without threads, so that a minute tries hundreds of thousands of calls; every so
//! often a chain of services with blocking code beside them. What the day brings is drawn from the
//! seed alone.

mod chains;
mod forgery;
mod knobs;
mod servers;
mod users;

use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{ClientId, Incarnation, ServerId};
use rpc_runtime::protocol::{Client, ClientIdentity, Limits, Target};
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::checker::{Fact, Tally, Violation};
use rpc_runtime::sim::nodes::{ClientNode, Disk, Journal};
use rpc_runtime::sim::{Control, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};

pub use knobs::{Calls, Knobs, Orphans};
use servers::{Day, Site};
use users::Caller;

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
const SETTLED: Duration = Duration::from_secs(16);
/// When the run ends: after the last lease.
const END: Duration = Duration::from_secs(28);
/// How often the tables' sizes are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Runs one seed; keeps the last `trace_lines` events.
#[must_use]
pub fn run(seed: u64, trace_lines: usize, knobs: Knobs) -> Report {
    let simulation = Simulation::new(seed);
    let journal = Journal::new(false);
    let disks = simulation.with(|control| {
        control.trace.keep(trace_lines);
        set_up(control, knobs, &journal)
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
    let mut violations = journal.finish(Instant::START + END);
    let mut trace_hash = simulation.trace_hash();
    if seed.is_multiple_of(chains::EVERY) {
        let journal = Journal::new(false);
        trace_hash ^= chains::run(seed, &journal);
        violations.extend(journal.finish(Instant::START + END));
    }
    Report {
        seed,
        tally: journal.tally(),
        violations,
        trace_hash,
        trace: simulation.with(|control| control.trace.lines().collect()),
    }
}

/// The day's plan.
fn set_up(control: &mut Control, knobs: Knobs, journal: &Journal) -> Vec<Disk> {
    let mut rng = control.scenario_rng(0);
    let limits = limits(&mut rng);
    let faults = faults(&mut rng);
    control.net.set_faults(faults);
    let servers: Vec<HostId> =
        (0..=rng.below(2)).map(|n| control.add_host(&format!("server-{n}"))).collect();
    let clients: Vec<HostId> =
        (0..=rng.below(3)).map(|n| control.add_host(&format!("client-{n}"))).collect();
    let day = Day { limits: limits.clone(), orphans: knobs.orphans, journal: journal.clone() };
    let mut disks = Vec::new();
    for (n, &host) in servers.iter().enumerate() {
        let identity = servers::identity(control, host, n as u64);
        let (disk, other) = (Disk::default(), Disk::default());
        disks.extend([disk.clone(), other.clone()]);
        let site = Site { host, n: n as u64, disk, other };
        servers::place(control, host, identity, &site.disk, &day);
        servers::plan(control, &mut rng, &site, &day);
    }
    for (n, &host) in clients.iter().enumerate() {
        drift(control, &mut rng, host);
        let (calls, kinds) = (4 + rng.below(14), knobs.calls);
        // Now and then two processes live under one name, as a machine and its copy do.
        let is_twin = n > 0 && rng.chance(0.15);
        let id = ClientId(100 + if is_twin { 0 } else { n as u64 });
        place_client(
            control,
            &Life { host, id, calls, kinds, servers: &servers, home: host },
            &limits,
            journal,
        );
        plan_client(
            control,
            &mut rng,
            &Life { host, id, calls, kinds, servers: &servers, home: host },
            &limits,
            journal,
        );
    }
    plan_partitions(control, &mut rng, &servers, &clients);
    forgery::plan(control, &mut rng, &servers, journal);
    control.at(Instant::START + FAULTS_END, |control| {
        control.net.set_faults(Faults::default());
        control.net.mend_all();
    });
    servers::look(control, servers, journal.clone());
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
    limits.quantum = Duration::from_millis(pick(rng, &[30, 150, 600]));
    limits.grace = Duration::from_millis(pick(rng, &[60, 400, 400]));
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
    } else if rng.chance(0.4) {
        // Answers of a session that is long gone.
        faults = faults.delay(Duration::ZERO..=Duration::from_millis(1_500));
    }
    faults
}

fn drift(control: &mut Control, rng: &mut dyn Rng, host: HostId) {
    let ppm = i32::try_from(rng.below(200)).unwrap_or(0) - 100;
    control.set_drift(host, ppm);
}

/// A client's process.
struct Life<'s> {
    host: HostId,
    id: ClientId,
    calls: u64,
    kinds: Calls,
    servers: &'s [HostId],
    /// Where it lived first: its lives are counted there.
    home: HostId,
}

fn place_client(control: &mut Control, life: &Life<'_>, limits: &Limits, journal: &Journal) {
    let mut rng = control.rng(life.host);
    let incarnation = control.incarnation(life.home);
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
    let caller = Caller::new(Box::new(rng), life.servers.len(), life.calls, life.kinds);
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
    for _ in 0..pick(rng, &[0, 0, 1, 1, 2]) {
        plan_restart(control, rng, life, limits, journal);
    }
}

fn plan_restart(
    control: &mut Control,
    rng: &mut dyn Rng,
    life: &Life<'_>,
    limits: &Limits,
    journal: &Journal,
) {
    let (home, calls, kinds) = (life.host, life.calls, life.kinds);
    let id = if rng.chance(0.7) { life.id } else { ClientId(life.id.0 + 1_000) };
    let (servers, limits, journal) = (life.servers.to_vec(), limits.clone(), journal.clone());
    let at = Instant::START + Duration::from_micros(rng.below(2_000_000));
    // Some come back at another address: at the former one nobody answers any more.
    let host = if rng.chance(0.3) { control.add_host(&spare(at)) } else { home };
    control.at(at, move |control| {
        if !control.is_up(home) {
            return;
        }
        // A look at a node lets it do what is due; only then are its calls all there (seed 307494).
        control.node(home, |_: &mut ClientNode<Caller>, _| ());
        let calls_lost =
            control.node(home, |node: &mut ClientNode<Caller>, _| node.calls()).unwrap_or_default();
        journal.note(control.now(), Fact::ClientGone { calls: calls_lost });
        control.crash(home);
        if host == home {
            control.restart(home);
        }
        let life = Life { host, id, calls, kinds, servers: &servers, home };
        place_client(control, &life, &limits, &journal);
    });
}

/// A name for the host where a client comes back at `at`.
fn spare(at: Instant) -> String {
    format!("spare-{}", at.as_micros())
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
