//! What a promise costs: calls a second and flushes per call of `at_most_once` and `exactly_once`,
//! beside what the store does alone.
//!
//! Two bare rates stand beside each store's calls. *Bare*: the same two rows a call (the
//! application's and the reply's), batched as the server batches, by 64 writers, without any call.
//! *Database*: the same rows in the database's own words, 64 calls to a transaction, by one writer
//! that waits for nobody. Short rounds of all are interleaved, so that what the machine and its disk do
//! meanwhile hits all alike; the figures are medians of rounds, the ratios medians of what each round
//! gave. Client and server live in this process.
//!
//! PostgreSQL is started from what is installed; where none is, the bench says so and goes on.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and owns its threads")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

#[path = "../../rpc-runtime/tests/stores/server.rs"]
mod server;
#[path = "semantics/stores.rs"]
mod stores;

use std::cell::RefCell;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use benches::median;
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Durable, Ended, StoreError, StoreErrorKind};
use rpc_runtime::{CallError, Server, service};
use stores::{Bank, BarePostgres, Trouble};
use tempfile::TempDir;

/// How long one contestant runs in one round.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds, when nothing else is said; the median counts. One more is run before them.
const ROUNDS: usize = 31;
/// Callers that call at the same time, and writers of the bare rate.
const CALLERS: u64 = 64;

/// Payments whose effect is one number in memory.
#[service(name = "bench.plain", version = "1.0")]
trait Plain {
    /// Pays.
    fn pay(&self, account: u64, cents: u64) -> Result<u8, CallError>;
}

/// Payments whose effect is one row in the store.
#[service(name = "bench.pay", version = "1.0")]
trait Pay {
    /// Pays.
    #[rpc(exactly_once)]
    fn pay(&self, account: u64, cents: u64) -> Result<u8, CallError>;
}

#[derive(Default)]
struct InMemory(AtomicU64);

impl Plain for InMemory {
    fn pay(&self, _account: u64, cents: u64) -> Result<u8, CallError> {
        self.0.fetch_add(cents, Ordering::Relaxed);
        Ok(1)
    }
}

/// The accounts around an open transaction.
struct Open<'a, 't, S: Bank> {
    tx: RefCell<&'a mut S::Tx<'t>>,
}

impl<S: Bank> Pay for Open<'_, '_, S> {
    fn pay(&self, account: u64, cents: u64) -> Result<u8, CallError> {
        let paid = S::pay(*self.tx.borrow_mut(), account, cents);
        paid.map_err(|error| CallError::failed(error.to_string()))?;
        Ok(1)
    }
}

/// One line of the table: what is called, and what came of it in each round.
struct Contestant {
    name: &'static str,
    store: &'static str,
    callers: u64,
    /// Runs for the length of a round; says how many calls were made.
    run: Box<dyn FnMut() -> Result<u64, Trouble>>,
    /// Flushes so far.
    flushes: Box<dyn Fn() -> u64>,
    rates: Vec<f64>,
    flushes_per_call: Vec<f64>,
}

impl Contestant {
    fn new(
        (name, store, callers): (&'static str, &'static str, u64),
        run: impl FnMut() -> Result<u64, Trouble> + 'static,
        flushes: impl Fn() -> u64 + 'static,
    ) -> Self {
        let (run, flushes) = (Box::new(run), Box::new(flushes));
        Self { name, store, callers, run, flushes, rates: vec![], flushes_per_call: vec![] }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a moment")]
    fn round(&mut self, counts: bool) -> Result<(), Trouble> {
        let flushes = (self.flushes)();
        let started = Instant::now();
        let calls = (self.run)()? as f64;
        let seconds = started.elapsed().as_secs_f64();
        if counts {
            self.rates.push(calls / seconds);
            self.flushes_per_call.push(((self.flushes)() - flushes) as f64 / calls);
        }
        Ok(())
    }
}

fn main() -> Result<(), Trouble> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        Some(place) => arguments.get(place + 1).ok_or("--rounds wants a number")?.parse()?,
        None => ROUNDS,
    };
    let only = arguments.iter().position(|argument| argument == "--only");
    let only = only.and_then(|place| arguments.get(place + 1));

    let mut contestants = plain()?;
    let folder = TempDir::with_prefix("semantics")?;
    let store = Redb::open(folder.path().join("redb"))?;
    let bare = redb::Database::create(folder.path().join("bare"))?;
    contestants.extend(durable("redb", store, bare)?);
    let postgres = match only.is_none_or(|only| only == "postgres") {
        true => server::Server::start(true).map(Some),
        false => Ok(None),
    };
    match &postgres {
        Ok(None) => {}
        Ok(Some(server)) => {
            let bare = BarePostgres::connect(&server.config())?;
            contestants.extend(durable("postgres", Postgres::open(&server.config())?, bare)?);
        }
        Err(why) => eprintln!("postgres is skipped: {why}"),
    }
    if let Some(only) = only {
        contestants.retain(|contestant| contestant.store == only);
    }

    for round in 0..=rounds.max(1) {
        for contestant in &mut contestants {
            contestant.round(round > 0)?;
        }
    }
    report(&mut contestants, json, rounds.max(1));
    drop(contestants); // before the database that they are connected to
    Ok(())
}

