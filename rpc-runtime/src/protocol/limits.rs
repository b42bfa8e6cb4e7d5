//! Every limit of both machines, named, with its unit and its reason.

use super::fragment::{AckProtocol, Room, WINDOW_FRAGMENTS_MAX};
use super::path::LONGEST_DATAGRAM_BYTES;
use crate::address::Host;
use crate::semantics::Semantics;
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
    /// Bytes of stored replies, and of room reserved for them, over all sessions of a server. A session
    /// gets as much as is left to its host, and a host as much as is left to all others.
    pub reply_bytes_stored_max: usize,
    /// The longest reply of a method, in bytes. Before a call begins room is reserved for one datagram,
    /// or for what the method's replies took lately; a longer reply needs room among the stored ones
    /// when it is there, and is too large where there is none.
    pub reply_bytes_max: u32,
    /// The longest reply of an `exactly_once` method, in bytes: room for all of it is reserved before
    /// a call begins, because what was committed must be kept. Replies that a store has kept over a
    /// restart count apart from those stored since: their clients have the same room for them again.
    pub reply_bytes_durable_max: u32,
    /// The longest datagram that is received, or sent where the path was found to carry it, in bytes:
    /// with [`DATAGRAM_BYTES_MAX`], which every path carries, none is probed. Streams have no such limit.
    pub datagram_bytes_max: usize,
    /// The longest message, in bytes: arguments that are sent, and whatever is received.
    pub message_bytes_max: usize,
    /// Bytes of half-received messages, counted as if they were whole, and of large arguments whose
    /// calls have not ended, over all sessions. A host gets as much as is left to all others.
    pub reassembly_bytes_max: usize,
    /// Of those half-received, the bytes that belong to one session.
    pub reassembly_bytes_session_max: usize,
    /// Half-received messages over all sessions. A host gets as many as are left to all others.
    pub reassembly_messages_max: usize,
    /// Half-received messages of one session.
    pub reassembly_messages_session_max: usize,
    /// After how long without a fragment a half-received message is dropped: two ceilings of the
    /// retransmission time-out.
    pub reassembly_idle: Duration,
    /// How the fragments of large messages are sent, where a method does not say.
    pub ack: AckProtocol,
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
    /// How long a client's durable slots are kept that nobody asks for: calls in them that are in
    /// doubt then stay so (protocol tables, M6).
    pub retention: Duration,
    /// Lives of a server that may end while they have a durable call, before its client stops by
    /// itself: the call may be what kills them (protocol tables, M7).
    pub server_deaths_max: u32,
    /// How often the server of a call that its caller gave up is told so, until it answers.
    pub cancel_transmissions_max: u32,
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

/// The most bytes of extensions that a REQUEST is sent with, and that a server looks at.
pub const EXTENSION_BYTES_MAX: usize = 560;

const _: () = assert!(EXTENSION_BYTES_MAX <= ARGUMENT_BYTES_MAX / 2, "there is room for arguments");

/// The longest message that can be sent at all: of as many fragments as can be counted.
pub(crate) const FRAGMENTS_BYTES_MAX: usize = ARGUMENT_BYTES_MAX * u16::MAX as usize;

/// The longest message, in bytes, where nobody says otherwise.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The longest argument bytes of a `maybe` call: nobody acknowledges its fragments, so that they
/// leave at once, and may not be more than a window.
pub const MAYBE_BYTES_MAX: usize = ARGUMENT_BYTES_MAX * WINDOW_FRAGMENTS_MAX as usize;

/// Time-outs of the first reply fragment that is missing, after which a server waits to be asked.
pub const REPLY_TRIES: u32 = 6;

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
            reply_bytes_stored_max: 256 << 20,
            reply_bytes_max: 16 << 20,
            reply_bytes_durable_max: 64 << 10,
            datagram_bytes_max: LONGEST_DATAGRAM_BYTES,
            message_bytes_max: MESSAGE_BYTES_MAX,
            reassembly_bytes_max: 256 << 20,
            reassembly_bytes_session_max: 32 << 20,
            reassembly_messages_max: 16_384,
            reassembly_messages_session_max: 256,
            reassembly_idle: Duration::from_secs(4),
            ack: AckProtocol::Blast,
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
            retention: Duration::from_secs(30 * 24 * 3_600),
            server_deaths_max: 3,
            cancel_transmissions_max: 4,
            quantum: super::orphan::QUANTUM_DEFAULT,
            grace: Duration::from_secs(3),
            cookie_always: false,
        };
        debug_assert!(limits.are_consistent());
        limits
    }
}

