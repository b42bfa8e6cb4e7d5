//! What a server is burdened with, as this process sees it.
//!
//! Written by whoever has the connection's lock, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use super::breaker::Sign;
use crate::time::{Duration, Instant};

/// A new latency counts for one part of so many.
const PARTS: u64 = 8;
/// How much of a rise one call can show, as a factor: one that the machine held up says little.
const RISE_MAX: u64 = 8;
/// What is not heard of falls by half in this time, in microseconds, so that a server that was slow is
/// tried again.
const HALF_LIFE_US: u64 = 500_000;
/// Below this, differences say nothing of a server.
const LATENCY_MIN_US: u64 = 20;

/// The burden of one server.
#[derive(Debug, Default)]
pub(super) struct Load {
    under_way: AtomicU64,
    latency_us: AtomicU64,
    heard_us: AtomicU64,
}

/// That at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burden {
    pub(super) under_way: u64,
    pub(super) latency_us: u64,
}

impl Load {
    /// A call begins.
    pub(super) fn began(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has ended that took so long. One that was refused, or not answered, counts as slower than
    /// any that was: a server that refuses at once is no quick one.
    pub(super) fn ended(&self, now: Instant, took: Duration, sign: Sign) {
        let left = self.under_way.load(Ordering::Relaxed).saturating_sub(1);
        self.under_way.store(left, Ordering::Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let known = self.at(now).latency_us;
        let took = match sign {
            Sign::Alive => took,
            Sign::Full | Sign::Silent => took.max(known.saturating_mul(RISE_MAX)),
            Sign::Neutral => return,
        };
        let latency = if self.heard_us.load(Ordering::Relaxed) == 0 {
            took
        } else if took > known {
            known + (took.min(known.saturating_mul(RISE_MAX)) - known).div_ceil(PARTS)
        } else {
            known - (known - took) / PARTS
        };
        self.latency_us.store(latency, Ordering::Relaxed);
        self.heard_us.store(now.as_micros().max(1), Ordering::Relaxed);
    }

    pub(super) fn at(&self, now: Instant) -> Burden {
        let silence_us = now.as_micros().saturating_sub(self.heard_us.load(Ordering::Relaxed));
        let halves = u32::try_from(silence_us / HALF_LIFE_US).unwrap_or(u32::MAX);
        let latency = self.latency_us.load(Ordering::Relaxed).checked_shr(halves).unwrap_or(0);
        Burden {
            under_way: self.under_way.load(Ordering::Relaxed),
            latency_us: latency.max(LATENCY_MIN_US),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(5_000_000 + millis * 1_000)
    }

    fn latency(load: &Load, millis: u64) -> u64 {
        load.at(at(millis)).latency_us
    }

    #[test]
    fn one_call_that_was_held_up_changes_little_and_a_server_that_is_slow_shows_at_once() {
        let load = Load::default();
        (0..100).for_each(|_| load.ended(at(0), Duration::from_micros(100), Sign::Alive));
        assert_eq!(latency(&load, 0), 100);
        load.ended(at(0), Duration::from_millis(50), Sign::Alive);
        assert!(latency(&load, 0) < 200, "{}", latency(&load, 0));
        (0..20).for_each(|_| load.ended(at(1), Duration::from_millis(1), Sign::Alive));
        assert!(latency(&load, 1) > 800, "{}", latency(&load, 1));
    }

    #[test]
    fn a_server_that_refuses_at_once_is_no_quick_one() {
        let load = Load::default();
        load.ended(at(0), Duration::from_micros(100), Sign::Alive);
        (0..5).for_each(|_| load.ended(at(0), Duration::from_micros(10), Sign::Full));
        assert!(latency(&load, 0) > 1_000, "{}", latency(&load, 0));
        let load = Load::default();
        load.ended(at(0), Duration::from_millis(1), Sign::Alive);
        load.ended(at(0), Duration::ZERO, Sign::Neutral); // a `maybe` call, or one that was called off
        assert_eq!(latency(&load, 0), 1_000);
    }

    #[test]
    fn what_is_not_heard_of_is_forgotten() {
        let load = Load::default();
        load.ended(at(0), Duration::from_millis(64), Sign::Alive);
        assert_eq!(latency(&load, 499), 64_000);
        assert_eq!(latency(&load, 1_500), 8_000);
        assert_eq!(latency(&load, 3_600_000), LATENCY_MIN_US);
    }

    #[test]
    fn calls_under_way_are_counted() {
        let load = Load::default();
        load.began();
        load.began();
        assert_eq!(load.at(at(0)).under_way, 2);
        load.ended(at(0), Duration::from_micros(1), Sign::Alive);
        assert_eq!(load.at(at(0)).under_way, 1);
        load.ended(at(0), Duration::from_micros(1), Sign::Alive);
        load.ended(at(0), Duration::from_micros(1), Sign::Alive); // a question, which did not begin as a call
        assert_eq!(load.at(at(0)).under_way, 0);
    }
}