/// Calls that no store is behind.
fn plain() -> Result<Vec<Contestant>, Trouble> {
    let server = Server::bind("udp://127.0.0.1:0")?.export(PlainService::new(InMemory::default()));
    let server = Arc::new(server.workers(64).spawn()?);
    let client = PlainClient::connect(&server.url())?;
    Ok([1, CALLERS]
        .into_iter()
        .map(|callers| {
            let (client, server) = (client.clone(), Arc::clone(&server));
            let run = move || {
                let _serves = &server;
                together(callers, |account, number| Ok(client.pay(account, number).map(drop)?))
            };
            Contestant::new(("at_most_once", "none", callers), run, || 0)
        })
        .collect())
}

/// Calls into a store, and the store alone.
fn durable<S: Bank>(
    name: &'static str,
    store: S,
    mut bare: S::Bare,
) -> Result<Vec<Contestant>, Trouble>
where
    S::Bare: 'static,
{
    let store = Durable::start(store)?;
    let service = PayService::durable(&store, |tx, call| call.on(&Open::<S> { tx: tx.into() }));
    let server = Server::bind("udp://127.0.0.1:0")?.export(service).spawn()?;
    let client = PayClient::connect(&server.url())?;
    let server = Arc::new(server);

    let flushes = || {
        let store = Arc::clone(&store);
        move || store.stats().flushes
    };
    let committed = Arc::new(AtomicU64::new(0));
    let commits = Arc::clone(&committed);
    let database = move || {
        let until = Instant::now() + ROUND;
        let mut calls = 0;
        while Instant::now() < until {
            let batch: Vec<_> = (0..CALLERS).map(|account| (account, calls + account)).collect();
            S::commit_bare(&mut bare, &batch)?;
            calls += CALLERS;
            committed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(calls)
    };
    let theirs = Arc::clone(&store);
    let writers = move || together(CALLERS, |account, number| write(&theirs, account, number));
    let mut contestants = vec![
        Contestant::new(("database", name, 1), database, move || commits.load(Ordering::Relaxed)),
        Contestant::new(("bare", name, CALLERS), writers, flushes()),
    ];
    for callers in [1, CALLERS] {
        let (client, server) = (client.clone(), Arc::clone(&server));
        let run = move || {
            let _serves = &server;
            together(callers, |account, number| Ok(client.pay(account, number).map(drop)?))
        };
        contestants.push(Contestant::new(("exactly_once", name, callers), run, flushes()));
    }
    Ok(contestants)
}

/// The two rows of a call, without a call.
fn write<S: Bank>(store: &Durable<S>, account: u64, number: u64) -> Result<(), Trouble> {
    let key = stores::slot(account);
    let ended = store.commit_row(key, move |tx, rows| {
        Commit::of(|| {
            let failed = |error: Trouble| StoreError::new(StoreErrorKind::Other, error.to_string());
            S::pay(tx, account, number).map_err(failed)?;
            rows.put(key, stores::record(number));
            Ok(Commit::Keep)
        })
    })?;
    match ended {
        Ended::Kept => Ok(()),
        Ended::Undone | Ended::Panicked(_) => Err("a bare write was undone".into()),
    }
}

/// Makes calls from that many threads for the length of a round; says how many.
fn together(
    callers: u64,
    call: impl Fn(u64, u64) -> Result<(), Trouble> + Sync,
) -> Result<u64, Trouble> {
    let until = Instant::now() + ROUND;
    let caller = |account| {
        let mut calls = 0;
        while Instant::now() < until {
            call(account, calls)?;
            calls += 1;
        }
        Ok(calls)
    };
    thread::scope(|threads| {
        let caller = &caller;
        let callers: Vec<_> =
            (0..callers).map(|account| threads.spawn(move || caller(account))).collect();
        callers.into_iter().map(|thread| thread.join().expect("a caller ends")).sum()
    })
}

fn report(contestants: &mut [Contestant], json: bool, rounds: usize) {
    let ratios: Vec<_> = contestants
        .iter()
        .map(|one| {
            ["bare", "database"].map(|other| ratio(one, find(contestants, other, one.store)))
        })
        .collect();
    if !json {
        println!(
            "medians of {rounds} interleaved rounds of {} ms; with a store, a call is two rows",
            ROUND.as_millis()
        );
        println!("                                           flushes   times   times the");
        println!("what          store     callers   calls/s  per call  bare    database");
    }
    for (one, [of_bare, of_database]) in contestants.iter_mut().zip(ratios) {
        let (rate, flushes) = (median(&mut one.rates), median(&mut one.flushes_per_call));
        let Contestant { name, store, callers, .. } = one;
        if json {
            println!(
                "{}",
                serde_json::json!({
                    "semantics": name, "store": store, "callers": callers, "calls_per_s": rate,
                    "flushes_per_call": flushes, "ratio_to_bare": of_bare,
                    "ratio_to_database": of_database,
                })
            );
        } else {
            let shown = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |it| format!("{it:.2}"));
            let (of_bare, of_database) = (shown(of_bare), shown(of_database));
            println!(
                "{name:<13} {store:<8} {callers:>8} {rate:>9.0}  {flushes:>8.3}  {of_bare:<6}  {of_database}"
            );
        }
    }
}

fn find<'c>(contestants: &'c [Contestant], name: &str, store: &str) -> Option<&'c Contestant> {
    contestants.iter().find(|one| (one.name, one.store) == (name, store))
}

/// By how much one is faster than the other in the same round: the median, because a disk's flushes
/// are slow for a while and fast for a while.
fn ratio(one: &Contestant, other: Option<&Contestant>) -> Option<f64> {
    let rounds = one.rates.iter().zip(&other?.rates);
    let mut ratios: Vec<_> = rounds.map(|(one, other)| one / other).collect();
    Some(median(&mut ratios))
}
