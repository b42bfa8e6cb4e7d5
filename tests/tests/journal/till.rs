//! A till that remembers how often each payment was made, and a world around it.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use rpc_runtime::fault::Faults;
use rpc_runtime::sim::{HostId, SimDisk, Simulation, sleep};
use rpc_runtime::store::Durable;
use rpc_runtime::store::memory::{MemoryStore, MemoryTx};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Channel, Journal, Server, service};

#[service]
pub(crate) trait Till {
    /// Makes payment `number`; how many payments were made then.
    #[rpc(exactly_once, timeout = "3s")]
    fn pay(&self, number: u64) -> Result<u64, CallError>;
    /// How often payment `number` was made.
    #[rpc(at_least_once)]
    fn paid(&self, number: u64) -> Result<u64, CallError>;
    /// Opens the drawer after `ms` milliseconds.
    #[rpc(timeout = "3s")]
    fn open(&self, number: u64, ms: u64) -> Result<u64, CallError>;
}

/// A till around an open transaction.
struct Open<'t> {
    tx: RefCell<&'t mut MemoryTx>,
    opened: Arc<Mutex<Vec<u64>>>,
}

impl Open<'_> {
    fn read(&self, key: &[u8]) -> u64 {
        let row = self.tx.borrow_mut().get(key).unwrap();
        row.map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap()))
    }

    fn raise(&self, key: &[u8]) -> u64 {
        let count = self.read(key) + 1;
        self.tx.borrow_mut().put(key, &count.to_le_bytes());
        count
    }
}

impl Till for Open<'_> {
    fn pay(&self, number: u64) -> Result<u64, CallError> {
        self.raise(&number.to_le_bytes());
        Ok(self.raise(b"total"))
    }

    fn paid(&self, number: u64) -> Result<u64, CallError> {
        Ok(self.read(&number.to_le_bytes()))
    }

    fn open(&self, number: u64, ms: u64) -> Result<u64, CallError> {
        sleep(Duration::from_millis(ms));
        self.opened.lock().unwrap().push(number);
        Ok(number)
    }
}

/// A simulated shop: one till with a disk, and clients with disks.
pub(crate) struct Shop {
    pub(crate) simulation: Simulation,
    pub(crate) till: HostId,
    disk: SimDisk,
    /// The numbers with which the drawer was opened.
    pub(crate) opened: Arc<Mutex<Vec<u64>>>,
}

impl Shop {
    pub(crate) fn new(seed: u64) -> Self {
        let simulation = Simulation::new(seed);
        let till = simulation.with(|world| world.add_host("till"));
        let (disk, opened) = (SimDisk::new(seed, 0), Arc::default());
        let shop = Self { simulation, till, disk, opened };
        shop.start_till();
        shop
    }

    pub(crate) fn faults(&self, faults: Faults) {
        self.simulation.with(|world| world.net.set_faults(faults));
    }

    fn start_till(&self) {
        let (disk, opened) = (self.disk.clone(), Arc::clone(&self.opened));
        self.simulation.with(|world| {
            world.spawn(self.till, "till", false, move || {
                let store = Durable::start(MemoryStore::open(&disk).unwrap()).unwrap();
                let service = TillService::durable(&store, move |tx, call| {
                    call.on(&Open { tx: RefCell::new(tx), opened: Arc::clone(&opened) })
                });
                Server::bind("sim://till").unwrap().export(service).serve().unwrap();
            });
        });
    }

    /// The till's process dies and comes back.
    pub(crate) fn restart_till(&self) {
        self.disk.crash();
        self.simulation.with(|world| {
            world.crash(self.till);
            world.restart(self.till);
        });
        self.start_till();
    }

    /// A client's process begins to run `body`, which must end.
    pub(crate) fn client(&self, name: &str, body: impl FnOnce() + Send + 'static) -> HostId {
        self.simulation.with(|world| {
            let host = world.add_host(name);
            world.spawn(host, "main", true, body);
            host
        })
    }

    /// It dies, its journal's disk with it, and comes back to run `body`.
    pub(crate) fn restart_client(
        &self,
        host: HostId,
        disk: &SimDisk,
        body: impl FnOnce() + Send + 'static,
    ) {
        disk.crash();
        self.simulation.with(|world| {
            world.crash(host);
            world.restart(host);
            world.spawn(host, "main", true, body);
        });
    }

    pub(crate) fn run_to(&self, at: Duration) {
        self.simulation.run_until(Instant::START + at);
    }

    /// Runs until all clients have ended.
    pub(crate) fn finish(&self) {
        let limit = self.simulation.now() + Duration::from_secs(3_600);
        if let Err(failure) = self.simulation.try_run_until_finished(limit) {
            panic!("{failure}");
        }
    }
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A channel to the till of the process whose journal is on `disk`.
pub(crate) fn channel(disk: &SimDisk) -> (Channel, Journal) {
    let journal = Journal::on_disk(disk).unwrap();
    let channel = Channel::connect("sim://till").unwrap().with_journal(&journal).unwrap();
    (channel, journal)
}

/// How often a payment was made, asked without a journal.
pub(crate) fn paid(number: u64) -> u64 {
    TillClient::connect("sim://till").unwrap().paid(number).unwrap()
}
