//! Hosts without threads: the protocol's machines driven by scripts, for millions of calls.
//!
//! A [`ServerNode`] is a server machine whose handlers are a [`Behaviour`]: how long a call takes and
//! how it ends. A [`ClientNode`] is a client whose user is a [`Script`]: what to call next, when to
//! give up, when to ask again. Both report every [`Fact`] to a shared [`Journal`], which judges the
//! run. They know the machines' public doors and nothing else, so what holds here holds for the
//! client and server layers, which use the same doors.

mod client;
mod disk;
mod server;

use std::sync::{Arc, Mutex, PoisonError};

pub use client::{Action, ClientNode, Planned, Script};
pub use disk::{Disk, Record};
pub use server::{Behaviour, ServerNode, Work};

use super::checker::{CallNumber, Checker, Fact, Tally, Violation};
use crate::time::Instant;

/// The checker that all hosts of a run report to, and the run's counter of calls.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Mutex<Entries>>);

#[derive(Debug)]
struct Entries {
    checker: Checker,
    calls: CallNumber,
    executions: u64,
    retransmissions: u64,
}

impl Journal {
    /// A journal for a run; `faultless` if no fault of any kind is injected.
    #[must_use]
    pub fn new(faultless: bool) -> Self {
        let checker = Checker::new(faultless);
        Self(Arc::new(Mutex::new(Entries { checker, calls: 0, executions: 0, retransmissions: 0 })))
    }

    /// Takes note of `fact`.
    pub fn note(&self, at: Instant, fact: Fact) {
        let mut entries = self.lock();
        entries.retransmissions += u64::from(fact == Fact::Retransmitted);
        entries.checker.observe(at, fact);
    }

    /// The number of the next call of the run.
    #[must_use]
    pub fn next_call(&self) -> CallNumber {
        let mut entries = self.lock();
        entries.calls += 1;
        entries.calls - 1
    }

    /// The number of the next execution of the run.
    #[must_use]
    pub fn next_execution(&self) -> u64 {
        let mut entries = self.lock();
        entries.executions += 1;
        entries.executions - 1
    }

    /// Judges the run.
    #[must_use]
    pub fn finish(&self, at: Instant) -> Vec<Violation> {
        self.lock().checker.finish(at).to_vec()
    }

    /// Sums over the run.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().checker.tally()
    }

    /// Requests sent again.
    #[must_use]
    pub fn retransmissions(&self) -> u64 {
        self.lock().retransmissions
    }

    /// Records that two runs of one seed had these trace hashes.
    pub fn deterministic(&self, at: Instant, first: u64, second: u64) {
        self.lock().checker.deterministic(at, first, second);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
