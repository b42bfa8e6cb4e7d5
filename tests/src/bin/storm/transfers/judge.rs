//! Raises the storm over the bank and judges it: kills servers and tellers, then compares the store
//! with the tellers' logs.

#![expect(clippy::disallowed_methods, reason = "the moments of killing are real time")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::thread;
use std::time::Duration;

use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::redb::Redb;
use serde::Serialize;

use super::log::{self, Word};
use super::{ACCOUNTS, BALANCE, StoreKind, bank, postgres};
use crate::Storm;
use rpc_tests::processes::{self, Moments};

/// What the storm showed.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    kills: u32,
    server_kills: u32,
    client_kills: u32,
    calls: u64,
    returned: u64,
    not_executed: u64,
    executed_error: u64,
    /// Told that it ran, and the store does not have it.
    lost: u64,
    /// Applied more than once.
    doubled: u64,
    /// Told that it did not run or left nothing, and the store has it.
    untrue: u64,
    /// Nobody knows, in the end.
    unresolved: u64,
    /// What all accounts hold more than at first, or less.
    money_made: i64,
}

impl Verdict {
    const fn is_clean(&self) -> bool {
        self.lost == 0
            && self.doubled == 0
            && self.untrue == 0
            && self.unresolved == 0
            && self.money_made == 0
    }
}

/// Everything that runs.
struct Scene<'s> {
    storm: &'s Storm,
    folder: &'s Path,
    at: String,
    store: String,
    server: Child,
    tellers: Vec<Child>,
    lives: u64,
}

