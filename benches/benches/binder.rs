//! The binder beside rpcbind and etcd, in one run: lookups, durable registrations, renewals; what lookups
//! cost as the table grows, and how many a call needs. And what a million leases take, and how long it
//! takes until 10,000 watchers know.
//!
//! The binder, a raw UDP echo, rpcbind and etcd are processes of their own, callers are this one. rpcbind is asked by its
//! own protocol over UDP (RFC 1833, version 2: `GETPORT`), etcd through its JSON gateway over 64
//! connections, each flushed by its own means: a registration is a lease and a key with it, as whoever
//! registers servers with etcd does it; bare puts stand beside them. Lookups one after the other are made
//! from another processor than the one that answers. Where one of them is not installed, or may not be
//! started, it is left out and the line says so. Contestants take turns; figures are medians of rounds.
//! `lookups`, `registrations`, `leases` or `watchers` behind the `--` show these parts only.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and owns its threads")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

#[path = "binder/apart.rs"]
mod apart;
#[path = "binder/etcd.rs"]
mod etcd;
#[path = "binder/leases.rs"]
mod leases;
#[path = "binder/ours.rs"]
mod ours;
#[path = "binder/raw.rs"]
mod raw;
#[path = "binder/rpcbind.rs"]
mod rpcbind;
#[path = "binder/watchers.rs"]
mod watchers;

use std::env;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use apart::Apart;
use benches::median;
use serde::Serialize;

/// Rounds; the median counts.
const ROUNDS: usize = 5;
/// How long a contestant's turn takes.
const TURN: Duration = Duration::from_millis(400);
/// Into how many short ones a turn is cut where contestants wait for each single answer.
const TURNS: u32 = 10;
/// Callers at a time, or calls under way.
const TOGETHER: usize = 64;
/// Entries in the tables that are looked up in.
const TABLES: [u64; 3] = [100, 10_000, 100_000];

type Trouble = Box<dyn Error>;

/// Lookups in a table of so many entries.
#[derive(Debug, Serialize)]
struct Lookups {
    entries: u64,
    /// With 64 under way.
    lookups_per_second: f64,
    /// So many times those of rpcbind in the same run.
    lookups_to_rpcbind: Option<f64>,
    /// One after the other: microseconds, and so many times a raw UDP echo.
    lookup_us: f64,
    lookup_to_echo: f64,
}

/// What is kept, and kept up.
#[derive(Debug, Serialize)]
struct Registrations {
    registrations_per_second: f64,
    /// So many times those of etcd in the same run: a lease and a key with it.
    registrations_to_etcd: Option<f64>,
    /// So many times etcd's puts of keys that stay.
    registrations_to_etcd_puts: Option<f64>,
    renewals_per_second: f64,
    lookups_per_call: f64,
}

fn main() -> Result<(), Trouble> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["serve", store] = words[..] {
        return ours::serve(Path::new(store));
    }
    if words == ["echo"] {
        return raw::serve();
    }
    let json = words.contains(&"--json");
    let parts = ["lookups", "registrations", "leases", "watchers"];
    let is_wanted = |part| words.contains(&part) || !words.iter().any(|word| parts.contains(word));
    if is_wanted("lookups") {
        show_lookups(json)?;
    }
    if is_wanted("registrations") {
        show_registrations(json)?;
    }
    if is_wanted("leases") {
        leases::show(json)?;
    }
    if is_wanted("watchers") {
        watchers::show(json)?;
    }
    Ok(())
}

fn show_lookups(json: bool) -> Result<(), Trouble> {
    let rpcbind = left_out("rpcbind", rpcbind::Rpcbind::start());
    for entries in TABLES {
        let row = lookups(entries, rpcbind.as_ref())?;
        if json {
            println!("{}", serde_json::to_string(&row)?);
        } else {
            let beside = times(row.lookups_to_rpcbind, "rpcbind's");
            println!(
                "{entries:>7} entries: {:.0} lookups a second with {TOGETHER} under way{beside}; one takes \
                 {:.1} us, {:.2} times a raw echo",
                row.lookups_per_second, row.lookup_us, row.lookup_to_echo
            );
        }
    }
    Ok(())
}

