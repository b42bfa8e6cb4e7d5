//! Seeds, on all cores, to the first ones that fail.

#![expect(clippy::disallowed_methods, reason = "speed is measured by the real clock")]

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rpc_tests::campaign::{self, Knobs, Report};

/// Failing seeds that are told.
const TOLD_MAX: usize = 5;
/// Events of a trace that are printed.
const TRACE_LINES: usize = 400;
/// Every so-many-th seed is run twice, for its hash.
const TWICE: u64 = 32;

/// Sums over seeds.
#[derive(Debug, Default)]
struct Sums {
    calls: u64,
    unknown: u64,
    violations: u64,
    failed: Vec<Report>,
    panicked: Vec<u64>,
}

/// Runs `count` seeds from `first` on; true if nothing was broken.
pub(crate) fn run(
    first: u64,
    count: u64,
    knobs: Knobs,
    json: bool,
) -> Result<bool, Box<dyn Error>> {
    let sums = Mutex::new(Sums::default());
    let next = AtomicU64::new(first);
    let bar = ProgressBar::new(count);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left",
    )?);
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    one(seed, knobs, &sums);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let mut sums = sums.into_inner().map_err(|_| "a thread panicked")?;
    sums.failed.sort_by_key(|report| report.seed);
    print(&sums, count, seconds, json);
    Ok(sums.violations == 0 && sums.panicked.is_empty())
}

fn one(seed: u64, knobs: Knobs, sums: &Mutex<Sums>) {
    let run = catch_unwind(AssertUnwindSafe(|| {
        let report = campaign::run(seed, 0, knobs);
        let differs = seed.is_multiple_of(TWICE)
            && campaign::run(seed, 0, knobs).trace_hash != report.trace_hash;
        (report, differs)
    }));
    let mut sums = sums.lock().expect("nobody panics with the lock");
    match run {
        Ok((report, differs)) => {
            sums.calls += report.tally.calls;
            sums.unknown += report.tally.unknown;
            sums.violations += report.violations.len() as u64 + u64::from(differs);
            if differs {
                sums.panicked.push(seed);
            }
            if !report.violations.is_empty() {
                sums.failed.push(report);
            }
        }
        Err(_) => {
            sums.violations += 1;
            sums.panicked.push(seed);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn print(sums: &Sums, seeds: u64, seconds: f64, json: bool) {
    let rate = sums.calls as f64 / seconds;
    let first = sums.failed.first().map(|report| (report.seed, &report.violations[0]));
    if json {
        let first_seed = first.map(|(seed, _)| seed).or_else(|| sums.panicked.first().copied());
        let invariant = first.map(|(_, violation)| violation.invariant);
        println!(
            "{}",
            serde_json::json!({
                "seeds": seeds, "calls": sums.calls, "calls_per_second": rate.round(),
                "violations": sums.violations, "unknown": sums.unknown, "seconds": seconds,
                "first_failing_seed": first_seed, "first_invariant": invariant,
            })
        );
        return;
    }
    println!(
        "{seeds} seeds, {} calls ({} unknown), {rate:.0} calls a second",
        sums.calls, sums.unknown
    );
    println!("{} violations", sums.violations);
    for report in sums.failed.iter().take(TOLD_MAX) {
        println!("seed {}: {}", report.seed, report.violations[0]);
        println!("  replay: campaign --seed {} --trace", report.seed);
    }
    for seed in sums.panicked.iter().take(TOLD_MAX) {
        println!(
            "seed {seed}: panicked, or gave two traces; replay: campaign --seed {seed} --trace"
        );
    }
}

/// Runs one seed; true if nothing was broken.
pub(crate) fn replay(seed: u64, knobs: Knobs, trace: bool, json: bool) -> bool {
    let report = campaign::run(seed, if trace { TRACE_LINES } else { 0 }, knobs);
    for line in &report.trace {
        println!("{line}");
    }
    if json {
        println!(
            "{}",
            serde_json::json!({
                "seed": seed, "calls": report.tally.calls, "violations": report.violations.len(),
                "trace_hash": format!("{:016x}", report.trace_hash),
            })
        );
    } else {
        println!("seed {seed}: {:?}, trace hash {:016x}", report.tally, report.trace_hash);
        for violation in &report.violations {
            println!("{violation}");
        }
    }
    report.violations.is_empty()
}
