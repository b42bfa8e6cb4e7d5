//! Who is at work for whom: the lab's own record, kept beside the product and not by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::sim;
use rpc_runtime::time::Instant;

/// A process that wants work done. A restarted one is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner(pub(super) u64);

/// Shared by all hosts of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Register(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    at_work: BTreeMap<u64, Owner>,
    dead: BTreeSet<Owner>,
    innocent_killed: u64,
    last_orphan_gone: Option<Instant>,
}

/// A piece of work; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Work {
    register: Register,
    number: u64,
    owner: Owner,
}

impl Register {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, owner: Owner) -> Work {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        state.at_work.insert(number, owner);
        Work { register: self.clone(), number, owner }
    }

    /// That process is dead from now on.
    pub(super) fn died(&self, owner: Owner) {
        self.lock().dead.insert(owner);
    }

    /// The work that goes on for processes that are dead.
    pub(super) fn orphans(&self) -> u64 {
        let state = self.lock();
        state.at_work.values().filter(|owner| state.dead.contains(owner)).count() as u64
    }

    pub(super) fn innocent_killed(&self) -> u64 {
        self.lock().innocent_killed
    }

    /// When an orphan ended, last.
    pub(super) fn last_orphan_gone(&self) -> Option<Instant> {
        self.lock().last_orphan_gone
    }
}

impl Work {
    /// It was told to stop.
    pub(super) fn cancelled(&self) {
        let mut state = self.register.lock();
        state.innocent_killed += u64::from(!state.dead.contains(&self.owner));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.register.lock();
        state.at_work.remove(&self.number);
        // A host that dies takes its work with it; the simulation's own end is nobody's.
        if state.dead.contains(&self.owner) && !std::thread::panicking() {
            state.last_orphan_gone = Some(sim::now());
        }
    }
}
