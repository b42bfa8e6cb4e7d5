//! A client of the bank, as a process of its own: several threads that transfer, one journal, one
//! log, and after a crash first of all the question what became of what was left.

#![expect(clippy::disallowed_methods, reason = "tellers are real threads, and wait for a server")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rpc_runtime::{CallError, CallId, Channel, Execution, Journal, Options, Resolution};

use super::ACCOUNTS;
use super::bank::{Bank, BankClient};
use super::log::{self, Log, Word};
use crate::parts::{wait_for_end_of_input, world};

/// The teller's part.
#[derive(Args, Debug)]
pub(crate) struct TellerPart {
    /// Where the bank is.
    #[arg(long)]
    at: String,
    /// Which teller this is.
    #[arg(long)]
    number: u64,
    /// Where journal and log are.
    #[arg(long)]
    folder: PathBuf,
    /// Share of datagrams lost on sending.
    #[arg(long)]
    drop: f64,
    /// Seed of the losses.
    #[arg(long)]
    seed: u64,
}

/// Threads of one teller.
const THREADS: u64 = 4;
/// How long a teller waits for one transfer, and for the answer to one question.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it asks about one transfer before it says that nobody knows.
const ASKING_MAX: Duration = Duration::from_secs(60);

/// What the threads of a teller share.
struct Teller {
    log: Log,
    channel: Channel,
    numbers: AtomicU64,
    stop: AtomicBool,
}

/// Transfers until the standard input ends.
pub(crate) fn call(part: &TellerPart) -> Result<(), Failed> {
    let log_path = part.folder.join(format!("log-{}", part.number));
    let before = log::read(&log_path)?;
    let journal = Journal::open(part.folder.join(format!("journal-{}", part.number)))?;
    let channel = Channel::connect_in(&world(part.drop, part.seed), &part.at)?;
    let channel = channel.with_journal(&journal)?.with(Options::new().timeout(PATIENCE));
    let last = before.keys().next_back().copied().unwrap_or(part.number << 32);
    let teller = Arc::new(Teller {
        log: Log::open(&log_path)?,
        channel,
        numbers: AtomicU64::new(last),
        stop: AtomicBool::new(false),
    });
    let stopper = Arc::clone(&teller);
    thread::spawn(move || {
        wait_for_end_of_input();
        stopper.stop.store(true, Ordering::Relaxed);
    });
    let left = before.into_iter().filter(|(_, word)| !word.is_fact()).map(|(number, _)| number);
    teller.take_up(&journal, left)?;
    let results = thread::scope(|threads| {
        let own = |n| {
            threads.spawn({
                let teller = &teller;
                move || teller.work(n)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(own).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for result in results {
        result.map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

impl Teller {
    /// Finds out what became of the transfers that a former life left.
    fn take_up(&self, journal: &Journal, left: impl Iterator<Item = u64>) -> Result<(), Failed> {
        let calls = journal.calls();
        for number in left {
            let is_it = |arguments: (u64, u64, u64, u64)| arguments.0 == number;
            let call = calls.iter().find(|call| call.arguments().is_some_and(is_it));
            let word = match call {
                // The journal comes before the first byte: it was never sent.
                None => Word::NotExecuted,
                Some(call) => match call.resolution() {
                    Some(resolution) => word(&resolution),
                    None => self.ask(call.id()),
                },
            };
            self.log.write(number, word)?;
        }
        Ok(())
    }

    fn work(&self, thread: u64) -> Result<(), Failed> {
        let bank = BankClient::on(&self.channel);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
            let (from, to) = (number % ACCOUNTS, (number + 1 + thread) % ACCOUNTS);
            self.log.write(number, Word::Wanted)?;
            let word = match bank.transfer(number, from, to, 1 + number % 100) {
                Ok(_) => Word::Returned,
                Err(error) => self.word_on(&error),
            };
            self.log.write(number, word)?;
        }
        Ok(())
    }

    /// What to log of a transfer that failed: a fact, if the server can be brought to say one.
    fn word_on(&self, error: &CallError) -> Word {
        match error.execution() {
            Execution::NotExecuted => Word::NotExecuted,
            Execution::Executed => Word::Failed,
            Execution::Unknown => self.ask(error.call()),
        }
    }

    /// Asks until there is an answer, within reason.
    fn ask(&self, call: CallId) -> Word {
        let until = Instant::now() + ASKING_MAX;
        loop {
            match self.channel.resolve(call) {
                Ok(resolution) => return word(&resolution),
                Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(50)),
                Err(error) => {
                    eprintln!("storm: {call} stays in doubt: {error}");
                    return Word::Unknown;
                }
            }
        }
    }
}

/// What may go wrong in a thread.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

const fn word(resolution: &Resolution) -> Word {
    match resolution {
        Resolution::Returned(_) => Word::Returned,
        Resolution::Failed(_) => Word::Failed,
        Resolution::NotExecuted => Word::NotExecuted,
        _ => Word::Unknown,
    }
}
