//! A tour of the binder, with real processes: a binder, three servers of two versions of one service, and
//! a client that makes thousands of calls. Each stop holds a promise against what is counted.
//!
//! The client is this process; the others are this program again, in another part ([`binder`],
//! [`server`]).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod binder;
mod cost;
mod load;
mod report;
mod server;
mod shop;
mod stops;
mod town;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, value_parser};

/// See what the binder promises, and whether it is kept.
#[derive(Parser, Debug)]
#[command(name = "binder_tour", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit code: 0 every promise was kept, 1 one was broken or something failed."
)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    tour: Tour,
}

/// How long it takes.
#[derive(Args, Debug)]
struct Tour {
    /// Calls at each stop.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(300..=1_000_000))]
    calls: u64,
    /// Threads that make them.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=256))]
    threads: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// The binder; started by the tour.
    #[command(hide = true)]
    Binder(BinderPart),
    /// A server; started by the tour.
    #[command(hide = true)]
    Server(ServerPart),
}

/// The binder's part.
#[derive(Args, Debug)]
struct BinderPart {
    #[arg(long)]
    listen: String,
    /// Where its registrations last.
    #[arg(long)]
    store: PathBuf,
}

/// A server's part.
#[derive(Args, Debug)]
struct ServerPart {
    #[arg(long)]
    binder: String,
    /// Which server it is.
    #[arg(long)]
    number: u32,
    /// Which version of the shop it serves: 1.0 or 1.1.
    #[arg(long)]
    version: String,
    /// Where it writes down every sale, to be read when it is dead.
    #[arg(long)]
    ledger: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.part {
        Some(Part::Binder(part)) => binder::serve(part).map(|()| true),
        Some(Part::Server(part)) => server::serve(part).map(|()| true),
        None => tour(&cli.tour),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("binder_tour: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
fn tour(tour: &Tour) -> Result<bool, Box<dyn Error>> {
    let mut town = town::Town::open()?;
    if !tour.json {
        println!("{}", town.listed()?);
    }
    let mut is_kept = true;
    for stop in stops::ALL {
        let seen = stop(&mut town, tour)?;
        is_kept &= seen.is_kept();
        println!("{}", if tour.json { seen.json() } else { seen.text() });
    }
    Ok(is_kept)
}
