//! The stops of the tour, in order. Each holds a promise against what it counts.

#![expect(clippy::disallowed_methods, reason = "slow servers and kills are real time")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rpc_runtime::{Balance, Channel, Execution};

use crate::Tour;
use crate::cost;
use crate::load::{self, Event, Kind, count, failed, prices, tally};
use crate::report::{Seen, ratio};
use crate::shop::TAKES_US;
use crate::shop::first::{Shop as _, ShopClient};
use crate::town::{Town, VERSIONS};

pub(crate) type Outcome = Result<Seen, Box<dyn Error>>;
type Stop = fn(&mut Town, &Tour) -> Outcome;

/// In this order: the last ones leave somebody dead.
pub(crate) const ALL: [Stop; 6] =
    [spread, lookups, cost::compare, slowed, shop_killed, binder_killed];

/// How far from its fair share a server may be, in percent of that.
const OFF_PERCENT_MAX: f64 = 10.0;
/// How long every shop has to be found at the most.
const FOUND_WITHIN: Duration = Duration::from_secs(20);
/// How many times slower the slow shop is.
const SLOWER: u64 = 10;
/// Within what time calls must have left it, and by how much.
const LEFT_WITHIN: Duration = Duration::from_secs(2);
const LEFT_TO: f64 = 1.0 / 3.0;
/// The slow shop's share is counted in windows of this length: before it is slow, and afterwards.
const WINDOW: Duration = Duration::from_millis(500);
const WINDOWS_BEFORE: u32 = 2;
const WINDOWS_AFTER: u32 = 7;

/// The channel is imported, and every shop that does has answered.
fn all_found(channel: &Channel, shops: usize, threads: u32) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    while tally(&prices(channel, threads, u64::from(threads) * 4)).len() < shops {
        if started.elapsed() > FOUND_WITHIN {
            return Err("a shop gets no calls".into());
        }
    }
    Ok(())
}

/// How calls are spread over the servers that do for a client.
fn spread(town: &mut Town, tour: &Tour) -> Outcome {
    let says = format!(
        "1. Calls go to the servers whose version does: clients of 1.0 use all three, clients of 1.1 two.\n   \
         Promised: nobody fails, and by round robin no server is more than {OFF_PERCENT_MAX} % from its \
         fair share."
    );
    let mut seen = Seen::new("spread", says);
    for (client, balance) in
        [("1.0", Balance::RoundRobin), ("1.1", Balance::RoundRobin), ("1.0", Balance::PeakEwma)]
    {
        let is_first = client == VERSIONS[0];
        let channel =
            if is_first { town.import("1", balance)? } else { town.import_second(balance)? };
        let fitting: Vec<u32> = (1..)
            .zip(VERSIONS)
            .filter(|(_, version)| *version >= client)
            .map(|(shop, _)| shop)
            .collect();
        all_found(&channel, fitting.len(), tour.threads)?;
        let events = prices(&channel, tour.threads, tour.calls);
        let tally = tally(&events);
        let answered: u64 = tally.values().sum();
        let fair = ratio(answered, count(fitting.iter()), 9);
        let off = fitting.iter().map(|shop| (of(&tally, *shop) / fair - 1.0).abs() * 100.0);
        let off = off.fold(0.0, f64::max);
        let strangers = count(tally.keys().filter(|shop| !fitting.contains(shop)));
        let is_even = balance != Balance::RoundRobin || off <= OFF_PERCENT_MAX;
        let failed = tour.calls - answered;
        seen.row(
            is_even && failed == 0 && strangers == 0,
            [
                ("client", client.into()),
                ("balance", balance.name().into()),
                ("calls", tour.calls.into()),
                ("failed", failed.into()),
                ("shop_1_(1.0)", answers(&tally, 1).into()),
                ("shop_2_(1.1)", answers(&tally, 2).into()),
                ("shop_3_(1.1)", answers(&tally, 3).into()),
                ("off_percent", crate::report::rounded(off, 1).into()),
            ],
        );
    }
    Ok(seen)
}

fn answers(tally: &BTreeMap<u32, u64>, shop: u32) -> u64 {
    tally.get(&shop).copied().unwrap_or(0)
}

