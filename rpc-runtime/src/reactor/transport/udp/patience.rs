//! How long the kernel is told to wait for a datagram.
//!
//! A receive time-out is an option of the socket and costs a system call to change, so it is set
//! rarely: to a power of two at most as long as the wait, shortened when a nearer wake-up needs it,
//! and lengthened when a time-out shows that it was too short. Between two calls of a busy
//! connection it therefore stays as it is. Knows arithmetic, no socket.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Duration;

/// The shortest time-out ever set. The kernel counts in ticks of 1 to 10 ms anyway.
const SHORTEST: Duration = Duration::from_millis(1);

/// What stands for "no time-out" in [`Patience::set_micros`].
const FOREVER: u64 = u64::MAX;

/// The receive time-out that a socket has.
#[derive(Debug)]
pub(super) struct Patience {
    set_micros: AtomicU64, // written by the one receiving thread only
}

/// A receive time-out to set: `None` is "wait for ever".
pub(super) type Timeout = Option<Duration>;

impl Patience {
    /// Of a fresh socket: it has no time-out.
    pub(super) const fn new() -> Self {
        Self { set_micros: AtomicU64::new(FOREVER) }
    }

    /// The time-out to set before waiting for `wanted` (`None`: for ever), if it must change: only
    /// when the present one would sleep through the wake-up.
    pub(super) fn shorten_for(&self, wanted: Timeout) -> Option<Timeout> {
        let wanted = micros(wanted);
        (self.set() > wanted.max(micros(Some(SHORTEST)))).then(|| self.change(wanted))
    }

    /// The time-out to set after one ended although `left` of the wait is left (`None`: for ever),
    /// if the present one is less than half of what it could be.
    pub(super) fn lengthen_for(&self, left: Timeout) -> Option<Timeout> {
        let left = micros(left);
        (self.set() <= left / 2).then(|| self.change(left))
    }

    fn set(&self) -> u64 {
        self.set_micros.load(Ordering::Relaxed)
    }

    fn change(&self, wanted_micros: u64) -> Timeout {
        let (set, timeout) = if wanted_micros == FOREVER {
            (FOREVER, None)
        } else {
            let below = 1_u64 << wanted_micros.max(1).ilog2();
            let below = below.max(micros(Some(SHORTEST)));
            (below, Some(Duration::from_micros(below)))
        };
        self.set_micros.store(set, Ordering::Relaxed);
        timeout
    }
}

fn micros(timeout: Timeout) -> u64 {
    timeout.map_or(FOREVER, |timeout| u64::try_from(timeout.as_micros()).unwrap_or(FOREVER - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Timeout {
        Some(Duration::from_millis(ms))
    }

    const fn us(us: u64) -> Timeout {
        Some(Duration::from_micros(us))
    }

    #[test]
    fn equal_waits_set_the_timeout_once() {
        let patience = Patience::new();
        assert_eq!(patience.shorten_for(ms(20)), Some(us(16_384)));
        for wanted in [20, 19, 17, 200, 10_000] {
            assert_eq!(patience.shorten_for(ms(wanted)), None, "{wanted} ms");
        }
    }

    #[test]
    fn a_nearer_wake_up_shortens_it() {
        let patience = Patience::new();
        assert_eq!(patience.shorten_for(ms(20)), Some(us(16_384)));
        assert_eq!(patience.shorten_for(ms(10)), Some(us(8_192)));
    }

    #[test]
    fn a_timeout_that_came_too_early_lengthens_it_up_to_for_ever() {
        let patience = Patience::new();
        assert_eq!(patience.shorten_for(ms(10)), Some(us(8_192)));
        assert_eq!(patience.lengthen_for(ms(10)), None, "as good as it gets");
        assert_eq!(patience.lengthen_for(ms(30_000)), Some(us(16_777_216)));
        assert_eq!(patience.lengthen_for(None), Some(None));
        assert_eq!(patience.shorten_for(None), None);
        assert_eq!(patience.lengthen_for(None), None, "it does not time out any more");
    }

    #[test]
    fn it_is_never_zero_which_would_mean_for_ever_to_the_kernel() {
        let patience = Patience::new();
        assert_eq!(patience.shorten_for(us(0)), Some(Some(SHORTEST)));
        assert_eq!(patience.shorten_for(us(1)), None);
    }

    #[test]
    fn a_wait_too_long_to_count_is_still_a_wait() {
        let patience = Patience::new();
        assert!(matches!(patience.shorten_for(Some(Duration::MAX)), Some(Some(_))));
    }
}
