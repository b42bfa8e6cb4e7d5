//! What the client's machine has to say, and when it wants to be asked again.

use super::{Client, ClientEvent, TimerKey};
use crate::protocol::fragment::Part;
use crate::protocol::{Output, Reason};
use crate::time::Instant;

impl Client {
    /// The one drain: events first, then datagrams, then how long to wait.
    pub fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> Output<ClientEvent> {
        let output = self.poll_in_parts(now, datagram, false);
        self.outbox.join_part(datagram);
        output
    }

    /// As [`Client::poll_output`], for who sends a datagram in two parts where it stands in two places: in
    /// `datagram`, and in what [`Client::take_part`] gives. If it `is_held`, a datagram stays in which there
    /// is room for more calls.
    #[inline]
    pub(crate) fn poll_in_parts(
        &mut self,
        _now: Instant,
        datagram: &mut Vec<u8>,
        is_held: bool,
    ) -> Output<ClientEvent> {
        let Some(output) = self.outbox.poll(datagram, is_held) else { return self.wait() };
        self.counters.datagrams_out += u64::from(matches!(output, Output::Transmit { .. }));
        output
    }

    /// Whether there is nothing to be polled if it is held.
    pub(crate) fn may_wait(&mut self) -> bool {
        self.outbox.may_wait()
    }

    /// What stands behind the head that was taken out last.
    pub(crate) const fn take_part(&mut self) -> Option<Part> {
        self.outbox.take_part()
    }

    fn wait(&self) -> Output<ClientEvent> {
        let why = |key| match key {
            TimerKey::Call(_) | TimerKey::CallOff(..) | TimerKey::Hello | TimerKey::Size => {
                Reason::Retransmission
            }
            TimerKey::Ack => Reason::Acknowledgement,
        };
        self.timers.next().map_or(
            Output::Wait { until: None, why: Reason::Idle },
            |(until, key)| Output::Wait { until: Some(until), why: why(key) },
        )
    }

    /// As [`Client::next_wake`], for who waits until then: not too early where it is soon.
    pub fn next_wake_after(&mut self, now: Instant) -> Option<Instant> {
        self.timers.next_after(now)
    }

    /// Makes what [`Client::next_wake`] says exact: it may be too early otherwise.
    #[cfg(any(test, feature = "model"))]
    pub fn tidy(&mut self) {
        self.timers.tidy();
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.next().map(|(when, _)| when)
    }
}
