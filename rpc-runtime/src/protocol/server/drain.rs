//! What the server's machine has to say, and when it wants to be asked again.

use super::{Server, ServerEvent, Ticket, TimerKey};
use crate::protocol::fragment::Part;
use crate::protocol::{Output, Reason};
use crate::time::Instant;

impl Server {
    /// The one drain: events first, then datagrams, then how long to wait.
    pub fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> Output<ServerEvent> {
        let output = self.poll_in_parts(now, datagram, false);
        self.outbox.join_part(datagram);
        output
    }

    /// As [`Server::poll_output`], for who sends a datagram in two parts where it stands in two places: in
    /// `datagram`, and in what [`Server::take_part`] gives. If it `is_held`, a datagram stays in which there
    /// is room for more replies.
    #[inline]
    pub(crate) fn poll_in_parts(
        &mut self,
        _now: Instant,
        datagram: &mut Vec<u8>,
        is_held: bool,
    ) -> Output<ServerEvent> {
        let Some(output) = self.outbox.poll(datagram, is_held) else { return self.wait() };
        self.counters.datagrams_out += u64::from(matches!(output, Output::Transmit { .. }));
        output
    }

    /// What stands behind the head that was taken out last.
    pub(crate) const fn take_part(&mut self) -> Option<Part> {
        self.outbox.take_part()
    }

    /// As [`Server::next_wake`], for who waits until then: not too early where it is soon.
    pub fn next_wake_after(&mut self, now: Instant) -> Option<Instant> {
        self.timers.next_after(now)
    }

    /// Makes what [`Server::next_wake`] says exact: it may be too early otherwise.
    #[cfg(any(test, feature = "model"))]
    pub fn tidy(&mut self) {
        self.timers.tidy();
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.next().map(|(when, _)| when)
    }

    /// Whether there is something to be drained.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether that is one write to a stream, which the answer to this call joins if it follows soon.
    #[must_use]
    pub fn is_joined_by(&self, ticket: Ticket) -> bool {
        let session = self.sessions.get(&ticket.call.session);
        session.is_some_and(|session| self.outbox.is_one_write(session.address))
    }

    fn wait(&self) -> Output<ServerEvent> {
        match self.timers.next() {
            None => Output::Wait { until: None, why: Reason::Idle },
            Some((until, TimerKey::Reply(_))) => {
                Output::Wait { until: Some(until), why: Reason::Retransmission }
            }
            Some((until, TimerKey::Lease(_) | TimerKey::Retain | TimerKey::Partials)) => {
                Output::Wait { until: Some(until), why: Reason::Lease }
            }
            Some((until, TimerKey::Call(_))) => {
                Output::Wait { until: Some(until), why: Reason::Working }
            }
        }
    }
}
