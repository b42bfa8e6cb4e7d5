//! Raises the storm, and counts what it showed.

#![expect(clippy::disallowed_methods, reason = "the moments of killing are real time")]

use std::error::Error;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_tests::processes::{self, Moments};
use serde::Serialize;

use crate::crowd::Crowd;
use crate::impostors;
use crate::{BinderPart, Storm};

/// How long the binder believes a registration without a renewal.
pub(crate) const LEASE: Duration = Duration::from_millis(1_000);

/// What is counted while it blows.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) confirmed: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) renewed: AtomicU64,
    pub(crate) looks: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) resurrected: AtomicU64,
    pub(crate) called: AtomicU64,
    pub(crate) stale_called: AtomicU64,
    pub(crate) is_over: AtomicBool,
}

/// What the storm showed.
#[derive(Debug, Serialize)]
struct Verdict {
    restarts: u32,
    /// Registrations that the binder confirmed.
    confirmed: u64,
    /// Ends of registrations that it confirmed.
    ended: u64,
    /// Registrations that were seen to be gone because nobody renewed them.
    expired: u64,
    renewed: u64,
    looks: u64,
    /// Confirmed, renewed in time, and not there.
    lost: u64,
    /// Gone, and there again.
    resurrected: u64,
    /// Calls by way of the binder that succeeded.
    called: u64,
    /// Calls that reached a server at the address of another.
    stale_called: u64,
}

/// Runs the storm and prints its verdict; fails if a promise was broken.
pub(crate) fn run(storm: &Storm) -> Result<ExitCode, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let url = processes::lasting_place(7_000);
    let mut binder = start(&url, folder.path())?;
    let counts = Counts::default();
    thread::scope(|threads| -> Result<(), Box<dyn Error>> {
        let over = Over(&counts.is_over);
        for number in 0..storm.crowds {
            let crowd = Crowd::new(&url, number, storm.seed, &counts)?;
            threads.spawn(move || crowd.run());
        }
        threads.spawn(|| impostors::run(&url, &counts));
        threads.spawn(|| impostors::call(&url, &counts));
        let bar = processes::bar(storm.restarts)?;
        let mut moments = Moments::new(storm.seed);
        for _ in 0..storm.restarts {
            // Now and then it lives long enough for leases to end.
            let life = if moments.below(10) == 0 { 1_500 } else { 5 + moments.below(150) };
            thread::sleep(Duration::from_millis(life));
            binder.kill()?;
            binder.wait()?;
            binder = start(&url, folder.path())?;
            bar.inc(1);
        }
        thread::sleep(LEASE * 2);
        bar.finish_and_clear();
        drop(over);
        Ok(())
    })?;
    binder.kill()?;
    binder.wait()?;
    Ok(print(storm, &counts))
}

/// Ends the threads, however the storm ends.
struct Over<'c>(&'c AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn start(url: &str, folder: &Path) -> Result<Child, Box<dyn Error>> {
    let store = folder.join("store");
    let store = store.to_str().ok_or("the folder's name is no text")?;
    processes::start_server(&["binder", "--listen", url, "--store", store])
}

/// The binder's part.
pub(crate) fn serve(part: &BinderPart) -> Result<(), Box<dyn Error>> {
    let limits = Limits {
        lease: LEASE,
        // What is only shown makes room often, and lets go of its interface.
        expired_kept: Duration::from_millis(200),
        registrations_max: 300,
        ..Limits::default()
    };
    let running = daemon::start_in(&part.listen, limits, &part.store)?;
    println!("{}", running.url());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn print(storm: &Storm, counts: &Counts) -> ExitCode {
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let verdict = Verdict {
        restarts: storm.restarts,
        confirmed: get(&counts.confirmed),
        ended: get(&counts.ended),
        expired: get(&counts.expired),
        renewed: get(&counts.renewed),
        looks: get(&counts.looks),
        lost: get(&counts.lost),
        resurrected: get(&counts.resurrected),
        called: get(&counts.called),
        stale_called: get(&counts.stale_called),
    };
    let row = serde_json::to_value(&verdict).expect("numbers become JSON");
    if storm.json {
        println!("{row}");
    } else {
        for (name, count) in row.as_object().into_iter().flatten() {
            println!("{name:>14} {count}");
        }
    }
    let is_kept = verdict.lost + verdict.resurrected + verdict.stale_called == 0;
    let counts = [verdict.confirmed, verdict.ended, verdict.renewed, verdict.looks, verdict.called];
    let has_run = counts.iter().all(|count| *count > 0);
    if is_kept && has_run { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
