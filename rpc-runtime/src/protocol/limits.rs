//! Every limit of both machines, named, with its unit and its reason.

use crate::time::Duration;
use crate::wire::{DATAGRAM_BYTES_MAX, HEADER_BYTES, Reply, Request};

/// The limits of an endpoint. Both sides take one; each side reads what concerns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Slots of a session: the calls that may be under way in it. RFC 8881, section 2.10.6.1.
    pub slots_max: u32,
    /// Sessions of a server.
    pub sessions_max: usize,
    /// Sessions of one client: it needs one, and a new one whenever it gave one up.
    pub client_sessions_max: usize,
    /// Sessions that one host may open (all ports of an address): a sixteenth of them all.
    pub host_sessions_max: usize,
    /// Slots granted to the sessions of one host: a sixteenth of them all.
    pub host_slots_max: usize,
    /// Slots granted over all sessions of a server; as they run out, each HELLO gets fewer.
    pub slots_granted_max: usize,
    /// Sessions that were opened and never used, above which a HELLO must prove its address.
    pub unused_sessions_max: usize,
    /// Calls of a server that were accepted and have not begun.
    pub calls_queued_max: usize,
    /// Calls of a server that have begun and not ended: async handlers that wait, above all, because
    /// others are bounded by the workers.
    pub calls_running_max: usize,
    /// Bytes of stored replies, and of room reserved for them, over all sessions of a server.
    pub reply_bytes_stored_max: usize,
    /// The longest reply of a method, in bytes: room reserved before a call begins.
    pub reply_bytes_max: u32,
    /// Calls of a client that wait for a session or a slot.
    pub calls_waiting_max: usize,
    /// How long an idle session is kept.
    pub lease: Duration,
    /// The shortest lease that a client believes in: it asks after half of it without a word.
    pub lease_min: Duration,
    /// How long a session is kept that was never used: two ceilings of the retransmission time-out.
    pub lease_unused: Duration,
    /// The retransmission time-out before the round trip was ever measured.
    pub retransmit_initial: Duration,
    /// The shortest retransmission time-out.
    pub retransmit_floor: Duration,
    /// The longest retransmission time-out.
    pub retransmit_ceiling: Duration,
    /// After how long a running call is reported unasked: half the floor, so that a slow handler
    /// alone causes no retransmission (protocol tables, H7).
    pub working_after: Duration,
    /// How long the last reply of an idle client stays unacknowledged.
    pub ack_delay: Duration,
    /// What a server asks for when it refuses for want of room.
    pub push_back: Duration,
    /// The longest wait that a client lets a server ask for.
    pub push_back_max: Duration,
    /// The longest time that a call may take; a REQUEST that asks for more gets this.
    pub deadline_max: Duration,
    /// How long a call runs before its caller is asked whether it still waits, where its method does
    /// not say.
    pub quantum: Duration,
    /// How long the answer may take before the call is an orphan. Longer than the longest wait
    /// between two probes, so that a client whose address has changed is asked at its new one.
    pub grace: Duration,
    /// Whether every HELLO must prove its address, not only those under pressure.
    pub cookie_always: bool,
}

/// The longest argument bytes of a request that fit one datagram.
pub const ARGUMENT_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEADER_BYTES - Request::LEN;

/// The longest reply body that fits one datagram.
pub const REPLY_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEADER_BYTES - Reply::LEN;

/// The shortest quantum, and the shortest grace period: a shorter one would ask more often than
/// anybody can answer.
pub const QUANTUM_MIN: Duration = Duration::from_millis(1);

/// How often the caller of a call whose quantum is over is asked within the grace period.
pub const EXTEND_TRIES: u32 = 16;

/// How often the owner of a call is asked for, each [`Limits::retransmit_initial`] after the last.
pub const OWNER_TRIES: u32 = 8;

/// Clocks of two machines differ in rate by at most this (protocol tables, C6).
pub const CLOCK_RATE_PPM: u32 = 200;

impl Default for Limits {
    #[expect(clippy::cast_possible_truncation, reason = "a datagram's length")]
    fn default() -> Self {
        let limits = Self {
            slots_max: 1_024,
            sessions_max: 65_536,
            client_sessions_max: 64,
            host_sessions_max: 4_096,
            host_slots_max: 256 << 10,
            slots_granted_max: 4 << 20,
            unused_sessions_max: 256,
            calls_queued_max: 1_024,
            calls_running_max: 65_536,
            reply_bytes_stored_max: 64 << 20,
            reply_bytes_max: REPLY_BYTES_MAX as u32,
            calls_waiting_max: 4_096,
            lease: Duration::from_secs(30),
            lease_min: Duration::from_secs(1),
            lease_unused: Duration::from_secs(4),
            retransmit_initial: Duration::from_millis(200),
            retransmit_floor: Duration::from_millis(20),
            retransmit_ceiling: Duration::from_secs(2),
            working_after: Duration::from_millis(10),
            ack_delay: Duration::from_millis(100),
            push_back: Duration::from_millis(50),
            push_back_max: Duration::from_secs(5),
            deadline_max: Duration::from_secs(24 * 3_600),
            quantum: super::orphan::QUANTUM_DEFAULT,
            grace: Duration::from_secs(3),
            cookie_always: false,
        };
        debug_assert!(limits.are_consistent());
        limits
    }
}

impl Limits {
    /// Whether the limits fit each other.
    #[must_use]
    pub fn are_consistent(&self) -> bool {
        self.slots_max > 0
            && self.retransmit_floor > Duration::ZERO
            && self.working_after * 2 <= self.retransmit_floor
            && self.retransmit_floor <= self.retransmit_initial
            && self.retransmit_initial <= self.retransmit_ceiling
            && self.retransmit_ceiling * 2 <= self.lease_unused
            && self.lease_unused <= self.lease
            && self.lease_min <= self.lease_unused
            && self.push_back <= self.push_back_max
            && self.reply_bytes_stored_max >= REPLY_BYTES_MAX
            && self.quantum >= QUANTUM_MIN
            && self.grace >= QUANTUM_MIN
    }
}
