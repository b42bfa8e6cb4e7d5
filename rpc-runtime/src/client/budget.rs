//! How often calls may be made again: a bucket of tokens for each server, so that retries cannot
//! melt one that struggles.
//!
//! Each call made puts in a tenth of a token, each call made again takes a whole one. So a server
//! that refuses everything sees a tenth more load than without retries, and a small reserve, which
//! fills up with time, lets a client that calls seldom try again too. Knows no clock and draws from
//! the generator it is given.

use crate::random::Rng;
use crate::time::{Duration, Instant};

/// A thousandth of a token is what is counted.
const TOKEN_MILLITOKENS: u64 = 1_000;
/// What each call puts in: 10 % of a call made again.
const DEPOSIT_MILLITOKENS: u64 = 100;
/// What there is at first, and what is filled up to with time: ten calls.
const RESERVE_MILLITOKENS: u64 = 10_000;
/// What is filled up to with time: one call in each second.
const REFILL_MILLITOKENS_PER_SECOND: u64 = 1_000;
/// The most that calls can put in: a hundred calls made again at once after a long good time.
const SAVED_MILLITOKENS_MAX: u64 = 100_000;
/// The wait before a call is made again the first time; doubled for each further time.
const WAIT_FIRST: Duration = Duration::from_millis(20);
/// The longest wait that is not the server's wish.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How much longer than that a wait may be by chance, so that those who were refused together do
/// not come back together.
const JITTER_PERCENT_MAX: u32 = 50;

/// The tokens for calls made again to one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryBudget {
    millitokens: u64,
    filled: Instant,
}

impl RetryBudget {
    /// A budget with its reserve.
    pub(super) const fn new(now: Instant) -> Self {
        Self { millitokens: RESERVE_MILLITOKENS, filled: now }
    }

    /// A call is made for the first time.
    pub(super) fn deposit(&mut self) {
        if self.millitokens < SAVED_MILLITOKENS_MAX {
            self.millitokens = (self.millitokens + DEPOSIT_MILLITOKENS).min(SAVED_MILLITOKENS_MAX);
        }
    }

    /// Takes what it costs to make a call again, if it is there.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let is_there = self.millitokens >= TOKEN_MILLITOKENS;
        if is_there {
            self.millitokens -= TOKEN_MILLITOKENS;
        }
        is_there
    }

    fn fill(&mut self, now: Instant) {
        let passed_ms = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        // Whole milliseconds only, so that nothing is lost to rounding.
        self.filled = self.filled + Duration::from_millis(passed_ms);
        if self.millitokens < RESERVE_MILLITOKENS {
            let fill = passed_ms.saturating_mul(REFILL_MILLITOKENS_PER_SECOND) / 1_000;
            self.millitokens = self.millitokens.saturating_add(fill).min(RESERVE_MILLITOKENS);
        }
    }
}

/// How long to wait before a call is made again that was made again `before` times: longer each
/// time, never shorter than the server asks, never the same for all.
pub(super) fn wait(before: u32, push_back: Duration, rng: &mut dyn Rng) -> Duration {
    let doubled = WAIT_FIRST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
    let least = doubled.min(WAIT_MAX).max(push_back);
    let most = least.saturating_add(least.saturating_mul(JITTER_PERCENT_MAX) / 100);
    rng.between(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counting(u64);

    impl Rng for Counting {
        fn next_u64(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    /// Makes `calls` calls, one each `gap_ms`, all refused and made again while they may be; gives
    /// how often the server was asked.
    fn asked(calls: u64, gap_ms: u64) -> u64 {
        let mut budget = RetryBudget::new(at(0));
        let mut asked = 0;
        for call in 0..calls {
            let now = at(call * gap_ms);
            budget.deposit();
            asked += 1;
            while budget.take(now) {
                asked += 1;
            }
        }
        asked
    }

    #[test]
    fn a_server_that_refuses_everything_sees_a_tenth_more_and_the_reserve() {
        let reserve = RESERVE_MILLITOKENS / TOKEN_MILLITOKENS;
        assert_eq!(asked(10_000, 0), 10_000 + 1_000 + reserve);
        assert_eq!(asked(100_000, 0), 100_000 + 10_000 + reserve);
        // Time adds at most one call in each second.
        let seconds = 100;
        let load = asked(100_000, 1);
        assert!(load <= 110_000 + reserve + seconds, "{load}");
    }

    #[test]
    fn who_calls_seldom_may_always_try_again() {
        let mut budget = RetryBudget::new(at(0));
        for minute in 0..100 {
            budget.deposit();
            assert!(budget.take(at(minute * 60_000)), "minute {minute}");
        }
    }

    #[test]
    fn the_reserve_is_filled_with_time_and_not_beyond() {
        let mut budget = RetryBudget::new(at(0));
        let mut take = |now| (0..1_000).take_while(|_| budget.take(at(now))).count();
        assert_eq!(take(0), 10);
        assert_eq!(take(999), 0);
        assert_eq!(take(1_000), 1, "what was short of a token was not lost");
        assert_eq!(take(3_000), 2);
        assert_eq!(take(3_600_000), 10);
        assert_eq!(take(0), 0, "time that goes back fills nothing");
    }

    #[test]
    fn a_good_time_saves_for_a_hundred_calls_and_no_more() {
        let mut budget = RetryBudget::new(at(0));
        for _ in 0..1_000_000 {
            budget.deposit();
        }
        assert_eq!((0..1_000).take_while(|_| budget.take(at(0))).count(), 100);
    }

    #[test]
    fn waits_grow_heed_the_server_and_differ() {
        let mut rng = Counting(1);
        let between = |wait: Duration, least_ms, most_ms| {
            let (least, most) = (Duration::from_millis(least_ms), Duration::from_millis(most_ms));
            assert!((least..=most).contains(&wait), "{wait:?}");
        };
        between(wait(0, Duration::ZERO, &mut rng), 20, 30);
        between(wait(1, Duration::ZERO, &mut rng), 40, 60);
        between(wait(4, Duration::ZERO, &mut rng), 320, 480);
        between(wait(40, Duration::ZERO, &mut rng), 1_000, 1_500);
        between(wait(0, Duration::from_secs(3), &mut rng), 3_000, 4_500);
        let longest = Duration::from_millis(u64::from(u32::MAX));
        assert!(wait(u32::MAX, longest, &mut rng) >= longest, "no overflow");
        assert_ne!(wait(3, Duration::ZERO, &mut rng), wait(3, Duration::ZERO, &mut rng));
    }
}
