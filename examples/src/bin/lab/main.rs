//! The lab: call semantics compared under injected faults, simulated and on real sockets.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod experiment;
mod render;
mod simulated;
mod sockets;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rpc_runtime::fault::Faults;

use experiment::{Experiment, Row, SEMANTICS};

/// Compare what calls promise with what happens, under faults of your choice.
#[derive(Parser, Debug)]
#[command(name = "lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Every call semantics under every mix of faults (the default).
    Compare(Compare),
}

/// What to compare.
#[derive(Args, Debug)]
struct Compare {
    /// Where: in the simulator, on real UDP sockets, or both.
    #[arg(long, value_enum, default_value = "both")]
    world: WorldChoice,
    /// Calls in each row.
    #[arg(long, default_value_t = 2_000)]
    calls: u64,
    /// Seed of the faults.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One mix of faults instead of the usual ones: `none`, or such as
    /// `drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01,delay=1ms..5ms`.
    #[arg(long)]
    faults: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorldChoice {
    /// The simulator.
    Sim,
    /// Real UDP sockets.
    Udp,
    /// One after the other.
    Both,
}

/// The usual mixes of faults.
const MIXES: [&str; 4] = [
    "none",
    "drop=0.1",
    "duplicate=0.2,reorder=0.3",
    "drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01",
];

fn main() -> ExitCode {
    let compare = match Cli::parse().command {
        Some(Command::Compare(compare)) => compare,
        None => {
            Compare { world: WorldChoice::Both, calls: 2_000, seed: 7, faults: None, json: false }
        }
    };
    match run(&compare) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs all rows; true if no invariant was violated.
fn run(compare: &Compare) -> Result<bool, Box<dyn Error>> {
    let experiments = experiments(compare)?;
    let bar = ProgressBar::new(experiments.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let mut rows = Vec::new();
    for experiment in &experiments {
        bar.set_message(format!("{} {}", experiment.world, experiment.semantics));
        let row = match experiment.world {
            "sim" => simulated::run(experiment),
            _ => sockets::run(experiment)?,
        };
        if compare.json {
            println!("{}", serde_json::to_string(&row)?);
        }
        rows.push(row);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !compare.json {
        println!("{}", render::table(&rows));
        println!("{}", render::summary(&rows));
    }
    Ok(rows.iter().all(Row::is_clean))
}

fn experiments(compare: &Compare) -> Result<Vec<Experiment>, Box<dyn Error>> {
    let worlds: &[&'static str] = match compare.world {
        WorldChoice::Sim => &["sim"],
        WorldChoice::Udp => &["udp"],
        WorldChoice::Both => &["sim", "udp"],
    };
    let mixes: Vec<&str> = compare.faults.as_deref().map_or(MIXES.to_vec(), |mix| vec![mix]);
    let mut experiments = Vec::new();
    for &world in worlds {
        for mix in &mixes {
            let faults: Faults = mix.parse()?;
            for semantics in SEMANTICS {
                let (calls, seed) = (compare.calls, compare.seed);
                experiments.push(Experiment { world, semantics, faults, calls, seed });
            }
        }
    }
    Ok(experiments)
}
