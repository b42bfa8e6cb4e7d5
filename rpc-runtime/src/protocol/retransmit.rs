//! When to send again: the retransmission time-out of a session.
//!
//! RFC 6298 (SRTT, RTTVAR, back-off), with Karn's rule left to the caller: only unambiguous round
//! trips are sampled. Floor and ceiling are configurable; jitter comes from the given generator.

use super::Limits;
use crate::random::Rng;
use crate::time::Duration;

/// The round trip's estimate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variance: Duration,
    initial: Duration,
    floor: Duration,
    ceiling: Duration,
}

/// Doublings after which the back-off stands still; the ceiling is met long before.
const BACKOFF_MAX: u32 = 16;

/// Jitter adds at most a quarter of the time-out: it never retransmits early.
const JITTER_PERCENT: u32 = 25;

impl RoundTrip {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            smoothed: None,
            variance: Duration::ZERO,
            initial: limits.retransmit_initial,
            floor: limits.retransmit_floor,
            ceiling: limits.retransmit_ceiling,
        }
    }

    /// Takes an unambiguous round trip into account (RFC 6298, section 2).
    pub(crate) fn sample(&mut self, round_trip: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(round_trip);
                self.variance = round_trip / 2;
            }
            Some(smoothed) => {
                let off = smoothed.abs_diff(round_trip);
                self.variance = self.variance * 3 / 4 + off / 4;
                self.smoothed = Some(smoothed * 7 / 8 + round_trip / 8);
            }
        }
    }

    /// The round trip itself, once it was measured.
    pub(crate) const fn estimate(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The time-out before any back-off.
    pub(crate) fn timeout(&self) -> Duration {
        let estimate = self.smoothed.map_or(self.initial, |smoothed| smoothed + self.variance * 4);
        estimate.clamp(self.floor, self.ceiling)
    }

    /// The wait before transmission `tries + 1`, with jitter.
    pub(crate) fn wait(&self, tries: u32, rng: &mut dyn Rng) -> Duration {
        self.wait_within(self.ceiling, tries, rng)
    }

    /// As [`RoundTrip::wait`], below a ceiling of its own where that is not below the time-out.
    pub(crate) fn wait_within(&self, ceiling: Duration, tries: u32, rng: &mut dyn Rng) -> Duration {
        let first = self.timeout();
        let doubled = first * (1 << tries.min(BACKOFF_MAX));
        let wait = doubled.min(ceiling.clamp(first, self.ceiling));
        if tries == 0 {
            // A first time-out with jitter would only be later; the peers are not in step yet.
            return wait;
        }
        wait + rng.between(Duration::ZERO, wait * JITTER_PERCENT / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u64);

    impl Rng for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn follows_rfc_6298_section_2() {
        let mut trip = RoundTrip::new(&Limits::default());
        assert_eq!(trip.timeout(), ms(200), "before any sample");
        assert_eq!(trip.estimate(), None);
        trip.sample(ms(100));
        assert_eq!(trip.estimate(), Some(ms(100)));
        assert_eq!(trip.timeout(), ms(100) + ms(50) * 4, "SRTT = R, RTTVAR = R/2");
        trip.sample(ms(140));
        // RTTVAR = 3/4 * 50 + 1/4 * 40 = 47.5; SRTT = 7/8 * 100 + 1/8 * 140 = 105
        assert_eq!(trip.timeout(), ms(105) + Duration::from_micros(47_500) * 4);
    }

    #[test]
    fn stays_between_floor_and_ceiling_and_doubles_with_jitter() {
        let limits = Limits::default();
        let mut trip = RoundTrip::new(&limits);
        trip.sample(Duration::from_micros(50));
        assert_eq!(trip.wait(0, &mut Fixed(u64::MAX)), limits.retransmit_floor);
        assert_eq!(trip.wait(2, &mut Fixed(0)), limits.retransmit_floor * 4);
        let most = trip.wait(2, &mut Fixed(u64::MAX));
        assert!(most > limits.retransmit_floor * 4 && most <= limits.retransmit_floor * 5);
        assert!(trip.wait(60, &mut Fixed(u64::MAX)) <= limits.retransmit_ceiling * 5 / 4);
    }
}
