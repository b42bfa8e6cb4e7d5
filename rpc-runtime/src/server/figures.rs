//! What each service of a server has done: counts, and the time that its last handlers took.
//!
//! Told of each call twice, under the server's lock, which is held then anyway: a few additions, and
//! nothing that allocates. Knows no clock.

use serde::{Deserialize, Serialize};

use crate::protocol::HandlerEnd;
use crate::time::Duration;

/// What a service has done since its server's life began. Counts, but for the last four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls that have begun.
    pub calls: u64,
    /// Of these, how many failed: an error of the method's own, a panic, a handler that gave up, a reply
    /// that was too large; or arguments that were none of the method's, and a transaction that was not
    /// committed.
    pub failed: u64,
    /// Calls that were refused, and so did not run. Of all the server's services.
    pub refused: u64,
    /// Duplicates that did not run again. Of all the server's services.
    pub duplicates_suppressed: u64,
    /// Calls that were killed because nobody waited for them any more. Of all the server's services.
    pub orphans_killed: u64,
    /// Handlers that run now.
    pub running: u32,
    /// Calls that wait for a worker now. Of all the server's services.
    pub queued: u32,
    /// Half of the last handlers were done within this time, in µs; at most an eighth too much.
    pub p50_us: u32,
    /// Of a hundred of the last handlers 99 were done within this time, in µs; likewise.
    pub p99_us: u32,
}

/// The services of a server, in the order in which they were exported.
#[derive(Debug)]
pub(super) struct Tallies {
    each: Box<[Tally]>,
    /// The service of each method of the common table.
    service_of: Box<[usize]>,
}

/// What one service has done.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    failed: u64,
    running: u32,
    times: Times,
}

impl Tallies {
    /// Those of `services` services that have done nothing.
    pub(super) fn new(services: usize, service_of: Box<[usize]>) -> Self {
        debug_assert!(
            service_of.iter().all(|service| *service < services),
            "a method is somebody's"
        );
        Self { each: (0..services).map(|_| Tally::default()).collect(), service_of }
    }

    /// A call has begun.
    pub(super) fn begun(&mut self, method: usize) {
        let tally = &mut self.each[self.service_of[method]];
        tally.calls += 1;
        tally.running += 1;
    }

    /// It has ended, with this reply.
    pub(super) fn ended(&mut self, method: usize, took: Duration, end: HandlerEnd, reply: &[u8]) {
        let tally = &mut self.each[self.service_of[method]];
        tally.running = tally.running.saturating_sub(1);
        tally.failed += u64::from(has_failed(end, reply));
        tally.times.took(took);
    }

    /// What a service's own calls say; the rest is the server's to add.
    pub(super) fn of(&self, service: usize) -> Figures {
        let Some(tally) = self.each.get(service) else { return Figures::default() };
        let [p50_us, p99_us] = [50, 99].map(|percent| tally.times.within_us(percent));
        Figures {
            calls: tally.calls,
            failed: tally.failed,
            running: tally.running,
            p50_us,
            p99_us,
            ..Figures::default()
        }
    }
}

/// Whether a call that ended so counts as failed.
fn has_failed(end: HandlerEnd, reply: &[u8]) -> bool {
    match end {
        HandlerEnd::Returned => reply.first() == Some(&1), // an error of the method's own
        HandlerEnd::Cancelled { .. } => false,             // its caller did not want it
        HandlerEnd::Panicked
        | HandlerEnd::HandlerFailed
        | HandlerEnd::BadArguments
        | HandlerEnd::TooLarge
        | HandlerEnd::NotCommitted
        | HandlerEnd::Unsettled => true,
    }
}

/// Buckets for each doubling of the time: so a bucket is at most an eighth wide.
const BUCKETS_PER_DOUBLING: usize = 8;
/// Buckets in all, for up to 2³² µs.
const BUCKETS: usize = BUCKETS_PER_DOUBLING * (32 - 2);
/// Of so many times half are forgotten: the last ones count most.
const TIMES_MAX: u32 = 2_048;

/// The times that the last handlers took, some thousand of them.
#[derive(Debug)]
struct Times {
    counts: [u16; BUCKETS],
    total: u32,
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

impl Times {
    fn took(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.counts[bucket_of(micros)] += 1;
        self.total += 1;
        if self.total == TIMES_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
    }

    /// The time within which so many of a hundred were done, in µs; 0 where there were none.
    fn within_us(&self, percent: u32) -> u32 {
        let wanted = (self.total * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u32::from(*count);
            if seen >= wanted && seen > 0 {
                return last_of(bucket);
            }
        }
        0
    }
}

/// Where a time stands: below 16 µs each has a bucket of its own.
fn bucket_of(micros: u32) -> usize {
    let doublings = micros.checked_ilog2().unwrap_or(0).saturating_sub(3);
    BUCKETS_PER_DOUBLING * doublings as usize + (micros >> doublings) as usize
}

/// The longest time that stands in a bucket, in µs.
fn last_of(bucket: usize) -> u32 {
    let doublings = (bucket / BUCKETS_PER_DOUBLING).saturating_sub(1);
    let first_eighth = bucket - BUCKETS_PER_DOUBLING * doublings;
    let end = (first_eighth as u64 + 1) << doublings;
    u32::try_from(end - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_stands_in_a_bucket_that_is_at_most_an_eighth_too_long() {
        let powers = (0..32).map(|bits| 1_u32 << bits);
        let around = powers.flat_map(|power| [power - 1, power, power | power >> 1, power | 1]);
        for micros in around.chain(0..5_000).chain([u32::MAX]) {
            let bucket = bucket_of(micros);
            assert!(bucket < BUCKETS, "{micros}");
            let last = last_of(bucket);
            assert!(
                (micros..=micros.saturating_add(micros / 8)).contains(&last),
                "{micros}: {last}"
            );
            assert_eq!(bucket_of(last), bucket);
        }
        assert_eq!(bucket_of(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn half_and_99_of_a_hundred_are_told_apart() {
        let mut times = Times::default();
        assert_eq!([50, 99].map(|percent| times.within_us(percent)), [0, 0], "there were none");
        (0..97).for_each(|_| times.took(Duration::from_micros(10)));
        (0..3).for_each(|_| times.took(Duration::from_micros(8_000)));
        assert_eq!(times.within_us(50), 10);
        assert!((8_000..9_000).contains(&times.within_us(99)));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut times = Times::default();
        (0..100_000).for_each(|_| times.took(Duration::from_secs(10_000)));
        assert_eq!(times.within_us(50), u32::MAX);
        (0..20_000).for_each(|_| times.took(Duration::from_micros(3)));
        assert_eq!([50, 99].map(|percent| times.within_us(percent)), [3, 3]);
    }

    #[test]
    fn a_calls_end_says_whether_it_failed() {
        let mut tallies = Tallies::new(2, [0, 1, 1].into());
        let took = Duration::from_micros(1);
        for method in [0, 1, 2, 2] {
            tallies.begun(method);
        }
        tallies.ended(2, took, HandlerEnd::Returned, &[0, 7]);
        tallies.ended(1, took, HandlerEnd::Returned, &[1, 7]);
        tallies.ended(0, took, HandlerEnd::Panicked, &[]);
        let first = Figures { calls: 1, failed: 1, p50_us: 1, p99_us: 1, ..Figures::default() };
        assert_eq!(tallies.of(0), first);
        assert_eq!(tallies.of(1), Figures { calls: 3, running: 1, ..first });
        assert_eq!(tallies.of(2), Figures::default(), "there is no such service");
        assert!(!has_failed(HandlerEnd::Cancelled { partial: true }, &[]));
    }
}