fn show_registrations(json: bool) -> Result<(), Trouble> {
    let row = registrations()?;
    if json {
        println!("{}", serde_json::to_string(&row)?);
    } else {
        let beside = times(row.registrations_to_etcd, "etcd's, with a lease each")
            + &times(row.registrations_to_etcd_puts, "its bare puts");
        println!(
            "{:.0} durable registrations a second by {TOGETHER} callers{beside}; {:.0} renewals; {} lookups a \
             call once bound",
            row.registrations_per_second, row.renewals_per_second, row.lookups_per_call
        );
    }
    Ok(())
}

fn times(ratio: Option<f64>, whose: &str) -> String {
    ratio.map_or_else(String::new, |ratio| format!(" ({ratio:.1} times {whose})"))
}

/// What there is of a contestant; says why if there is none.
fn left_out<T>(name: &str, started: Result<T, Trouble>) -> Option<T> {
    started.map_err(|error| eprintln!("{name} is left out: {error}")).ok()
}

fn lookups(entries: u64, rpcbind: Option<&rpcbind::Rpcbind>) -> Result<Lookups, Trouble> {
    let ours = ours::Binder::start(None)?;
    ours.fill(entries)?;
    let raw = raw::Echo::start()?;
    let [mut many, mut one, mut to_echo, mut to_theirs] = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        let apart = Apart::new(&[ours.pid(), raw.pid()]);
        let (alone, echo) = in_turns(
            |turn| ours.lookups(entries, 1, turn).map(|rate| 1e6 / rate),
            |turn| rate(turn, || raw.call()).map(|rate| 1e6 / rate),
        )?;
        drop(apart);
        let together = ours.lookups(entries, TOGETHER, TURN)?;
        let beside = rpcbind.map(|rpcbind| rpcbind.lookups(TOGETHER, TURN)).transpose()?;
        if round > 0 {
            many.push(together);
            one.push(alone);
            to_echo.push(alone / echo);
            to_theirs.extend(beside.map(|beside| together / beside));
        }
    }
    Ok(Lookups {
        entries,
        lookups_per_second: median(&mut many),
        lookups_to_rpcbind: (!to_theirs.is_empty()).then(|| median(&mut to_theirs)),
        lookup_us: median(&mut one),
        lookup_to_echo: median(&mut to_echo),
    })
}

fn registrations() -> Result<Registrations, Trouble> {
    let etcd = left_out("etcd", etcd::Etcd::start());
    let folder = tempfile::tempdir()?;
    let ours = ours::Binder::start(Some(folder.path()))?;
    let [mut kept, mut beside, mut beside_puts, mut renewed] = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        let registered = ours.registrations(TOGETHER, TURN)?;
        let etcd = etcd.as_ref();
        let theirs = etcd.map(|etcd| etcd.registrations(TOGETHER, TURN)).transpose()?;
        let puts = etcd.map(|etcd| etcd.puts(TOGETHER, TURN)).transpose()?;
        let renewals = ours.renewals(TOGETHER, TURN)?;
        if round > 0 {
            kept.push(registered);
            renewed.push(renewals);
            beside.extend(theirs.map(|theirs| registered / theirs));
            beside_puts.extend(puts.map(|puts| registered / puts));
        }
    }
    Ok(Registrations {
        registrations_per_second: median(&mut kept),
        registrations_to_etcd: (!beside.is_empty()).then(|| median(&mut beside)),
        registrations_to_etcd_puts: (!beside_puts.is_empty()).then(|| median(&mut beside_puts)),
        renewals_per_second: median(&mut renewed),
        lookups_per_call: ours::lookups_per_call()?,
    })
}

/// Medians of what two give that take many short turns one after the other: how long a processor takes to
/// wake depends on what the machine did just before, and both are to meet the same.
fn in_turns(
    one: impl Fn(Duration) -> Result<f64, Trouble>,
    other: impl Fn(Duration) -> Result<f64, Trouble>,
) -> Result<(f64, f64), Trouble> {
    let [mut of_one, mut of_other] = [const { Vec::new() }; 2];
    for _ in 0..TURNS {
        of_one.push(one(TURN / TURNS)?);
        of_other.push(other(TURN / TURNS)?);
    }
    Ok((median(&mut of_one), median(&mut of_other)))
}

/// How much `work` does a second, as it says itself each time.
fn rate(turn: Duration, mut work: impl FnMut() -> Result<u64, Trouble>) -> Result<f64, Trouble> {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < turn {
        done += work()?;
    }
    Ok(real(done) / started.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn real(count: u64) -> f64 {
    count as f64
}
