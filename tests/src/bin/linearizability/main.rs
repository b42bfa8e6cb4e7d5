//! Linearizability: what clients of a register and of a counter saw, over crashes, partitions and
//! faults, must be explained by some order of their calls (Herlihy & Wing 1990).
//!
//! The judge is stateright's tester, which knows nothing of calls, sessions or invariants; so it
//! would notice what the checker's authors did not think of.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod history;
mod object;
mod planted;
mod seeds;
mod world;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rpc_runtime::Semantics;

use world::Plan;

/// Check that histories of a register and of a counter are linearizable, over many seeds of crashes,
/// partitions and faults.
///
/// Exit code 1 if one is not, or an invariant broke; with --planted, if the bug was NOT noticed.
#[derive(Parser, Debug)]
#[command(name = "linearizability", version)]
struct Cli {
    /// How many seeds, each a history of its own.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replay this seed alone, and print its history.
    #[arg(long)]
    seed: Option<u64>,
    /// Calls of a history.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=18))]
    calls: u64,
    /// What the method promises: with at_least_once a counter is NOT linearizable.
    #[arg(long, value_enum, default_value_t = Promise::AtMostOnce)]
    semantics: Promise,
    /// Plant a bug by name in a copy of the sources, and see it noticed.
    #[arg(long)]
    planted: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Promise {
    AtLeastOnce,
    AtMostOnce,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let semantics = match cli.semantics {
        Promise::AtLeastOnce => Semantics::AtLeastOnce,
        Promise::AtMostOnce => Semantics::AtMostOnce,
    };
    let plan = Plan { semantics, calls: cli.calls };
    let result = match (&cli.planted, cli.seed) {
        (Some(name), _) => planted::hunt(name, cli.seeds, cli.json),
        (None, Some(seed)) => Ok(seeds::replay(seed, plan, cli.json)),
        (None, None) => seeds::run(cli.first, cli.seeds, plan, cli.json),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("linearizability: {error}");
            ExitCode::from(2)
        }
    }
}
