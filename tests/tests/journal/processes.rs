//! Real processes over UDP: a client that is killed in the middle of its calls, and a till whose
//! store is a folder.
//!
//! This very test binary plays the parts: it starts itself with a part to play in its environment.

#![expect(clippy::disallowed_methods, reason = "processes in the real world and its time")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Durable, Store as _};
use rpc_runtime::{
    CallError, Channel, ErrorKind, Execution, Journal, RecordedCall, Resolution, Server,
};

use super::till::{Till, TillClient, TillService};

const PART: &str = "RPC_TEST_JOURNAL_PART";
const PLACE: &str = "RPC_TEST_JOURNAL_PLACE";
const FOLDER: &str = "RPC_TEST_JOURNAL_FOLDER";

const PAYMENTS: TableDefinition<'_, u64, u64> = TableDefinition::new("payments");

/// A till around an open transaction of the folder.
struct Open<'t>(RefCell<&'t mut WriteTransaction>);

impl Till for Open<'_> {
    fn pay(&self, number: u64) -> Result<u64, CallError> {
        let tx = self.0.borrow();
        let mut payments = tx.open_table(PAYMENTS).unwrap();
        let times = payments.get(number).unwrap().map_or(0, |times| times.value()) + 1;
        payments.insert(number, times).unwrap();
        Ok(times)
    }

    fn paid(&self, number: u64) -> Result<u64, CallError> {
        let tx = self.0.borrow();
        let payments = tx.open_table(PAYMENTS).unwrap();
        Ok(payments.get(number).unwrap().map_or(0, |times| times.value()))
    }

    fn open(&self, number: u64, ms: u64) -> Result<u64, CallError> {
        thread::sleep(Duration::from_millis(ms));
        Ok(number)
    }
}

/// The test that plays its own parts.
const ITSELF: &str = "processes::a_killed_client_learns_what_became_of_every_payment";

/// A part in a process of its own.
fn play(part: &str) {
    let (place, folder) = (std::env::var(PLACE).unwrap(), std::env::var(FOLDER).unwrap());
    match part {
        "till" => {
            let store = Durable::start(Redb::open(folder).unwrap()).unwrap();
            let service = TillService::durable(&store, |tx, call| call.on(&Open(RefCell::new(tx))));
            let server = Server::bind(&place).unwrap().export(service).spawn().unwrap();
            say(&server.url());
            // Until whoever started it closes the pipe, or dies.
            let mut nothing = [0; 64];
            while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
        }
        "ann" => {
            let journal = Path::new(&folder).join("ann.journal");
            let channel = Channel::connect(&place).unwrap().journal(journal).unwrap();
            let till = TillClient::on(&channel);
            thread::scope(|threads| {
                for caller in 0..8 {
                    let till = &till;
                    threads.spawn(move || {
                        let life = u64::from(std::process::id()) << 32;
                        for turn in 0..1_000_000 {
                            let number = life | caller << 24 | turn;
                            if till.pay(number).is_ok() {
                                say(&format!("paid {number}"));
                            }
                        }
                    });
                }
            });
        }
        other => panic!("no part is called {other}"),
    }
}

/// Where the till's later lives find its place free: no other process has the address, and the
/// system gives the port to nobody who does not ask for it.
fn lasting_place() -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("udp://127.{}.{middle}.{low}:20001", high | 128)
}

fn say(line: &str) {
    println!("\n{line}");
    let _ = std::io::stdout().flush();
}

/// A process that plays a part.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    fn start(part: &str, place: &str, folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", ITSELF, "--nocapture"]);
        command.env(PART, part).env(PLACE, place).env(FOLDER, folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The rest of the next line that begins like that; none once the process is gone.
    fn hear(&mut self, beginning: &str) -> Option<String> {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if line.starts_with(beginning) && line.ends_with('\n') {
                return Some(line.trim()[beginning.len()..].to_owned());
            }
            line.clear();
        }
        None
    }

    /// SIGKILL; what it had said by then.
    fn kill(&mut self, beginning: &str) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.hear(beginning)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

/// What is known of payments: whether they were made.
type Known = BTreeMap<u64, bool>;

#[test]
fn a_killed_client_learns_what_became_of_every_payment() {
    if let Ok(part) = std::env::var(PART) {
        return play(&part);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut till = Process::start("till", &lasting_place(), folder.path());
    let url = format!("udp://{}", till.hear("udp://").unwrap());
    let journal = folder.path().join("ann.journal");
    let mut known = Known::new();
    for life in 0..6 {
        let mut ann = Process::start("ann", &url, folder.path());
        let mut told = vec![ann.hear("paid ").unwrap()];
        // The journal is locked while she lives.
        let refused = Channel::connect(&url).unwrap().journal(&journal).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalFailed, "{refused}");
        assert!(refused.to_string().contains("ann.journal"), "{refused}");
        // A different moment in every life, counted in what she got done.
        for _ in 0..10 + 5 * life {
            told.push(ann.hear("paid ").unwrap());
        }
        told.extend(ann.kill("paid "));
        if life % 2 == 1 {
            till.kill("udp://");
            till = Process::start("till", &url, folder.path());
            till.hear("udp://").unwrap();
        }
        let told = told.iter().map(|number| (number.parse().unwrap(), true));
        for (number, was_made) in told.chain(learn(&url, &journal)) {
            let before = known.insert(number, was_made);
            assert!(before.is_none_or(|before| before == was_made), "{number} was {before:?}");
        }
    }
    till.kill("udp://");
    judge(&known, folder.path());
}

/// This process is a later life: it asks what became of what is open.
fn learn(url: &str, journal: &Path) -> Known {
    let channel = Channel::connect(url).unwrap().journal(journal).unwrap();
    let left = channel.unfinished();
    assert!(left.len() <= 8, "one for each caller: {left:?}");
    for call in left {
        match channel.resolve(call.id()).unwrap() {
            Resolution::Returned(reply) => {
                assert_eq!(reply.decode::<Result<u64, CallError>>().unwrap(), 1);
            }
            Resolution::NotExecuted => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(channel.unfinished(), []);
    let calls = Journal::open(journal).unwrap().calls().into_iter();
    calls.map(|call| (number(&call), call.execution() == Execution::Executed)).collect()
}

fn number(call: &RecordedCall) -> u64 {
    call.arguments::<(u64,)>().unwrap().0
}

/// What is known is what is in the folder, and nothing else is there.
fn judge(known: &Known, folder: &Path) {
    let store = Redb::open(folder).unwrap();
    let mut made = Known::new();
    let mut read = |tx: &mut WriteTransaction| {
        for payment in tx.open_table(PAYMENTS).unwrap().iter().unwrap() {
            let (number, times) = payment.unwrap();
            assert_eq!(times.value(), 1, "{}", number.value());
            made.insert(number.value(), true);
        }
        Commit::Undo
    };
    store.transact(&mut read).unwrap();
    let expected: Known = known.iter().filter(|(_, made)| **made).map(|(n, m)| (*n, *m)).collect();
    assert_eq!(made, expected);
    assert!(made.len() > 50, "{}", made.len());
}
