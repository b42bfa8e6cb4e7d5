//! Durable services whose stores fail, in the simulator: a full disk, connections that break before
//! and after the commit, rows that nobody asks for. Callers hear the truth, and nothing counts twice.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::protocol::Limits;
use rpc_runtime::sim::{self, SimDisk};
use rpc_runtime::store::memory::{LANDING, MemoryStore, MemoryTx, StoreFaults};
use rpc_runtime::store::record::SlotRecord;
use rpc_runtime::store::{Commit, Durable, RowKey, Rows, Store, StoreError, StoreErrorKind};
use rpc_runtime::{CallError, ErrorKind, Execution, Resolution, Server, service};

#[service]
trait Till {
    /// Adds `cents`; what is in it then.
    #[rpc(exactly_once, timeout = "20s")]
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
    /// What is in it.
    #[rpc(at_least_once)]
    fn total(&self) -> Result<u64, CallError>;
}

const TOTAL: &[u8] = b"total";

/// A till around an open transaction.
struct Open<'t>(RefCell<&'t mut MemoryTx>);

impl Till for Open<'_> {
    fn pay(&self, cents: u64) -> Result<u64, CallError> {
        let total = self.total()? + cents;
        self.0.borrow_mut().put(TOTAL, &total.to_le_bytes());
        Ok(total)
    }

    fn total(&self) -> Result<u64, CallError> {
        // A handler that does not expect its store to fail panics, as most do.
        let row = self.0.borrow_mut().get(TOTAL).unwrap();
        Ok(row.map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap())))
    }
}

fn till(store: &Arc<Durable<MemoryStore>>) -> TillService<MemoryStore> {
    TillService::durable(store, |tx, call| call.on(&Open(RefCell::new(tx))))
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A world with a till on that disk.
fn world_with(seed: u64, disk: &SimDisk) -> sim::World {
    let mut world = sim::World::new(seed);
    let disk = disk.clone();
    world.server("till", move || {
        disk.crash();
        till(&Durable::start(MemoryStore::open(&disk).unwrap()).unwrap())
    });
    world
}

#[test]
fn a_full_disk_costs_time_only_if_room_is_made_before_the_deadline() {
    let disk = SimDisk::new(1, 0);
    let mut world = world_with(1, &disk);
    world.client("ann", move || {
        let till = TillClient::connect("sim://till").unwrap();
        assert_eq!(till.pay(5).unwrap(), 5);
        disk.set_room(10);
        let paying = till.start().pay(7);
        sim::sleep(secs(5));
        disk.set_room(usize::MAX);
        assert_eq!(paying.wait().unwrap(), 12);
        assert_eq!(till.total().unwrap(), 12);
    });
    world.run();
}

#[test]
fn a_disk_that_stays_full_leaves_a_call_in_doubt_that_resolve_ends() {
    let disk = SimDisk::new(1, 0);
    let mut world = world_with(2, &disk);
    world.client("ann", move || {
        let till = TillClient::connect("sim://till").unwrap();
        assert_eq!(till.pay(5).unwrap(), 5);
        disk.set_room(10);
        let error = till.pay(7).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NoReply, Execution::Unknown));
        let resolution = till.resolve(error.call()).unwrap();
        assert!(matches!(resolution, Resolution::NotExecuted), "{resolution:?}");
        assert_eq!(till.total().unwrap(), 5);
        disk.set_room(usize::MAX);
        assert_eq!(till.pay(1).unwrap(), 6);
    });
    world.run();
}

#[test]
fn a_client_that_comes_while_the_disk_is_full_is_told_that_nothing_ran() {
    let disk = SimDisk::new(1, 0);
    let mut world = world_with(3, &disk);
    world.client("ann", move || {
        sim::sleep(secs(1));
        disk.set_room(10);
        let till = TillClient::connect("sim://till").unwrap();
        let error = till.pay(7).unwrap_err();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::Overloaded, Execution::NotExecuted)
        );
        assert!(error.to_string().contains("or its store fails"), "{error}");
        disk.set_room(usize::MAX);
        assert_eq!(till.pay(1).unwrap(), 1);
    });
    world.run();
}