fn of(tally: &BTreeMap<u32, u64>, shop: u32) -> f64 {
    ratio(answers(tally, shop), 1, 0)
}

/// What a call costs the binder once its server is known.
fn lookups(town: &mut Town, tour: &Tour) -> Outcome {
    let says = "2. Clients are told who comes and goes, and ask nobody while they call.\n   \
                Promised: no lookup reaches the binder."
        .to_owned();
    let mut seen = Seen::new("lookups", says);
    let channel = town.import("1", Balance::default())?;
    all_found(&channel, VERSIONS.len(), tour.threads)?;
    let before = town.asked()?;
    let events = prices(&channel, tour.threads, tour.calls);
    let after = town.asked()?;
    let lookups = after.lookups - before.lookups;
    let ok = tally(&events).values().sum::<u64>();
    seen.row(
        lookups == 0 && ok == tour.calls,
        [
            ("calls", tour.calls.into()),
            ("ok", ok.into()),
            ("lookups", lookups.into()),
            ("lookups_per_call", ratio(lookups, tour.calls, 4).into()),
            ("watches", (after.watches - before.watches).into()),
            ("renewals_by_servers", (after.renewals - before.renewals).into()),
        ],
    );
    Ok(seen)
}

/// A server that becomes slow loses its calls.
fn slowed(town: &mut Town, tour: &Tour) -> Outcome {
    let says = format!(
        "4. Shop 3 becomes {SLOWER} times slower under load, by the default balance (peak_ewma).\n   \
         Promised: {} s later it gets less than a third of its fair share.",
        LEFT_WITHIN.as_secs()
    );
    let mut seen = Seen::new("slowed", says);
    let channel = town.import("1", Balance::default())?;
    all_found(&channel, VERSIONS.len(), tour.threads)?;
    let victim = ShopClient::on(&town.connect(3)?);
    victim.who()?;
    let is_over = AtomicBool::new(false);
    let kind = |_| (!is_over.load(Ordering::Relaxed)).then_some(Kind::Price);
    let (slow_at, events) = thread::scope(|scope| -> Result<_, Box<dyn Error>> {
        let started = Instant::now();
        let load = scope.spawn(|| load::run(&channel, tour.threads, kind));
        thread::sleep(WINDOW * WINDOWS_BEFORE);
        let slow_at = started.elapsed();
        let slow = victim.slow_down(TAKES_US * SLOWER);
        thread::sleep(WINDOW * WINDOWS_AFTER);
        is_over.store(true, Ordering::Relaxed);
        let events = load.join().expect("callers do not panic");
        slow?;
        victim.slow_down(TAKES_US)?;
        Ok((slow_at, events))
    })?;
    for window in 0..WINDOWS_BEFORE + WINDOWS_AFTER {
        let from = (slow_at + WINDOW * window).saturating_sub(WINDOW * WINDOWS_BEFORE);
        let inside = |event: &&Event| (from..from + WINDOW).contains(&event.began);
        let tally = tally(events.iter().filter(inside));
        let all: u64 = tally.values().sum();
        let of_fair = ratio(answers(&tally, 3) * count(VERSIONS.iter()), all, 3);
        let is_due = from >= slow_at + LEFT_WITHIN;
        let begins = i64::from(window) - i64::from(WINDOWS_BEFORE);
        seen.row(
            !is_due || (of_fair < LEFT_TO && all > 0),
            [
                ("from_ms", (begins * 500).into()),
                ("calls", all.into()),
                ("shop_1", answers(&tally, 1).into()),
                ("shop_2", answers(&tally, 2).into()),
                ("shop_3", answers(&tally, 3).into()),
                ("of_fair_share", of_fair.into()),
            ],
        );
    }
    Ok(seen)
}

