//! Raises the storm and judges it: kills, restarts, and compares journal and logs.

#![expect(clippy::disallowed_methods, reason = "the moments of killing are real time")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::parts::{ENTRY_BYTES, EXECUTED, NOT_EXECUTED, OK};
use crate::{LATE_MAX, Storm};
use rpc_tests::processes::{self, Moments};

/// What the storm showed.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    kills: u32,
    calls: u64,
    ok: u64,
    not_executed: u64,
    executed_error: u64,
    unknown: u64,
    executions: u64,
    executed_twice: u64,
    untrue_not_executed: u64,
    untrue_ok: u64,
    past_deadline: u64,
    latest_ms: u64,
}

/// Runs the storm and prints its verdict; fails if journal and logs disagree.
pub(crate) fn run(storm: &Storm) -> Result<ExitCode, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    let at = storm.transport.place(folder.path())?;
    let mut server = start_server(storm, &at, &journal, 0)?;
    let mut clients = Vec::new();
    for number in 0..storm.clients {
        let log = folder.path().join(format!("client-{number}"));
        clients.push((start_client(storm, &at, number, &log)?, log));
    }
    let bar = processes::bar(storm.kills)?;
    let mut moments = Moments::new(storm.seed);
    for kill in 1..=storm.kills {
        thread::sleep(Duration::from_millis(30 + moments.below(220)));
        server.kill()?;
        server.wait()?;
        server = start_server(storm, &at, &journal, kill)?;
        bar.inc(1);
    }
    thread::sleep(Duration::from_millis(300));
    bar.finish_and_clear();
    for (client, _) in &mut clients {
        drop(client.stdin.take());
    }
    let mut logs = Vec::new();
    for (mut client, log) in clients {
        if !client.wait()?.success() {
            return Err("a client failed".into());
        }
        logs.push(log);
    }
    server.kill()?;
    server.wait()?;
    let verdict = judge(storm.kills, &journal, &logs)?;
    print(storm, &verdict)?;
    let agreed = verdict.executed_twice == 0
        && verdict.untrue_not_executed == 0
        && verdict.untrue_ok == 0
        && verdict.past_deadline == 0;
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn start_server(
    storm: &Storm,
    at: &str,
    journal: &Path,
    life: u32,
) -> Result<Child, Box<dyn Error>> {
    let seed = storm.seed + 1_000 + u64::from(life);
    let [drop, seed] = [storm.drop.to_string(), seed.to_string()];
    let journal = journal.display().to_string();
    processes::start_server(&[
        "server",
        "--at",
        at,
        "--drop",
        &drop,
        "--seed",
        &seed,
        "--journal",
        &journal,
    ])
}

fn start_client(storm: &Storm, at: &str, number: u32, log: &Path) -> Result<Child, Box<dyn Error>> {
    let seed = storm.seed + u64::from(number);
    let [drop, seed] = [storm.drop.to_string(), seed.to_string()];
    let (number, log) = (number.to_string(), log.display().to_string());
    processes::start(&[
        "client", "--at", at, "--number", &number, "--drop", &drop, "--seed", &seed, "--log", &log,
    ])
}

/// Holds the clients' logs against the journal.
fn judge(kills: u32, journal: &Path, logs: &[PathBuf]) -> Result<Verdict, Box<dyn Error>> {
    let mut executions = BTreeMap::new();
    for number in fs::read(journal)?.chunks_exact(8) {
        *executions.entry(u64::from_le_bytes(number.try_into()?)).or_insert(0_u64) += 1;
    }
    let mut verdict = Verdict { kills, ..Verdict::default() };
    verdict.executions = executions.values().sum();
    verdict.executed_twice = executions.values().filter(|&&times| times > 1).count() as u64;
    for log in logs {
        for entry in fs::read(log)?.chunks_exact(ENTRY_BYTES) {
            let ran = executions.contains_key(&u64::from_le_bytes(entry[..8].try_into()?));
            let late = Duration::from_micros(u64::from_le_bytes(entry[9..].try_into()?));
            verdict.calls += 1;
            match entry[8] {
                OK => {
                    verdict.ok += 1;
                    verdict.untrue_ok += u64::from(!ran);
                }
                NOT_EXECUTED => {
                    verdict.not_executed += 1;
                    verdict.untrue_not_executed += u64::from(ran);
                }
                EXECUTED => verdict.executed_error += 1,
                _ => verdict.unknown += 1,
            }
            verdict.past_deadline += u64::from(late > LATE_MAX);
            verdict.latest_ms = verdict.latest_ms.max(u64::try_from(late.as_millis())?);
        }
    }
    Ok(verdict)
}

fn print(storm: &Storm, verdict: &Verdict) -> Result<(), Box<dyn Error>> {
    if storm.json {
        println!("{}", serde_json::to_string(verdict)?);
        return Ok(());
    }
    let Verdict { kills, calls, ok, not_executed, executed_error, unknown, executions, .. } =
        verdict;
    println!(
        "{kills} kills, {} clients, {} of all datagrams lost each way",
        storm.clients, storm.drop
    );
    println!(
        "{calls} calls: {ok} succeeded, {not_executed} known not to have run, {executed_error} failed and known to have run, {unknown} unknown"
    );
    println!("{executions} executions in the journal");
    println!("executed twice              {:>6}", verdict.executed_twice);
    println!("told not executed, and ran  {:>6}", verdict.untrue_not_executed);
    println!("told ok, and did not run    {:>6}", verdict.untrue_ok);
    println!(
        "ended past the deadline     {:>6}   (more than {} ms; the latest by {} ms)",
        verdict.past_deadline,
        LATE_MAX.as_millis(),
        verdict.latest_ms
    );
    println!(
        "replay: storm --kills {kills} --clients {} --drop {} --seed {}",
        storm.clients, storm.drop, storm.seed
    );
    Ok(())
}
