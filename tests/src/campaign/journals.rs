//! Clients that keep a journal: some of them all day, over all their lives.
//!
//! What a life finds open it asks for at once, and again later. Draws from a generator of its own,
//! so that the rest of the day is what it was without journals.

use rpc_runtime::client::journal::Book;
use rpc_runtime::protocol::CallSpec;
use rpc_runtime::random::Rng as _;
use rpc_runtime::sim::nodes::ClientNode;
use rpc_runtime::sim::{Control, HostId, SimDisk};
use rpc_runtime::time::Duration;

use super::users::Caller;

/// Which of the scenario's generators is drawn from.
const DRAWS: u64 = 7;
/// Disks of clients are numbered from here.
const DISK_FIRST: u64 = 1_000;
/// How long a life waits for an answer, and when it asks again.
const PATIENCE: Duration = Duration::from_millis(900);
const AGAIN: Duration = Duration::from_secs(3);

/// What each client's journal is on, if it keeps one.
pub(super) fn keepers(control: &mut Control, clients: usize) -> Vec<Option<SimDisk>> {
    let mut rng = control.scenario_rng(DRAWS);
    let seed = control.seed();
    let disk = |n: u64| rng.chance(0.4).then(|| SimDisk::new(seed, DISK_FIRST + n));
    (0..clients as u64).map(disk).collect()
}

/// A life of the client on this host begins.
pub(super) fn open(control: &mut Control, host: HostId, disk: &SimDisk) -> Book {
    let file = Box::new(disk.open().expect("its former life is dead"));
    Book::open(file, &mut control.rng(host)).expect("a simulated disk does not fail")
}

/// A life ends: the process's, or the whole machine's.
pub(super) fn crash(control: &Control, keeper: &Option<SimDisk>) {
    let Some(disk) = keeper else { return };
    if control.now().as_micros().is_multiple_of(2) {
        disk.crash();
    } else {
        disk.kill();
    }
}

/// Every other call that need not be recorded is: by clients that keep no journal, none.
pub(super) const fn ask(spec: CallSpec, left: u64) -> CallSpec {
    CallSpec { recorded: left.is_multiple_of(2), ..spec }
}

/// The new life asks for what former ones left, and once more later.
pub(super) fn settle(control: &mut Control, host: HostId) {
    ask_all(control, host);
    let later = control.now() + AGAIN;
    control.at(later, move |control| ask_all(control, host));
}

fn ask_all(control: &mut Control, host: HostId) {
    if !control.is_up(host) {
        return;
    }
    control.node(host, |node: &mut ClientNode<Caller>, now| {
        let under_way: Vec<_> =
            node.machines().flat_map(|machine| machine.under_way().collect::<Vec<_>>()).collect();
        let open: Vec<_> =
            node.book().map(|book| book.ledger().open().cloned().collect()).unwrap_or_default();
        for started in open.iter().filter(|started| !under_way.contains(&started.call)) {
            let number = started.arguments.first_chunk().expect("its number stands first");
            node.settle(now, u64::from_le_bytes(*number), started, (now + PATIENCE, false));
        }
    });
}
