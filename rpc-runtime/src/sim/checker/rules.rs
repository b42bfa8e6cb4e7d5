//! The invariants that a call's record, a figure of use or a sent datagram can break, one function each.
//!
//! That of orphans, which needs a ledger of its own, is in `orphans`.

use super::{CallNumber, Checker, Invariant, Record, TICK, Verdict};
use crate::error::Execution;
use crate::ids::{Incarnation, ServerId};
use crate::semantics::Semantics;
use crate::time::Instant;

impl Checker {
    /// Invariant 1.
    pub(super) fn at_most_once(&mut self, _at: Instant, call: CallNumber, record: &Record) {
        let (did, times) = match record.semantics {
            Semantics::Maybe | Semantics::AtMostOnce => ("began", record.began.as_slice()),
            Semantics::ExactlyOnce => ("was committed", record.committed.as_slice()),
            Semantics::AtLeastOnce => return,
        };
        if let [first, again, ..] = times {
            let semantics = record.semantics;
            let what = format!("{semantics} call {call} {did} at {first} and again at {again}");
            self.broken(Invariant::AtMostOnce, *again, what);
        }
    }

    /// Invariant 2.
    pub(super) fn truth(&mut self, _at: Instant, call: CallNumber, record: &Record) {
        for (at, verdict) in &record.told {
            let lie = match verdict {
                Verdict::Sent | Verdict::Failed(Execution::Unknown) => None,
                Verdict::Reply(bytes) => (!record.replies.contains(bytes))
                    .then(|| "a reply that no execution returned".to_owned()),
                Verdict::Failed(Execution::NotExecuted) => {
                    record.ran().first().map(|ran| format!("not executed, and it was at {ran}"))
                }
                Verdict::Failed(Execution::Executed) => {
                    record.began.is_empty().then(|| "executed, and it never began".to_owned())
                }
            };
            if let Some(lie) = lie {
                let what = format!("{} call {call} was told at {at}: {lie}", record.semantics);
                self.broken(Invariant::Truth, *at, what);
            }
        }
    }

    /// Invariant 4.
    pub(super) fn durability(&mut self, at: Instant, call: CallNumber, record: &Record) {
        if record.semantics != Semantics::ExactlyOnce {
            return;
        }
        let seen = record.told.iter().any(|(_, verdict)| matches!(verdict, Verdict::Reply(_)));
        let committed = u32::try_from(record.committed.len()).unwrap_or(u32::MAX);
        if seen && record.kept == 0 {
            let what = format!("the reply to call {call} was seen, and its effect is not stored");
            self.broken(Invariant::Durability, at, what);
        } else if record.kept != committed {
            let kept = record.kept;
            let what = format!("call {call} was committed {committed} times and is stored {kept}");
            self.broken(Invariant::Durability, at, what);
        }
    }

    /// Invariant 3.
    pub(super) fn completion(&mut self, at: Instant, call: CallNumber, record: &Record) {
        let due = record.deadline + TICK;
        let late = match record.told.first() {
            _ if record.gone.is_some() => None,
            Some((ended, _)) if *ended > due => Some(format!("ended at {ended}")),
            Some(_) => None,
            None if at > due => Some("never ended".to_owned()),
            None => None,
        };
        if let Some(late) = late {
            let what = format!("call {call} was due at {} and {late}", record.deadline);
            self.broken(Invariant::Completion, due, what);
        }
    }

    /// Invariant 6.
    pub(super) fn bounded(&mut self, at: Instant, what: &str, used: u64, limit: u64) {
        if used > limit {
            self.broken(Invariant::Bounded, at, format!("{used} {what}, at most {limit} may be"));
        }
    }

    /// Invariant 7.
    pub(super) fn quiet(&mut self, at: Instant, what: &str) {
        self.broken(Invariant::Quiet, at, format!("{what} was sent with no call outstanding"));
    }

    /// Invariant 9, of calls.
    pub(super) fn no_doubt(&mut self, at: Instant, call: CallNumber, record: &Record) {
        if !self.faultless || record.gone.is_some() {
            return;
        }
        if record.began.len() > 1 {
            let times = record.began.len();
            let what = format!("without a fault, call {call} began {times} times");
            self.broken(Invariant::NoDoubt, at, what);
        }
        for (at, verdict) in &record.told {
            if *verdict == Verdict::Failed(Execution::Unknown) {
                let what = format!("without a fault, call {call} ended in doubt");
                self.broken(Invariant::NoDoubt, *at, what);
            }
        }
    }

    /// Invariant 9, of the wire.
    pub(super) fn no_retransmission(&mut self, at: Instant) {
        if self.faultless {
            let what = "without a fault, a request was retransmitted".to_owned();
            self.broken(Invariant::NoDoubt, at, what);
        }
    }

    /// Invariant 10.
    pub(super) fn binding(
        &mut self,
        at: Instant,
        call: CallNumber,
        bound: (ServerId, Incarnation),
        by: (ServerId, Incarnation),
    ) {
        let stranger = bound.0.is_some() && bound.0 != by.0;
        let other_life = bound.1.is_some() && bound.1 != by.1;
        if stranger || other_life {
            let what = format!(
                "call {call}, bound to server {} in life {}, was executed by {} in life {}",
                bound.0, bound.1, by.0, by.1
            );
            self.broken(Invariant::Binding, at, what);
        }
    }
}
