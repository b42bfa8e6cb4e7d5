//! One run: servers, clients, their twins, and the crash.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rpc_runtime::fault::Faults;
use rpc_runtime::ids::ClientId;
use rpc_runtime::sim::{self, Control, HostId, SimDisk, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Channel, Journal, Options, Server, current, service};

use super::register::{Owner, Register};
use super::{Row, Strategy};

const CLIENTS: usize = 4;
/// Calls of each client to `front`; it makes one to `middle`, too.
const CALLS_AT_FRONT: usize = 2;

const QUANTUM: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_millis(800);
/// The way of a cancel to the last host, and a worker's step.
const SLACK: Duration = Duration::from_millis(50);
/// How often work looks whether it is wanted.
const STEP: Duration = Duration::from_millis(10);
/// How long it takes if it is.
const WORK: Duration = Duration::from_secs(12);

const TWINS_COME: Duration = Duration::from_millis(100);
const CLIENTS_CALL: Duration = Duration::from_millis(500);
const CRASH: Duration = Duration::from_secs(2);
const CLIENTS_BACK: Duration = Duration::from_secs(3);
const MIDDLE_BACK: Duration = Duration::from_secs(6);
const END: Duration = Duration::from_secs(20);

/// How long a restarted client asks one server.
const PATIENCE: Duration = Duration::from_secs(1);

/// The name of `middle` as a client.
const MIDDLE: ClientId = ClientId(100);

#[service]
trait Mill {
    /// Works for `owner`, here or at the next mill.
    #[rpc(timeout = "30s")]
    fn grind(&self, owner: u64) -> Result<(), CallError>;
    /// Whether anybody is there.
    #[rpc(at_least_once, timeout = "1s")]
    fn knock(&self) -> Result<(), CallError>;
}

struct Miller {
    next: Option<Channel>,
    register: Register,
}

impl Mill for Miller {
    fn grind(&self, owner: u64) -> Result<(), CallError> {
        if let Some(next) = &self.next {
            return MillClient::on(next).grind(owner);
        }
        let work = self.register.begin(Owner(owner));
        let context = current().ok_or_else(|| CallError::failed("not in a handler"))?;
        let until = sim::now() + WORK;
        while sim::now() < until {
            if context.cancelled() {
                work.cancelled();
                return Err(CallError::failed("called off"));
            }
            sim::sleep(STEP);
        }
        Ok(())
    }