/// Runs the storm and prints its verdict; fails if store and logs disagree.
pub(crate) fn run(storm: &Storm) -> Result<ExitCode, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = match storm.store {
        StoreKind::Redb => None,
        StoreKind::Postgres => match postgres::Server::start(true) {
            Ok(server) => Some(server),
            Err(why) => {
                eprintln!("storm: skipped, nothing was shown: {why}");
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    let store = match &database {
        None => folder.path().join("store").display().to_string(),
        Some(server) => {
            make_tables(&server.config())?;
            server.config()
        }
    };
    let verdict = blow(storm, folder.path(), store.clone()).and_then(|(servers, clients)| {
        let mut verdict = judge(storm, folder.path(), &store)?;
        (verdict.server_kills, verdict.client_kills) = (servers, clients);
        verdict.kills = servers + clients;
        Ok(verdict)
    })?;
    drop(database);
    print(storm, &verdict)?;
    Ok(if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn make_tables(config: &str) -> Result<(), Box<dyn Error>> {
    let mut client = ::postgres::Client::connect(config, ::postgres::NoTls)?;
    for table in ["accounts", "applied"] {
        client.batch_execute(&format!(
            "CREATE TABLE {table} (key bigint PRIMARY KEY, value bigint NOT NULL)"
        ))?;
    }
    Ok(())
}

/// Kills until the number is full, and lets the tellers end; says how many of whom were killed.
fn blow(storm: &Storm, folder: &Path, store: String) -> Result<(u32, u32), Box<dyn Error>> {
    let at = storm.transport.place(folder)?;
    let server = start_server(storm, &at, &store, 0)?;
    let mut scene = Scene { storm, folder, at, store, server, tellers: Vec::new(), lives: 0 };
    for number in 0..storm.clients {
        let teller = scene.start_teller(number)?;
        scene.tellers.push(teller);
    }
    let bar = processes::bar(storm.kills)?;
    let mut moments = Moments::new(storm.seed);
    let (mut servers, mut clients) = (0, 0);
    for _ in 0..storm.kills {
        thread::sleep(Duration::from_millis(30 + moments.below(220)));
        // As many servers as clients, so that all pairs of crashes come to be.
        if moments.below(2) == 0 {
            scene.kill_server()?;
            servers += 1;
        } else {
            let number = moments.below(u64::from(storm.clients));
            scene.kill_teller(u32::try_from(number)?)?;
            clients += 1;
        }
        bar.inc(1);
    }
    thread::sleep(Duration::from_millis(300));
    bar.finish_and_clear();
    for teller in &mut scene.tellers {
        drop(teller.stdin.take());
    }
    for teller in &mut scene.tellers {
        if !teller.wait()?.success() {
            return Err("a teller failed".into());
        }
    }
    scene.server.kill()?;
    scene.server.wait()?;
    Ok((servers, clients))
}

fn start_server(storm: &Storm, at: &str, store: &str, life: u64) -> Result<Child, Box<dyn Error>> {
    let kind = match storm.store {
        StoreKind::Redb => "redb",
        StoreKind::Postgres => "postgres",
    };
    let seed = (storm.seed + 1_000 + life).to_string();
    let drop = storm.drop.to_string();
    processes::start_server(&[
        "bank", "--at", at, "--store", kind, "--place", store, "--drop", &drop, "--seed", &seed,
    ])
}

impl Scene<'_> {
    fn start_teller(&mut self, number: u32) -> Result<Child, Box<dyn Error>> {
        self.lives += 1;
        let number = number.to_string();
        let (drop, seed) =
            (self.storm.drop.to_string(), (self.storm.seed + self.lives).to_string());
        let folder = self.folder.display().to_string();
        processes::start(&[
            "teller", "--at", &self.at, "--number", &number, "--folder", &folder, "--drop", &drop,
            "--seed", &seed,
        ])
    }

    fn kill_server(&mut self) -> Result<(), Box<dyn Error>> {
        self.lives += 1;
        self.server.kill()?;
        self.server.wait()?;
        self.server = start_server(self.storm, &self.at, &self.store, self.lives)?;
        Ok(())
    }

    fn kill_teller(&mut self, number: u32) -> Result<(), Box<dyn Error>> {
        let teller = &mut self.tellers[number as usize];
        teller.kill()?;
        teller.wait()?;
        self.tellers[number as usize] = self.start_teller(number)?;
        Ok(())
    }
}

/// Nothing outlives a storm that failed.
impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for child in self.tellers.iter_mut().chain([&mut self.server]) {
            // One that has ended already is what is wanted.
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Holds the tellers' logs against the store.
fn judge(storm: &Storm, folder: &Path, store: &str) -> Result<Verdict, Box<dyn Error>> {
    let mut words = Vec::new();
    for path in logs(folder)? {
        words.extend(log::read(&path)?);
    }
    let numbers: Vec<u64> = words.iter().map(|&(number, _)| number).collect();
    let closed = match storm.store {
        StoreKind::Redb => bank::close(&Redb::open(store)?, &numbers),
        StoreKind::Postgres => bank::close(&Postgres::open(store)?, &numbers),
    };
    let (total, applied) = closed.map_err(|error| error.to_string())?;
    let mut verdict = Verdict { calls: words.len() as u64, ..Verdict::default() };
    verdict.money_made = i64::try_from(total)? - i64::try_from(ACCOUNTS * BALANCE)?;
    for (number, word) in words {
        let times = applied.get(&number).copied().unwrap_or(0);
        verdict.doubled += u64::from(times > 1);
        match word {
            Word::Returned => {
                verdict.returned += 1;
                verdict.lost += u64::from(times == 0);
            }
            Word::NotExecuted => {
                verdict.not_executed += 1;
                verdict.untrue += u64::from(times > 0);
            }
            Word::Failed => {
                verdict.executed_error += 1;
                verdict.untrue += u64::from(times > 0);
            }
            Word::Wanted | Word::Unknown => verdict.unresolved += 1,
        }
    }
    Ok(verdict)
}

fn logs(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("log-") {
            logs.push(entry.path());
        }
    }
    Ok(logs)
}

fn print(storm: &Storm, verdict: &Verdict) -> Result<(), Box<dyn Error>> {
    if storm.json {
        println!("{}", serde_json::to_string(verdict)?);
        return Ok(());
    }
    let Verdict { server_kills, client_kills, calls, returned, not_executed, .. } = verdict;
    println!(
        "{server_kills} kills of the server and {client_kills} of clients, {} clients, {} of all datagrams lost each way",
        storm.clients, storm.drop
    );
    println!(
        "{calls} transfers: {returned} applied, {not_executed} known not to have run, {} failed and rolled back",
        verdict.executed_error
    );
    println!("told applied, and lost      {:>6}", verdict.lost);
    println!("applied more than once      {:>6}", verdict.doubled);
    println!("told not applied, and was   {:>6}", verdict.untrue);
    println!("nobody knows in the end     {:>6}", verdict.unresolved);
    println!("money that came or went     {:>6}", verdict.money_made);
    Ok(())
}
