//! Raises the storm, and counts what it showed.

#![expect(clippy::disallowed_methods, reason = "the moments of killing are real time")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_tests::processes::{self, Moments};
use serde::Serialize;

use crate::crowd::Crowd;
use crate::impostors;
use crate::victims::Victims;
use crate::{BinderPart, StoreKind, Storm};

/// How long the binder believes a registration without a renewal.
pub(crate) const LEASE: Duration = Duration::from_millis(1_000);
/// The same where etcd is the store: servers are promised half of it, and that is to be longer than etcd
/// takes to find another leader.
const LEASE_ETCD: Duration = Duration::from_secs(6);

/// Room for all whose answers came too late and who live for such a lease, again with every leader of etcd:
/// how long nobody is registered is not to be a matter of room.
const REGISTRATIONS_ETCD_MAX: u32 = 10_000;

/// What is counted while it blows.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) confirmed: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) renewed: AtomicU64,
    pub(crate) looks: AtomicU64,
    pub(crate) lookups_failed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) resurrected: AtomicU64,
    pub(crate) called: AtomicU64,
    pub(crate) stale_called: AtomicU64,
    pub(crate) is_over: AtomicBool,
    pauses: Mutex<Pauses>,
}

/// How long nobody was registered.
#[derive(Debug, Default)]
struct Pauses {
    last: Option<Instant>,
    longest: Duration,
}

impl Counts {
    /// A registration was confirmed just now.
    pub(crate) fn confirm(&self) {
        self.confirmed.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = pauses.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        pauses.longest = pauses.longest.max(pause);
        pauses.last = Some(now);
    }

    fn longest_pause_ms(&self) -> u64 {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(pauses.longest.as_millis()).unwrap_or(u64::MAX)
    }
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
    /// Lookups that no binder answered.
    lookups_failed: u64,
    /// The longest time between two registrations that were confirmed.
    longest_pause_ms: u64,
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
    if storm.store == StoreKind::Etcd && !rpc_tests::etcd::is_there() {
        return Err("etcd is not installed: on Debian it is in the package etcd-server".into());
    }
    let folder = tempfile::tempdir()?;
    let mut victims = Victims::start(storm, folder.path())?;
    let (urls, list) = (&victims.urls(), &victims.urls().join(","));
    let counts = Counts::default();
    thread::scope(|threads| -> Result<(), Box<dyn Error>> {
        let over = Over(&counts.is_over);
        for number in 0..storm.crowds {
            let crowd = Crowd::new(urls, number, storm.seed, &counts)?;
            threads.spawn(move || crowd.run());
        }
        threads.spawn(|| impostors::run(urls, &counts));
        threads.spawn(|| impostors::call(list, &counts));
        let bar = processes::bar(storm.restarts)?;
        let mut moments = Moments::new(storm.seed);
        for _ in 0..storm.restarts {
            victims.strike(&mut moments)?;
            bar.inc(1);
        }
        let lease = if storm.store == StoreKind::Etcd { LEASE_ETCD } else { LEASE };
        thread::sleep(lease * 2);
        bar.finish_and_clear();
        drop(over);
        Ok(())
    })?;
    Ok(print(storm, &counts))
}

/// Ends the threads, however the storm ends.
struct Over<'c>(&'c AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The binder's part.
pub(crate) fn serve(part: &BinderPart) -> Result<(), Box<dyn Error>> {
    let is_etcd = part.store.starts_with("etcd:");
    let limits = Limits {
        lease: if is_etcd { LEASE_ETCD } else { LEASE },
        // What is only shown makes room often, and lets go of its interface.
        expired_kept: Duration::from_millis(200),
        registrations_max: if is_etcd { REGISTRATIONS_ETCD_MAX } else { 300 },
        ..Limits::default()
    };
    let running = match is_etcd {
        true => daemon::start_before(&part.listen, limits, &part.store)?,
        false => daemon::start_in(&part.listen, limits, Path::new(&part.store))?,
    };
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
        lookups_failed: get(&counts.lookups_failed),
        longest_pause_ms: counts.longest_pause_ms(),
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
            println!("{name:>16} {count}");
        }
    }
    // One binder that is down answers nobody; of several there is always one.
    let failed = if storm.store == StoreKind::Etcd { verdict.lookups_failed } else { 0 };
    let is_kept = verdict.lost + verdict.resurrected + verdict.stale_called + failed == 0;
    let counts = [verdict.confirmed, verdict.ended, verdict.renewed, verdict.looks, verdict.called];
    let has_run = counts.iter().all(|count| *count > 0);
    if is_kept && has_run { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
