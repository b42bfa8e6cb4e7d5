//! Mutation testing of layers 1 and 2 by one resumable command: `cargo mutants` changes the code in
//! small ways, and the tests should notice.
//!
//! A mutant meets the unit tests of both layers first, which take seconds; only what they miss meets
//! the scenarios. What is done is kept, so that a run goes on where the last one stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod ledger;
mod render;
mod sample;
mod tool;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use ledger::Ledger;
use sample::{Key, Mutant};
use tool::{Round, Tool};

/// Change the protocol's code in small ways, one at a time, and count how many the tests notice.
///
/// Takes a quarter of a minute for each mutant, and goes on where the last run stopped. Exit code 1
/// if too few are noticed.
#[derive(Parser, Debug)]
#[command(name = "mutants", version)]
struct Cli {
    /// How many mutants are drawn; a small sample is the beginning of a large one.
    #[arg(long, default_value_t = 200)]
    sample: usize,
    /// What they are drawn by.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share, in percent, that must be noticed.
    #[arg(long, default_value_t = 90.0)]
    at_least: f64,
    /// Run again what was missed or timed out: after tests were added.
    #[arg(long)]
    retry: bool,
    /// Forget all results first.
    #[arg(long)]
    fresh: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How often results are looked for.
const LOOK: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<bool, Box<dyn Error>> {
    let tool = Tool::ready()?;
    let mutants = sample::keyed(tool.list()?);
    let drawn = sample::draw(&mutants, cli.sample, cli.seed);
    let mut ledger = Ledger::open(cli.fresh, cli.retry)?;
    let bar = ProgressBar::new(drawn.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} mutants, {msg}, {elapsed} so far, {eta} left",
    )?);
    for round in [Round::Units, Round::Scenarios] {
        bar.set_message(round.word());
        run_round(&tool, round, &mutants, &drawn, &mut ledger, &bar)?;
    }
    bar.finish_and_clear();
    let report = render::Report::of(&mutants, &drawn, &ledger);
    render::print(&report, cli.json);
    Ok(report.share() * 100.0 >= cli.at_least)
}

/// Runs what of the sample has yet to meet this round.
fn run_round(
    tool: &Tool,
    round: Round,
    mutants: &BTreeMap<Key, Mutant>,
    drawn: &[Key],
    ledger: &mut Ledger,
    bar: &ProgressBar,
) -> Result<(), Box<dyn Error>> {
    let pending = |ledger: &Ledger| -> Vec<Key> {
        drawn.iter().copied().filter(|&key| ledger.known(key).next() == Some(round)).collect()
    };
    let keys: BTreeMap<&str, Key> =
        mutants.iter().map(|(&key, mutant)| (mutant.name.as_str(), key)).collect();
    let todo: Vec<&Mutant> = pending(ledger).iter().filter_map(|key| mutants.get(key)).collect();
    if todo.is_empty() {
        return Ok(());
    }
    let mut child = tool.start(round, &todo)?;
    loop {
        let ended = child.try_wait()?;
        for (name, verdict) in tool.verdicts() {
            if let Some(&key) = keys.get(name.as_str()) {
                ledger.note(key, round, verdict)?;
            }
        }
        let done = drawn.iter().filter(|&&key| ledger.known(key).verdict().is_some()).count();
        bar.set_position(done as u64);
        match ended {
            // Whatever its code: that some were missed is no failure of the tool.
            Some(_) if pending(ledger).is_empty() => return Ok(()),
            Some(status) => {
                let (left, words) = (pending(ledger).len(), tool.last_words());
                let why = format!("it stopped ({status}) with {left} mutants to do:\n{words}");
                return Err(why.into());
            }
            None => rest(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for another process")]
fn rest() {
    std::thread::sleep(LOOK);
}
