//! Faults of a network, decided one datagram at a time: lost, doubled, late, out of order, damaged.
//!
//! Responsible for what happens to a datagram, and for counting it. Does not know where datagrams
//! come from, hold them back or deliver them: a [`Plan`] says when each copy is due, and the
//! simulator or the wrapper around a real socket does it. The order is part of the contract: a
//! datagram is doubled with probability d, then *each copy* is dropped by itself, then each copy
//! left is damaged by itself. So of a datagram whose copies fail with q = 1 − (1 − drop)(1 −
//! corrupt), a share of 1 − (1 − d)·q − d·q² arrives whole.
//!
//! Arithmetic is exact or IEEE 754 without library functions, so a seed means the same on every
//! machine.

mod damage;
mod delay;
mod text;

pub use damage::Damage;
pub use delay::Delay;
pub use text::BadFaults;

use crate::random::Rng;
use crate::time::{Duration, Instant};

/// The longest that a second copy lags behind, and the least span that a reordered one is held
/// back for, in microseconds: long enough to be overtaken by a few exchanges, far below the
/// shortest retransmission time-out, so that reordering alone causes no retransmission.
const REORDER_US_MAX: u64 = 2_000;

/// What a network does to datagrams. Probabilities are per datagram or copy, from 0 to 1.
///
/// The default does nothing. Also written as text, `drop=0.2,duplicate=0.2,delay=1ms..5ms` or
/// `none`, which parses and prints.
///
/// ```
/// use rpc_runtime::fault::Faults;
/// let faults = Faults::default().loss(0.3).duplicate(0.2);
/// assert_eq!(faults, "drop=0.3,duplicate=0.2".parse().unwrap());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// That a copy is dropped.
    pub loss: f64,
    /// That a datagram is sent twice.
    pub duplicate: f64,
    /// That a copy is held back, so that later ones overtake it.
    pub reorder: f64,
    /// That a copy is damaged. CRC-32 detects the damage, see [`Damage`].
    pub corrupt: f64,
    /// How long each copy is under way beyond what the transport itself takes.
    pub delay: Delay,
}

impl Faults {
    /// No faults at all.
    pub const NONE: Self =
        Self { loss: 0.0, duplicate: 0.0, reorder: 0.0, corrupt: 0.0, delay: Delay::NONE };

    /// Drops each copy with this probability.
    ///
    /// # Panics
    ///
    /// Here and below: when `probability` is not between 0 and 1.
    #[must_use]
    pub fn loss(self, probability: f64) -> Self {
        Self { loss: checked(probability), ..self }
    }

    /// Sends a datagram twice with this probability.
    #[must_use]
    pub fn duplicate(self, probability: f64) -> Self {
        Self { duplicate: checked(probability), ..self }
    }

    /// Holds a copy back with this probability.
    #[must_use]
    pub fn reorder(self, probability: f64) -> Self {
        Self { reorder: checked(probability), ..self }
    }

    /// Damages a copy with this probability.
    #[must_use]
    pub fn corrupt(self, probability: f64) -> Self {
        Self { corrupt: checked(probability), ..self }
    }

    /// Delays each copy.
    #[must_use]
    pub fn delay(self, delay: impl Into<Delay>) -> Self {
        Self { delay: delay.into(), ..self }
    }

    /// Whether datagrams pass as if there were no injector.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Decides about one datagram, and counts the decision in `injected`.
    pub fn plan(
        &self,
        now: Instant,
        datagram: &[u8],
        rng: &mut dyn Rng,
        injected: &mut Injected,
    ) -> Plan {
        injected.datagrams += 1;
        let mut plan = Plan::default();
        let doubled = happens(self.duplicate, rng);
        self.pass(now, datagram, rng, injected, &mut plan);
        if doubled {
            injected.duplicated += 1;
            // A second copy on the heels of the first meets a running call, a late one a call
            // long finished: half of each.
            let lag = if rng.chance(0.5) { rng.below(REORDER_US_MAX) } else { 0 };
            self.pass(now + Duration::from_micros(lag), datagram, rng, injected, &mut plan);
        }
        plan
    }

    /// Decides about one copy that leaves at `now`.
    fn pass(
        &self,
        now: Instant,
        datagram: &[u8],
        rng: &mut dyn Rng,
        injected: &mut Injected,
        plan: &mut Plan,
    ) {
        if happens(self.loss, rng) {
            injected.dropped += 1;
            return;
        }
        let delay = self.delay.sample(rng);
        injected.delayed += u64::from(delay > Duration::ZERO);
        let mut at = now + delay;
        if happens(self.reorder, rng) {
            injected.reordered += 1;
            let span = REORDER_US_MAX.max(self.delay.typical_us().saturating_mul(2));
            at = at + Duration::from_micros(1 + rng.below(span));
        }
        let damage =
            if happens(self.corrupt, rng) { Damage::draw(datagram.len(), rng) } else { None };
        injected.corrupted += u64::from(damage.is_some());
        injected.passed += 1;
        plan.push(Passage { at, damage });
    }
}

/// Draws nothing where nothing can happen: the usual case costs no randomness.
fn happens(probability: f64, rng: &mut dyn Rng) -> bool {
    probability > 0.0 && rng.chance(probability)
}

fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability (0 to 1)");
    probability
}

/// One copy of a datagram that arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// When it is due; the moment it was sent if nothing delays it.
    pub at: Instant,
    /// What becomes of its bytes on the way.
    pub damage: Option<Damage>,
}

/// What becomes of one datagram: no copy, one, or two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    copies: [Passage; 2],
    count: usize,
}

impl Plan {
    /// The copies that arrive, in the order they left; their times may say otherwise.
    #[must_use]
    pub fn passages(&self) -> &[Passage] {
        self.copies.get(..self.count).unwrap_or_default()
    }

    /// Whether nothing arrives.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.count == 0
    }

    /// Whether the datagram arrives as it is, at once, once: the common case needs no copy of it.
    #[must_use]
    pub fn is_untouched(&self, now: Instant) -> bool {
        self.passages() == [Passage { at: now, damage: None }]
    }

    fn push(&mut self, passage: Passage) {
        let place = self.copies.get_mut(self.count).expect("a datagram has at most two copies");
        *place = passage;
        self.count += 1;
    }
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Datagrams decided about.
    pub datagrams: u64,
    /// Those of them sent twice.
    pub duplicated: u64,
    /// Copies dropped.
    pub dropped: u64,
    /// Copies held back beyond their delay.
    pub reordered: u64,
    /// Copies damaged; they are passed too.
    pub corrupted: u64,
    /// Copies that were under way longer than the transport itself takes.
    pub delayed: u64,
    /// Copies that arrive, damaged or not.
    pub passed: u64,
}

/// Faults with their own randomness and figures: what a wrapper around a transport holds.
#[derive(Debug)]
pub struct Injector {
    faults: Faults,
    rng: Box<dyn Rng>,
    injected: Injected,
}

impl Injector {
    /// An injector of these faults, driven by `rng`.
    #[must_use]
    pub fn new(faults: Faults, rng: Box<dyn Rng>) -> Self {
        Self { faults, rng, injected: Injected::default() }
    }

    /// Decides about one datagram that leaves at `now`.
    pub fn plan(&mut self, now: Instant, datagram: &[u8]) -> Plan {
        self.faults.plan(now, datagram, &mut self.rng, &mut self.injected)
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// Puts other faults in force, for what is sent from here on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// What was done so far.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.injected
    }
}

#[cfg(test)]
#[path = "fault/tests.rs"]
mod tests;
