//! What a turn of the server's lock leaves to be done once the lock is released: datagrams first, then
//! the threads that go on by it, and cancellations last, which call others' code.

use std::sync::Arc;

use super::pending::Pending;
use super::state::Shared;
use super::{lead, workers};
use crate::context::CallContext;
use crate::driver::{Datagrams, Gate, Link};

/// What is to be done once the lock is released. Each thread keeps its own, for the buffers.
#[derive(Debug, Default)]
pub(super) struct Errands {
    pub(super) datagrams: Datagrams,
    pub(super) link: Option<Arc<dyn Link>>,
    pub(super) cancels: Vec<CallContext>,
    /// Async handlers that nobody will go on with.
    #[expect(clippy::vec_box, reason = "they come in their boxes")]
    pub(super) abandoned: Vec<Box<Pending>>,
    pub(super) gates: Vec<Arc<dyn Gate>>,
    pub(super) fresh_workers: Vec<usize>,
    /// Whether a thread is wanted that stands by for the receiving one.
    pub(super) needs_standby: bool,
    /// Those that a thread is to be woken by that receives.
    pub(super) wakes: Vec<Arc<dyn Link>>,
    /// The lane whose thread's they are, which has its link itself.
    pub(super) lane: Option<usize>,
}

impl Errands {
    /// Those of the thread that receives in `lane`.
    pub(super) fn of_lane(lane: usize) -> Self {
        Self { lane: Some(lane), ..Self::default() }
    }

    /// Whether there is nothing that takes a system call.
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
            && self.gates.is_empty()
            && self.wakes.is_empty()
            && self.fresh_workers.is_empty()
            && self.cancels.is_empty()
    }

    /// Does not open this gate.
    pub(super) fn leave_shut(&mut self, gate: &Arc<dyn Gate>) {
        self.gates.retain(|other| !Arc::ptr_eq(other, gate));
    }

    /// Does all that is to be done. The lock must not be held.
    pub(super) fn run(&mut self, shared: &Arc<Shared>) {
        self.run_by(shared, None);
        self.link = None; // whoever stops the server waits for that
        self.run_others_code();
    }

    /// As [`Errands::run`], for the receiving thread.
    pub(super) fn run_at(&mut self, shared: &Arc<Shared>, link: &dyn Link) {
        self.run_by(shared, Some(link));
        self.run_others_code();
    }

    /// By the link that the thread has itself, or else by the one that a turn has lent.
    fn run_by(&mut self, shared: &Arc<Shared>, own: Option<&dyn Link>) {
        self.send(own);
        while let Some(number) = self.fresh_workers.pop() {
            if workers::hire(shared, number).is_err() {
                let (mut state, now) = shared.turn();
                state.do_without(now, number, self);
                let until = state.drain(now, shared, self);
                state.lanes.wake_first(until, self);
                drop(state);
                self.send(own);
            }
        }
        if let Some(lane) = self.lane
            && std::mem::take(&mut self.needs_standby)
            && lead::hire(shared, lane).is_err()
        {
            let (mut state, now) = shared.turn();
            state.lanes.at(lane).lead.do_without(now);
        }
        if !self.wakes.is_empty() {
            self.wakes.drain(..).for_each(|link| link.wake());
        }
    }

    fn run_others_code(&mut self) {
        if !self.gates.is_empty() {
            self.gates.drain(..).for_each(|gate| gate.open());
        }
        if !self.cancels.is_empty() {
            self.cancels.drain(..).for_each(|context| context.cancel());
        }
        self.abandoned.clear();
    }

    fn send(&mut self, own: Option<&dyn Link>) {
        match own.or(self.link.as_deref()) {
            Some(link) => self.datagrams.send(link),
            None => self.datagrams.lose(),
        }
    }
}
