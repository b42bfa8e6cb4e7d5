//! Calls that take effect exactly once: over loss, duplication and crashes of the server, with blocking
//! user code in the simulator and over UDP.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::sim::{self, Faults, SimDisk};
use rpc_runtime::store::Durable;
use rpc_runtime::store::memory::{MemoryStore, MemoryTx, StoreFaults};
use rpc_runtime::{Error, Execution, Server, service};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum TillError {
    Empty,
}

#[service]
trait Till {
    /// Adds `cents`; what is in it then.
    #[rpc(exactly_once, timeout = "20s")]
    fn pay(&self, cents: u64) -> rpc_runtime::Result<u64, TillError>;
    /// Takes all out, unless it is empty.
    #[rpc(exactly_once)]
    fn empty(&self, reason: &str) -> rpc_runtime::Result<u64, TillError>;
    /// Panics after it has changed something.
    #[rpc(exactly_once)]
    fn jam(&self) -> rpc_runtime::Result<u64, TillError>;
    /// What is in it.
    #[rpc(at_least_once)]
    fn total(&self) -> rpc_runtime::Result<u64, TillError>;
}

const TOTAL: &[u8] = b"total";

/// A till around an open transaction.
struct Open<'t> {
    tx: RefCell<&'t mut MemoryTx>,
}

impl Open<'_> {
    fn read(&self) -> u64 {
        let row = self.tx.borrow_mut().get(TOTAL).unwrap();
        row.map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap()))
    }

    fn write(&self, total: u64) {
        self.tx.borrow_mut().put(TOTAL, &total.to_le_bytes());
    }
}

impl Till for Open<'_> {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<u64, TillError> {
        let total = self.read() + cents;
        self.write(total);
        Ok(total)
    }

    fn empty(&self, _reason: &str) -> rpc_runtime::Result<u64, TillError> {
        let total = self.read();
        self.write(0);
        if total == 0 { Err(TillError::Empty.into()) } else { Ok(total) }
    }

    fn jam(&self) -> rpc_runtime::Result<u64, TillError> {
        self.write(1_000_000);
        std::panic::resume_unwind(Box::new("the drawer is stuck".to_owned()));
    }

    fn total(&self) -> rpc_runtime::Result<u64, TillError> {
        Ok(self.read())
    }
}

/// The till of a life of the server: what its disk had not flushed is gone.
fn till(disk: &SimDisk) -> TillService<MemoryStore> {
    disk.crash();
    let store = Durable::start(MemoryStore::open(disk).unwrap()).unwrap();
    TillService::durable(&store, |tx, call| call.on(&Open { tx: RefCell::new(tx) }))
}

#[test]
fn every_payment_counts_once_over_loss_duplication_and_crashes() {
    sim::check(0..60, |world| {
        let disk = SimDisk::new(world.seed(), 0);
        world.faults(Faults::default().loss(0.2).duplicate(0.2));
        world.server("till", move || till(&disk));
        for crash in 0..3 {
            world.crash("till", Duration::from_millis(40 + 170 * crash), Duration::from_millis(60));
        }
        let paid = Arc::new(AtomicU64::new(0));
        for name in ["ann", "bob"] {
            let paid = Arc::clone(&paid);
            world.client(name, move || {
                let till = TillClient::connect("sim://till").unwrap();
                for _ in 0..10 {
                    match till.pay(1) {
                        Ok(_) => _ = paid.fetch_add(1, Ordering::Relaxed),
                        Err(Error::Call(error)) => {
                            assert_eq!(error.execution(), Execution::NotExecuted, "{error}");
                        }
                        Err(Error::App(error)) => panic!("{error:?}"),
                    }
                }
                let total = till.total().unwrap();
                assert!(total >= paid.load(Ordering::Relaxed) - 10, "{total}");
            });
        }
    });
}

#[test]
fn nothing_is_lost_and_nothing_doubled_in_the_end() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed, 0);
        let paid = Arc::new(AtomicU64::new(0));
        let mut world = sim::World::new(seed);
        world.faults(Faults::default().loss(0.3).duplicate(0.2).reorder(0.2));
        world.server("till", {
            let disk = disk.clone();
            move || till(&disk)
        });
        world.crash("till", Duration::from_millis(90), Duration::from_millis(200));
        world.crash("till", Duration::from_millis(700), Duration::from_millis(20));
        let sum = Arc::clone(&paid);
        world.client("ann", move || {
            let till = TillClient::connect("sim://till").unwrap();
            for _ in 0..15 {
                till.pay(1).unwrap();
                sum.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(till.total().unwrap(), sum.load(Ordering::Relaxed));
        });
        world.run();
        assert_eq!(paid.load(Ordering::Relaxed), 15, "seed {seed}");
    }
}