    fn knock(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// Who a process is to servers: whom its journal remembers, or somebody under a chosen name.
#[derive(Clone)]
enum Identity {
    Journal(Journal),
    Named(ClientId),
}

impl Identity {
    fn of(strategy: Strategy, disk: &SimDisk, name: ClientId) -> Self {
        match strategy {
            Strategy::Extermination => {
                Self::Journal(Journal::on_disk(disk).expect("nobody else has it open"))
            }
            Strategy::Reincarnation | Strategy::Gentle | Strategy::Expiration => Self::Named(name),
        }
    }

    fn client(&self) -> ClientId {
        match self {
            Self::Journal(journal) => journal.client(),
            Self::Named(name) => *name,
        }
    }

    fn channel(&self, host: &str) -> Channel {
        let url = format!("sim://{host}");
        let channel = match self {
            Self::Journal(journal) => {
                let channel = Channel::connect(&url).and_then(|one| one.with_journal(journal));
                channel.map(|channel| channel.with(Options::new().journal_all(true)))
            }
            Self::Named(name) => Channel::connect_as(&url, *name),
        };
        channel.expect("a host of that name")
    }

    /// Kills what a former life left, if that is this strategy's way; says how many chains it missed.
    fn exterminate(&self, channel: &Channel) -> usize {
        match self {
            Self::Journal(_) => {
                channel.with(Options::new().timeout(PATIENCE)).exterminate().chains_missed()
            }
            Self::Named(_) => 0,
        }
    }
}

/// What the hosts of a run share.
struct World {
    strategy: Strategy,
    register: Register,
    /// Who the clients are: their twins are the same.
    names: [Arc<OnceLock<ClientId>>; CLIENTS],
    disks: [SimDisk; CLIENTS + 1],
    chains_missed: Arc<AtomicU64>,
}

impl World {
    fn new(seed: u64, strategy: Strategy) -> Self {
        let disks = std::array::from_fn(|n| SimDisk::new(seed, n as u64));
        let (register, names) = (Register::default(), std::array::from_fn(|_| Arc::default()));
        Self { strategy, register, names, disks, chains_missed: Arc::default() }
    }

    fn serve(&self, control: &mut Control, host: HostId, place: &'static str) {
        let (strategy, register) = (self.strategy, self.register.clone());
        let disk = self.disks[CLIENTS].clone();
        control.spawn(host, place, false, move || {
            let next = (place == "middle").then(|| {
                let identity = Identity::of(strategy, &disk, MIDDLE);
                let channel = identity.channel("back");
                identity.exterminate(&channel);
                // Whoever it was before, this is a later life.
                let _ = MillClient::on(&channel).knock();
                channel
            });
            let server = Server::bind(&format!("sim://{place}")).expect("the host is free");
            let server = server.orphans(strategy.of_servers()).quantum(QUANTUM).grace(GRACE);
            let server = server.export(MillService::new(Miller { next, register })).workers(64);
            let _running = server.spawn().expect("the host is free");
            sim::sleep(END);
        });
    }

    /// A client's first life.
    fn client(&self, control: &mut Control, host: HostId, n: usize) {
        let (strategy, disk) = (self.strategy, self.disks[n].clone());
        let name = Arc::clone(&self.names[n]);
        control.spawn(host, "first", false, move || {
            let identity = Identity::of(strategy, &disk, ClientId(n as u64 + 1));
            let client = *name.get_or_init(|| identity.client());
            debug_assert_eq!(client, identity.client(), "the journal was empty");
            sim::sleep(CLIENTS_CALL);
            let (front, middle) = (identity.channel("front"), identity.channel("middle"));
            let (front, middle) = (MillClient::on(&front), MillClient::on(&middle));
            let mut calls = vec![middle.start().grind(client_process(n).0)];
            for _ in 0..CALLS_AT_FRONT {
                calls.push(front.start().grind(client_process(n).0));
            }
            sim::sleep(END);
            drop(calls);
        });
    }

    /// The other process that goes by a client's name, and waits for its work all the time.
    fn twin(&self, control: &mut Control, host: HostId, n: usize) {
        let name = Arc::clone(&self.names[n]);
        control.spawn(host, "twin", false, move || {
            sim::sleep(TWINS_COME);
            let client = *name.get().expect("the client has been there");
            let front = Identity::Named(client).channel("front");
            // Whether it is done is the register's to tell.
            let _ = MillClient::on(&front).grind(twin_process(n).0);
            sim::sleep(END);
        });
    }

    /// A client's second life: it announces itself, and does what its strategy has it do.
    fn restarted(&self, control: &mut Control, host: HostId, n: usize) {
        let (strategy, disk) = (self.strategy, self.disks[n].clone());
        let chains_missed = Arc::clone(&self.chains_missed);
        control.spawn(host, "second", false, move || {
            let identity = Identity::of(strategy, &disk, ClientId(n as u64 + 1));
            let (front, middle) = (identity.channel("front"), identity.channel("middle"));
            // That `middle` is down is no news.
            let _ = MillClient::on(&front).knock();
            let missed = identity.exterminate(&front);
            chains_missed.fetch_add(missed as u64, Ordering::Relaxed);
            while MillClient::on(&middle).knock().is_err() {
                sim::sleep(PATIENCE);
            }
            identity.exterminate(&front);
            sim::sleep(END);
        });
    }
}

/// The first life of a client.
const fn client_process(n: usize) -> Owner {
    Owner(n as u64)
}

/// Its twin.
const fn twin_process(n: usize) -> Owner {
    Owner((CLIENTS + n) as u64)
}

/// Runs the work under a strategy.
pub(super) fn run(seed: u64, strategy: Strategy) -> Result<Row, Box<dyn Error>> {
    let simulation = Simulation::new(seed);
    let world = World::new(seed, strategy);
    let (middle, clients) = simulation.with(|control| {
        let delay = Duration::from_millis(1)..=Duration::from_millis(3);
        control.net.set_faults(Faults::default().delay(delay));
        let [front, middle, back] = ["front", "middle", "back"].map(|name| control.add_host(name));
        world.serve(control, back, "back");
        world.serve(control, middle, "middle");
        world.serve(control, front, "front");
        let clients: [HostId; CLIENTS] = std::array::from_fn(|n| {
            let [client, twin] =
                ["client", "twin"].map(|name| control.add_host(&format!("{name}-{n}")));
            world.client(control, client, n);
            world.twin(control, twin, n);
            client
        });
        (middle, clients)
    });
    let run_to = |at: Duration| simulation.run_until(Instant::START + at);
    run_to(CRASH);
    world.disks.iter().for_each(SimDisk::crash);
    simulation.with(|control| {
        for (n, client) in clients.into_iter().enumerate() {
            control.crash(client);
            world.register.died(client_process(n));
        }
        control.crash(middle);
    });
    let orphans = world.register.orphans();
    run_to(CLIENTS_BACK);
    simulation.with(|control| {
        for (n, client) in clients.into_iter().enumerate() {
            control.restart(client);
            world.restarted(control, client, n);
        }
    });
    run_to(CRASH + QUANTUM + GRACE + SLACK);
    let orphans_left = world.register.orphans();
    run_to(MIDDLE_BACK);
    simulation.with(|control| {
        control.restart(middle);
        world.serve(control, middle, "middle");
    });
    run_to(END);
    let gone = world.register.last_orphan_gone().filter(|_| world.register.orphans() == 0);
    let gone = gone.map(|gone| gone.since(Instant::START + CRASH).as_millis());
    Ok(Row {
        strategy,
        orphans,
        orphans_left,
        innocent_killed: world.register.innocent_killed(),
        chains_missed: world.chains_missed.load(Ordering::Relaxed),
        messages: simulation.with(|control| control.net.counters().sent),
        disk_writes: world.disks.iter().map(|disk| disk.stats().flushes).sum(),
        last_orphan_gone_ms: gone.map(u64::try_from).transpose()?,
    })
}
