//! The invariants of the contract, fed by what a run did.
//!
//! A world reports [`Fact`]s as they happen: a call started, an execution began, it returned these
//! bytes, the client was told that. The checker keeps one record a call and compares. It does not
//! know the protocol: it would hold any RPC system to the same contract (docs/protocol.md,
//! "Invariants"), and it reads nothing of the machines it judges but their own figures of use. The words
//! are in `facts`, the invariants, one function each, in `rules` and `orphans`.

mod facts;
mod orphans;
mod rules;

use std::collections::BTreeMap;

pub use facts::{CallNumber, Fact, Invariant, Verdict, Violation};
pub use orphans::{Bounds, Fenced, Watched};

use serde::Serialize;

use crate::error::Execution;
use crate::ids::{Incarnation, ServerId};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};

/// How late a call may end by its client's clock: one tick of the coarsest timer.
pub const TICK: Duration = Duration::from_millis(1);

/// Everything known about one call.
#[derive(Clone, Debug)]
struct Record {
    semantics: Semantics,
    deadline: Instant,
    server: ServerId,
    incarnation: Incarnation,
    began: Vec<Instant>,
    /// Lives of servers in which a durable execution runs.
    alive: Vec<Incarnation>,
    committed: Vec<Instant>,
    kept: u32,
    replies: Vec<Vec<u8>>,
    told: Vec<(Instant, Verdict)>,
    ended: bool,
    /// When its client's process died.
    gone: Option<Instant>,
    /// Whether a later life of it took the call up.
    awaited: bool,
}

impl Record {
    /// When it ran, as its client may learn: a durable call that was not committed did not.
    fn ran(&self) -> &[Instant] {
        match self.semantics {
            Semantics::ExactlyOnce => &self.committed,
            Semantics::Maybe | Semantics::AtLeastOnce | Semantics::AtMostOnce => &self.began,
        }
    }
}

/// Sums over a run, for tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Calls started.
    pub calls: u64,
    /// Calls that returned (for `maybe`: were handed to the transport).
    pub ok: u64,
    /// Calls that failed and are known not to have run.
    pub not_executed: u64,
    /// Calls that failed and are known to have run.
    pub executed_error: u64,
    /// Calls that failed and may have run.
    pub unknown: u64,
    /// Executions that began.
    pub executions: u64,
    /// Calls of which more than one execution began.
    pub executed_more_than_once: u64,
    /// Replies that no execution of their call returned.
    pub wrong_replies: u64,
}

/// Judges a run.
///
/// Feed it with [`Checker::observe`] and end with [`Checker::finish`]; a checker dropped without
/// panics, because a run that nobody judged proves nothing.
#[derive(Debug)]
pub struct Checker {
    faultless: bool,
    calls: BTreeMap<CallNumber, Record>,
    ledger: orphans::Ledger,
    violations: Vec<Violation>,
    finished: bool,
}

/// Violations kept of one run; the first ones tell the story.
const VIOLATIONS_KEPT_MAX: usize = 16;

impl Checker {
    /// A checker for a run; `faultless` if no fault of any kind is injected (invariant 9).
    #[must_use]
    pub fn new(faultless: bool) -> Self {
        let (calls, ledger) = (BTreeMap::new(), orphans::Ledger::default());
        Self { faultless, calls, ledger, violations: Vec::new(), finished: false }
    }

    /// Takes note of what happened at `at`, and checks what can be checked at once.
    pub fn observe(&mut self, at: Instant, fact: Fact) {
        match fact {
            Fact::Started { call, semantics, deadline, server, incarnation } => {
                let record = Record {
                    semantics,
                    deadline,
                    server,
                    incarnation,
                    began: Vec::new(),
                    alive: Vec::new(),
                    committed: Vec::new(),
                    kept: 0,
                    replies: Vec::new(),
                    told: Vec::new(),
                    ended: false,
                    gone: None,
                    awaited: false,
                };
                self.calls.insert(call, record);
            }
            Fact::Began { call, server, incarnation } => {
                self.began(at, call, server, incarnation);
            }
            Fact::Returned { call, reply } => {
                if let Some(record) = self.calls.get_mut(&call) {
                    record.replies.push(reply);
                }
            }
            Fact::Garbled { call, what } => {
                let what = format!("{what} of call {call} came otherwise than sent");
                self.broken(Invariant::Truth, at, what);
            }
            Fact::Committed { call } => {
                if let Some(record) = self.calls.get_mut(&call) {
                    record.committed.push(at);
                }
            }
            Fact::Stopped { call, incarnation } => {
                if let Some(record) = self.calls.get_mut(&call) {
                    record.alive.retain(|alive| *alive != incarnation);
                }
            }
            Fact::Kept { call, times } => {
                if let Some(record) = self.calls.get_mut(&call) {
                    record.kept = times;
                }
            }
            Fact::Ended { call, verdict } => self.ended(at, call, verdict),
            Fact::Resolved { call, verdict } => self.told(at, call, verdict),
            Fact::ClientGone { calls } => {
                for call in calls {
                    if let Some(record) = self.calls.get_mut(&call) {
                        record.gone = Some(at);
                    }
                }
            }
            Fact::Awaited { call } => {
                if let Some(record) = self.calls.get_mut(&call) {
                    record.awaited = true;
                }
            }
            Fact::Watched(watched) => self.ledger.watch(at, watched),
            Fact::Over { execution } => self.ledger.over(at, execution),
            Fact::Fenced(fenced) => self.ledger.fence(at, fenced),
            Fact::Forged { client, life } => self.ledger.forge(client, life),
            Fact::Used { what, used, limit } => self.bounded(at, what, used, limit),
            Fact::Noise { what } => self.quiet(at, &what),
            Fact::Retransmitted => self.no_retransmission(at),
        }
    }