#[test]
fn connections_that_break_before_and_after_the_commit_make_nothing_count_twice() {
    for seed in 0..30 {
        let store = MemoryStore::new();
        let faults = StoreFaults {
            lost_before_commit: 0.2,
            lost_after_commit: 0.2,
            conflict: 0.2,
            ..StoreFaults::default()
        };
        let mut world = sim::World::new(seed);
        let shared = store.clone();
        world.server("till", move || {
            shared.set_faults(StoreFaults::default());
            let till = till(&Durable::start(shared.clone()).unwrap());
            shared.set_faults(faults);
            till
        });
        world.crash("till", Duration::from_millis(150), Duration::from_millis(50));
        world.client("ann", || {
            let till = TillClient::connect("sim://till").unwrap();
            for _ in 0..30 {
                till.pay(1).unwrap();
            }
        });
        world.run();
        let total = store.peek(TOTAL).map(|row| u64::from_le_bytes(row.try_into().unwrap()));
        assert_eq!(total, Some(30), "seed {seed}");
    }
}

/// The connection breaks in a COMMIT, with which the database goes on: the row that tells of the call
/// is not to be seen before it is done. A server that looked meanwhile and found none would promise
/// never to run the call.
#[test]
fn a_commit_that_outlives_its_connection_is_not_denied() {
    for cancelled_after in (1..40).step_by(3) {
        let store = MemoryStore::new();
        let mut world = sim::World::new(cancelled_after);
        let shared = store.clone();
        world.server("till", move || till(&Durable::start(shared.clone()).unwrap()));
        let shared = store.clone();
        world.client("ann", move || {
            let till = TillClient::connect("sim://till").unwrap();
            assert_eq!(till.pay(5).unwrap(), 5);
            shared.set_faults(StoreFaults { lost_in_commit: 1.0, ..StoreFaults::default() });
            let paying = till.start().pay(7);
            sim::sleep(Duration::from_millis(cancelled_after));
            shared.set_faults(StoreFaults::default());
            paying.cancel();
            let was_denied = match paying.wait() {
                Ok(_) => false,
                Err(error) => {
                    assert_eq!(error.execution(), Execution::Unknown, "{error}");
                    matches!(till.resolve(error.call()), Ok(Resolution::NotExecuted))
                }
            };
            sim::sleep(LANDING);
            assert_eq!(till.total().unwrap(), if was_denied { 5 } else { 12 });
        });
        world.run();
    }
}

/// A store with a bug: the asked-for call of one of its functions panics. Or one that is away: it
/// commits, and nobody hears of it.
#[derive(Debug, Default)]
struct Buggy {
    store: MemoryStore,
    panics: Panics,
    is_away: Arc<AtomicBool>,
}

/// How many calls are left until one panics, of transactions and of looks.
type Panics = Arc<[AtomicUsize; 2]>;

impl Buggy {
    fn count(&self, function: usize) {
        if self.panics[function].fetch_sub(1, Ordering::Relaxed) == 1 {
            std::panic::resume_unwind(Box::new("a bug"));
        }
    }

    fn answer<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let away = || StoreError::new(StoreErrorKind::Lost, "as the test wished").doubtful();
        if self.is_away.load(Ordering::Relaxed) { Err(away()) } else { answer }
    }
}

impl Store for Buggy {
    type Tx<'t> = MemoryTx;

    fn transact(&self, body: &mut dyn FnMut(&mut MemoryTx) -> Commit) -> Result<(), StoreError> {
        self.count(0);
        self.answer(self.store.transact(body))
    }

    fn get(tx: &mut MemoryTx, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        MemoryStore::get(tx, key)
    }

    fn put(tx: &mut MemoryTx, key: RowKey, row: &[u8]) -> Result<(), StoreError> {
        MemoryStore::put(tx, key, row)
    }

    fn delete(tx: &mut MemoryTx, key: RowKey) -> Result<(), StoreError> {
        MemoryStore::delete(tx, key)
    }

    fn scan(
        tx: &mut MemoryTx,
        rows: Rows,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        MemoryStore::scan(tx, rows, limit)
    }

    fn look(&self, rows: Rows, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        self.count(1);
        self.answer(self.store.look(rows, limit))
    }
}

