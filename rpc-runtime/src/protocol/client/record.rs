//! Recorded calls: what is written down before a call is handed over, and before its end is told.
//!
//! ```text
//!   Waiting ─ slot ─► Recording ─ on the disk ─► Busy ─ answer ─► Closing ─ on the disk ─► told
//! ```
//!
//! Knows when the machine has to wait for the disk; does not know the disk. An end that leaves the
//! call in doubt is not written down: the call stays open for `resolve`, in this life or the next.

use super::call::Stage;
use super::session::{Link, Session};
use super::{CallKey, CallSpec, Client, ClientEvent};
use crate::error::Execution;
use crate::ids::{CallId, Space};
use crate::protocol::record::{OnDisk, Record, StartedRecord};
use crate::protocol::{DoubtCause, NotSentCause, Outcome};
use crate::semantics::Semantics;
use crate::time::Instant;

impl Client {
    /// From now on, `exactly_once` calls, and others that ask for it, are recorded: whoever drains
    /// the machine writes down what [`ClientEvent::Record`] says.
    pub const fn keep_journal(&mut self) {
        self.keeps_journal = true;
    }

    pub(super) const fn must_record(&self, spec: &CallSpec) -> bool {
        self.keeps_journal
            && match spec.semantics {
                Semantics::ExactlyOnce => true,
                Semantics::AtMostOnce | Semantics::AtLeastOnce => spec.recorded,
                Semantics::Maybe => false,
            }
    }

    /// A recorded call has got a slot: it waits there until it is on the disk.
    pub(super) fn record_start(&mut self, session: &Session, key: CallKey, slot: usize) {
        let call = &mut self.calls[key.index];
        call.stage = Stage::Recording(slot);
        if let Some(timer) = call.timer {
            self.timers.set(timer, call.spec.deadline);
        }
        let record = Record::Started(StartedRecord {
            server: session.server,
            incarnation: session.incarnation,
            spec: CallSpec { extension_bytes: 0, ..call.spec },
            digest: call.digest,
            in_doubt: call.in_doubt,
            arguments: call.message().into_owned(), // all that a later life needs
        });
        let call = call.id;
        let record = Box::new(record);
        self.outbox.event(ClientEvent::Record { key, call, record });
    }

    /// A call's start is on the disk, or cannot be written: then the call is not made.
    pub fn started_recorded(&mut self, now: Instant, key: CallKey, id: CallId, on_disk: OnDisk) {
        let Some(call) = self.call(key).filter(|call| call.id == id) else { return };
        let (Stage::Recording(slot), depth) = (call.stage, call.spec.depth) else { return };
        match on_disk {
            OnDisk::Yes => {
                self.calls[key.index].stage = Stage::Busy(slot);
                // Without a session it is sent in the next one.
                if let Link::Live(session) = self.link {
                    self.send_request(now, &session, key.index);
                }
            }
            // A later life that finds it can have it run after all, in the same durable slot (H3).
            OnDisk::Perhaps if id.space == Space::Durable => {
                self.table(id.space).leave(slot, depth, true);
                self.end(now, key, Outcome::InDoubt(DoubtCause::JournalFailed));
            }
            OnDisk::No | OnDisk::Perhaps => {
                // An earlier place may have had it, if it is one that may run again.
                let outcome = call.unsent(NotSentCause::JournalFailed);
                self.table(id.space).leave(slot, depth, false);
                self.end(now, key, outcome);
            }
        }
        self.pump(now);
    }