/// A server that is killed costs only calls of which nobody can know.
fn shop_killed(town: &mut Town, tour: &Tour) -> Outcome {
    let says = "5. Shop 2 is killed (SIGKILL) under load.\n   \
                Promised: no call fails that was safe to make again; what is not known is said to be unknown, \
                and nothing\n   is sold twice (read from the shops' ledgers)."
        .to_owned();
    let mut seen = Seen::new("shop_killed", says);
    let channel = town.import("1", Balance::default())?;
    all_found(&channel, VERSIONS.len(), tour.threads)?;
    let (reached, moment) = mpsc::channel();
    let calls = tour.calls;
    let kind = |number: u64| {
        if number == calls / 3 {
            // Nobody hears it if the kill has failed, which is told.
            let _ = reached.send(());
        }
        let kind = if number.is_multiple_of(2) { Kind::Price } else { Kind::Sell };
        (number < calls).then_some(kind)
    };
    let events = thread::scope(|scope| -> Result<_, Box<dyn Error>> {
        let load = scope.spawn(|| load::run(&channel, tour.threads, kind));
        moment.recv()?;
        town.kill_shop(2)?;
        Ok(load.join().expect("callers do not panic"))
    })?;
    let sold = town.sold()?;
    for (kind, semantics) in [(Kind::Price, "at_least_once"), (Kind::Sell, "at_most_once")] {
        let made = count(events.iter().filter(|event| event.kind == kind));
        let [not_run, ran, unknown] =
            [Execution::NotExecuted, Execution::Executed, Execution::Unknown]
                .map(|execution| failed(&events, kind, execution));
        let is_sale = kind == Kind::Sell;
        let sales = Sales::of(&events, &sold);
        let unsafe_failures = if is_sale { not_run } else { not_run + ran + unknown };
        let is_true = !is_sale || sales.twice + sales.missing + sales.denied == 0;
        let of_sales = |count: u64| if is_sale { count.into() } else { serde_json::Value::Null };
        seen.row(
            unsafe_failures == 0 && is_true,
            [
                ("semantics", semantics.into()),
                ("calls", made.into()),
                ("ok", (made - not_run - ran - unknown).into()),
                ("not_run", not_run.into()),
                ("ran,_failed", ran.into()),
                ("unknown", unknown.into()),
                ("of_these_sold", of_sales(sales.unknown_that_ran)),
                ("sold_twice", of_sales(sales.twice)),
                ("ok_but_not_sold", of_sales(sales.missing)),
            ],
        );
    }
    Ok(seen)
}

/// What callers were told, held against the ledgers.
#[derive(Debug, Default)]
struct Sales {
    /// Sold more than once.
    twice: u64,
    /// Said to be sold, and in no ledger.
    missing: u64,
    /// Said not to have run, and in a ledger.
    denied: u64,
    unknown_that_ran: u64,
}

impl Sales {
    fn of(events: &[Event], sold: &[u64]) -> Self {
        let mut times = BTreeMap::<u64, u64>::new();
        sold.iter().for_each(|order| *times.entry(*order).or_default() += 1);
        let mut sales =
            Self { twice: count(times.values().filter(|n| **n > 1)), ..Self::default() };
        for event in events.iter().filter(|event| event.kind == Kind::Sell) {
            let is_sold = times.contains_key(&event.number);
            let told = event.answer.as_ref().map_err(|error| error.execution());
            sales.missing += u64::from(told.is_ok() && !is_sold);
            sales.denied += u64::from(told == Err(Execution::NotExecuted) && is_sold);
            sales.unknown_that_ran += u64::from(told == Err(Execution::Unknown) && is_sold);
        }
        sales
    }
}

/// Calls go on without the binder, and it comes back with everybody.
fn binder_killed(town: &mut Town, tour: &Tour) -> Outcome {
    let says =
        "6. The binder is killed (SIGKILL), and started again after the calls, on its store.\n   \
                Promised: calls go on, and it knows the servers that live at once."
            .to_owned();
    let mut seen = Seen::new("binder_killed", says);
    let channel = town.import("1", Balance::default())?;
    let living = VERSIONS.len() - 1; // shop 2 is dead
    all_found(&channel, living, tour.threads)?;
    town.kill_binder()?;
    let events = prices(&channel, tour.threads, tour.calls);
    let ok = tally(&events).values().sum::<u64>();
    let known = town.restart_binder()?;
    seen.row(
        ok == tour.calls && known >= living,
        [
            ("calls", tour.calls.into()),
            ("ok", ok.into()),
            ("failed", (tour.calls - ok).into()),
            ("known_after_restart", known.into()),
        ],
    );
    Ok(seen)
}
