//! What a turn of the server's lock leaves to be done once the lock is released: datagrams first, then
//! the threads that go on by it, and cancellations last, which call others' code.

use std::sync::Arc;

use super::pending::Pending;
use super::state::Shared;
use super::workers;
use crate::context::CallContext;
use crate::driver::{Datagrams, Gate, Link};

/// What is to be done once the lock is released. Each thread keeps its own, for the buffers.
#[derive(Debug, Default)]
pub(super) struct Errands {
    pub(super) datagrams: Datagrams,
    pub(super) link: Option<Arc<dyn Link>>,
    pub(super) cancels: Vec<CallContext>,
    /// Async handlers that nobody will go on with.
    pub(super) abandoned: Vec<Pending>,
    pub(super) gates: Vec<Arc<dyn Gate>>,
    pub(super) fresh_workers: Vec<usize>,
    pub(super) must_wake_receiver: bool,
}

impl Errands {
    /// Does not open this gate.
    pub(super) fn leave_shut(&mut self, gate: &Arc<dyn Gate>) {
        self.gates.retain(|other| !Arc::ptr_eq(other, gate));
    }

    /// Does all that is to be done. The lock must not be held.
    pub(super) fn run(&mut self, shared: &Arc<Shared>) {
        self.send();
        while let Some(number) = self.fresh_workers.pop() {
            if workers::hire(shared, number).is_err() {
                let (mut state, now) = shared.turn();
                state.do_without(now, number, self);
                let until = state.drain(now, shared, self);
                self.must_wake_receiver |= state.receiver_must_look(until);
                drop(state);
                self.send();
            }
        }
        let link = self.link.take();
        if std::mem::take(&mut self.must_wake_receiver)
            && let Some(link) = &link
        {
            link.wake();
        }
        drop(link); // whoever stops the server waits for that
        for gate in self.gates.drain(..) {
            gate.open();
        }
        for context in self.cancels.drain(..) {
            context.cancel();
        }
        self.abandoned.clear();
    }

    fn send(&mut self) {
        match &self.link {
            Some(link) => self.datagrams.send(&**link),
            None => self.datagrams.lose(),
        }
    }
}