/// A world with a till in that store, which it has in its first life only.
fn world_around(store: Buggy) -> sim::World {
    let mut world = sim::World::new(1);
    let store = Mutex::new(Some(store));
    world.server("till", move || {
        let store = store.lock().unwrap().take().unwrap();
        TillService::durable(&Durable::start(store).unwrap(), |tx, call| {
            call.on(&Open(RefCell::new(tx)))
        })
    });
    world
}

/// Its client waits for half a minute, and asks for another minute, in a session that is alive.
#[test]
fn a_store_that_is_back_after_the_deadline_says_what_it_committed_to_whoever_still_asks() {
    let is_away = Arc::<AtomicBool>::default();
    let mut world = world_around(Buggy { is_away: Arc::clone(&is_away), ..Buggy::default() });
    world.client("ann", move || {
        let till = TillClient::connect("sim://till").unwrap();
        assert_eq!(till.pay(5).unwrap(), 5);
        is_away.store(true, Ordering::Relaxed);
        let error = till.pay(7).unwrap_err();
        assert_eq!(error.execution(), Execution::Unknown, "{error}");
        for _ in 0..6 {
            let resolution = till.resolve(error.call());
            let unknown = resolution.map_err(|error| error.execution());
            assert!(matches!(unknown, Err(Execution::Unknown)), "{unknown:?}");
        }
        is_away.store(false, Ordering::Relaxed);
        let resolution = till.resolve(error.call()).unwrap();
        assert!(matches!(resolution, Resolution::Returned(_)), "{resolution:?}");
        assert_eq!(till.pay(1).unwrap(), 13);
    });
    world.run();
}

/// Whatever a store's panic interrupts: a call, the question what became of one, a client's coming.
#[test]
fn a_store_that_panics_delays_the_calls_that_it_met_and_silences_none() {
    for (transacts, looks) in [(1, 0), (2, 0), (3, 0), (4, 0), (0, 1), (1, 1), (1, 2), (2, 1)] {
        let panics = Panics::default();
        let mut world = world_around(Buggy { panics: Arc::clone(&panics), ..Buggy::default() });
        world.client("ann", move || {
            let till = TillClient::connect("sim://till").unwrap();
            assert_eq!(till.pay(5).unwrap(), 5);
            panics[0].store(transacts, Ordering::Relaxed);
            panics[1].store(looks, Ordering::Relaxed);
            let paying: Vec<_> = (0..4).map(|_| till.start().pay(1)).collect();
            for paid in paying.into_iter().map(|paying| paying.wait()) {
                assert!(paid.is_ok(), "{transacts} {looks}: {paid:?}");
            }
            assert_eq!(till.pay(1).unwrap(), 10);
        });
        world.client("bob", move || {
            sim::sleep(Duration::from_millis(3));
            let till = TillClient::connect("sim://till").unwrap();
            let paid = till.pay(0);
            let overloaded = |error: &CallError| error.kind() == ErrorKind::Overloaded;
            assert!(paid.is_ok() || paid.is_err_and(|error| overloaded(&error)));
            sim::sleep(secs(1));
            till.pay(0).unwrap();
        });
        world.run();
    }
}

/// The rows of tables and of slots; of the slots, how many have their replies still.
fn rows(store: &Durable<MemoryStore>) -> (usize, usize, usize) {
    let (mut tables, mut slots, mut replies) = (0, 0, 0);
    for (key, row) in store.look(Rows::of_all_clients(), usize::MAX).unwrap() {
        if let RowKey::Slot(..) = key {
            slots += 1;
            replies += usize::from(!SlotRecord::decode(&row).unwrap().is_acked);
        } else {
            tables += 1;
        }
    }
    (tables, slots, replies)
}

