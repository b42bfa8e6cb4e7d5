//! How long a method's handlers take, as far as that decides where the next one runs.
//!
//! ```text
//!                ┌── so many quick runs, one after another ──┐
//!   a worker's ──┘                                           ▼
//!        ▲                                          the receiving thread's
//!        └── one long run, or not so quick any more ─────────┘
//! ```
//!
//! Knows no clock and no thread: it is told how long a run took, wherever that was.

use crate::time::Duration;

/// Less than a call's way to another thread and back: what takes no longer is worth no such way.
const QUICK_MAX: Duration = Duration::from_micros(20);

/// A method whose runs take this long, as a rule, has ceased to be quick.
const USUAL_MAX: Duration = Duration::from_micros(50);

/// A single run that took this long sends its method back to the workers.
const LONG: Duration = Duration::from_micros(100);

/// Quick runs, one after another, of a method of which nothing is known.
const WANTED_FIRST_RUNS: u32 = 8;

/// Quick runs, one after another, of a method that had a long one.
const WANTED_AGAIN_RUNS: u32 = 64;

/// The most that are ever asked for: a method that is long once in a thousand runs never has them.
const WANTED_MAX_RUNS: u32 = 1 << 16;

/// So many times more are asked for when a method was not here for long enough.
const WANTED_FACTOR: u32 = 4;

/// A method that ran here so often before a long run is forgiven: a busy machine makes a run long, now
/// and then, of what is not.
const FORGIVEN_RUNS: u32 = 10_000;

/// What is remembered of one method's runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    is_quick: bool,
    /// Runs since it became quick; before that, quick runs one after another.
    runs: u32,
    /// So many quick runs make it quick.
    wanted: u32,
    /// A moving average, in eighths of a microsecond: a new run counts for one of eight.
    usual_eighths: u32,
}

impl Pace {
    pub(super) const fn unknown() -> Self {
        Self { is_quick: false, runs: 0, wanted: WANTED_FIRST_RUNS, usual_eighths: 0 }
    }

    /// Whether the next run is expected to be quick.
    pub(super) const fn is_quick(&self) -> bool {
        self.is_quick
    }

    /// What a run takes, as a rule.
    pub(super) const fn usual(&self) -> Duration {
        Duration::from_micros((self.usual_eighths / 8) as u64)
    }

    /// A run has ended.
    pub(super) fn ran(&mut self, took: Duration) {
        let micros = u32::try_from(took.min(LONG).as_micros()).expect("it is bounded");
        self.usual_eighths = self.usual_eighths - self.usual_eighths / 8 + micros;
        if self.is_quick {
            self.runs = self.runs.saturating_add(1);
            if took >= LONG || self.usual() >= USUAL_MAX {
                self.was_long();
            }
        } else if took < QUICK_MAX {
            self.runs += 1;
            self.is_quick = self.runs >= self.wanted;
            self.runs = if self.is_quick { 0 } else { self.runs };
        } else {
            self.runs = 0;
        }
    }

    /// A run is long, whether or not it has ended.
    pub(super) fn was_long(&mut self) {
        if self.is_quick {
            self.wanted = if self.runs >= FORGIVEN_RUNS {
                WANTED_AGAIN_RUNS
            } else {
                (self.wanted * WANTED_FACTOR).clamp(WANTED_AGAIN_RUNS, WANTED_MAX_RUNS)
            };
        }
        self.is_quick = false;
        self.runs = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(3);
    const MIDDLING: Duration = Duration::from_micros(30);

    fn after(pace: &mut Pace, runs: u32, took: Duration) -> bool {
        (0..runs).for_each(|_| pace.ran(took));
        pace.is_quick()
    }

    #[test]
    fn a_method_is_quick_once_a_few_runs_have_shown_it() {
        let mut pace = Pace::unknown();
        assert!(!after(&mut pace, WANTED_FIRST_RUNS - 1, SHORT));
        assert!(after(&mut pace, 1, SHORT));
        assert!(pace.usual() <= SHORT);
    }

    #[test]
    fn runs_that_are_not_quick_never_make_a_method_quick() {
        let mut pace = Pace::unknown();
        assert!(!after(&mut pace, 1_000, QUICK_MAX));
        for _ in 0..1_000 {
            assert!(!after(&mut pace, WANTED_FIRST_RUNS - 1, SHORT));
            assert!(!after(&mut pace, 1, MIDDLING), "they must follow one another");
        }
    }

    #[test]
    fn one_long_run_is_enough_and_the_way_back_is_longer_each_time() {
        let mut pace = Pace::unknown();
        assert!(after(&mut pace, WANTED_FIRST_RUNS, SHORT));
        let mut wanted = WANTED_AGAIN_RUNS;
        while wanted < WANTED_MAX_RUNS {
            assert!(!after(&mut pace, 1, LONG));
            assert!(!after(&mut pace, wanted - 1, SHORT));
            assert!(after(&mut pace, 1, SHORT));
            wanted *= WANTED_FACTOR;
        }
        for _ in 0..2 {
            assert!(!after(&mut pace, 1, LONG));
            assert!(!after(&mut pace, WANTED_MAX_RUNS - 1, SHORT));
            assert!(after(&mut pace, 1, SHORT), "that is the most that is ever asked for");
        }
    }

    #[test]
    fn a_long_run_after_very_many_is_forgiven() {
        let mut pace = Pace::unknown();
        after(&mut pace, WANTED_FIRST_RUNS, SHORT);
        for _ in 0..5 {
            assert!(!after(&mut pace, 1, LONG));
            after(&mut pace, WANTED_MAX_RUNS, SHORT);
        }
        assert!(after(&mut pace, FORGIVEN_RUNS, SHORT));
        assert!(!after(&mut pace, 1, LONG));
        assert!(after(&mut pace, WANTED_AGAIN_RUNS, SHORT));
    }

    #[test]
    fn a_middling_run_changes_nothing_and_many_of_60_microseconds_do() {
        let mut pace = Pace::unknown();
        after(&mut pace, WANTED_FIRST_RUNS, SHORT);
        assert!(after(&mut pace, 10_000, MIDDLING), "it neither comes nor goes for that");
        assert!(!after(&mut pace, 100, USUAL_MAX + Duration::from_micros(10)));
    }

    #[test]
    fn a_run_that_is_long_counts_once_although_it_is_told_twice() {
        let mut pace = Pace::unknown();
        after(&mut pace, WANTED_FIRST_RUNS, SHORT);
        pace.was_long(); // while it runs
        assert!(!after(&mut pace, 1, Duration::from_secs(1))); // when it has ended
        assert!(after(&mut pace, WANTED_AGAIN_RUNS, SHORT));
    }
}
