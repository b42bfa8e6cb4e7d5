//! Real processes over UDP: a client that is killed in the middle of its calls, and a till whose
//! store is a folder.
//!
//! This very test binary plays the parts: it starts itself with a part to play in its environment.

#![expect(clippy::disallowed_methods, reason = "processes in the real world and its time")]

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use rpc_runtime::store::Durable;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::{CallError, Channel, ErrorKind, Execution, Resolution, Server};

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

/// A part in a process of its own; nothing when it is run as a test.
#[test]
#[ignore = "a part that the other test starts"]
fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let (place, folder) = (std::env::var(PLACE).unwrap(), std::env::var(FOLDER).unwrap());
    match part.as_str() {
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
        _ => {}
    }
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
        command.args(["--exact", "processes::part", "--ignored", "--nocapture"]);
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

#[test]
fn a_killed_client_learns_what_became_of_every_payment() {
    let folder = tempfile::tempdir().unwrap();
    let mut till = Process::start("till", "udp://127.0.0.1:0", folder.path());
    let url = format!("udp://{}", till.hear("udp://").unwrap());
    let mut told = Vec::new();
    for life in 0..4 {
        let mut ann = Process::start("ann", &url, folder.path());
        told.push(ann.hear("paid ").unwrap());
        // The journal is locked while she lives.
        let journal = folder.path().join("ann.journal");
        let refused = Channel::connect(&url).unwrap().journal(&journal).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalFailed, "{refused}");
        assert!(refused.to_string().contains("ann.journal"), "{refused}");
        thread::sleep(Duration::from_millis(30 + 40 * life));
        told.extend(ann.kill("paid "));
        if life % 2 == 1 {
            till.kill("udp://");
            till = Process::start("till", &url, folder.path());
            till.hear("udp://").unwrap();
        }
        learn(&url, &journal, &told);
    }
}

/// This process is a later life: it asks for what is open, and compares with the till.
fn learn(url: &str, journal: &Path, told: &[String]) {
    let channel = Channel::connect(url).unwrap().journal(journal).unwrap();
    let left = channel.unfinished();
    assert!(left.len() <= 8, "one for each caller: {left:?}");
    let till = TillClient::on(&channel);
    for call in left {
        let (number,) = call.arguments::<(u64,)>().unwrap();
        let times = match channel.resolve(call.id()).unwrap() {
            Resolution::Returned(reply) => reply.decode::<Result<u64, CallError>>().unwrap(),
            Resolution::NotExecuted => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(till.paid(number).unwrap(), times, "{number}");
    }
    assert_eq!(channel.unfinished(), []);
    for call in rpc_runtime::Journal::open(journal).unwrap().calls() {
        let (number,) = call.arguments::<(u64,)>().unwrap();
        let ran = call.execution() == Execution::Executed;
        assert_eq!(till.paid(number).unwrap(), u64::from(ran), "{number}");
    }
    for number in told {
        assert_eq!(till.paid(number.parse().unwrap()).unwrap(), 1, "{number}");
    }
}
