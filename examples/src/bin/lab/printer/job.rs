//! One job on one printer, in virtual time: the server crashes at the moment that the cell names,
//! comes back, and the client follows its rule.

use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rpc_runtime::driver::World;
use rpc_runtime::sim::{self, Control, Ended, Handle, HostId, SimDisk, Simulation};
use rpc_runtime::store::Durable;
use rpc_runtime::store::memory::{MemoryStore, MemoryTx};
use rpc_runtime::time::Instant;
use rpc_runtime::{CallError, Server, service};

use super::{Order, Strategy};

/// Between two things that the server does, and between the last and the message's arrival.
const STEP: Duration = Duration::from_millis(10);
/// Half of it: a crash falls in the middle between two events.
const HALF: Duration = Duration::from_millis(5);
/// From the crash until the server is back.
const DOWN: Duration = Duration::from_millis(100);
/// When the client looks: the server has come back, whatever happened.
const ALL_OVER: Duration = Duration::from_secs(5);
/// When a run that does not end is given up.
const LIMIT: Instant = Instant::from_micros(60_000_000);
/// The row that counts the pages of `exactly_once`.
const PAGES: &[u8] = b"pages";

#[service]
trait Printer {
    /// Prints a page; the reply is the completion message.
    #[rpc(at_most_once, timeout = "2s")]
    fn print(&self, page: u32) -> Result<(), CallError>;
    /// Answers when the server is up: so the client learns that it has another life.
    #[rpc(at_least_once)]
    fn is_up(&self) -> Result<(), CallError>;
}

#[service]
trait Spool {
    /// The same, with page and reply in one commit.
    #[rpc(exactly_once, timeout = "20s")]
    fn print(&self, page: u32) -> Result<(), CallError>;
}

/// What both lives of the server have in common.
#[derive(Clone)]
struct Stage {
    world: Handle,
    host: HostId,
    strategy: Strategy,
    order: Order,
    has_crashed: Arc<AtomicBool>,
    /// Sheets in the tray.
    paper: Arc<AtomicU64>,
    /// Where the spool's pages are.
    disk: SimDisk,
}

/// Runs the job; how often it is printed in the end.
pub(super) fn run(seed: u64, strategy: Strategy, order: Order) -> Result<u64, Box<dyn Error>> {
    let simulation = Simulation::new(seed);
    let (server, client) =
        simulation.with(|control| (control.add_host("printer"), control.add_host("client")));
    let disk = SimDisk::new(seed, 0);
    disk.set_flush_takes(STEP);
    let stage = Stage {
        world: simulation.handle(),
        host: server,
        strategy,
        order,
        has_crashed: Arc::default(),
        paper: Arc::default(),
        disk,
    };
    simulation.with(|control| {
        serve(control, &stage);
        control.spawn(client, "main", true, move || ask(strategy));
    });
    match simulation.try_run_until_finished(LIMIT)? {
        Ended::Reached => {}
        Ended::Limit | Ended::Quiet | Ended::Failed => return Err("the job never ended".into()),
    }
    if strategy == Strategy::ExactlyOnce { pages(&stage.disk) } else { Ok(sheets(&stage)) }
}

fn sheets(stage: &Stage) -> u64 {
    stage.paper.load(Ordering::Relaxed)
}

/// What the store holds after all.
fn pages(disk: &SimDisk) -> Result<u64, Box<dyn Error>> {
    disk.crash();
    Ok(count(MemoryStore::open(disk)?.peek(PAGES)))
}