#[test]
fn rows_that_nobody_asks_for_are_deleted_by_the_running_server_and_acknowledged_replies_freed() {
    let mut world = sim::World::new(5);
    world.client("till", || {
        let store = Durable::start(MemoryStore::new()).unwrap();
        let mut limits = Limits::default();
        limits.retention = secs(600);
        let server = Server::bind("sim://till").unwrap().limits(limits).export(till(&store));
        let server = server.spawn().unwrap();
        sim::sleep(secs(60));
        assert_eq!(rows(&store), (2, 6, 2), "both; what ann had is acknowledged");
        sim::sleep(secs(400));
        assert_eq!(rows(&store).0, 2, "not yet");
        sim::sleep(secs(240));
        assert_eq!(rows(&store).0, 1, "ann was not heard of for ten minutes");
        sim::sleep(secs(400));
        assert_eq!(rows(&store).0, 1, "bob goes on");
        drop(server);
    });
    world.client("ann", || {
        let till = TillClient::connect("sim://till").unwrap();
        let paying: Vec<_> = (0..4).map(|_| till.start().pay(1)).collect();
        paying.into_iter().for_each(|paying| _ = paying.wait().unwrap());
        sim::sleep(secs(1));
        // One that takes its leave has its rows deleted at once; ann is just gone.
        std::mem::forget(till);
    });
    world.client("bob", || {
        let till = TillClient::connect("sim://till").unwrap();
        for _ in 0..110 {
            let paying: Vec<_> = (0..2).map(|_| till.start().pay(1)).collect();
            paying.into_iter().for_each(|paying| _ = paying.wait().unwrap());
            sim::sleep(secs(10));
        }
    });
    world.run();
}

/// While nobody serves nobody can ask; and a machine that starts may have a wrong date.
#[test]
fn a_server_that_was_away_for_long_lets_its_clients_come_back_before_it_deletes() {
    let mut world = sim::World::new(6);
    world.client("till", || {
        let mut limits = Limits::default();
        limits.retention = secs(600);
        let store = MemoryStore::new();
        let serve = || {
            let store = Durable::start(store.clone()).unwrap();
            let server = Server::bind("sim://till").unwrap().limits(limits.clone());
            (server.export(till(&store)).spawn().unwrap(), store)
        };
        let first = serve();
        sim::sleep(secs(10));
        drop(first);
        sim::sleep(secs(800));
        let (_running, store) = serve();
        sim::sleep(secs(15));
        assert_eq!(rows(&store).0, 2, "bob is back, ann may be about to");
        sim::sleep(secs(60));
        assert_eq!(rows(&store).0, 1, "she was not");
    });
    world.client("ann", || {
        let till = TillClient::connect("sim://till").unwrap();
        till.pay(1).unwrap();
        std::mem::forget(till);
    });
    world.client("bob", || {
        let till = TillClient::connect("sim://till").unwrap();
        till.pay(1).unwrap();
        sim::sleep(secs(812));
        for _ in 0..7 {
            till.pay(1).unwrap();
            sim::sleep(secs(10));
        }
        sim::sleep(secs(10)); // who takes its leave has its rows deleted
    });
    world.run();
}

#[service]
trait Desk {
    /// Takes a while, and says how many did at once.
    #[rpc(at_least_once)]
    fn work(&self) -> Result<usize, CallError>;
}

#[derive(Default)]
struct Busy(AtomicUsize);

impl Desk for Busy {
    fn work(&self) -> Result<usize, CallError> {
        let at_once = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        sim::sleep(Duration::from_millis(100));
        self.0.fetch_sub(1, Ordering::Relaxed);
        Ok(at_once)
    }
}

#[test]
fn a_server_with_a_store_has_as_many_workers_as_it_was_told() {
    let mut world = sim::World::new(7);
    world.client("till", || {
        let store = Durable::start(MemoryStore::new()).unwrap();
        let server = Server::bind("sim://till").unwrap().workers(1);
        let server = server.export(till(&store)).export(DeskService::new(Busy::default()));
        let _running = server.spawn().unwrap();
        sim::sleep(secs(10));
    });
    world.client("ann", || {
        let till = TillClient::connect("sim://till").unwrap();
        let desk = DeskClient::connect("sim://till").unwrap();
        let working: Vec<_> = (0..4).map(|_| desk.start().work()).collect();
        assert_eq!(till.pay(5).unwrap(), 5);
        let at_once = working.into_iter().map(|working| working.wait().unwrap());
        assert_eq!(at_once.max(), Some(1));
    });
    world.run();
}
