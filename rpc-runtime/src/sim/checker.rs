//! The invariants of the contract, one function each, fed by what a run did.
//!
//! A world reports [`Fact`]s as they happen: a call started, an execution began, it returned these
//! bytes, the client was told that. The checker keeps one record a call and compares. It does not
//! know the protocol: it would hold any RPC system to the same contract (docs/protocol.md,
//! "Invariants"), and it reads nothing of the machines it judges but their own figures of use.

mod orphans;

use std::collections::BTreeMap;
use std::fmt;

pub use orphans::{Bounds, Fenced, Watched};

use serde::Serialize;

use crate::error::Execution;
use crate::ids::{ClientId, Incarnation, ServerId};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};

/// How late a call may end by its client's clock: one tick of the coarsest timer.
pub const TICK: Duration = Duration::from_millis(1);

/// An invariant of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// 1. At most one execution begins of a `maybe` or `at_most_once` call; of an `exactly_once` call
    ///    at most one commits, and never two are alive in one life of the server.
    AtMostOnce,
    /// 2. `NotExecuted` means no execution, a reply means an execution that returned these bytes,
    ///    `Executed` means that one began.
    Truth,
    /// 3. Every call ends by its deadline plus one tick.
    Completion,
    /// 4. An `exactly_once` reply that a client saw is in the store after any crash; an effect without
    ///    its reply, or the reverse, never exists.
    Durability,
    /// 5. No orphan outlives its strategy's bound.
    Orphans,
    /// 6. Every table stays within its limit.
    Bounded,
    /// 7. With no calls outstanding nothing is sent.
    Quiet,
    /// 8. The same seed gives the same run.
    Deterministic,
    /// 9. A run without faults leaves no doubt, repeats nothing and retransmits nothing.
    NoDoubt,
    /// 10. A call is executed by the server it was bound to, or by none.
    Binding,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "invariant 1 (at most once)",
            Self::Truth => "invariant 2 (truth)",
            Self::Completion => "invariant 3 (completion)",
            Self::Durability => "invariant 4 (durability)",
            Self::Orphans => "invariant 5 (orphans)",
            Self::Bounded => "invariant 6 (bounded)",
            Self::Quiet => "invariant 7 (quiet)",
            Self::Deterministic => "invariant 8 (deterministic)",
            Self::NoDoubt => "invariant 9 (no doubt from thin air)",
            Self::Binding => "invariant 10 (binding)",
        })
    }
}

/// Numbers the calls of a run, from 0, over all clients.
pub type CallNumber = u64;

/// What a client was told about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A `maybe` call was handed to the transport.
    Sent,
    /// The bytes of a reply.
    Reply(Vec<u8>),
    /// A failure with this certainty.
    Failed(Execution),
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A client started a call, bound to a server; [`ServerId::NONE`] where any will do.
    Started {
        /// The call.
        call: CallNumber,
        /// What the method promises.
        semantics: Semantics,
        /// When it must have ended, by the run's clock.
        deadline: Instant,
        /// The server that the client means.
        server: ServerId,
        /// The incarnation that the client means; [`Incarnation::NONE`] where any will do.
        incarnation: Incarnation,
    },
    /// A server entered the handler.
    Began {
        /// The call.
        call: CallNumber,
        /// Who executes it.
        server: ServerId,
        /// In which life.
        incarnation: Incarnation,
    },
    /// A handler returned these bytes.
    Returned {
        /// The call.
        call: CallNumber,
        /// The reply, as the client must see it.
        reply: Vec<u8>,
    },
    /// A durable execution's effect and reply were committed.
    Committed {
        /// The call.
        call: CallNumber,
    },
    /// A durable execution has ended, committed or not.
    Stopped {
        /// The call.
        call: CallNumber,
        /// In which life of its server it ran.
        incarnation: Incarnation,
    },
    /// At the end of the run: how often a call's effect is in the store.
    Kept {
        /// The call.
        call: CallNumber,
        /// How often.
        times: u32,
    },
    /// The client was told.
    Ended {
        /// The call.
        call: CallNumber,
        /// What it was told.
        verdict: Verdict,
    },
    /// The client asked again, later, and was told. Says nothing about completion.
    Resolved {
        /// The call.
        call: CallNumber,
        /// What it was told.
        verdict: Verdict,
    },
    /// The client's process died: nobody is left to be told about its calls.
    ClientGone {
        /// The calls that were under way.
        calls: Vec<CallNumber>,
    },
    /// A later life of its client waits for a call again.
    Awaited {
        /// The call.
        call: CallNumber,
    },
    /// An execution that heeds its cancellation began, and may go on without its caller for so long.
    Watched(Watched),
    /// It ended, or its server died.
    Over {
        /// Which.
        execution: u64,
    },
    /// A later life of a client was welcomed by a server.
    Fenced(Fenced),
    /// Somebody claims to be a life of a client, and cannot prove to be there.
    Forged {
        /// Whose.
        client: ClientId,
        /// Which.
        life: Incarnation,
    },
    /// A figure of use, compared with its limit.
    Used {
        /// What is used.
        what: &'static str,
        /// How much of it.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// A host sent something although none of its calls was outstanding.
    Noise {
        /// What it sent.
        what: String,
    },
    /// A client retransmitted a request.
    Retransmitted,
}

/// A broken invariant, with what broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// When it showed.
    pub at: Instant,
    /// What happened, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {}: {}", self.invariant, self.at, self.what)
    }
}

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

    /// Invariant 1.
    fn at_most_once(&mut self, _at: Instant, call: CallNumber, record: &Record) {
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
    fn truth(&mut self, _at: Instant, call: CallNumber, record: &Record) {
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
    fn durability(&mut self, at: Instant, call: CallNumber, record: &Record) {
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
    fn completion(&mut self, at: Instant, call: CallNumber, record: &Record) {
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
    fn bounded(&mut self, at: Instant, what: &str, used: u64, limit: u64) {
        if used > limit {
            self.broken(Invariant::Bounded, at, format!("{used} {what}, at most {limit} may be"));
        }
    }

    /// Invariant 7.
    fn quiet(&mut self, at: Instant, what: &str) {
        self.broken(Invariant::Quiet, at, format!("{what} was sent with no call outstanding"));
    }

    /// Invariant 9, of calls.
    fn no_doubt(&mut self, at: Instant, call: CallNumber, record: &Record) {
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
    fn no_retransmission(&mut self, at: Instant) {
        if self.faultless {
            let what = "without a fault, a request was retransmitted".to_owned();
            self.broken(Invariant::NoDoubt, at, what);
        }
    }

    /// Invariant 10.
    fn binding(
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
