//! The weather of a day: which faults, which limits, who dies how often. Most days bring a little of
//! everything; some bring much of what seldom comes together, or no day of a thousand would show it.

use rpc_runtime::fault::{Delay, Faults};
use rpc_runtime::protocol::Limits;
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::net::StreamFaults;
use rpc_runtime::time::Duration;
use rpc_runtime::wire::FRAME_BYTES_MAX;

use super::knobs::Calls;
use super::pick;

/// What sort of day it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// A little of everything.
    Mixed,
    /// Every answer comes late, and calls run, run again and are asked for meanwhile.
    Late,
    /// Servers without room die and come back, one life after the other.
    Stormy,
    /// Servers without room, and all that was said comes again when sessions and quanta have changed.
    Echoing,
}

/// On which of so many days it echoes: a day of its own, so that it takes no other weather's days.
const ECHOES: (u64, u64) = (5, 8);

impl Weather {
    pub(super) fn draw(seed: u64, rng: &mut dyn Rng) -> Self {
        let drawn = pick(rng, &[Self::Mixed, Self::Mixed, Self::Mixed, Self::Late, Self::Stormy]);
        if seed % ECHOES.1 == ECHOES.0 { Self::Echoing } else { drawn }
    }

    pub(super) fn limits(self, rng: &mut dyn Rng) -> Limits {
        let mut limits = mixed_limits(rng);
        match self {
            Self::Mixed => {}
            Self::Late => {
                limits.sessions_max = 64;
                limits.slots_max = 64;
                limits.quantum = Duration::from_millis(pick(rng, &[30, 150]));
                limits.grace = Duration::from_millis(400);
            }
            Self::Stormy => {
                limits.sessions_max = 64;
                limits.slots_max = 64;
                limits.calls_queued_max = 1;
                limits.calls_running_max = 1;
            }
            Self::Echoing => {
                limits.sessions_max = 64;
                limits.slots_max = 64;
                limits.calls_queued_max = 1;
                limits.calls_running_max = pick(rng, &[1, 64]);
                limits.lease = limits.lease_min;
                limits.quantum = Duration::from_millis(30);
                limits.grace = Duration::from_millis(400);
            }
        }
        limits
    }

    pub(super) fn faults(self, rng: &mut dyn Rng) -> Faults {
        match self {
            Self::Mixed => mixed_faults(rng),
            Self::Late => {
                let delay = Duration::ZERO..=Duration::from_millis(400);
                Faults::default().loss(rng.unit() * 0.3).delay(delay)
            }
            Self::Stormy => {
                // Most datagrams come soon, some long after all that was said since.
                let (least, cap) = (Duration::from_millis(15), Duration::from_secs(2));
                Faults::default().loss(rng.unit() * 0.3).delay(Delay::HeavyTail { least, cap })
            }
            Self::Echoing => {
                let delay = Duration::ZERO..=Duration::from_millis(pick(rng, &[200, 600]));
                Faults::default().duplicate(0.5).delay(delay)
            }
        }
    }

    /// What becomes of streams on such a day, in which so many bytes may be under way.
    pub(super) fn stream_faults(self, rng: &mut dyn Rng, queue_bytes_max: usize) -> StreamFaults {
        let breaks = match self {
            Self::Mixed => pick(rng, &[0.0, 0.002, 0.02, 0.1]),
            Self::Late => pick(rng, &[0.005, 0.03]),
            Self::Stormy | Self::Echoing => pick(rng, &[0.01, 0.05, 0.2]),
        };
        // A queue is short where others have filled the most of it.
        let queue_bytes_max = pick(
            rng,
            &[queue_bytes_max, queue_bytes_max, queue_bytes_max / 16, FRAME_BYTES_MAX + 1_000],
        );
        let slow = pick(rng, &[0.0, 0.2, 0.6]);
        let crumbs = pick(rng, &[0.0, 0.2, 1.0]);
        StreamFaults { breaks, slow, crumbs, queue_bytes_max }
    }

    /// How often each server dies, and for how long at most, in microseconds.
    pub(super) fn server_deaths(self, rng: &mut dyn Rng) -> (u64, u64) {
        match self {
            Self::Mixed => (rng.below(3), 300_000),
            Self::Late => (rng.below(2), 300_000),
            Self::Stormy => (5 + rng.below(5), 60_000),
            Self::Echoing => (4 + rng.below(5), 60_000),
        }
    }