fn count(row: Option<Vec<u8>>) -> u64 {
    row.and_then(|row| row.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The client: one job, and perhaps the same again.
fn ask(strategy: Strategy) {
    if strategy == Strategy::ExactlyOnce {
        let spool = SpoolClient::connect("sim://printer").expect("a host of that name");
        spool.print(1).expect("asked until it is answered");
        return;
    }
    let printer = PrinterClient::connect("sim://printer").expect("a host of that name");
    let is_acked = printer.print(1).is_ok();
    sim::sleep(ALL_OVER);
    printer.is_up().expect("the server is back");
    let asks_again = match strategy {
        Strategy::Always => true,
        Strategy::OnlyWhenAcked => is_acked,
        Strategy::OnlyWhenNotAcked => !is_acked,
        Strategy::Never | Strategy::ExactlyOnce => false,
    };
    if asks_again {
        printer.print(1).expect("the server is back and crashes no more");
    }
    sim::sleep(ALL_OVER);
}

/// Starts the server's process, in whatever life.
fn serve(control: &mut Control, stage: &Stage) {
    let own = stage.clone();
    control.spawn(stage.host, "main", false, move || {
        let server = Server::bind("sim://printer").expect("the host is free");
        let server = if own.strategy == Strategy::ExactlyOnce {
            server.export(spool(own))
        } else {
            server.export(PrinterService::new(own))
        };
        let _running = server.spawn().expect("the host is free");
        loop {
            sim::sleep(ALL_OVER);
        }
    });
}

fn spool(stage: Stage) -> SpoolService<MemoryStore> {
    stage.disk.crash();
    let store = MemoryStore::open(&stage.disk).expect("a disk that works");
    let store = Durable::start(store).expect("a disk that works");
    SpoolService::durable(&store, move |tx, call| {
        call.on(&Open { stage: stage.clone(), tx: RefCell::new(tx) })
    })
}

impl Stage {
    /// The host crashes `after` from now, once.
    fn crash_in(&self, after: Duration) {
        if self.has_crashed.swap(true, Ordering::Relaxed) {
            return;
        }
        let stage = self.clone();
        self.world.with(move |control| {
            control.at(control.now() + after, move |control| {
                control.crash(stage.host);
                control.at(control.now() + DOWN, move |control| {
                    control.restart(stage.host);
                    serve(control, &stage);
                });
            });
        });
    }
}

impl Printer for Stage {
    /// The first event comes `STEP` after the call, the second `STEP` after the first.
    fn print(&self, _page: u32) -> Result<(), CallError> {
        let crash = match self.order {
            Order::CrashBeforeMessage | Order::CrashBeforePrint => HALF,
            Order::MessageCrash | Order::PrintCrash => STEP + HALF,
            Order::MessagePrintCrash | Order::PrintMessageCrash => STEP * 2 + HALF,
        };
        self.crash_in(crash);
        sim::sleep(STEP);
        match self.order {
            Order::MessagePrintCrash | Order::MessageCrash | Order::CrashBeforeMessage => {
                let paper = Arc::clone(&self.paper);
                let print = move || {
                    sim::sleep(STEP);
                    paper.fetch_add(1, Ordering::Relaxed);
                };
                let spawned = here().spawn("printing", Box::new(print));
                spawned.expect("the simulator has threads");
            }
            Order::PrintMessageCrash | Order::PrintCrash | Order::CrashBeforePrint => {
                self.paper.fetch_add(1, Ordering::Relaxed);
                sim::sleep(STEP);
            }
        }
        Ok(())
    }

    fn is_up(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// The spool around an open transaction.
struct Open<'t> {
    stage: Stage,
    tx: RefCell<&'t mut MemoryTx>,
}

impl Spool for Open<'_> {
    /// The row is written `STEP` after the call came, the handler returns `STEP` later, and the
    /// commit is on the disk another `STEP` later; then the reply leaves.
    fn print(&self, _page: u32) -> Result<(), CallError> {
        let crash = match self.stage.order {
            Order::CrashBeforeMessage | Order::CrashBeforePrint => HALF,
            // Written, and nothing committed.
            Order::PrintCrash => STEP + HALF,
            // In the middle of the commit.
            Order::MessageCrash => STEP * 2 + HALF,
            // Committed and answered.
            Order::MessagePrintCrash | Order::PrintMessageCrash => STEP * 4,
        };
        self.stage.crash_in(crash);
        sim::sleep(STEP);
        let mut tx = self.tx.borrow_mut();
        let pages = count(tx.get(PAGES).expect("a disk that works")) + 1;
        tx.put(PAGES, &pages.to_le_bytes());
        sim::sleep(STEP);
        Ok(())
    }
}

/// The world of the host whose thread is calling.
fn here() -> Arc<dyn World> {
    sim::current_world().expect("only threads of the simulator call this")
}
