//! The two parts that the storm starts as processes of their own.

#![expect(clippy::disallowed_methods, reason = "lateness is judged by the client's own clock")]

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rpc_runtime::driver::World;
use rpc_runtime::fault::Faults;
use rpc_runtime::reactor::{self, Faulty};
use rpc_runtime::{Channel, Execution, Options, Server};

use crate::service::{Counter, CounterClient, CounterService, Journalled};

/// The server's part.
#[derive(Args, Debug)]
pub(crate) struct ServerPart {
    /// The place to serve at.
    #[arg(long)]
    at: String,
    /// The journal.
    #[arg(long)]
    journal: PathBuf,
    /// Share of datagrams lost on sending.
    #[arg(long)]
    drop: f64,
    /// Seed of the losses.
    #[arg(long)]
    seed: u64,
}

/// A client's part.
#[derive(Args, Debug)]
pub(crate) struct ClientPart {
    /// Where the server is.
    #[arg(long)]
    at: String,
    /// Which client this is.
    #[arg(long)]
    number: u64,
    /// Where to log what was told.
    #[arg(long)]
    log: PathBuf,
    /// Share of datagrams lost on sending.
    #[arg(long)]
    drop: f64,
    /// Seed of the losses.
    #[arg(long)]
    seed: u64,
}

/// What a client was told of a call, as logged: one byte.
pub(crate) const OK: u8 = 0;
pub(crate) const NOT_EXECUTED: u8 = 1;
pub(crate) const EXECUTED: u8 = 2;
pub(crate) const UNKNOWN: u8 = 3;

/// Bytes of one log entry: number, verdict, microseconds past the deadline.
pub(crate) const ENTRY_BYTES: usize = 8 + 1 + 8;

/// How long a client waits for one call.
const PATIENCE: Duration = Duration::from_millis(400);

pub(crate) fn world(drop: f64, seed: u64) -> Arc<dyn World> {
    Faulty::new(reactor::world(), Faults::default().loss(drop), seed).world()
}

/// Serves until killed.
pub(crate) fn serve(part: &ServerPart) -> Result<(), Box<dyn Error>> {
    let counter = Journalled::open(&part.journal)?;
    let world = world(part.drop, part.seed);
    let server = Server::bind_in(&world, &part.at)?.export(CounterService::new(counter)).spawn()?;
    println!("{}", server.url());
    io::stdout().flush()?;
    wait_for_end_of_input();
    Ok(())
}

/// Calls until the standard input ends.
pub(crate) fn call(part: &ClientPart) -> Result<(), Box<dyn Error>> {
    let mut log = BufWriter::new(File::create(&part.log)?);
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = Arc::clone(&stop);
    thread::spawn(move || {
        wait_for_end_of_input();
        stopper.store(true, Ordering::Relaxed);
    });
    let channel = Channel::connect_in(&world(part.drop, part.seed), &part.at)?;
    let counter = CounterClient::on(&channel).with(Options::new().timeout(PATIENCE));
    let mut number = part.number << 32;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let started = Instant::now();
        let verdict = match counter.count(number) {
            Ok(_) => OK,
            Err(error) => match error.execution() {
                Execution::NotExecuted => NOT_EXECUTED,
                Execution::Executed => EXECUTED,
                Execution::Unknown => UNKNOWN,
            },
        };
        let late = started.elapsed().saturating_sub(PATIENCE).as_micros();
        log.write_all(&number.to_le_bytes())?;
        log.write_all(&[verdict])?;
        log.write_all(&u64::try_from(late)?.to_le_bytes())?;
    }
    log.flush()?;
    Ok(())
}

/// Blocks until the parent closes the pipe, or dies.
pub(crate) fn wait_for_end_of_input() {
    let mut nothing = [0; 64];
    while io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
}