    /// Ends the run at `at` and gives what was broken, first things first.
    pub fn finish(&mut self, at: Instant) -> &[Violation] {
        self.finished = true;
        let calls = std::mem::take(&mut self.calls);
        for (&call, record) in &calls {
            self.at_most_once(at, call, record);
            self.truth(at, call, record);
            self.durability(at, call, record);
            self.completion(at, call, record);
            self.no_doubt(at, call, record);
        }
        self.calls = calls;
        self.orphans(at);
        self.violations.sort_by_key(|violation| (violation.at, violation.invariant));
        &self.violations
    }

    /// Sums over the run so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for record in self.calls.values() {
            tally.calls += 1;
            tally.executions += record.ran().len() as u64;
            tally.executed_more_than_once += u64::from(record.ran().len() > 1);
            match record.told.first().map(|(_, verdict)| verdict) {
                Some(Verdict::Sent) => tally.ok += 1,
                Some(Verdict::Reply(bytes)) => {
                    tally.ok += 1;
                    tally.wrong_replies += u64::from(!record.replies.contains(bytes));
                }
                Some(Verdict::Failed(Execution::NotExecuted)) => tally.not_executed += 1,
                Some(Verdict::Failed(Execution::Executed)) => tally.executed_error += 1,
                Some(Verdict::Failed(Execution::Unknown)) | None => tally.unknown += 1,
            }
        }
        tally
    }

    /// What was broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Records that two runs of one seed differed (invariant 8).
    pub fn deterministic(&mut self, at: Instant, first: u64, second: u64) {
        if first != second {
            let what = format!("one seed gave the trace hashes {first:016x} and {second:016x}");
            self.broken(Invariant::Deterministic, at, what);
        }
    }

    fn began(&mut self, at: Instant, call: CallNumber, server: ServerId, incarnation: Incarnation) {
        let Some(record) = self.calls.get_mut(&call) else {
            let what = format!("an execution of call {call} began that nobody made");
            self.broken(Invariant::Truth, at, what);
            return;
        };
        record.began.push(at);
        // A durable call may be executed by any life of its server (protocol tables, H6).
        let is_durable = record.semantics == Semantics::ExactlyOnce;
        let life = if is_durable { Incarnation::NONE } else { record.incarnation };
        let bound = (record.server, life);
        let twice = is_durable && record.alive.contains(&incarnation);
        if is_durable {
            record.alive.push(incarnation);
        }
        if twice {
            let what =
                format!("durable call {call} began while it ran in the same life {incarnation}");
            self.broken(Invariant::AtMostOnce, at, what);
        }
        self.binding(at, call, bound, (server, incarnation));
    }

    fn ended(&mut self, at: Instant, call: CallNumber, verdict: Verdict) {
        if let Some(record) = self.calls.get_mut(&call) {
            if record.ended {
                let what = format!("call {call} ended a second time, with {verdict:?}");
                self.broken(Invariant::Truth, at, what);
                return;
            }
            record.ended = true;
        }
        self.told(at, call, verdict);
    }

    fn told(&mut self, at: Instant, call: CallNumber, verdict: Verdict) {
        match self.calls.get_mut(&call) {
            Some(record) => record.told.push((at, verdict)),
            None => self.broken(
                Invariant::Truth,
                at,
                format!("a client was told {verdict:?} about call {call}, which nobody made"),
            ),
        }
    }

    fn broken(&mut self, invariant: Invariant, at: Instant, what: String) {
        if self.violations.len() < VIOLATIONS_KEPT_MAX {
            self.violations.push(Violation { invariant, at, what });
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        if !self.finished && !std::thread::panicking() && !self.calls.is_empty() {
            panic!("a run was not judged: call Checker::finish");
        }
    }
}

#[cfg(test)]
mod tests;
