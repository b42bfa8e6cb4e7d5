//! One seed, one bad day: servers crash and come back, or others come in their place; clients
//! restart; the network loses, doubles, delays, damages and splits. In the end the checker judges.
//!
//! Machines only, without threads, so that a minute tries hundreds of thousands of calls; every so
//! often a chain of services with blocking code beside them. What the day brings is drawn from the
//! seed alone.

mod chains;
mod content;
mod forgery;
mod happened;
mod journals;
mod knobs;
mod paths;
mod servers;
mod transport;
mod users;
mod weather;

use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{ClientId, Incarnation, ServerId};
use rpc_runtime::protocol::{Client, ClientIdentity, Target};
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::checker::{Fact, Tally, Violation};
use rpc_runtime::sim::net::StreamFaults;
use rpc_runtime::sim::nodes::{ClientNode, Disk, Journal};
use rpc_runtime::sim::{Control, HostId, SimDisk, Simulation};
use rpc_runtime::time::{Duration, Instant};

use content::Delivered;
pub use happened::Happened;
pub use knobs::{Calls, Knobs, Orphans};
use servers::{Day, Site};
pub use transport::Transport;
use users::Caller;
use weather::Weather;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Sums over its calls.
    pub tally: Tally,
    /// Large messages that came whole, to handlers and to callers.
    pub messages: u64,
    /// Messages that came, and not as they were sent.
    pub corrupted: u64,
    /// What went wrong on the way.
    pub happened: Happened,
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
    let delivered = Delivered::new(knobs.transport.piece_bytes_max());
    let disks = simulation.with(|control| {
        control.trace.keep(trace_lines);
        set_up(control, knobs, &journal, &delivered)
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
        trace_hash ^= chains::run(seed, knobs.transport, &journal);
        violations.extend(journal.finish(Instant::START + END));
    }
    let (messages, corrupted) = delivered.counts();
    Report {
        seed,
        tally: journal.tally(),
        messages,
        corrupted,
        happened: simulation.with(|control| Happened::of(control)),
        violations,
        trace_hash,
        trace: simulation.with(|control| control.trace.lines().collect()),
    }
}

/// The day's plan.
fn set_up(
    control: &mut Control,
    knobs: Knobs,
    journal: &Journal,
    delivered: &Delivered,
) -> Vec<Disk> {
    let mut rng = control.scenario_rng(0);
    let weather = Weather::draw(control.seed(), &mut rng);
    let limits = weather.limits(&mut rng);
    let faults = weather.faults(&mut rng);
    control.net.set_faults(faults);
    plan_streams(control, weather, knobs.transport);
    let servers: Vec<HostId> =
        (0..=rng.below(2)).map(|n| control.add_host(&format!("server-{n}"))).collect();
    let clients: Vec<HostId> =
        (0..=rng.below(5)).map(|n| control.add_host(&format!("client-{n}"))).collect();
    paths::plan(control, &servers, &clients);
    let Knobs { orphans, transport, calls: kinds } = knobs;
    let (journal, delivered) = (journal.clone(), delivered.clone());
    let day = Day { limits, weather, orphans, kinds, transport, delivered, journal };
    let mut disks = Vec::new();
    for (n, &host) in servers.iter().enumerate() {
        let identity = servers::identity(control, host, n as u64);
        let (disk, other) = (Disk::default(), Disk::default());
        disks.extend([disk.clone(), other.clone()]);
        let site = Site { host, n: n as u64, disk, other };
        servers::place(control, host, identity, &site.disk, &day);
        servers::plan(control, &mut rng, &site, &day);
    }
    let keepers = journals::keepers(control, clients.len());
    for ((n, &host), keeper) in clients.iter().enumerate().zip(&keepers) {
        drift(control, &mut rng, host);
        let calls = 4 + rng.below(30);
        // Now and then two processes live under one name, as a machine and its copy do.
        let is_twin = n > 0 && rng.chance(0.15);
        let id = ClientId(100 + if is_twin { 0 } else { n as u64 });
        let life = Life { host, id, calls, servers: &servers, home: host, keeper };
        place_client(control, &life, &day);
        plan_client(control, &mut rng, &life, &day);
    }
    plan_partitions(control, &mut rng, &servers, &clients);
    forgery::plan(control, &mut rng, &servers, &day.journal);
    control.at(Instant::START + FAULTS_END, |control| {
        control.net.set_faults(Faults::default());
        control.net.mend_all();
    });
    servers::look(control, servers, day.journal);
    disks
}

