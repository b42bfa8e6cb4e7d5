//! Seeds, on all cores, to the first histories that nothing explains.

#![expect(clippy::disallowed_methods, reason = "speed is measured by the real clock")]

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::object::Object;
use super::world::{self, Plan, Report};

/// Failing seeds that are told.
const TOLD_MAX: usize = 5;

/// Sums over seeds.
#[derive(Debug, Default)]
struct Sums {
    registers: u64,
    counters: u64,
    calls: u64,
    unknown: u64,
    cut: u64,
    not_linearizable: Vec<u64>,
    broken: Vec<(u64, String)>,
}

impl Sums {
    fn add(&mut self, report: &Report) {
        match report.object {
            Object::Register(_) => self.registers += 1,
            Object::Counter(_) => self.counters += 1,
        }
        self.calls += report.history.calls();
        self.unknown += report.history.unknown();
        self.cut += u64::from(report.history.is_cut());
        if !report.linearizable {
            self.not_linearizable.push(report.seed);
        }
        if let Some(violation) = report.violations.first() {
            self.broken.push((report.seed, violation.clone()));
        }
    }

    fn is_clean(&self) -> bool {
        self.not_linearizable.is_empty() && self.broken.is_empty()
    }
}

/// Runs `count` seeds from `first` on; true if every history is linearizable.
pub(crate) fn run(first: u64, count: u64, plan: Plan, json: bool) -> Result<bool, Box<dyn Error>> {
    let (sums, next) = (Mutex::new(Sums::default()), AtomicU64::new(first));
    let bar = ProgressBar::new(count);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} histories, {per_sec}, {eta} left",
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
                    let report = catch_unwind(AssertUnwindSafe(|| world::run(seed, plan)));
                    let mut sums = sums.lock().expect("nobody panics with the lock");
                    match report {
                        Ok(report) => sums.add(&report),
                        Err(_) => sums.broken.push((seed, "the run panicked".to_owned())),
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut sums = sums.into_inner().map_err(|_| "a thread panicked")?;
    sums.not_linearizable.sort_unstable();
    sums.broken.sort();
    print(&sums, started.elapsed().as_secs_f64(), json);
    Ok(sums.is_clean())
}

fn print(sums: &Sums, seconds: f64, json: bool) {
    let Sums { registers, counters, calls, unknown, cut, not_linearizable, broken } = sums;
    if json {
        println!(
            "{}",
            json!({
                "histories": registers + counters, "registers": registers, "counters": counters,
                "calls": calls, "unknown": unknown, "cut": cut, "seconds": seconds,
                "not_linearizable": not_linearizable.len(),
                "first_failing_seed": not_linearizable.first(), "violations": broken.len(),
            })
        );
        return;
    }
    println!(
        "{} histories in {seconds:.1} s: {registers} of a register, {counters} of a counter",
        registers + counters
    );
    println!("{calls} calls, of which {unknown} stayed unknown: in effect late, or never");
    println!("{cut} histories were judged without their end: too many unknown calls");
    println!("{} not linearizable", not_linearizable.len());
    for seed in not_linearizable.iter().take(TOLD_MAX) {
        println!("  seed {seed}; replay: linearizability --seed {seed}");
    }
    println!("{} with a broken invariant", broken.len());
    for (seed, what) in broken.iter().take(TOLD_MAX) {
        println!("  seed {seed}: {what}");
    }
}

/// Runs one seed, and prints its history; true if it is linearizable.
pub(crate) fn replay(seed: u64, plan: Plan, json: bool) -> bool {
    let report = world::run(seed, plan);
    let Report { object, linearizable, ref violations, ref history, .. } = report;
    if json {
        println!(
            "{}",
            json!({
                "seed": seed, "calls": history.calls(), "unknown": history.unknown(),
                "linearizable": linearizable, "violations": violations,
            })
        );
    } else {
        let verdict = if linearizable { "linearizable" } else { "NOT linearizable" };
        println!("seed {seed}, {object:?}: {verdict}\n{history}");
        violations.iter().for_each(|violation| println!("{violation}"));
    }
    linearizable && violations.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rpc_runtime::Semantics;

    fn sums(semantics: Semantics) -> Sums {
        let mut sums = Sums::default();
        (0..100).for_each(|seed| sums.add(&world::run(seed, Plan { semantics, calls: 12 })));
        sums
    }

    #[test]
    fn at_most_once_is_linearizable() {
        let sums = sums(Semantics::AtMostOnce);
        assert!(sums.is_clean(), "{sums:?}");
        assert!(sums.unknown > 50, "the days are bad enough: {sums:?}");
    }

    #[test]
    fn at_least_once_is_not() {
        let sums = sums(Semantics::AtLeastOnce);
        assert!(sums.not_linearizable.len() > 10, "{sums:?}");
        assert!(sums.broken.is_empty(), "it was promised no more: {sums:?}");
    }
}
