//! How calls end, and what of one that ended the next one uses: its box and its buffers.

use super::call::{Call, Stage};
use super::{Arguments, CallKey, CallSpec, Client, ClientEvent, Ended};
use crate::protocol::outbox::POOLED_BYTES_MAX;
use crate::protocol::{Evidence, Outcome};
use crate::semantics::Semantics;
use crate::time::Instant;

impl Client {
    /// A call as [`Call::new`] makes it, in a box that was used before if there is one.
    pub(super) fn new_call(&mut self, now: Instant, spec: &CallSpec, stage: Stage) -> Box<Call> {
        let hellos = self.hellos_sent;
        let Some(mut call) = self.spare_calls.take() else {
            return Box::new(Call::new(now, *spec, stage, hellos));
        };
        call.renew(now, spec, stage, hellos);
        call
    }

    /// Ends a call or a resolve. Whatever slot it had has been dealt with before.
    pub(super) fn end(&mut self, now: Instant, key: CallKey, outcome: Outcome) {
        if !self.calls.contains(key.index) {
            return;
        }
        self.stop_outgoing(key.index);
        let mut call = self.calls.remove(key.index);
        assert!(call.generation == key.generation, "a call ends once");
        if let Some(timer) = call.timer {
            self.timers.remove(timer);
        }
        if matches!(call.stage, Stage::Waiting) {
            self.waiting.remove(key, &call.spec);
        }
        let was_sent = matches!(outcome, Outcome::Sent);
        self.counters.maybe_dropped +=
            u64::from(call.spec.semantics == Semantics::Maybe && !was_sent);
        let hellos = self.hellos_sent - call.hellos_before;
        let evidence = Evidence {
            transmissions: if call.transmissions > 0 { call.transmissions } else { hellos },
            started: call.started,
            ended: now,
            peer: self.target.address,
            server: self.known.0,
            incarnation: self.known.1,
            working_seen: call.working_seen,
            server_deaths: call.deaths,
            probes_unanswered: call.probes_unanswered,
        };
        let arguments = std::mem::take(&mut call.arguments);
        let arguments = match outcome {
            Outcome::Returned(_) | Outcome::Sent | Outcome::Failed { .. } => {
                arguments.reclaim().into_iter().for_each(|buffer| self.keep(buffer));
                Arguments::default()
            }
            Outcome::Refused { .. }
            | Outcome::Rejected { .. }
            | Outcome::NotSent(_)
            | Outcome::Sealed
            | Outcome::InDoubt(_) => arguments,
        };
        let ended = match self.spare_ends.take() {
            // Word by word: to copy what was just put together waits for it.
            Some(mut ended) => {
                (ended.key, ended.call, ended.outcome) = (key, call.id, outcome);
                (ended.evidence, ended.arguments) = (evidence, arguments);
                ended
            }
            None => Box::new(Ended { key, call: call.id, outcome, evidence, arguments }),
        };
        (call.outcome, call.former) = (None, None); // a spare box may lie for long
        self.spare_calls.give(call);
        self.outbox.event(ClientEvent::Ended(ended));
        if self.calls.is_empty() {
            self.fall_quiet(now);
        }
    }

    /// An empty buffer for arguments.
    #[must_use]
    pub fn take_buffer(&mut self) -> Vec<u8> {
        self.pool.take()
    }

    /// An empty buffer for arguments that take so many bytes.
    #[must_use]
    pub fn take_buffer_for(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= POOLED_BYTES_MAX {
            return self.pool.take();
        }
        let mut spare = self.partials.spare.take(bytes);
        spare.reserve_exact(bytes);
        spare
    }

    /// Keeps a buffer for the next call.
    pub(super) fn keep(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > POOLED_BYTES_MAX {
            self.partials.spare.give(buffer);
        } else {
            self.pool.give(buffer);
        }
    }

    /// Gives back the body of an outcome, the arguments of a call that ended, or a buffer that was taken and not used.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.keep(buffer);
    }

    /// Gives back what told of a call's end, with the buffers in it.
    pub fn recycle_end(&mut self, mut end: Box<Ended>) {
        let arguments = std::mem::take(&mut end.arguments).reclaim();
        arguments.into_iter().for_each(|buffer| self.keep(buffer));
        if let Outcome::Returned(body) | Outcome::Failed { body, .. } =
            std::mem::replace(&mut end.outcome, Outcome::Sent)
        {
            self.keep(body);
        }
        self.spare_ends.give(end);
    }
}
