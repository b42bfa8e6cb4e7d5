//! When to send again: the retransmission time-out of a session.
//!
//! RFC 6298 (SRTT, RTTVAR, back-off), with Karn's rule left to the caller: only unambiguous round
//! trips are sampled. Floor and ceiling are configurable; jitter comes from the given generator.

use super::Limits;
use crate::random::Rng;
use crate::time::Duration;

/// The round trip's estimate. Counted in microseconds, as the clock counts, because it is asked and told
/// with each call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    smoothed_us: Option<u64>,
    /// The shortest there was.
    least_us: u64,
    variance_us: u64,
    /// The time-out before any back-off, by what was sampled so far.
    timeout: Duration,
    floor_us: u64,
    ceiling_us: u64,
}

/// What a clock and a busy machine add at the least (RFC 6298, section 2.3: G). Without it a path whose
/// round trip is always the same would have a time-out as long, and every answer would come too late.
const GRANULARITY_US: u64 = 2_000;

/// The same where being too early costs one datagram, and no more (RFC 9002, section 6.1.2: kGranularity).
const PROBE_GRANULARITY_US: u64 = 1_000;

/// Doublings after which the back-off stands still; the ceiling is met long before.
const BACKOFF_MAX: u32 = 16;

/// Jitter adds at most a quarter of the time-out: it never retransmits early.
const JITTER_PERCENT: u32 = 25;

impl RoundTrip {
    pub(crate) fn new(limits: &Limits) -> Self {
        let micros = |limit: Duration| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let floor_us = micros(limits.retransmit_floor);
        let ceiling_us = micros(limits.retransmit_ceiling);
        let initial_us = micros(limits.retransmit_initial).clamp(floor_us, ceiling_us);
        Self {
            smoothed_us: None,
            least_us: u64::MAX,
            variance_us: 0,
            timeout: Duration::from_micros(initial_us),
            floor_us,
            ceiling_us,
        }
    }

    /// Takes an unambiguous round trip into account (RFC 6298, section 2).
    pub(crate) fn sample(&mut self, round_trip: Duration) {
        let sample_us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX / 8);
        self.least_us = self.least_us.min(sample_us);
        let smoothed_us = match self.smoothed_us {
            None => {
                self.variance_us = sample_us / 2;
                sample_us
            }
            Some(smoothed_us) => {
                let off_us = smoothed_us.abs_diff(sample_us);
                self.variance_us = (self.variance_us * 3 + off_us) / 4;
                (smoothed_us * 7 + sample_us) / 8
            }
        };
        self.smoothed_us = Some(smoothed_us);
        let timeout_us = smoothed_us + (self.variance_us * 4).max(GRANULARITY_US);
        self.timeout = Duration::from_micros(timeout_us.clamp(self.floor_us, self.ceiling_us));
    }

    /// The round trip itself, once it was measured.
    pub(crate) fn estimate(&self) -> Option<Duration> {
        self.smoothed_us.map(Duration::from_micros)
    }

    /// The shortest there was; nothing before any was measured.
    pub(crate) fn least(&self) -> Duration {
        let is_known = self.smoothed_us.is_some();
        Duration::from_micros(if is_known { self.least_us } else { 0 })
    }

    /// How long after the last transmission its ACK would have come (RFC 9002, section 6.2.1: PTO; receivers do
    /// not put off ACKs): as the time-out, without its floor. Nothing before a round trip was measured.
    pub(crate) fn probe_after(&self) -> Option<Duration> {
        let smoothed_us = self.smoothed_us?;
        let slack_us = (self.variance_us * 4).max(smoothed_us / 8).max(PROBE_GRANULARITY_US);
        Some(Duration::from_micros(smoothed_us + slack_us).min(self.timeout))
    }

    /// How long after a transmission it is lost, if a later one has come (RFC 9002, section 6.1.2). `latest` is
    /// a round trip that is not yet taken into account.
    pub(crate) fn lost_after(&self, latest: Option<Duration>) -> Option<Duration> {
        let trip = self.estimate()?.max(latest.unwrap_or_default());
        Some((trip * 9 / 8).max(Duration::from_micros(PROBE_GRANULARITY_US)))
    }

    /// Whether it takes longer than it could: then something waits in a queue on the way.
    pub(crate) fn is_queued(&self) -> bool {
        let queued_us = self.smoothed_us.unwrap_or_default().saturating_sub(self.least_us);
        queued_us > (self.least_us / 4).max(GRANULARITY_US)
    }

    /// The time-out before any back-off.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    const fn ceiling(&self) -> Duration {
        Duration::from_micros(self.ceiling_us)
    }

    /// The time-out after `tries` of them, without jitter.
    pub(crate) fn backed_off(&self, tries: u32) -> Duration {
        (self.timeout * (1 << tries.min(BACKOFF_MAX))).min(self.ceiling())
    }

    /// The wait before transmission `tries + 1`, with jitter.
    pub(crate) fn wait(&self, tries: u32, rng: &mut dyn Rng) -> Duration {
        self.wait_within(self.ceiling(), tries, rng)
    }

    /// As [`RoundTrip::wait`], below a ceiling of its own where that is not below the time-out.
    pub(crate) fn wait_within(&self, ceiling: Duration, tries: u32, rng: &mut dyn Rng) -> Duration {
        if tries == 0 {
            // A first time-out with jitter would only be later; the peers are not in step yet.
            return self.timeout;
        }
        let doubled = self.timeout * (1 << tries.min(BACKOFF_MAX));
        let wait = doubled.min(ceiling.clamp(self.timeout, self.ceiling()));
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
    fn a_round_trip_that_never_changes_comes_before_the_time_out() {
        let mut trip = RoundTrip::new(&Limits::default());
        for _ in 0..1_000 {
            trip.sample(ms(100));
        }
        assert_eq!(trip.timeout(), ms(102));
    }

    #[test]
    fn a_probe_waits_for_a_round_trip_and_what_it_varies_but_never_longer_than_the_time_out() {
        let mut trip = RoundTrip::new(&Limits::default());
        assert_eq!((trip.probe_after(), trip.lost_after(None)), (None, None), "nothing is known");
        trip.sample(ms(4));
        assert_eq!(trip.probe_after(), Some(ms(4) + ms(2) * 4), "SRTT + 4 RTTVAR");
        assert_eq!(trip.lost_after(None), Some(Duration::from_micros(4_500)));
        assert_eq!(trip.lost_after(Some(ms(8))), Some(ms(9)));
        for (round_trip, after) in [(4, 5_000), (16, 18_000), (100, 102_000)] {
            trip = RoundTrip::new(&Limits::default());
            (0..1_000).for_each(|_| trip.sample(ms(round_trip)));
            assert_eq!(trip.probe_after(), Some(Duration::from_micros(after)));
            assert!(trip.probe_after() <= Some(trip.timeout()));
        }
        trip = RoundTrip::new(&Limits::default());
        (0..1_000).for_each(|_| trip.sample(Duration::from_micros(50)));
        assert_eq!(trip.probe_after(), Some(Duration::from_micros(1_050)));
        assert_eq!(trip.lost_after(None), Some(ms(1)), "a timer is no finer");
    }

    #[test]
    fn a_queue_shows_in_the_round_trip() {
        let mut trip = RoundTrip::new(&Limits::default());
        assert!(!trip.is_queued(), "nothing is known");
        trip.sample(ms(20));
        assert!(!trip.is_queued());
        for _ in 0..20 {
            trip.sample(ms(24));
        }
        assert!(!trip.is_queued());
        for _ in 0..20 {
            trip.sample(ms(30));
        }
        assert!(trip.is_queued());
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
