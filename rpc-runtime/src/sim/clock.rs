//! Virtual clocks: the world's own time, and what a host with a bad quartz believes it to be.
//!
//! The world's time is a number that the scheduler moves. A host reads it through a
//! [`HostClock`], which runs fast or slow and may be set; every timer of the host goes through it
//! in the other direction.

use crate::time::Instant;

/// A host's clock: where it was set, and how fast it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostClock {
    /// The world's time when the clock was set.
    world: Instant,
    /// What it was set to.
    local: Instant,
    /// How many microseconds it gains in a second; negative if it loses.
    drift_ppm: i32,
}

const MILLION: u64 = 1_000_000;

impl HostClock {
    /// A clock that shows the world's time.
    pub const TRUE: Self = Self { world: Instant::START, local: Instant::START, drift_ppm: 0 };

    /// A clock that shows `local` at the world's time `world` and gains `drift_ppm` microseconds
    /// a second.
    ///
    /// # Panics
    ///
    /// When it would stand still or run backwards, or at more than twice the speed.
    #[must_use]
    pub fn new(world: Instant, local: Instant, drift_ppm: i32) -> Self {
        assert!(
            u64::from(drift_ppm.unsigned_abs()) < MILLION,
            "a clock that drifts by {drift_ppm} ppm is no clock"
        );
        Self { world, local, drift_ppm }
    }

    /// This clock running at another speed from `world` on, without a jump.
    #[must_use]
    pub fn drifting(self, world: Instant, drift_ppm: i32) -> Self {
        Self::new(world, self.local(world), drift_ppm)
    }

    /// What it shows at the world's time `world`.
    #[must_use]
    pub fn local(&self, world: Instant) -> Instant {
        let passed = world.as_micros().saturating_sub(self.world.as_micros());
        Instant::from_micros(self.local.as_micros().saturating_add(self.shown(passed)))
    }

    /// The first moment of the world at which it shows `local` or later.
    #[must_use]
    pub fn world(&self, local: Instant) -> Instant {
        let shown = local.as_micros().saturating_sub(self.local.as_micros());
        let mut passed = shown;
        if self.drift_ppm != 0 {
            let rate = MILLION.saturating_add_signed(self.drift_ppm.into());
            let exact = u128::from(shown) * u128::from(MILLION) / u128::from(rate);
            passed = u64::try_from(exact).unwrap_or(u64::MAX);
            while passed > 0 && self.shown(passed - 1) >= shown {
                passed -= 1;
            }
            while passed < u64::MAX && self.shown(passed) < shown {
                passed += 1;
            }
        }
        Instant::from_micros(self.world.as_micros().saturating_add(passed))
    }

    /// What it advances by while `passed` microseconds of the world pass.
    fn shown(&self, passed: u64) -> u64 {
        if self.drift_ppm == 0 {
            return passed;
        }
        let rate = MILLION.saturating_add_signed(self.drift_ppm.into());
        let shown = u128::from(passed) * u128::from(rate) / u128::from(MILLION);
        u64::try_from(shown).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_true_clock_shows_the_worlds_time() {
        let moment = Instant::from_micros(123_456_789);
        assert_eq!(HostClock::TRUE.local(moment), moment);
        assert_eq!(HostClock::TRUE.world(moment), moment);
    }

    #[test]
    fn a_drifting_clock_gains_its_parts_per_million() {
        let clock = HostClock::new(Instant::START, Instant::from_micros(500), 200);
        let hour = Instant::START + Duration::from_secs(3_600);
        let gained = clock.local(hour).as_micros() - 500 - hour.as_micros();
        assert_eq!(gained, 3_600 * 200);
        let slow = HostClock::TRUE.drifting(hour, -200);
        assert_eq!(slow.local(hour), hour, "a change of speed is no jump");
        assert_eq!(
            slow.local(hour + Duration::from_secs(10)),
            hour + Duration::from_micros(9_998_000)
        );
    }

    #[test]
    fn a_timer_fires_at_the_first_moment_its_host_agrees() {
        for drift_ppm in [-999_999, -500_000, -200, -1, 0, 1, 37, 200, 500_000, 999_999] {
            let clock =
                HostClock::new(Instant::from_micros(77), Instant::from_micros(1_000), drift_ppm);
            for local in (1_001..1_200).chain([1_000_000, 7_777_777]) {
                let local = Instant::from_micros(local);
                let world = clock.world(local);
                assert!(clock.local(world) >= local, "{drift_ppm} ppm, {local}");
                let before = Instant::from_micros(world.as_micros() - 1);
                assert!(clock.local(before) < local, "{drift_ppm} ppm, {local} is late");
            }
        }
    }

    #[test]
    fn never_stays_never() {
        let never = Instant::from_micros(u64::MAX);
        let fast = HostClock::TRUE.drifting(Instant::START, -100);
        assert_eq!(fast.world(never), never);
    }
}