    /// Ends a call, or a question, that got an answer: at once, or, if it is recorded, once that is
    /// on the disk too. A call keeps its slot until then, so that its reply is not acknowledged.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        key: CallKey,
        slot: Option<usize>,
        outcome: Outcome,
    ) {
        let Some(call) = self.calls.get_mut(key.index) else { return };
        let (id, depth) = (call.id, call.spec.depth);
        if !call.recorded || !is_final(id.space, &outcome) {
            if let Some(slot) = slot {
                self.table(id.space).leave(slot, depth, false);
            }
            return self.end(now, key, outcome);
        }
        self.stop_outgoing(key.index); // whatever is said of its fragments by now, it has its answer
        let Some(call) = self.calls.get_mut(key.index) else { return };
        call.stage = Stage::Closing(slot);
        call.outcome = Some(Box::new(outcome.clone()));
        let timer =
            *call.timer.get_or_insert_with(|| self.timers.add(super::TimerKey::Call(key.index)));
        self.timers.set(timer, call.spec.deadline);
        let record = Record::Ended(outcome);
        let record = Box::new(record);
        self.outbox.event(ClientEvent::Record { key, call: id, record });
    }

    /// The end of a call, or of a question about one, is on the disk, or cannot be written.
    pub fn ended_recorded(&mut self, now: Instant, key: CallKey, id: CallId, is_written: bool) {
        let Some(call) = self.call(key).filter(|call| call.id == id) else { return };
        if let Stage::Closing(_) = call.stage {
            self.tell(now, key, is_written);
            self.pump(now);
        }
    }

    /// Tells how a call ended. That it did not run is not said without having been written down: a
    /// later life, which still has the call, could send it again (H3).
    pub(super) fn tell(&mut self, now: Instant, key: CallKey, is_written: bool) {
        let Some(call) = self.calls.get_mut(key.index) else { return };
        let (Stage::Closing(slot), Some(outcome)) = (call.stage, call.outcome.take()) else {
            return;
        };
        let (id, depth) = (call.id, call.spec.depth);
        let may_tell = is_written || outcome.execution() != Execution::NotExecuted;
        let outcome = if may_tell { *outcome } else { Outcome::InDoubt(DoubtCause::JournalFailed) };
        if let Some(slot) = slot {
            self.table(id.space).leave(slot, depth, !may_tell);
        }
        let has_reply = matches!(outcome, Outcome::Returned(_) | Outcome::Failed { .. });
        if is_written && has_reply {
            self.table(id.space).may_acknowledge(id);
            self.acknowledge_large(id);
        } else if !is_written {
            self.table(id.space).may_not_acknowledge(id);
        }
        self.end(now, key, outcome);
    }

    /// A call leaves its place for another one, with work behind it that may go on: a later life asks
    /// there too.
    pub(super) fn record_doubt(&mut self, key: CallKey, cause: DoubtCause) {
        let Some(call) = self.calls.get(key.index).filter(|call| call.recorded) else { return };
        let record = Record::Ended(Outcome::InDoubt(cause));
        let (call, record) = (call.id, Box::new(record));
        self.outbox.event(ClientEvent::Record { key, call, record });
    }

    /// The place of a call that was not handed over yet is gone: it waits for another one.
    pub(super) fn withdraw(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key.index) else { return };
        call.stage = Stage::Waiting;
        let call = call.id;
        self.waiting.push_front(key, &self.calls[key.index].spec);
        let record = Box::new(Record::Withdrawn);
        self.outbox.event(ClientEvent::Record { key, call, record });
    }
}

/// Whether that is all that will ever be known of a call with its place in `space`.
const fn is_final(space: Space, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Returned(_)
        | Outcome::Sent
        | Outcome::Failed { .. }
        | Outcome::Refused { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotSent(_)
        | Outcome::Sealed => true,
        Outcome::InDoubt(cause) => match cause {
            DoubtCause::Closed | DoubtCause::GenerationEnded => true,
            DoubtCause::ServerRestarted
            | DoubtCause::SessionLost
            | DoubtCause::RefusedAfterDoubt => matches!(space, Space::Session),
            DoubtCause::NoReply
            | DoubtCause::Cancelled
            // The next life may ask again, of a server that the call did not kill.
            | DoubtCause::ServerDied
            | DoubtCause::JournalFailed => false,
        },
    }
}
