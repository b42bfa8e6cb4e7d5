//! Whether to look for a moment before one sleeps.
//!
//! Between two processes on two processors that are free, going to sleep and being woken is nearly all
//! that a short call costs. On a machine with other work a look that finds nothing takes time from it. So
//! this goes by what looking was worth: each time in vain, twice as many waits go by without it, and each
//! time that paid, half as many. Where it never pays, one wait in a thousand is [`LOOK`] longer, or
//! [`LOOK_ASKING`].
//!
//! With one processor nobody can come while one looks, and so nobody looks.

use std::sync::OnceLock;
use std::{hint, thread};

use crate::reactor::clock;
use crate::time::Duration;

/// How long to look, at the most.
const LOOK: Duration = Duration::from_micros(20);

/// The same where each look asks the system, for what takes longer to come: a piece of a long message.
const LOOK_ASKING: Duration = Duration::from_micros(50);

/// Looks between two readings of the clock.
const LOOKS_MIN: u32 = 32;

/// How many waits go by without a look, at the most, and at first.
const PASSED_BY_MAX: u32 = 1_023;
const PASSED_BY_FIRST: u32 = 15;

/// What looking was worth of late.
#[derive(Debug)]
pub(super) struct Spin {
    is_able: bool,
    /// Waits to pass by between two looks.
    pass_by: u32,
    passed_by: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Self { is_able: has_company(), pass_by: PASSED_BY_FIRST, passed_by: 0 }
    }
}

/// Whether others may run while this process does.
fn has_company() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| thread::available_parallelism().is_ok_and(|many| many.get() > 1))
}

impl Spin {
    /// Looks for a while, if that has paid of late; says whether it was seen.
    pub(super) fn sees(&mut self, is_there: impl Fn() -> bool) -> bool {
        let looks = || {
            (0..LOOKS_MIN).any(|_| {
                hint::spin_loop();
                is_there()
            })
        };
        self.sees_by(LOOK, looks)
    }

    /// The same where each look asks the system, and so others may run between two of them.
    pub(super) fn sees_by_asking(&mut self, mut is_there: impl FnMut() -> bool) -> bool {
        let looks = || {
            thread::yield_now();
            is_there()
        };
        self.sees_by(LOOK_ASKING, looks)
    }

    fn sees_by(&mut self, long: Duration, mut looks: impl FnMut() -> bool) -> bool {
        if !self.is_due() {
            return false;
        }
        let end = clock::now() + long;
        loop {
            let is_there = looks();
            let is_late = clock::now() >= end;
            match (is_there, is_late) {
                (false, false) => {}
                (true, false) => self.on_seen(),
                // What was seen so late was not worth it: others had the processor.
                (true | false, true) => self.on_vain(),
            }
            if is_there || is_late {
                return is_there;
            }
        }
    }

    const fn is_due(&mut self) -> bool {
        if !self.is_able || self.passed_by < self.pass_by {
            self.passed_by = self.passed_by.saturating_add(1);
            return false;
        }
        self.passed_by = 0;
        true
    }

    const fn on_seen(&mut self) {
        self.pass_by /= 2;
    }

    fn on_vain(&mut self) {
        self.pass_by = (self.pass_by * 2 + 1).min(PASSED_BY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Spin {
        Spin { is_able: true, ..Spin::default() }
    }

    /// How many of so many waits looked.
    fn looks(spin: &mut Spin, waits: u32, is_worth: bool) -> usize {
        let look = |spin: &mut Spin| {
            let is_due = spin.is_due();
            match is_worth {
                _ if !is_due => {}
                true => spin.on_seen(),
                false => spin.on_vain(),
            }
            is_due
        };
        (0..waits).filter(|_| look(spin)).count()
    }

    #[test]
    fn looks_that_are_in_vain_become_rare_and_those_that_pay_become_the_rule() {
        let mut spin = able();
        assert!(looks(&mut spin, 100_000, false) < 120);
        assert!(looks(&mut spin, 3_000, true) > 900);
        assert_eq!(looks(&mut spin, 1_000, true), 1_000, "each");
        assert!(looks(&mut spin, 100_000, false) < 120);
    }

    #[test]
    fn nobody_looks_where_nobody_can_come() {
        let mut spin = Spin { is_able: false, ..able() };
        assert!((0..5_000).all(|_| !spin.sees(|| panic!("it looks"))));
    }

    #[test]
    fn a_look_ends_when_it_sees_something_and_else_in_time() {
        let mut spin = Spin { pass_by: 0, ..able() };
        assert!(spin.sees(|| true));
        let started = clock::now();
        assert!(!spin.sees(|| false));
        assert!(clock::now() - LOOK >= started);
    }
}