impl Limits {
    /// Whether one of many may take `wanted` more of what there is `max` of, where `held` says what it
    /// has already, what its host has, and what all have: as much as is left over for the others, so
    /// that one who is alone gets much, and none who takes all it can leaves nothing to who comes later
    /// (A. Choudhury, E. Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
    /// IEEE/ACM Transactions on Networking, 1998).
    pub(crate) fn fits(wanted: usize, held: &[usize], max: usize) -> bool {
        held.iter().fold(wanted, |sum, held| sum.saturating_add(*held)) <= max
    }

    /// What may be taken in of messages from `host` whose fragments have at most `each_bytes`, beside
    /// `used_bytes` of the host and of all that count against it too.
    pub(crate) const fn room(&self, each_bytes: usize, host: Host, used_bytes: [usize; 2]) -> Room {
        Room {
            each_bytes,
            host,
            used_bytes,
            bytes_max: self.reassembly_bytes_max,
            session_bytes_max: self.reassembly_bytes_session_max,
            partials_max: self.reassembly_messages_max,
            session_partials_max: self.reassembly_messages_session_max,
            idle: self.reassembly_idle,
        }
    }

    /// The longest arguments of a call, in bytes.
    pub(crate) const fn argument_bytes_max(&self, semantics: Semantics) -> usize {
        let is_maybe = matches!(semantics, Semantics::Maybe);
        if is_maybe && MAYBE_BYTES_MAX < self.message_bytes_max {
            return MAYBE_BYTES_MAX;
        }
        self.message_bytes_max
    }

    /// Whether the limits fit each other.
    #[must_use]
    pub fn are_consistent(&self) -> bool {
        self.contradiction().is_none()
    }

