//! The only real clock: microseconds since this process first asked.
//!
//! Responsible for turning the system's monotonic clock into the project's [`Instant`], and an
//! [`Instant`] into what the system's waiting calls want. Nothing else reads a clock.
#![expect(clippy::disallowed_methods, reason = "this is the driver that owns the real clock")]

use std::sync::OnceLock;
use std::time;

use crate::time::{Duration, Instant};

/// The time on the process's clock.
#[must_use]
pub fn now() -> Instant {
    static START: OnceLock<u64> = OnceLock::new();
    let start = *START.get_or_init(monotonic_micros);
    Instant::from_micros(monotonic_micros().saturating_sub(start))
}

/// The system's monotonic clock, clock_gettime(2). Asked without std, whose own instants cost twice as
/// much to compare as to read, several times with each call.
fn monotonic_micros() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the system writes to memory of ours")]
    // SAFETY: `time` is a valid place for what clock_gettime(2) writes, and outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert!(result == 0, "every system that is meant here has this clock");
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000 + nanos / 1_000
}

/// How long it is from the present until `until`: `None` if that has passed.
#[must_use]
pub fn left(until: Instant) -> Option<Duration> {
    let now = now();
    (until > now).then(|| until.since(now))
}

/// Microseconds since the beginning of 2026, by the machine's calendar: tenths of a second fit 32
/// bits for 13 years. Orders the lives of processes that keep no count of them; no time is measured
/// with it.
pub(crate) fn calendar_micros() -> u64 {
    let beginning = time::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let since = time::SystemTime::now().duration_since(beginning).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Holds the calling thread up for `duration`, for the one case in which a system call fails at
/// once and would be repeated in a busy loop.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let earlier = now();
        assert!(now() >= earlier);
        assert_eq!(left(earlier), None);
        assert!(left(now() + Duration::from_secs(1000)).is_some());
    }
}