/// What becomes of streams. Draws from a generator of its own, so that the rest of the day is what it is
/// over datagrams.
fn plan_streams(control: &mut Control, weather: Weather, transport: Transport) {
    let Some(queue_bytes_max) = transport.queue_bytes_max() else { return };
    let faults = weather.stream_faults(&mut control.scenario_rng(STREAM_DRAWS), queue_bytes_max);
    control.net.set_stream_faults(faults);
    control.at(Instant::START + FAULTS_END, move |control| {
        control.net.set_stream_faults(StreamFaults { queue_bytes_max, ..StreamFaults::default() });
    });
}

/// Which of the scenario's generators streams are drawn from.
const STREAM_DRAWS: u64 = 8;

/// One of `choices`.
pub(crate) fn pick<T: Copy>(rng: &mut dyn Rng, choices: &[T]) -> T {
    let place = rng.below(choices.len() as u64);
    choices[usize::try_from(place).expect("below a length")]
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
    servers: &'s [HostId],
    /// Where it lived first: its lives are counted there.
    home: HostId,
    /// What its journal is on, if it keeps one.
    keeper: &'s Option<SimDisk>,
}

fn place_client(control: &mut Control, life: &Life<'_>, day: &Day) {
    let mut rng = control.rng(life.host);
    let incarnation = control.incarnation(life.home);
    let book = life.keeper.as_ref().map(|disk| journals::open(control, life.host, disk));
    let identity = book.as_ref().map_or(ClientIdentity { id: life.id, incarnation }, |book| {
        ClientIdentity { id: book.client(), incarnation: book.incarnation() }
    });
    let now = control.local(life.host);
    let machines = life
        .servers
        .iter()
        .zip(1..)
        .map(|(&server, n)| {
            // Some know whom they mean; others take whoever lives there.
            let id = if rng.chance(0.7) { ServerId(n) } else { ServerId::NONE };
            let address = day.transport.address(server);
            let target = Target { address, server: id, incarnation: Incarnation::NONE };
            let mut machine = Client::new(
                identity,
                target,
                day.limits.clone(),
                Box::new(control.rng(life.host)),
                now,
            );
            machine.link_carries(control.net.datagram_bytes_max());
            (machine, (id, Incarnation::NONE))
        })
        .collect();
    let caller = Caller::new(Box::new(rng), life.servers.len(), life.calls, day);
    let node = ClientNode::new(machines, caller, day.journal.clone());
    match book {
        Some(book) => control.place(life.host, node.keeping(book)),
        None => control.place(life.host, node),
    }
}

/// Now and then a client's process dies and comes back, under its old name or a new one. Some die again
/// before anybody has noticed.
fn plan_client(control: &mut Control, rng: &mut dyn Rng, life: &Life<'_>, day: &Day) {
    let mut host = life.host;
    let mut after = Duration::ZERO;
    for n in 0..day.weather.client_deaths(rng) {
        // Some come back at another address: at the former one nobody answers any more.
        let moves = rng.chance(day.weather.moves());
        let spare = moves.then(|| control.add_host(&format!("spare-{}-{n}", life.host.0)));
        let soon = n > 0 && rng.chance(0.7);
        after += Duration::from_micros(rng.below(if soon { 300_000 } else { 2_000_000 }));
        let next = spare.unwrap_or(host);
        plan_restart(control, rng, &Life { host, ..*life }, day, (after, next));
        host = next;
    }
}

fn plan_restart(
    control: &mut Control,
    rng: &mut dyn Rng,
    life: &Life<'_>,
    day: &Day,
    (after, host): (Duration, HostId),
) {
    let (former, home, calls) = (life.host, life.home, life.calls);
    let id = if rng.chance(0.7) { life.id } else { ClientId(life.id.0 + 1_000) };
    let (servers, day, keeper) = (life.servers.to_vec(), day.clone(), life.keeper.clone());
    control.at(Instant::START + after, move |control| {
        if !control.is_up(former) {
            return;
        }
        // A look at a node lets it do what is due; only then are its calls all there (seed 307494).
        control.node(former, |_: &mut ClientNode<Caller>, _| ());
        let calls_lost = control
            .node(former, |node: &mut ClientNode<Caller>, _| node.calls())
            .unwrap_or_default();
        day.journal.note(control.now(), Fact::ClientGone { calls: calls_lost });
        control.crash(former);
        journals::crash(control, &keeper);
        if host == former {
            control.restart(former);
        }
        let life = Life { host, id, calls, servers: &servers, home, keeper: &keeper };
        place_client(control, &life, &day);
        journals::settle(control, host);
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