    /// How often each client dies.
    pub(super) fn client_deaths(self, rng: &mut dyn Rng) -> u64 {
        match self {
            Self::Mixed | Self::Stormy => pick(rng, &[0, 0, 1, 1, 2]),
            Self::Late => pick(rng, &[1, 2, 4, 4]),
            Self::Echoing => pick(rng, &[0, 1, 2, 4]),
        }
    }

    /// How likely a client comes back at another address.
    pub(super) const fn moves(self) -> f64 {
        match self {
            Self::Mixed | Self::Stormy => 0.3,
            Self::Late | Self::Echoing => 0.7,
        }
    }

    /// What one caller's calls are of, where all are allowed: some callers know one sort only.
    pub(super) fn kinds(self, calls: Calls, rng: &mut dyn Rng) -> Calls {
        let one = match self {
            Self::Mixed => {
                let all = [Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];
                rng.chance(0.4).then(|| pick(rng, &all))
            }
            Self::Late => rng.chance(0.7).then_some(Semantics::AtLeastOnce),
            Self::Stormy | Self::Echoing => rng.chance(0.7).then_some(Semantics::ExactlyOnce),
        };
        match (calls, one) {
            (Calls::All, Some(one)) => Calls::Only(one),
            (Calls::All | Calls::Only(_) | Calls::Large, _) => calls,
        }
    }

    /// How long an execution takes, of handlers that are quick or slow as a rule.
    pub(super) fn takes(self, rng: &mut dyn Rng, are_slow: bool) -> Duration {
        let micros = match (self, rng.below(10), are_slow) {
            (Self::Late | Self::Echoing, 0..=4, _) => 30_000 + rng.below(300_000),
            (Self::Late | Self::Echoing, _, _) => 400_000 + rng.below(1_000_000),
            (_, 0..=5, false) | (_, 0..=1, true) => 0,
            (_, 6..=8, false) | (_, 2..=3, true) => rng.below(60_000),
            (_, _, false) => rng.below(1_500_000),
            (_, _, true) => rng.below(4_000_000),
        };
        Duration::from_micros(micros)
    }
}

/// Small tables and short leases, so that every limit is met.
fn mixed_limits(rng: &mut dyn Rng) -> Limits {
    let mut limits = Limits::default();
    limits.slots_max = pick(rng, &[1, 2, 8, 64]);
    limits.sessions_max = pick(rng, &[2, 4, 64]);
    limits.unused_sessions_max = pick(rng, &[0, 1, 64]);
    limits.calls_queued_max = pick(rng, &[1, 4, 64]);
    limits.reply_bytes_stored_max = pick(rng, &[1_300, 5_000, 1 << 20]);
    limits.reply_bytes_durable_max =
        if limits.reply_bytes_stored_max < 1 << 20 { 1_164 } else { 40_000 };
    limits.retransmit_initial = Duration::from_millis(60);
    limits.retransmit_ceiling = Duration::from_millis(250);
    limits.lease_min = Duration::from_millis(500);
    limits.lease_unused = limits.lease_min;
    limits.lease = Duration::from_millis(pick(rng, &[500, 1_000, 5_000]));
    limits.quantum = Duration::from_millis(pick(rng, &[30, 150, 600]));
    limits.grace = Duration::from_millis(pick(rng, &[60, 400, 400]));
    limits
}

fn mixed_faults(rng: &mut dyn Rng) -> Faults {
    let share =
        |rng: &mut dyn Rng, most: f64| if rng.chance(0.4) { 0.0 } else { rng.unit() * most };
    let mut faults = Faults::default()
        .loss(share(rng, 0.4))
        .duplicate(share(rng, 0.4))
        .reorder(share(rng, 0.5))
        .corrupt(share(rng, 0.05));
    if rng.chance(0.5) {
        let low = Duration::from_micros(rng.below(2_000));
        let high = low + Duration::from_micros(rng.below(200_000));
        faults = faults.delay(low..=high);
    } else if rng.chance(0.4) {
        // Answers of a session that is long gone.
        faults = faults.delay(Duration::ZERO..=Duration::from_millis(1_500));
    }
    faults
}
