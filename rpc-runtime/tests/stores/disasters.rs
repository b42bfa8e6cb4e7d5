//! The embedded store's disasters, each in a child process: this program again, at one test that
//! does nothing by itself.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use redb::TableDefinition;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Durable, Ended, Store, StoreError, StoreErrorKind};

use crate::conformance::{call, outcome, world};

/// Tells a child what to be, and where its store is.
const ROLE: &str = "RPC_RUNTIME_TEST_ROLE";
const PLACE: &str = "RPC_RUNTIME_TEST_PLACE";

const CALLERS: u32 = 8;

#[test]
fn a_child_plays_its_role() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let place = std::env::var_os(PLACE).expect("who sets the role sets the place");
    let place = Path::new(&place);
    match role.to_str() {
        Some("caller") => call_for_ever(place),
        Some("filler") => fill_the_disk(place),
        Some("holder") => hold(place),
        Some("bank") => crate::services::serve(place),
        role => panic!("no role of that name: {role:?}"),
    }
}

/// A command line that runs this program's child test.
fn child_arguments() -> [&'static str; 3] {
    ["--exact", "--nocapture", "disasters::a_child_plays_its_role"]
}

pub(crate) struct Playing {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Playing {
    fn start(mut command: Command, role: &str, place: &Path) -> Self {
        command.env(ROLE, role).env(PLACE, place);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("this program can be started again");
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, lines: BufReader::new(stdout).lines() }
    }

    pub(crate) fn itself(role: &str, place: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(child_arguments());
        Self::start(command, role, place)
    }

    /// What it says next after that word; passes over the test harness's own lines.
    pub(crate) fn said(&mut self, word: &str) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once(word)?;
            Some(rest.trim().to_owned())
        })
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed"); // SIGKILL
        self.child.wait().expect("it was started here");
    }
}

/// Says every call of its that has committed.
fn call_for_ever(place: &Path) {
    let bank = Durable::open(Redb::open(place).unwrap(), world()).unwrap();
    std::thread::scope(|threads| {
        for index in 0..CALLERS {
            let bank = &bank;
            threads.spawn(move || {
                loop {
                    let ended = bank.commit(move |tx| call::<Redb>(tx, index)).unwrap();
                    assert!(matches!(ended, Ended::Kept));
                    println!("\ncommitted {index}");
                }
            });
        }
    });
}

#[test]
fn after_a_kill_at_any_moment_effect_and_record_agree_and_nothing_told_is_lost() {
    const KILLS: u32 = 25;
    let folder = tempfile::tempdir().unwrap();
    let mut told = [0; CALLERS as usize];
    for kill in 0..KILLS {
        let mut child = Playing::itself("caller", folder.path());
        // A different moment every time, counted in what the child got done.
        for _ in 0..=(kill * 7 % 40) {
            let index: usize = child.said("committed ").expect("it goes on").parse().unwrap();
            told[index] += 1;
        }
        child.kill();
        while let Some(index) = child.said("committed ") {
            // A line that the kill cut off tells nothing.
            let Ok(index) = index.parse::<usize>() else { continue };
            told[index] += 1;
        }
        let store = Redb::open(folder.path()).expect("it opens after every kill");
        for index in 0..CALLERS {
            let (sequence, balance) = outcome(&store, index);
            assert_eq!(sequence, balance, "kill {kill}: effect and record of caller {index}");
            let told = &mut told[index as usize];
            assert!(sequence >= *told, "kill {kill}: {sequence} kept of {told} told");
            *told = sequence;
        }
    }
    assert!(told.iter().sum::<u64>() > 100, "the children did some work: {told:?}");
}

const FILLING: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("filling");

fn fill(bank: &Durable<Redb>, index: u32, turn: u64) -> Result<Ended, StoreError> {
    let filling = vec![0xab; 50_000];
    bank.commit(move |tx| match call::<Redb>(tx, index) {
        Commit::Keep => {
            let mut table = tx.open_table(FILLING).expect("a table");
            match table.insert(turn, filling.as_slice()) {
                Ok(_) => Commit::Keep,
                Err(_) => Commit::Undo,
            }
        }
        commit @ (Commit::Undo | Commit::Failed(_)) => commit,
    })
}

/// Fills the disk, says so, waits for room, and goes on.
fn fill_the_disk(place: &Path) {
    let bank = Durable::open(Redb::open(place).unwrap(), world()).unwrap();
    let mut committed = 0;
    let error = loop {
        match fill(&bank, 0, committed) {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
    };
    println!("\nfull {:?} {error}", error.kind());
    println!("\nafter {committed}");
    let again = fill(&bank, 0, committed).expect_err("still full");
    println!("\nagain {:?} {again}", again.kind());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent says when there is room");
    let before = outcome(bank.store(), 0);
    assert_eq!(before.0, before.1);
    fill(&bank, 0, committed).expect("there is room");
    assert_eq!(outcome(bank.store(), 0), (before.0 + 1, before.1 + 1));
    println!("\nwent on from {}", before.0);
}

#[test]
fn a_full_disk_is_an_error_that_ends_when_there_is_room() {
    if !works(Command::new("prlimit").arg("--version")) {
        eprintln!("skipped: there is no prlimit to limit a child's files with");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The longest file stands for the full disk: the system says no in the same places.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 8000; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap()).args(child_arguments());
    let mut child = Playing::start(command, "filler", folder.path());
    let full = child.said("full ").expect("it fills up");
    let committed: u64 = child.said("after ").unwrap().parse().unwrap();
    assert!(full.starts_with("DiskFull"), "{full}");
    assert!(full.contains("no room left"), "{full}");
    assert!(committed > 10);
    let again = child.said("again ").expect("it tries again");
    assert!(again.starts_with("DiskFull"), "{again}");
    let id = format!("--pid={}", child.child.id());
    assert!(works(Command::new("prlimit").args([id.as_str(), "--fsize=unlimited"])));
    child.child.stdin.take().unwrap().write_all(b"there is room\n").unwrap();
    let from: u64 = child.said("went on from ").expect("it goes on").parse().unwrap();
    assert!(from >= committed && from <= committed + 2, "{from} after {committed}");
    assert!(child.child.wait().unwrap().success());
}

fn works(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn hold(place: &Path) {
    let _store = Redb::open(place).unwrap();
    println!("\nholding it");
    let _until_killed = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_store_that_another_process_has_open_is_refused_until_that_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Playing::itself("holder", folder.path());
    child.said("holding").unwrap();
    let refused = Redb::open(folder.path()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::InUse, "{refused}");
    child.kill();
    Redb::open(folder.path()).unwrap();
}

#[test]
fn a_store_whose_file_is_damaged_is_refused_or_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(folder.path()).unwrap();
    store.transact(&mut |tx| call::<Redb>(tx, 1)).unwrap();
    drop(store);
    let file = folder.path().join(OsStr::new("store.redb"));
    let whole = std::fs::read(&file).unwrap();
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[place..(place + 64).min(whole.len())].fill(0xff);
        std::fs::write(&file, &damaged).unwrap();
        // No panic, no hang, no other reply: an error or the truth. What redb does not read in
        // opening it finds out of order when it is read.
        let found =
            std::panic::catch_unwind(|| Redb::open(folder.path()).map(|store| outcome(&store, 1)));
        if let Ok(Ok(found)) = found {
            assert!(found.0 <= 1 && found.1 <= 1, "{found:?} from nowhere");
        }
    }
}
