//! The storm: real processes on this machine, datagrams lost each way (over streams too), the server killed again and
//! again while clients call an `at_most_once` counter; or server and clients, while money is
//! transferred `exactly_once` (see [`transfers`]).
//!
//! Each execution is appended to the server's journal before the handler returns; each client logs
//! what it was told. In the end journal and verdicts must agree: no call ran twice, none that was
//! told `NotExecuted` ran, none ended late. SIGKILL cannot take back an append that was made, so
//! the journal is the truth. One binary plays all parts: it starts itself as server and clients.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod judge;
mod parts;
mod service;
mod transfers;
mod transport;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use transfers::StoreKind;
use transport::Transport;

/// Kill a real server again and again, and hold the clients' verdicts against its journal.
#[derive(Parser, Debug)]
#[command(name = "storm", version)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    storm: Storm,
}

/// What is called in the storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Semantics {
    /// A counter; its server is killed.
    #[value(name = "at_most_once")]
    AtMostOnce,
    /// A bank; its server and its clients are killed.
    #[value(name = "exactly_once")]
    ExactlyOnce,
}

/// How hard it blows.
#[derive(Args, Debug)]
struct Storm {
    /// What is called.
    #[arg(long, value_enum, default_value = "at_most_once")]
    semantics: Semantics,
    /// What carries the calls.
    #[arg(long, value_enum, default_value = "udp")]
    transport: Transport,
    /// Where an `exactly_once` bank keeps its money.
    #[arg(long, value_enum, default_value = "redb")]
    store: StoreKind,
    /// How often a process is killed and restarted.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Client processes.
    #[arg(long, default_value_t = 4)]
    clients: u32,
    /// Share of datagrams lost, each way.
    #[arg(long, default_value_t = 0.1)]
    drop: f64,
    /// Seed of the faults and of the moments of killing.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// The counter's server; started by the storm.
    #[command(hide = true)]
    Server(parts::ServerPart),
    /// A client; started by the storm.
    #[command(hide = true)]
    Client(parts::ClientPart),
    /// The bank's server; started by the storm.
    #[command(hide = true)]
    Bank(transfers::BankPart),
    /// A client of the bank; started by the storm.
    #[command(hide = true)]
    Teller(transfers::TellerPart),
}

/// How late a call may end by its client's clock.
const LATE_MAX: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Server(part)) => parts::serve(&part).map(|()| ExitCode::SUCCESS),
        Some(Part::Client(part)) => parts::call(&part).map(|()| ExitCode::SUCCESS),
        Some(Part::Bank(part)) => transfers::serve(&part).map(|()| ExitCode::SUCCESS),
        Some(Part::Teller(part)) => {
            transfers::call(&part).map(|()| ExitCode::SUCCESS).map_err(|error| error as _)
        }
        None => match cli.storm.semantics {
            Semantics::AtMostOnce => judge::run(&cli.storm),
            Semantics::ExactlyOnce => transfers::run(&cli.storm),
        },
    };
    result.unwrap_or_else(|error| {
        eprintln!("storm: {error}");
        ExitCode::FAILURE
    })
}
