//! Seeds, on all cores, to the first ones that fail.

#![expect(clippy::disallowed_methods, reason = "speed is measured by the real clock")]

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rpc_tests::campaign::{self, Calls, Happened, Knobs, Report, Transport};

/// Failing seeds that are told.
const TOLD_MAX: usize = 5;
/// Events of a trace that are printed.
const TRACE_LINES: usize = 400;
/// Every so-many-th seed is run twice, for its hash.
const TWICE: u64 = 32;

/// How long a campaign is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// So many seeds.
    Seeds(u64),
    /// As many as it takes for so many large messages to come whole.
    Messages(u64),
}

/// Sums over seeds.
#[derive(Debug, Default)]
struct Sums {
    seeds: u64,
    calls: u64,
    unknown: u64,
    messages: u64,
    corrupted: u64,
    happened: Happened,
    violations: u64,
    failed: Vec<Report>,
    panicked: Vec<u64>,
}

impl Sums {
    /// Whether all was done that was asked for.
    fn reach(&self, extent: Extent) -> bool {
        match extent {
            Extent::Seeds(seeds) => self.seeds >= seeds,
            Extent::Messages(messages) => self.messages >= messages || self.violations > 0,
        }
    }
}

/// Runs seeds from `first` on; true if nothing was broken, and nothing was left out.
pub(crate) fn run(
    first: u64,
    extent: Extent,
    knobs: Knobs,
    json: bool,
) -> Result<bool, Box<dyn Error>> {
    let sums = Mutex::new(Sums::default());
    let next = AtomicU64::new(first);
    let (goal, what) = match extent {
        Extent::Seeds(seeds) => (seeds, "seeds"),
        Extent::Messages(messages) => (messages, "messages"),
    };
    let bar = ProgressBar::new(goal);
    bar.set_style(ProgressStyle::with_template(&format!(
        "{{bar:40}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left"
    ))?);
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let is_over = |seed| match extent {
        Extent::Seeds(seeds) => seed >= first + seeds,
        Extent::Messages(_) => sums.lock().is_ok_and(|sums| sums.reach(extent)),
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if is_over(seed) {
                        return;
                    }
                    let messages = one(seed, knobs, &sums);
                    bar.inc(if matches!(extent, Extent::Seeds(_)) { 1 } else { messages });
                }
            });
        }
    });
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let mut sums = sums.into_inner().map_err(|_| "a thread panicked")?;
    sums.failed.sort_by_key(|report| report.seed);
    let missing = sums.missing(extent, knobs.transport);
    print(&sums, knobs, seconds, json);
    if !missing.is_empty() {
        eprintln!("campaign: never happened: {}", missing.join(", "));
    }
    Ok(sums.violations == 0 && sums.panicked.is_empty() && missing.is_empty())
}

impl Sums {
    /// The kinds of faults that messages were to meet, and did not.
    fn missing(&self, extent: Extent, transport: Transport) -> Vec<&'static str> {
        if matches!(extent, Extent::Seeds(_)) {
            return Vec::new();
        }
        let kinds = self.happened.kinds(transport).into_iter();
        kinds.filter(|(_, times)| *times == 0).map(|(kind, _)| kind).collect()
    }
}

/// Runs one seed; gives the large messages that came whole.
fn one(seed: u64, knobs: Knobs, sums: &Mutex<Sums>) -> u64 {
    let run = catch_unwind(AssertUnwindSafe(|| {
        let report = campaign::run(seed, 0, knobs);
        let differs = seed.is_multiple_of(TWICE)
            && campaign::run(seed, 0, knobs).trace_hash != report.trace_hash;
        (report, differs)
    }));
    let mut sums = sums.lock().expect("nobody panics with the lock");
    sums.seeds += 1;
    match run {
        Ok((report, differs)) => {
            let messages = report.messages;
            sums.calls += report.tally.calls;
            sums.unknown += report.tally.unknown;
            sums.messages += messages;
            sums.corrupted += report.corrupted;
            sums.happened += report.happened;
            sums.violations += report.violations.len() as u64 + u64::from(differs);
            if differs {
                sums.panicked.push(seed);
            }
            if !report.violations.is_empty() {
                sums.failed.push(report);
            }
            messages
        }
        Err(_) => {
            sums.violations += 1;
            sums.panicked.push(seed);
            0
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn print(sums: &Sums, knobs: Knobs, seconds: f64, json: bool) {
    let rate = sums.calls as f64 / seconds;
    let first = sums.failed.first().map(|report| (report.seed, &report.violations[0]));
    let kinds = sums.happened.kinds(knobs.transport);
    if json {
        let first_seed = first.map(|(seed, _)| seed).or_else(|| sums.panicked.first().copied());
        let invariant = first.map(|(_, violation)| violation.invariant);
        let faults: BTreeMap<_, _> = kinds.into_iter().collect();
        println!(
            "{}",
            serde_json::json!({
                "transport": knobs.transport.word(), "seeds": sums.seeds, "calls": sums.calls,
                "calls_per_second": rate.round(), "violations": sums.violations,
                "unknown": sums.unknown, "messages": sums.messages, "corrupted": sums.corrupted,
                "faults": faults, "seconds": seconds, "first_failing_seed": first_seed,
                "first_invariant": invariant,
            })
        );
        return;
    }
    println!(
        "{}: {} seeds, {} calls ({} unknown), {rate:.0} calls a second",
        knobs.transport, sums.seeds, sums.calls, sums.unknown
    );
    println!("{} large messages delivered whole, {} corrupted", sums.messages, sums.corrupted);
    let faults: Vec<String> = kinds.iter().map(|(kind, times)| format!("{times} {kind}")).collect();
    println!("faults: {}", faults.join(", "));
    println!("{} violations", sums.violations);
    let replay = replay_options(knobs);
    for report in sums.failed.iter().take(TOLD_MAX) {
        println!("seed {}: {}", report.seed, report.violations[0]);
        println!("  replay: campaign --seed {} --trace{replay}", report.seed);
    }
    for seed in sums.panicked.iter().take(TOLD_MAX) {
        println!(
            "seed {seed}: panicked, or gave two traces; \
             replay: campaign --seed {seed} --trace{replay}"
        );
    }
}

/// The options that make a seed's day what it was.
fn replay_options(knobs: Knobs) -> String {
    let calls = match knobs.calls {
        Calls::All => String::new(),
        Calls::Large => " --semantics large".to_owned(),
        Calls::Only(semantics) => format!(" --semantics {}", semantics.word()),
    };
    let transport = match knobs.transport {
        Transport::Udp => String::new(),
        Transport::Tcp | Transport::Unix | Transport::Shm => {
            format!(" --transport {}", knobs.transport)
        }
    };
    calls + &transport
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
