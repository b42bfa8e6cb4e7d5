//! What a turn of the lock leaves to be done once the lock is released.
//!
//! Datagrams first, then the threads that go on by it, and wakers last: those are others' code, which
//! may panic, take its time, or make a call of its own. Whoever runs them has neither the lock nor
//! the lead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use super::connection::Connection;
use super::parent::Parent;
use super::recording::JournalErrands;
use super::route::Loss;
use crate::driver::{Datagrams, Gate};

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Errands {
    pub(super) datagrams: Datagrams,
    pub(super) gates: Vec<Arc<dyn Gate>>,
    pub(super) wakers: Vec<Waker>,
    /// Wakers that are not woken: what dropping them does is others' code too.
    discarded: Vec<Waker>,
    /// Of calls that have ended and that nobody asked for: they have nothing to call off any more.
    pub(super) parents: Vec<Arc<Parent>>,
    pub(super) must_wake_leader: bool,
    /// A call has ended whose caller neither sleeps nor is a future: it may have the lead.
    pub(super) has_untold: bool,
    pub(super) background: Option<Background>,
    /// What the ends of calls say of the server, if any ended.
    pub(super) loss: Option<Option<Loss>>,
    pub(super) journal: JournalErrands,
}

/// How the background thread is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Background {
    /// It sleeps.
    Wake,
    /// There is none yet.
    Start,
}

impl Errands {
    /// Drops the waker later.
    pub(super) fn discard(&mut self, waker: Option<Waker>) {
        self.discarded.extend(waker);
    }

    /// Does all that is to be done. The lock must not be held.
    pub(super) fn run(&mut self, connection: &Arc<Connection>) {
        self.datagrams.send(&*connection.link);
        if connection.link.holds() {
            let mut state = connection.lock();
            connection.settle(&mut state, self); // or it would wait for the next call
        }
        if !self.gates.is_empty() {
            self.gates.drain(..).for_each(|gate| gate.open());
        }
        if std::mem::take(&mut self.must_wake_leader) {
            connection.link.wake();
        }
        self.has_untold = false;
        match self.background.take() {
            None => {}
            Some(Background::Wake) => connection.background.open(),
            Some(Background::Start) => connection.start_background(),
        }
        if let Some(loss) = self.loss.take() {
            connection.set_loss(loss);
        }
        connection.run_journal(&mut self.journal);
        self.parents.clear();
        if !self.wakers.is_empty() {
            self.wakers.drain(..).for_each(wake);
        }
        while let Some(waker) = self.discarded.pop() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
        }
    }
}

/// Wakes a waker. Its panic, of which the panic hook has told, is none of the thread's that happens
/// to call it.
pub(super) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}
