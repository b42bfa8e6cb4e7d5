//! What the machines count: plain numbers, taken as a snapshot by cloning.

/// What a server has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Datagrams, or rests of them, that were no PDU.
    pub malformed: u64,
    /// PDUs that a server never receives, or for another incarnation or client.
    pub foreign: u64,
    /// Answers to questions that were answered already, or never asked.
    pub stale: u64,
    /// PDUs for sessions that are not known.
    pub sessionless: u64,
    /// Calls accepted.
    pub accepted: u64,
    /// Executions begun.
    pub begun: u64,
    /// Duplicates that did not run again.
    pub duplicates_suppressed: u64,
    /// Further executions of `at_least_once` calls.
    pub reruns: u64,
    /// Calls refused.
    pub refused: u64,
    /// Durable executions whose transaction was not committed.
    pub not_committed: u64,
    /// Requests that differ from another one under the same sequence.
    pub mismatches: u64,
    /// Calls sealed before they ran.
    pub sealed: u64,
    /// Running calls told to stop.
    pub cancelled: u64,
    /// Quanta granted by callers that still waited.
    pub quanta_granted: u64,
    /// Calls told to stop because their callers said that they wait no longer.
    pub quanta_refused: u64,
    /// Calls told to stop because nobody answered at the end of a quantum.
    pub quanta_unanswered: u64,
    /// Calls told to stop because a later life of their client was welcomed.
    pub reincarnated: u64,
    /// Owners asked for that live and wait.
    pub owners_found: u64,
    /// Calls told to stop because their owner said no, or nothing.
    pub owners_missing: u64,
    /// Calls that ran on although they were told to stop, for longer than the grace period.
    pub stubborn: u64,
    /// Calls that nobody wanted any more and that may not be stopped (`no_cancel`).
    pub not_cancellable: u64,
    /// HELLOs that opened no session.
    pub rejected: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions closed.
    pub sessions_closed: u64,
    /// `maybe` calls dropped as duplicates or too old.
    pub maybe_dropped: u64,
    /// Fragments of large messages received.
    pub fragments_in: u64,
    /// Fragments sent, again or for the first time.
    pub fragments_out: u64,
    /// Fragments sent again.
    pub fragments_resent: u64,
    /// Fragments dropped: of an earlier message, too far ahead, not fitting the others, without room.
    pub fragments_dropped: u64,
    /// Half-received messages dropped.
    pub messages_dropped: u64,
    /// ACKs of fragments that had not been sent.
    pub acks_ahead: u64,
    /// Probes of the path that were answered.
    pub probes_answered: u64,
    /// Sessions told how long a datagram comes through.
    pub sizes_told: u64,
    /// Messages begun anew in shorter datagrams, because the longer ones were heard of no more.
    pub black_holes: u64,
}

impl ServerCounters {
    /// Running calls that were told to stop because nobody waited for them any more.
    #[must_use]
    pub const fn orphans_killed(&self) -> u64 {
        self.quanta_refused + self.quanta_unanswered + self.reincarnated + self.owners_missing
    }
}

/// What a client's connection has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCounters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Datagrams, or rests of them, that were no PDU.
    pub malformed: u64,
    /// PDUs that a client never receives, or from another sender than was meant.
    pub foreign: u64,
    /// Answers to calls that had ended, or to none.
    pub stale: u64,
    /// Calls started.
    pub calls: u64,
    /// Requests sent again.
    pub retransmissions: u64,
    /// Probes sent.
    pub probes: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions lost.
    pub sessions_lost: u64,
    /// Quanta granted to calls that are waited for.
    pub quanta_granted: u64,
    /// Quanta refused, for calls that nobody waits for.
    pub quanta_refused: u64,
    /// Times that a server asked whether the owner of a call lives.
    pub owners_asked: u64,
    /// `maybe` calls that never left.
    pub maybe_dropped: u64,
    /// Fragments of large messages received.
    pub fragments_in: u64,
    /// Fragments sent, again or for the first time.
    pub fragments_out: u64,
    /// Fragments sent again.
    pub fragments_resent: u64,
    /// Fragments dropped: of an earlier message, too far ahead, not fitting the others, without room.
    pub fragments_dropped: u64,
    /// Half-received messages dropped.
    pub messages_dropped: u64,
    /// ACKs of fragments that had not been sent.
    pub acks_ahead: u64,
    /// Probes of the path that were sent.
    pub path_probes: u64,
    /// Answers that made datagrams longer.
    pub sizes_found: u64,
    /// Messages begun anew in shorter datagrams, because the longer ones were heard of no more.
    pub black_holes: u64,
}
