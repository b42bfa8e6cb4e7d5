//! What decides about a machine's next steps, fed to a hash: two machines with equal digests go on
//! alike, so that a model checker need follow only one of them.
//!
//! Times enter as distances from the clock, and only as far as they matter. Left out are counters,
//! spare buffers, evidence, and what only feeds the round trip's estimate: the digest is exact where
//! floor and ceiling of the retransmission time-out are one, and readings of the other side's clock
//! do not matter.

use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use super::Limits;
use super::timers::Timers;
use crate::time::{Duration, Instant};

/// A digest under way.
pub(crate) struct Digest<'a, H> {
    pub(crate) now: Instant,
    hasher: &'a mut H,
}

impl<'a, H: Hasher> Digest<'a, H> {
    /// # Panics
    ///
    /// The limits let the round trip's estimate decide about something.
    pub(crate) fn new(now: Instant, limits: &Limits, hasher: &'a mut H) -> Self {
        let fixed = limits.retransmit_floor == limits.retransmit_ceiling;
        assert!(fixed, "the retransmission time-out of an explored machine is fixed");
        Self { now, hasher }
    }

    /// Adds a value.
    pub(crate) fn add<T: Hash>(&mut self, value: T) {
        value.hash(&mut *self.hasher);
    }

    /// Adds which variant of its type a value is.
    pub(crate) fn variant<T>(&mut self, value: &T) {
        self.add(discriminant(value));
    }

    /// Adds a moment to come: its distance, or that it never comes.
    pub(crate) fn until(&mut self, when: Instant) {
        let never = when == Instant::from_micros(u64::MAX);
        self.add((!never).then(|| self.now.until(when)));
    }

    /// Adds a moment to come, if there is one.
    pub(crate) fn until_any(&mut self, when: Option<Instant>) {
        self.add(when.is_some());
        if let Some(when) = when {
            self.until(when);
        }
    }

    /// Adds a moment that has passed, of which nobody asks more than whether `horizon` has gone by.
    pub(crate) fn since(&mut self, when: Instant, horizon: Duration) {
        self.add(self.now.since(when).min(horizon));
    }

    pub(crate) fn timers<K: Copy + Hash>(&mut self, timers: &Timers<K>) {
        for (key, when) in timers.all() {
            self.add(key);
            self.until_any(when);
        }
    }
}
