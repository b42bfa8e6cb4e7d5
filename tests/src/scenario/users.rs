//! Who calls and who answers in a story: users that do what the story says, handlers that take as
//! long as it says.
//!
//! All of them write into one [`Notebook`], which outlives their processes, as a story does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::ids::{CallId, MethodFingerprint};
use rpc_runtime::protocol::{CallSpec, Execute, HandlerEnd, Outcome};
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::checker::CallNumber;
use rpc_runtime::sim::nodes::{Action, Behaviour, Planned, Script, Work};
use rpc_runtime::time::{Duration, Instant};

use crate::campaign::METHODS;

/// A call as a story plans it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    semantics: Semantics,
    pub(super) patience: Duration,
    recorded: bool,
    argument_bytes: usize,
}

/// A call that runs at most once, with ten seconds of patience.
#[must_use]
pub const fn once() -> Plan {
    let patience = Duration::from_secs(10);
    Plan { semantics: Semantics::AtMostOnce, patience, recorded: false, argument_bytes: 0 }
}

/// A call that takes effect exactly once.
#[must_use]
pub const fn durable() -> Plan {
    Plan { semantics: Semantics::ExactlyOnce, ..once() }
}

/// A call that runs at least once, if anybody answers.
#[must_use]
pub const fn again() -> Plan {
    Plan { semantics: Semantics::AtLeastOnce, ..once() }
}

/// A call that nobody answers.
#[must_use]
pub const fn maybe() -> Plan {
    Plan { semantics: Semantics::Maybe, ..once() }
}

impl Plan {
    /// The same call of a user who waits this long.
    #[must_use]
    pub const fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same call, in the journal whatever its semantics.
    #[must_use]
    pub const fn recorded(self) -> Self {
        Self { recorded: true, ..self }
    }

    /// The same call with arguments of this many bytes, and its number.
    #[must_use]
    pub const fn of(self, argument_bytes: usize) -> Self {
        Self { argument_bytes, ..self }
    }

    pub(super) fn at(self, now: Instant) -> Planned {
        let method = METHODS.iter().find(|(_, semantics)| *semantics == self.semantics);
        let method = method.expect("stories call what servers offer").0;
        let spec = CallSpec {
            method: MethodFingerprint(method),
            name: u32::try_from(method).expect("a small number"),
            semantics: self.semantics,
            deadline: now + self.patience,
            depth: 0,
            recorded: self.recorded,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        // No two fragments are alike, however they are cut.
        let byte = |n: usize| u8::try_from((n ^ (n >> 8) ^ (n >> 16)) & 0xff).unwrap_or_default();
        let arguments = (0..self.argument_bytes).map(byte).collect();
        Planned { connection: 0, spec, arguments, cancel_at: None }
    }
}

/// What users were told and handlers did, by call.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The first is the call's end, the others what `resolve` said.
    pub(super) told: BTreeMap<CallNumber, Vec<(CallId, Outcome)>>,
    /// What each execution replied, or would have.
    pub(super) executions: BTreeMap<CallNumber, Vec<Vec<u8>>>,
}

/// The notes of a story.
#[derive(Clone, Debug, Default)]
pub(super) struct Notebook(Arc<Mutex<Notes>>);

impl Notebook {
    pub(super) fn open(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user who does what the story says, and nothing else.
#[derive(Debug)]
pub(super) struct User(pub(super) Notebook);

impl Script for User {
    fn next(&mut self, _now: Instant, _outstanding: usize) -> Action {
        Action::Await
    }

    fn ended(&mut self, _now: Instant, _outcome: &Outcome) -> Option<Instant> {
        None
    }

    fn told(&mut self, _now: Instant, call: CallNumber, id: CallId, outcome: &Outcome) {
        self.0.open().told.entry(call).or_default().push((id, outcome.clone()));
    }
}

/// How a server's handlers are from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    pub(super) takes: Duration,
    pub(super) heeds_cancel: bool,
    pub(super) reply_bytes: usize,
    pub(super) end: HandlerEnd,
}

/// The temper of one server's handlers, over its restarts.
#[derive(Clone, Debug)]
pub(super) struct Tempers(Arc<Mutex<Temper>>);

impl Default for Tempers {
    fn default() -> Self {
        let temper = Temper {
            takes: Duration::ZERO,
            heeds_cancel: true,
            reply_bytes: 0,
            end: HandlerEnd::Returned,
        };
        Self(Arc::new(Mutex::new(temper)))
    }
}

impl Tempers {
    pub(super) fn now(&self) -> MutexGuard<'_, Temper> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handlers of that temper. No two executions reply alike.
#[derive(Debug)]
pub(super) struct Handlers {
    pub(super) tempers: Tempers,
    pub(super) notebook: Notebook,
}

impl Behaviour for Handlers {
    fn execute(&mut self, _now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        let Temper { takes, heeds_cancel, reply_bytes, end } = *self.tempers.now();
        let number = execute.arguments.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let mut notes = self.notebook.open();
        let executions = notes.executions.entry(number.unwrap_or(CallNumber::MAX)).or_default();
        reply.extend_from_slice(&execute.arguments);
        reply.extend_from_slice(&executions.len().to_le_bytes());
        reply.resize(reply.len().max(reply_bytes), 7);
        executions.push(reply.clone());
        Work { takes, end, heeds_cancel }
    }
}
