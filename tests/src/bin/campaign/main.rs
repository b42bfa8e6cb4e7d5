//! The campaign: many seeds of bad days, judged by the checker; and the planted bugs that it must
//! catch.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod bugs;
mod seeds;

use std::process::ExitCode;

use clap::Parser;
use rpc_tests::campaign::{Calls, Knobs, Orphans, Transport};
use seeds::Extent;

/// Simulate crashes, restarts, partitions and faults of every kind over many seeds.
#[derive(Parser, Debug)]
#[command(name = "campaign", version)]
struct Cli {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replay this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: print the last events.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Which calls are made: all, large, maybe, `at_least_once`, `at_most_once` or `exactly_once`.
    #[arg(long, default_value = "all")]
    semantics: Calls,
    /// What servers do about orphans: all (each method something else), default, expiration, gentle,
    /// reincarnation or extermination.
    #[arg(long, default_value = "all")]
    orphans: Orphans,
    /// What carries the calls: udp, tcp, unix or shm.
    #[arg(long, default_value_t)]
    transport: Transport,
    /// Go on, over as many seeds as it takes, until so many large messages were delivered whole and every
    /// kind of fault has happened.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "planted"])]
    messages: Option<u64>,
    /// Plant a bug by name, or `all`, in a copy of the sources, and see it caught.
    #[arg(long)]
    planted: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let knobs = Knobs { calls: cli.semantics, orphans: cli.orphans, transport: cli.transport };
    let extent = cli.messages.map_or(Extent::Seeds(cli.seeds), Extent::Messages);
    let result = match (&cli.planted, cli.seed) {
        (Some(name), _) => bugs::hunt(name, cli.seeds.min(1_000), cli.json),
        (None, Some(seed)) => Ok(seeds::replay(seed, knobs, cli.trace, cli.json)),
        (None, None) => seeds::run(cli.first, extent, knobs, cli.json),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("campaign: {error}");
            ExitCode::FAILURE
        }
    }
}