#[test]
fn sixty_four_callers_share_flushes_and_replies() {
    const CALLS: u64 = 10;
    for seed in 0..5 {
        let disk = SimDisk::new(seed, 0);
        disk.set_flush_takes(Duration::from_millis(2));
        let mut world = sim::World::new(seed);
        let (kept, store) = (disk.clone(), Arc::new(Mutex::new(None)));
        let opened = Arc::clone(&store);
        world.server("till", move || {
            let store = Durable::start(MemoryStore::open(&kept).unwrap()).unwrap();
            *opened.lock().unwrap() = Some(Arc::clone(&store));
            TillService::durable(&store, |tx, call| call.on(&Open { tx: RefCell::new(tx) }))
        });
        for caller in 0..64 {
            world.client(&format!("caller {caller}"), || {
                let till = TillClient::connect("sim://till").unwrap();
                for _ in 0..CALLS {
                    till.pay(1).unwrap();
                }
            });
        }
        world.run();
        let stats = store.lock().unwrap().take().unwrap().stats();
        let calls = 64 * CALLS;
        assert!(stats.kept >= calls, "{stats:?}");
        assert!(stats.flushes <= calls / 8, "{stats:?}");
    }
}

#[test]
fn a_connection_that_breaks_in_mid_commit_loses_and_doubles_nothing() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed, 0);
        let mut world = sim::World::new(seed);
        let kept = disk.clone();
        world.server("till", move || {
            let store = MemoryStore::open(&kept).unwrap();
            let durable = Durable::start(store.clone()).unwrap();
            let faults = StoreFaults {
                lost_before_commit: 0.1,
                lost_after_commit: 0.2,
                conflict: 0.2,
                ..StoreFaults::default()
            };
            store.set_faults(faults);
            TillService::durable(&durable, |tx, call| call.on(&Open { tx: RefCell::new(tx) }))
        });
        let paid = Arc::new(AtomicU64::new(0));
        for caller in 0..8 {
            let paid = Arc::clone(&paid);
            world.client(&format!("caller {caller}"), move || {
                let till = TillClient::connect("sim://till").unwrap();
                for _ in 0..5 {
                    match till.pay(1) {
                        Ok(_) => _ = paid.fetch_add(1, Ordering::Relaxed),
                        Err(Error::Call(error)) => {
                            assert_eq!(error.execution(), Execution::NotExecuted, "{error}");
                        }
                        Err(Error::App(error)) => panic!("{error:?}"),
                    }
                }
            });
        }
        world.run();
        disk.crash();
        let store = MemoryStore::open(&disk).unwrap();
        let total = store.peek(TOTAL).map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap()));
        assert_eq!(total, paid.load(Ordering::Relaxed), "seed {seed}");
    }
}

#[test]
fn an_own_error_and_a_panic_are_rolled_back_and_told_once() {
    let disk = SimDisk::new(1, 0);
    let server = Server::bind("udp://127.0.0.1:0").unwrap().export(till(&disk)).spawn().unwrap();
    let till = TillClient::connect(&server.url()).unwrap();
    assert_eq!(till.pay(5).unwrap(), 5);
    let error = till.jam().unwrap_err();
    let error = error.call().unwrap().clone();
    assert_eq!(error.execution(), Execution::Executed, "{error}");
    assert!(error.to_string().contains("the drawer is stuck"), "{error}");
    assert_eq!(till.total().unwrap(), 5, "what it had changed is undone");
    assert_eq!(till.empty("evening").unwrap(), 5);
    let error = till.empty("again").unwrap_err();
    assert!(matches!(error, Error::App(TillError::Empty)), "{error:?}");
    assert_eq!(till.total().unwrap(), 0);
}

/// Beside a till, at the same server.
#[service]
trait Desk {
    /// Pays one at the till of `url`; what is in it then.
    async fn sell(&self, url: &str) -> rpc_runtime::Result<u64, TillError>;
}

struct MyDesk;

impl Desk for MyDesk {
    async fn sell(&self, url: &str) -> rpc_runtime::Result<u64, TillError> {
        let till = TillClient::connect(url)?;
        till.start().pay(1).await
    }
}

#[test]
fn async_handlers_wait_for_payments_that_the_same_worker_makes() {
    let server = Server::bind("udp://127.0.0.1:0").unwrap().workers(1);
    let server = server.export(till(&SimDisk::new(1, 0))).export(DeskService::new(MyDesk));
    let server = server.spawn().unwrap();
    let url = server.url();
    let desk = DeskClient::connect(&url).unwrap();
    let sales: Vec<_> = (0..50).map(|_| desk.start().sell(&url)).collect();
    let mut totals: Vec<_> = sales.into_iter().map(|sale| sale.wait().unwrap()).collect();
    totals.sort_unstable();
    assert!(totals.into_iter().eq(1..=50), "each payment counts once");
    assert_eq!(TillClient::connect(&url).unwrap().total().unwrap(), 50);
}