    /// The first rule that the limits break, in words that name the limit.
    #[must_use]
    pub fn contradiction(&self) -> Option<&'static str> {
        let rules = [
            (self.slots_max > 0, "`slots_max` must be 1 at least"),
            (
                self.retransmit_floor > Duration::ZERO,
                "`retransmit_floor` must be longer than nothing",
            ),
            (
                self.working_after <= self.retransmit_floor / 2,
                "`working_after` must be half of `retransmit_floor` at most",
            ),
            (
                self.retransmit_floor <= self.retransmit_initial,
                "`retransmit_initial` must be `retransmit_floor` at least",
            ),
            (
                self.retransmit_initial <= self.retransmit_ceiling,
                "`retransmit_ceiling` must be `retransmit_initial` at least",
            ),
            (
                self.retransmit_ceiling <= self.lease_unused / 2,
                "`lease_unused` must be twice `retransmit_ceiling` at least",
            ),
            (self.lease_unused <= self.lease, "`lease` must be `lease_unused` at least"),
            (self.lease_min <= self.lease_unused, "`lease_min` must be `lease_unused` at most"),
            (self.push_back <= self.push_back_max, "`push_back` must be `push_back_max` at most"),
            (self.retention > self.lease, "`retention` must be longer than `lease`"),
            (self.server_deaths_max > 0, "`server_deaths_max` must be 1 at least"),
            (self.cancel_transmissions_max > 0, "`cancel_transmissions_max` must be 1 at least"),
            (
                self.reply_bytes_stored_max >= REPLY_BYTES_MAX,
                "`reply_bytes_stored_max` must have room for the reply of one datagram",
            ),
            (
                self.reply_bytes_durable_max as usize <= self.reply_bytes_stored_max,
                "`reply_bytes_durable_max` must be `reply_bytes_stored_max` at most",
            ),
            (
                self.datagram_bytes_max >= DATAGRAM_BYTES_MAX,
                "`datagram_bytes_max` must be what every path carries at least",
            ),
            (
                self.message_bytes_max >= DATAGRAM_BYTES_MAX,
                "`message_bytes_max` must be a datagram at least",
            ),
            (
                self.message_bytes_max <= FRAGMENTS_BYTES_MAX,
                "`message_bytes_max` must be 65,535 fragments at most",
            ),
            (
                self.reassembly_bytes_session_max
                    >= self.message_bytes_max.saturating_add(DATAGRAM_BYTES_MAX),
                "`reassembly_bytes_session_max` must have room for a message, however long",
            ),
            (
                self.reassembly_bytes_max >= self.reassembly_bytes_session_max,
                "`reassembly_bytes_max` must be `reassembly_bytes_session_max` at least",
            ),
            (
                self.reassembly_messages_session_max > 0,
                "`reassembly_messages_session_max` must be 1 at least",
            ),
            (
                self.reassembly_messages_max >= self.reassembly_messages_session_max,
                "`reassembly_messages_max` must be `reassembly_messages_session_max` at least",
            ),
            (
                self.reassembly_idle > Duration::ZERO,
                "`reassembly_idle` must be longer than nothing",
            ),
            (self.quantum >= QUANTUM_MIN, "`quantum` must be 1 ms at least"),
            (self.grace >= QUANTUM_MIN, "`grace` must be 1 ms at least"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_that_is_broken_is_told_by_the_name_of_its_limit() {
        type Set = fn(&mut Limits, Duration, Duration);
        let (none, ever) = (Duration::ZERO, Duration::MAX);
        let cases: [(&str, Set); 24] = [
            ("slots_max", |limits, _, _| limits.slots_max = 0),
            ("retransmit_floor", |limits, none, _| limits.retransmit_floor = none),
            ("working_after", |limits, _, ever| limits.working_after = ever),
            ("retransmit_initial", |limits, none, _| limits.retransmit_initial = none),
            ("retransmit_ceiling", |limits, none, _| limits.retransmit_ceiling = none),
            ("lease_unused", |limits, _, ever| limits.retransmit_ceiling = ever),
            ("lease", |limits, none, _| limits.lease = none),
            ("lease_min", |limits, _, ever| limits.lease_min = ever),
            ("push_back", |limits, _, ever| limits.push_back = ever),
            ("retention", |limits, _, _| limits.retention = limits.lease),
            ("server_deaths_max", |limits, _, _| limits.server_deaths_max = 0),
            ("cancel_transmissions_max", |limits, _, _| limits.cancel_transmissions_max = 0),
            ("reply_bytes_stored_max", |limits, _, _| limits.reply_bytes_stored_max = 1),
            ("reply_bytes_durable_max", |limits, _, _| {
                limits.reply_bytes_durable_max = u32::MAX;
            }),
            ("datagram_bytes_max", |limits, _, _| limits.datagram_bytes_max = 1_231),
            ("message_bytes_max", |limits, _, _| limits.message_bytes_max = 1),
            ("message_bytes_max", |limits, _, _| limits.message_bytes_max = usize::MAX),
            ("reassembly_bytes_session_max", |limits, _, _| {
                limits.reassembly_bytes_session_max = limits.message_bytes_max;
            }),
            ("reassembly_bytes_max", |limits, _, _| limits.reassembly_bytes_max = 0),
            ("reassembly_messages_session_max", |limits, _, _| {
                limits.reassembly_messages_session_max = 0;
            }),
            ("reassembly_messages_max", |limits, _, _| limits.reassembly_messages_max = 0),
            ("reassembly_idle", |limits, none, _| limits.reassembly_idle = none),
            ("quantum", |limits, none, _| limits.quantum = none),
            ("grace", |limits, none, _| limits.grace = none),
        ];
        assert_eq!(Limits::default().contradiction(), None);
        for (name, set) in cases {
            let mut limits = Limits::default();
            set(&mut limits, none, ever);
            let told = limits.contradiction().expect(name);
            assert!(told.starts_with(&format!("`{name}` ")), "{name}: {told}");
            assert!(!limits.are_consistent());
        }
    }

    #[test]
    fn the_longest_arguments_and_the_longest_reply_fill_a_datagram() {
        assert_eq!(HEADER_BYTES + Request::LEN + ARGUMENT_BYTES_MAX, DATAGRAM_BYTES_MAX);
        assert_eq!(HEADER_BYTES + Reply::LEN + REPLY_BYTES_MAX, DATAGRAM_BYTES_MAX);
    }
}
