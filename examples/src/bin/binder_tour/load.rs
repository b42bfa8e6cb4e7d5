//! Calls by many threads at a time, and what came of each.

#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rpc_runtime::{CallError, Channel, Execution};

use crate::shop::first::{Shop as _, ShopClient};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `at_least_once`.
    Price,
    /// `at_most_once`.
    Sell,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
    /// When it was made, since the load began.
    pub(crate) began: Duration,
    /// The shop that answered.
    pub(crate) answer: Result<u32, CallError>,
}

/// Calls through `channel` by `threads` at a time, numbered from 0, as long as `kind_of` has a kind for
/// the next number.
pub(crate) fn run(
    channel: &Channel,
    threads: u32,
    kind_of: impl Fn(u64) -> Option<Kind> + Sync,
) -> Vec<Event> {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let caller = || {
        let shop = ShopClient::on(channel);
        let mut events = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(kind) = kind_of(number) else { return events };
            let began = started.elapsed();
            let answer = match kind {
                Kind::Price => shop.price(number),
                Kind::Sell => shop.sell(number),
            };
            events.push(Event { kind, number, began, answer });
        }
    };
    thread::scope(|scope| {
        let callers: Vec<_> = (0..threads).map(|_| scope.spawn(caller)).collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("no call panics")).collect()
    })
}

/// Calls of `price`, so many.
pub(crate) fn prices(channel: &Channel, threads: u32, calls: u64) -> Vec<Event> {
    run(channel, threads, |number| (number < calls).then_some(Kind::Price))
}

/// How many calls each shop answered.
pub(crate) fn tally<'e>(events: impl IntoIterator<Item = &'e Event>) -> BTreeMap<u32, u64> {
    let mut tally = BTreeMap::new();
    for shop in events.into_iter().filter_map(|event| event.answer.as_ref().ok()) {
        *tally.entry(*shop).or_default() += 1;
    }
    tally
}

/// Calls of a kind that failed in that certainty.
pub(crate) fn failed(events: &[Event], kind: Kind, execution: Execution) -> u64 {
    let failed = events.iter().filter(|event| event.kind == kind);
    let failed = failed.filter_map(|event| event.answer.as_ref().err());
    count(failed.filter(|error| error.execution() == execution))
}

/// How many there are.
pub(crate) fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
