//! The oracle: closed-form probabilities against what the simulator counts.
//!
//! A shift of the network's drop rate, or an execution, a retransmission or an outcome that the
//! protocol does not promise, changes shares long before it breaks an invariant.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod chi_square;
mod closed_form;
mod grid;
mod render;
mod world;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use grid::{Check, Finding};

/// Compare exact probabilities with what the simulator counts, by chi-square tests.
///
/// Exit code 1 if a count is too unlikely, a call ended as none may, or an invariant broke. With
/// --bias, which makes the network drop more than the formulas are told: 1 if that is NOT noticed.
#[derive(Parser, Debug)]
#[command(name = "oracle", version)]
struct Cli {
    /// Calls for each combination.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..))]
    calls: u64,
    /// Probabilities that a datagram is dropped, each way.
    #[arg(long, value_delimiter = ',', default_value = "0.05,0.1,0.2,0.3,0.5")]
    drop: Vec<f64>,
    /// Transmissions within the deadline.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,6")]
    transmissions: Vec<u32>,
    /// The seed of it all.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the network drop more by this share than the formulas are told, and see it noticed.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    bias: f64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// More transmissions would outlast the ceiling of the time-out.
const TRANSMISSIONS_MAX: u32 = 12;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("oracle: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<bool, Box<dyn Error>> {
    let likely = |rate: f64| rate > 0.0 && rate < 1.0;
    if let Some(bad) = cli.drop.iter().find(|&&p| !likely(p) || !likely(p * (1.0 + cli.bias))) {
        return Err(format!("--drop {bad}: not between 0 and 1, with the bias and without").into());
    }
    if let Some(bad) = cli.transmissions.iter().find(|&&n| n == 0 || n > TRANSMISSIONS_MAX) {
        return Err(format!("--transmissions {bad}: 1 to {TRANSMISSIONS_MAX} can be tried").into());
    }
    let checks = grid::checks(&cli.drop, &cli.transmissions);
    let findings = run_all(&checks, cli)?;
    let summary = grid::Summary::of(&findings, cli.bias);
    render::print(&findings, &summary, cli.json);
    Ok(summary.passed)
}

/// Runs all checks, on all cores; findings come in the order of the checks.
fn run_all(checks: &[Check], cli: &Cli) -> Result<Vec<Finding>, Box<dyn Error>> {
    let bar = ProgressBar::new(checks.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} checks, {eta} left")?);
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(check) = checks.get(place) else { return };
                    let seed = cli.seed.wrapping_mul(1_000_003).wrapping_add(place as u64);
                    let finding = check.run(cli.calls, seed, cli.bias);
                    findings.lock().expect("nobody panics with the lock").push((place, finding));
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut findings = findings.into_inner().map_err(|_| "a thread panicked")?;
    findings.sort_by_key(|&(place, _)| place);
    Ok(findings.into_iter().map(|(_, finding)| finding).collect())
}
